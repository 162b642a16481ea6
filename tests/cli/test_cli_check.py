"""`deepseq check`: the block, the table, the structure, JSON and the exit code."""

import json

import pytest

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.structure_files import _tables
from deepseq_nb.model.training import TrainConfig

CHECK = "check family.a2m --device cpu"
KEYS = ["alignment", "focus", "depth", "quality", "notes", "run", "variants", "structure"]


@pytest.fixture
def structure(work):
    """The focus of the family as a PDB file, numbered from 11, with one residue missing."""
    focus = Alignment.read(work / "family.a2m").focus_map.full_sequence
    usual = "ALA CYS ASP GLU PHE GLY HIS ILE LYS LEU MET ASN PRO GLN ARG SER THR VAL TRP TYR"
    three = {x: name for name, x in _tables()[0].items() if name in usual.split()}
    lines = [
        f"ATOM  {i:5}  CA  {three[x]} A{i:4}       1.000   2.000   3.000  1.00 20.00           C"
        for i, x in enumerate(focus, 11)
        if i != 15
    ]
    (work / "focus.pdb").write_text("\n".join(lines) + "\n")


def test_the_block_comes_in_order_and_ends_with_the_next_command(deepseq, work):
    code, out, _ = deepseq(CHECK)
    assert code == 0
    lines = out.splitlines()
    begins = ["family.a2m:", "kept ", "focus TINY/11-24", "numbering:", "no score: 2 residues"]
    begins += ["effective sequences:", "expected quality:", "device:"]
    begins += ["expected time:", "nothing was written; next: deepseq train family.a2m --out run"]
    places = [next(i for i, line in enumerate(lines) if line.startswith(b)) for b in begins]
    assert places == sorted(places)
    assert "13-14" in out and not (work / "run2").exists()


def test_train_prints_the_same_block(deepseq):
    checked = deepseq(CHECK).out.splitlines()
    trained = deepseq(
        "train family.a2m --device cpu --config small.json --steps 2 --out after_check"
    ).out.splitlines()
    depth = next(i for i, line in enumerate(checked) if line.startswith("expected quality:")) + 1
    assert trained[:depth] == checked[:depth]


def test_reading_options_are_repeated_in_the_next_command(deepseq):
    out = deepseq(f"{CHECK} --columns all --theta 0.3").out
    assert "no score" not in out
    assert "deepseq train family.a2m --theta 0.3 --columns all --out run" in out


def test_json_is_strict_and_has_the_documented_keys(deepseq):
    code, out, err = deepseq(f"{CHECK} --json")
    told = json.loads(out, parse_constant=pytest.fail)
    assert code == 0 and list(told) == KEYS and "focus TINY/11-24" in err
    assert told["run"]["updates"] == TrainConfig().limit and told["run"]["seconds_per_update"] > 0
    assert told["variants"] is None and told["structure"] is None


def test_a_table_is_placed(deepseq, work):
    (work / "some.csv").write_text("mutant\nM11A\nV13A\nnonsense\n")
    code, out, _ = deepseq(f"{CHECK} --variants some.csv")
    assert code == 0 and "3 rows: 1 will be scored, 2 will not" in out
    told = json.loads(deepseq(f"{CHECK} --variants some.csv --json").out)
    assert told["variants"]["scored"] == 1 and told["variants"]["column"] == "mutant"


def test_a_shift_where_nothing_gave_the_numbers_names_first_residue(deepseq, work):
    text = (work / "family.a2m").read_text().replace("TINY/11-24", "TINY")
    (work / "nameless.a2m").write_text(text)
    rows = [f"{x}{i}W" for i, x in enumerate("MKVLAAGIVGLEDR", 11)]
    (work / "own.csv").write_text("\n".join(["mutant", *rows]) + "\n")
    out = deepseq("check nameless.a2m --device cpu --variants own.csv").out
    assert "note: all 14 wild-type letters agree" in out and "--first-residue mends it" in out


def test_a_structure_is_compared(deepseq, structure):
    pytest.importorskip("Bio")
    code, out, _ = deepseq(f"{CHECK} --structure focus.pdb")
    assert code == 0 and "numbering: the same as that of the focus" in out
    told = json.loads(deepseq(f"{CHECK} --structure focus.pdb --json").out)
    assert told["structure"]["chains"][0]["missing"] == [[15, 15]]


BAD = [
    ("check gone.a2m", "gone.a2m"),
    ("check assay.csv", "assay.csv"),
    (f"{CHECK} --variants gone.csv", "gone.csv"),
    (f"{CHECK} --structure gone.pdb", "gone.pdb"),
    (f"{CHECK} --structure assay.csv", "is no structure"),
    (f"{CHECK} --structure family.a2m", "found sequences (FASTA), expected PDB or mmCIF"),
    (f"{CHECK} --theta 0.8", "did you mean 0.2"),
    ("check family.a2m --device tpu", "device is 'tpu'"),
    (f"{CHECK} --focus HUMAN", "HUMAN"),
]


def test_a_structure_in_the_alignments_place_is_called_one(deepseq, structure):
    code, _, err = deepseq("check focus.pdb --device cpu")
    assert code == 2 and "it begins like a structure (PDB or mmCIF)" in err


@pytest.mark.parametrize(("line", "text"), BAD, ids=lambda x: x)
def test_what_would_not_train_is_one_line_and_exit_code_2(deepseq, line, text):
    pytest.importorskip("Bio")
    code, _, err = deepseq(line)
    assert code == 2 and err.startswith("deepseq check: ") and text in err
    assert err.count("\n") == 1 and "Traceback" not in err
