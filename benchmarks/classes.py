"""Classes beside labels: what was stated and what was found, by the humps alone and with a boundary from the labels.

    python benchmarks/classes.py RUN [RUN ...] --labels FILE --column NAME [--lower-is-fitter] [--save]

Each RUN is a folder made by `deepseq train`; they are judged one alone and all together. The table goes to results/classes.csv.
"""

import argparse
from pathlib import Path

import pandas as pd

from deepseq_nb.peers.mixing import load_any, score
from deepseq_nb.scores.classes import classify
from deepseq_nb.scores.labels import calibrate, judge
from deepseq_nb.studies import results

ERRORS = (0.02, 0.05, 0.1, 0.15)


def rows(tables: list[pd.DataFrame], args: argparse.Namespace) -> list[dict]:
    """A row for each stated share and boundary."""
    how = {"higher_is_fitter": not args.lower_is_fitter, "offset": args.offset}
    found = []
    for error in ERRORS:
        classes = classify(tables, error)
        calibration = calibrate(classes, args.labels, args.column, **how)
        again = classify(tables, error, calibration=calibration)
        for boundary, one in (("humps", classes), ("labels", again)):
            judged = judge(one, args.labels, args.column, **how)
            low, high = judged.wrong_interval
            found.append({
                "runs": len(tables), "boundary": boundary, "error": error, "n": judged.n, "damaging": judged.damaging,
                "auc": judged.auc.value, "auc_low": judged.auc.low, "auc_high": judged.auc.high, "called": judged.called,
                "wrong": judged.wrong, "wrong_share": judged.wrong / judged.called if judged.called else float("nan"),
                "low": low, "high": high, "expected": judged.expected, "brier": judged.brier,
                "separation": min(mixture.separation for mixture in one.mixtures),
            })  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--column", required=True)
    parser.add_argument("--lower-is-fitter", action="store_true")
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--save", action="store_true", help="write results/classes.csv")
    args = parser.parse_args()
    models = [load_any(folder) for folder in args.runs]
    tables = [score(model, None, 20, 1 + number) for number, model in enumerate(models)]
    groups = [tables[:1]] + ([tables] if len(tables) > 1 else [])
    found = pd.DataFrame([row for group in groups for row in rows(group, args)]).round(4)
    print(found.to_string(index=False))
    if args.save:
        updates = sorted({getattr(model, "steps", 0) for model in models})
        about = {
            "labels": args.labels.name,
            "column": args.column,
            "updates": ", ".join(f"{n:,}" for n in updates),
        }
        results.save_result(
            "classes", found, about | {"samples": 20, "checksum": models[0].about["checksum"][:12]}
        )


if __name__ == "__main__":
    main()
