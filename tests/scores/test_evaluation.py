"""Evaluation: each metric computed a second way, the bootstrap against resampling, the join, the report."""

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deepseq_nb.core.errors import EvaluationError
from deepseq_nb.scores.evaluation import Evaluation, difference, evaluate
from deepseq_nb.scores.metrics import (
    METRICS,
    auc,
    bootstrap_metrics,
    mcc,
    ndcg,
    spearman,
    top_recall,
)

SINGLES = [f"A{i}G" for i in range(1, 61)]


def frame(values, column="score", variants=None) -> pd.DataFrame:
    return pd.DataFrame({"variant": list(variants or SINGLES[: len(values)]), column: values})


def noisy(n: int, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = a + rng.normal(size=n)
    return (np.round(a, 1), np.round(b, 0)) if ties else (a, b)


# ---- independent versions, as slow as they like


def slow_auc(score, label):
    pairs = [
        (s > t) + 0.5 * (s == t)
        for s, p in zip(score, label, strict=True)
        if p
        for t, q in zip(score, label, strict=True)
        if not q
    ]
    return sum(pairs) / len(pairs)


def slow_mcc(score, label):
    return np.corrcoef(score >= np.median(score), label)[0, 1]


def proteingym_ndcg(score, assay):
    """The benchmark's definition, step by step, for lists without ties."""
    k = int(np.floor(len(score) * 0.1))
    gains = (assay - assay.min()) / (assay.max() - assay.min())
    place = np.argsort(np.argsort(-score)) + 1
    ideal = np.argsort(np.argsort(-gains)) + 1
    dcg = sum(g / math.log2(r + 1) for g, r in zip(gains, place, strict=True) if r <= k)
    return dcg / sum(g / math.log2(r + 1) for g, r in zip(gains, ideal, strict=True) if r <= k)


def proteingym_top_recall(score, assay):
    best = assay >= np.percentile(assay, 90)
    return (best & (score >= np.percentile(score, 90))).sum() / best.sum()


# ---- the metrics


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [5, 30, 101, 400])
def test_spearman_is_scipys(n, ties):
    score, assay = noisy(n, ties=ties)
    assert spearman(score, assay) == pytest.approx(
        stats.spearmanr(score, assay).statistic, abs=1e-12
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [5, 30, 101])
def test_auc_counts_pairs(n, ties):
    score, assay = noisy(n, ties=ties)
    assert auc(score, assay > 0) == pytest.approx(slow_auc(score, assay > 0), abs=1e-12)


def test_auc_by_hand():
    assert auc([1, 2, 3, 4], [0, 0, 1, 1]) == 1.0
    assert auc([4, 3, 2, 1], [0, 0, 1, 1]) == 0.0
    assert auc([1, 3, 2, 4], [0, 0, 1, 1]) == 0.75
    assert auc([1, 1, 2, 1], [0, 1, 1, 0]) == 0.75


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [6, 31, 100])
def test_mcc_is_a_correlation_of_two_classes(n, ties):
    score, assay = noisy(n, ties=ties)
    assert mcc(score, assay > 0.2) == pytest.approx(slow_mcc(score, assay > 0.2), abs=1e-12)


def test_mcc_by_hand():
    assert mcc([1, 2, 3, 4], [0, 0, 1, 1]) == 1.0
    assert mcc([1, 2, 3, 4], [0, 1, 0, 1]) == 0.0
    assert mcc([1, 2, 3, 4], [1, 1, 0, 0]) == -1.0


@pytest.mark.parametrize("n", [10, 37, 100, 1234])
def test_ndcg_is_proteingyms(n):
    score, assay = noisy(n)
    assert ndcg(score, assay) == pytest.approx(proteingym_ndcg(score, assay), abs=1e-12)


def test_ndcg_by_hand():
    assay = np.arange(20.0)  # k = 2, gains i / 19; the model's two best are worth 17/19 and 19/19
    score = assay.copy()
    score[17], score[18] = 30, 17
    expected = (17 / 19 + 1 / math.log2(3)) / (1 + (18 / 19) / math.log2(3))
    assert ndcg(score, assay) == pytest.approx(expected, abs=1e-12)


