"""Attack the package under load and faults, and print tried and failed for each kind of attack.

    python benchmarks/faults.py [--rows NAME,NAME] [--n 0.01] [--seed 1] [--case NUMBER] [--save] [--list]

`--n 1` are the full numbers. A failure is a traceback, an exit code other than 0, 2 and 130, exit 2 without its one
line, a hang, a partial file, or a lost or wrong result: what is accepted has to be equal to what comes of undamaged
files. Every failure is printed with the row and the number that `--rows ROW --case NUMBER --seed SEED` repeats.
`--save` writes these rows into results/faults.csv. Linux; as root it also mounts small file systems.
"""

import argparse
import math
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"  # before torch counts them; and a process with threads cannot be forked
os.environ["MPLBACKEND"] = "Agg"

# ruff: noqa: E402
import pandas as pd
from attacks import frame, rows
from attacks.frame import Bench, Row, cases, warm

from deepseq_nb.studies.results import provenance, read_result, save_result


def attack(row: Row, bench: Bench, numbers: list[int], seed: int) -> dict:
    """Try the cases of a row, print what fails; the line of the table."""
    begun, failed, kinds, longest = time.monotonic(), 0, {}, 0.0
    for number, label, fault, seconds in cases(row, bench, numbers, seed):
        longest = max(longest, seconds)
        if fault:
            failed += 1
            kind = fault.partition(":")[0]
            kinds[kind] = kinds.get(kind, 0) + 1
            print(
                f"  FAILED --rows {row.name} --case {number} --seed {seed}: {label}: {fault}",
                flush=True,
            )
    seconds = round(time.monotonic() - begun, 1)
    how = "; ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    line = {"row": row.name, "what": row.what, "tried": len(numbers), "failed": failed, "full": row.full, "how": how,
            "seconds": seconds, "longest_s": round(longest, 1)}  # fmt: skip
    print(
        f"{row.name:18} tried {len(numbers):5} failed {failed:4}  {seconds:7.1f} s  {how}",
        flush=True,
    )
    return line


def save(results: pd.DataFrame, parameters: dict) -> Path:
    """Write results/faults.csv; rows of it that were not tried now stay, each with the commit that it was tried on."""
    about = {"script": "benchmarks/faults.py", **parameters}
    results = results.assign(seed=parameters["seed"], commit=provenance(about)["commit"])
    if before := read_result("faults"):
        kept = before[0][~before[0].row.isin(results.row)]
        order = [row.name for row in rows.ROWS]
        kept = kept[kept.row.isin(order)]
        results = pd.concat([kept, results]).sort_values(
            "row", key=lambda names: names.map(order.index)
        )
    return save_result("faults", results, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", help="names, joined by commas (default: all)")
    parser.add_argument(
        "--n",
        type=float,
        default=0.01,
        help="share of the full numbers; each row has at least one case",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="only the case of this number")
    parser.add_argument("--list", action="store_true", help="list the rows")
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    known = {row.name: row for row in rows.ROWS}
    if args.list:
        for row in rows.ROWS:
            print(f"{row.name:18} {row.full:6}  {row.what}")
        return
    wanted = list(known) if args.rows is None else args.rows.split(",")
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"no row {unknown[0]!r}: expected {', '.join(known)}")
    root = Path(tempfile.mkdtemp(prefix="faults-"))
    os.environ["DEEPSEQ_CACHE"], os.environ["MPLCONFIGDIR"] = str(root / "cache"), str(root / "mpl")
    frame.SHARE = args.n
    bench, table = Bench(root), []
    try:
        warm(root)
        for name in wanted:
            numbers = list(range(max(1, math.ceil(known[name].full * args.n))))
            numbers = numbers if args.case is None else [args.case]
            table.append(attack(known[name], bench, numbers, args.seed))
            if args.save:  # row by row: a long run may be cut off
                save(pd.DataFrame(table[-1:]), {"n": args.n, "seed": args.seed, "rows": wanted})
    finally:
        shutil.rmtree(root, ignore_errors=True)
    results = pd.DataFrame(table)
    print(results[["row", "tried", "failed", "how"]].to_string(index=False))
    sys.exit(bool(results.failed.sum()))


if __name__ == "__main__":
    main()
