"""Two humps, a stated share of errors, and labels: each number beside one that was computed another way."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from deepseq_nb.core.errors import EvaluationError
from deepseq_nb.scores.classes import (
    Component,
    Mixture,
    call,
    classify,
    find_cuts,
    fit_mixture,
)
from deepseq_nb.scores.labels import calibrate, judge

AMINO = "ACDEFGHIKLMNPQRSTVWY"


def mixture(low: Component, high: Component) -> Mixture:
    return Mixture(damaging=low, tolerated=high, n=1000, gain=1.0)


def humps(n: int = 1900, seed: int = 3) -> tuple[pd.DataFrame, np.ndarray]:
    """A score table of singles of 100 residues, and which of them are damaging."""
    rng = np.random.default_rng(seed)
    names = [f"A{residue}{new}" for residue in range(1, 101) for new in AMINO if new != "A"][:n]
    damaging = rng.random(n) < 0.4
    scores = np.where(damaging, rng.normal(-9, 2, n), rng.normal(-2, 1.5, n))
    table = pd.DataFrame({"variant": names, "score": scores, "status": "ok", "reason": ""})
    return table, damaging


def labels_of(table: pd.DataFrame, damaging: np.ndarray) -> pd.DataFrame:
    words = np.where(damaging, "pathogenic", "benign")
    return pd.DataFrame({"mutant": table.variant, "label": words})


def test_the_probability_is_bayes_rule_on_two_normal_densities():
    low, high = Component(-8.0, 2.0, 0.3), Component(-1.0, 2.0, 0.7)
    scores = np.linspace(-12, 3, 31)
    a = 0.3 * stats.norm.pdf(scores, -8, 2)
    b = 0.7 * stats.norm.pdf(scores, -1, 2)
    np.testing.assert_allclose(mixture(low, high).probability(scores), a / (a + b), rtol=1e-10)


widths = st.floats(0.2, 5)


@given(st.floats(-20, 0), st.floats(0.1, 20), widths, widths, st.floats(0.05, 0.95))
def test_a_better_score_is_never_more_probably_damaging(mean, apart, one, two, share):
    found = mixture(Component(mean, one, share), Component(mean + apart, two, 1 - share))
    scores = np.linspace(mean - 30, mean + apart + 30, 400)
    assert (np.diff(found.log_odds(scores)) <= 1e-9).all()


def test_separation_is_the_distance_over_the_root_mean_square_width():
    found = mixture(Component(-7.0, 3.0, 0.5), Component(0.0, 1.0, 0.5))
    assert found.separation == pytest.approx(7 / np.sqrt(5))


def test_a_fit_finds_the_bells_that_made_the_scores():
    table, damaging = humps()
    found = fit_mixture(table.score)
    assert found.damaging.mean == pytest.approx(-9, abs=0.4)
    assert found.tolerated.mean == pytest.approx(-2, abs=0.3)
    assert found.damaging.share == pytest.approx(damaging.mean(), abs=0.04)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(-5, 3, 4000),
        lambda rng: -rng.exponential(3, 4000),
        lambda rng: -rng.gamma(2, 3, 4000),
        lambda rng: rng.gumbel(-5, 2, 4000),
        lambda rng: -np.exp(rng.normal(0, 0.5, 4000)),
        lambda rng: rng.standard_t(4, 4000),
    ],
    ids=["normal", "exponential", "gamma", "gumbel", "lognormal", "heavy_tails"],
)
def test_scores_with_one_hump_are_refused(draw):
    with pytest.raises(EvaluationError, match="one hump"):
        fit_mixture(draw(np.random.default_rng(1)))


@pytest.mark.parametrize("scores", [np.zeros(500), np.arange(20.0), np.full(500, np.nan)])
def test_too_few_different_scores_are_refused(scores):
    with pytest.raises(EvaluationError, match="at least 100"):
        fit_mixture(scores)


@pytest.mark.parametrize(("error", "called"), [(0.025, 2), (0.065, 4), (0.1, 5), (0.3, 7)])
def test_as_many_are_called_as_the_stated_share_allows(error, called):
    # doubts, tolerated: 0.01, 0.05, 0.20, 0.45; damaging: 0.02, 0.10, 0.40
    p = np.array([0.01, 0.05, 0.20, 0.45, 0.60, 0.90, 0.98])
    classes = call(p, find_cuts(p, error))
    assert (classes != "uncertain").sum() == called


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.01, 0.49))
def test_the_expected_share_of_errors_stays_below_what_was_stated(values, error):
    p = np.array(values)
    classes = call(p, find_cuts(p, error))
    for name, doubt in (("tolerated", p), ("damaging", 1 - p)):
        chosen = doubt[classes == name]
        assert not len(chosen) or chosen.mean() <= error + 1e-12


def test_variants_of_equal_doubt_are_called_all_or_none():
    p = np.array([0.0, 0.375, 0.375])  # two would do with a share of 0.19, three with 0.25
    assert (call(p, find_cuts(p, 0.2)) == "tolerated").tolist() == [True, False, False]
    assert (call(p, find_cuts(p, 0.25)) == "tolerated").all()


def test_a_score_that_is_missing_has_no_class():
    table, _ = humps()
    table.loc[3, ["score", "status"]] = [np.nan, "outside the alignment"]
    found = classify(table).table
    assert found["class"][3] == "" and np.isnan(found.probability[3])
    assert (found["class"].drop(3) != "").all()


def test_runs_that_disagree_leave_a_variant_uncertain():
    table, _ = humps()
    other = table.copy()
    other.loc[0, "score"], table.loc[0, "score"] = -14.0, 3.0
    row = classify([table, other], 0.01).table.iloc[0]
    assert row.probability == pytest.approx(0.5, abs=0.02)
    assert row["class"] == "uncertain" and row.disagreement > 0.6


def test_a_scale_of_its_own_changes_nothing_for_a_run():
    table, _ = humps()
    double = table.assign(score=3 * table.score - 1)
    one, both = classify(table).table, classify([table, double]).table
    np.testing.assert_allclose(both.probability, one.probability, atol=1e-3)


def test_the_score_of_several_runs_is_each_variants_mean_and_runs_are_named():
    table, _ = humps()
    double = table.assign(score=2 * table.score)
    both = classify([table, double])
    np.testing.assert_allclose(both.table.score, 1.5 * table.score)
    assert [line.split(":")[0] for line in both.lines()[:2]] == ["run 1", "run 2"]
    assert classify(table).lines()[0].startswith("scores: ")


def test_tables_with_other_variants_are_refused():
    table, _ = humps()
    with pytest.raises(EvaluationError, match="table 2 has other variants"):
        classify([table, table.iloc[::-1].reset_index(drop=True)])


def test_listed_variants_are_called_by_the_mixture_of_all_singles():
    table, _ = humps()
    double = pd.DataFrame({"variant": ["A1C:A2D"], "score": [-11.0], "status": "ok", "reason": ""})
    whole, found = classify(table), classify(table, listed=double)
    assert found.cuts == whole.cuts
    assert found.table.probability[0] == pytest.approx(whole.mixtures[0].probability([-11.0])[0])


@pytest.mark.parametrize("error", [0, 0.5, -0.1, float("nan")])
def test_a_share_of_errors_out_of_range_is_refused(error):
    with pytest.raises(EvaluationError, match="error is"):
        classify(humps()[0], error)


def test_a_judgement_counts_called_and_wrong():
    table, damaging = humps()
    found = classify(table, 0.02)
    judged = judge(found, labels_of(table, damaging), "label", bootstrap=100)
    classes = found.table["class"]
    wrong = ((classes == "damaging") & ~damaging) | ((classes == "tolerated") & damaging)
    assert judged.n == len(table)
    assert judged.called == (classes != "uncertain").sum()
    assert judged.wrong == wrong.sum()
    u = stats.mannwhitneyu(table.score[~damaging], table.score[damaging]).statistic
    assert judged.auc.value == pytest.approx(u / damaging.sum() / (~damaging).sum())
    assert judged.auc.low < judged.auc.value < judged.auc.high


def test_what_was_expected_is_found_where_the_mixture_is_true():
    table, damaging = humps()
    judged = judge(classify(table, 0.1), labels_of(table, damaging), "label")
    low, high = judged.wrong_interval
    assert low <= judged.expected <= high


def test_a_calibration_moves_the_boundary_to_that_of_the_labels():
    table, _ = humps()
    strict = labels_of(table, table.score.to_numpy() < -4)
    found = classify(table)
    calibration = calibrate(found, strict, "label")
    again = classify(table, calibration=calibration)
    before, after = (judge(one, strict, "label") for one in (found, again))
    assert after.wrong < before.wrong
    edge = again.table[(again.table.probability - 0.5).abs() < 0.45]
    assert edge.score.between(-5, -3).all()


def test_a_labelled_variant_is_judged_by_a_calibration_without_it():
    table, damaging = humps()
    few = labels_of(table, damaging).iloc[:60]
    found = classify(table)
    calibration = calibrate(found, few, "label")
    again = classify(table, calibration=calibration)
    judged = judge(again, few, "label", bootstrap=10)
    left_out = calibration.held_out[few.mutant].to_numpy()
    assert judged.brier == pytest.approx(np.mean((left_out - damaging[:60]) ** 2))
    kept = again.table.probability[:60].to_numpy()
    assert not np.allclose(left_out, kept, atol=1e-6)


def test_labels_the_wrong_way_round_do_not_calibrate():
    table, damaging = humps()
    with pytest.raises(EvaluationError, match="lower-is-fitter"):
        calibrate(classify(table), labels_of(table, ~damaging), "label")


def test_measurements_are_no_labels():
    table, _ = humps()
    with pytest.raises(EvaluationError, match="not two values"):
        judge(classify(table), table.rename(columns={"score": "fitness"}), "fitness")


def test_few_labels_do_not_calibrate():
    table, damaging = humps()
    few = labels_of(table, damaging).iloc[:12]
    with pytest.raises(EvaluationError, match="at least 10 of each"):
        calibrate(classify(table), few, "label")
