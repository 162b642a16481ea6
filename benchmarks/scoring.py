"""What scoring costs: all singles to a wanted rank agreement, and large sets of variants in linear time.

    python benchmarks/scoring.py singles RUN [--reference 2000] [--every 4] [--truth TRUTH.csv] [--out scoring_singles]
    DEEPSEQ_DATA=... python benchmarks/scoring.py scaling GB1 [--preset quick] [--most 149360] [--substitutions 4]
    DEEPSEQ_DATA=... python benchmarks/scoring.py scaling BLAT_ECOLX --most 400000 --substitutions 15

`singles` takes a run made by `deepseq train`. In one process it times the fast and the plain estimator and two kinds of
independent noise, written here from the definition: `independent` draws one set of weights a sample for all variants, another for the wild
type, and a z for every sequence, as a program does that scores mini-batches and subtracts the wild type's own mean;
`one by one` draws weights anew for every variant as well. The truth is `--reference` plain samples of every `--every`-th single (kept in `--truth`, if
given, and read from there next time). Independent noise is sampled a few times only. How many samples it would need for the fast
estimator's agreement is an extrapolation: measured spread, divided by the square root of their number, added to the truth.

`scaling` trains a model for `--steps` updates and scores growing numbers of random variants of the focus sequence; it prints time a
variant and the peak memory of the process so far. With four substitutions on GB1 they are at the assay's four sites.
"""

import argparse
import resource
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.variants import all_singles, resolve_variants
from deepseq_nb.model.runs import fit, load_run
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies.results import save_result

GB1_SITES = (39, 40, 41, 54)  # of Wu et al. 2016
WANTED = 0.999  # rank agreement


@torch.no_grad()
def independent(run, variants: list[str], samples: int, rng: torch.Generator, own_weights: bool):
    """ELBO(variant) - ELBO(wild type) without shared noise, `(samples, V)`, and seconds a sample."""
    model, table = run.model, resolve_variants(variants, run.focus_map)
    tokens = torch.from_numpy(table.tokens(np.arange(len(variants)), run.focus_map.tokens))
    wild = torch.from_numpy(run.focus_map.tokens)[None]
    size = 1 if own_weights else 512

    def weights() -> dict[str, torch.Tensor]:
        return model.decoder.draw(torch.randn(model.decoder.noise_size, generator=rng))

    def elbo(batch, w):
        return model.elbo(
            batch, w, torch.randn(len(batch), model.config.latent, generator=rng)
        ).elbo

    start, deltas = time.perf_counter(), np.empty((samples, len(variants)))
    for row in deltas:
        reference = elbo(wild, weights()).item()
        w = weights()
        for i in range(0, len(tokens), size):
            w = weights() if own_weights and i else w
            row[i : i + size] = elbo(tokens[i : i + size], w).numpy() - reference
    return deltas, (time.perf_counter() - start) / samples


def agreement_at(truth: np.ndarray, deltas: np.ndarray, n: float) -> float:
    """Rank agreement that `n` samples would reach: truth plus noise of the measured spread over sqrt(n).

    What a sample adds to all variants alike changes no rank and is taken out.
    """
    rng = np.random.default_rng(1)
    sigma = (deltas - deltas.mean(1, keepdims=True)).std(0, ddof=1)
    noisy = truth + rng.normal(size=(20, len(truth))) * sigma / np.sqrt(n)
    return float(np.mean([spearmanr(row, truth).statistic for row in noisy]))


def samples_for(truth: np.ndarray, deltas: np.ndarray, wanted: float) -> float:
    """How many samples `agreement_at` wants for this agreement; bisection in the logarithm."""
    low, high = 0.0, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        if agreement_at(truth, deltas, np.exp(middle)) < wanted:
            low = middle
        else:
            high = middle
    return float(np.exp(high))


