"""The command `deepseq`: what it prints, what it writes, and the one line each mistake gets."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from tiny_family import write_family

from deepseq_nb.cli.main import COMMANDS, main
from deepseq_nb.scores.scoring import score


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a family, a trained run, scores and an assay."""
    folder = tmp_path_factory.mktemp("work")
    write_family(folder / "family.a2m")
    (folder / "small.json").write_text(
        json.dumps({"model": {"encoder": [16], "latent": 3, "decoder": [8, 12], "conv": 5}})
    )
    assert (
        main(
            [
                "train",
                f"{folder}/family.a2m",
                "--out",
                f"{folder}/run",
                "--config",
                f"{folder}/small.json",
                "--steps",
                "30",
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    assert (
        main(
            [
                "score",
                f"{folder}/run",
                "--all-singles",
                "--out",
                f"{folder}/scores.csv",
                "--samples",
                "3",
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    scores = pd.read_csv(folder / "scores.csv")
    noise = np.random.default_rng(1).normal(size=len(scores))
    pd.DataFrame({"mutant": scores.variant, "activity": scores.score + noise}).to_csv(
        folder / "assay.csv", index=False
    )
    return folder


def run(capsys, *words) -> tuple[int, str, str]:
    capsys.readouterr()
    try:
        code = main([str(w) for w in words])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def test_train_says_what_it_understood_and_what_to_do_next(work, capsys):
    code, out, _ = run(
        capsys,
        "train",
        work / "family.a2m",
        "--out",
        work / "again",
        "--config",
        work / "small.json",
        "--steps",
        5,
        "--device",
        "cpu",
    )
    assert code == 0
    for text in (
        "80",
        "12",
        "Neff",
        "per column",
        "device: cpu",
        "expected time",
        "next: deepseq score",
    ):
        assert text in out


@pytest.mark.parametrize(
    ("rows", "words", "expected"),
    [(12, (), True), (12, ("--shallow", "off"), False), (80, (), False)],
)
def test_a_shallow_family_gets_its_settings_and_is_told(tmp_path, capsys, rows, words, expected):
    write_family(tmp_path / "family.a2m", n=rows)
    code, out, _ = run(
        capsys,
        "train",
        tmp_path / "family.a2m",
        "--out",
        tmp_path / "run",
        "--preset",
        "quick",
        "--steps",
        2,
        *words,
    )
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert code == 0 and stored["model"]["site_prior"] is expected
    assert (stored["train"]["width_rate"] > 1) is expected
    assert ("shallow family: prior" in out) is expected


def test_scores_are_reproduced_by_the_same_seed(work, capsys):
    run(
        capsys,
        "score",
        work / "run",
        "--all-singles",
        "--samples",
        3,
        "--device",
        "cpu",
        "--out",
        work / "b.csv",
    )
    assert (work / "b.csv").read_bytes() == (work / "scores.csv").read_bytes()


def test_score_runs_on_an_engine(work, capsys):
    words = ["score", f"{work}/run", "--all-singles", "--samples", "3", "--device", "cpu"]
    assert main([*words, "--out", f"{work}/numpy.csv", "--engine", "numpy"]) == 0
    plain = score(work / "run", samples=3, estimator="plain", device="cpu")
    assert np.allclose(pd.read_csv(work / "numpy.csv").score, plain.score, atol=1e-4)


def test_score_keeps_every_row_of_the_file_and_sums_up(work, capsys):
    (work / "mine.csv").write_text("mutant,x\nA15W,1\nA99W,2\nG15W,3\n")
    code, out, _ = run(
        capsys,
        "score",
        work / "run",
        "--variants",
        work / "mine.csv",
        "--out",
        work / "mine_scores.csv",
        "--device",
        "cpu",
    )
    table = pd.read_csv(work / "mine_scores.csv")
    assert code == 0 and "1 scored, 2 rejected" in out
    assert table.variant.tolist() == ["A15W", "A99W", "G15W"] and table.score.notna().tolist() == [
        True,
        False,
        False,
    ]


def test_shifted_positions_are_reported_and_offset_repairs_them(work, capsys):
    singles = pd.read_csv(work / "scores.csv").variant
    shifted = [f"{v[0]}{int(v[1:-1]) - 1}{v[-1]}" for v in singles if int(v[1:-1]) > 15]
    (work / "shifted.csv").write_text("mutant\n" + "\n".join(shifted) + "\n")
    code, out, _ = run(
        capsys,
        "score",
        work / "run",
        "--variants",
        work / "shifted.csv",
        "--out",
        work / "s0.csv",
        "--device",
        "cpu",
    )
    assert code == 0 and "pass --offset 1" in out
    code, out, _ = run(
        capsys,
        "score",
        work / "run",
        "--variants",
        work / "shifted.csv",
        "--offset",
        1,
        "--out",
        work / "s1.csv",
        "--device",
        "cpu",
    )
    assert f"{len(shifted)} scored" in out


def test_proteingym_format_spells_the_whole_sequence(work, capsys):
    (work / "one.csv").write_text("mutant\nA15W\n")
    run(
        capsys,
        "score",
        work / "run",
        "--variants",
        work / "one.csv",
        "--format",
        "proteingym",
        "--out",
        work / "pg.csv",
        "--device",
        "cpu",
    )
    row = pd.read_csv(work / "pg.csv").iloc[0]
    assert list(row.index) == ["mutant", "mutated_sequence", "DeepSequence_score"]
    assert row.mutated_sequence == "MKVLWAGIVGLEDR"


def test_evaluate_prints_json_and_nothing_else_on_stdout(work, capsys):
    code, out, _ = run(
        capsys,
        "evaluate",
        work / "scores.csv",
        work / "assay.csv",
        "--column",
        "activity",
        "--json",
    )
    assert code == 0
    assert 0 < json.loads(out)["metrics"]["spearman"]["value"] <= 1


def test_evaluate_prints_an_interval(work, capsys):
    _, out, _ = run(
        capsys, "evaluate", work / "scores.csv", work / "assay.csv", "--column", "activity"
    )
    assert "Spearman" in out or "spearman" in out


def test_plot_writes_svg_png_and_the_matrix(work, capsys):
    code, _, _ = run(
        capsys,
        "plot",
        work / "run",
        "--scores",
        work / "scores.csv",
        "--assay",
        work / "assay.csv",
        "--column",
        "activity",
        "--out",
        work / "figures",
    )
    kinds = {p.suffix for p in (work / "figures").iterdir()}
    assert code == 0 and {".svg", ".png", ".csv"} <= kinds


def test_weights_can_be_made_once_and_used(work, capsys):
    code, out, _ = run(capsys, "weights", work / "family.a2m", "--out", work / "w.npy", "--json")
    assert code == 0 and json.loads(out)["sequences"] == 80
    code, _, err = run(
        capsys,
        "train",
        work / "family.a2m",
        "--weights",
        work / "w.npy",
        "--out",
        work / "weighted",
        "--config",
        work / "small.json",
        "--steps",
        2,
        "--device",
        "cpu",
    )
    assert code == 0, err
    code, _, err = run(
        capsys,
        "train",
        work / "family.a2m",
        "--weights",
        work / "w.npy",
        "--theta",
        0.3,
        "--out",
        work / "other",
        "--preset",
        "quick",
    )
    assert code == 2 and "theta" in err


def test_embed_and_sample(work, capsys):
    assert run(capsys, "embed", work / "run", "--out", work / "z.npy", "--device", "cpu")[0] == 0
    assert np.load(work / "z.npy").shape == (80, 3)
    assert (
        run(
            capsys, "sample", work / "run", "--n", 7, "--out", work / "new.fasta", "--device", "cpu"
        )[0]
        == 0
    )
    assert (work / "new.fasta").read_text().count(">") == 7


def test_resume_takes_the_runs_own_settings_and_makes_it_longer(work, capsys):
    run(
        capsys,
        "train",
        work / "family.a2m",
        "--out",
        work / "long",
        "--config",
        work / "small.json",
        "--steps",
        10,
        "--device",
        "cpu",
        "--seed",
        4,
    )
    code, out, err = run(
        capsys,
        "train",
        work / "family.a2m",
        "--out",
        work / "long",
        "--resume",
        "--steps",
        15,
        "--device",
        "cpu",
    )
    assert code == 0 and "5 of 15 to make" in out, err


def test_profile_step_says_where_the_time_goes_and_writes_nothing(work, capsys):
    out = work / "unwritten"
    small = ["--config", work / "small.json", "--device", "cpu", "--profile-step"]
    code, printed, err = run(capsys, "train", work / "family.a2m", "--out", out, *small)
    said = printed + err
    assert code == 0 and "draw the weights" in said and "nothing was written" in said
    assert not out.exists()


def test_data_list_knows_the_families(capsys):
    code, out, _ = run(capsys, "data", "list")
    assert code == 0 and "BLAT_ECOLX" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0 and out.startswith(f"usage: deepseq {command}")


def test_help_is_fast_because_nothing_heavy_is_imported():
    code = "import sys, deepseq_nb.cli; sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'numba', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


FILES = {
    "empty.a2m": b"",
    "text.a2m": b"Dear colleague, please find attached the alignment.\n",
    "image.a2m": bytes(range(256)) * 4,
    "table.csv": b"mutant,activity\nA15W,0.5\n",
    "page.html": b"<html><body>404</body></html>",
    "ragged.a2m": b">a/1-4\nACDE\n>b/1-4\nACD\n",
    "nameless.a2m": b">\nACDE\n>b\nACDE\n",
    "noseq.a2m": b">a/1-4\n>b/1-4\n",
    "lower.a2m": b">a/1-4\nacde\n>b\nacde\n",
    "range.a2m": b">a/1-9\nACDE\n>b/1-4\nACDE\n",
    "cut.a2m.gz": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01\x02",
    "stockholm.sto": b"# STOCKHOLM 1.0\na ACDE\nb AC\n//\n",
    "rna.fasta": b">a\nGUUCCGUUGG\n>b\nGUUCCGUUGA\n",
    "bad.json": b"{",
    "list.json": b"[1]",
    "unknown.json": b'{"model": {"latnet": 3}}',
    "wrong.json": b'{"model": {"latent": "three"}}',
    "tiles.json": b'{"model": {"decoder": [10, 30]}}',
    "nothing.csv": b"",
    "nocolumn.csv": b"gene,x\nA15W,1\n",
    "words.csv": b"mutant,activity\nA15W,red\nA15V,green\nA15Y,blue\n",
    "foreign.csv": b"mutant,activity\nW901A,1\nW902A,2\nW903A,3\n",
    "short.npy": b"",
}

BAD = [
    (["train", "missing.a2m"], "missing.a2m"),
    (["train", "."], "folder"),
    *[
        (["train", name], name)
        for name in (
            "empty.a2m",
            "text.a2m",
            "image.a2m",
            "table.csv",
            "page.html",
            "ragged.a2m",
            "noseq.a2m",
            "lower.a2m",
            "range.a2m",
            "cut.a2m.gz",
            "stockholm.sto",
        )
    ],
    (["train", "rna.fasta"], "--alphabet rna"),
    (["train", "family.a2m", "--focus", "HUMAN"], "HUMAN"),
    (["train", "family.a2m", "--theta", "0.8"], "did you mean 0.2"),
    (["train", "family.a2m", "--theta", "-1"], "theta"),
    (["train", "family.a2m", "--steps", "0"], "--steps"),
    (["train", "family.a2m", "--steps", "many"], "--steps"),
    (["train", "family.a2m", "--learning-rate", "nan"], "--learning-rate"),
    (["train", "family.a2m", "--device", "tpu"], "device"),
    (["train", "family.a2m", "--preset", "huge"], "--preset"),
    (["train", "family.a2m", "--columns", "some"], "columns"),
    (["train", "family.a2m", "--columns", "occupancy=7"], "occupancy"),
    (["train", "family.a2m", "--first-residue", "x"], "--first-residue"),
    (["train", "family.a2m", "--max-sequence-gaps", "2"], "max_sequence_gaps"),
    (["train", "family.a2m", "--config", "bad.json"], "bad.json is not JSON"),
    (["train", "family.a2m", "--config", "list.json"], "list.json"),
    (["train", "family.a2m", "--config", "unknown.json"], "latent"),
    (["train", "family.a2m", "--config", "wrong.json"], "latent"),
    (["train", "family.a2m", "--config", "tiles.json"], "patterns do not divide"),
    (["train", "family.a2m", "--config", "gone.json"], "gone.json"),
    (["train", "family.a2m", "--weights", "gone.npy"], "gone.npy"),
    (["train", "family.a2m", "--weights", "short.npy"], "short.npy"),
    (["score", "nowhere", "--all-singles"], "nowhere"),
    (["score", "run"], "--variants"),
    (["score", "run", "--variants", "gone.csv"], "gone.csv"),
    (["score", "run", "--variants", "nothing.csv"], "nothing.csv"),
    (["score", "run", "--variants", "nocolumn.csv"], "nocolumn.csv"),
    (["score", "run", "--variants", "words.csv", "--variant-column", "variants"], "variants"),
    (["score", "run", "--all-singles", "--samples", "0"], "--samples"),
    (["score", "run", "--all-singles", "--precision", "0"], "--precision"),
    (["evaluate", "scores.csv", "gone.csv", "--column", "activity"], "gone.csv"),
    (["evaluate", "gone.csv", "assay.csv", "--column", "activity"], "gone.csv"),
    (["evaluate", "scores.csv", "assay.csv", "--column", "2500"], "2500"),
    (["evaluate", "scores.csv", "words.csv", "--column", "activity"], "activity"),
    (["evaluate", "scores.csv", "foreign.csv", "--column", "activity"], "W901A"),
    (["evaluate", "assay.csv", "scores.csv", "--column", "score"], "score"),
    (["plot", "nowhere"], "nowhere"),
    (["embed", "nowhere"], "nowhere"),
    (["sample", "run", "--n", "-3"], "--n"),
    (["data", "fetch", "NO_SUCH_FAMILY"], "NO_SUCH_FAMILY"),
    (["data", "fetch"], "which family"),
    (["experiments", "gone.toml"], "gone.toml"),
    (["experiments", "bad.json"], "bad.json is not TOML"),
    (["experiments", "gone.toml", "--jobs", "0"], "--jobs"),
    (["book", "--profile", "slow"], "--profile"),
    (["fly"], "fly"),
]


@pytest.mark.parametrize(
    ("words", "text"), BAD, ids=lambda x: " ".join(x) if isinstance(x, list) else ""
)
def test_bad_input_is_one_clear_line_and_exit_code_2(work, capsys, monkeypatch, words, text):
    monkeypatch.chdir(work)
    for name, data in FILES.items():
        (work / name).write_bytes(data)
    if words[0] in ("train", "score", "embed", "sample"):
        words = [*words, "--out", "never"]
    if words[0] == "train" and "--config" not in words and "--preset" not in words:
        words = [*words, "--config", "small.json"]
    code, _, err = run(capsys, *words)
    assert code == 2
    assert err.startswith("deepseq") and err.count("\n") == 1 and text in err, err
    assert "Traceback" not in err and not (work / "never").exists()


# several runs ----------------------------------------------------------------------------------------------------


def test_several_runs_are_scored_as_their_mean(work, capsys):
    again = ["train", f"{work}/family.a2m", "--out", f"{work}/run2", "--steps", "30", "--seed", "2"]
    assert main([*again, "--config", f"{work}/small.json", "--device", "cpu"]) == 0
    ask = ["--all-singles", "--samples", "3", "--device", "cpu", "--out", f"{work}/both.csv"]
    assert main(["score", f"{work}/run", f"{work}/run2", *ask]) == 0
    both = pd.read_csv(work / "both.csv")
    parts = [
        score(work / name, samples=3, seed=seed, device="cpu").score
        for seed, name in ((1, "run"), (2, "run2"))
    ]
    assert np.allclose(both.score, sum(parts) / 2)
    assert np.allclose(both.std_error, (parts[0] - parts[1]).abs() / 2)


def test_runs_of_another_sequence_are_refused(work, capsys):
    text = (work / "family.a2m").read_text().replace("/11-24", "/11-23").splitlines()
    (work / "short.a2m").write_text("\n".join(t if t[0] == ">" else t[:-1] for t in text) + "\n")
    other = ["train", f"{work}/short.a2m", "--out", f"{work}/short", "--steps", "5"]
    assert main([*other, "--config", f"{work}/small.json", "--device", "cpu"]) == 0
    ask = ["--all-singles", "--device", "cpu", "--out", f"{work}/no.csv"]
    assert main(["score", f"{work}/run", f"{work}/short", *ask]) == 2
    assert "one sequence" in capsys.readouterr().err and not (work / "no.csv").exists()


def test_evaluate_against_other_scores_says_by_how_much(work, capsys):
    scores = pd.read_csv(work / "scores.csv")
    noise = np.random.default_rng(5).normal(size=len(scores)) * 3 * scores.score.std()
    scores.assign(score=scores.score + noise).to_csv(work / "blurred.csv", index=False)
    ask = ["evaluate", f"{work}/scores.csv", f"{work}/assay.csv", "--column", "activity", "--json"]
    assert main([*ask, "--against", f"{work}/blurred.csv"]) == 0
    found = json.loads(capsys.readouterr().out)["difference"]["spearman"]
    assert 0 < found["low"] < found["value"] < found["high"]
    assert main([*ask[:-1], "--against", f"{work}/gone.csv"]) == 2
    assert "gone.csv" in capsys.readouterr().err
