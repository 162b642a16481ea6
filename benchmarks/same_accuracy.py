"""Is accuracy paid for speed? BLAT after the same number of updates, the plain way and the fast way, over seeds.

    DEEPSEQ_DATA=... python benchmarks/same_accuracy.py [--preset small] [--steps 1000] [--seeds 1,2,3] [--threads 2] [--save]

Two models are trained for each seed from the same start with the same noise, by automatic differentiation and by the loops. Each is scored with 200 plain
samples, the definition, and with the fast estimator at its default. Prints the rank correlation with the assay of all four.
"""

import argparse
import time
from dataclasses import replace

import pandas as pd
import torch

from deepseq_nb.core.machine import kept_memory
from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weight_files import cached_weights
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig, Trainer
from deepseq_nb.scores.evaluation import evaluate
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import results

WAYS = {"automatic differentiation": False, "loops": True}
ESTIMATORS = {"plain": 200, "fast": 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", action="store_true", help="write results/same_accuracy.csv")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    alignment = Alignment.read(registry.find("BLAT_ECOLX"))
    assay, weights = registry.find("BLAT_ECOLX", kind="assay"), cached_weights(alignment, 0.2)
    rows = []
    for seed in map(int, args.seeds.split(",")):
        config = TrainConfig(steps=1, seed=seed)
        run = fit(alignment, preset(args.preset), config, weights=weights)
        for way, fused in WAYS.items():
            model = DeepSequence(preset(args.preset), alignment.tokens.shape[1], seed=seed)
            cpu, start = torch.device("cpu"), time.perf_counter()
            with kept_memory():
                trainer = Trainer(model, alignment.tokens, weights, config, cpu, fused=fused)
                for step in range(1, args.steps + 1):
                    trainer.update(step)
            taken = time.perf_counter() - start
            for estimator, samples in ESTIMATORS.items():
                table = score(replace(run, model=model), samples=samples, estimator=estimator)
                rho = evaluate(table, assay, "2500", seed=1)["spearman"].value
                row = {"seed": seed, "training": way, "estimator": estimator, "spearman": rho}
                rows.append(row | {"train_s": taken})
                print(*(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    table = pd.DataFrame(rows)
    mean = table.groupby(["training", "estimator"]).spearman.mean().unstack()
    print(mean.round(4).to_string())
    if args.save:
        about = {"family": "BLAT_ECOLX", "preset": args.preset, "steps": args.steps}
        results.save_result("same_accuracy", table.round({"spearman": 4, "train_s": 1}), about)


if __name__ == "__main__":
    main()
