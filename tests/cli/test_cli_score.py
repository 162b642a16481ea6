"""`deepseq score`: tables, means over runs, and what cannot be scored."""

import json

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.files import held
from deepseq_nb.scores.scoring import score

SAME = "--samples 3 --device cpu"


def test_scores_are_reproduced_by_the_same_seed(deepseq, work):
    deepseq(f"score run --all-singles {SAME} --out b.csv")
    assert (work / "b.csv").read_bytes() == (work / "scores.csv").read_bytes()


def test_score_runs_on_an_engine(deepseq, work):
    assert deepseq(f"score run --all-singles {SAME} --out numpy.csv --engine numpy").code == 0
    plain = score(work / "run", samples=3, estimator="plain", device="cpu")
    assert np.allclose(pd.read_csv(work / "numpy.csv").score, plain.score, atol=1e-4)


def test_score_keeps_every_row_of_the_file_and_sums_up(deepseq, work):
    (work / "mine.csv").write_text("mutant,x\nA15W,1\nA99W,2\nG15W,3\n")
    code, out, _ = deepseq("score run --variants mine.csv --out mine_scores.csv --device cpu")
    table = pd.read_csv(work / "mine_scores.csv")
    assert code == 0 and "1 scored, 2 rejected" in out
    assert table.variant.tolist() == ["A15W", "A99W", "G15W"]
    assert table.score.notna().tolist() == [True, False, False]


def test_shifted_positions_are_reported_and_offset_repairs_them(deepseq, work):
    singles = pd.read_csv(work / "scores.csv").variant
    shifted = [f"{v[0]}{int(v[1:-1]) - 1}{v[-1]}" for v in singles if int(v[1:-1]) > 15]
    (work / "shifted.csv").write_text("mutant\n" + "\n".join(shifted) + "\n")
    line = "score run --variants shifted.csv --device cpu"
    code, out, _ = deepseq(f"{line} --out s0.csv")
    assert code == 0 and "pass --offset 1" in out
    code, out, _ = deepseq(f"{line} --offset 1 --out s1.csv")
    table = pd.read_csv(work / "s1.csv").set_index("variant")
    assert f"{len(shifted)} scored" in out
    direct = score(work / "run", "A16W", device="cpu").score[0]
    assert table.score["A15W"] == pytest.approx(direct)


def test_proteingym_format_spells_the_whole_sequence(deepseq, work):
    (work / "one.csv").write_text("mutant\nA15W\n")
    line = "score run --variants one.csv --format proteingym --device cpu --out pg.csv"
    _, out, _ = deepseq(line)
    row = pd.read_csv(work / "pg.csv").iloc[0]
    assert list(row.index) == ["mutant", "mutated_sequence", "DeepSequence_score"]
    assert row.mutated_sequence == "MKVLWAGIVGLEDR"
    assert "deepseq plot" not in out  # which reads tables of `score` only


def test_mavedb_format_has_scored_rows_only_and_says_so(deepseq, work):
    (work / "mave.csv").write_text("mutant\nA15W\nA99W\nA15A\n")
    line = "score run --variants mave.csv --format mavedb --device cpu --out mavedb.csv"
    _, out, _ = deepseq(line)
    table = pd.read_csv(work / "mavedb.csv")
    assert table.hgvs_pro.tolist() == ["p.Ala15Trp", "p.Ala15="] and table.score[1] == 0
    assert "1 rows have no score" in out and "deepseq evaluate" not in out


def test_hgvs_format_counts_along_the_protein(deepseq, work):
    (work / "shift.csv").write_text("mutant\nA5W\n")
    line = "score run --variants shift.csv --offset 10 --format hgvs --device cpu --out hgvs.csv"
    assert deepseq(line).code == 0
    row = pd.read_csv(work / "hgvs.csv").iloc[0]
    assert (row.variant, row.hgvs) == ("A5W", "p.Ala15Trp")


