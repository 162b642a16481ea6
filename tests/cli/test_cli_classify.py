"""`deepseq classify`: classes of a run with two humps, labels that judge and calibrate, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.cli import classify as command
from deepseq_nb.scores.scoring import score


@pytest.fixture(scope="module")
def truth(work, tiny_run):
    """Labels of the singles of the run, in two humps far apart."""
    names = score(tiny_run, samples=3, device="cpu").variant
    damaging = np.random.default_rng(4).random(len(names)) < 0.4
    labels = pd.DataFrame({"mutant": names, "label": damaging.astype(int)})
    labels.to_csv(work / "labels.csv", index=False)
    return labels.set_index("mutant").label


@pytest.fixture
def two_humps(truth, monkeypatch):
    """The run's scores as they would be if damage came in two kinds."""
    scored = command._scores

    def moved(args, models, variants):
        rng = np.random.default_rng(7)
        tables = []
        for table in scored(args, models, variants):
            first = table.variant.str.split(":").str[0]
            hump = np.where(truth.reindex(first).to_numpy() == 1, -9.0, -2.0)
            noise = rng.normal(0, 1.5, len(table))
            tables.append(table.assign(score=np.where(table.status == "ok", hump + noise, np.nan)))
        return tables

    monkeypatch.setattr(command, "_scores", moved)


def test_classes_of_all_singles_are_written_and_judged(deepseq, work, truth, two_humps):
    line = "classify run --samples 3 --device cpu --labels labels.csv --column label"
    code, out, _ = deepseq(f"{line} --lower-is-fitter --out classes.csv")
    assert code == 0 and "AUC" in out and "for research" in out
    table = pd.read_csv(work / "classes.csv")
    assert list(table.variant) == list(truth.index)
    called = table["class"].map({"damaging": 1, "tolerated": 0})
    agree = called.to_numpy() == truth.to_numpy()
    assert agree[called.notna()].mean() > 0.9


def test_a_calibration_is_told_before_and_after(deepseq, two_humps):
    line = "classify run --samples 3 --device cpu --labels labels.csv --column label"
    code, out, err = deepseq(f"{line} --lower-is-fitter --calibrate --json --out cal.csv")
    found = json.loads(out)
    assert code == 0 and len(found["judged"]) == 2
    assert found["calibration"]["slope"] > 0
    assert "by the humps alone" in err and "each judged without its own" in err


def test_a_list_is_called_row_by_row(deepseq, work, truth, two_humps):
    first, second = truth.index[:2]
    (work / "mine.csv").write_text(f"variant\n{second}\nnonsense\n{first}\n")
    line = "classify run --samples 3 --device cpu --variants mine.csv --out mine_classes.csv"
    assert deepseq(line).code == 0
    table = pd.read_csv(work / "mine_classes.csv")
    assert list(table.variant) == [second, "nonsense", first]
    assert table.status[1] == "malformed" and pd.isna(table["class"][1])


def test_scores_with_one_hump_end_in_one_line(deepseq, work):
    code, _, err = deepseq("classify run --samples 3 --device cpu --out hump.csv")
    assert code == 2 and "one hump" in err and len(err.strip().splitlines()) == 1
    assert not (work / "hump.csv").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--calibrate", "--labels"),
        ("--column label", "--labels"),
        ("--labels labels.csv", "--column"),
        ("--error 0.5", "below 0.5"),
        ("--error nan", "below 0.5"),
    ],
)
def test_options_that_do_not_go_together_are_refused(deepseq, truth, words, told):
    code, _, err = deepseq(f"classify run --out refused.csv {words}")
    assert code == 2 and told in err


def test_a_list_without_a_variant_that_has_a_place_is_refused(deepseq, work):
    (work / "odd.csv").write_text("variant\nnonsense\n")
    code, _, err = deepseq(
        "classify run --samples 3 --device cpu --variants odd.csv --out odd_classes.csv"
    )
    assert code == 2 and "NONSENSE" in err
