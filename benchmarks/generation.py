"""What models of real families write: their letters, pairs and nearness, judged beside the family and beside letters alone.

    DEEPSEQ_DATA=... python benchmarks/generation.py KUNITZ=RUNS DLG4_RAT=RUNS [--n 2000] [--sweeps 100] [--save]

RUNS is a folder made by `deepseq train --runs`, or one run. Judged are as many samples of each run, and of a pairwise model
that is fitted to the run's alignment with the run's theta and sampled by Gibbs sweeps from random letters; half as
many sweeps are judged too, to see whether the walk is long enough. Nothing here is timed.
"""

import argparse

import numpy as np
import pandas as pd

from deepseq_nb.family.weight_files import cached_weights
from deepseq_nb.model.runs import Run
from deepseq_nb.peers.potts import Potts
from deepseq_nb.scores.generation import judge_samples, sample_pairs
from deepseq_nb.scores.scoring import load_runs, sample_sequences
from deepseq_nb.studies.results import save_result


def of_pairs(run: Run, n: int, sweeps: int) -> dict[str, list[str]]:
    """Samples of a pairwise model of a run's family, after half of the sweeps and after all."""
    alignment = run.read()
    weights = cached_weights(alignment, run.train_config.theta, progress=False)
    model = Potts.fit(alignment, weights, theta=run.train_config.theta)
    rng = np.random.default_rng(1)
    tokens = rng.integers(alignment.gap, size=(n, alignment.tokens.shape[1])).astype(np.uint8)
    found = {}
    for name in (f"pairs, {sweeps // 2} sweeps", "pairs"):
        tokens = sample_pairs(model.fields, model.couplings, tokens, sweeps // 2, rng)
        found[name] = alignment.decode(tokens)
    return found


def judged(family: str, folder: str, n: int, sweeps: int) -> pd.DataFrame:
    """A row for each model and measure of one family: mean over runs, and their standard deviation."""
    runs = load_runs(folder, "cpu")
    alignment = runs[0].read()
    rows = []

    def add(model: str, table: pd.DataFrame, column: str) -> None:
        for measure, value in zip(table.measure, table[column], strict=True):
            rows.append({"family": family, "model": model, "measure": measure, "value": value})

    for seed, run in enumerate(runs, 1):
        table = judge_samples(sample_sequences(run, n, seed), alignment, run=run, seed=seed)
        add("latent", table, "samples")
        add("letters", table, "letters")
        add("family", table, "family")
        print(family, f"{run.steps:,} updates, {len(alignment.tokens):,} sequences")
        print(table.round(3).to_string(index=False), flush=True)
    for name, samples in of_pairs(runs[0], n, sweeps).items():
        add(name, judge_samples(samples, alignment, run=runs[0], seed=1), "samples")
    found = pd.DataFrame(rows).groupby(["family", "model", "measure"], sort=False).value
    return found.agg(value="mean", spread="std", runs="size").reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="+", metavar="NAME=RUNS")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    tables, about = [], {}
    for item in args.families:
        name, folder = item.split("=", 1)
        runs = load_runs(folder, "cpu")
        tables.append(judged(name, folder, args.n, args.sweeps))
        about[name] = {
            "checksum": runs[0].about["checksum"],
            "neff": runs[0].about["neff"],
            "updates": [run.steps for run in runs],
            "latent": runs[0].model_config.latent,
            "kl_latent": [float(run.history.kl_latent.tail(100).mean()) for run in runs],
            "seeds": [run.train_config.seed for run in runs],
        }
    table = pd.concat(tables, ignore_index=True)
    print(table.round(3).to_string(index=False))
    if args.save:
        parameters = {"script": "benchmarks/generation.py", "n": args.n, "sweeps": args.sweeps}
        print("wrote", save_result("generation", table.round(5), parameters | {"families": about}))


if __name__ == "__main__":
    main()
