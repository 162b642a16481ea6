"""Read, weigh and train on a made-up family of 500,000 sequences: seconds and peak memory of each step.

    python benchmarks/large_family.py [--sequences 500000] [--length 250] [--updates 5] [--folder FOLDER]
                                      [--like ALIGNMENT] [--out large_family]

The family grows on a tree of four levels, with fast and slow sites, letters that a site prefers, deletions
that are inherited, lineages sampled many times over, and fragments; its rows stand in random order. How alike
random pairs are decides how soon a comparison can stop, so that is printed, and beside it the same of a real
family with `--like`. The file is written to a temporary folder unless `--folder` is given. Reading, weighing
and training (preset quick) follow one another in one fresh process, and the peak memory of that process so far
(ru_maxrss) is noted after each. Seconds of all processors together are noted too: on a busy machine they say
more than the clock. Some rows' weights are then compared with the definition.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

LETTERS = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY-", np.uint8)
GAP = 20
# nodes per sequence at each level of the tree, and the mean length of the branches above them
LEVELS = ((1 / 2000, 1.3), (1 / 120, 0.8), (1 / 4, 0.35), (1, 0.1))


def evolve(parents: np.ndarray, lengths: np.ndarray, sites: dict, rng) -> np.ndarray:
    """Children (N, L) of `parents` (N, L) along branches of the given lengths (N,): substitutions and deletions."""
    children = parents.copy()
    for part in np.array_split(np.arange(len(parents)), -(-len(parents) // 4096)):
        changed = rng.random((len(part), parents.shape[1])) < 1 - np.exp(
            -lengths[part, None] * sites["rates"]
        )
        rows, columns = np.nonzero(changed)
        drawn = (rng.random(len(rows))[:, None] > sites["cumulative"][columns]).sum(axis=1)
        kept_gap = parents[part][rows, columns] == GAP
        children[part[rows], columns] = np.where(kept_gap, GAP, drawn)
    for row in np.flatnonzero(rng.random(len(parents)) < np.minimum(0.8, lengths)):
        start = rng.integers(parents.shape[1])
        children[row, start : start + rng.geometric(0.15)] = GAP
    return children


def family(count: int, length: int, seed: int) -> np.ndarray:
    """Tokens (N, L) of a family that grew on a tree; row 0 has no gaps."""
    rng = np.random.default_rng(seed)
    profiles = rng.dirichlet(np.full(20, 0.25), length)
    sites = {
        "rates": rng.gamma(1.2, 1 / 1.2, length),
        "cumulative": profiles.cumsum(axis=1)[:, :-1],
    }
    root = (rng.random(length)[:, None] > sites["cumulative"]).sum(axis=1).astype(np.uint8)
    nodes = root[None]
    for share, mean in LEVELS:
        size = max(2, round(count * share))
        popularity = rng.lognormal(
            0, 1.2, len(nodes)
        )  # a few lineages were sampled many times over
        parent = rng.choice(len(nodes), size, p=popularity / popularity.sum())
        nodes = evolve(nodes[parent], rng.gamma(2, mean / 2, size), sites, rng)
    for row in np.flatnonzero(rng.random(count) < 0.15):  # fragments
        start, stop = np.sort(rng.integers(0, length, 2))
        nodes[row, : min(start, length // 2)], nodes[row, max(stop, length // 2) :] = GAP, GAP
    nodes = nodes[rng.permutation(count)]
    nodes[0] = np.where(nodes[0] == GAP, root, nodes[0])
    return nodes


def write_fasta(tokens: np.ndarray, path: Path) -> None:
    """Rows of tokens as FASTA, some thousand at a time."""
    with open(path, "wb") as handle:
        for first in range(0, len(tokens), 10_000):
            rows = LETTERS[tokens[first : first + 10_000]]
            handle.writelines(
                b">S%d/1-%d\n%s\n" % (first + i, tokens.shape[1], row.tobytes())
                for i, row in enumerate(rows)
            )


def describe(tokens: np.ndarray, pairs: int = 20_000) -> dict:
    """How alike random pairs are and how much is gaps: what decides how soon a comparison can stop."""
    left, right = tokens[np.random.default_rng(0).integers(0, len(tokens), (2, pairs))]
    filled = left != GAP
    identity = ((left == right) & filled).sum(axis=1) / np.maximum(1, filled.sum(axis=1))
    quantiles = np.quantile(identity, (0.05, 0.5, 0.95)).round(3).tolist()
    gaps = round(float((tokens[:20_000] == GAP).mean()), 3)
    return {"identity_5_50_95": quantiles, "gaps": gaps}


def by_definition(tokens: np.ndarray, rows: np.ndarray, theta: float) -> np.ndarray:
    """The weights of some rows from the formula alone."""
    weights = np.zeros(len(rows))
    for i, row in enumerate(rows):
        filled = tokens[row] != GAP
        same = np.zeros(len(tokens), np.int64)
        for column in np.flatnonzero(filled):
            same += tokens[:, column] == tokens[row, column]
        weights[i] = 1 / (same / filled.sum() > 1 - theta).sum() if filled.any() else 0
    return weights


def stages(path: Path, updates: int, checked: int) -> list[dict]:
    """Read, weigh and train in this process; seconds and the peak memory so far after each."""
    rows, start, cpu = [], time.perf_counter(), time.process_time()

    def note(stage: str, **more) -> None:
        nonlocal start, cpu
        seconds = {"seconds": round(time.perf_counter() - start, 1)}
        seconds |= {"cpu_seconds": round(time.process_time() - cpu, 1)}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
        rows.append({"stage": stage} | seconds | {"peak_mib_so_far": round(peak)} | more)
        print(rows[-1], file=sys.stderr, flush=True)
        start, cpu = time.perf_counter(), time.process_time()

    from deepseq_nb.family.alignment import Alignment

    note("import")
    alignment = Alignment.read(path)
    note("read")
    from deepseq_nb.family.weights import sequence_weights

    sequence_weights(alignment.tokens[:500], gap=alignment.gap)
    note("compile")
    weights = sequence_weights(alignment, progress=sys.stderr.isatty())
    note("weigh", neff=round(float(weights.sum()), 1))
    from deepseq_nb.model.runs import fit
    from deepseq_nb.model.sizes import preset
    from deepseq_nb.model.training import TrainConfig

    fit(
        alignment, preset("quick"), TrainConfig(steps=updates), path.parent / "run", weights=weights
    )
    note("train", updates=updates)
    some = np.random.default_rng(2).choice(len(weights), checked, replace=False)
    assert (weights[some] == by_definition(alignment.tokens, some, 0.2)).all()
    note("check", rows=checked)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=500_000)
    parser.add_argument("--length", type=int, default=250)
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--checked", type=int, default=20, help="rows compared with the definition")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="where to write the family (default: temporary)"
    )
    parser.add_argument("--like", help="a real alignment to describe beside it")
    parser.add_argument("--out", help="name of a table in results/")
    parser.add_argument("--stages", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stages is not None:
        print(json.dumps(stages(args.stages, args.updates, args.checked)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder, "family.fasta")
        tokens = family(args.sequences, args.length, args.seed)
        about = describe(tokens)
        write_fasta(tokens, path)
        del tokens
        print(f"made-up family: {about}, {path.stat().st_size / 1e6:.0f} MB of FASTA")
        if args.like:
            from deepseq_nb.family.alignment import Alignment

            print(f"{Path(args.like).name}: {describe(Alignment.read(args.like).tokens)}")
        options = ["--updates", str(args.updates), "--checked", str(args.checked)]
        command = [sys.executable, __file__, "--stages", str(path), *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    table = pd.DataFrame(json.loads(done.stdout.splitlines()[-1]))
    print(table.to_string(index=False))
    pairs = args.sequences * (args.sequences - 1) / 2
    weigh = table[table.stage == "weigh"].iloc[0]
    print(
        f"{pairs:.3g} pairs: {weigh.seconds / pairs * 1e9:.2f} ns a pair, "
        f"{weigh.cpu_seconds / pairs * 1e9:.2f} ns of one processor"
    )
    if args.out:
        from deepseq_nb.studies.results import save_result

        parameters = {
            name: getattr(args, name) for name in ("sequences", "length", "seed", "updates")
        }
        print(
            "wrote",
            save_result(
                args.out, table, {"script": "benchmarks/large_family.py"} | parameters | about
            ),
        )


if __name__ == "__main__":
    main()
