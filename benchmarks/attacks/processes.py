"""Commands that are killed, interrupted, doubled, or talk to nobody."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from grid_kills import descendants

from .frame import (
    ROOT,
    TRAIN,
    Bench,
    Forked,
    Outcome,
    Row,
    at_write,
    command,
    deepseq,
    die,
    fault_of,
    leftovers,
    real_command,
    same_run,
    slowness,
)
from .work import KINDS, Work, after


def killed(*kinds: str) -> Callable:
    """Kill at a random time, or right before a random write; then the same command line again."""

    def case(
        bench: Bench, number: int, rng: np.random.Generator, folder: Path
    ) -> tuple[str, str | None]:
        kind = kinds[number // 2 % len(kinds)]
        work = Work(bench, kind)
        if number % 2:
            event = int(rng.integers(work.writes))
            label = f"{kind} killed before write {event} of {work.writes}"
            found = command(work.words, folder, prepare=at_write(event, folder, die))
        else:
            seconds = float(rng.uniform(0, 1.1)) * work.seconds
            label = f"{kind} killed after {seconds:.2f} s"
            child = Forked(lambda: deepseq([str(word) for word in work.words]), folder)
            time.sleep(seconds)
            child.signal(signal.SIGKILL)
            found = child.wait(120)
        if found.code not in (0, -signal.SIGKILL):
            return label, fault_of(found) or f"exit code {found.code}: {found.said}"
        return label, after(work, folder)

    return case


def interrupted(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """SIGINT or SIGTERM at a random time. An interrupt ends with 130, and so does a termination that is caught; a
    program that is terminated may also end by the signal itself, as all do."""
    kinds = ["train", "score", "search", "plot", "sample", "report", "design", "evotune"]
    kind = kinds[int(rng.integers(len(kinds)))]
    work, what = Work(bench, kind), [signal.SIGINT, signal.SIGTERM][number % 2]
    if bench.real:
        seconds = float(rng.uniform(0.1, 8))
        label = f"{kind} {what.name} after {seconds:.2f} s"
        found = _real_signal(work, folder, what, seconds)
    else:
        seconds = float(rng.uniform(0, 1.05)) * work.seconds
        label = f"{kind} {what.name} after {seconds:.2f} s"
        # the signal finds the program, not the lines of this benchmark that start it
        child = Forked(lambda: deepseq([str(word) for word in work.words]), folder)
        time.sleep(0.05 + seconds)
        child.signal(what)
        found = child.wait(120)
    # Python prints, and loses, an interrupt that finds it in a callback of its own; nobody can catch that one
    heard = re.sub(r"Exception ignored in.*?KeyboardInterrupt:?", "", found.err, flags=re.DOTALL)
    found = replace(found, err=heard)
    allowed = [0, 130] + ([-signal.SIGTERM] if what == signal.SIGTERM else [])
    if fault := fault_of(found, allowed):
        return label, fault
    if found.code == 130 and not found.err.strip():
        return label, "silent: 130 without a word"
    return label, after(work, folder)


def _real_signal(work: Work, folder: Path, what: int, seconds: float) -> Outcome:
    """The real command, and a signal so many seconds after its start."""
    words = [sys.executable, "-m", "deepseq_nb", *map(str, work.words)]
    process = subprocess.Popen(
        words, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    begun = time.monotonic()
    time.sleep(seconds)
    process.send_signal(what)
    try:
        out, err = process.communicate(timeout=180 * slowness())
        return Outcome(process.returncode, out, err, time.monotonic() - begun)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Outcome(None, "", "", time.monotonic() - begun)


def two_at_once(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """Two commands write to one place at the same time: one wins whole, the other is told or came in peace."""
    kind = ["train", "score", "search", "weights", "report", "design"][number % 6]
    first, second = Work(bench, kind).words, Work(bench, kind).words
    if kind == "train":
        first, second = (
            [word for word in words if word != "--resume"] for words in (first, second)
        )
        second = [*second, "--seed", 2]
    if kind in ("score", "report", "design"):
        second = [*second, "--seed", 2]
    if kind == "search":
        second = ["0.6" if word == "0.3" else word for word in second]
    wait = float(rng.uniform(0, 0.3)) if rng.random() < 0.5 else 0.0
    label = f"{kind} twice, {wait:.2f} s apart"
    goods = []
    for k, words in enumerate((first, second)):

        def make(place: Path, words=words) -> Path:
            bench.must(*words, cwd=place)
            return place / Work(bench, kind).product

        goods.append(bench.once(f"two {kind} {k}", make))
    children = []
    for words in (first, second):
        children.append(Forked(lambda words=words: deepseq([str(word) for word in words]), folder))
        time.sleep(wait)
    found = [child.wait(120) for child in children]
    for one in found:
        if fault := fault_of(one, (0, 2)):
            return label, fault
    made = folder / Work(bench, kind).product
    if not any(one.code == 0 for one in found):
        return label, f"lost: both refused: {found[0].said}"
    if kind == "train":
        if all(one.code == 0 for one in found):
            return label, "lost: two trainings into one folder both say that they made it"
        winner = goods[[one.code for one in found].index(0)]
        wrong = same_run(made, winner)
        return label, f"wrong: the one that succeeded left {wrong}" if wrong else None
    if made.read_bytes() not in [good.read_bytes() for good in goods]:
        return label, "wrong: a mixture of two"
    left = leftovers(folder)
    return label, f"left behind: {left}" if left else None


# --- streams -------------------------------------------------------------------------------------------------------


def _close(*numbers: int) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def _to(path: str, *numbers: int) -> Callable[[], None]:
    def point() -> None:
        handle = os.open(path, os.O_WRONLY)
        for number in numbers:
            os.dup2(handle, number)

    return point


def _nobody(*numbers: int) -> Callable[[], None]:
    """A pipe of which nobody reads the other end."""

    def point() -> None:
        reading, writing = os.pipe()
        os.close(reading)
        for number in numbers:
            os.dup2(writing, number)

    return point


STREAMS = {
    "pipe without reader": _nobody(1), "both into a pipe without reader": _nobody(1, 2), "stdout closed": _close(1),
    "stderr closed": _close(2), "stdin closed": _close(0), "all closed": _close(0, 1, 2),
    "stdout full": _to("/dev/full", 1), "stderr full": _to("/dev/full", 2), "both full": _to("/dev/full", 1, 2),
}  # fmt: skip


def talk_to_nobody(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """What is printed never decides whether the work is done."""
    names = [*STREAMS, "ascii"]
    work, name = Work(bench, KINDS[number % len(KINDS)]), names[number // len(KINDS) % len(names)]
    able = work.kind in ("score", "search", "weights", "unirep", "evotune")
    words = [*work.words, *(["--json"] if able and rng.random() < 0.4 else [])]
    json = "--json" in words
    label = f"{work.kind}{' --json' if json else ''}, {name}"
    if bench.real:
        shells = {"pipe without reader": "| true", "stdout closed": ">&-", "stderr closed": "2>&-", "stdin closed": "<&-",
                  "all closed": "<&- >&- 2>&-", "stdout full": ">/dev/full", "stderr full": "2>/dev/full",
                  "both full": ">/dev/full 2>&1", "both into a pipe without reader": "2>&1 | true", "ascii": "| cat"}  # fmt: skip
        found = real_command(
            words,
            folder,
            shell=shells[name],
            env={"PYTHONIOENCODING": "ascii"} if name == "ascii" else {},
        )
    elif name == "ascii":
        found = command(words, folder, env={"PYTHONIOENCODING": "ascii"})
    else:
        found = command(words, folder, streams=STREAMS[name])
    full = (
        json and "full" in name and name != "stderr full"
    )  # the result was to be printed: it may say that it could not
    heard = "stderr" not in name and "both" not in name and "all" not in name
    if fault := fault_of(found, (0, 2) if full else (0,)):
        if not (full and not heard and found.code == 2):
            return label, fault
    wrong = work.wrong(folder, whole=True)
    return label, f"lost: {wrong}" if wrong else None


def unicode_names(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A focus whose name the streams cannot spell."""
    name = ["Süße", "蛋白", "naïve🧬", "Ωmega", "a\u202eb"][number % 5]
    family = folder / "f.a2m"
    family.write_text(bench.family.read_text().replace(">FAM/", f">{name}/"), encoding="utf-8")
    encoding = ["ascii", "latin-1", "cp1252", "utf-8"][int(rng.integers(4))]
    words = [["train", family, "--out", "run", "--steps", 2, *TRAIN], ["check", family], ["check", family, "--json"],
             ["weights", family, "--out", "w.npy"]][int(rng.integers(4))]  # fmt: skip
    found = command(words, folder, env={"PYTHONIOENCODING": encoding})
    return f"{words[0]} of {name!a} in {encoding}", fault_of(found, (0,))


