"""Alignments, tables and pickles that are mutated: refused in a sentence, or read as they stand."""

import contextlib
import gzip
import math
import os
import pickle
import signal
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepseq_nb.core.errors import DeepseqError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.assays import read_assay, read_variants
from deepseq_nb.peers.pickles import load_original_parameters
from deepseq_nb.scores.evaluation import evaluate
from deepseq_nb.scores.scoring import score

from .frame import Bench, Row, command, fault_of, forked, slowness

_SNIPPETS = [
    b"\0", b"\r", b"\n\n\n", b">", b">\n", b"\xff\xfe", b"\xef\xbb\xbf", b"\t", b"//\n", b"# STOCKHOLM 1.0\n", b"CLUSTAL W\n",
    b"\x1b[2J", b"-" * 3000, b"X" * 50, b"*", b".", b"acdef", b"0", b";", b"\xe2\x80\xa8", b"\xc3\x28", b">a>b\n", b"<html>",
    b"," * 20, b'"', b"'", b"=1+1", b"nan", b"1e999", b"\x80", b"\x1a", b"p.Ala5Gly", b"A5G:C6D", b"1" * 400,
]  # fmt: skip


def mutated(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """One to four random changes of a text."""
    said = []
    for _ in range(int(rng.integers(1, 5))):
        kind = str(rng.choice(["flip", "delete", "double", "insert", "cut", "lines", "line twice", "line gone", "case",
                               "space", "replace"]))  # fmt: skip
        size = max(len(data), 1)
        a = int(rng.integers(size))
        b = min(size, a + int(rng.integers(1, 200)))
        lines = data.split(b"\n")
        k = int(rng.integers(len(lines)))
        if kind == "flip" and data:
            data = data[:a] + bytes([data[a] ^ (1 << int(rng.integers(8)))]) + data[a + 1 :]
        elif kind == "delete":
            data = data[:a] + data[b:]
        elif kind == "double":
            data = data[:b] + data[a:b] + data[b:]
        elif kind == "insert":
            data = data[:a] + _SNIPPETS[int(rng.integers(len(_SNIPPETS)))] + data[a:]
        elif kind == "cut" and rng.random() < 0.3:
            data = data[:a]
        elif kind == "lines":
            other = int(rng.integers(len(lines)))
            lines[k], lines[other] = lines[other], lines[k]
            data = b"\n".join(lines)
        elif kind == "line twice":
            data = b"\n".join([*lines[:k], lines[k], *lines[k:]])
        elif kind == "line gone":
            data = b"\n".join(lines[:k] + lines[k + 1 :])
        elif kind == "case":
            data = data[:a] + data[a:b].swapcase() + data[b:]
        elif kind == "space":
            data = data[:a] + b" " * int(rng.integers(1, 5)) + data[a:]
        elif kind == "replace":
            data = data[:a] + rng.bytes(min(b - a, 8)) + data[b:]
        said.append(kind)
    return "+".join(said), data


def harmless(data: bytes, rng: np.random.Generator, table: bool = False) -> tuple[str, bytes]:
    """A change that means nothing."""
    ways = ["crlf", "blank end", "gz", "mark", "no end"] + (
        ["semicolons", "tabs", "quotes"] if table else ["cr"]
    )
    kind = str(rng.choice(ways))
    if kind == "crlf":
        data = data.replace(b"\n", b"\r\n")
    elif kind == "cr":
        data = data.replace(b"\n", b"\r")
    elif kind == "blank end":
        data += b"\n\n"
    elif kind == "no end":
        data = data.rstrip(b"\n")
    elif kind == "gz":
        data = gzip.compress(data)
    elif kind == "mark":
        data = b"\xef\xbb\xbf" + data
    elif kind == "semicolons":
        data = data.replace(b",", b";")
    elif kind == "tabs":
        data = data.replace(b",", b"\t")
    elif kind == "quotes":
        lines = data.rstrip(b"\n").split(b"\n")
        data = b"\n".join(
            b",".join(b'"' + cell + b'"' for cell in line.split(b",")) for line in lines
        )
    return kind, data


@contextlib.contextmanager
def _at_most(seconds: int):
    """TimeoutError for what takes longer; on a machine that is busy, as much longer as it is slower."""
    begun = time.monotonic()

    def late(*_: Any) -> None:
        left = begun + seconds * slowness() - time.monotonic()
        if left <= 0:
            raise TimeoutError
        signal.alarm(math.ceil(left))

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def tried(work: Callable[[], Any], seconds: int = 60) -> tuple[Any, str | None]:
    """What `work` returns, or None for a refusal in a sentence, and the fault."""
    try:
        with _at_most(seconds), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work(), None
    except DeepseqError as error:
        text = str(error)
        if not text.strip() or "\n" in text or len(text) > 3000:
            return (
                None,
                f"sentence: {len(text)} characters, {text.count(chr(10)) + 1} lines: {text[:80]!r}",
            )
        return None, None
    except TimeoutError:
        return None, f"hang: {seconds} s"
    except Exception as error:
        return None, f"foreign: {type(error).__name__}: {str(error)[:100]}"


# --- alignments ----------------------------------------------------------------------------------------------------


def _formats(bench: Bench) -> dict[str, bytes]:
    """The same family in five formats."""

    def make(folder: Path) -> dict[str, bytes]:
        records = [r.split("\n")[:2] for r in bench.family.read_text().split(">")[1:41]]
        rows = {name: row for name, row in records}
        block = "".join(f"{name:<20} {row}\n" for name, row in rows.items())
        fasta = "".join(f">{name}\n{row}\n" for name, row in rows.items())
        lower = "".join(
            f">{name}\n{row[:6]}{row[6:9].lower().replace('-', '.')}{row[9:]}\n"
            for name, row in rows.items()
        )
        a3m = "".join(
            f">{name}\n{row[:5]}{'' if k == 0 else 'ac'}{row[5:]}\n"
            for k, (name, row) in enumerate(rows.items())
        )
        return {
            "fasta": fasta.encode(), "a2m": lower.encode(), "a3m": a3m.encode(),
            "stockholm": f"# STOCKHOLM 1.0\n\n{block}//\n".encode(), "clustal": f"CLUSTAL W (1.83)\n\n{block}\n".encode(),
        }  # fmt: skip

    return bench.once("formats", make)


def _invariants(found: Alignment) -> str | None:
    """What an alignment always is."""
    tokens, report = found.tokens, found.report
    if (
        tokens.dtype != np.uint8
        or tokens.ndim != 2
        or not tokens.size
        or int(tokens.max()) > found.gap
    ):
        return "tokens"
    if len(found.names) != len(tokens) or len(tokens) != report.kept:
        return "names or the number kept"
    if report.kept + sum(report.dropped.values()) != report.records:
        return f"kept {report.kept} and dropped {report.dropped} are not the {report.records} of the file"
    if len(found.residues) != tokens.shape[1] or (np.diff(found.residues) < 1).any():
        return "residue numbers"
    return None


def _own_reading(data: bytes) -> dict[str, int]:
    """Sequences of a FASTA-like text, without what is no letter, and how often each is there: read in six lines."""
    found: dict[str, int] = {}
    text = data.decode("latin1").replace("\r\n", "\n").replace("\r", "\n")
    for record in ("\n" + text).split("\n>")[1:]:
        row = "".join(x for x in record.partition("\n")[2].upper() if x.isascii() and x.isalpha())
        found[row] = found.get(row, 0) + 1
    return found


def _from_file(found: Alignment, data: bytes) -> str | None:
    """Whether every sequence kept is one of the file: its letters come in their order in one of the records."""
    rows = list(_own_reading(data))
    for row in dict.fromkeys(text.replace("-", "") for text in found.decode(found.tokens)):
        if not any(_inside(row, whole) for whole in rows):
            return f"a sequence that is not in the file: {row[:40]}"
    return None


def _inside(row: str, whole: str) -> bool:
    letters = iter(whole)
    return row in whole or all(letter in letters for letter in row)


def mutated_alignment(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """Read one; a share is trained on."""
    formats = _formats(bench)
    name = list(formats)[number % len(formats)]
    path, data = folder / f"m.{name}", formats[name]
    if number % 10 == 9:
        how, changed = harmless(data, rng)
        path.write_bytes(changed)
        found, fault = tried(lambda: Alignment.read(path))
        label = f"{name}, harmless {how}"
        if fault or found is None:
            return label, fault or "refused: a harmless change"
        plain = folder / f"plain.{name}"
        plain.write_bytes(data)
        good = Alignment.read(plain)
        same = found.checksum == good.checksum and found.names == good.names
        return label, None if same else "wrong: another alignment"
    how, changed = mutated(data, rng)
    path.write_bytes(gzip.compress(changed) if number % 7 == 0 else changed)
    label = f"{name}, {how}"
    if number % 100 == 50 or bench.real:
        words = [["check", path], ["weights", path, "--out", folder / "w.npy"]][number % 2]
        return f"{words[0]} {label}", fault_of(bench.run(words, folder), (0, 2))
    found, fault = tried(lambda: Alignment.read(path))
    if fault or found is None:
        return label, fault
    if wrong := _invariants(found):
        return label, f"wrong: {wrong}"
    if (
        name in ("fasta", "a2m", "a3m")
        and found.report.format in ("fasta", "a2m", "a3m")
        and b"\0" not in changed
    ):
        wrong = _from_file(found, changed.removeprefix(b"\xef\xbb\xbf"))
        return label, f"wrong: {wrong}" if wrong else None
    return label, None


# --- tables --------------------------------------------------------------------------------------------------------


def _known(bench: Bench) -> dict[str, float]:
    def make(folder: Path) -> dict[str, float]:
        table = pd.read_csv(bench.scores())
        return dict(zip(table.variant, table.score, strict=True))

    return bench.once("known", make)


def _loaded(bench: Bench) -> Any:
    from deepseq_nb.model.runs import load_run

    return bench.once("loaded", lambda folder: load_run(bench.trained()))


def mutated_table(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A table of variants is scored or of measurements compared; each score is that of the undamaged table."""
    assay, kind = number % 3 == 2, "harmless" if number % 10 == 9 else "mutated"
    lines = bench.assay.read_text().splitlines(keepends=True)
    source = (
        lines
        if assay
        else [lines[0], *(lines[int(k)] for k in rng.permutation(len(lines) - 1)[:40] + 1)]
    )
    data = "".join(source).encode()
    how, changed = harmless(data, rng, table=True) if kind == "harmless" else mutated(data, rng)
    path, plain = folder / "table.csv", folder / "plain.csv"
    path.write_bytes(changed)
    plain.write_bytes(data)
    label = f"{'assay' if assay else 'variants'}, {how}"
    if bench.real or number % 100 == 50:
        words = ["evaluate", bench.scores(), path, "--column", "fitness"] if assay else [
            "score", bench.trained(), "--variants", path, "--samples", 8, "--out", folder / "s.csv"]  # fmt: skip
        return f"{words[0]} {label}", fault_of(bench.run(words, folder), (0, 2))
    if assay:
        return label, _compared(bench, path, plain, kind)
    return label, _scored(bench, path, plain, kind)


def _compared(bench: Bench, path: Path, plain: Path, kind: str) -> str | None:
    found, fault = tried(lambda: evaluate(bench.scores(), path, column="fitness"))
    if fault or (found is None and kind == "harmless"):
        return fault or "refused: a harmless change"
    if found is None:
        return None
    good = evaluate(bench.scores(), plain, column="fitness")
    numbers = (
        found.to_json()
        if hasattr(found, "to_json")
        else dict(vars(found))
        if hasattr(found, "__dict__")
        else str(found)
    )
    if kind == "harmless":
        same = numbers == (
            good.to_json()
            if hasattr(good, "to_json")
            else dict(vars(good))
            if hasattr(good, "__dict__")
            else str(good)
        )
        return None if same else "wrong: other metrics after a harmless change"
    rows, fault = tried(lambda: read_assay(path))
    if fault or rows is None:
        return fault or "wrong: compared what cannot be read"
    return None


def _scored(bench: Bench, path: Path, plain: Path, kind: str) -> str | None:
    texts, fault = tried(lambda: read_variants(path))
    if fault or (texts is None and kind == "harmless"):
        return fault or "refused: a harmless change"
    if texts is None:
        return None
    if kind == "harmless" and texts != read_variants(plain):
        return "wrong: other variants after a harmless change"
    table, fault = tried(lambda: score(_loaded(bench), texts, samples=8, progress=False))
    if fault or table is None:
        return fault
    if len(table) != len(texts) or list(table.variant) != list(texts):
        return "wrong: other rows than were given"
    known = _known(bench)
    for row in table.itertuples():
        text = str(row.variant).strip()
        if (row.status == "ok") != bool(np.isfinite(row.score)):
            return f"wrong: {text!r} is {row.status} with a score {row.score}"
        if row.status == "ok" and text in known and abs(known[text] - row.score) > 1e-5:
            return f"wrong: {text} scores {row.score}, alone {known[text]}"
    return None


# --- pickles -------------------------------------------------------------------------------------------------------


class _Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def _hostile(canary: str, rng: np.random.Generator) -> tuple[str, bytes]:
    """A pickle that would touch the canary, or eat the machine."""
    import builtins
    import subprocess

    calls = [(os.system, f"touch {canary}"), (subprocess.call, ["touch", canary]), (builtins.eval, f"open({canary!r}, 'w')"),
             (builtins.exec, f"open({canary!r}, 'w')"), (builtins.open, canary, "w"), (os.mkdir, canary),
             (np.savetxt, canary, [1.0]), (os.popen, f"touch {canary}"), (bytearray, 10**13), (np.ones, 10**12)]  # fmt: skip
    call = calls[int(rng.integers(len(calls)))]
    protocol = int(rng.integers(6))
    nested = [
        _Call(*call),
        {"W": _Call(*call)},
        [np.ones(3), _Call(*call)],
        {"W": np.array([_Call(*call)], dtype=object)},
    ]
    raw = [
        b"cos\nsystem\n(S'touch " + canary.encode() + b"'\ntR.", b"(S'touch " + canary.encode() + b"'\nios\nsystem\n.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c" + bytes([6 + len(canary)]) + b"touch " + canary.encode() + b"\x85R.",
        b"(" * 190_000 + b".", b"\x80\x02\x8a\xff" + b"\x01" * 255 + b".", b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"X\xff\xff\xff\x7fabc.", b"cnumpy\nload\n(S'x'\ntR.", b"cbuiltins\n__import__\n(S'os'\ntR.", b"]" + b"2" * 100_000 + b".",
        b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\ntype\n(K\x00tc__builtin__\nstr\ntR.",
        b"\x80\x02}q\x00" + b"h\x00h\x00s" * 50_000 + b".",
    ]  # fmt: skip
    if rng.random() < 0.5:
        return (
            f"call of {getattr(call[0], '__name__', call[0])}, protocol {protocol}",
            pickle.dumps(nested[int(rng.integers(len(nested)))], protocol),
        )
    k = int(rng.integers(len(raw)))
    return f"raw {k}", raw[k]


def mutated_pickle(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """Hostile and damaged parameter files: nothing runs, little memory, arrays of the file or a refusal."""
    arrays = {
        "W": rng.normal(size=(6, 5)),
        "b": rng.normal(size=5).astype(np.float32),
        "n": np.arange(4),
    }
    canary, path, report = folder / "canary", folder / "P_params.pkl", folder / "report"
    if number % 2:
        label, data = _hostile(str(canary), rng)
    else:
        how, data = mutated(pickle.dumps(arrays, int(rng.integers(5))), rng)
        label = f"damaged: {how}"
    path.write_bytes(data)

    def read() -> int:
        import resource

        events = {
            "os.system",
            "subprocess.Popen",
            "os.exec",
            "os.posix_spawn",
            "os.mkdir",
            "exec",
            "compile",
            "os.fork",
        }
        armed = [True]

        def hook(name: str, arguments: tuple) -> None:
            writes = (
                name == "open"
                and isinstance(arguments[2], int)
                and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if armed[0] and (name in events or writes):
                os.write(2, f"RAN {name} {arguments!r}\n".encode())

        for codec in ("raw_unicode_escape", "unicode_escape", "latin_1", "ascii"):
            # Python imports a codec when it is first used, which is no harm of the file
            import_module(f"encodings.{codec}")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30, 12 * 2**30))
        sys.addaudithook(hook)
        found, fault = tried(lambda: load_original_parameters(path))
        armed[0] = False
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        if grown > 500:
            fault = fault or f"memory: {grown:.0f} MB"
        if found is not None:
            for name, value in found.items():
                if (
                    not isinstance(value, np.ndarray)
                    or value.dtype.kind not in "fiu"
                    or value.nbytes > 10 * len(data)
                ):
                    fault = (
                        fault
                        or f"wrong: {name} is {type(value).__name__} {getattr(value, 'dtype', '')}"
                    )
        report.write_text(fault or "")
        return 0

    ended = forked(read, folder, 60)
    if ended.code != 0:
        return label, fault_of(ended, (0,))
    if canary.exists() or "RAN" in ended.err:
        return label, f"executed: {ended.err[:200]}"
    return label, report.read_text() or None


# --- bombs -----------------------------------------------------------------------------------------------------------


def bomb(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A few megabytes that unpack to gigabytes: one line, and memory that stays below a limit."""
    import resource

    size = 4 * 2**30

    def make(place: Path) -> dict[str, Path]:
        made = {}
        for name, head, body in (
            ("fasta", b">a/1-4\nACDE\n>b\n", b"A" * 2**20),
            ("csv", b"variant,fitness\n", b"A5C,1\n" * 2**17),
        ):
            made[name] = place / f"{name}.gz"
            packed = gzip.compress(body, 9)
            with open(
                made[name], "wb"
            ) as file:  # members of a gzip file are joined when it is unpacked
                file.write(gzip.compress(head))
                for _ in range(size // len(body)):
                    file.write(packed)
        return made

    bombs = bench.once("bombs", make)
    words = [["train", bombs["fasta"], "--out", "run", "--preset", "quick", "--steps", 2],
             ["score", bench.trained(), "--variants", bombs["csv"], "--samples", 4, "--out", "s.csv"],
             ["evaluate", bench.scores(), bombs["csv"], "--column", "fitness"],
             ["evaluate", bombs["csv"], bench.assay, "--column", "fitness"]][number % 4]  # fmt: skip
    limit = 6 * 2**30
    found = command(
        words, folder, 240, prepare=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    )
    made = [p.name for p in folder.iterdir()]
    return f"{words[0]} of 4 GiB", fault_of(found, (2,)) or (
        f"left behind: {made}" if made else None
    )


ROWS = [
    Row("alignments", "mutated alignments in five formats", 5000, mutated_alignment, real=1000),
    Row("tables", "mutated tables of variants and measurements", 2500, mutated_table, real=500),
    Row("pickles", "hostile and damaged parameter files", 500, mutated_pickle),
    Row("bombs", "gzip files that unpack to 4 GiB", 4, bomb),
]
