"""Models that are averaged: five seeds of the default, and five that differ on purpose in sequences, theta and latent size, on three families.

    DEEPSEQ_DATA=... python benchmarks/ensembles.py run [FAMILY ...] [--out runs/ensembles]    one after the other; a finished trial is not done again
    DEEPSEQ_DATA=... python benchmarks/ensembles.py table [FAMILY ...] [--kinds KIND ...] [--out runs/ensembles] [--save]      results/ensembles.csv, results/ensemble_members.csv

What `table` is not asked for stays in the tables as it was recorded, and their JSON says from which commit.
The trials are those of `annealing.py`: `small` at a constant rate, one thread, all singles scored at sixteen snapshots. `seeds` differ in the seed alone. `varied` ones have a bootstrap of the
clusters of sequences (an exponential weight for each cluster), another theta and another latent size each.
"""

import argparse
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from annealing import DATA, SMALL, Trial, agreement, in_order, recorded, train, with_recorded

from deepseq_nb.scores.background import PROTEOME, log_background
from deepseq_nb.scores.metrics import spearman
from deepseq_nb.studies import results

MEMBERS = 5
THETAS = (0.2, 0.1, 0.3, 0.15, 0.25)
LATENT = (30, 15, 45, 20, 60)
FAMILIES = ("BLAT_ECOLX", "RL401_YEAST", "DYR_ECOLI")
KINDS = ("seeds", "varied")


def trial(family: str, kind: str, member: int) -> Trial:
    """The training of one member, 1 to 5."""
    plain = Trial(family=family, seed=member)
    if kind == "seeds":
        return plain
    model = replace(SMALL, latent=LATENT[member - 1])
    return replace(plain, model=model, theta=THETAS[member - 1], bootstrap=member, clusters=True)


def folder(out: Path, family: str, kind: str, member: int) -> Path:
    return out / f"{family}_{kind}_{member}"


def members(out: Path, family: str, kind: str) -> list[int]:
    """Those that are finished."""
    have = range(1, MEMBERS + 1)
    return [k for k in have if (folder(out, family, kind, k) / "rows.json").exists()]


def snapshot_scores(out: Path, family: str, kind: str, member: int, step: int) -> pd.Series:
    """The scores of all singles by variant."""
    file = folder(out, family, kind, member) / f"s{step}.csv"
    return pd.read_csv(file, index_col=0).score


def kept(scores: pd.Series, family: str) -> pd.Series:
    """On β-lactamase the variants that the original's models have scored; elsewhere all."""
    if family != "BLAT_ECOLX":
        return scores
    theirs = pd.read_csv(DATA / "reference/blat_original_predictions.csv")
    return scores.reindex(theirs.dropna(subset=["vae_1"]).mutant)


def of_record(scores: pd.Series) -> pd.Series:
    """Half of the letters' log frequencies in all proteins taken out, as `deepseq score` does."""
    alphabet = "".join(PROTEOME)
    log_q = dict(zip(alphabet, log_background(alphabet), strict=True))
    return scores - 0.5 * scores.index.map(lambda name: log_q[name[-1]] - log_q[name[0]])


def mean_rank(scores: pd.Series, family: str) -> float:
    """The rank correlation, averaged over the assays of a family."""
    return float(np.mean(list(agreement(scores, family).values())))


def likeness(tables: list[pd.Series]) -> float:
    """The mean rank correlation of two of them; NaN for fewer."""
    pairs = [spearman(a.to_numpy(), b.to_numpy()) for a, b in combinations(tables, 2)]
    return float(np.mean(pairs)) if pairs else np.nan


def original_row() -> list[dict]:
    """The five models that the original's authors trained, by their own predictions, as a row of the table."""
    file = DATA / "reference/blat_original_predictions.csv"
    if not file.exists():
        return []
    theirs = pd.read_csv(file, index_col="mutant").dropna(subset=["vae_1"])
    five = [theirs[f"vae_{k}"] for k in range(1, 6)]
    alone = [[mean_rank(way(s), "BLAT_ECOLX") for s in five] for way in WAYS]
    ranks = [mean_rank(way(sum(five) / 5), "BLAT_ECOLX") for way in WAYS]
    row = {
        "family": "BLAT_ECOLX",
        "kind": "original",
        "updates": 300_000,
        "models": 5,
        "groups": 1,
        "processor_s": np.nan,
        "likeness": round(likeness(five), 4),
    }
    for name, singles, mean in zip(("", "_of_record"), alone, ranks, strict=True):
        row |= {
            f"single{name}": round(float(np.mean(singles)), 4),
            f"spearman{name}": round(mean, 4),
        }
    return [row]


