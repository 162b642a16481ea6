"""What the command without flags does on three families: minutes, updates, verdict, and agreement with experiments.

    DEEPSEQ_DATA=... python benchmarks/defaults.py run [--out runs/defaults]      deepseq train FILE --out FOLDER, timed, then all singles
    DEEPSEQ_DATA=... python benchmarks/defaults.py table [--out runs/defaults] [--save]      results/defaults.csv

Nothing else should run meanwhile: minutes are those of the clock, processor minutes those of the command and its threads. A family that is
trained already is not trained again. `score` is the score of record, `delta_elbo` the difference of the ELBO, the original's score.
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

from deepseq_nb import evaluate, load_run
from deepseq_nb.studies import results

DATA = Path(os.environ.get("DEEPSEQ_DATA", "data/cache"))
FAMILIES = {  # alignment, assay, column, whether lower is fitter
    "BLAT_ECOLX": ("BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m", "BLAT_ECOLX_Ranganathan2015.csv", "2500", False),
    "PABP_YEAST": ("PABP_YEAST_PF00076.a2m", "PABP_YEAST_Fields2013-singles.csv", "linear", False),
    "P53_HUMAN": ("P53_HUMAN_b0.1.a2m", "ClinVar_labels_P53.csv", "ClinVar_labels", True),
}  # fmt: skip


def run(family: str, out: Path) -> None:
    """Type the two commands, and keep what the first one cost."""
    folder, record = out / family, out / f"{family}.json"
    if record.exists():
        return
    command = [sys.executable, "-m", "deepseq_nb"]
    words = ["train", DATA / family / FAMILIES[family][0], "--out", folder, "--overwrite"]
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *words], check=True)
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    words = ["score", folder, "--all-singles", "--out", out / f"{family}.csv", "--overwrite"]
    subprocess.run([*command, *words], check=True)
    record.write_text(json.dumps({"seconds": seconds, "processor_s": used}) + "\n")


def row(family: str, out: Path) -> dict:
    """What came of it."""
    _, assay, column, lower = FAMILIES[family]
    cost, trained = json.loads((out / f"{family}.json").read_text()), load_run(out / family)
    scores = pd.read_csv(out / f"{family}.csv")
    metric = "auc" if lower else "spearman"
    line = {
        "family": family, "minutes": round(cost["seconds"] / 60, 1), "processor_min": round(cost["processor_s"] / 60, 1),
        "updates": trained.steps, "verdict": trained.verdict, "metric": metric,
    }  # fmt: skip
    for name in ("score", "delta_elbo"):
        table = scores.assign(score=scores[name])
        found = evaluate(table, DATA / family / assay, column, higher_is_fitter=not lower)[metric]
        line |= {
            f"{name}": round(found.value, 4),
            f"{name}_low": round(found.low, 4),
            f"{name}_high": round(found.high, 4),
        }
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("run", "table"))
    parser.add_argument("--out", type=Path, default=Path("runs/defaults"))
    parser.add_argument("--save", action="store_true", help="write results/defaults.csv")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.task == "run":
        for family in FAMILIES:
            run(family, args.out)
        return
    table = pd.DataFrame([row(f, args.out) for f in FAMILIES if (args.out / f"{f}.json").exists()])
    print(table.to_string(index=False))
    if args.save:
        results.save_result("defaults", table, {"script": "benchmarks/defaults.py", "seed": 1})


if __name__ == "__main__":
    main()
