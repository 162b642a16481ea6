"""What representations are good for: brightness of GFP variants by ridge regression, beside letters and family models.

    DEEPSEQ_DATA=... python benchmarks/representations.py scores FOLDER RUN [RUN ...]
    DEEPSEQ_DATA=... python benchmarks/representations.py features FOLDER SIZE [--random] [--most N]
    DEEPSEQ_DATA=... python benchmarks/representations.py top FOLDER [--save]

`scores` writes the scores of family models: letters counted on avgfp.a2m, and the mean of the RUNs trained on it (`deepseq train avgfp.a2m --first-residue 0`).
`features` writes representations of all variants in one random order, in blocks of 1,024; what is there already is not made again, so it may be stopped at any
time, and `--most` ends early. `--random` takes a network that has learnt nothing. `top` makes the tables of nested cross-validation, of more changes than were learnt
from, and of few labels: results/representations.csv, results/representations_changes.csv, results/representations_few.csv. What it has predicted is kept in FOLDER too.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from deepseq_nb.core.files import write_atomic
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import Family
from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.peers.mixing import score
from deepseq_nb.peers.representations import get_reps
from deepseq_nb.peers.ridge import nested_ridge, ridge_by_folds, ridge_of_few
from deepseq_nb.peers.sites import SiteIndependent
from deepseq_nb.peers.transformers import OneHot
from deepseq_nb.peers.unirep import UniRep
from deepseq_nb.peers.unirep_fast import Recurrence
from deepseq_nb.peers.unirep_weights import load_unirep
from deepseq_nb.scores.metrics import spearman
from deepseq_nb.scores.outputs import proteingym_table
from deepseq_nb.studies import results

DATA = Path(os.environ.get("DEEPSEQ_DATA", "."))
BLOCK = 1024
FOLDS = 5
RESAMPLES = 100
LABELS = (24, 96, 384)
DRAWS = 30
TEST = 512  # rows that few labels are judged on, the first of the random order
TRUST = 100.0  # a family score is multiplied by it, in units of its spread
GROUPS = {"3": (3, 3), "4": (4, 4), "5": (5, 5), "6 and more": (6, 99), "3 and more": (3, 99)}
COMBINED = (
    "letters + letter counts",
    "letters + family model",
    "64 + family model",
    "256 + family model",
    "1900 + family model",
    "letters + 64",
    "letters + 64 + family model",
    "letters + 1900 + family model",
)


def gfp_family() -> Family:
    """The family of avGFP; residue 0 is the serine behind the first methionine, as in avgfp.tsv."""
    alignment = Alignment.read(DATA / "GFP_AEQVI" / "avgfp.a2m", first_residue=0)
    return Family.of(alignment, 0.2, progress=False)


def variants() -> pd.DataFrame:
    """All variants without a stop in one random order: variant, num_mutations, score (brightness), sequence."""
    table = pd.read_csv(DATA / "GFP_AEQVI" / "avgfp.tsv", sep="\t")
    table = table[~table.variant.str.contains("*", regex=False)]
    table = table.assign(variant=table.variant.str.replace(",", ":"))
    focus_map = gfp_family().alignment.focus_map
    placed = resolve_variants(table.variant, focus_map)
    if not placed.ok.all():
        raise SystemExit(f"avgfp.tsv and avgfp.a2m do not fit: {placed.summary()}")
    whole = proteingym_table(table, placed, focus_map).mutated_sequence
    table = table.assign(sequence="M" + whole.to_numpy())
    order = np.random.default_rng(1).permutation(len(table))
    return table.iloc[order].reset_index(drop=True)


def make_scores(folder: Path, runs: list[Path]) -> None:
    """Scores of family models, in the order of `variants`, to scores.csv."""
    table, family = variants(), gfp_family()
    names = table.variant.tolist()
    sites = SiteIndependent.fit(family.alignment, family.weights)
    made = {"variant": table.variant, "letter counts": sites.score(names).score}
    if runs:
        made["family model"] = score(runs, names, samples=20, progress=False).score
    text = pd.DataFrame(made).to_csv(index=False, lineterminator="\n")
    write_atomic(folder / "scores.csv", text)


def network(size: int, random: bool) -> UniRep:
    """The published model of a size, or one of its shape that has learnt nothing."""
    published = load_unirep(size)
    if not random:
        return published
    return UniRep(published.config, generator=torch.Generator().manual_seed(1))


def make_features(folder: Path, size: int, random: bool, most: int) -> None:
    """Mean hidden states of the variants, in blocks, to NAME-BLOCK.npy."""
    sequences = variants().sequence.tolist()
    name = f"random {size}" if random else str(size)
    model = Recurrence(network(size, random))
    for number, start in enumerate(range(0, min(most, len(sequences)), BLOCK)):
        path = folder / "features" / f"{name}-{number:03d}.npy"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        made = get_reps(sequences[start : start + BLOCK], model=model, progress=False)[0]
        with open(path.with_suffix(".part"), "wb") as file:
            np.save(file, made)
        path.with_suffix(".part").rename(path)
        print(path.name, f"{time.perf_counter() - begun:.0f} s", flush=True)


def read_features(folder: Path, name: str) -> np.ndarray | None:
    """What there is of a representation `(n, size)`, each number in units of its spread; None for nothing."""
    paths = sorted((folder / "features").glob(f"{name}-*.npy"))
    whole = [path for number, path in enumerate(paths) if path.stem.endswith(f"-{number:03d}")]
    if not whole:
        return None
    found = np.concatenate([np.load(path) for path in whole]).astype(np.float64)
    return (found - found.mean(0)) / np.maximum(found.std(0), 1e-9)


def described(folder: Path, table: pd.DataFrame) -> dict[str, sparse.csr_array]:
    """The ways to describe variants, by name: rows in the order of `variants`, some of them fewer than all."""
    parts = {"letters": OneHot().fit_transform(table.sequence)}
    for name in ("random 64", "64", "256", "1900"):
        found = read_features(folder, name)
        if found is not None:
            parts[name] = sparse.csr_array(found)
    kept = pd.read_csv(folder / "scores.csv")
    for name in ("letter counts", "family model"):
        if name in kept:
            column = (kept[name] - kept[name].mean()) / kept[name].std()
            parts[name] = sparse.csr_array(TRUST * column.to_numpy()[:, None])
    # letters and representations share a penalty: as much spread in each
    for name, rows in parts.items():
        if name not in kept:
            mean = np.asarray(rows.mean(axis=0)).ravel()
            spread = float((rows.multiply(rows)).sum()) / rows.shape[0] - float(mean @ mean)
            parts[name] = rows / np.sqrt(spread) * 10
    ways = dict(parts)
    for name in COMBINED:
        names = name.split(" + ")
        if all(one in parts for one in names):
            n = min(parts[one].shape[0] for one in names)
            ways[name] = sparse.hstack([parts[one][:n] for one in names], format="csr")
    return ways


def resampled(predicted: dict[str, np.ndarray], truth: np.ndarray, beside: str) -> list[dict]:
    """Rank correlation of each prediction with its interval, and its gain over one of them, by the same resamples of the variants."""
    rng = np.random.default_rng(1)
    draws = rng.integers(len(truth), size=(RESAMPLES, len(truth)))
    again = {
        name: np.array([spearman(values[draw], truth[draw]) for draw in draws])
        for name, values in predicted.items()
    }
    rows = []
    for name, values in predicted.items():
        low, high = np.quantile(again[name], (0.025, 0.975))
        gain = np.quantile(again[name] - again[beside], (0.025, 0.975))
        mark = spearman(values, truth)
        rows.append(
            {"described by": name, "value": mark, "low": low, "high": high}
            | {"gain": mark - spearman(predicted[beside], truth)}
            | {"gain_low": gain[0], "gain_high": gain[1]}
        )
    return rows


def predictions(folder: Path, key: str, n: int, make) -> np.ndarray:
    """Predictions that are kept in FOLDER/predicted, or made and kept."""
    path = folder / "predicted" / f"{key}-{n}.npy"
    if path.exists():
        return np.load(path)
    begun = time.perf_counter()
    made, told = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path.with_suffix(".json"), json.dumps(told) + "\n")
    with open(path.with_suffix(".part"), "wb") as file:
        np.save(file, made)
    path.with_suffix(".part").rename(path)
    print(path.stem, told, f"{time.perf_counter() - begun:.0f} s", flush=True)
    return made


def five_folds(folder: Path, ways: dict, table: pd.DataFrame, n: int) -> list[dict]:
    """Each fifth of the first n rows predicted from the others, by every way that describes them all."""
    truth = table.score.to_numpy()[:n]
    folds = np.random.default_rng(2).permutation(n) % FOLDS
    found = {}
    for name, rows in ways.items():
        if rows.shape[0] < n:
            continue

        def make(rows=rows):
            made = nested_ridge(rows[:n], truth, folds)
            return made.predictions, {"penalties": made.penalties, "edge": made.at_the_edge}

        if name in ("letter counts", "family model"):  # alone: no label is used
            found[f"{name}, no labels"] = rows[:n].toarray()[:, 0]
        else:
            found[name] = predictions(folder, f"folds {name}", n, make)
    return [{"n": n, **row} for row in resampled(found, truth, "letters")]


def more_changes(folder: Path, ways: dict, table: pd.DataFrame, n: int) -> list[dict]:
    """Variants of three and more changes predicted from those of one and two, among the first n rows."""
    truth, changes = table.score.to_numpy()[:n], table.num_mutations.to_numpy()[:n]
    learn = np.flatnonzero(changes <= 2)
    folds = np.random.default_rng(3).permutation(len(learn)) % FOLDS
    found = {}
    for name, rows in ways.items():
        if rows.shape[0] < n:
            continue

        def make(rows=rows):
            fit, penalty = ridge_by_folds(rows[learn], truth[learn], folds)
            return fit.predict(rows[:n])[:, 0], {"penalty": penalty}

        if name in ("letter counts", "family model"):
            found[f"{name}, no labels"] = rows[:n].toarray()[:, 0]
        else:
            found[name] = predictions(folder, f"changes {name}", n, make)
    made = []
    for group, (least, most) in GROUPS.items():
        asked = (changes >= least) & (changes <= most)
        some = {name: values[asked] for name, values in found.items()}
        about = {"n": n, "learnt from": len(learn), "changes": group, "asked": int(asked.sum())}
        made += [about | row for row in resampled(some, truth[asked], "letters")]
    return made


def few_labels(ways: dict, table: pd.DataFrame, n: int) -> list[dict]:
    """Marks on the first rows after learning from few of the others, among the first n: the mean over draws of labels and its interval.

    Of the ways that describe more than n rows only the letters are asked, for the gain; there are no labels where they would be half of those to draw from.
    """
    truth, changes = table.score.to_numpy(), table.num_mutations.to_numpy()
    pools = {"any": np.arange(TEST, n)}
    pools["one or two changes"] = pools["any"][changes[pools["any"]] <= 2]
    here = {k: v for k, v in ways.items() if k == "letters" or v.shape[0] == n}
    tests = {name: rows[:TEST].toarray() for name, rows in here.items()}
    asked, made = truth[:TEST], []
    for source, pool in pools.items():
        for labels in LABELS:
            if 2 * labels > len(pool):
                continue
            rng = np.random.default_rng(labels)
            draws = [rng.choice(pool, labels, replace=False) for _ in range(DRAWS)]
            marks = {
                name: np.array([_mark_of(rows, tests[name], truth, d, asked) for d in draws])
                for name, rows in here.items()
            }
            about = {"n": n, "labels": labels, "from": source, "pool": len(pool)}
            made += [about | row for row in _over_draws(marks)]
            print(n, source, labels, flush=True)
    return made


def _over_draws(marks: dict[str, np.ndarray]) -> list[dict]:
    """Means over draws with their 95 % intervals, and the gains over letters of the same draws."""
    rows = []
    for name, values in marks.items():
        row = {"described by": name, "draws": len(values), "spread": values.std(ddof=1)}
        for kind, one in {"value": values, "gain": values - marks["letters"]}.items():
            half = 1.96 * one.std(ddof=1) / np.sqrt(len(one))
            words = ("low", "high") if kind == "value" else ("gain_low", "gain_high")
            bounds = (one.mean() - half, one.mean() + half)
            row |= {kind: one.mean(), **dict(zip(words, bounds, strict=True))}
        rows.append(row)
    return rows


def _mark_of(
    rows: sparse.csr_array,
    tests: np.ndarray,
    truth: np.ndarray,
    draw: np.ndarray,
    asked: np.ndarray,
) -> float:
    """The mark of one draw of labels; 0 where all predictions are alike."""
    fit, _ = ridge_of_few(rows[draw], truth[draw])
    mark = spearman(fit.predict(tests)[:, 0], asked)
    return mark if np.isfinite(mark) else 0.0


def make_tables(folder: Path, save: bool) -> None:
    """The three tables, printed and, if asked, written to results/."""
    table = variants()
    ways = described(folder, table)
    sizes = sorted({rows.shape[0] for rows in ways.values()}, reverse=True)
    # five folds: of all variants, of those with the smallest network, of those with the largest
    nested = sorted({sizes[0], sizes[-1], ways["64"].shape[0]}, reverse=True)
    print({name: rows.shape for name, rows in ways.items()}, flush=True)
    tables = {
        "representations": [row for n in nested for row in five_folds(folder, ways, table, n)],
        "representations_changes": [
            row for n in nested[:2] for row in more_changes(folder, ways, table, n)
        ],
        "representations_few": [row for n in sizes for row in few_labels(ways, table, n)],
    }
    about = {"folds": FOLDS, "resamples": RESAMPLES, "trust": TRUST, "test rows of few": TEST}
    about |= {
        "family model": "mean of the runs given to `scores`",
        "variants": len(table),
        "rows": {k: int(v.shape[0]) for k, v in ways.items()},
    }
    for name, rows in tables.items():
        made = pd.DataFrame(rows).round(4)
        print(made.to_string())
        if save:
            results.save_result(name, made, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stages = parser.add_subparsers(dest="stage", required=True)
    one = stages.add_parser("scores")
    one.add_argument("folder", type=Path)
    one.add_argument("runs", type=Path, nargs="*")
    two = stages.add_parser("features")
    two.add_argument("folder", type=Path)
    two.add_argument("size", type=int)
    two.add_argument("--random", action="store_true")
    two.add_argument("--most", type=int, default=1_000_000)
    three = stages.add_parser("top")
    three.add_argument("folder", type=Path)
    three.add_argument("--save", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.stage == "scores":
        make_scores(args.folder, args.runs)
    elif args.stage == "features":
        make_features(args.folder, args.size, args.random, args.most)
    else:
        make_tables(args.folder, args.save)


if __name__ == "__main__":
    main()