def test_ndcg_of_tied_scores_is_the_mean_over_their_orders():
    rng = np.random.default_rng(3)
    score, assay = np.round(rng.normal(size=40), 0), rng.normal(size=40)
    orders = [proteingym_ndcg(score + 1e-6 * rng.permutation(40), assay) for _ in range(4000)]
    assert ndcg(score, assay) == pytest.approx(np.mean(orders), abs=0.01)


@given(st.integers(10, 60), st.integers(0, 1000))
@settings(max_examples=40)
def test_metrics_do_not_depend_on_the_order_of_rows(n, seed):
    score, assay = noisy(n, seed, ties=True)
    order = np.random.default_rng(seed).permutation(n)
    for metric, truth in [
        (spearman, assay),
        (auc, assay > 0),
        (mcc, assay > 0),
        (ndcg, assay),
        (top_recall, assay),
    ]:
        assert metric(score, truth) == pytest.approx(
            metric(score[order], truth[order]), abs=1e-12, nan_ok=True
        )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [10, 11, 37, 101, 1000])
def test_top_recall_is_proteingyms(n, ties):
    score, assay = noisy(n, ties=ties)
    assert top_recall(score, assay) == proteingym_top_recall(score, assay)


def test_a_perfect_score():
    assay = noisy(200)[1]
    assert (
        spearman(assay, assay) == pytest.approx(1)
        and ndcg(assay, assay) == pytest.approx(1)
        and top_recall(assay, assay) == 1
    )
    assert auc(assay, assay > 0.1) == 1 and mcc(assay, assay >= np.median(assay)) == 1


@pytest.mark.parametrize("metric", [spearman, auc, mcc, ndcg, top_recall])
@pytest.mark.parametrize(
    ("score", "truth"),
    [
        ([1, 1, 1, 1], [0, 1, 0, 1]),
        ([1, 2, 3, 4], [1, 1, 1, 1]),
        ([1, 2, 3, 4], [0, 0, 0, 0]),
        ([], []),
        ([1], [1]),
    ],
)
def test_nothing_to_order_is_nan_without_a_warning(metric, score, truth):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(metric(score, truth))


def test_vectors_must_match_and_be_finite():
    with pytest.raises(EvaluationError, match="one length"):
        spearman([1, 2, 3], [1, 2])
    with pytest.raises(EvaluationError, match="NaN"):
        ndcg([1, 2, math.nan], [1, 2, 3])


# ---- the bootstrap


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [7, 40, 101])
def test_bootstrap_is_the_metric_of_the_resamples(n, ties):
    score, assay = noisy(n, ties=ties)
    label = assay > 0
    drawn = bootstrap_metrics(score, assay, label, times=50, seed=4)
    resamples = np.random.default_rng(4).integers(0, n, size=(50, n))
    for name, metric, truth in [
        ("spearman", spearman, assay), ("auc", auc, label), ("mcc", mcc, label), ("ndcg", ndcg, assay),
        ("top10_recall", top_recall, assay),
    ]:  # fmt: skip
        expected = [metric(score[i], truth[i]) for i in resamples]
        np.testing.assert_allclose(drawn[name], expected, atol=1e-10, err_msg=name)


def test_bootstrap_does_not_warn_where_resamples_are_degenerate():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = bootstrap_metrics([1.0, 2.0, 3.0], [0.0, 1.0, 1.0], [False, True, True], times=200)
    assert all(np.isnan(drawn[name]).any() and np.isfinite(drawn[name]).any() for name in METRICS)


def test_bootstrap_interval_has_the_width_that_theory_gives():
    score, assay = noisy(2000)
    drawn = bootstrap_metrics(score, assay, assay > 0, times=400)["spearman"]
    rho = spearman(score, assay)
    theory = math.sqrt((1 + rho**2 / 2) / (2000 - 3)) * (
        1 - rho**2
    )  # Bonett and Wright (2000), Fisher scale, back
    assert drawn.std() == pytest.approx(theory, rel=0.2)


def test_blocks_cover_all_resamples(monkeypatch):
    score, assay = noisy(3000)
    drawn = bootstrap_metrics(score, assay, assay > 0, times=600)  # more than one block
    assert all(len(drawn[name]) == 600 and np.isfinite(drawn[name]).all() for name in METRICS)


