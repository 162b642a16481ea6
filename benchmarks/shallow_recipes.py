"""Recipes for shallow and middle depth, on the synthetic family thinned and on the families for choosing.

    DEEPSEQ_DATA=... python benchmarks/shallow_recipes.py scores FOLDER [--cases GB1,BLAT300] [--recipes paper,site] [--seed 1]
    DEEPSEQ_DATA=... python benchmarks/shallow_recipes.py table FOLDER [--save]

`scores` trains the preset `quick` (float32, batches of 100) by each recipe and writes the scores at its stops, FOLDER/CASE-RECIPE-sSEED-UPDATES.csv; what is there is not
made again. BLAT300 is BLAT_ECOLX thinned to 300 rows, syn60 the shipped family thinned to 60. `heldout` trains on four fifths of the sequences and asks for the ELBO
of whole clusters left out. `table` compares with the scan (or the truth), beside letters, the nearest relative and mixtures, and writes results/shallow_recipes.csv.
"""

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import breadth
import numpy as np
import pandas as pd
import torch

from deepseq_nb.core.files import write_atomic
from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import Family
from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.runs import Run, prepare
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.peers.nearest import Nearest
from deepseq_nb.peers.sites import SiteIndependent
from deepseq_nb.scores.metrics import spearman
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import results

QUICK = preset("quick")
NO_SPARSITY = SparsityPrior(kind="none")
# model, width_rate, updates at which it is scored
RECIPES = {
    "paper": (QUICK, 1.0, (250, 500, 1000, 2000)),
    "site": (replace(QUICK, site_prior=True), 30.0, (1000,)),
    "heldout": (QUICK, 1.0, tuple(range(250, 2001, 250))),
    "site-narrow": (replace(QUICK, site_prior=True), 1.0, (250, 1000, 2000)),
    "site-wide": (replace(QUICK, site_prior=True, weight_sigma=3.0), 30.0, (1000,)),
    "little": (
        replace(QUICK, encoder=(64,), latent=4, decoder=(16, 32)), 1.0, (250, 1000, 2000)
    ),
    "EVE-like": (
        replace(QUICK, sparsity=NO_SPARSITY, latent=30, decoder=(64, 256)),
        1.0,
        (250, 1000, 2000),
    ),
}  # fmt: skip
CASES = "GB1,RL401_PF,TRNA_RF00005,BLAT300,BLAT1200,syn60,syn120,syn250,syn500"


def thinned(alignment: Alignment, sequences: int, seed: int) -> Alignment:
    """The focus and `sequences` - 1 others, drawn at random, in their old order."""
    total = len(alignment.tokens)
    others = np.random.default_rng(seed).permutation(total - 1)[: sequences - 1] + 1
    rows = np.r_[0, np.sort(others)]
    names = tuple(alignment.names[i] for i in rows)
    return replace(alignment, tokens=np.ascontiguousarray(alignment.tokens[rows]), names=names)


def family_of(case: str, seed: int) -> Family:
    """The family of a case, thinned where its name ends in a number of rows."""
    found = re.fullmatch(r"(syn|BLAT)(\d+)", case)
    if found is None:
        return breadth.read_family(case)
    whole = (
        Alignment.read(registry.synthetic_path())
        if found[1] == "syn"
        else breadth.read_family("BLAT_ECOLX").alignment
    )
    return Family.of(thinned(whole, int(found[2]), seed), 0.2, progress=False)


def truth_of(case: str) -> pd.Series:
    """Values by variant: of the law itself for the synthetic family, else of the first scan."""
    if case.startswith("syn"):
        table = pd.read_csv(registry.find("synthetic", kind="assay"))
        return pd.Series(table.fitness.to_numpy(), table.iloc[:, 0])
    name = "BLAT_ECOLX" if case.startswith("BLAT") else case
    return breadth.measured(breadth.FAMILIES[name]["assays"][0])


def clusters(tokens: np.ndarray, gap: int, theta: float = 0.2) -> np.ndarray:
    """A number for each sequence (N,): those that share more than 1 - theta, directly or through others, have the same."""
    label = np.full(len(tokens), -1)
    for first in range(len(tokens)):
        if label[first] >= 0:
            continue
        waiting, label[first] = [first], first
        while waiting:
            one = tokens[waiting.pop()]
            there = one < gap
            alike = ((tokens == one) & there).sum(axis=1) / max(there.sum(), 1)
            for other in np.flatnonzero((alike > 1 - theta) & (label < 0)):
                label[other] = first
                waiting.append(other)
    return label


