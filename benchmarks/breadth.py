"""All families at hand: letters, pairs, the nearest relative, runs of the model, mixtures of them, beside published numbers.

    DEEPSEQ_DATA=... python benchmarks/breadth.py scores FOLDER [--models sites,pairs,nearest,small-4000-s1] [--families A,B]
    DEEPSEQ_DATA=... python benchmarks/breadth.py table FOLDER [--save]

`scores` writes FOLDER/FAMILY/MODEL.csv, scores of all singles, and MODEL.multi.csv, scores of variants of several substitutions (600 drawn from each
table); what is there already is not made again, so it can be stopped and called again. PRESET-UPDATES-sSEED is a run of the model. `table` compares the scores
with the scans of benchmarks/breadth.toml and writes results/breadth.csv, one row per scan and model.
"""

import argparse
import json
import os
import re
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from deepseq_nb.core.files import write_atomic
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.assays import read_assay
from deepseq_nb.family.depth import Family
from deepseq_nb.family.variants import all_singles
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.peers.mixing import SIMPLE
from deepseq_nb.scores.metrics import spearman
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import results

FAMILIES = tomllib.loads(Path(__file__).with_name("breadth.toml").read_text(encoding="utf-8"))
DATA = Path(os.environ.get("DEEPSEQ_DATA", "."))
# weights of a mixture, by z-score over all singles; runs: the mean of the runs of the model
MIXTURES = {
    "runs:letters 3:1": {"runs": 3, "sites": 1},
    "runs:letters 1:1": {"runs": 1, "sites": 1},
    "runs:pairs 3:1": {"runs": 3, "pairs": 1},
    "runs:pairs 1:1": {"runs": 1, "pairs": 1},
    "runs:pairs:letters 2:1:1": {"runs": 2, "pairs": 1, "sites": 1},
    "runs:nearest 3:1": {"runs": 3, "nearest": 1},
    "runs:nearest 2:1": {"runs": 2, "nearest": 1},
    "runs:nearest 1:1": {"runs": 1, "nearest": 1},
    "runs:pairs:nearest 2:1:1": {"runs": 2, "pairs": 1, "nearest": 1},
    "runs:pairs:nearest 1:1:1": {"runs": 1, "pairs": 1, "nearest": 1},
    "pairs:nearest 1:1": {"pairs": 1, "nearest": 1},
}
WITH_INTERVAL = ("sites", "pairs", "nearest", "runs")  # over variants
PUBLISHED = {
    "published GEMME": "GEMME",
    "published EVE": "EVE (ensemble)",
    "published DeepSequence": "DeepSequence (ensemble)",
    "published EVmutation": "EVmutation",
    "published VenusREM": "VenusREM",
    "published AIDO": "AIDO Protein-RAG (16B)",
}


def read_family(name: str) -> Family:
    """A family of breadth.toml, weighed at 0.2."""
    about = FAMILIES[name]
    options = {key: about[key] for key in ("alphabet", "first_residue") if key in about}
    return Family.of(Alignment.read(DATA / about["alignment"], **options), 0.2, progress=False)


def moved(variant: str, offset: int) -> str:
    """A variant's name in the numbers of its family, pieces parted by colons."""
    pieces = re.split(r"[,:]", variant)
    return ":".join(f"{p[0]}{int(p[1:-1]) + offset}{p[-1]}" for p in pieces)


def measured(assay: dict) -> pd.Series:
    """Values by variant; the first of several rows."""
    table = read_assay(DATA / assay["file"])
    usable = table["variant"].astype(str).str.fullmatch(r"[A-Z]-?\d+[A-Z]([,:][A-Z]-?\d+[A-Z])*")
    table = table[usable & table[assay["column"]].notna()]
    names = [moved(text, assay.get("offset", 0)) for text in table["variant"]]
    values = pd.Series(table[assay["column"]].to_numpy(float), names)
    return values[~values.index.duplicated()]


def several(name: str, most: int = 600) -> list[str]:
    """Variants of more than one substitution, at most `most` of each table, the same for every model."""
    chosen: list[str] = []
    for assay in FAMILIES[name]["assays"]:
        names = [text for text in measured(assay).index if ":" in text]
        order = np.random.default_rng(1).permutation(len(names))[:most]
        chosen += [names[i] for i in np.sort(order)]
    return list(dict.fromkeys(chosen))


