"""What Ray costs: the same short runs by `--jobs 1`, by `--jobs 2`, and on a Ray cluster of two cores on this machine.

    python benchmarks/cluster_overhead.py [--runs 40] [--steps 30] [--rounds 1] [--save]

The runs are as short as runs can be, so that what is compared is the finding of a place, not the training. Prints wall and
processor seconds and their ratios to `--jobs 2`, and checks that the tables are equal. The cluster is this script's own, with its
own folder and ports; its start and end are not in the times, its idle daemons are in the processor seconds.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
from ray.cluster_utils import Cluster

from deepseq_nb.studies import results

TIMED = ("_s", "made", "resumed_from", "peak_mib", "threads", "cores", "commit")


class Meter(threading.Thread):
    """Processor seconds of processes and all that descends from them, read five times a second: Ray's
    daemons do not wait for their children, so the system does not add those up."""

    def __init__(self, roots: list[int]):
        super().__init__(daemon=True)
        self.roots, self.ended = {*roots}, threading.Event()
        self.first, self.last = {}, {}
        self.read(began=True)

    def read(self, began: bool = False) -> None:
        now, parents = {}, {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = path.read_text().rsplit(")", 1)[1].split()
                pid = int(path.parent.name)
                parents[pid] = int(fields[1])
                now[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        known = self.roots | {*self.last}
        found = [pid for pid in now if pid in known or pid == os.getpid()]
        for one in found:  # grows while it is gone through
            found += [pid for pid, parent in parents.items() if parent == one and pid not in found]
        for pid in {*found} - {os.getpid()}:
            self.first.setdefault(pid, now[pid] if began else 0.0)
            self.last[pid] = max(now[pid], self.last.get(pid, 0.0))

    def run(self) -> None:
        while not self.ended.wait(0.2):
            self.read()

    def seconds(self) -> float:
        self.ended.set()
        self.join()
        self.read()
        return sum(self.last.values()) - sum(self.first.values())


def timed(grid: Path, out: Path, how: list[str], others: list[int]) -> tuple[float, float]:
    """Wall and processor seconds of the experiments, those of the cluster included."""
    command = [sys.executable, "-m", "deepseq_nb", "experiments", str(grid), "--out", str(out)]
    meter, start = Meter(others), time.monotonic()
    meter.start()
    done = subprocess.run([*command, "--device", "cpu", *how], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - start, meter.seconds()


def numbers(out: Path) -> pd.DataFrame:
    """What does not hang on the machine or the hour."""
    rows = pd.read_csv(out / "table.csv")
    return rows[[name for name in rows if not name.endswith(TIMED)]]


def cluster_processes(cluster: Cluster) -> list[int]:
    """The daemons of a cluster of one node."""
    kinds = cluster.head_node.all_processes.values()
    return [one.process.pid for kind in kinds for one in kind]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write results/cluster_overhead.csv")
    args = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    where = Path(tempfile.mkdtemp(prefix="over"))
    os.environ["RAY_TMPDIR"] = str(
        where
    )  # where Ray notes its address; it makes no folder for that
    (where / "ray").mkdir()
    grid = where / "grid.toml"
    grid.write_text(
        f'families = "synthetic"\npresets = "quick"\nsteps = {args.steps}\nsamples = 2\n'
        f"seeds = {list(range(1, args.runs + 1))}\n"
    )
    node = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "memory": 4 * 2**30}
    node |= {"include_dashboard": False, "temp_dir": str(where / "ray")}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        daemons = cluster_processes(cluster)
        ways = {"--jobs 1": ["--jobs", "1"], "--jobs 2": ["--jobs", "2"]}
        ways["--cluster"] = ["--cluster", cluster.address]
        found = {way: [] for way in ways}
        for number in range(args.rounds):
            for way, how in ways.items():
                others = daemons if way == "--cluster" else []
                out = where / f"{way.strip('-').replace(' ', '')}{number}"
                found[way].append(timed(grid, out, how, others))
                pd.testing.assert_frame_equal(numbers(out), numbers(where / "jobs10"))
                print(way, *(f"{seconds:.1f} s" for seconds in found[way][-1]), flush=True)
    finally:
        cluster.shutdown()
    best = {way: tuple(map(min, zip(*times, strict=True))) for way, times in found.items()}
    wall, processor = best["--jobs 2"]
    table = pd.DataFrame(
        {
            "way": way, "wall_s": round(seconds[0], 1), "processor_s": round(seconds[1], 1),
            "wall_ratio": round(seconds[0] / wall, 3),
            "processor_ratio": round(seconds[1] / processor, 3), "tables": "equal",
        }
        for way, seconds in best.items()
    )  # fmt: skip
    print(table.to_string(index=False))
    if args.save:
        given = {"runs": args.runs, "steps": args.steps, "rounds": args.rounds}
        given |= {"load": [round(load, 1) for load in os.getloadavg()]}
        print("wrote", results.save_result("cluster_overhead", table, given))
    shutil.rmtree(where)


if __name__ == "__main__":
    main()
