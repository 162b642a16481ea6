"""The attacks of `benchmarks/faults.py`: their judgement sees each kind of fault, and a small share of them finds none."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepseq_nb.family.alignment import Alignment

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

# ruff: noqa: E402
from attacks import folders, frame, inputs
from attacks.rows import ROWS


@pytest.mark.parametrize(
    ("code", "err", "word"),
    [
        (None, "", "hang"),
        (1, "Traceback (most recent call last):\n  ...\nKeyError: 'a'\n", "traceback"),
        (0, "Traceback (most recent call last):\n", "traceback"),
        (1, "", "exit code 1"),
        (-9, "", "exit code -9"),
        (2, "", "exit 2 with 0 lines"),
        (2, "deepseq score: a\ndeepseq score: b\n", "exit 2 with 2 lines"),
    ],
)
def test_what_ends_badly_is_a_fault(code, err, word):
    assert frame.fault_of(frame.Outcome(code, "", err, 1.0)).startswith(word)


@pytest.mark.parametrize(
    ("code", "err"),
    [(0, ""), (0, "note: careful\n"), (2, "note: a\ndeepseq score: b\n"), (130, "")],
)
def test_what_ends_well_is_none(code, err):
    assert frame.fault_of(frame.Outcome(code, "said", err, 1.0)) is None


def test_a_sequence_that_is_not_in_the_file_is_seen(tmp_path):
    path = frame.write_family(tmp_path / "f.a2m", 1, rows=6)
    found, text = Alignment.read(path), path.read_bytes()
    assert inputs._invariants(found) is None and inputs._from_file(found, text) is None
    foreign = frame.write_family(tmp_path / "g.a2m", 2, rows=6).read_bytes()
    assert "not in the file" in inputs._from_file(found, foreign)


def test_a_refusal_is_a_sentence_and_other_exceptions_are_foreign(tmp_path):
    assert inputs.tried(lambda: Alignment.read(tmp_path / "none.a2m")) == (None, None)
    assert inputs.tried(lambda: {}["a"])[1].startswith("foreign: KeyError")
    assert inputs.tried(lambda: 3) == (3, None)


def test_every_field_of_a_json_is_attacked():
    data = {"a": 1, "b": {"c": [5, 6, 7, 8]}}
    places = [".".join(map(str, place)) for place in folders._fields(data)]
    assert places == ["a", "b", "b.c", "b.c.0", "b.c.2", "b.c.3"]
    folders._set(data, ("b", "c", 3), 10**400)
    text = folders._as_json(data)
    assert "1" + "0" * 400 in text and text.startswith('{"a": 1, "b": {"c": [5, 6, 7, ')


def test_a_case_has_a_seed_of_its_own():
    seen = []

    def case(bench, number, rng, folder):
        seen.append((number, int(rng.integers(10**9)), list(folder.iterdir())))
        return "tried", None

    row = frame.Row("row", "what", 9, case)

    def run(tmp, numbers, seed):
        seen.clear()
        list(frame.cases(row, frame.Bench(tmp), numbers, seed))
        return list(seen)

    import tempfile

    with tempfile.TemporaryDirectory() as tmp:
        whole = run(Path(tmp), range(4), 1)
        assert run(Path(tmp), [2], 1) == [whole[2]] and run(Path(tmp), [2], 2) != [whole[2]]
        assert len({value for _, value, _ in whole}) == 4


def test_mutations_change_and_harmless_ones_mean_the_same():
    rng, data = np.random.default_rng(1), b">a/1-3\nACD\n>b\nACE\n"
    assert sum(inputs.mutated(data, rng)[1] != data for _ in range(50)) > 40
    for _ in range(20):
        assert inputs.harmless(data, rng)[1] != data


def test_the_rows_have_names_of_their_own():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names) and all(row.full > 0 for row in ROWS)


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        ("alignments,pickles,cells", 0.02),
        ("failing-write,read-only,overwrite,disk-full", 0.03),
        ("streams,unicode,rates", 0.03),
        ("swapped,kill-train,disk-full-over,registry", 0.02),
    ],
)
def test_a_share_of_the_attacks_finds_no_fault(rows, share, tmp_path):
    words = ["faults.py", "--rows", rows, "--n", str(share), "--seed", "7"]
    done = subprocess.run(
        [sys.executable, *words], cwd=BENCHMARKS, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(BENCHMARKS.parent), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count(" tried ") >= len(rows.split(","))
