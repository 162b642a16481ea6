"""Batches of a family that lies on the device, against torch's data loader: microseconds a batch, side by side.

    python benchmarks/loader.py [--batches 300] [--rounds 5] [--workers 1 2] [--save]

Ours: the tokens of the whole family on the device, rows drawn there by weight (`Batches.draw`, which makes the noise of z too). The
loader: `torch.utils.data.DataLoader` with a weighted sampler, a row at a time or a batch at a time, in this process and with
workers; on a GPU with pinned memory and a copy to the device. The ways take turns, a round each. An update of the small model
stands beside them: what a batch costs of it. Without DEEPSEQ_DATA the shipped family takes BLAT's place.
"""

import argparse
import statistics
from itertools import islice

import numpy as np
import pandas as pd
import torch
from torch.utils.data import BatchSampler, DataLoader, TensorDataset, WeightedRandomSampler

from deepseq_nb.core.machine import kept_memory
from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weight_files import cached_weights
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import Batches, TrainConfig, Trainer, seconds_now
from deepseq_nb.studies import results

NOT_MEASURED = float("nan")


def of_ours(batches):
    """Endless batches of ours."""
    step = 0
    while True:
        step += 1
        yield batches.draw(step)[0]


def of_loader(tokens, weights, size, count, workers, device, by_row):
    """Batches of torch's loader, on the device."""
    drawn = WeightedRandomSampler(weights, size * count, replacement=True)
    on_gpu = device.type == "cuda"
    how = {"num_workers": workers, "pin_memory": on_gpu}
    if by_row:
        loader = DataLoader(TensorDataset(tokens), batch_size=size, sampler=drawn, **how)
    else:
        each = BatchSampler(drawn, size, drop_last=False)
        loader = DataLoader(TensorDataset(tokens), batch_size=None, sampler=each, **how)
    for (rows,) in loader:
        yield rows.to(device, non_blocking=on_gpu)


def microseconds(make, count, device):
    """Of a batch, in the middle of `count` of them; the first, for which workers start, is not counted."""
    stream = iter(make())
    next(stream)
    start = seconds_now(device)
    made = sum(1 for _ in islice(stream, count))
    assert made == count
    return 1e6 * (seconds_now(device) - start) / count


def measured(alignment, args, device):
    """A row for each way on a device."""
    weights = cached_weights(alignment, 0.2)
    config = TrainConfig(steps=10**6, device=str(device))
    tokens = torch.from_numpy(np.ascontiguousarray(alignment.tokens))
    batches = Batches(alignment.tokens, weights, 30, config, device)
    count, size = args.batches, config.batch_size

    def loader(workers, by_row):
        given = tokens, weights, size, count + 1, workers, device, by_row
        return lambda: of_loader(*given)

    ways = {"family on the device": lambda: of_ours(batches)}
    for workers in (0, *args.workers):
        where = f"{workers} workers" if workers else "no worker"
        ways[f"loader, a batch at a time, {where}"] = loader(workers, False)
        ways[f"loader, a row at a time, {where}"] = loader(workers, True)
    found = {way: [] for way in ways}
    network = DeepSequence(preset("small"), alignment.tokens.shape[1], alignment.gap)
    trainer = Trainer(network, alignment.tokens, weights, config, device)
    updates = []
    with kept_memory():
        trainer.update(1)
        for number in range(args.rounds):
            for way, make in ways.items():
                found[way].append(microseconds(make, count, device))
            start = seconds_now(device)
            for step in range(2 + 5 * number, 7 + 5 * number):
                trainer.update(step)
            updates.append(1e6 * (seconds_now(device) - start) / 5)
    update = statistics.median(updates)
    ours = found["family on the device"]
    rows = []
    for way, times in found.items():
        ratios = [one / our for one, our in zip(times, ours, strict=True)]
        rows.append(
            {
                "device": device.type, "way": way, "us_a_batch": round(statistics.median(times), 1),
                "times_ours": round(statistics.median(ratios), 1),
                "lowest": round(min(ratios), 1), "highest": round(max(ratios), 1),
                "share_of_an_update": round(statistics.median(times) / update, 4),
            }
        )  # fmt: skip
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--save", action="store_true", help="write results/loader.csv")
    args = parser.parse_args()
    try:
        family, path = "BLAT_ECOLX", registry.find("BLAT_ECOLX")
    except ValueError:
        path = None
    if path is None:
        family, path = "synthetic", registry.find("synthetic")
    alignment = Alignment.read(path)
    rows = measured(alignment, args, torch.device("cpu"))
    if torch.cuda.is_available():
        rows += measured(alignment, args, torch.device("cuda"))
    else:
        nothing = dict.fromkeys(rows[0], NOT_MEASURED)
        rows.append(nothing | {"device": "cuda", "way": "not measured: no GPU here"})
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if args.save:
        given = {"family": family, "batch_size": 100, "preset": "small"}
        given |= {"batches": args.batches, "rounds": args.rounds}
        print("wrote", results.save_result("loader", table, given))


if __name__ == "__main__":
    main()
