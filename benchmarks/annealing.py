"""What makes a run rank better: how fast the widths of the weights grow, the rate and its schedule, size, sparsity, a bootstrap of the sequences.

    DEEPSEQ_DATA=... python benchmarks/annealing.py run [TRIAL ...] [--out runs/annealing]    one after the other; a finished trial is not done again
    DEEPSEQ_DATA=... python benchmarks/annealing.py table [--out runs/annealing] [--save]     results/annealing.csv, results/annealing_pairs.csv, results/annealing_means.csv

Trials that are not in the folder of `table` stay in the tables as they were recorded.

Each trial is a training on one thread whose model is scored at snapshots (all singles, 20 samples, seed 1, as `deepseq score`) and compared with its assays.
A rate of `cosine` falls to one per cent of the first over all updates. Processor seconds are of the training alone, taken beside other work.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from deepseq_nb.core.machine import kept_memory
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.clusters import clusters
from deepseq_nb.family.depth import Family
from deepseq_nb.model.priors import GaussianWeight, SparsityPrior
from deepseq_nb.model.runs import Run, prepare
from deepseq_nb.model.sizes import ModelConfig, preset
from deepseq_nb.model.training import TrainConfig, Trainer
from deepseq_nb.scores.metrics import spearman
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import results

DATA = Path(os.environ.get("DEEPSEQ_DATA", "data/cache"))
SMALL = preset("small")
MEDIUM = ModelConfig(encoder=(500, 500), decoder=(100, 500))
PLAIN = ModelConfig(
    encoder=(300, 300), decoder=(50, 200), conv=20, sparsity=SparsityPrior(kind="none")
)
ASSAYS = {
    "BLAT_ECOLX": {"Stiffler 2015": ("BLAT_ECOLX/BLAT_ECOLX_Ranganathan2015.csv", "2500")},
    "RL401_YEAST": {
        "Roscoe 2013": ("RL401_YEAST/RL401_YEAST_Roscoe_2013.csv", "score"),
        "Roscoe 2014": ("RL401_YEAST/RL401_YEAST_Roscoe_2014.csv", "score"),
        "Mavor 2016": ("RL401_YEAST/RL401_YEAST_Mavor_2016.csv", "score"),
    },
    "DYR_ECOLI": {"Thompson 2019": ("DYR_ECOLI/DYR_ECOLI_Thompson_plusLon_2019.csv", "score")},
}
ALIGNMENTS = {
    "BLAT_ECOLX": "BLAT_ECOLX/BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m",
    "RL401_YEAST": "RL401_YEAST/RL401_YEAST_Posani2023.a2m",
    "DYR_ECOLI": "DYR_ECOLI/DHFR.a2m",
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    family: str = "BLAT_ECOLX"
    model: ModelConfig = field(default_factory=lambda: SMALL)
    rate: float = 0.001
    schedule: str = "constant"
    width_rate: float = 1.0
    steps: int = 8000
    seed: int = 1
    bootstrap: int = 0  # seed of the exponential weights of the sequences; 0: none
    clusters: bool = False  # one exponential weight for a cluster of sequences, not for each
    theta: float = 0.2


TRIALS = {
    "constant": Trial(),
    "constant, seed 2": Trial(seed=2),
    "slow widths": Trial(width_rate=0.4, steps=12000),
    "high rate": Trial(rate=0.003, schedule="cosine"),
    "high rate, widths x 3": Trial(rate=0.003, schedule="cosine", width_rate=3),
    "high rate, widths x 3, seed 2": Trial(rate=0.003, schedule="cosine", width_rate=3, seed=2),
    "high rate, widths x 3, bootstrap": Trial(
        rate=0.003, schedule="cosine", width_rate=3, seed=2, bootstrap=2
    ),
    "high rate, widths x 10": Trial(rate=0.003, schedule="cosine", width_rate=10),
    "no sparsity, high rate, widths x 3": Trial(
        model=PLAIN, rate=0.003, schedule="cosine", width_rate=3
    ),
    "medium": Trial(model=MEDIUM),
    "medium, high rate, widths x 3": Trial(
        model=MEDIUM, rate=0.003, schedule="cosine", width_rate=3, steps=6000
    ),
    "ubiquitin, constant": Trial(family="RL401_YEAST"),
    "ubiquitin, high rate": Trial(family="RL401_YEAST", rate=0.003, schedule="cosine"),
    "ubiquitin, high rate, widths x 3": Trial(
        family="RL401_YEAST", rate=0.003, schedule="cosine", width_rate=3
    ),
    "ubiquitin, high rate, widths x 10": Trial(
        family="RL401_YEAST", rate=0.003, schedule="cosine", width_rate=10
    ),
    "ubiquitin, highest rate, widths x 3": Trial(
        family="RL401_YEAST", rate=0.01, schedule="cosine", width_rate=3
    ),
}


def pace(trial: Trial, step: int) -> float:
    """The share of the rate at an update, as it was when the tables were recorded; the cosine of
    `TrainConfig.schedule` came later and ends a little differently."""
    if trial.schedule == "constant":
        return 1.0
    return max(0.01, 0.5 * (1 + np.cos(np.pi * step / trial.steps)))


def median_width(trainer: Trainer) -> float:
    """Of the decoder's weights."""
    weights = trainer.model.decoder.weights.values()
    widths = [w.log_sigma.detach().flatten() for w in weights if isinstance(w, GaussianWeight)]
    return float(torch.cat(widths).exp().median())