def test_the_same_seed_gives_the_same_resamples_for_any_score():
    score, assay = noisy(60)
    first = bootstrap_metrics(score, assay, assay > 0, times=20, seed=9)
    again = bootstrap_metrics(np.exp(score), assay, assay > 0, times=20, seed=9)
    other = bootstrap_metrics(score, assay, assay > 0, times=20, seed=10)
    np.testing.assert_array_equal(first["spearman"], again["spearman"])
    assert (first["spearman"] != other["spearman"]).any()


# ---- evaluate


def test_evaluate_agrees_with_the_plain_functions():
    score, assay = noisy(60)
    result = evaluate(frame(score), frame(assay, "y"), column="y", bootstrap=100)
    label = assay >= np.median(assay)
    values = [
        spearman(score, assay),
        auc(score, label),
        mcc(score, label),
        ndcg(score, assay),
        top_recall(score, assay),
    ]
    assert result.table.index.tolist() == list(METRICS) and list(result.table.columns) == [
        "value",
        "low",
        "high",
    ]
    np.testing.assert_allclose(result.table["value"], values)
    drawn = bootstrap_metrics(score, assay, label, times=100, seed=1)["auc"]
    assert result["auc"] == (values[1], *np.quantile(drawn, [0.025, 0.975]))
    assert result["spearman"].low < result["spearman"].value < result["spearman"].high


def test_result_depends_on_the_seed_alone():
    score, assay = (frame(v, c) for v, c in zip(noisy(50), ("score", "y"), strict=True))
    first, again, other = (evaluate(score, assay, "y", seed=s, bootstrap=50) for s in (3, 3, 4))
    pd.testing.assert_frame_equal(first.table, again.table)
    assert (first.table["low"] != other.table["low"]).any()


