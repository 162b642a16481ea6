"""Evaluation: the join, directions and classes, intervals, the report, differences."""

import json
import math
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

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


def slow_auc(score, label):
    pairs = [
        (s > t) + 0.5 * (s == t)
        for s, p in zip(score, label, strict=True)
        if p
        for t, q in zip(score, label, strict=True)
        if not q
    ]
    return sum(pairs) / len(pairs)


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
        "outside the residues of the score table, 1 to 5": 2,
        "outside the alignment": 1,
        "wild type differs": 1,
    }
    assert (
        result.n == 3 and result.n_unmatched == 4 and result.n_table == 5 and result.n_scored == 3
    )


def test_a_variant_of_a_known_residue_is_simply_not_in_the_table():
    result = evaluate(frame([1.0, 2, 3]), frame([1.0, 2, 3, 4], "y", [*SINGLES[:3], "A2W"]), "y")
    assert result.unmatched == {"not in the score table": 1}


def test_the_reason_of_one_rejected_row_is_told_in_words():
    table = frame([1.0, 2, 3, np.nan]).assign(
        status=["ok"] * 3 + ["outside the alignment"],
        reason=["", "", "", "residue 4 is lower-case"],
    )
    result = evaluate(table, frame(np.arange(4.0), "y"), "y", bootstrap=0)
    assert "A4G has no score: residue 4 is lower-case" in result.notes


def test_two_columns_of_one_name_are_refused_only_when_asked_for(tmp_path):
    assay = pd.concat([frame([1.0, 2, 3], "y"), frame([3.0, 2, 1], "z")["z"]] * 2, axis=1)
    assay = assay.iloc[:, [0, 1, 2, 5]]  # variant, y, z, z
    assay.to_csv(tmp_path / "twice.csv", index=False)
    for table in (assay, tmp_path / "twice.csv"):
        assert evaluate(frame([1.0, 2, 3]), table, "y", bootstrap=0).n == 3
        with pytest.raises(EvaluationError, match="two columns are called 'z'"):
            evaluate(frame([1.0, 2, 3]), table, "z")
    with pytest.raises(EvaluationError, match="two columns are called 'variant'"):
        evaluate(frame([1.0, 2, 3]), assay.rename(columns={"y": "variant"}), "z")


def test_importing_evaluate_imports_neither_scipy_nor_torch():
    code = (
        "import sys; from deepseq_nb import evaluate; print({'scipy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


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
    (note,) = (note for note in result.notes if note.startswith("scores fall where 'y' rises"))
    assert "--lower-is-fitter" in note and "higher_is_fitter" not in note
    turned = evaluate(frame(score), frame(assay, "y"), "y", bootstrap=100, higher_is_fitter=False)
    assert any(note.startswith("scores fall where 'y' falls") for note in turned.notes)


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


def test_one_resample_gives_an_interval_without_width():
    score, fitness = noisy(40)
    result = evaluate(frame(score), frame(fitness, "y"), "y", bootstrap=1)
    assert result["spearman"].low == result["spearman"].high != result["spearman"].value


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
    with pytest.raises(EvaluationError, match="no such file"):
        evaluate("nowhere.csv", assay, "y")


def test_text_among_numbers_is_shown():
    with pytest.raises(EvaluationError, match=r"column 'y' holds text \('high!', first in row 2\)"):
        evaluate(frame([1.0, 2, 3]), frame(["1", "high!", "3"], "y"), "y")


def test_numbers_as_text_are_numbers():
    assert evaluate(frame([1.0, 2, 3]), frame(["1", "2.5", "3e0"], "y"), "y", bootstrap=0).n == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"bootstrap": -1},
        {"confidence": 0},
        {"confidence": 1},
        {"confidence": 95},
        {"threshold": math.nan},
    ],
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
