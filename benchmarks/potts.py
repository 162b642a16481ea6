"""The pairwise model: rows added once per sequence, as the fit did before, against sums that sequences share, as now.

    DEEPSEQ_DATA=... OMP_NUM_THREADS=1 python benchmarks/potts.py [--rounds 2] [--fit | --steps [--save]] [--threads 1]

On BLAT where its file is found, otherwise on the family that the book ships. Both ways are measured in one process, in
turn, in seconds of processor time (`time.process_time`, all threads together), so that a busy machine does not
change the ratio much. Compilation is done before the clock starts.

passes: value and gradient of the pseudo-likelihood at the start, the piece that is repeated some seventy times.
products: the two products with the one-hot matrix alone. That both ways agree is asserted.
--fit: the whole fit both ways, to the same tolerance; how far couplings and scores of all singles are apart.
--steps: one fit, and after every pass how near the ranking of the singles is to that of the last one; with --save
results/potts_steps.csv.

The old way keeps what it had: lists of rows in groups of 16 sites and 128 sequences, log-sum-exp in three passes. It
shares today's minimiser, which saves a little too; the whole difference is larger.
"""

import argparse
import contextlib
import time

import numba
import numpy as np
import pandas as pd
import torch

from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import Family
from deepseq_nb.peers import pseudolikelihood
from deepseq_nb.peers.potts import Potts, coordinates_of, settled
from deepseq_nb.peers.pseudolikelihood import Coordinates, OneHot
from deepseq_nb.scores.metrics import spearman
from deepseq_nb.studies import results

STRIP, SITES, SEQUENCES = 320, 16, 128


@numba.njit(nogil=True, fastmath=True)
def add_rows(out, dense, rows, starts, lo, hi):
    """out[i, lo:hi] += the sum of dense[rows[starts[i] : starts[i + 1]], lo:hi]."""
    for i in range(starts.size - 1):
        k, end, total = starts[i], starts[i + 1], out[i, lo:hi]
        while k + 4 <= end:
            a, b = dense[rows[k], lo:hi], dense[rows[k + 1], lo:hi]
            c, d = dense[rows[k + 2], lo:hi], dense[rows[k + 3], lo:hi]
            for x in range(hi - lo):
                total[x] += (a[x] + b[x]) + (c[x] + d[x])
            k += 4
        while k < end:
            a = dense[rows[k], lo:hi]
            for x in range(hi - lo):
                total[x] += a[x]
            k += 1


