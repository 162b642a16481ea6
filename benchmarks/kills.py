"""Kill a training run at random moments, resume it each time, and compare the result with an uninterrupted run.

    python benchmarks/kills.py [--kills 20] [--seed 1]

Every kill is a SIGKILL to a separate process at a random time after its first update; it may hit an
update, a checkpoint being written, or its last rename. Prints the update in which each process died,
and whether the final parameters and history are identical to the last bit.
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
import torch

from deepseq_nb.core.errors import CheckpointError
from deepseq_nb.model.run_files import load_tensors

SCRIPT = """
import sys
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.registry import synthetic_path
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.runs import fit
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.model import training
update = training.Trainer.update
def announced(self, step):
    print(step, flush=True)
    return update(self, step)
training.Trainer.update = announced
fit(Alignment.read(synthetic_path()), preset("quick"), TrainConfig(steps=int(sys.argv[2]), checkpoint_every=5, device="cpu"), sys.argv[1], resume=True)
"""


def run_until(folder: Path, steps: int, seconds: float | None) -> tuple[int, int]:
    """Run (or resume) in another process; kill it `seconds` after its first update. Returns exit code and last update begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(steps)], stdout=subprocess.PIPE, text=True
    )
    first, last = process.stdout.readline(), 0
    if seconds is not None and first:
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    numbers = [int(x) for x in [first, *rest] if x.strip().isdigit()]
    last = numbers[-1] if numbers else 0
    return process.returncode, last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng, root = np.random.default_rng(args.seed), Path(tempfile.mkdtemp())
    died = []
    while len(died) < args.kills:
        code, last = run_until(root / "cut", args.steps, float(rng.uniform(0.05, 1.2)))
        if code != -signal.SIGKILL:
            raise SystemExit(f"finished after {len(died)} kills: raise --steps")
        died.append(last)
        try:
            kept = load_tensors(root / "cut/checkpoint/state.safetensors")[1]["step"]
        except CheckpointError:
            kept = 0
        print(f"kill {len(died):2d}: in update {last}, checkpoint holds {kept}", flush=True)
    run_until(root / "cut", args.steps, None)
    run_until(root / "whole", args.steps, None)
    a, b = (load_tensors(root / name / "model.safetensors")[0] for name in ("cut", "whole"))
    same = all(torch.equal(a[k], b[k]) for k in b) and a.keys() == b.keys()
    history = (root / "cut/history.csv").read_bytes() == (root / "whole/history.csv").read_bytes()
    print(f"{len(died)} kills; parameters identical: {same}; history identical: {history}")
    raise SystemExit(not (same and history))


if __name__ == "__main__":
    main()