def reference(run, args) -> pd.Series:
    """Scores of every n-th single by many plain samples, from the file that keeps them or computed now."""
    if args.truth and Path(args.truth).exists():
        return pd.read_csv(args.truth, index_col="variant").score
    start = time.perf_counter()
    names = all_singles(run.focus_map)[:: args.every]
    truth = score(run, names, samples=args.reference, seed=999, estimator="plain")
    print(f"reference: {args.reference} plain samples of {len(names)} singles", end=" ")
    print(f"in {time.perf_counter() - start:.0f} s, standard error {truth.std_error.median():.3f}")
    truth = truth.set_index("variant").score
    if args.truth:
        truth.to_csv(args.truth)
    return truth


def shared_rows(run, truth: pd.Series, seeds: int) -> list[dict]:
    """Median time and agreement over seeds, and the worst agreement, of the two estimators with shared noise, all singles."""
    rows = []
    for estimator, counts in {"fast": (4, 8, 12, 20), "plain": (1, 2, 5, 10, 20)}.items():
        score(run, samples=1, estimator=estimator)  # warm
        for n in counts:
            seconds, agreement = [], []
            for seed in range(1, seeds + 1) if estimator == "fast" else [1]:
                start = time.perf_counter()
                table = score(run, samples=n, seed=seed, estimator=estimator).set_index("variant")
                seconds.append(time.perf_counter() - start)
                agreement.append(spearmanr(table.score[truth.index], truth).statistic)
            rows.append(
                {
                    "noise": f"shared, {estimator}",
                    "samples": n,
                    "seconds": np.median(seconds),
                    "spearman": np.median(agreement),
                    "worst": min(agreement),
                    "how": f"measured, {len(seconds)} seeds",
                }
            )
    return rows


def independent_rows(run, truth: pd.Series, args, targets: list[float]) -> list[dict]:
    """A few samples of independent noise, measured, and the extrapolation to the wanted agreements."""
    rows, rng = [], torch.Generator().manual_seed(1)
    singles = len(all_singles(run.focus_map))
    for name, own, variants, samples in (
        ("independent", False, truth, args.samples),
        ("one by one", True, truth.sample(args.variants, random_state=1), args.samples),
    ):
        deltas, seconds = independent(run, variants.index.tolist(), samples, rng, own)
        seconds *= singles / len(variants) if own else 1
        if not own:  # time all singles, as the others
            seconds = independent(run, all_singles(run.focus_map), 1, rng, own)[1]
        means = deltas.cumsum(0) / np.arange(1, samples + 1)[:, None]
        for n in sorted(n for n in {1, 2, 5, samples} if n <= samples):
            measured = spearmanr(means[n - 1], variants).statistic
            law = agreement_at(variants.to_numpy(), deltas, n)
            rows.append(
                {
                    "noise": name,
                    "samples": n,
                    "seconds": seconds * n,
                    "spearman": measured,
                    "how": f"measured on {len(variants)}, {law:.3f} by the law",
                }
            )
        for target in targets:
            n = samples_for(variants.to_numpy(), deltas, target)
            rows.append(
                {
                    "noise": name,
                    "samples": round(n),
                    "seconds": seconds * n,
                    "spearman": target,
                    "how": "extrapolated",
                }
            )
    return rows


def singles(args) -> None:
    run = load_run(args.run, "cpu")
    truth = reference(run, args)
    rows = shared_rows(run, truth, args.seeds)
    good = next(row for row in rows if row["worst"] >= WANTED)
    rows += independent_rows(run, truth, args, [WANTED, good["spearman"]])
    for row in rows:
        row["fast_is_faster"] = row["seconds"] / good["seconds"]
    table = pd.DataFrame(rows).round({"seconds": 2, "spearman": 5, "worst": 5, "fast_is_faster": 1})
    print(table.to_string(index=False))
    print(
        f"fast: {good['samples']} evaluations, {good['seconds']:.2f} s, agreement {good['spearman']:.5f}"
    )
    if args.out:
        about = {
            "script": "benchmarks/scoring.py singles",
            "focus": run.focus_map.name,
            "updates": run.steps,
            "reference": f"{args.reference} plain samples of {len(truth)} singles",
        }
        print("wrote", save_result(args.out, table, about))


