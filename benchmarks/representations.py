"""What representations are good for: brightness of GFP variants by ridge regression, and scores without any measurement.

    DEEPSEQ_DATA=... python benchmarks/representations.py scores FOLDER RUN [RUN ...]
    DEEPSEQ_DATA=... python benchmarks/representations.py features FOLDER --size 64 [--random] [--most N]
    DEEPSEQ_DATA=... python benchmarks/representations.py top FOLDER [--save]
    DEEPSEQ_DATA=... python benchmarks/representations.py zero FOLDER [--models NAME,NAME] [--families NAME,NAME]
    DEEPSEQ_DATA=... python benchmarks/representations.py zero-table FOLDER [--save]

`scores` writes the scores of family models: letters counted on avgfp.a2m, and the mean of the RUNs trained on it (`deepseq train avgfp.a2m --first-residue 0`).
`features` writes representations of all variants in one random order, in blocks of 1,024; what is there already is not made again, so it may be stopped at any
time, and `--most` ends early. `top` is the table of nested cross-validation, of few labels and of more changes than were learnt from
(results/representations*.csv). `zero` scores single substitutions by the language model, as published or evotuned (NAME is 64, 256, 1900 or the folder of a tuned
model); `zero-table` is results/unirep_zero_shot.csv.
"""

import argparse
import os
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
from deepseq_nb.peers.sites import SiteIndependent

DATA = Path(os.environ.get("DEEPSEQ_DATA", "."))
BLOCK = 1024
FOLDS = 5
FEW = (24, 96, 384)
DRAWS = 30
TRUST = 100.0  # how much cheaper a family score is than a letter: its penalty is divided by this squared


def gfp_family() -> Family:
    """The family of avGFP; residue 0 is the serine behind the first methionine, as in avgfp.tsv."""
    alignment = Alignment.read(DATA / "GFP_AEQVI" / "avgfp.a2m", first_residue=0)
    return Family.of(alignment, 0.2, progress=False)


def variants() -> pd.DataFrame:
    """Brightness of all variants without a stop, in one random order: variant, number of changes, brightness, sequence."""
    table = pd.read_csv(DATA / "GFP_AEQVI" / "avgfp.tsv", sep="\t")
    table = table[~table.variant.str.contains("*", regex=False)]
    family = gfp_family()
    placed = resolve_variants(table.variant.str.replace(",", ":"), family.alignment.focus_map)
    if not placed.ok.all():
        raise SystemExit(f"avgfp.tsv and avgfp.a2m do not fit: {placed.summary()}")
    whole = proteingym_table(table.assign(variant="", score=0.0), placed, family.alignment.focus_map)
    table = table.assign(sequence="M" + whole.mutated_sequence.to_numpy())
    order = np.random.default_rng(1).permutation(len(table))
    return table.iloc[order].reset_index(drop=True)


def make_scores(folder: Path, runs: list[Path]) -> None:
    """Scores of family models, in the order of `variants`, to scores.csv."""
    table, family = variants(), gfp_family()
    names = table.variant.str.replace(",", ":").tolist()
    sites = SiteIndependent.fit(family.alignment, family.weights)
    made = {"variant": table.variant, "letters": sites.score(names).score}
    if runs:
        for number, one in enumerate(runs, 1):
            made[f"run {number}"] = score(one, names, samples=20, seed=number).score
        made["family model"] = sum(made[f"run {n}"] for n in range(1, len(runs) + 1)) / len(runs)
    text = pd.DataFrame(made).to_csv(index=False, lineterminator="\n")
    write_atomic(folder / "scores.csv", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stages = parser.add_subparsers(dest="stage", required=True)
    one = stages.add_parser("scores")
    one.add_argument("folder", type=Path)
    one.add_argument("runs", type=Path, nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.stage == "scores":
        make_scores(args.folder, args.runs)


if __name__ == "__main__":
    main()
