"""How many samples rank the singles of a family: noise shared with the wild type against independent noise.

    DEEPSEQ_DATA=... python benchmarks/shared_noise.py RUN [--variants 300] [--reference 500]

RUN is a folder made by `deepseq train`. Both estimators are measured in one process; the independent
one draws fresh decoder weights and a fresh z for every evaluation of every variant, as the original
does with one variant at a time. Both are plain evaluations of the definition; `scoring.py` measures the fast estimator.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.model.runs import load_run
from deepseq_nb.model.scorer import Scorer
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies.results import save_result


@torch.no_grad()
def independent(run, variants: list[str], samples: int, rng: np.random.Generator) -> np.ndarray:
    """Mean over samples of ELBO(variant) with noise of its own for each of `variants`, `(samples, V)` cumulative means."""
    table = resolve_variants(variants, run.focus_map)
    tokens = torch.from_numpy(table.tokens(np.arange(len(variants)), run.focus_map.tokens))
    mu, log_sigma = run.model.encoder(tokens)
    sums, means = np.zeros(len(variants)), []
    for _ in range(samples):
        for v in range(len(variants)):
            drawn = Scorer(run.model, int(rng.integers(2**31)), 1).draw(0)
            sums[v] += (
                Scorer(run.model, 0, 1)
                .elbo(tokens[v : v + 1], (mu[v : v + 1], log_sigma[v : v + 1]), drawn)
                .item()
            )
        means.append(sums / (len(means) + 1))
    return np.array(means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument(
        "--variants", type=int, default=300, help="singles for the independent estimator"
    )
    parser.add_argument(
        "--samples", type=int, default=10, help="most samples of the independent estimator"
    )
    parser.add_argument(
        "--reference", type=int, default=500, help="shared samples that stand for the truth"
    )
    parser.add_argument("--out", help="name of a table in results/")
    args = parser.parse_args()
    run = load_run(args.run)
    start = time.perf_counter()
    truth = score(run, samples=args.reference, seed=999, estimator="plain")
    print(
        f"reference: {args.reference} shared samples of {len(truth)} singles in {time.perf_counter() - start:.0f} s"
    )
    rows = []
    for n in (1, 2, 5, 10, 20):
        start = time.perf_counter()
        table = score(run, samples=n, seed=1, estimator="plain")
        rows.append(
            {
                "noise": "shared",
                "samples": n,
                "variants": len(table),
                "seconds": round(time.perf_counter() - start, 2),
                "spearman": round(spearmanr(table.score, truth.score).statistic, 4),
            }
        )
    part = truth.sample(args.variants, random_state=1)
    start = time.perf_counter()
    means = independent(run, part.variant.tolist(), args.samples, np.random.default_rng(1))
    seconds = (time.perf_counter() - start) / args.samples
    for n in sorted(n for n in {1, 2, 5, args.samples} if n <= args.samples):
        rows.append(
            {
                "noise": "independent",
                "samples": n,
                "variants": len(part),
                "seconds": round(seconds * n, 2),
                "spearman": round(spearmanr(means[n - 1], part.score).statistic, 4),
            }
        )
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if args.out:
        parameters = {name: getattr(args, name) for name in ("variants", "samples", "reference")}
        about = {
            "script": "benchmarks/shared_noise.py",
            "focus": run.focus_map.name,
            "updates": run.steps,
        }
        print("wrote", save_result(args.out, table, about | parameters))


if __name__ == "__main__":
    main()
