"""`deepseq unirep reps|evotune|score|sample`."""

import json

import numpy as np
import pandas as pd
import pytest
from tiny_unirep import tiny_unirep

from deepseq_nb.peers.representations import get_reps
from deepseq_nb.peers.unirep_weights import load_unirep, save_unirep


@pytest.fixture(scope="session")
def language(work):
    """tiny/, a random language model, and protein.fasta, in the folder `work`."""
    save_unirep(tiny_unirep(), work / "tiny")
    (work / "protein.fasta").write_text(">TINY/11-24\nMKVLAAGIVGLEDR\n>other\nMKVLW\n")
    return work


@pytest.fixture
def tuned(language, deepseq, tmp_path_factory):
    """tuned/, made once."""
    if not (language / "tuned").exists():
        line = "unirep evotune family.a2m --model tiny --learning-rate 0.01 --epochs 1"
        done = deepseq(f"{line} --device cpu --out tuned --json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["held_out_loss_before"] > 0
    return language / "tuned"


def test_reps_are_those_of_get_reps(language, deepseq):
    done = deepseq("unirep reps protein.fasta --model tiny --device cpu --out r.npz --json")
    assert done.code == 0 and json.loads(done.out)["sequences"] == 2, done.err
    expected = get_reps(["MKVLAAGIVGLEDR", "MKVLW"], model=load_unirep(language / "tiny"))
    with np.load(language / "r.npz") as found:
        for name, values in zip(("h_avg", "h_final", "c_final"), expected, strict=True):
            assert np.array_equal(found[name], values)
        assert [name.split("/")[0] for name in found["names"]] == ["TINY", "other"]


def test_reps_in_a_table_and_in_a_folder(language, deepseq):
    line = "unirep reps protein.fasta --model tiny --device cpu"
    assert deepseq(f"{line} --out r.csv").code == 0
    assert deepseq(f"{line} --out r_folder").code == 0
    table = pd.read_csv(language / "r.csv")
    assert table.shape == (2, 13)
    in_folder = np.load(language / "r_folder" / "h_avg.npy")
    assert np.allclose(table.iloc[:, 1:], in_folder, atol=1e-6)


def test_a_folder_that_was_begun_is_gone_on_with(language, deepseq):
    line = "unirep reps protein.fasta --model tiny --device cpu --out begun"
    assert deepseq(line).code == 0
    folder = language / "begun"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "unfinished").mkdir()
    for path in [*folder.glob("*.*")]:
        path.rename(folder / "unfinished" / path.name)
    refused = deepseq(line)
    assert refused.code == 2 and "--resume" in refused.err
    assert deepseq(line + " --resume").code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_a_tuned_model_scores_insertions_and_deletions(tuned, language, deepseq):
    (language / "indels.txt").write_text("K12R\nL14_A15insGG\nA15del\nWT\nW12R\n")
    done = deepseq("unirep score tuned --variants indels.txt --device cpu --out i.csv --json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["statuses"] == {"ok": 4, "wild type differs": 1}
    table = pd.read_csv(language / "i.csv")
    assert table.score[3] == 0 and table.status[4] == "wild type differs"
    assert table.score[:3].notna().all()


def test_a_sequence_is_enough_for_all_singles(language, deepseq):
    line = "unirep score tiny --sequence protein.fasta --all-singles --device cpu --out s.csv"
    done = deepseq(line)
    assert done.code == 0, done.err
    table = pd.read_csv(language / "s.csv")
    assert len(table) == 14 * 19 and table.variant[0].startswith("M11")


def test_an_alignment_and_a_sequence_give_the_same_scores(language, deepseq):
    (language / "one.txt").write_text("K12R\nA15W\n")
    line = "unirep score tiny --variants one.txt --device cpu"
    assert deepseq(f"{line} --sequence protein.fasta --out by_s.csv").code == 0
    assert deepseq(f"{line} --alignment family.a2m --out by_a.csv").code == 0
    a, b = pd.read_csv(language / "by_s.csv"), pd.read_csv(language / "by_a.csv")
    assert a.score.equals(b.score)


def test_walks_have_their_columns_and_their_diagnostic(tuned, language, deepseq):
    line = "unirep sample tuned --steps 60 --every 2 --radius 2 --residues 12-13,15"
    done = deepseq(f"{line} --device cpu --out w.csv --json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["r_hat"] > 0
    table = pd.read_csv(language / "w.csv")
    assert list(table.columns) == ["chain", "step", "sequence", "score", "distance"]
    assert len(table) == 4 * 31 and table.distance.max() <= 2
    assert all(t[0] == "M" and t[3] == "L" and t[5:] == "AGIVGLEDR" for t in table.sequence)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("score tiny --all-singles --out x.csv", "--sequence"),
        ("score nowhere --all-singles --sequence protein.fasta --out x.csv", "nowhere"),
        ("score tiny --size 64 --all-singles --sequence protein.fasta --out x.csv", "--size"),
        ("sample tiny --sequence protein.fasta --residues 2 --out x.csv", "--residues"),
        ("evotune family.a2m --model tiny --held-out 0.9 --out x", "--held-out"),
        ("evotune family.a2m --model tiny --trials 2 --learning-rate 1 --out x", "--trials"),
        ("reps nothing.fasta --model tiny --out x.npz", "nothing.fasta"),
        ("reps protein.fasta --model tiny --out x.npz --resume", "--resume"),
    ],
)
def test_a_mistake_is_one_line(language, deepseq, line, said):
    done = deepseq(f"unirep {line}")
    assert done.code == 2 and done.err.count("\n") == 1
    assert done.err.startswith("deepseq unirep: ") and said in done.err
    assert not (language / "x.csv").exists()


@pytest.mark.parametrize("words", ["", "nonsense", "sample tiny --residues a-b --out x"])
def test_what_cannot_be_parsed_is_refused(language, deepseq, words):
    done = deepseq(f"unirep {words}")
    assert done.code == 2 and done.err.startswith("deepseq unirep")


def test_a_result_is_not_overwritten_by_accident(language, deepseq):
    (language / "there.csv").write_text("mine")
    line = "unirep score tiny --sequence protein.fasta --all-singles --out there.csv"
    done = deepseq(line)
    assert done.code == 2 and "--overwrite" in done.err
    assert (language / "there.csv").read_text() == "mine"
