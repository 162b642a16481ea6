"""How the cost of an update and of the weights grows: with length, batch, number of sequences and size of the model.

    python benchmarks/scaling.py [--updates 5] [--threads 2] [--save]

Families are made up (random letters), so nothing has to be downloaded. Prints one row for each setting: milliseconds an update (the median)
for the presets `small` and `deepsequence`, and seconds for weighing. The chapter on speed draws the table and works out a whole proteome from it.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch

from deepseq_nb.core.machine import kept_memory
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig, Trainer
from deepseq_nb.studies import results

LENGTHS, BATCHES, DEPTHS = (
    (50, 100, 200, 400, 800),
    (25, 50, 100, 200, 400),
    (1000, 4000, 16000, 64000),
)


def family(sequences: int, length: int) -> np.ndarray:
    """Random tokens `(N, L)` around a few hundred ancestors, so that some are neighbours."""
    rng = np.random.default_rng(1)
    ancestors = rng.integers(0, 20, (300, length), np.uint8)
    tokens = ancestors[rng.integers(0, 300, sequences)]
    changed = rng.random(tokens.shape, np.float32) < rng.uniform(0.05, 0.6, (sequences, 1))
    return np.where(changed, rng.integers(0, 21, tokens.shape, np.uint8), tokens)


def update_ms(name: str, length: int, batch: int, sequences: int, updates: int) -> float:
    """Median milliseconds of an update."""
    tokens = family(sequences, length)
    with kept_memory():
        model = DeepSequence(preset(name), length, seed=1)
        config = TrainConfig(batch_size=batch)
        trainer = Trainer(model, tokens, np.ones(len(tokens)), config, torch.device("cpu"))
        taken = []
        for step in range(1, updates + 3):
            start = time.perf_counter()
            trainer.update(step)
            taken.append(time.perf_counter() - start)
    return 1e3 * float(np.median(taken[2:]))


def weigh_s(length: int, sequences: int) -> float:
    """Seconds to weigh, the second time (the first compiles)."""
    tokens = family(sequences, length)
    sequence_weights(tokens[:100], theta=0.2)
    start = time.perf_counter()
    sequence_weights(tokens, theta=0.2)
    return time.perf_counter() - start


def rows(updates: int):
    """One dictionary for each measurement."""
    base = {"length": 200, "batch": 100, "sequences": 4000}
    for name in ("small", "deepsequence"):
        for what, values in (("length", LENGTHS), ("batch", BATCHES), ("sequences", DEPTHS)):
            for value in values:
                setting = base | {what: value}
                ms = update_ms(name, updates=updates, **setting)
                yield {"task": f"update, {name}", "varied": what, **setting, "seconds": ms / 1e3}
    for what, values in (("length", LENGTHS), ("sequences", DEPTHS)):
        for value in values:
            setting = base | {"sequences": 16000} | {what: value}
            seconds = weigh_s(setting["length"], setting["sequences"])
            yield {"task": "weights", "varied": what, **setting, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", action="store_true", help="write results/scaling.csv")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = []
    for row in rows(args.updates):
        table.append(row)
        print(*(f"{key} {value}" for key, value in row.items()), flush=True)
    if args.save:
        results.save_result("scaling", pd.DataFrame(table).round(5), {"updates": args.updates})


if __name__ == "__main__":
    main()