class OneHotBefore:
    """Every sequence adds up every one of its rows."""

    def __init__(self, tokens: np.ndarray, letters: int):
        n, length = tokens.shape
        sequence, site = np.nonzero(tokens < letters)
        place = site * letters + tokens[sequence, site]
        self.letters_of = self._lists(sequence, place, site // SITES, n)
        self.sequences_with = self._lists(place, sequence, sequence // SEQUENCES, length * letters)

    @staticmethod
    def _lists(rows, members, groups, size):
        lists = []
        for group in np.unique(groups):
            here = groups == group
            order = np.argsort(rows[here], kind="stable")
            ends = np.cumsum(np.bincount(rows[here], minlength=size))
            lists.append((members[here][order].astype(np.int32), np.concatenate([[0], ends])))
        return lists

    @staticmethod
    def _add(lists, dense, out):
        for lo in range(0, out.shape[1], STRIP):
            for rows, starts in lists:
                add_rows(out, dense, rows, starts, lo, min(lo + STRIP, out.shape[1]))

    def add_product(self, dense: np.ndarray, out: np.ndarray) -> None:
        self._add(self.letters_of, dense, out)

    def add_transposed_product(self, dense: np.ndarray, out: np.ndarray) -> None:
        self._add(self.sequences_with, dense, out)


@contextlib.contextmanager
def way(name: str):
    """The fit, before or now."""
    before = OneHotBefore if name == "before" else OneHot
    pseudolikelihood.OneHot = before
    try:
        yield
    finally:
        pseudolikelihood.OneHot = OneHot


def seconds(work, *arguments) -> float:
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def products(family: Family) -> None:
    tokens, letters = family.alignment.tokens[:1024], len(family.alignment.alphabet)
    dense = np.random.default_rng(1).normal(size=(tokens.shape[1] * letters,) * 2)
    dense, found = dense.astype(np.float32), {}
    for turn in range(3):  # the first compiles
        for name, maker in (("before", OneHotBefore), ("now", OneHot)):
            x = maker(tokens, letters)
            out = np.zeros((len(tokens), dense.shape[1]), np.float32)
            back = np.zeros_like(dense)
            spent = (
                seconds(x.add_product, dense, out),
                seconds(x.add_transposed_product, out, back),
            )
            found[name] = out, back
            if turn:
                print(
                    f"products  {name:7s} X W {spent[0]:.3f} s, X' R {spent[1]:.3f} s for {len(tokens):,} sequences"
                )
    for one, two in zip(found["before"], found["now"], strict=True):
        assert np.allclose(one, two, rtol=1e-3, atol=1e-3 * np.abs(one).max())


def passes(family: Family, rounds: int) -> None:
    best = {}
    for _ in range(rounds):
        for name in ("before", "now"):
            with way(name):
                problem, _ = coordinates_of(family.alignment, family.weights, 0.01, None)
            spent = min(seconds(problem, problem.start) for _ in range(2))
            best[name] = min(spent, best.get(name, spent))
    print(
        f"passes    before {best['before']:.2f} s, now {best['now']:.2f} s of processor: {best['before'] / best['now']:.2f} times"
    )


def fits(family: Family) -> None:
    models = {}
    for name in ("before", "now"):
        wall, cpu = time.time(), time.process_time()
        with way(name):
            models[name] = Potts.fit(family.alignment, family.weights)
        trace = models[name].trace
        print(
            f"fit       {name:7s} {time.process_time() - cpu:.0f} s of processor, {time.time() - wall:.0f} s by the clock, "
            f"{len(trace) - 1} steps, {trace.left.iloc[-1]:.3g} nats left, F {trace.value.iloc[-1]:.7g}"
        )
    old, new = models["before"], models["now"]
    apart = np.abs(old.couplings - new.couplings).max()
    scores = old.score().score, new.score().score
    print(f"couplings: largest {np.abs(old.couplings).max():.3f}, at most {apart:.2g} apart; scores of singles at most "
          f"{np.abs(scores[0] - scores[1]).max():.2g} nats apart, rank correlation {spearman(*scores):.6f}")  # fmt: skip


class Watched:
    """A problem that keeps the scores of all singles (L, A) whenever it is asked for its value."""

    def __init__(self, problem: Coordinates, wild_type: np.ndarray, neff: float):
        self.problem, self.objective, self.start = problem, problem.objective, problem.start
        self.wild, self.neff, self.rows, self.scores = wild_type, neff, [], []
        self.begun = time.process_time()

    def __call__(self, u: torch.Tensor) -> tuple[float, torch.Tensor]:
        value, gradient = self.problem(u)
        left = pseudolikelihood.squares(gradient) / 2 / self.neff
        spent = time.process_time() - self.begun
        self.rows.append({"value": value, "left": left, "processor_s": round(spent, 1)})
        length, letters = self.objective.shape
        sites = np.arange(length)
        fields, couplings = self.problem.parameters(u)
        pulled = couplings[:, torch.from_numpy(sites * letters + self.wild)].sum(1)
        scores = (fields + pulled).numpy().reshape(length, letters)
        self.scores.append(scores - scores[sites, self.wild][:, None])
        return value, gradient


def steps_table(rows: list[dict], scores: list[np.ndarray], wild_type: np.ndarray) -> pd.DataFrame:
    """Each pass beside the last: ranking of the singles, and the largest difference in nats."""
    single = np.ones_like(scores[-1], bool)
    single[np.arange(len(single)), wild_type] = False
    last = scores[-1][single]
    table = pd.DataFrame(rows)
    table.insert(0, "passes", range(1, len(table) + 1))
    table["rank_with_last"] = [spearman(one[single], last) for one in scores]
    table["largest_nats"] = [np.abs(one[single] - last).max() for one in scores]
    return table.round({"value": 2, "left": 6, "rank_with_last": 6, "largest_nats": 4})


def steps(family: Family, save: bool) -> None:
    wild = family.alignment.focus_map.tokens
    problem, neff = coordinates_of(family.alignment, family.weights, 0.01, None)
    watched = Watched(problem, wild, neff)
    settled(watched, 1e-4 * neff, 200)
    table = steps_table(watched.rows, watched.scores, wild)
    print(table.to_string(index=False))
    if save:
        about = {"family": family.alignment.focus, "threads": torch.get_num_threads()}
        results.save_result("potts_steps", table, about)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--save", action="store_true", help="write results/potts_steps.csv")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    path = registry.find("BLAT_ECOLX") or registry.synthetic_path()
    family = Family.of(Alignment.read(path))
    print(
        f"{family.alignment.focus}: {len(family.alignment.tokens):,} sequences, {len(family.counts)} columns, Neff {family.neff:.0f}"
    )
    if args.steps:
        steps(family, args.save)
        return
    products(family)
    passes(family, args.rounds)
    if args.fit:
        fits(family)


if __name__ == "__main__":
    main()
