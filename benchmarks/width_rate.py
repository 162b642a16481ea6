"""Do widths that move faster than means reach a good model sooner? BLAT, preset small, rank correlation and loss along the way.

DEEPSEQ_DATA=... python benchmarks/width_rate.py [--rates 1,3,10] [--marks 500,1000,2000,4000] [--seed 1] [--save]
"""

import argparse
import tempfile

import pandas as pd
import torch

from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weight_files import cached_weights
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.scores.evaluation import evaluate
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import results


def trajectory(rate: float, marks: list[int], seed: int):
    """One row for each mark."""
    alignment = Alignment.read(registry.find("BLAT_ECOLX"))
    assay, weights = registry.find("BLAT_ECOLX", kind="assay"), cached_weights(alignment, 0.2)
    with tempfile.TemporaryDirectory() as folder:
        for updates in marks:
            config = TrainConfig(steps=updates, seed=seed, width_rate=rate, checkpoint_every=10**9)
            run = fit(alignment, preset("small"), config, folder, weights=weights, resume=True)
            rho = evaluate(score(run, samples=20), assay, "2500", seed=1)["spearman"].value
            last = run.history.tail(50).mean()
            logs = [weight.log_sigma.flatten() for weight in run.model.decoder.weights.values()]
            yield {
                "width_rate": rate,
                "updates": updates,
                "spearman": round(rho, 4),
                "loss": round(last.loss, 1),
                "kl_weights": round(last.kl_weights, 1),
                "median_width": round(torch.cat(logs).exp().median().item(), 3),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", default="1,3,10")
    parser.add_argument("--marks", default="500,1000,2000,4000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write results/width_rate.csv")
    args = parser.parse_args()
    marks, rows = [int(mark) for mark in args.marks.split(",")], []
    for rate in map(float, args.rates.split(",")):
        for row in trajectory(rate, marks, args.seed):
            rows.append(row)
            print(*(f"{key} {value}" for key, value in row.items()), flush=True)
    if args.save:
        about = {"family": "BLAT_ECOLX", "preset": "small", "seed": args.seed}
        results.save_result("width_rate", pd.DataFrame(rows), about)


if __name__ == "__main__":
    main()
