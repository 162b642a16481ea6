"""What every attack needs: a command carried out in a process of its own, what a failure is, and the files to attack."""

import ctypes
import hashlib
import io
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import deepseq_nb
from deepseq_nb.cli.main import main as deepseq

ROOT = Path(deepseq_nb.__file__).resolve().parents[1]
GOOD = (0, 2, 130)
SHARE = 1.0  # of the full numbers: what scales the size of a case
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
TRAIN = "--preset quick --batch-size 20 --checkpoint-every 4 --device cpu".split()
SCORE = "--all-singles --samples 8 --device cpu".split()


@dataclass(frozen=True)
class Outcome:
    """How a process ended; `code` is None where it had to be killed because it hung."""

    code: int | None
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """Everything that it said, shortened."""
        return " ".join((self.out + " " + self.err).split())[-300:]


def fault_of(found: Outcome, allowed: Sequence[int] = GOOD) -> str | None:
    """What is wrong with the way in which a process ended, or None; exit 2 wants one line that says why."""
    if found.code is None:
        return f"hang: {found.seconds:.0f} s"
    if "Traceback (most recent call last)" in found.out + found.err:
        return f"traceback: {' '.join(found.err.split())[-200:]}"
    if found.code not in allowed:
        return f"exit code {found.code}: {found.said}"
    if found.code == 2:
        lines = [line for line in found.err.splitlines() if line.startswith("deepseq")]
        usage = "usage:" in found.err
        if len(lines) != 1 and not usage:
            return f"exit 2 with {len(lines)} lines that say why: {found.said}"
    return None


# --- time ------------------------------------------------------------------------------------------------------

# so many additions took so many seconds on the machine for which the limits of time were set, with nobody beside
_SPIN, _SPUN = 2_000_000, 0.05


def slowness() -> float:
    """How many times longer than there a piece of work takes here and now, at least 1: what is slower, or busy, gets
    as much more time."""
    begun = time.monotonic()
    sum(range(_SPIN))
    return max(1.0, (time.monotonic() - begun) / _SPUN)


# --- processes -------------------------------------------------------------------------------------------------


def _rebuild_streams() -> None:
    """Python's three streams over the descriptors of this process, as at the start of a program."""
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        try:
            os.fstat(number)
            encoding = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
            errors = "backslashreplace" if name == "stderr" else "strict"
            stream = open(number, mode, encoding=encoding, errors=errors, closefd=False)
        except OSError:
            stream = None
        setattr(sys, name, stream)


def _child(work: Callable[[], Any], prepare: Callable[[], None] | None) -> int:
    """The exit code of `work`, as Python itself would end with it."""
    try:
        if prepare:
            prepare()
        code = work()
        code = code if isinstance(code, int) else 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
    except BaseException:
        with suppress(BaseException):
            traceback.print_exc()
        code = 1
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException:
        code = 120
    with suppress(BaseException):
        sys.stderr.flush()
    return code


class Forked:
    """A child of this process that carries out `work`: everything is imported already, so it starts at once."""

    def __init__(
        self,
        work: Callable[[], Any],
        cwd: Path,
        *,
        prepare: Callable[[], None] | None = None,
        streams: Callable[[], None] | None = None,
        env: dict[str, str] | None = None,
        talk: Path | None = None,
    ):
        talk = talk or cwd
        self.files = [
            talk / f".talk-{os.getpid()}-{time.monotonic_ns()}.{name}" for name in ("out", "err")
        ]
        for path in self.files:
            path.touch()
        self.begun = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                os.chdir(cwd)
                os.environ.update(env or {})
                null = os.open(os.devnull, os.O_RDONLY)
                os.dup2(null, 0)
                for number, path in enumerate(self.files, 1):
                    os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
                if streams:
                    streams()
                _rebuild_streams()
                code = _child(work, prepare)
            finally:
                os._exit(code)

    def wait(self, timeout: float) -> Outcome:
        """How it ended; killed after `timeout` seconds."""
        code = _await(self.pid, timeout)
        seconds = time.monotonic() - self.begun
        said = [path.read_text(errors="replace") for path in self.files]
        for path in self.files:
            path.unlink(missing_ok=True)
        return Outcome(code, *said, seconds)

    def signal(self, number: int) -> None:
        """Send a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


def _await(pid: int, timeout: float) -> int | None:
    """The exit code of a child, negative for a signal; None where it had to be killed."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        ended = bool(poll.poll(timeout * 1000))
        if not ended:  # because it hangs, or because the machine is busy
            ended = bool(poll.poll((slowness() - 1) * timeout * 1000))
    finally:
        os.close(handle)
    if not ended:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if ended else None


