"""`deepseq evaluate` and `plot`: numbers, notes in the words of the command line, and figures of one run or several."""

import json
import re
import shutil

import numpy as np
import pandas as pd


def test_evaluate_prints_json_and_nothing_else_on_stdout(deepseq):
    code, out, _ = deepseq("evaluate scores.csv assay.csv --column activity --json")
    assert code == 0
    assert 0 < json.loads(out)["metrics"]["spearman"]["value"] <= 1


def test_evaluate_prints_a_value_and_an_interval_around_it(deepseq):
    _, out, _ = deepseq("evaluate scores.csv assay.csv --column activity")
    line = next(text for text in out.splitlines() if "spearman" in text.lower())
    value, low, high = (float(number) for number in re.findall(r"[-+]?\d\.\d+", line)[:3])
    assert low < value < high


def test_evaluate_against_other_scores_says_by_how_much(deepseq, work):
    scores = pd.read_csv(work / "scores.csv")
    noise = np.random.default_rng(5).normal(size=len(scores)) * 3 * scores.score.std()
    scores.assign(score=scores.score + noise).to_csv(work / "blurred.csv", index=False)
    line = "evaluate scores.csv assay.csv --column activity --json --against"
    found = json.loads(deepseq(f"{line} blurred.csv").out)["difference"]["spearman"]
    assert 0 < found["low"] < found["value"] < found["high"]
    code, _, err = deepseq(f"{line} gone.csv")
    assert code == 2 and "gone.csv" in err


def test_notes_are_in_the_words_of_the_command_line(deepseq, work):
    assay = pd.read_csv(work / "assay.csv")
    assay["damage"] = -assay.activity
    assay["label"] = np.where(assay.activity > assay.activity.median(), "benign", "pathogenic")
    assay.to_csv(work / "turned.csv", index=False)
    _, out, _ = deepseq("evaluate scores.csv turned.csv --column damage")
    assert "--lower-is-fitter" in out
    _, out, _ = deepseq("evaluate scores.csv turned.csv --column label --lower-is-fitter")
    assert "--lower-is-fitter" in out and "has no effect" in out


def test_a_number_that_is_not_defined_is_null_in_json(deepseq, work):
    assay = pd.read_csv(work / "assay.csv")
    assay.assign(flat=1.0).to_csv(work / "flat.csv", index=False)
    code, out, _ = deepseq("evaluate scores.csv flat.csv --column flat --json")
    found = json.loads(out, parse_constant=lambda word: 1 / 0)
    assert code == 0 and found["metrics"]["spearman"]["value"] is None


def test_plot_writes_svg_png_and_the_matrix(deepseq, work):
    line = "plot run --scores scores.csv --assay assay.csv --column activity --out figures"
    assert deepseq(line).code == 0
    assert {".svg", ".png", ".csv"} <= {path.suffix for path in (work / "figures").iterdir()}


def test_plot_of_several_runs_draws_the_mean_and_every_curve(deepseq, work, several):
    assert deepseq("score several --all-singles --samples 3 --device cpu --out mean.csv").code == 0
    code, out, err = deepseq("plot several --scores mean.csv --out mean_figures")
    made = {path.name for path in (work / "mean_figures").iterdir()}
    assert code == 0, err
    assert {"heatmap.svg", "logo.svg", "history.svg", "history_seed2.svg"} <= made
    matrix = pd.read_csv(work / "mean_figures/heatmap.csv")
    assert matrix.notna().any().any() and "wrote" in out


def test_plot_of_several_runs_says_how_to_get_their_heat_map(deepseq, several):
    code, out, err = deepseq("plot several --out no_map")
    assert code == 0 and "deepseq score several --all-singles" in out, err


def test_plot_with_nothing_to_draw_is_exit_code_2(deepseq, work):
    (work / "hollow").mkdir(exist_ok=True)
    code, out, err = deepseq("plot hollow")
    assert code == 2 and "hollow" in err and "wrote" not in out


def shifted_by_one(work):
    assay = pd.read_csv(work / "assay.csv")
    name = "variant" if "variant" in assay else assay.columns[0]
    assay[name] = [f"{v[0]}{int(v[1:-1]) - 1}{v[-1]}" for v in assay[name]]
    assay.to_csv(work / "shifted.csv", index=False)


def test_a_shifted_assay_is_refused_and_offset_mends_it(deepseq, work):
    shifted_by_one(work)
    code, out, err = deepseq("evaluate scores.csv shifted.csv --column activity")
    assert code == 2 and not out and "pass --offset 1" in err and err.count("\n") == 1
    code, out, _ = deepseq("evaluate scores.csv shifted.csv --column activity --offset 1")
    assert code == 0 and "variants scored and measured" in out


def test_plot_of_an_assay_that_cannot_be_compared_draws_the_rest_with_exit_code_1(deepseq, work):
    (work / "other.csv").write_text("variant,activity\nA900C,1\nA900D,2\nA900E,3\n")
    line = "plot run --scores scores.csv --assay other.csv --column activity --out rest"
    code, out, _ = deepseq(line)
    assert code == 1 and "no plot of score against assay: " in out
    assert (work / "rest/heatmap.svg").exists() and not (work / "rest/correlation.svg").exists()
    code, out, _ = deepseq("plot run --scores scores.csv --assay assay.csv --out unnamed")
    assert code == 1 and "--column is needed" in out


def test_plot_takes_what_evaluate_takes(deepseq, work):
    shifted_by_one(work)
    line = "plot run --scores scores.csv --assay shifted.csv --column activity --out moved"
    _, out, _ = deepseq(line)
    assert "--offset 1" in out and not (work / "moved" / "correlation.svg").exists()
    more = " --offset 1 --lower-is-fitter --threshold 0.1 --overwrite"
    assert deepseq(line + more).code == 0 and (work / "moved" / "correlation.svg").exists()


def test_a_history_that_cannot_be_read_is_said_and_taken_from_the_checkpoint(deepseq, work):
    shutil.copytree(work / "run", work / "cut")
    (work / "cut/history.csv").write_text("")
    code, _, err = deepseq("plot cut --scores scores.csv --out cut_figures")
    assert code == 0 and "history.csv is not as written" in err
    drawn = {path.name for path in (work / "cut_figures").iterdir()}
    assert {"heatmap.svg", "history.svg"} <= drawn  # the checkpoint has the curves
