"""Updates on a GPU: as in a textbook, our plain trainer, one recorded update, and five runs in step against one.

    python benchmarks/gpu.py [--updates 200] [--preset deepsequence small] [--save]

All in one process, on BLAT (without DEEPSEQ_DATA: the shipped family), batches of 100, float32. A time is the median of five
stretches of updates with the GPU brought to a stop before and after each; the range is printed too. `--device cpu` tries the
script itself where there is no GPU; such numbers are not saved.
"""

import argparse
import statistics
import sys
import time

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from update import Textbook

from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weight_files import cached_weights
from deepseq_nb.model.graphs import GraphTrainer
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig, Trainer
from deepseq_nb.studies import results

RUNS = 5


def textbook(alignment, weights, sizes, device):
    """A function that makes one update the textbook way, with a model of these sizes."""
    x = F.one_hot(torch.from_numpy(alignment.tokens).long(), 21)[..., :20].float().to(device)
    chance, neff = weights / weights.sum(), weights.sum()
    shape = {"sizes": sizes.encoder, "decoder": sizes.decoder, "conv": sizes.conv}
    model = Textbook(alignment.tokens.shape[1], **shape).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.001)
    rng = np.random.default_rng(1)

    def update(step):
        loss = model.loss(x[rng.choice(len(x), 100, p=chance)], neff)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return update


def together(kind, alignment, weights, sizes, device, runs):
    """A function that makes one update of each of `runs` models, by trainers of this kind."""
    trainers = []
    for seed in range(1, runs + 1):
        model = DeepSequence(sizes, alignment.tokens.shape[1], 20, seed=seed)
        config = TrainConfig(seed=seed)
        trainers.append(kind(model, alignment.tokens, weights, config, device, fused=False))

    def update(step):
        for trainer in trainers:
            trainer.update(step)

    return update


def seconds(update, updates, device):
    """Seconds an update in each of five stretches, after one that is not counted."""

    def stop():
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    taken, step = [], 0
    for _ in range(6):
        stop()
        start = time.perf_counter()
        for _ in range(updates):
            step += 1
            update(step)
        stop()
        taken.append((time.perf_counter() - start) / updates)
    return taken[1:]


def measured(alignment, weights, name, updates, device):
    """One row for each way to make updates with the sizes of a preset."""
    sizes = preset(name)
    data = alignment, weights, sizes, device
    ways = {
        "textbook": lambda: textbook(*data),
        "plain trainer": lambda: together(Trainer, *data, 1),
        "recorded": lambda: together(GraphTrainer, *data, 1),
        f"plain trainer, {RUNS} runs": lambda: together(Trainer, *data, RUNS),
        f"recorded, {RUNS} runs in step": lambda: together(GraphTrainer, *data, RUNS),
    }
    for way, make in ways.items():
        taken = seconds(make(), updates, device)
        row = {"preset": name, "way": way, "runs": RUNS if str(RUNS) in way else 1}
        middle = statistics.median(taken)
        row |= {"ms": 1e3 * middle, "ms_low": 1e3 * min(taken), "ms_high": 1e3 * max(taken)}
        row["minutes_for_300000"] = 300_000 * middle / 60
        if device.type == "cuda":
            row["peak_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--preset", nargs="+", default=["deepsequence", "small"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--save", action="store_true", help="write results/gpu.csv")
    args = parser.parse_args()
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} sees no CUDA GPU: nothing was measured")
    alignment = Alignment.read(registry.find("BLAT_ECOLX") or registry.synthetic_path())
    weights = cached_weights(alignment, 0.2)
    rows = []
    for name in args.preset:
        for row in measured(alignment, weights, name, args.updates, device):
            rows.append(row)
            print(", ".join(f"{k} {v:.4g}" if k != "runs" and not isinstance(v, str) else f"{k} {v}" for k, v in row.items()), flush=True)  # fmt: skip
        one = {row["way"]: row["ms"] for row in rows if row["preset"] == name}
        five = one[f"recorded, {RUNS} runs in step"]
        print(f"{name}: textbook / recorded {one['textbook'] / one['recorded']:.2f}, plain / recorded {one['plain trainer'] / one['recorded']:.2f}, {RUNS} runs / one {five / one['recorded']:.2f}")  # fmt: skip
    if args.save and device.type == "cuda":
        about = {"updates": args.updates, "gpu": torch.cuda.get_device_name(device)}
        print(results.save_result("gpu", pd.DataFrame(rows).round(4), about))


if __name__ == "__main__":
    main()
