"""`deepseq embed` and `sample`: places in every form, sequences without a focus, and judgements."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from tiny_family import write_family

from deepseq_nb.model.scorer import elbos
from deepseq_nb.scores.generation import MEASURES, judge_samples
from deepseq_nb.scores.scoring import sample_sequences


def test_embed_reads_the_alignment_as_the_run_did(deepseq, work):
    write_family(work / "more.a2m", n=30, seed=5)
    line = "train more.a2m --out wide --columns all --steps 2 --config small.json --device cpu"
    assert deepseq(line).code == 0
    assert deepseq("embed wide --out inner.npy --device cpu").code == 0
    assert np.load(work / "inner.npy").shape == (30, 3)


def test_embed_writes_a_table_with_names_whose_means_are_those_of_the_array(deepseq, work):
    assert deepseq("embed run --out places.csv --device cpu").code == 0
    assert deepseq("embed run --out means.npy --device cpu").code == 0
    table = pd.read_csv(work / "places.csv")
    assert list(table) == ["name", "identity", "z1", "z2", "z3", "sd1", "sd2", "sd3"]
    assert np.allclose(table[["z1", "z2", "z3"]], np.load(work / "means.npy"), atol=1e-6)
    assert table.identity[0] == 1 and (table[["sd1", "sd2", "sd3"]] > 0).all(axis=None)


def test_embed_and_sample(deepseq, work):
    assert deepseq("embed run --out z.npy --device cpu").code == 0
    assert np.load(work / "z.npy").shape == (80, 3)
    assert deepseq("sample run --n 7 --out new.fasta --device cpu").code == 0
    assert (work / "new.fasta").read_text().count(">") == 7


def test_samples_can_be_placed_though_no_focus_is_among_them(deepseq, work):
    assert deepseq("sample run --n 9 --seed 3 --out nine.fasta --device cpu").code == 0
    line = "embed run --sequences nine.fasta --elbo --out nine.csv --device cpu"
    assert deepseq(line).code == 0
    table = pd.read_csv(work / "nine.csv")
    assert table.name.tolist() == [f"sample_{k}" for k in range(1, 10)]
    assert list(table)[-2:] == ["elbo", "elbo_error"] and (table.elbo < 0).all()


def test_the_bounds_are_those_of_python(deepseq, work, tiny_run, alignment):
    deepseq("embed run --elbo --seed 5 --out bounds.csv --device cpu")
    means, errors = elbos(tiny_run.model, alignment.tokens, seed=5)
    table = pd.read_csv(work / "bounds.csv")
    assert np.allclose(table.elbo, means) and np.allclose(table.elbo_error, errors)


def test_a_picture_is_drawn_beside_the_table(deepseq, work):
    code, out, _ = deepseq("embed run --out drawn.csv --plot drawn.svg --device cpu")
    assert code == 0 and "wrote drawn.svg" in out
    assert "identity to the wild type" in (work / "drawn.svg").read_text()
    code, _, err = deepseq("embed run --out drawn2.csv --plot drawn.svg --device cpu")
    assert code == 2 and "drawn.svg" in err and not (work / "drawn2.csv").exists()
    code, _, err = deepseq("embed run --out drawn3.csv --plot drawn.gif --device cpu")
    assert code == 2 and "gif" in err and not (work / "drawn3.csv").exists()


def test_annotated_data_has_the_weights_of_the_family(deepseq, work, tiny_run):
    anndata = pytest.importorskip("anndata")
    assert deepseq("embed run --elbo --out places.h5ad --device cpu").code == 0
    data = anndata.read_h5ad(work / "places.h5ad")
    assert data.shape == (80, 3) and data.obsm["std"].shape == (80, 3)
    assert data.obs["weight"].sum() == pytest.approx(tiny_run.about["neff"])
    assert list(data.obs) == ["name", "identity", "elbo", "elbo_error", "weight"]


def test_without_anndata_nothing_is_written_and_the_line_says_how_to_get_it(
    deepseq, work, monkeypatch
):
    monkeypatch.setitem(sys.modules, "anndata", None)
    code, _, err = deepseq("embed run --format anndata --out none.h5ad --device cpu")
    assert code == 2 and "pip install 'deepseq-nb[anndata]'" in err
    assert not (work / "none.h5ad").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("embed run --elbo --out bad.npy", "--elbo"),
        ("embed run --sequences small.json --out bad.csv", "small.json"),
        ("embed run --sequences no.fasta --out bad.csv", "no.fasta"),
        ("sample run --n 5", "--out"),
        ("sample run --n 1 --judge", "two at least"),
        ("sample run --n 5 --out bad.fasta --alignment family.a2m", "--judge"),
        ("sample run --n 5 --judge --alignment other.a2m", "not the alignment"),
    ],
)
def test_a_mistake_is_one_line(deepseq, work, words, told):
    write_family(work / "other.a2m", n=30, seed=5)
    code, _, err = deepseq(f"{words} --device cpu")
    assert code == 2 and told in err and len(err.strip().splitlines()) == 1
    assert not list(work.glob("bad.*"))


def test_alignment_and_sequences_exclude_each_other(deepseq):
    line = "embed run --alignment family.a2m --sequences family.a2m --out no.csv"
    code, _, err = deepseq(line)
    assert code == 2 and "not allowed with" in err


def test_a_judgement_is_a_line_for_each_measure_and_writes_nothing(deepseq, work):
    before = sorted(work.iterdir())
    code, out, _ = deepseq("sample run --n 40 --judge --device cpu")
    assert code == 0 and sorted(work.iterdir()) == before
    assert all(words in out for words in MEASURES.values())


def test_a_judgement_as_json_is_that_of_python(deepseq, work, tiny_run, alignment):
    line = "sample run --n 40 --seed 4 --judge --json --out judged.fasta --device cpu"
    code, out, _ = deepseq(line)
    told = json.loads(out)
    samples = sample_sequences(tiny_run, 40, 4)
    table = judge_samples(samples, alignment, run=tiny_run, seed=4).set_index("measure")
    assert code == 0 and told["sequences"] == 40 and told["out"] == "judged.fasta"
    for measure, row in told["judgement"].items():
        assert row == pytest.approx(table.loc[measure].to_dict(), nan_ok=True)
    assert (work / "judged.fasta").read_text().count(">") == 40
