"""What a language model says of single substitutions without any measurement, as published and tuned to the family, beside models of the family.

    DEEPSEQ_DATA=... python benchmarks/unirep_zero_shot.py tune FOLDER SIZE FAMILY [--rates 1e-3,1e-4] [--minutes M] [--steps N]
    DEEPSEQ_DATA=... python benchmarks/unirep_zero_shot.py rates FOLDER [--save]
    DEEPSEQ_DATA=... python benchmarks/unirep_zero_shot.py scores FOLDER MODEL [--families NAME,NAME]
    DEEPSEQ_DATA=... python benchmarks/unirep_zero_shot.py table FOLDER [--save]

`tune` tunes a published model once for each learning rate, to FOLDER/tuned/FAMILY-SIZE-RATE; the rate is chosen by the loss of the clusters that are held out, never
by an assay. `rates` lists every tuning in FOLDER: results/unirep_rates.csv, a row for each look at a held-out part, from which the default
rates of the package were chosen. `scores` writes FOLDER/FAMILY/MODEL.csv, where MODEL is 64, 256, 1900 or "tuned SIZE"; what is there is not made again. `table` compares with the scans of
benchmarks/breadth.toml, on the variants of results/breadth.csv: results/unirep_zero_shot.csv, a row for each scan and model.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from breadth import DATA, FAMILIES, measured, read_family

from deepseq_nb.core.files import write_atomic
from deepseq_nb.family.variants import all_singles
from deepseq_nb.peers.evotuning import evotune, load_tuned
from deepseq_nb.peers.likelihood import likelihood_scores
from deepseq_nb.peers.tuning_folders import TuneConfig
from deepseq_nb.peers.unirep_weights import load_unirep
from deepseq_nb.scores.metrics import spearman
from deepseq_nb.studies import results

CHOSEN = ("RL401_YEAST", "DYR_ECOLI", "BLAT_ECOLX")
BESIDE = {"sites": "letters", "pairs": "pairs", "small-4000-s1": "one run"}
PUBLISHED = {"Unirep": "published UniRep", "Unirep evotuned": "published UniRep, evotuned"}
PUBLISHED |= {
    "Site-Independent": "published letters",
    "DeepSequence (ensemble)": "published DeepSequence",
}
RESAMPLES = 200


def tune(
    folder: Path,
    size: int,
    name: str,
    rates: list[float],
    minutes: float | None,
    steps: int | None,
) -> None:
    """One tuning for each learning rate; what was interrupted goes on."""
    family = read_family(name)
    for rate in rates:
        out = folder / "tuned" / f"{name}-{size}-{rate:g}"
        config = TuneConfig(learning_rate=rate, minutes=minutes, steps=steps)
        tuned = evotune(
            family.alignment,
            size,
            config,
            out,
            weights=family.weights,
            resume=out.exists(),
            progress=False,
        )
        print(out.name, round(tuned.held_out_loss, 4), tuned.stopped, flush=True)


def rate_rows(folder: Path) -> pd.DataFrame:
    """A row for each look of each tuning."""
    tables = []
    for path in sorted((folder / "tuned").iterdir()):
        if not (path / "history.csv").exists():
            continue
        name, size, rate = path.name.split("-", 2)
        table = pd.read_csv(path / "history.csv")
        table.insert(0, "rate", float(rate))
        table.insert(0, "size", int(size))
        table.insert(0, "family", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def make_rates(folder: Path, save: bool) -> None:
    """What each rate came to, printed and, if asked, all looks written to results/."""
    looks = rate_rows(folder)
    lowest = looks.groupby(["size", "family", "rate"]).agg(
        updates=("step", "max"), before=("held_out_loss", "first"), lowest=("held_out_loss", "min")
    )
    print(lowest.round(4).to_string())
    if save:
        about = {"command": "benchmarks/unirep_zero_shot.py rates", "batch_tokens": 4096}
        results.save_result("unirep_rates", looks.round(4), about)


def best_tuning(folder: Path, name: str, size: int):
    """The tuning of a family with the lowest held-out loss."""
    found = [load_tuned(path) for path in sorted((folder / "tuned").glob(f"{name}-{size}-*"))]
    if not found:
        raise SystemExit(f"{name} is not tuned yet: `tune {folder} {size} {name}`")
    return min(found, key=lambda tuned: tuned.held_out_loss)


def make_scores(folder: Path, model: str, name: str) -> None:
    """Scores of all single substitutions of a family's modelled residues by one model."""
    path = folder / name / f"{model}.csv"
    if path.exists():
        return
    tuned, size = model.startswith("tuned "), int(model.split()[-1])
    network = best_tuning(folder, name, size).model if tuned else load_unirep(size)
    focus_map = read_family(name).alignment.focus_map
    made = likelihood_scores(network, focus_map, all_singles(focus_map), progress=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = made[["variant", "score"]].to_csv(index=False, lineterminator="\n")
    write_atomic(path, kept)
    print(path, len(made), flush=True)


def scan_rows(folder: Path, name: str, assay: dict, recorded: pd.DataFrame) -> list[dict]:
    """A row for each model that has scores, and those of results/breadth.csv for the same scan."""
    values, rows = measured(assay), []
    about = {"family": name, "assay": assay["name"]}
    for path in sorted((folder / name).glob("*.csv")):
        scores = pd.read_csv(path).set_index("variant").score
        common = values.index.intersection(scores.index)
        asked, truth = scores[common].to_numpy(), values[common].to_numpy()
        draws = np.random.default_rng(1).integers(len(common), size=(RESAMPLES, len(common)))
        low, high = np.quantile([spearman(asked[d], truth[d]) for d in draws], (0.025, 0.975))
        row = about | {"model": path.stem, "n": len(common)}
        rows.append(row | {"value": spearman(asked, truth), "low": low, "high": high})
    same = recorded[recorded.assay == assay["name"]]
    for model, word in BESIDE.items():
        for one in same[same.model == model].itertuples():
            row = about | {"model": word, "n": one.n, "value": one.value}
            rows.append(row | {"low": one.low, "high": one.high})
    return rows


def published_rows(name: str, assay: dict) -> list[dict]:
    """What the benchmark of the field prints for the scan, with its own alignments and whole proteins."""
    table = pd.read_csv(DATA / "reference" / "proteingym_spearman.csv").set_index("DMS_id")
    about, one = {"family": name, "assay": assay["name"]}, table.loc[assay["proteingym"]]
    return [
        about | {"model": word, "n": int(one.n_mutants), "value": float(one[column])}
        for column, word in PUBLISHED.items()
    ]


def make_table(folder: Path, save: bool) -> None:
    """The table, printed and, if asked, written to results/."""
    recorded, _ = results.read_result("breadth")
    rows, tunings = [], {}
    for name in CHOSEN:
        for assay in FAMILIES[name]["assays"]:
            rows += scan_rows(folder, name, assay, recorded) + published_rows(name, assay)
        for path in sorted((folder / "tuned").glob(f"{name}-*")):
            tuned = load_tuned(path)
            history = tuned.history
            tunings[path.name] = {
                "held out before": round(float(history.held_out_loss.iloc[0]), 4),
                "held out": round(tuned.held_out_loss, 4),
                "epochs": float(history.epoch.max()),
                "most minutes": tuned.config.minutes,
            }
    average = pd.read_csv(DATA / "reference" / "proteingym_spearman.csv")
    for column, word in PUBLISHED.items():
        row = {"family": "all", "assay": "mean of ProteinGym's scans", "model": word}
        rows.append(row | {"n": len(average), "value": average[column].mean()})
    made = pd.DataFrame(rows).round(4)
    print(made.pivot_table(index="assay", columns="model", values="value").T.round(3).to_string())
    print(pd.DataFrame(tunings).T.to_string())
    if save:
        about = {"resamples": RESAMPLES, "tunings": tunings}
        results.save_result("unirep_zero_shot", made, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stages = parser.add_subparsers(dest="stage", required=True)
    one = stages.add_parser("tune")
    one.add_argument("folder", type=Path)
    one.add_argument("size", type=int)
    one.add_argument("family")
    one.add_argument("--rates", default="1e-3,3e-4")
    one.add_argument("--minutes", type=float)
    one.add_argument("--steps", type=int)
    four = stages.add_parser("rates")
    four.add_argument("folder", type=Path)
    four.add_argument("--save", action="store_true")
    two = stages.add_parser("scores")
    two.add_argument("folder", type=Path)
    two.add_argument("model")
    two.add_argument("--families", default=",".join(CHOSEN))
    three = stages.add_parser("table")
    three.add_argument("folder", type=Path)
    three.add_argument("--save", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.stage == "tune":
        rates = [float(rate) for rate in args.rates.split(",")]
        tune(args.folder, args.size, args.family, rates, args.minutes, args.steps)
    elif args.stage == "rates":
        make_rates(args.folder, args.save)
    elif args.stage == "scores":
        for name in args.families.split(","):
            make_scores(args.folder, args.model, name)
    else:
        make_table(args.folder, args.save)


if __name__ == "__main__":
    main()
