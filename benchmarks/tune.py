"""A search of settings by a held-out ELBO on three families, and whether what it chose ranks an assay better.

    DEEPSEQ_DATA=... python benchmarks/tune.py run [FAMILY ...] [--out runs/tune]   searches and trainings; what is finished is not done again
    DEEPSEQ_DATA=... python benchmarks/tune.py table [--out runs/tune] [--save]     results/tuning_trials.csv, tuning_sensitivity.csv, tuning_gain.csv

The families are those for choosing. The search sees no assay. Its best settings and the usual ones are then trained on the whole family with the same seeds and
the same number of updates, and scored (20 samples). The interval of the difference in rank correlation is a bootstrap of variants and of seeds together.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.assays import read_assay
from deepseq_nb.family.notation import canonical_variants
from deepseq_nb.model.choices import recommended
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.scores.metrics import spearman
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import results
from deepseq_nb.studies.trials import (
    TuningConfig,
    configurations_of,
    expected_values,
    knobs,
)
from deepseq_nb.studies.tuning import read_trials, sensitivities, trials_table, tune

DATA = Path(os.environ.get("DEEPSEQ_DATA", "data/cache"))
FAMILIES = {
    "GB1": ("GB1/gb1_metl.a2m", {"first_residue": 227}, "GB1/SPG1_STRSG_Olson_2014.csv", "score"),
    "RL401_YEAST": ("RL401_YEAST/RL401_YEAST_Posani2023.a2m", {}, "RL401_YEAST/RL401_YEAST_Roscoe_2013.csv", "score"),
    "DYR_ECOLI": ("DYR_ECOLI/DHFR.a2m", {}, "DYR_ECOLI/DYR_ECOLI_Thompson_plusLon_2019.csv", "score"),
}  # fmt: skip
SEARCH = TuningConfig(trials=20, steps=200, samples=5, device="cpu")
SEEDS, UPDATES = (1, 2, 3), 600


def alignment_of(family: str) -> Alignment:
    path, how, _, _ = FAMILIES[family]
    return Alignment.read(DATA / path, **how)


def compared(family: str, out: Path) -> Path:
    """Scores of the usual and of the chosen settings with every seed, one file each."""
    alignment, base = alignment_of(family), preset(recommended("cpu").preset)
    trials = read_trials(out / family)
    best = max((t for t in trials if t.state == "finished"), key=lambda t: t.value)
    table = read_assay(DATA / FAMILIES[family][2])
    for name, point in (("usual", trials[0].point), ("chosen", best.point)):
        model, train = configurations_of(point, base)
        for seed in SEEDS:
            file = out / family / f"{name}{seed}.csv"
            if file.exists():
                continue
            told = train.to_json() | {"steps": UPDATES, "seed": seed, "device": "cpu"}
            folder = out / family / f"{name}{seed}"
            run = fit(alignment, model, TrainConfig.from_json(told), folder, shallow="off", resume=True, progress=False)  # fmt: skip
            scores = score(run, table["variant"], progress=False)
            scores.to_csv(file.with_suffix(".part"), index=False)
            file.with_suffix(".part").rename(file)
            print(f"{family}: {name} with seed {seed}", flush=True)
    return out / family


def gain(family: str, out: Path, draws: int = 1000) -> dict[str, object]:
    """Mean rank correlation of both over the seeds, and their difference with its interval."""
    _, _, path, column = FAMILIES[family]
    table = read_assay(DATA / path)
    found = {n: np.stack([pd.read_csv(out / family / f"{n}{s}.csv").score.to_numpy(float) for s in SEEDS]) for n in ("usual", "chosen")}  # fmt: skip
    truth = table[column].to_numpy(float)
    good = (
        np.isfinite(truth)
        & np.isfinite(found["usual"]).all(0)
        & np.isfinite(found["chosen"]).all(0)
    )
    names = np.array(canonical_variants(table["variant"]))
    assert len(set(names[good])) == good.sum(), "a variant is measured twice"
    truth, found = truth[good], {n: s[:, good] for n, s in found.items()}

    def mean(name: str, rows: np.ndarray, seeds: np.ndarray) -> float:
        return float(np.mean([spearman(found[name][s][rows], truth[rows]) for s in seeds]))

    rng, every, seeds = np.random.default_rng(1), np.arange(len(truth)), np.arange(len(SEEDS))
    row = {"family": family, "n": len(truth), "seeds": len(SEEDS), "updates": UPDATES}
    row |= {name: round(mean(name, every, seeds), 4) for name in found}
    differences = []
    for _ in range(draws):
        rows, drawn = rng.choice(every, len(every)), rng.choice(seeds, len(seeds))
        differences.append(mean("chosen", rows, drawn) - mean("usual", rows, drawn))
    low, high = np.quantile(differences, (0.025, 0.975))
    row |= {"difference": round(row["chosen"] - row["usual"], 4)}
    return row | {"low": round(float(low), 4), "high": round(float(high), 4)}


def tables(out: Path) -> dict[str, pd.DataFrame]:
    """All three tables, of the families that are done."""
    made, moved, gained = [], [], []
    for family in FAMILIES:
        trials = read_trials(out / family)
        if len(trials) < SEARCH.trials:
            continue
        made.append(trials_table(trials).assign(family=family))
        space = knobs(preset(recommended("cpu").preset), SEARCH.steps)
        for part, some in (("all", trials), ("without the worst quarter", best_part(trials))):
            found = sensitivities(space, some)
            moved += [{"family": family, "trials": part, "knob": k, "share": round(v, 4)} for k, v in found.items()]  # fmt: skip
        if len(list((out / family).glob("chosen?.csv"))) == len(SEEDS):
            gained.append(gain(family, out))
    names = ("tuning_trials", "tuning_sensitivity", "tuning_gain")
    return dict(zip(names, (pd.concat(made, ignore_index=True), pd.DataFrame(moved), pd.DataFrame(gained)), strict=True))  # fmt: skip


def best_part(trials: list) -> list:
    """The trials above the worst quarter, numbered as they were."""
    values = expected_values(trials)
    lowest = np.quantile(values, 0.25)
    return [trial for trial, value in zip(trials, values, strict=True) if value >= lowest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--out", type=Path, default=Path("runs/tune"))
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    if args.what == "run":
        for family in args.families:
            tune(alignment_of(family), args.out / family, SEARCH, resume=True, echo=lambda line, family=family: print(f"{family}: {line}", flush=True))  # fmt: skip
            compared(family, args.out)
        return
    for name, table in tables(args.out).items():
        print(table.to_string(index=False))
        if args.save and len(table):
            about = {"search": SEARCH.__repr__(), "seeds": SEEDS, "updates": UPDATES}
            print("wrote", results.save_result(name, table, about))


if __name__ == "__main__":
    main()
