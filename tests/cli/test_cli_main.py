"""The command `deepseq` as a whole: help, exit codes, the one line each mistake gets, and streams that nobody reads."""

import io
import json
import math
import os
import subprocess
import sys
import warnings

import pytest
from tiny_family import write_family

import deepseq_nb
from deepseq_nb.cli import main as module
from deepseq_nb.cli.main import COMMANDS, main

HEAVY = ("torch", "pandas", "numba", "matplotlib", "scipy", "numpy")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, deepseq):
    code, out, _ = deepseq(f"{command} --help")
    assert code == 0 and out.startswith(f"usage: deepseq {command}")
    assert f"examples:\n  deepseq {command}" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_a_command_are_accepted_by_its_parser(command):
    import shlex

    for example in COMMANDS[command].examples:
        words = shlex.split(example)[1:]
        assert module._parser(words).parse_args(words).command == command


def test_deepseq_alone_lists_the_commands(deepseq):
    code, out, _ = deepseq("")
    assert code == 0 and all(f"\n    {command}" in out for command in COMMANDS)


@pytest.mark.parametrize("word", ["--version", "-V", "version"])
def test_the_version_is_told(deepseq, word):
    assert deepseq(word).out == f"deepseq {deepseq_nb.__version__}\n"


def test_the_package_can_be_run_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "deepseq_nb", "-V"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout == f"deepseq {deepseq_nb.__version__}\n"


