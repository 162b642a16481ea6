"""Sequence weights: ours against the definition with one matrix-vector product per sequence, and a plain numba loop.

    DEEPSEQ_DATA=... python benchmarks/weights.py [--share 0.05] [--repeats 5] [--theta 0.2] [--out weights]

All are measured in one process on BLAT where its file is found, otherwise on the family that the book ships.

matrix-vector product: one-hot rows (float64), X @ x / (x @ x) > 1 - theta for one sequence x at a time, as EVE does
    it. Its time is strictly proportional to the number of sequences x, so it is measured on a random `--share` of
    them and scaled; `--share 1` measures all. One-hot rows are made before the clock starts.
plain numba loop: parallel over s, for every t and every column, no early exit, as EVcouplings does it. Of several
    spellings this was the fastest (row views, `&` for `and`, the gap as a byte), so that ours is not flattered.
each pair once: the loop over s < t along 64 columns at a time, with early exit: what ours was before the columns
    were sorted and turned. Threads take blocks of 64 rows, as ours do.
ours: `sequence_weights`, from tokens to weights.

Compilation is done before the clock starts and shown apart. The best of `--repeats` runs counts. That all agree, to
the last bit, is asserted.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pandas as pd

from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.neighbours import identities_needed
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.studies.results import save_result


def one_hot(tokens: np.ndarray, gap: int) -> np.ndarray:
    """Rows of 0 and 1 (N, L x A) in float64; a gap is all 0."""
    rows = np.zeros((*tokens.shape, gap))
    np.put_along_axis(rows, np.minimum(tokens, gap - 1)[:, :, None], 1, axis=2)
    rows[tokens == gap] = 0
    return rows.reshape(len(tokens), -1)


def by_products(rows: np.ndarray, some: np.ndarray, theta: float) -> np.ndarray:
    """Weights of some rows, one matrix-vector product each."""
    weights = np.zeros(len(some))
    for i, x in enumerate(rows[some]):
        residues = x @ x
        if residues > 0:
            weights[i] = 1 / (rows @ x / residues > 1 - theta).sum()
    return weights


@numba.njit(parallel=True)
def plain_loop(tokens, gap, theta):
    """Weights of all rows: every ordered pair, every column."""
    rows, length = tokens.shape
    weights = np.zeros(rows)
    for s in numba.prange(rows):
        row, residues, neighbours = tokens[s], 0, 0
        for i in range(length):
            residues += row[i] != gap
        for t in range(rows):
            other, same = tokens[t], 0
            for i in range(length):
                same += (row[i] == other[i]) & (row[i] != gap)
            if residues > 0 and same / residues > 1 - theta:
                neighbours += 1
        if residues > 0:
            weights[s] = 1 / neighbours
    return weights


@numba.njit(nogil=True)
def pairs_of_block(left, right, needed, length, first, last, counts):
    """Neighbours among the pairs s < t of some rows s; 64 columns at a time, with early exit."""
    for s in range(first, last):
        for t in range(s + 1, len(left)):
            least, same = min(needed[s], needed[t]), 0
            for step in range(left.shape[1] // 64):
                part = np.uint8(0)
                for i in range(64):
                    part = np.uint8(
                        part + np.uint8(left[s, step * 64 + i] == right[t, step * 64 + i])
                    )
                same += part
                if same + length - (step + 1) * 64 < least:
                    break
            counts[s] += same >= needed[s]
            counts[t] += same >= needed[t]


def each_pair_once(tokens: np.ndarray, gap: int, theta: float) -> np.ndarray:
    """Weights of all rows: each pair once, early exit, columns as they come."""
    rows, length = tokens.shape
    left = np.full((rows, -(-length // 64) * 64), 254, np.uint8)
    right = np.full_like(left, 255)
    left[:, :length], right[:, :length] = (
        np.where(tokens == gap, 254, tokens),
        np.where(tokens == gap, 255, tokens),
    )
    needed = identities_needed(length, theta)[(tokens != gap).sum(axis=1)]
    blocks = iter(range(0, rows, 64))

    def work() -> np.ndarray:
        counts = np.zeros(rows, np.int64)
        for first in blocks:
            pairs_of_block(left, right, needed, length, first, min(first + 64, rows), counts)
        return counts

    with ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS) as pool:
        tasks = [pool.submit(work) for _ in range(numba.config.NUMBA_NUM_THREADS)]
        counts = 1 + sum(task.result() for task in tasks)
    return np.where((tokens != gap).any(axis=1), 1 / counts, 0)


def timed(compute, repeats: int) -> tuple[np.ndarray, float]:
    """What it computes and the seconds of its best run."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        result = compute()
        best = min(best, time.perf_counter() - start)
    return result, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--theta", type=float, default=0.2)
    parser.add_argument("--share", type=float, default=0.05, help="of the sequences, for products")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", help="name of a table in results/")
    args = parser.parse_args()
    path = registry.find("BLAT_ECOLX")
    family = "BLAT_ECOLX" if path is not None else "synthetic"
    alignment = Alignment.read(path or registry.synthetic_path())
    tokens, gap, theta = alignment.tokens, alignment.gap, args.theta
    print(
        f"{family}: {len(tokens):,} x {tokens.shape[1]}, {numba.config.NUMBA_NUM_THREADS} threads"
    )
    ways = {
        "plain numba loop": lambda rows: plain_loop(rows, np.uint8(gap), theta),
        "each pair once": lambda rows: each_pair_once(rows, gap, theta),
        "ours": lambda rows: sequence_weights(rows, theta, gap),
    }
    compiling = {name: timed(lambda way=way: way(tokens[:100]), 1)[1] for name, way in ways.items()}
    results = {name: timed(lambda way=way: way(tokens), args.repeats) for name, way in ways.items()}
    weights, ours = results["ours"]
    count = max(1, round(args.share * len(tokens)))
    some = np.sort(np.random.default_rng(1).choice(len(tokens), count, replace=False))
    rows = one_hot(tokens, gap)
    part, seconds = timed(lambda: by_products(rows, some, theta), 1)
    assert (part == weights[some]).all()
    for other, _ in results.values():
        assert (other == weights).all()
    scaled = {"matrix-vector products": seconds * len(tokens) / count}
    scaled |= {name: seconds for name, (_, seconds) in results.items()}
    table = pd.DataFrame(
        {
            "way": list(scaled),
            "measured_on": [count, *[len(tokens)] * len(results)],
            "seconds": [round(value, 4) for value in scaled.values()],
            "times_ours": [round(value / ours, 1) for value in scaled.values()],
            "compile_s": [0.0, *(round(value, 2) for value in compiling.values())],
        }
    )
    print(table.to_string(index=False))
    print(f"all agree to the last bit; Neff {weights.sum():.7f}")
    if args.out:
        parameters = {name: getattr(args, name) for name in ("theta", "share", "repeats")}
        parameters |= {"family": family, "threads": numba.config.NUMBA_NUM_THREADS}
        parameters |= {"script": "benchmarks/weights.py"}
        print("wrote", save_result(args.out, table, parameters))


if __name__ == "__main__":
    main()