def test_a_wider_confidence_gives_a_wider_interval():
    score, assay = (frame(v, c) for v, c in zip(noisy(50), ("score", "y"), strict=True))
    wide, narrow = (evaluate(score, assay, "y", confidence=c)["spearman"] for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_no_bootstrap_no_intervals():
    result = evaluate(frame([1.0, 2, 3, 4]), frame([1.0, 2, 4, 3], "y"), "y", bootstrap=0)
    assert result["spearman"].value == pytest.approx(0.8) and math.isnan(result["spearman"].low)
    assert not any("resamples" in line for line in result.lines())


def test_join_ignores_row_order_substitution_order_and_notation():
    table = frame([1.0, 2, 3, 4], variants=["A1G:K2R", "K2R", "A1G", "WT"])
    assay = frame([4.0, 3, 2, 1], "y", variants=["wt", "p.Ala1Gly", "Lys2Arg", "K2R;A1G"])
    result = evaluate(table, assay, "y", bootstrap=0)
    assert result.n == 4 and result["spearman"].value == pytest.approx(1)


def test_rna_variants_join_in_any_order():
    table = frame([1.0, 2, 3], variants=["G1U:C2A", "G1A", "G1C"])
    result = evaluate(
        table, frame([1.0, 2, 3], "y", variants=["C2A,G1U", "G1A", "G1C"]), "y", bootstrap=0
    )
    assert result.n == 3


def test_spelled_notation_joins_with_itself():
    spelled = ["VDGV", "ADGV", "CDGV"]
    assert (
        evaluate(
            frame([1.0, 2, 3], variants=spelled), frame([1.0, 2, 3], "y", variants=spelled), "y"
        ).n
        == 3
    )


def test_duplicates_are_averaged_with_a_note():
    assay = frame([1.0, 3.0, 5.0, 9.0, 10.0], "y", variants=["A1G", "A1G", "A2G", "A3G", "A4G"])
    result = evaluate(frame([1.0, 2, 3, 4]), assay, "y", bootstrap=0)
    assert result.n == 4 and result.n_assay == 5 and result.n_measured == 4
    assert any(
        "rows that repeat a variant in the assay, averaged: 1" in note for note in result.notes
    )
    assert result.threshold == 7.0  # the median of 2, 5, 9, 10


def test_missing_values_are_counted():
    assay = frame([1.0, np.nan, 3.0, np.inf, 5.0, 6.0], "y")
    result = evaluate(frame(np.arange(6.0)), assay, "y", bootstrap=0)
    assert (result.n, result.n_assay, result.n_missing, result.n_measured, result.n_scored) == (
        4,
        6,
        2,
        4,
        6,
    )
    assert any(
        "rows of the assay without a usable value in 'y', left out: 2" in note
        for note in result.notes
    )


def test_unmatched_are_counted_by_reason():
    table = frame([1.0, 2, 3, np.nan, np.nan]).assign(
        status=["ok"] * 3 + ["outside the alignment", "wild type differs"]
    )
    result = evaluate(table, frame(np.arange(7.0), "y"), "y", bootstrap=0)
    assert result.unmatched == {
        "not in the score table": 2,
        "outside the alignment": 1,
        "wild type differs": 1,
    }
    assert (
        result.n == 3 and result.n_unmatched == 4 and result.n_table == 5 and result.n_scored == 3
    )


def test_reads_paths(tmp_path):
    score, assay = noisy(30)
    frame(score).to_csv(tmp_path / "scores.csv", index=False)
    frame(assay, "2500").rename(columns={"variant": "mutant"}).to_csv(
        tmp_path / "assay.tsv", sep="\t", index=False
    )
    from_paths = evaluate(
        tmp_path / "scores.csv", str(tmp_path / "assay.tsv"), column="2500", bootstrap=20
    )
    from_frames = evaluate(frame(score), frame(assay, "2500"), column="2500", bootstrap=20)
    pd.testing.assert_frame_equal(from_paths.table, from_frames.table)


def test_column_named_by_a_number_in_a_frame():
    assay = frame([1.0, 2, 3], "y").rename(columns={"y": 2500})
    assert evaluate(frame([1.0, 2, 3]), assay, column="2500", bootstrap=0).n == 3


def test_variant_column_can_be_named():
    assay = pd.DataFrame({"variant": ["x", "y", "z"], "change": SINGLES[:3], "y": [1.0, 2, 3]})
    assert evaluate(frame([1.0, 2, 3]), assay, "y", variant_column="change", bootstrap=0).n == 3


def test_inputs_are_left_alone():
    table, assay = frame([1.0, 2, 3]), frame([1.0, 2, 3], "y").rename(columns={"variant": "mutant"})
    before = table.copy(), assay.copy()
    evaluate(table, assay, "y", bootstrap=0)
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(assay, before[1])


def test_proteingym_score_column_is_taken():
    assert (
        evaluate(
            frame([1.0, 2, 3], "DeepSequence_score"), frame([1.0, 2, 3], "y"), "y", bootstrap=0
        ).n
        == 3
    )


# ---- direction and classes


def test_larger_is_worse():
    score, assay = noisy(60)
    up = evaluate(frame(score), frame(assay, "y"), "y", threshold=0.3, bootstrap=50)
    down = evaluate(
        frame(score), frame(-assay, "y"), "y", threshold=-0.3, higher_is_fitter=False, bootstrap=50
    )
    pd.testing.assert_frame_equal(up.table, down.table)
    assert up.threshold == 0.3 and down.threshold == -0.3


def test_threshold_is_at_or_above():
    result = evaluate(
        frame([1.0, 2, 3, 4]), frame([1.0, 3, 2, 4], "y"), "y", threshold=3, bootstrap=0
    )
    assert result["auc"].value == slow_auc([1, 2, 3, 4], [0, 1, 0, 1])
    assert any("at or above the threshold, 3" in note for note in result.notes)


def test_median_is_noted_and_survives_a_floor():
    result = evaluate(frame([1.0, 2, 3, 4, 5]), frame([0.0, 0, 0, 1, 2], "y"), "y", bootstrap=0)
    assert result["auc"].value == 1 and any("above its median, 0" in note for note in result.notes)


def test_binary_column_is_used_as_it_is():
    result = evaluate(
        frame([1.0, 2, 3, 4]), frame([0, 1, 0, 1], "y"), "y", bootstrap=0, threshold=5
    )
    assert result["auc"].value == 0.75 and result.threshold is None
    assert any("threshold has no effect" in note for note in result.notes)


def test_booleans_are_two_classes():
    assert (
        evaluate(frame([1.0, 2, 3, 4]), frame([False, True, False, True], "y"), "y", bootstrap=0)[
            "auc"
        ].value
        == 0.75
    )


def test_clinical_labels_of_ones_for_pathogenic():
    score, label = frame([1.0, 2, 3, 4]), frame([1, 0, 1, 0], "ClinVar_labels")
    assert (
        evaluate(score, label, "ClinVar_labels", higher_is_fitter=False, bootstrap=0)["auc"].value
        == 0.75
    )
    assert evaluate(score, label, "ClinVar_labels", bootstrap=0)["auc"].value == 0.25


@pytest.mark.parametrize(
    "words",
    [
        ("pathogenic", "benign"),
        ("Pathogenic", "Likely_benign"),
        ("deleterious", "neutral"),
        ("LoF", "functional"),
        ("no", "yes"),
    ],
)
def test_labels_in_words_say_which_is_fitter(words):
    labels = [words[i] for i in (0, 1, 0, 1)]
    result = evaluate(frame([1.0, 2, 3, 4]), frame(labels, "label"), "label", bootstrap=0)
    assert result["auc"].value == 0.75
    assert any("say which is fitter: 2 fit, 2 damaged" in note for note in result.notes)


def test_labels_in_between_are_left_out():
    labels = ["pathogenic", "Uncertain significance", "benign", "pathogenic", None]
    result = evaluate(frame([1.0, 2, 3, 4, 5]), frame(labels, "label"), "label", bootstrap=0)
    assert result.n == 3 and result.n_missing == 2
    assert any(
        "rows with other labels (Uncertain significance), left out: 1" in note
        for note in result.notes
    )


def test_contradictory_labels_are_left_out():
    assay = frame([0, 1, 0, 1, 1], "y", variants=["A1G", "A1G", "A2G", "A3G", "A4G"])
    result = evaluate(frame([1.0, 2, 3, 4]), assay, "y", bootstrap=0)
    assert result.n == 3 and any("contradictory labels" in note for note in result.notes)


def test_a_column_the_wrong_way_round_is_questioned():
    score, assay = noisy(60)
    result = evaluate(frame(score), frame(-assay, "y"), "y", bootstrap=100)
    assert any("pass higher_is_fitter=False" in note for note in result.notes)


# ---- degenerate input and errors


def test_constant_scores_are_nan_with_a_note_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate(frame([1.0] * 5), frame(np.arange(5.0), "y"), "y", bootstrap=50)
    assert result.table.isna().all().all()
    assert any("not defined" in note for note in result.notes)


def test_constant_assay_is_nan_with_a_note_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate(frame(np.arange(5.0)), frame([2.0] * 5, "y"), "y", bootstrap=50)
    assert result.table["value"].isna().all() and any(
        "not defined" in note for note in result.notes
    )


def test_resamples_without_a_class_are_counted():
    assay = frame([0, 0, 0, 0, 0, 1], "y")
    result = evaluate(frame(np.arange(6.0)), assay, "y", bootstrap=200)
    assert result["auc"] == (1, 1, 1) and any(
        "auc is not defined in" in note for note in result.notes
    )


def test_too_few_shared_shows_both_notations():
    with pytest.raises(EvaluationError) as caught:
        evaluate(
            frame([1.0] * 60),
            frame(np.arange(60.0), "y", variants=[f"{i}G" for i in range(60)]),
            "y",
        )
    text = str(caught.value)
    assert (
        "found 0 variants" in text
        and "60 are scored (A1G, A2G, A3G, ...)" in text
        and "60 are measured (0G, 1G, 2G" in text
    )
    assert "\n" not in text


def test_spelled_assays_are_sent_to_spelled_variants():
    with pytest.raises(EvaluationError, match="spelled_variants"):
        evaluate(
            frame([1.0, 2, 3]), frame([1.0, 2, 3], "y", variants=["ADGV", "CDGV", "DDGV"]), "y"
        )


def test_a_table_without_scores_says_why():
    table = frame([np.nan] * 3).assign(status="wild type differs")
    with pytest.raises(
        EvaluationError,
        match="no row of the score table has a score, most often because: wild type differs",
    ):
        evaluate(table, frame([1.0, 2, 3], "y"), "y")


def test_missing_columns_list_those_that_exist():
    score, assay = frame([1.0, 2, 3]), frame([1.0, 2, 3], "y")
    with pytest.raises(
        EvaluationError, match="no column '2500' of measurements; the columns are 'y'"
    ):
        evaluate(score, assay, "2500")
    with pytest.raises(EvaluationError, match="no column 'score'; the columns are 'variant', 'y'"):
        evaluate(assay, assay, "y")
    with pytest.raises(EvaluationError, match="no column of variants"):
        evaluate(score, assay.rename(columns={"variant": "thing"}), "y")
    with pytest.raises(EvaluationError, match="cannot be read"):
        evaluate("nowhere.csv", assay, "y")


def test_text_among_numbers_is_shown():
    with pytest.raises(EvaluationError, match=r"column 'y' holds text \('high!', first in row 2\)"):
        evaluate(frame([1.0, 2, 3]), frame(["1", "high!", "3"], "y"), "y")


def test_numbers_as_text_are_numbers():
    assert evaluate(frame([1.0, 2, 3]), frame(["1", "2.5", "3e0"], "y"), "y", bootstrap=0).n == 3


@pytest.mark.parametrize(
    "settings", [{"bootstrap": -1}, {"confidence": 0}, {"confidence": 95}, {"threshold": math.nan}]
)
def test_settings_out_of_range(settings):
    with pytest.raises(EvaluationError, match=next(iter(settings))):
        evaluate(frame([1.0, 2, 3]), frame([1.0, 2, 3], "y"), "y", **settings)


# ---- the report


@pytest.fixture
def result() -> Evaluation:
    score, assay = noisy(40)
    table = frame([*score, np.nan]).assign(status=["ok"] * 40 + ["outside the alignment"])
    return evaluate(table, frame([*assay, 1.0, 2.0], "y"), "y", bootstrap=50)


def test_lines_show_counts_metrics_and_notes(result):
    lines = result.lines()
    assert (
        lines[0]
        == "y: 40 variants scored and measured (40 scored, 42 measured, 42 rows in the assay)"
    )
    assert (
        lines[1].startswith("  measured but not scored: 2 (")
        and "1 outside the alignment" in lines[1]
    )
    for name in METRICS:
        assert sum(line.split()[0] == name for line in lines[2:]) == 1
    assert any("95 % interval" in line for line in lines) and any(
        "50 bootstrap resamples" in line for line in lines
    )
    assert str(result) == repr(result) == "\n".join(lines)


def test_json_has_plain_values(result):
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert found["metrics"]["spearman"] == result["spearman"]._asdict()
    assert (
        found["n"] == 40
        and found["n_unmatched"] == 2
        and found["seed"] == 1
        and found["column"] == "y"
    )


def test_nan_is_null_in_json():
    flat = evaluate(frame([1.0] * 5), frame(np.arange(5.0), "y"), "y", bootstrap=5)
    assert flat.to_json()["metrics"]["auc"] == {"value": None, "low": None, "high": None}
    json.dumps(flat.to_json(), allow_nan=False)


def test_unknown_metric_is_named(result):
    with pytest.raises(EvaluationError, match="no metric 'pearson': expected one of spearman"):
        result["pearson"]


# differences -----------------------------------------------------------------------------------------------------


def test_difference_is_that_of_the_two_evaluations():
    a, b = noisy(60)
    worse = a + np.random.default_rng(3).normal(size=60)
    assay = frame(b, "measured")
    found = difference(frame(a), frame(worse), assay, "measured")
    one, two = (evaluate(frame(x), assay, "measured").table["value"] for x in (a, worse))
    pd.testing.assert_series_equal(found["value"], one - two)
    assert (found.low <= found.value).all() and (found.value <= found.high).all()


def test_difference_of_a_score_from_itself_is_exactly_zero():
    a, b = noisy(60)
    found = difference(frame(a), frame(a), frame(b, "measured"), "measured")
    assert (found == 0).all(axis=None)


def test_paired_interval_is_narrower_than_two_apart():
    a, b = noisy(60)
    near = a + 0.1 * np.random.default_rng(3).normal(size=60)
    assay = frame(b, "measured")
    gap = difference(frame(a), frame(near), assay, "measured").loc["spearman"]
    alone = evaluate(frame(a), assay, "measured")["spearman"]
    assert gap.high - gap.low < (alone.high - alone.low) / 2


def test_difference_takes_the_variants_that_both_score():
    a, b = noisy(60)
    assay, half = frame(b, "measured"), frame(a).iloc[:40]
    found = difference(frame(-a), half, assay, "measured")
    again = difference(frame(-a).iloc[:40], half, assay.iloc[:40], "measured")
    pd.testing.assert_frame_equal(found, again)


def test_difference_without_common_variants_is_refused():
    a, b = noisy(60)
    with pytest.raises(EvaluationError):
        difference(frame(a).iloc[:30], frame(a).iloc[30:], frame(b, "measured"), "measured")
