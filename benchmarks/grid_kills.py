"""Kill a grid of experiments again and again, start it again each time, and count the runs that were lost or made twice.

    python benchmarks/grid_kills.py [--kills 10] [--seed 1] [--jobs 2] [--out grid_kills]

The grid has four short runs of the real template. It is first carried out undisturbed, which takes T seconds. Then
every kill is a SIGKILL to the runner at a random moment between 0.05 T and 0.8 T; in every second one its children are
killed too, in the others they have to notice by themselves. A grid that has been finished is checked and put aside, and
another one begun. A run is lost or made again if it was finished at the kill, and afterwards or in the end one of its
files is not the same file. At last all scores are compared with those of the undisturbed grid. `--out NAME` also
writes results/NAME.csv.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import deepseq_nb
from deepseq_nb.studies.results import save_result
from deepseq_nb.studies.runner import state_of

GRID = """
families = "synthetic"
variants = ["MLE", "SVI+C+T+S"]
seeds = [1, 2]
presets = "quick"
steps = 300
samples = 4
[train]
checkpoint_every = 20
"""


def start(folder: Path, name: str, jobs: int) -> subprocess.Popen:
    """A runner, in a process of its own."""
    package = str(Path(deepseq_nb.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    words = ["experiments", "grid.toml", "--out", name, "--jobs", str(jobs), "--device", "cpu"]
    return subprocess.Popen(
        [sys.executable, "-m", "deepseq_nb", *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def descendants(process: int) -> list[int]:
    """Children of a process, their children, and so on (Linux)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of both files of every finished run."""
    done = [run for run in out.glob("synthetic-*") if state_of(run) == "finished"]
    files = [run / name for run in done for name in ("result.json", "experiment.ipynb")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def kill_once(folder: Path, name: str, seconds: float, children: bool, jobs: int) -> dict | None:
    """Start, wait, kill, and look; None if the grid was done before."""
    out = folder / name
    runner = start(folder, name, jobs)
    try:
        runner.wait(seconds)
        return None
    except subprocess.TimeoutExpired:
        pass
    before, family = finished(out), descendants(runner.pid)
    runner.kill()
    for process in family if children else []:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    runner.wait()
    begun = time.monotonic()
    while any(Path(f"/proc/{process}").exists() for process in family):
        time.sleep(0.05)
    gone, now = time.monotonic() - begun, finished(out)
    lost = sum(now.get(path) != before[path] for path in before)
    kept = [len(path.read_bytes().splitlines()) - 1 for path in out.glob("*/train/history.csv")]
    return {"grid": name, "after_s": round(seconds, 1), "processes": len(family), "gone_s": round(gone, 2),
            "finished": len(now) // 2, "updates_kept": sum(kept), "lost_or_made_again": lost}  # fmt: skip


def conclude(folder: Path, name: str, jobs: int) -> tuple[int, int, float]:
    """Let a grid end: its exit code, files that changed though finished, and the largest difference of a score from the undisturbed grid."""
    before = finished(folder / name)
    code = start(folder, name, jobs).wait()
    now = finished(folder / name)
    again = sum(now.get(path) != before[path] for path in before) + (len(now) != 8)
    worst = 0.0
    for path in (folder / "whole").glob("*/scores.csv"):
        mine = pd.read_csv(folder / name / path.parent.name / path.name)
        worst = max(worst, float((mine.score - pd.read_csv(path).score).abs().max()))
    return code, again, worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", help="name of a table in results/")
    args = parser.parse_args()
    rng, folder, rows = np.random.default_rng(args.seed), Path(tempfile.mkdtemp()), []
    (folder / "grid.toml").write_text(GRID)
    begun = time.monotonic()
    if start(folder, "whole", args.jobs).wait():
        raise SystemExit("the undisturbed grid failed")
    whole, grids = time.monotonic() - begun, ["cut 1"]
    print(f"undisturbed: {whole:.1f} s", flush=True)
    while len(rows) < args.kills:
        children = len(rows) % 2 == 1
        row = kill_once(folder, grids[-1], rng.uniform(0.05, 0.8) * whole, children, args.jobs)
        if row is None:
            grids.append(f"cut {len(grids) + 1}")
            continue
        rows.append({"kill": len(rows) + 1, "killed": "all" if children else "runner", **row})
        print(" ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    ends = [conclude(folder, name, args.jobs) for name in grids]
    lost = sum(row["lost_or_made_again"] for row in rows) + sum(end[1] for end in ends)
    codes, worst = [end[0] for end in ends], max(end[2] for end in ends)
    print(f"{len(rows)} kills of {len(grids)} grids; exit codes {codes}; lost or made again: {lost}; "
          f"largest difference of a score from the undisturbed grid: {worst:.5f} nats")  # fmt: skip
    if args.out:
        about = {"script": "benchmarks/grid_kills.py", "seed": args.seed, "jobs": args.jobs, "undisturbed_s": whole,
                 "lost_or_made_again": lost, "largest_difference": worst, "grid": GRID}  # fmt: skip
        print("wrote", save_result(args.out, pd.DataFrame(rows), about))
    raise SystemExit(bool(lost) or any(codes))


if __name__ == "__main__":
    main()
