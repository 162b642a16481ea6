"""Means over seeds against means over alignments, at the same number of runs: which differences between models are worth having?

    deepseq experiments other_alignments.toml --out RUNS             (the grid of book/performance, default runs, three seeds)
    DEEPSEQ_DATA=... python benchmarks/other_alignments.py FOLDER --grid RUNS [RUNS ...] [--save]

Families of breadth.toml that have another alignment of the same protein (other_alignments.toml). FOLDER is that of benchmarks/breadth.py: scores of runs
are looked for there and made where they are not there. For each pair of alignments and each scan: two runs of the first, two of the second, one of each,
averaged over all choices of seeds, on the variants that all have; then all runs of each and of both. Writes results/other_alignments.csv.
"""

import argparse
import tomllib
from itertools import combinations, product
from pathlib import Path

import breadth
import numpy as np
import pandas as pd
import torch

from deepseq_nb.scores.metrics import spearman
from deepseq_nb.studies import results

OTHERS = tomllib.loads(
    Path(__file__).with_name("other_alignments.toml").read_text(encoding="utf-8")
)


def runs_of(folder: Path, name: str, column: str) -> list[pd.Series]:
    """Scores of every default run of an alignment, each on a spread of 1."""
    files = sorted(p.stem for p in (folder / name).glob("small-auto-s*.csv"))
    found = [breadth.read_scores(folder, name, m, column) for m in files if ".multi" not in m]
    return [one for one in found if one is not None]


def mean_rank(groups, values: np.ndarray) -> float:
    """Rank correlation of the mean of each group's scores, averaged over groups."""
    return float(np.mean([spearman(np.mean(group, axis=0), values) for group in groups]))


def likeness(pairs) -> float:
    """Rank correlation of the two of each pair, averaged."""
    return float(np.mean([spearman(one, other) for one, other in pairs]))


def rows_of(folder: Path, first: str, second: str, column: str) -> list[dict]:
    """A row for each scan of two alignments of one family."""
    both = runs_of(folder, first, column), runs_of(folder, second, column)
    if min(map(len, both)) < 2:
        return []
    family, rows = OTHERS[second]["like"], []
    for assay in breadth.FAMILIES[family]["assays"]:
        values = breadth.measured(assay)
        common = values.index
        for one in [*both[0], *both[1]]:
            common = common.intersection(one.index)
        measured = values[common].to_numpy()
        a, b = ([one[common].to_numpy() for one in runs] for runs in both)
        of_a, of_b = [*combinations(a, 2)], [*combinations(b, 2)]
        mixed = [*product(a, b)]
        every = mean_rank([[np.mean(a, axis=0), np.mean(b, axis=0)]], measured)
        rows.append(
            {
                "family": family,
                "use": breadth.FAMILIES[family]["use"],
                "assay": assay["name"],
                "n": len(common),
                "first": Path(breadth.FAMILIES[first]["alignment"]).name,
                "second": Path(OTHERS[second]["alignment"]).name,
                "score": column,
                "seeds": f"{len(a)} + {len(b)}",
                "one_of_first": mean_rank([[x] for x in a], measured),
                "one_of_second": mean_rank([[x] for x in b], measured),
                "two_of_first": mean_rank(of_a, measured),
                "two_of_second": mean_rank(of_b, measured),
                "one_of_each": mean_rank(mixed, measured),
                "all_of_first": mean_rank([a], measured),
                "all_of_second": mean_rank([b], measured),
                "all_of_both": every,
                "likeness_seeds": likeness(of_a + of_b),
                "likeness_alignments": likeness(mixed),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--grid", type=Path, nargs="*", default=[], help="folders of grids of runs")
    parser.add_argument("--save", action="store_true", help="write results/other_alignments.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, about in OTHERS.items():  # known to the functions of breadth.py from here on
        family = breadth.FAMILIES[about["like"]]
        breadth.FAMILIES.setdefault(name, about | {k: family[k] for k in ("use", "assays")})
    wanted = {about["like"] for about in OTHERS.values()} | OTHERS.keys()
    for (name, model), run in breadth.grid_runs(args.grid).items():
        if name in wanted:
            breadth.make_scores(args.folder, name, model, run)
    rows = [
        row
        for name, about in OTHERS.items()
        for column in ("score", "delta_elbo")
        for row in rows_of(args.folder, about["like"], name, column)
    ]
    table = pd.DataFrame(rows).round(4)
    print(table.drop(columns=["first", "second"]).to_string(index=False))
    if args.save:
        given = {"preset": "small", "steps": "auto", "samples": 20}
        print("wrote", results.save_result("other_alignments", table, given))


if __name__ == "__main__":
    main()