# --- long ones -----------------------------------------------------------------------------------------------------


def _live_on(children: list[int]) -> bool:
    """Whether processes whose parent was killed are still there after a minute."""
    begun = time.monotonic()
    while any(_alive(child) for child in children):
        if time.monotonic() - begun > 60:
            return True
        time.sleep(0.1)
    return False


def _said(process: subprocess.Popen, seconds: float) -> str | None:
    """What a process says until its end; None where it hangs, and is killed with its group."""
    try:
        return process.communicate(timeout=seconds * slowness())[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None


def killed_book(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """Kill a chapter's execution; its children end, and it can be made again."""
    words = [sys.executable, "-m", "deepseq_nb", "book", "--only", "workshop/address", "--no-site", "--out",
             str(bench.root / "book")]  # fmt: skip
    (bench.root / "book").mkdir(exist_ok=True)
    how = {"cwd": ROOT, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "stdin": subprocess.DEVNULL,
           "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}  # fmt: skip

    def make(place: Path) -> float:
        begun, process = time.monotonic(), subprocess.Popen([*words, "--force"], **how)
        said = process.communicate(timeout=900 * slowness())[0]
        if process.returncode:
            raise SystemExit(f"the undisturbed chapter failed: {said[-500:]}")
        return time.monotonic() - begun

    seconds = float(rng.uniform(0.05, 1)) * bench.once("book", make)
    label = f"book killed after {seconds:.1f} s"
    process = subprocess.Popen([*words, "--force"], **how)
    time.sleep(seconds)
    children = descendants(process.pid)
    process.kill()
    process.communicate()
    if _live_on(children):
        return label, f"hang: {len(children)} children live on"
    again = subprocess.Popen(words, **how)
    if (said := _said(again, 600)) is None:
        return label, "hang: made again"
    if again.returncode or "Traceback" in said:
        return label, f"lost: cannot be made again: {said[-400:]}"
    left = leftovers(bench.root / "book")
    return label, f"left behind: {left}" if left else None


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


GRID = """
families = "mine"
variants = ["SVI+C+T+S"]
seeds = [1, 2]
presets = "quick"
steps = 40
samples = 4
[train]
checkpoint_every = 10
batch_size = 20
[data.mine]
alignment = "family.a2m"
assay = "assay.csv"
column = "fitness"
"""


def _scores_of(grid: Path) -> dict[str, bytes]:
    """The scores of each run of a grid, by its name without the number that stands for the paths of its files."""
    return {
        path.parent.name.rpartition("-")[0]: path.read_bytes() for path in grid.glob("*/scores.csv")
    }


def killed_grid(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """Kill a grid, with its children or without; started again, it ends with the scores of an undisturbed one."""

    def start(place: Path) -> subprocess.Popen:
        words = [
            sys.executable,
            "-m",
            "deepseq_nb",
            "experiments",
            "grid.toml",
            "--out",
            "grid",
            "--device",
            "cpu",
        ]
        return subprocess.Popen(
            words, cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def lay(place: Path) -> None:
        (place / "grid.toml").write_text(GRID)
        shutil.copy(bench.family, place)
        shutil.copy(bench.assay, place)

    def make(place: Path) -> tuple[Path, float]:
        lay(place)
        begun, process = time.monotonic(), start(place)
        said = process.communicate(timeout=900)[0]
        if process.returncode:
            raise SystemExit(f"the undisturbed grid failed: {said[-500:]}")
        return place / "grid", time.monotonic() - begun

    good, needed = bench.once("grid", make)
    lay(folder)
    seconds = float(rng.uniform(0.05, 0.95)) * needed
    everybody = bool(number % 2)
    label = f"grid killed after {seconds:.1f} s{', with its children' if everybody else ''}"
    process = start(folder)
    time.sleep(seconds)
    children = descendants(process.pid)
    process.kill()
    for child in children if everybody else []:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()
    done = {path: path.read_bytes() for path in (folder / "grid").glob("*/result.json")}
    if _live_on(children):
        return label, "hang: children live on"
    again = start(folder)
    if (said := _said(again, 900)) is None:
        return label, "hang: started again"
    if again.returncode or "Traceback" in said:
        return (
            label,
            f"lost: started again it ends with {again.returncode}: {' '.join(said.split())[-200:]}",
        )
    if any(path.read_bytes() != data for path, data in done.items()):
        return label, "lost: a finished run was made again"
    made, whole = (_scores_of(place) for place in (folder / "grid", good))
    if made.keys() != whole.keys():
        return label, f"lost: {len(made)} of {len(whole)} runs have scores"
    for run in whole:
        if made[run] != whole[run]:
            return label, f"wrong: other scores in {run}"
    left = leftovers(folder)
    return label, f"left behind: {left}" if left else None


ROWS = [
    Row("kill-train", "SIGKILL of train, then the same command line again", 100, killed("train")),
    Row("kill-score", "SIGKILL of score", 100, killed("score")),
    Row("kill-search", "SIGKILL of search", 100, killed("search")),
    Row("kill-weights", "SIGKILL of weights", 50, killed("weights")),
    Row("kill-plot", "SIGKILL of plot", 50, killed("plot")),
    Row("kill-report", "SIGKILL of report", 100, killed("report")),
    Row(
        "kill-others",
        "SIGKILL of classify, explain, design, embed, sample, export, unirep",
        160,
        killed("classify", "explain", "design", "embed", "sample", "export", "evotune", "unirep"),
    ),
    Row("kill-tune", "SIGKILL of tune, then the same command line again", 30, killed("tune")),
    Row("kill-book", "SIGKILL of book --only, then made again", 100, killed_book),
    Row("kill-grid", "SIGKILL of experiments, with and without its children", 100, killed_grid),
    Row("signals", "SIGINT and SIGTERM at random", 200, interrupted, real=10),
    Row("two", "two processes on one folder or file", 100, two_at_once),
    Row(
        "streams",
        "standard streams closed, full, without reader, or ASCII",
        300,
        talk_to_nobody,
        real=9,
    ),
    Row("unicode", "names that the streams cannot spell", 60, unicode_names),
]
