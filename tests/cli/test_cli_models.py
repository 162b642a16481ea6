"""Models of every kind on the command line: made, scored, mixed, drawn, and options that mean nothing to them."""

import pandas as pd
import pytest


@pytest.fixture
def simple(deepseq, work):
    for kind in ("sites", "pairs"):
        if not (work / kind / "config.json").exists():
            assert deepseq(f"train family.a2m --model {kind} --out {kind}").code == 0
    return work


def test_each_model_is_made_scored_and_compared(deepseq, simple):
    for kind in ("sites", "pairs"):
        code, out, _ = deepseq(f"score {kind} --all-singles --out {kind}_scores.csv --overwrite")
        assert code == 0 and "draw nothing" in out
        code, out, _ = deepseq(f"evaluate {kind}_scores.csv assay.csv --column activity")
        assert code == 0 and "spearman" in out.lower()


def test_a_simple_model_is_drawn(deepseq, simple):
    deepseq("score sites --all-singles --out drawn.csv --overwrite")
    assert deepseq("plot sites --scores drawn.csv --out sites_figures --overwrite").code == 0
    names = {path.name for path in (simple / "sites_figures").iterdir()}
    assert {"logo.svg", "heatmap.svg", "heatmap.csv"} <= names


def test_a_mixture_has_a_column_for_each_part(deepseq, simple):
    line = "score run pairs sites --mix 3:1:1 --all-singles --samples 3 --device cpu"
    code, _, _ = deepseq(f"{line} --out mixed.csv --overwrite")
    table = pd.read_csv(simple / "mixed.csv")
    assert code == 0 and list(table.columns[-3:]) == ["score_1", "score_2", "score_3"]
    alone = pd.read_csv(simple / "scores.csv")
    assert table.score_1.tolist() == pytest.approx(alone.score.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("mix", "said"), [("3", "1 shares for 2 models"), ("0:0", "above 0"), ("3;1", "such as 3:1")]
)
def test_shares_are_refused_in_a_line(deepseq, simple, mix, said):
    code, _, err = deepseq(f"score run sites --mix '{mix}' --all-singles --out no.csv")
    assert code == 2 and said in err and err.count("\n") == 1
    assert not (simple / "no.csv").exists()


@pytest.mark.parametrize(
    "option",
    [
        "--steps 5",
        "--preset quick",
        "--runs 2",
        "--resume",
        "--seed 3",
        "--minutes 1",
        "--shallow on",
        "--device cpu",
    ],
)
def test_options_of_training_are_refused_by_name_for_a_simple_model(deepseq, work, option):
    code, _, err = deepseq(f"train family.a2m --model sites --out never {option}")
    assert code == 2 and option.split()[0] in err and not (work / "never").exists()


def test_an_engine_is_refused_for_a_simple_model(deepseq, simple):
    code, _, err = deepseq("score sites --all-singles --engine numpy --out never.csv")
    assert code == 2 and "--engine numpy" in err and not (simple / "never.csv").exists()