def forked(work: Callable[[], Any], cwd: Path, timeout: float = 120, **how: Any) -> Outcome:
    """Carry out `work` in a child, to its end."""
    return Forked(work, cwd, **how).wait(timeout)


def command(words: Sequence[Any], cwd: Path, timeout: float = 120, **how: Any) -> Outcome:
    """`deepseq WORDS` in a child that has everything imported."""
    return forked(lambda: deepseq([str(word) for word in words]), cwd, timeout, **how)


def real_command(
    words: Sequence[Any], cwd: Path, timeout: float = 300, shell: str = "", **how: Any
) -> Outcome:
    """`python -m deepseq_nb WORDS` as a user starts it; `shell` holds what stands behind it, such as `| true`."""
    line = [sys.executable, "-m", "deepseq_nb", *map(str, words)]
    begun = time.monotonic()
    env = os.environ | {"PYTHONPATH": str(ROOT)} | how.pop("env", {})
    env = {name: value for name, value in env.items() if value is not None}
    if shell:
        quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in line)
        line = ["bash", "-c", f"{quoted} {shell}; exit ${{PIPESTATUS[0]}}"]
    try:
        done = subprocess.run(
            line, cwd=cwd, env=env, timeout=timeout * slowness(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", start_new_session=True, **how,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(None, "", "", time.monotonic() - begun)
    return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)


# --- what a process may not do, or when it dies -------------------------------------------------------------------

_WRITING = os.O_WRONLY | os.O_RDWR
_EVENTS = frozenset(
    "os.rename os.remove os.mkdir os.rmdir os.truncate os.link os.symlink shutil.rmtree".split()
)


def at_write(number: int, folder: Path, act: Callable[[], None], counter: Path | None = None):
    """A `prepare` that calls `act` before the write event `number` (from 0) below `folder`; file operations
    and fsync count. With `counter` the events are counted there, a byte each."""

    def prepare() -> None:
        seen, place = [0], str(folder.resolve())

        def event(path: Any) -> None:
            text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
            absolute = os.path.realpath(os.path.dirname(os.path.abspath(text))) if text else ""
            if not absolute.startswith(place) or ".talk-" in text:
                return
            seen[0] += 1
            if counter is not None:
                os.write(tally, b".")
            if seen[0] == number + 1:
                act()

        def hook(name: str, arguments: tuple) -> None:
            if (name == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING) or (
                name in _EVENTS
            ):
                event(arguments[0])

        def fsync(handle: int) -> None:
            event(folder / "fsync")
            return _fsync(handle)

        _fsync = os.fsync
        tally = os.open(counter, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if counter else -1
        os.fsync = fsync
        sys.addaudithook(hook)

    return prepare


def die() -> None:
    """Killed, without a last word."""
    os.kill(os.getpid(), signal.SIGKILL)


def failing(number: int) -> Callable[[], None]:
    """Fail with this error number."""

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    return fail


def without_root() -> None:
    """Give up the right of root to write where the permissions say no (Linux)."""
    if os.geteuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    for part in (0, 1, 2):  # effective, permitted, inheritable: DAC_OVERRIDE, DAC_READ_SEARCH
        data[part] &= ~0b110
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def warm(folder: Path) -> None:
    """Import everything and load what is compiled into this process, so that its children need not."""
    for module in sorted(path.stem for path in (ROOT / "deepseq_nb").glob("*/*.py")):
        room = next((ROOT / "deepseq_nb").glob(f"*/{module}.py")).parent.name
        with suppress(ImportError):
            import_module(f"deepseq_nb.{room}.{module}")
    tqdm.monitor_interval = (
        0  # it would be a second thread, and a process with threads is not to be forked
    )
    family = str(write_family(folder / "warm.a2m", 9))
    words = [["train", family, "--out", str(folder / "warm"), "--steps", "4", *TRAIN],
             ["score", str(folder / "warm"), *SCORE, "--out", str(folder / "warm.csv")],
             ["embed", str(folder / "warm"), "--out", str(folder / "warm.npy")],
             ["plot", str(folder / "warm"), "--scores", str(folder / "warm.csv"), "--out", str(folder / "figures")]]  # fmt: skip
    for one in words:
        if quiet(lambda one=one: deepseq(one)):
            raise SystemExit(f"deepseq {' '.join(one)} failed undisturbed")
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        print(f"note: this process has {threads} threads, and is forked all the same")


# --- files ---------------------------------------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path; folders have an empty one."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if ".talk-" in path.name:
            continue
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = ""
    return found


def leftovers(folder: Path) -> list[str]:
    """Temporary files that lie about below a folder."""
    marks = (".tmp", ".part", ".partial")
    return [
        name
        for name in snapshot(folder)
        if name.endswith(marks) or Path(name).name.startswith(("tmp", ".tmp"))
    ]


def same_run(one: Path, two: Path) -> str | None:
    """How two finished run folders differ in what was trained, or None: parameters bit by bit, history by byte."""
    from deepseq_nb.model.checkpoints import load_tensors

    for name in ("model.safetensors", "history.csv", "config.json"):
        if not (one / name).is_file():
            return f"{name} is missing"
    a, b = (load_tensors(path / "model.safetensors")[0] for path in (one, two))
    if a.keys() != b.keys() or any(a[k].numpy().tobytes() != b[k].numpy().tobytes() for k in a):
        return "other parameters"
    if (one / "history.csv").read_bytes() != (two / "history.csv").read_bytes():
        return "another history"
    return None


def write_family(path: Path, seed: int, rows: int = 120, columns: int = 16, name="FAM") -> Path:
    """A small made-up family in a2m; letters of the focus are kept in two thirds of the cells."""
    rng = np.random.default_rng(seed)
    focus = rng.integers(20, size=columns)
    cells = np.where(
        rng.random((rows, columns)) < 0.66, focus, rng.integers(20, size=(rows, columns))
    )
    cells[0] = focus
    gaps = rng.random((rows, columns)) < 0.05
    gaps[0] = False
    lines = []
    for k in range(rows):
        row = "".join(
            "-" if gap else LETTERS[cell] for cell, gap in zip(cells[k], gaps[k], strict=True)
        )
        lines.append(f">{f'{name}/5-{columns + 4}' if k == 0 else f'seq{k}'}\n{row}\n")
    path.write_text("".join(lines))
    return path


@dataclass
class Bench:
    """The undamaged files, made once, and a scratch folder for each case."""

    root: Path
    real: bool = False  # this case goes through the real command line
    made: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[Path], Any]) -> Any:
        """What `make` makes in a folder of its own, the first time."""
        if name not in self.made:
            folder = self.root / "good" / name
            folder.mkdir(parents=True)
            self.made[name] = make(folder)
        return self.made[name]

    def must(self, *words: Any, cwd: Path | None = None) -> Outcome:
        """A command that has to succeed, or the benchmark itself is wrong."""
        found = command(words, cwd or self.root, 600)
        if found.code != 0:
            raise SystemExit(
                f"deepseq {' '.join(map(str, words))} failed undisturbed: {found.said}\n{found.err}"
            )
        return found

    def run(self, words: Sequence[Any], cwd: Path, timeout: float = 120, **how: Any) -> Outcome:
        """A command, the real one in the share of cases that ask for it."""
        if self.real and not how:
            return real_command(words, cwd, timeout + 60)
        return command(words, cwd, timeout, **how)

    @property
    def family(self) -> Path:
        """An alignment of 120 sequences and 16 columns."""
        return self.once("family", lambda folder: write_family(folder / "family.a2m", 1))

    @property
    def other_family(self) -> Path:
        """Another one, of 14 columns."""
        return self.once(
            "other", lambda folder: write_family(folder / "other.a2m", 2, columns=14, name="OTHER")
        )

    def trained(self, steps: int = 12, seed: int = 1, family: Path | None = None) -> Path:
        """A finished run; never write to it."""
        family = family or self.family

        def make(folder: Path) -> Path:
            self.must(
                "train", family, "--out", folder / "run", "--steps", steps, "--seed", seed, *TRAIN
            )
            return folder / "run"

        return self.once(f"run {family.stem} {steps} {seed}", make)

    def scores(self, run: Path | None = None) -> Path:
        """Its scores of all single substitutions."""
        run = run or self.trained()

        def make(folder: Path) -> Path:
            self.must("score", run, *SCORE, "--out", folder / "scores.csv")
            return folder / "scores.csv"

        return self.once(f"scores {run.parent.name}", make)

    @property
    def assay(self) -> Path:
        """Measurements: the scores plus noise."""

        def make(folder: Path) -> Path:
            import pandas as pd

            table = pd.read_csv(self.scores())
            noise = np.random.default_rng(3).normal(size=len(table))
            frame = pd.DataFrame(
                {"mutant": table.variant, "fitness": np.round(table.score + noise, 4)}
            )
            frame.to_csv(folder / "assay.csv", index=False)
            return folder / "assay.csv"

        return self.once("assay", make)

    @property
    def database(self) -> tuple[Path, Path]:
        """A query and a FASTA of relatives and strangers."""

        def make(folder: Path) -> tuple[Path, Path]:
            family = write_family(folder / "wide.a2m", 5, rows=40, columns=60, name="Q")
            records = family.read_text().split(">")[1:]
            rng = np.random.default_rng(6)
            strangers = [
                f"s{k}\n{''.join(rng.choice(list(LETTERS), size=70))}\n" for k in range(60)
            ]
            (folder / "query.fasta").write_text(">" + records[0])
            text = "".join(">" + record.replace("-", "") for record in [*records[1:], *strangers])
            (folder / "database.fasta").write_text(text)
            return folder / "query.fasta", folder / "database.fasta"

        return self.once("database", make)


@dataclass(frozen=True)
class Row:
    """One kind of attack: `case(bench, number, rng, folder)` tries one case and returns what it tried and the fault, or None."""

    name: str
    what: str
    full: int
    case: Callable[[Bench, int, np.random.Generator, Path], tuple[str, str | None]]
    real: int = 0  # every so many cases go through the real command line


def cases(
    row: Row, bench: Bench, numbers: Sequence[int], seed: int
) -> Iterator[tuple[int, str, str | None, float]]:
    """Number, what was tried, fault and seconds of each case; each has a generator of its own seed and an empty folder."""
    for number in numbers:
        rng = np.random.default_rng([seed, int.from_bytes(row.name.encode()[:7], "big"), number])
        folder = bench.root / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        bench.real = bool(row.real) and number % row.real == row.real - 1
        begun = time.monotonic()
        label, fault = row.case(bench, number, rng, folder)
        label = f"{label} (real)" if bench.real else label
        yield number, label, fault, time.monotonic() - begun


def quiet(work: Callable[[], Any]) -> Any:
    """What `work` returns, with everything that it prints thrown away."""
    import contextlib

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return work()
