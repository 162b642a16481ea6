"""The comparison with the original's reference values, recorded for the pages that are made without them.

    DEEPSEQ_DATA=... python benchmarks/parity.py [--save]

`results/parity.csv` has one row per case and quantity: the worst array, its largest difference on the array's scale, the tolerance.
"""

import argparse
import os
import sys
from pathlib import Path

from deepseq_nb.peers.parity import verify
from deepseq_nb.studies import results

COLUMNS = ["case", "quantity", "array", "difference", "entrywise", "tolerance"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write results/parity.csv")
    args = parser.parse_args()
    report = verify(Path(os.environ.get("DEEPSEQ_DATA", ".")) / "theano_golden")
    if not report.ok.all():
        sys.exit(f"not equal: {report[~report.ok].problem.iloc[0]}")
    print(report.groupby("quantity", sort=False)[["difference", "tolerance"]].max())
    if args.save:
        found = {"cases": report.case.nunique(), "comparisons": len(report)}
        print(results.save_result("parity", report[COLUMNS], found))


if __name__ == "__main__":
    main()