def agreement(scores: pd.Series, family: str) -> dict[str, float]:
    """Spearman's correlation with each assay of the family."""
    found = {}
    for name, (file, column) in ASSAYS[family].items():
        table = pd.read_csv(DATA / file)
        measured = table.set_index("mutant")[column].dropna()
        measured = measured[~measured.index.duplicated()]
        both = measured.index.intersection(scores.dropna().index)
        found[name] = spearman(scores[both].to_numpy(), measured[both].to_numpy())
    return found


def train(trial: Trial, folder: Path) -> None:
    """One trial with its snapshots, into a folder; nothing where it is finished."""
    if (folder / "rows.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    log.unlink(missing_ok=True)
    alignment = Alignment.read(DATA / ALIGNMENTS[trial.family])
    config = TrainConfig(
        steps=trial.steps,
        learning_rate=trial.rate,
        width_rate=trial.width_rate,
        seed=trial.seed,
        theta=trial.theta,
    )
    family = Family.of(alignment, config.theta)
    weights = family.weights.copy()
    if trial.bootstrap:
        drawn = np.random.default_rng(trial.bootstrap).exponential(size=len(weights))
        weights *= drawn[clusters(alignment)] if trial.clusters else drawn
        weights *= family.neff / weights.sum()
    trainer = prepare(alignment, trial.model, config, weights, shallow="off")
    first = [group["lr"] for group in trainer.optimiser.param_groups]
    every = trial.steps // 16
    rows, history, spent = [], [], 0.0
    with kept_memory():
        for step in range(1, trial.steps + 1):
            start = time.process_time()
            for group, rate in zip(trainer.optimiser.param_groups, first, strict=True):
                group["lr"] = rate * pace(trial, step)
            history.append(trainer.update(step).tolist())
            spent += time.process_time() - start
            if step % every and step != trial.steps:
                continue
            run = Run(
                model=trainer.model,
                model_config=trial.model,
                train_config=config,
                focus_map=alignment.focus_map,
                history=pd.DataFrame(),
                about={"checksum": alignment.checksum},
            )
            table = score(run, background="none")
            table[["variant", "score"]].to_csv(folder / f"s{step}.csv", index=False)
            terms = np.mean(history[-200:], axis=0)
            row = {"step": step, "cpu_s": spent, "loss": terms[0], "rec": -terms[1]}
            row |= {"klz": terms[2], "klw": terms[3], "width": median_width(trainer)}
            ranks = agreement(table.set_index("variant").score, trial.family)
            rows.append(row | {"ranks": list(ranks.values())})
            print(folder.name, rows[-1], flush=True)
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    (folder / "rows.json").write_text(json.dumps({"rows": rows}))


def recorded(out: Path, name: str) -> list[dict]:
    """The snapshots of a trial; those of one that was cut off, too."""
    folder = out / name
    if (folder / "rows.json").exists():
        return json.loads((folder / "rows.json").read_text())["rows"]
    log = folder / "log.txt"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, int]:
    """A row for each snapshot and assay; the last snapshots on BLAT compared with the original's five models, in pairs; means of several models; and how many variants these are over."""
    rows, last = [], {}
    for name, trial in TRIALS.items():
        for row in recorded(out, name):
            given = {
                "trial": name, "family": trial.family, "rate": trial.rate, "schedule": trial.schedule,
                "width_rate": trial.width_rate, "seed": trial.seed, "planned": trial.steps,
                "updates": row["step"], "processor_s": round(row["cpu_s"], 1), "loss": round(row["loss"], 2),
                "reconstruction": round(row["rec"], 2), "kl_latent": round(row["klz"], 2),
                "kl_weights": round(row["klw"], 2), "median_width": round(row["width"], 3),
            }  # fmt: skip
            for assay, rho in zip(ASSAYS[trial.family], row["ranks"], strict=True):
                rows.append(given | {"assay": assay, "spearman": round(rho, 4)})
            if trial.family == "BLAT_ECOLX":
                last[name] = pd.read_csv(out / name / f"s{row['step']}.csv", index_col=0).score
    theirs = pd.read_csv(DATA / "reference/blat_original_predictions.csv")
    theirs = theirs.dropna(subset=["vae_1"]).set_index("mutant")
    models = {f"original {k}": theirs[f"vae_{k}"] for k in range(1, 6)}
    models |= {name: scores.reindex(theirs.index) for name, scores in last.items()}
    measured, pairs = theirs["2500"].to_numpy(), []
    alone = {name: spearman(x.to_numpy(), measured) for name, x in models.items()}
    for one, other in combinations(models, 2):
        a, b = models[one], models[other]
        pairs.append({
            "one": one, "other": other, "correlation": round(spearman(a.to_numpy(), b.to_numpy()), 4),
            "spearman_one": round(alone[one], 4), "spearman_other": round(alone[other], 4),
            "spearman_mean": round(spearman(((a + b) / 2).to_numpy(), measured), 4),
        })  # fmt: skip
    groups = {
        "the original's five models": [f"original {k}" for k in range(1, 6)],
        "constant rate, two seeds": ["constant", "constant, seed 2"],
    }
    means = []
    for group, names in groups.items():
        if not {*names} <= {*models}:
            continue
        together = sum(models[name] for name in names) / len(names)
        singles = [alone[name] for name in names]
        means.append({
            "group": group, "models": len(names), "spearman_single_mean": round(float(np.mean(singles)), 4),
            "spearman_of_mean": round(spearman(together.to_numpy(), measured), 4),
        })  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(pairs), pd.DataFrame(means), len(theirs)