def random_variants(focus_map, most: int, substitutions: int) -> list[str]:
    """All letters at four sites of GB1, or random variants of 1 to `substitutions` changes, at most `most`."""
    wild, residues, letters = focus_map.sequence, focus_map.residues, focus_map.alphabet
    column = {residue: i for i, residue in enumerate(residues)}
    if substitutions == 4 and set(GB1_SITES) <= set(column):
        sites = [(site, wild[column[site]]) for site in GB1_SITES]
        words = (zip(sites, word, strict=True) for word in product(letters, repeat=4))
        texts = (":".join(f"{w}{r}{a}" for (r, w), a in word if a != w) for word in words)
        return [text for text in texts if text][:most]
    rng, texts = np.random.default_rng(1), []
    for _ in range(most):
        where = rng.choice(len(wild), rng.integers(1, substitutions + 1), replace=False)
        new = rng.choice(list(letters), len(where))
        pieces = [
            f"{wild[i]}{residues[i]}{a}" for i, a in zip(where, new, strict=True) if a != wild[i]
        ]
        texts.append(":".join(pieces) or "WT")
    return texts


def scaling(args) -> None:
    path = registry.find(args.family)
    if path is None:
        raise SystemExit(f"{args.family} has no alignment among the known families: choose another")
    alignment = Alignment.read(path)
    run = fit(alignment, preset(args.preset), TrainConfig(steps=args.steps, device="cpu"))
    texts = random_variants(run.focus_map, args.most, args.substitutions)
    rng, rows = np.random.default_rng(2), []
    order = rng.permutation(len(texts))
    for divisor in (64, 16, 4, 1):
        chosen = [texts[i] for i in order[: len(texts) // divisor]]
        start = time.perf_counter()
        table = resolve_variants(chosen, run.focus_map)
        read = time.perf_counter() - start
        scored = score(run, table, samples=args.samples)
        seconds = time.perf_counter() - start - read
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        rows.append(
            {
                "variants": len(chosen),
                "seconds": round(seconds, 2),
                "microseconds a variant and evaluation": round(
                    1e6 * seconds / len(chosen) / args.samples, 1
                ),
                "seconds to read": round(read, 2),
                "peak MB": round(peak),
                "median standard error": round(scored.std_error.median(), 3),
            }
        )
        print(rows[-1], flush=True)
    if args.out:
        about = {"script": "benchmarks/scoring.py scaling", "family": args.family}
        keys = ("preset", "steps", "samples", "substitutions")
        about |= {key: getattr(args, key) for key in keys}
        print("wrote", save_result(args.out, pd.DataFrame(rows), about))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("singles", help="time to a wanted rank agreement")
    one.add_argument("run")
    one.add_argument("--reference", type=int, default=2000, help="plain samples for the truth")
    one.add_argument("--every", type=int, default=4, help="the truth is of every n-th single")
    one.add_argument("--truth", help="a CSV that keeps the truth")
    one.add_argument("--samples", type=int, default=10, help="of independent noise, measured")
    one.add_argument("--variants", type=int, default=40, help="singles to score one by one")
    one.add_argument("--seeds", type=int, default=5, help="of the fast estimator")
    one.set_defaults(command=singles)
    many = commands.add_parser("scaling", help="time and memory of many variants")
    many.add_argument("family")
    many.add_argument("--preset", default="quick")
    many.add_argument("--steps", type=int, default=200)
    many.add_argument("--most", type=int, default=400_000)
    many.add_argument("--substitutions", type=int, default=15)
    many.add_argument("--samples", type=int, default=20)
    many.set_defaults(command=scaling)
    for command in (one, many):
        command.add_argument("--out", help="name of a table in results/")
    args = parser.parse_args()
    args.command(args)


if __name__ == "__main__":
    main()