def test_help_is_fast_because_nothing_heavy_is_imported():
    code = f"""
import sys
from deepseq_nb.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
sys.exit(",".join(name for name in {HEAVY} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "usage: deepseq" in done.stdout and done.stderr.strip() == ""


# mistakes


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
    "narrow.json": b'{"model": {"weight_sigma": 1e-300}}',
    "deep.json": 100_000 * b"[",
    "tiles.json": b'{"model": {"decoder": [10, 30]}}',
    "nothing.csv": b"",
    "nocolumn.csv": b"gene,x\nTP53,1\n",
    "words.csv": b"mutant,activity\nA15W,red\nA15V,green\nA15Y,blue\n",
    "foreign.csv": b"mutant,activity\nW901A,1\nW902A,2\nW903A,3\n",
    "short.npy": b"",
}

BAD = [
    (["check", "missing.a2m"], "missing.a2m"),
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
    (["train", "family.a2m", "--device", "tpu"], "device is 'tpu'"),
    (["train", "family.a2m", "--preset", "huge"], "--preset"),
    (["train", "family.a2m", "--columns", "some"], "train: --columns: found 'some'"),
    (["train", "family.a2m", "--columns", "occupancy=7"], "occupancy"),
    (["train", "family.a2m", "--first-residue", "x"], "--first-residue"),
    (["train", "family.a2m", "--max-sequence-gaps", "2"], "--max-sequence-gaps: found 2"),
    (["train", "family.a2m", "--config", "bad.json"], "bad.json is not JSON"),
    (["train", "family.a2m", "--config", "list.json"], "list.json"),
    (["train", "family.a2m", "--config", "unknown.json"], "did you mean 'latent'"),
    (["train", "family.a2m", "--config", "wrong.json"], "latent is 'three'"),
    (["train", "family.a2m", "--config", "tiles.json"], "patterns do not divide"),
    (["train", "family.a2m", "--config", "gone.json"], "gone.json"),
    (["train", "family.a2m", "--weights", "gone.npy"], "gone.npy"),
    (["train", "family.a2m", "--weights", "short.npy"], "short.npy"),
    (["score", "nowhere", "--all-singles"], "nowhere"),
    (["score", "run"], "--variants --all-singles is required"),
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
    (["evaluate", "assay.csv", "scores.csv", "--column", "score"], "no column 'score'"),
    (["plot", "nowhere"], "nowhere"),
    (["embed", "nowhere"], "nowhere"),
    (["sample", "run", "--n", "-3"], "--n"),
    (["data", "fetch", "NO_SUCH_FAMILY"], "NO_SUCH_FAMILY"),
    (["data", "fetch"], "which family"),
    (["experiments", "gone.toml"], "gone.toml"),
    (["experiments", "bad.json"], "bad.json is not TOML"),
    (["experiments", "gone.toml", "--jobs", "0"], "--jobs"),
    (["book", "--profile", "slow"], "--profile"),
    (["train", "family.a2m", "--out", ""], "--out"),
    (["train", "family.a2m", "--seed", "-1"], "--seed"),
    (["train", "family.a2m", "--steps", "99999999999999999999"], "--steps"),
    (["train", "family.a2m", "--batch-size", "99999999999"], "--batch-size"),
    (["score", "run", "--all-singles", "--seed", "-1"], "--seed"),
    (["score", "run", "--all-singles", "--seed", "99999999999999999999999"], "--seed"),
    (["score", "run", "--all-singles", "--offset", "1" + 30 * "0"], "--offset"),
    (["score", "run", "--all-singles", "--out", ""], "--out"),
    (["sample", "run", "--n", "1000000000000"], "--n"),
    (["sample", "run", "--n", "100000000"], "--n is 100000000: expected"),
    (["score", "run", "--all-singles", "--samples", "1000000000000000"], "--samples"),
    (
        ["score", "run", "--all-singles", "--samples", "100000000"],
        "--samples: '100000000' is not a whole number from 1 to 1,000,000",
    ),
    (["train", "family.a2m", "--config", "narrow.json"], "weight_sigma is 1e-300"),
    (["train", "family.a2m", "--config", "deep.json"], "deep.json is not JSON"),
    (["fly"], "fly"),
]


@pytest.mark.parametrize(
    ("words", "text"), BAD, ids=lambda x: " ".join(x) if isinstance(x, list) else ""
)
def test_bad_input_is_one_clear_line_and_exit_code_2(work, capsys, monkeypatch, words, text):
    monkeypatch.chdir(work)
    for name, data in FILES.items():
        (work / name).write_bytes(data)
    if words[0] in ("train", "score", "embed", "sample") and "--out" not in words:
        words = [*words, "--out", "never"]
    if words[0] == "train" and "--config" not in words and "--preset" not in words:
        words = [*words, "--config", "small.json"]
    capsys.readouterr()
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith("deepseq") and err.count("\n") == 1 and text in err, err
    assert "Traceback" not in err and not (work / "never").exists()


def replaced(monkeypatch, work):
    """The work of `weights` replaced: a command that does nothing but what a test asks for."""
    monkeypatch.setitem(COMMANDS, "weights", COMMANDS["weights"]._replace(work=work))
    return ["weights", "family.a2m", "--out", "w.npy"]


def raising(error):
    def work(args, say):
        raise error

    return work


def test_an_error_that_is_ours_keeps_its_traceback(monkeypatch):
    words = replaced(monkeypatch, raising(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        main(words)


@pytest.mark.parametrize(
    ("setting", "text", "told"),
    [
        ("columns", "did you mean columns='all'?", "did you mean --columns all?"),
        ("theta", "theta is 7: too large", "--theta is 7: too large"),
        ("first_residue", "x.a2m: no number", "--first-residue: x.a2m: no number"),
        ("latent", "latent is 7", "latent is 7"),  # no option of `weights`
        (None, "columns='all'", "columns='all'"),
    ],
)
def test_an_argument_named_by_an_error_is_shown_as_the_option(
    monkeypatch, capsys, setting, text, told
):
    error = deepseq_nb.AlignmentError(text, setting=setting)
    assert main(replaced(monkeypatch, raising(error))) == 2
    assert capsys.readouterr().err == f"deepseq weights: {told}\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), "deepseq weights: interrupted\n"),
        (KeyboardInterrupt("saved in run"), "deepseq weights: saved in run\n"),
    ],
)
def test_an_interruption_says_so_and_is_exit_code_130(monkeypatch, capsys, error, told):
    assert main(replaced(monkeypatch, raising(error))) == 130
    assert capsys.readouterr().err == told


def test_a_warning_is_a_note_without_a_place_in_the_code(monkeypatch, capsys):
    def work(args, say):
        warnings.warn("the precision\nwas not reached", stacklevel=1)

    assert main(replaced(monkeypatch, work)) == 0
    assert capsys.readouterr().err == "note: the precision was not reached\n"


def test_json_has_no_number_that_is_none(monkeypatch, capsys):
    found = {"a": math.nan, "b": [math.inf, {"c": (1.5, -math.inf)}], "d": "NaN"}
    assert main([*replaced(monkeypatch, lambda args, say: found), "--json"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told == {"a": None, "b": [None, {"c": [1.5, None]}], "d": "NaN"}


# streams that nobody reads


@pytest.fixture
def closed_pipe():
    """The end of a pipe whose other end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        yield stream
        module._let_go(stream)


SCORE = ("score", "run", "--all-singles", "--samples", "2", "--device", "cpu", "--out")


@pytest.mark.parametrize("json_too", [False, True])
def test_a_closed_pipe_does_not_keep_scores_from_being_written(work, json_too):
    """`deepseq score ... | true` with the interpreter's own end, which flushes once more."""
    reading, writing = os.pipe()
    os.close(reading)
    out = f"unread{json_too}.csv"
    words = [sys.executable, "-m", "deepseq_nb", *SCORE, out, *(["--json"] if json_too else [])]
    done = subprocess.run(words, cwd=work, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 0 and "Traceback" not in done.stderr and "Broken" not in done.stderr
    assert (work / out).read_text().count("\n") > 12


def test_a_closed_pipe_does_not_keep_a_model_from_being_trained(work, monkeypatch, closed_pipe):
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "stdout", closed_pipe)
    line = ["train", "family.a2m", "--out", "unheard", "--config", "small.json", "--steps", "3"]
    assert main([*line, "--device", "cpu"]) == 0
    assert (work / "unheard/model.safetensors").is_file()


