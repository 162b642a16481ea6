"""All families at hand: letters, pairs, the nearest relative, runs of the model, mixtures of them, beside published numbers.

    deepseq experiments breadth.toml --cluster auto --out RUNS       (the grid of book/performance; any road of `experiments`)
    DEEPSEQ_DATA=... python benchmarks/breadth.py scores FOLDER [--models sites,nearest,pairs] [--grid RUNS] [--families A,B]
    DEEPSEQ_DATA=... python benchmarks/breadth.py table FOLDER [--save]

`scores` writes FOLDER/FAMILY/MODEL.csv, scores of all singles, and MODEL.multi.csv, scores of variants of several substitutions (600 drawn from each
table); what is there already is not made again, so it can be stopped and called again. The runs of a grid are found by their alignments, and called
PRESET-UPDATES-sSEED. `table` compares the scores with the scans of benchmarks/breadth.toml and writes results/breadth.csv, one row per scan and model.
`runs` is the mean of the runs' differences of the ELBO, `record` that of their scores of record, with half of the background taken out.
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
from deepseq_nb.model.runs import load_run
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


def grid_runs(folders: list[Path]) -> dict[tuple[str, str], Path]:
    """Finished runs of grids by family of breadth.toml, and by name of the model."""
    found = {}
    for path in sorted(p for folder in folders for p in folder.glob("*/result.json")):
        made = json.loads(path.read_text())["experiment"]
        for name, about in FAMILIES.items():
            if Path(made["alignment"]).parts[-2:] == Path(about["alignment"]).parts:
                model = f"{made['preset']}-{made['steps']}-s{made['seed']}"
                found[name, model] = path.parent / "train"
    return found


def write_scores(folder: Path, name: str, model: str, scores_of) -> None:
    """The two tables of one model of one family, and what the family is like."""
    family, start = read_family(name), time.process_time()
    out = folder / name / f"{model}.csv"
    out.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "rows": len(family.alignment.tokens),
        "columns": len(family.counts),
        "neff": family.neff,
    }
    write_atomic(out.parent / "depth.json", json.dumps(about) + "\n")
    wanted = {f"{model}.multi.csv": several(name)}
    wanted[f"{model}.csv"] = all_singles(family.alignment.focus_map)
    ready = scores_of(family)
    for file, texts in wanted.items():
        if texts:
            table = ready(texts).dropna(subset="score")
            kept = [c for c in ("variant", "score", "std_error", "delta_elbo") if c in table]
            write_atomic(out.parent / file, table[kept].to_csv(index=False, lineterminator="\n"))
    print(name, model, f"{time.process_time() - start:.1f} s", flush=True)


def make_scores(folder: Path, name: str, model: str, run: Path | None) -> None:
    """Count a simple model of one family, or read its run, and write its scores."""
    if (folder / name / f"{model}.csv").exists():
        return
    if run is None:
        kind = SIMPLE[model]
        write_scores(folder, name, model, lambda f: kind.fit(f.alignment, f.weights).score)
        return
    seed = int(model.rpartition("-s")[2])
    made = load_run(run)
    how = {"samples": 20, "seed": seed, "progress": False}
    write_scores(folder, name, model, lambda _: lambda texts: score(made, texts, **how))


def read_scores(folder: Path, name: str, model: str, column: str = "score") -> pd.Series | None:
    """Scores by variant, singles and others, divided by the standard deviation of the singles; None where there are none."""
    path = folder / name / f"{model}.csv"
    if not path.exists():
        return None
    singles = pd.read_csv(path).set_index("variant")[column]
    parts = [singles]
    if (more := path.with_name(f"{model}.multi.csv")).exists():
        parts.append(pd.read_csv(more).set_index("variant")[column])
    joined = pd.concat(parts)
    return joined[~joined.index.duplicated()] / singles.std()


def mean_of(scores: list[pd.Series]) -> pd.Series:
    """The mean of several runs, on the same scale."""
    mean = pd.concat(scores, axis=1).dropna().mean(axis=1)
    return mean / mean[~mean.index.str.contains(":")].std()


def all_scores(folder: Path, name: str) -> dict[str, pd.Series]:
    """Scores of every model and mixture there is for a family; runs by their names, their means as `runs` and `record`."""
    found = {model: read_scores(folder, name, model) for model in SIMPLE}
    found = {model: scores for model, scores in found.items() if scores is not None}
    files = [p for p in sorted((folder / name).glob("small-*-s*.csv")) if ".multi" not in p.name]
    for column, mean in {"delta_elbo": "runs", "score": "record"}.items():
        singles = {path.stem: read_scores(folder, name, path.stem, column) for path in files}
        if singles:
            found[mean] = mean_of([*singles.values()])
            prefix = "" if mean == "runs" else "record "
            found |= {f"{prefix}{model}": scores for model, scores in singles.items()}
    for mixture, parts in MIXTURES.items():
        if parts.keys() <= found.keys():
            table = pd.concat([share * found[part] for part, share in parts.items()], axis=1)
            found[mixture] = table.dropna().sum(axis=1)
    return found


def paired(values: np.ndarray, scores: dict[str, np.ndarray], draws: np.ndarray) -> dict[str, dict]:
    """Correlation of each model, its 95 % interval over variants, and its lead over `runs` on the same draws."""
    rows = {name: {"value": spearman(one, values)} for name, one in scores.items()}
    again = {
        name: np.array([spearman(one[d], values[d]) for d in draws]) for name, one in scores.items()
    }
    for name, many in again.items():
        rows[name]["low"], rows[name]["high"] = np.quantile(many, (0.025, 0.975))
        if "runs" in again and name != "runs":
            rows[name]["lead"] = rows[name]["value"] - rows["runs"]["value"]
            low, high = np.quantile(many - again["runs"], (0.025, 0.975))
            rows[name] |= {"lead_low": low, "lead_high": high}
    return rows


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
        draws = np.random.default_rng(1).integers(len(common), size=(200, len(common)))
        asked = {model: one[common].to_numpy() for model, one in scores.items()}
        found = paired(values[common].to_numpy(), asked, draws)
        rows += [row | {"model": model} | numbers for model, numbers in found.items()]
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
    parser.add_argument(
        "--models", default="sites,nearest,pairs", help="simple models; '' for none"
    )
    parser.add_argument("--grid", type=Path, nargs="*", default=[], help="folders of grids of runs")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--save", action="store_true", help="write results/breadth.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = args.families.split(",")
    if args.stage == "scores":
        for model in filter(None, args.models.split(",")):
            for name in names:
                make_scores(args.folder, name, model, None)
        for (name, model), run in grid_runs(args.grid).items():
            if name in names:
                make_scores(args.folder, name, model, run)
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