def make_scores(folder: Path, name: str, model: str) -> None:
    """Train or count one model of one family, and write its two tables."""
    out = folder / name / f"{model}.csv"
    if out.exists():
        return
    family = read_family(name)
    start = time.process_time()
    if model in SIMPLE:
        made = SIMPLE[model].fit(family.alignment, family.weights)
        scores_of = made.score
    else:
        size, updates, seed = re.fullmatch(r"(\w+)-(\d+)-s(\d+)", model).groups()
        train = TrainConfig(steps=int(updates), seed=int(seed))
        run_folder = folder / "runs" / f"{name}-{model}"
        how = {"weights": family.weights, "resume": True, "progress": False}
        run = fit(family.alignment, preset(size), train, run_folder, **how)

        def scores_of(texts: list[str]) -> pd.DataFrame:
            return score(run, texts, samples=20, seed=int(seed), progress=False)

    out.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "rows": len(family.alignment.tokens),
        "columns": len(family.counts),
        "neff": family.neff,
    }
    write_atomic(out.parent / "depth.json", json.dumps(about) + "\n")
    wanted = {f"{model}.multi.csv": several(name)}
    wanted[f"{model}.csv"] = all_singles(family.alignment.focus_map)
    for file, texts in wanted.items():
        if texts:
            table = scores_of(texts).dropna(subset="score")
            kept = table[["variant", "score", "std_error"]]
            write_atomic(out.parent / file, kept.to_csv(index=False, lineterminator="\n"))
    print(name, model, f"{time.process_time() - start:.1f} s", flush=True)


def read_scores(folder: Path, name: str, model: str) -> pd.Series | None:
    """Scores by variant, singles and others, divided by the standard deviation of the singles; None where there are none."""
    path = folder / name / f"{model}.csv"
    if not path.exists():
        return None
    singles = pd.read_csv(path).set_index("variant").score
    parts = [singles]
    if (more := path.with_name(f"{model}.multi.csv")).exists():
        parts.append(pd.read_csv(more).set_index("variant").score)
    joined = pd.concat(parts)
    return joined[~joined.index.duplicated()] / singles.std()


def all_scores(folder: Path, name: str) -> dict[str, pd.Series]:
    """Scores of every model and mixture there is for a family; runs by their names, and their mean as `runs`."""
    found = {model: read_scores(folder, name, model) for model in SIMPLE}
    pattern = "small-*-s*.csv"
    files = [p for p in sorted((folder / name).glob(pattern)) if ".multi" not in p.name]
    singles = {path.stem: read_scores(folder, name, path.stem) for path in files}
    found = {model: scores for model, scores in found.items() if scores is not None} | singles
    if singles:
        mean = pd.concat(singles.values(), axis=1).dropna().mean(axis=1)
        one_only = mean[~mean.index.str.contains(":")]
        found["runs"] = mean / one_only.std()
    for mixture, parts in MIXTURES.items():
        if parts.keys() <= found.keys():
            table = pd.concat([share * found[part] for part, share in parts.items()], axis=1)
            found[mixture] = table.dropna().sum(axis=1)
    return found


def rows_of(folder: Path, name: str, published: pd.DataFrame | None) -> list[dict]:
    """One row for each scan and model of a family; every model is asked about the same variants."""
    scores = all_scores(folder, name)
    about = json.loads((folder / name / "depth.json").read_text())
    rows = []
    for assay in FAMILIES[name]["assays"]:
        values = measured(assay)
        common = values.index
        for one in scores.values():
            common = common.intersection(one.index)
        row = {
            "family": name,
            "use": FAMILIES[name]["use"],
            "assay": assay["name"],
            "kind": assay["kind"],
            "n": len(common),
            "rows": about["rows"],
            "columns": about["columns"],
            "neff": round(about["neff"], 1),
        }
        draws = np.random.default_rng(1).integers(len(common), size=(100, len(common)))
        numbers = values[common].to_numpy()
        for model, one in scores.items():
            asked = one[common].to_numpy()
            rows.append(row | {"model": model, "value": spearman(asked, numbers)})
            if model in WITH_INTERVAL:
                again = [spearman(asked[d], numbers[d]) for d in draws]
                low, high = np.quantile(again, (0.025, 0.975))
                rows[-1] |= {"low": low, "high": high}
        if published is not None and "proteingym" in assay:
            for model, column in PUBLISHED.items():
                value = published.loc[assay["proteingym"], column]
                number = int(published.loc[assay["proteingym"], "n_mutants"])
                rows.append(row | {"n": number, "model": model, "value": value})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("scores", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default="sites,pairs,nearest,small-4000-s1")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--save", action="store_true", help="write results/breadth.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = args.families.split(",")
    if args.stage == "scores":
        for model in args.models.split(","):
            for name in names:
                make_scores(args.folder, name, model)
        return
    path = DATA / "reference" / "proteingym_spearman.csv"
    published = pd.read_csv(path).set_index("DMS_id") if path.exists() else None
    rows = []
    for name in names:
        if (args.folder / name / "depth.json").exists():
            rows += rows_of(args.folder, name, published)
    table = pd.DataFrame(rows).round(4)
    shown = table.pivot_table(index=["use", "assay", "n"], columns="model", values="value")
    print(shown.round(3).T.to_string())
    if args.save:
        about = {"preset": "small", "samples": 20, "theta": 0.2}
        runs = table[table.model.str.startswith("small-")].groupby("family").model.unique()
        about["runs"] = {name: sorted(models) for name, models in runs.items()}
        results.save_result("breadth", table, about)


if __name__ == "__main__":
    main()