def group_rows(out: Path, family: str, kind: str) -> list[dict]:
    """For each snapshot and number of members: the mean of single models and the model of means, averaged over the assays, beside the seconds that they cost."""
    found, rows = members(out, family, kind), []
    if not found:
        return rows
    logs = {k: recorded(folder(out, family, kind, k), "") for k in found}
    for at, snapshot in enumerate(logs[found[0]]):
        step = snapshot["step"]
        scores = {k: kept(snapshot_scores(out, family, kind, k, step), family) for k in found}
        alone = [[mean_rank(way(s), family) for s in scores.values()] for way in WAYS]
        for size in range(1, len(found) + 1):
            chosen = list(combinations(found, size))
            together = [sum(scores[k] for k in group) / size for group in chosen]
            ranks = [[mean_rank(way(s), family) for s in together] for way in WAYS]
            seconds = [sum(logs[k][at]["cpu_s"] for k in group) for group in chosen]
            rows.append({
                "family": family, "kind": kind, "updates": step, "models": size, "groups": len(chosen),
                "processor_s": round(float(np.mean(seconds)), 1), "single": round(float(np.mean(alone[0])), 4),
                "spearman": round(float(np.mean(ranks[0])), 4), "likeness": round(likeness(list(scores.values())), 4),
                "single_of_record": round(float(np.mean(alone[1])), 4), "spearman_of_record": round(float(np.mean(ranks[1])), 4),
            })  # fmt: skip
    return rows


def member_rows(out: Path, family: str, kind: str) -> list[dict]:
    """The last snapshot of every member, by assay."""
    rows = []
    for k in members(out, family, kind):
        last = recorded(folder(out, family, kind, k), "")[-1]
        scores = kept(snapshot_scores(out, family, kind, k, last["step"]), family)
        given = trial(family, kind, k)
        for assay, rho in agreement(scores, family).items():
            rows.append({
                "family": family, "kind": kind, "member": k, "theta": given.theta, "latent": given.model.latent,
                "updates": last["step"], "processor_s": round(last["cpu_s"], 1), "assay": assay, "spearman": round(rho, 4),
            })  # fmt: skip
    return rows


WAYS = (lambda scores: scores, of_record)  # the difference of the ELBO, and the score of record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("run", "table"))
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--out", type=Path, default=Path("runs/ensembles"))
    parser.add_argument("--save", action="store_true", help="write results/ensemble*.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [(f, kind) for f in args.families or FAMILIES for kind in args.kinds]
    if args.task == "run":
        for family, kind in wanted:
            for member in range(1, MEMBERS + 1):
                train(trial(family, kind, member), folder(args.out, family, kind, member))
        return
    rows = [row for one in wanted for row in group_rows(args.out, *one)]
    groups = pd.DataFrame(rows + original_row())
    alone = pd.DataFrame([row for one in wanted for row in member_rows(args.out, *one)])
    print(alone.to_string(index=False))
    print(groups.groupby(["family", "kind"], sort=False).tail(MEMBERS).to_string(index=False))
    if args.save:
        known = {"samples": 20, "score_seed": 1, "batch_size": 100, "preset": "small"}
        order = [*KINDS, "original"]
        for name, made in (("ensembles", groups), ("ensemble_members", alone)):
            now = {*zip(made.family, made.kind, strict=True)}
            both, kept = with_recorded(
                name, made, lambda old, now=now: [pair in now for pair in zip(old.family, old.kind, strict=True)]
            )  # fmt: skip
            place = both.family.map(FAMILIES.index) + both.kind.map(order.index) / len(order)
            results.save_result(name, in_order(both, place), known | kept)


if __name__ == "__main__":
    main()