def with_recorded(
    name: str, made: pd.DataFrame, replaced: Callable[[pd.DataFrame], Any]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """`made` behind the recorded rows that it does not replace; and whence those are."""
    if (before := results.read_result(name)) is None:
        return made, {}
    old, origin = before
    kept = old[~np.asarray(replaced(old), dtype=bool)]
    if kept.empty:
        return made, {}
    said = f"{len(kept)} rows of commit {origin['commit']}, {origin['made'][:10]}"
    earlier = origin["parameters"].get("kept")
    both = pd.concat([kept, made], ignore_index=True)
    return both, {"kept": f"{said}; in them {earlier}" if earlier else said}


def in_order(table: pd.DataFrame, place: pd.Series) -> pd.DataFrame:
    """The rows by their place, those of one place as they stand."""
    return table.loc[place.sort_values(kind="stable").index].reset_index(drop=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("run", "table"))
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help="; ".join(TRIALS))
    parser.add_argument("--out", type=Path, default=Path("runs/annealing"))
    parser.add_argument("--save", action="store_true", help="write results/annealing*.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.task == "run":
        for name in args.trials or TRIALS:
            train(TRIALS[name], args.out / name)
        return
    snapshots, pairs, means, variants = tables(args.out)
    last = snapshots.groupby(["trial", "assay"], sort=False).tail(1)
    print(last[["trial", "assay", "updates", "median_width", "spearman"]].to_string(index=False))
    if args.save:
        known = {"samples": 20, "score_seed": 1, "batch_size": 100, "theta": 0.2}
        compared = known | {"variants": variants}
        now = {*snapshots.trial}
        again = {*zip(pairs.one, pairs.other, strict=True)}
        groups = {*means.group}
        replaced = {
            "annealing": (snapshots, known, lambda old: old.trial.isin(now)),
            "annealing_pairs": (pairs, compared, lambda old: [
                bool(now & {*pair}) or pair in again for pair in zip(old.one, old.other, strict=True)
            ]),
            "annealing_means": (means, compared, lambda old: old.group.isin(groups)),
        }  # fmt: skip
        for name, (made, about, which) in replaced.items():
            whole, kept = with_recorded(name, made, which)
            if name == "annealing":
                whole = in_order(whole, whole.trial.map([*TRIALS].index))
            results.save_result(name, whole, about | kept)


if __name__ == "__main__":
    main()
