"""Train on the real families with the command line's own defaults and compare with measurements.

    DEEPSEQ_DATA=... python benchmarks/families.py [--families BLAT_ECOLX,...] [--at 250,500,1000]
                                                   [--out families]

One row for each family and number of updates, with the seconds of training alone; `--out NAME`
also writes results/NAME.csv with its provenance.
"""

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd

from deepseq_nb import datasets
from deepseq_nb.alignment import Alignment
from deepseq_nb.evaluation import evaluate
from deepseq_nb.model import preset
from deepseq_nb.results import save_result
from deepseq_nb.scoring import score
from deepseq_nb.training import TrainConfig, fit
from deepseq_nb.weights import sequence_weights

FAMILIES = {  # family: measurement, kind of file, metric, options of reading and evaluating
    "BLAT_ECOLX": ("2500", "assay", "spearman", {}, {}),
    "P53_HUMAN": ("ClinVar_labels", "labels", "auc", {}, {"higher_is_fitter": False}),
    "DLG4_RAT": ("CRIPT", "assay", "spearman", {}, {}),
    "PABP_YEAST": ("log", "assay", "spearman", {}, {}),
    "KUNITZ": (None, None, None, {}, {}),
    "TRNA_RF00005": (None, None, None, {"alphabet": "rna"}, {}),
}


def measure(family: str, at: list[int], seed: int, model: str, runs: Path) -> list[dict]:
    """Train in stretches to each number of updates in `at`, and score after each."""
    column, kind, metric, reading, judging = FAMILIES[family]
    alignment = Alignment.read(datasets.find(family), **reading)
    weights = sequence_weights(alignment)
    rows, seconds, folder = [], 0.0, runs / f"{family}-{model}-{seed}"
    assay = datasets.find(family, kind=kind) if kind else None
    for steps in at:
        start = time.perf_counter()
        run = fit(
            alignment,
            preset(model),
            TrainConfig(steps=steps, seed=seed, checkpoint_every=10**6),
            folder,
            weights=weights,
            resume=True,
        )
        seconds += time.perf_counter() - start
        start = time.perf_counter()
        table = score(run, samples=20, seed=seed)
        row = {
            "family": family,
            "model": model,
            "sequences": len(weights),
            "columns": alignment.tokens.shape[1],
            "neff": round(float(weights.sum()), 1),
            "seed": seed,
            "updates": steps,
            "train_s": round(seconds, 1),
            "score_s": round(time.perf_counter() - start, 1),
            "singles": len(table),
            "median_std_error": round(float(table.std_error.median()), 3),
            "loss": round(run.history.loss.tail(20).mean(), 1),
        }
        if assay is not None:
            if family == "P53_HUMAN":
                table = score(run, pd.read_csv(assay).mutations.tolist(), samples=100, seed=seed)
            result = evaluate(table, assay, column, **judging)
            value = result[metric]
            row |= {
                "metric": metric,
                "value": round(value.value, 4),
                "low": round(value.low, 4),
                "high": round(value.high, 4),
                "n": result.n,
            }
        print(pd.DataFrame([row]).to_string(index=False), flush=True)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--at", default="250,500,1000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="deepsequence")
    parser.add_argument("--out", help="name of a table in results/")
    parser.add_argument(
        "--runs", type=Path, help="folder that keeps the runs (default: a temporary one)"
    )
    args = parser.parse_args()
    rows = []
    for family in args.families.split(","):
        if datasets.find(family) is None:
            print(f"{family}: not here; set DEEPSEQ_DATA or run `deepseq data fetch {family}`")
            continue
        rows += measure(
            family,
            [int(n) for n in args.at.split(",")],
            args.seed,
            args.model,
            args.runs or Path(tempfile.mkdtemp()),
        )
    if args.out:
        parameters = {name: getattr(args, name) for name in ("families", "at", "seed", "model")}
        parameters["script"] = "benchmarks/families.py"
        print("wrote", save_result(args.out, pd.DataFrame(rows), parameters))


if __name__ == "__main__":
    main()