def test_a_closed_standard_error_does_not_keep_a_mistake_from_its_exit_code(
    monkeypatch, closed_pipe
):
    monkeypatch.setattr(sys, "stderr", closed_pipe)
    assert main(["weights", "nowhere.a2m", "--out", "w.npy"]) == 2


@pytest.mark.skipif(os.name != "posix", reason="descriptors are closed by a POSIX shell")
def test_scores_are_written_without_a_standard_error(work):
    line = f"{sys.executable} -m deepseq_nb {' '.join(SCORE)} deaf.csv >&- 2>&- <&-"
    assert subprocess.run(["sh", "-c", line], cwd=work).returncode == 0
    assert (work / "deaf.csv").is_file()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_result_that_cannot_be_printed_is_exit_code_2(work, monkeypatch, capsys):
    monkeypatch.chdir(work)
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = main([*SCORE, "full.csv", "--json"])
        module._let_go(full)
    assert code == 2 and "could not be printed" in capsys.readouterr().err
    assert (work / "full.csv").is_file()


@pytest.mark.parametrize(
    "line", ["", "--help", "train --help", "-V", "version", "fly", "weights x"]
)
@pytest.mark.parametrize("streams", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_help_and_complaints_into_a_closed_pipe_keep_their_exit_code(tmp_path, line, streams):
    """With the interpreter's own end: a stream is flushed once more when all is over."""
    words = [sys.executable, "-m", "deepseq_nb", *line.split()]
    plain = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    reading, writing = os.pipe()
    os.close(reading)
    heard = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | dict.fromkeys(streams, writing)
    done = subprocess.run(words, cwd=tmp_path, text=True, **heard)
    os.close(writing)
    assert done.returncode == plain.returncode
    assert "Traceback" not in (done.stderr or "") and "Broken" not in (done.stderr or "")


def test_a_model_is_trained_when_nobody_hears_what_is_printed_or_complained(work):
    """`deepseq train ... 2>&1 | true`."""
    reading, writing = os.pipe()
    os.close(reading)
    line = "train family.a2m --out deaf --config small.json --steps 3 --device cpu"
    words = [sys.executable, "-m", "deepseq_nb", *line.split()]
    done = subprocess.run(words, cwd=work, stdout=writing, stderr=writing)
    os.close(writing)
    assert done.returncode == 0 and (work / "deaf/model.safetensors").is_file()


def test_a_check_ends_well_when_nobody_reads_it(work, monkeypatch, closed_pipe):
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "stdout", closed_pipe)
    assert main(["check", "family.a2m", "--device", "cpu"]) == 0


@pytest.mark.skipif(os.name != "posix", reason="the locale C is POSIX")
def test_names_beyond_ascii_are_no_trouble_in_the_locale_c(work):
    text = (work / "family.a2m").read_text().replace("TINY", "Süße")
    (work / "Süße.a2m").write_text(text, encoding="utf-8")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    line = "train Süße.a2m --out rün --config small.json --steps 3 --device cpu"
    words = [sys.executable, "-m", "deepseq_nb", *line.split()]
    env = {**os.environ, **ascii_only}
    done = subprocess.run(words, cwd=work, env=env, capture_output=True)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    assert b"focus S\\xfc\\xdfe/11-24" in done.stdout
    assert (work / "rün/model.safetensors").is_file()


def test_a_name_that_the_terminal_cannot_show_is_escaped(tmp_path, monkeypatch):
    path = write_family(tmp_path / "family.a2m")
    path.write_text(path.read_text().replace("TINY", "Süße"), encoding="utf-8")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main(["weights", str(path), "--out", str(tmp_path / "w.npy")]) == 0
    assert b"S\\xfc\\xdfe" in raw.getvalue()


def test_what_a_terminal_would_obey_is_escaped_and_a_long_name_is_cut(monkeypatch, capsys):
    def work(args, say):
        say("focus \x1b[2J\x07")
        raise deepseq_nb.AlignmentError(f"no sequence is named {'z' * 1_000_000}: \x9b31m")

    assert main(replaced(monkeypatch, work)) == 2
    out, err = capsys.readouterr()
    assert out == "focus \\x1b[2J\\x07\n"
    assert err.endswith("z... (1,000,001 letters) \\x9b31m\n") and len(err) < 200


def test_a_parsers_complaint_about_a_long_word_is_cut(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["score", "run", "--all-singles", "--samples", "\x1b" + "9" * 1_000_000])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and len(err) < 300 and "\x1b" not in err


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_runs_out_is_one_line_and_exit_code_2(monkeypatch, capsys, error):
    assert main(replaced(monkeypatch, raising(error))) == 2
    err = capsys.readouterr().err
    assert err.startswith("deepseq weights: the memory of this machine does not suffice")
    assert err.count("\n") == 1


def test_the_help_says_what_the_exit_codes_mean(deepseq):
    out = deepseq("--help").out
    assert "exit code: 0 all done, 1 a part failed, 2 nothing done" in out and "130" in out