def left_out(family: Family, seed: int, share: float = 0.2) -> np.ndarray:
    """Which sequences (N,) are held out: whole clusters with `share` of the weight, never that of the focus."""
    label, weights = clusters(family.alignment.tokens, family.alignment.gap), family.weights
    out = np.zeros(len(label), dtype=bool)
    for one in np.random.default_rng(seed).permutation(np.unique(label)):
        members = label == one
        small = weights[out | members].sum() <= 2 * share * weights.sum()
        if one != label[0] and small and weights[out].sum() < share * weights.sum():
            out |= members
    return out


def held_out_elbo(model, tokens: np.ndarray, weights: np.ndarray, draws: int = 8) -> float:
    """Weighted mean ELBO of sequences without the price of the weights, nats."""
    generator = torch.Generator().manual_seed(7)
    rows, total = torch.from_numpy(tokens).long(), np.zeros(len(tokens))
    with torch.no_grad():
        for _ in range(draws):
            w = model.decoder.draw(torch.randn(model.decoder.noise_size, generator=generator))
            noise = torch.randn(len(rows), model.config.latent, generator=generator)
            terms = model.elbo(rows, w, noise)
            total += (terms[0] - terms[1]).numpy() / draws
    return float((total * weights).sum() / weights.sum())


def make_scores(folder: Path, case: str, recipe: str, seed: int) -> None:
    """Train one case by one recipe and keep its scores at every stop."""
    stem = f"{case}-{recipe}-s{seed}"
    if (folder / f"{stem}.json").exists():
        return
    family = family_of(case, seed)
    model, width_rate, stops = RECIPES[recipe]
    weights, out = family.weights.copy(), np.zeros(len(family.weights), dtype=bool)
    if recipe == "heldout":
        out = left_out(family, seed)
        weights[out] = 0
    train = TrainConfig(steps=max(stops), seed=seed, width_rate=width_rate)
    trainer = prepare(
        family.alignment, model, train, weights, shallow="off", echo=lambda line: None
    )
    wanted = truth_of(case).index.tolist()
    if case.startswith("TRNA"):
        wanted = breadth.several(case)[:200]
    rows = []
    for step in range(1, train.steps + 1):
        trainer.update(step)
        if step not in stops:
            continue
        run = Run(
            model=trainer.model,
            model_config=model,
            train_config=train,
            focus_map=family.alignment.focus_map,
            history=pd.DataFrame(),
            about={},
        )
        table = score(run, wanted, samples=20, seed=seed, progress=False)
        text = table[["variant", "score"]].to_csv(index=False, lineterminator="\n")
        write_atomic(folder / f"{stem}-{step}.csv", text)
        row = {"case": case, "seed": seed, "recipe": recipe, "rows": len(weights)}
        row |= {"columns": len(family.counts), "neff": round(family.neff, 1), "updates": step}
        if out.any():
            tokens = family.alignment.tokens[out]
            row["heldout"] = round(held_out_elbo(trainer.model, tokens, family.weights[out]), 3)
        rows.append(row)
    write_atomic(folder / f"{stem}.json", json.dumps(rows) + "\n")
    print(stem, flush=True)


def marks(folder: Path, row: dict) -> dict:
    """A row with its rank correlations: the model, letters, nearest, and mixtures by z-score."""
    stem = "{case}-{recipe}-s{seed}-{updates}.csv".format(**row)
    model = pd.read_csv(folder / stem).set_index("variant").score.dropna()
    family, truth = family_of(row["case"], row["seed"]), truth_of(row["case"])
    common = truth.index.intersection(model.index)
    parts = {"model": model[common]}
    for name, maker in {"letters": SiteIndependent, "nearest": Nearest}.items():
        table = maker.fit(family.alignment, family.weights).score(common.tolist())
        parts[name] = pd.Series(table.score.to_numpy(), common)
    parts = {name: one / one.std() for name, one in parts.items()}
    parts["model + letters"] = parts["model"] + parts["letters"]
    parts["model + nearest"] = parts["model"] + parts["nearest"]
    return row | {name: round(spearman(one, truth[common]), 4) for name, one in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("scores", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", default=CASES)
    parser.add_argument("--recipes", default="paper,site,heldout")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write results/shallow_recipes.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.stage == "scores":
        for case in args.cases.split(","):
            for recipe in args.recipes.split(","):
                make_scores(args.folder, case, recipe, args.seed)
        return
    rows = [
        row for path in sorted(args.folder.glob("*.json")) for row in json.loads(path.read_text())
    ]
    table = pd.DataFrame([marks(args.folder, row) for row in rows])
    print(table.to_string())
    if args.save:
        results.save_result("shallow_recipes", table, {"preset": "quick", "samples": 20})


if __name__ == "__main__":
    main()
