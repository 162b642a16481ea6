"""What the command without flags does on six families: minutes, updates, verdict, and agreement with experiments.

    DEEPSEQ_DATA=... python benchmarks/defaults.py run [--out runs/defaults]      deepseq train FILE --out FOLDER, timed, then all singles
    DEEPSEQ_DATA=... python benchmarks/defaults.py table [--out runs/defaults] [--save]      results/defaults.csv

Nothing else should run meanwhile: minutes are those of the clock, processor minutes those of the command and its threads. A family that is
trained already is not trained again. `score` is the score of record, `delta_elbo` the difference of the ELBO, the original's score. `--save` also
writes results/blat_scores.csv, the scores of all single substitutions of β-lactamase, which the book draws.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from deepseq_nb import evaluate, load_run, score
from deepseq_nb.studies import results

DATA = Path(os.environ.get("DEEPSEQ_DATA", "data/cache"))
MULTIPLES = ("TRNA_RF00005",)  # families whose assay is not of single substitutions
FAMILIES = {  # alignment, assay, column, whether lower is fitter; options of `train` follow
    "BLAT_ECOLX": ("BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m", "BLAT_ECOLX_Ranganathan2015.csv", "2500", False),
    "PABP_YEAST": ("PABP_YEAST_PF00076.a2m", "PABP_YEAST_Fields2013-singles.csv", "linear", False),
    "P53_HUMAN": ("P53_HUMAN_b0.1.a2m", "ClinVar_labels_P53.csv", "ClinVar_labels", True),
    "DLG4_RAT": ("DLG4_RAT_PF00595.a2m", "DLG4_RAT_Ranganathan2012.csv", "CRIPT", False),
    "KUNITZ": ("Kunitz_domain_MSA.fasta", None, "", False),
    "TRNA_RF00005": ("RF00005_CCU.fasta", "TRNA_Domingo_2018.csv", "y", False, "--alphabet", "rna"),
}  # fmt: skip


def run(family: str, out: Path, options: list[str]) -> None:
    """Type the two commands, and keep what the first one cost."""
    folder, record = out / family, out / f"{family}.json"
    if record.exists():
        return
    command = [sys.executable, "-m", "deepseq_nb"]
    words = [
        "train",
        DATA / family / FAMILIES[family][0],
        "--out",
        folder,
        "--overwrite",
        *FAMILIES[family][4:],
    ]
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *words], check=True)
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    words = ["score", folder, "--all-singles", "--out", out / f"{family}.csv", "--overwrite"]
    subprocess.run([*command, *words], check=True)
    record.write_text(json.dumps({"seconds": seconds, "processor_s": used}) + "\n")


def row(family: str, out: Path) -> dict:
    """What came of it."""
    _, assay, column, lower = FAMILIES[family][:4]
    cost, trained = json.loads((out / f"{family}.json").read_text()), load_run(out / family)
    if family in MULTIPLES:
        scores = score(trained, DATA / family / assay, seed=1, progress=False)
    else:
        scores = pd.read_csv(out / f"{family}.csv")
    metric = "auc" if lower else "spearman"
    about = trained.about
    line = {
        "family": family, "sequences": about["sequences"], "columns": len(trained.focus_map.residues),
        "neff": round(about["neff"], 1), "minutes": round(cost["seconds"] / 60, 1), "processor_min": round(cost["processor_s"] / 60, 1),
        "updates": trained.steps, "verdict": trained.verdict,
    }  # fmt: skip
    if assay is None:
        return line
    line["metric"] = metric
    for name in ("score", "delta_elbo"):
        table = scores.assign(score=scores[name])
        judged = evaluate(table, DATA / family / assay, column, higher_is_fitter=not lower)
        found = judged[metric]
        line |= {
            "n": judged.n,
            f"{name}": round(found.value, 4),
            f"{name}_low": round(found.low, 4),
            f"{name}_high": round(found.high, 4),
        }
    return line


def save_scores(family: str, out: Path) -> None:
    """Keep the scores that the book draws, with what places them on the protein."""
    made, table = load_run(out / family), pd.read_csv(out / f"{family}.csv")
    kept = table[["variant", "score", "std_error", "delta_elbo"]].round(4)
    about = {"script": "benchmarks/defaults.py", "family": family, "updates": made.steps}
    about |= {"samples": 20, "seed": 1, "focus_map": made.focus_map.to_json()}
    results.save_result("blat_scores", kept, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("run", "table"))
    parser.add_argument("--out", type=Path, default=Path("runs/defaults"))
    parser.add_argument("--save", action="store_true", help="write results/defaults.csv")
    parser.add_argument("--preset", help="another model than the default, for comparison")
    parser.add_argument("--steps", help="so many updates of it")
    args = parser.parse_args()
    options = ["--preset", args.preset] if args.preset else []
    options += ["--steps", args.steps] if args.steps else []
    args.out.mkdir(parents=True, exist_ok=True)
    if args.task == "run":
        for family in FAMILIES:
            run(family, args.out, options)
        return
    table = pd.DataFrame([row(f, args.out) for f in FAMILIES if (args.out / f"{f}.json").exists()])
    print(table.to_string(index=False))
    if args.save:
        results.save_result("defaults", table, {"script": "benchmarks/defaults.py", "seed": 1})
        save_scores("BLAT_ECOLX", args.out)


if __name__ == "__main__":
    main()