def test_background_is_switched_on_the_command_line_and_said(deepseq, work):
    line = f"score run --all-singles {SAME}"
    _, out, _ = deepseq(f"{line} --background proteome --out half.csv")
    assert "delta_elbo" in out
    _, unsaid_out, _ = deepseq(f"{line} --out unsaid.csv")
    assert "delta_elbo" in unsaid_out
    assert (work / "unsaid.csv").read_text() == (work / "half.csv").read_text()
    _, plain_out, _ = deepseq(f"{line} --background none --out plain.csv")
    half, plain = pd.read_csv(work / "half.csv"), pd.read_csv(work / "plain.csv")
    assert plain.delta_elbo.equals(plain.score) and "delta_elbo" not in plain_out
    assert np.allclose(half.delta_elbo, plain.score) and not np.allclose(half.score, plain.score)
    assert np.allclose(half.std_error, plain.std_error, equal_nan=True)


@pytest.mark.parametrize("form", ["proteingym", "hgvs", "mavedb"])
def test_every_format_is_written_with_the_background_out(deepseq, work, form):
    line = f"score run --all-singles {SAME} --background proteome --format {form}"
    assert deepseq(f"{line} --out background_{form}.csv").code == 0


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (("W11A", "hello"), "alignment has M at 11"),
        (("hello", "W11A"), "hello"),
        ((), "no rows"),
    ],
)
def test_nothing_to_score_is_exit_code_2_with_the_first_reason(deepseq, work, rows, reason):
    (work / "none.csv").write_text("mutant,x\n" + "".join(f"{row},1\n" for row in rows))
    code, out, err = deepseq("score run --variants none.csv --out none_scores.csv --device cpu")
    assert code == 2 and err.count("\n") == 1 and reason in err, err
    assert "next:" not in out and not (work / "none_scores.csv").exists()


def test_too_few_samples_for_a_standard_error_are_said_and_null_in_json(deepseq, work):
    code, out, err = deepseq(
        "score run --all-singles --samples 2 --device cpu --out two.csv --json"
    )
    found = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    missing = pd.read_csv(work / "two.csv").std_error.isna().all()
    assert code == 0 and (found["median_std_error"] is None) == missing
    assert ("no standard errors" in err) == missing and "nan" not in (err + out).lower()


def test_the_wild_type_alone_has_an_error_and_makes_no_run_exact(deepseq, work):
    (work / "wild.csv").write_text("mutant\nwt\nM11A\n")
    code, out, err = deepseq(
        "score run --variants wild.csv --samples 2 --device cpu --out wild_scores.csv --json"
    )
    assert code == 0 and json.loads(out)["median_std_error"] is None
    assert "no standard errors" in err and "exact" not in err


def test_several_runs_are_scored_as_their_mean(deepseq, work, several):
    _, out, _ = deepseq(f"score several/seed1 several/seed2 --all-singles {SAME} --out both.csv")
    both = pd.read_csv(work / "both.csv")
    parts = [
        score(several / f"seed{seed}", samples=3, seed=seed, device="cpu").score for seed in (1, 2)
    ]
    assert np.allclose(both.score, sum(parts) / 2)
    spread = (parts[0] - parts[1]).abs() / 2**0.5  # the standard deviation of two numbers
    assert np.allclose(both.spread, spread)
    assert f"median standard deviation {spread.median():.2g} nats" in out


def test_a_folder_stands_for_the_runs_that_it_holds(deepseq, work, several):
    deepseq(f"score several/seed1 several/seed2 --all-singles {SAME} --out named.csv")
    deepseq(f"score several --all-singles {SAME} --out folder.csv")
    named, folder = pd.read_csv(work / "named.csv"), pd.read_csv(work / "folder.csv")
    assert np.allclose(named.score, folder.score[: len(named)])


def test_runs_of_another_sequence_are_refused(deepseq, work):
    text = (work / "family.a2m").read_text().replace("/11-24", "/11-23").splitlines()
    (work / "short.a2m").write_text("\n".join(t if t[0] == ">" else t[:-1] for t in text) + "\n")
    deepseq("train short.a2m --out short --steps 5 --config small.json --device cpu")
    code, _, err = deepseq("score run short --all-singles --device cpu --out no.csv")
    assert code == 2 and "one sequence" in err and not (work / "no.csv").exists()


def test_a_file_that_is_being_written_is_refused_and_left_alone(deepseq, work):
    with held(work / ".held.csv.lock", "held.csv"):
        code, _, err = deepseq(f"score run --all-singles {SAME} --out held.csv")
    assert code == 2 and "held.csv is being written by another process" in err
    assert not (work / "held.csv").exists()
    assert deepseq(f"score run --all-singles {SAME} --out held.csv").code == 0
    assert not (work / ".held.csv.lock").exists()
