"""Seconds from the a2m file to a rank correlation of 0.70 on BLAT: the textbook way and ours.

    DEEPSEQ_DATA=... python benchmarks/time_to_rank.py [--wanted 0.70] [--seeds 1,2,3] [--threads 2] [--save]

Ours is measured: a process for each seed reads the alignment, weighs it afresh, trains, and is evaluated every `--every` updates with the fast
estimator; the clock stands still while it is evaluated. `small` is the preset, `paper` the paper's model. The textbook way trains the
paper's model as well, on the same objective, so it needs the updates that `paper` was seen to need. Its seconds an update are measured in the same
run (`update.py` defines them), a share before and after each of ours; its total is their product. With `--paper-updates 1000`, after which
`results/first_runs.csv` has 0.696, `paper` is not trained again, and the total is a lower bound.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from update import textbook

from deepseq_nb.core.machine import kept_memory
from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weight_files import cached_weights
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import ModelConfig, preset
from deepseq_nb.model.training import TrainConfig, Trainer
from deepseq_nb.scores.evaluation import evaluate
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import results

MODELS = {"small": preset("small"), "paper": ModelConfig()}


def ours(name: str, seed: int, wanted: float, every: int, most: int) -> dict:
    """Train until the rank correlation is reached; updates, seconds of each part and the correlation."""
    path, assay = registry.find("BLAT_ECOLX"), registry.find("BLAT_ECOLX", kind="assay")
    start = time.perf_counter()
    alignment = Alignment.read(path)
    read = time.perf_counter() - start
    weights = sequence_weights(alignment)
    weigh = time.perf_counter() - start - read
    config, cpu = TrainConfig(steps=1, seed=seed), torch.device("cpu")
    run = fit(alignment, MODELS[name], config, weights=weights)  # for its map of residues
    train, rho, steps = 0.0, 0.0, 0
    with kept_memory():
        start = time.perf_counter()
        model = DeepSequence(MODELS[name], alignment.tokens.shape[1], seed=seed)
        trainer = Trainer(model, alignment.tokens, weights, config, cpu)
        while rho < wanted and steps < most:
            for _ in range(every):
                steps += 1
                trainer.update(steps)
            train += time.perf_counter() - start
            table = score(replace(run, model=model), samples=20, seed=1)
            rho = evaluate(table, assay, "2500", seed=1)["spearman"].value
            start = time.perf_counter()
    return {"updates": steps, "read_s": read, "weigh_s": weigh, "train_s": train, "spearman": rho}


def theirs(updates: int = 8) -> list[float]:
    """Seconds of a few updates, the textbook way."""
    alignment = Alignment.read(registry.find("BLAT_ECOLX"))
    return textbook(alignment, cached_weights(alignment, 0.2), updates)


def apart(threads: int, *arguments: str):
    """What this script prints in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--threads", str(threads), *arguments]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(found.stderr)
    return json.loads(found.stdout.splitlines()[-1])


def compare(args: argparse.Namespace) -> pd.DataFrame:
    """All rows of the table: ours by model and seed, and the textbook's total for the updates of `paper`."""
    rows, textbook_s = [], []
    models = {"small": args.seeds.split(","), "paper": args.seeds.split(",")[:1]}
    if args.paper_updates:
        del models["paper"]
    for name, seeds in models.items():
        for seed in seeds:
            textbook_s += apart(args.threads, "--theirs")
            limits = ["--wanted", str(args.wanted), "--every", str(args.every[name])]
            row = apart(args.threads, "--ours", name, "--seeds", seed, *limits)
            if row["spearman"] < args.wanted:
                raise SystemExit(
                    f"{name} is at {row['spearman']:.3f} after {row['updates']} updates: raise --most"
                )
            total = row["read_s"] + row["weigh_s"] + row["train_s"]
            rows.append({"version": f"ours, {name}", "seed": int(seed), **row, "total_s": total})
            print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False), flush=True)
    textbook_s += apart(args.threads, "--theirs")
    needed = args.paper_updates or rows[-1]["updates"]
    total = needed * float(np.median(textbook_s))
    rows.append(
        {
            "version": f"textbook, training alone{', at least' if args.paper_updates else ''}",
            "updates": needed,
            "total_s": total,
        }
    )
    table = pd.DataFrame(rows)
    return table.assign(times_faster=(total / table.total_s).round(1)).round(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wanted", type=float, default=0.70)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--every", default="50,250", help="updates between looks: small, paper")
    parser.add_argument("--most", type=int, default=6000, help="updates after which to give up")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--paper-updates",
        type=int,
        help="updates after which the paper's model is known not to be there yet, instead of training it",
    )
    parser.add_argument("--save", action="store_true", help="write results/time_to_rank.csv")
    parser.add_argument(
        "--ours", choices=MODELS, help="train this model alone, and print what it took"
    )
    parser.add_argument("--theirs", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if registry.find("BLAT_ECOLX", kind="assay") is None:
        raise SystemExit(
            "BLAT_ECOLX is not here: set DEEPSEQ_DATA, or `deepseq data fetch BLAT_ECOLX`"
        )
    if args.theirs:
        return print(json.dumps(theirs()))
    if args.ours:
        every = int(args.every.split(",")[0])
        return print(json.dumps(ours(args.ours, int(args.seeds), args.wanted, every, args.most)))
    args.every = dict(zip(MODELS, args.every.split(","), strict=True))
    table = compare(args)
    print(table.to_string(index=False))
    if args.save:
        about = {"family": "BLAT_ECOLX", "wanted": args.wanted, "every": args.every}
        about["paper_updates"] = args.paper_updates
        results.save_result("time_to_rank", table, about)


if __name__ == "__main__":
    main()
