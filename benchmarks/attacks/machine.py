"""A machine that refuses: a full disk, folders that cannot be written, no home, little memory, few files."""

import errno
import os
import resource
import subprocess
from pathlib import Path

import numpy as np

from .frame import (
    TRAIN,
    Bench,
    Row,
    at_write,
    command,
    deepseq,
    failing,
    fault_of,
    forked,
    leftovers,
    real_command,
    same_run,
    snapshot,
    without_root,
)
from .work import KINDS, Work, after


def _mounted(folder: Path, kilobytes: int) -> bool:
    """Mount a small file system; False where that is not allowed."""
    options = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    return subprocess.run(options, capture_output=True).returncode == 0


def disk_full(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A small file system, or a limit on the size of files where none can be mounted: one line, nothing half, and
    once there is room the same command line makes what it makes undisturbed."""
    work = Work(bench, KINDS[number % len(KINDS)])
    largest = max(p.stat().st_size for p in [work.good, *work.good.rglob("*")] if p.is_file())
    kilobytes = max(4, int(float(rng.uniform(0.02, 2.5)) * largest / 1024) // 4 * 4)
    small, aside = folder / "small", folder
    small.mkdir()
    mounted = _mounted(small, kilobytes)
    label = f"{work.kind} on {kilobytes} KiB{'' if mounted else ' (limit)'}"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    try:
        found = command(work.words, small, talk=aside, prepare=None if mounted else limit)
        if fault := fault_of(found, (0, 2)):
            return label, fault
        if wrong := work.wrong(small, whole=found.code == 0):
            return label, f"partial: {wrong}"
        if left := leftovers(small):
            return label, f"left behind: {left}"
        if mounted:
            subprocess.run(
                ["mount", "-o", "remount,size=64m", str(small)], check=True, capture_output=True
            )
        again = command(work.words, small, talk=aside)
        if again.code:
            return label, f"lost: with room it cannot be repeated: {again.said}"
        wrong = work.wrong(small, whole=True)
        return label, f"lost: with room {wrong}" if wrong else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(small)], capture_output=True)


def disk_full_over_a_run(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """The disk is full at one write of a training that replaces a finished run or goes on with it: a good run is there
    afterwards, the old one or the new one, or the old one with its checkpoint."""
    old, resume = bench.trained(seed=2), bool(number % 2)
    how = ["--resume", "--seed", 2] if resume else ["--overwrite"]
    words = ["train", bench.family, "--out", "run", "--steps", 16, *TRAIN, *how]
    base = f"{'resume' if resume else 'overwrite'}"

    def lay(place: Path) -> None:
        subprocess.run(["cp", "-r", str(old), str(place / "run")], check=True)

    def count(place: Path) -> int:
        lay(place)
        tally = place.parent / f"count {base}"
        bench_found = command(
            words, place, prepare=at_write(-1, place, failing(errno.ENOSPC), tally)
        )
        if bench_found.code:
            raise SystemExit(f"train --{base} failed undisturbed: {bench_found.said}")
        return tally.stat().st_size

    def new(place: Path) -> Path:
        lay(place)
        bench.must(*words, cwd=place)
        return place / "run"

    writes, whole = bench.once(f"writes {base}", count), bench.once(f"whole {base}", new)
    event = int(rng.integers(writes))
    label = f"train --{base}, no space at write {event} of {writes}"
    lay(folder)
    found = command(words, folder, prepare=at_write(event, folder, failing(errno.ENOSPC)))
    if fault := fault_of(found, (0, 2)):
        return label, fault
    run = folder / "run"
    scored = command(
        ["score", "run", "--all-singles", "--samples", 8, "--out", "s.csv", "--device", "cpu"],
        folder,
    )
    if scored.code:
        return label, f"lost: the run cannot be used any more: {scored.said}"
    if found.code == 0 and (wrong := same_run(run, whole)):
        return label, f"wrong: exit 0 with {wrong}"
    again = command(words, folder)
    if again.code:
        return label, f"lost: cannot be repeated: {again.said}"
    if wrong := same_run(run, whole):
        return label, f"lost: repeated it has {wrong}"
    left = leftovers(run)
    return label, f"left behind: {left}" if left else None


def failing_write(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """One write of a command fails, each in turn: no space, no permission, a failing disk."""
    work = Work(bench, KINDS[number % len(KINDS)])
    event = (number // len(KINDS)) * 7 % work.writes
    code = [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EROFS, errno.EDQUOT][int(rng.integers(5))]
    label = f"{work.kind}, {errno.errorcode[code]} at write {event} of {work.writes}"
    found = command(work.words, folder, prepare=at_write(event, folder, failing(code)))
    if fault := fault_of(found, (0, 2)):
        return label, fault
    if found.code == 0 and (wrong := work.wrong(folder, whole=True)):
        return label, f"wrong: exit 0, but {wrong}"
    return label, after(work, folder)


def read_only(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """The folder, or what stands in it, cannot be written: one line, and nothing changed."""
    work = Work(bench, KINDS[number % len(KINDS)])
    place = folder / "locked"
    place.mkdir()
    kind = ["empty folder", "made before", "file only", "inside"][int(rng.integers(4))]
    if kind != "empty folder":
        subprocess.run(["cp", "-r", str(work.good), str(place / work.product)], check=True)
    locked = {
        "file only": [place / work.product],
        "inside": [p for p in place.rglob("*") if p.is_dir()],
    }.get(kind, [place, *place.rglob("*")])
    before = snapshot(place)
    for path in locked:
        path.chmod(path.stat().st_mode & 0o555)
    label = f"{work.kind}, {kind} read-only"
    try:
        found = command(work.words, place, prepare=without_root, talk=folder)
    finally:
        for path in [place, *place.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o700)
    if fault := fault_of(found, (0, 2)):
        return label, fault
    if found.code == 0:
        wrong = work.wrong(place, whole=True)
        return label, f"wrong: exit 0, but {wrong}" if wrong else None
    if kind in ("empty folder", "made before") and snapshot(place) != before:
        return (
            label,
            f"changed although refused: {sorted(set(snapshot(place).items()) ^ set(before.items()))[:2]}",
        )
    left = leftovers(place)
    return label, f"left behind: {left}" if left else None


def environment(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """No home, an unwritable cache, odd variables: the result is the same."""
    nowhere, locked = str(folder / "not" / "there"), folder / "locked"
    locked.mkdir()
    settings = [
        {"HOME": None}, {"HOME": None, "DEEPSEQ_CACHE": None}, {"HOME": "/proc", "DEEPSEQ_CACHE": None},
        {"DEEPSEQ_CACHE": "/proc/none"}, {"DEEPSEQ_CACHE": "/dev/null"}, {"DEEPSEQ_CACHE": nowhere},
        {"DEEPSEQ_CACHE": str(bench.family)}, {"TMPDIR": nowhere}, {"MPLCONFIGDIR": "/proc/none"},
        {"LANG": "C", "LC_ALL": "C"}, {"LC_ALL": "xx_YY.UTF-8"}, {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
        {"COLUMNS": "1"}, {"COLUMNS": "x"}, {"TERM": "dumb"}, {"DEEPSEQ_DATA": nowhere}, {"PATH": ""},
        {"NUMBA_CACHE_DIR": "/proc/none"}, {"XDG_CACHE_HOME": "/proc/none"}, {"PYTHONWARNINGS": "error"},
        {"OMP_NUM_THREADS": "x"}, {"NO_COLOR": "1"}, {"PYTHONHASHSEED": "0"}, {"PYTHONDONTWRITEBYTECODE": "1"},
    ]  # fmt: skip
    change = settings[number % len(settings)]
    work = Work(bench, ["train", "score", "weights", "plot"][int(rng.integers(4))])
    _ = work.good
    found = real_command(work.words, folder, env=change)
    label = f"{work.kind} with {', '.join(f'{k}={v}' for k, v in change.items())}"
    if fault := fault_of(found, (0, 2)):
        return label, fault
    if found.code == 2 and "PYTHONWARNINGS" not in change:
        return label, f"refused: {found.said}"
    wrong = work.wrong(folder, whole=found.code == 0)
    return label, f"wrong: {wrong}" if wrong else None


def limits(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """ulimit -v, -n, -f and -s: one line or the same result, nothing half."""
    kinds = [kind for kind in KINDS if kind not in ("export", "proteins")]
    work, kind = (
        Work(bench, kinds[number % len(kinds)]),
        ["v", "n", "f", "v", "s"][(number // len(kinds)) % 5],
    )
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    most = {"v": now + int(rng.uniform(0, 200e6)), "n": int(rng.integers(4, 24)), "f": int(rng.integers(200_000)),
            "s": int(rng.integers(64, 1024)) * 1024}[kind]  # fmt: skip
    what = {
        "v": resource.RLIMIT_AS,
        "n": resource.RLIMIT_NOFILE,
        "f": resource.RLIMIT_FSIZE,
        "s": resource.RLIMIT_STACK,
    }[kind]
    words, whole = work.words, True
    if kind == "v" and number % 2:  # what does not fit is asked for
        big = [["--config", "big.json"], ["--batch-size", 10**9]][int(rng.integers(2))]
        (folder / "big.json").write_text('{"model": {"latent": 200000}}')
        words, whole = ["train", bench.family, "--out", "run", "--steps", 2, *TRAIN, *big], False
        most = now + 300_000_000
    label = f"{words[0]}, ulimit -{kind} {most - now if kind == 'v' else most:,}{' over what it has' if kind == 'v' else ''}"
    found = command(words, folder, prepare=lambda: resource.setrlimit(what, (most, most)))
    if fault := fault_of(found, (0, 2)):
        return label, fault
    (folder / "big.json").unlink(missing_ok=True)
    if left := leftovers(folder):
        return label, f"left behind: {left}"
    wrong = work.wrong(folder, whole=found.code == 0) if whole else None
    return label, f"wrong: {wrong}" if wrong else None


def overwritten(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A training that replaces a run and fails leaves the old one, with what the user put there."""
    run = folder / "run"
    subprocess.run(["cp", "-r", str(bench.trained()), str(run)], check=True)
    (run / "scores.csv").write_text("mine\n")
    (run / "notes.txt").write_text("mine\n")
    before = snapshot(run)
    wrong = [["--batch-size", 10**11], ["--device", "cuda"], ["--learning-rate", "1e300"], ["--config", "none.json"],
             ["--weights", "none.npy"], ["--focus", "nobody"], ["--steps", 10**20], ["--device", "nonsense"],
             ["--learning-rate", 1e6]][number % 9]  # fmt: skip
    words = ["train", bench.family, "--out", "run", "--steps", 6, *TRAIN, "--overwrite", *wrong]
    label = f"train --overwrite {' '.join(map(str, wrong))}"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, 16 * 2**30))

    found = forked(lambda: deepseq([str(word) for word in words]), folder, prepare=limit)
    if fault := fault_of(found, (0, 2)):
        return label, fault
    if found.code == 0:
        return label, "accepted"
    return label, None if snapshot(run) == before else "lost: the old run is not what it was"


ROWS = [
    Row("disk-full", "a small file system at a random fill", 300, disk_full),
    Row(
        "disk-full-over",
        "the disk is full while a run is replaced or resumed",
        100,
        disk_full_over_a_run,
    ),
    Row("failing-write", "one write fails, each in turn", 600, failing_write),
    Row("read-only", "what is to be written is read-only", 150, read_only),
    Row("overwrite", "--overwrite with a new run that fails", 45, overwritten),
    Row(
        "environment",
        "no HOME, unwritable caches, odd variables (real command line)",
        48,
        environment,
    ),
    Row("limits", "ulimit -v, -n, -f, -s", 210, limits),
]
