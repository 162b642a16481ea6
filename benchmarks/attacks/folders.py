"""Damaged run folders: what is accepted has to score, and to go on, as the undamaged one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .frame import SCORE, TRAIN, Bench, Row, fault_of, leftovers, same_run

_FILES = ("config.json", "alignment.json", "history.csv", "ranking.csv", "model.safetensors",
          "checkpoint/state.safetensors")  # fmt: skip
_HUGE = (10**400, 1e308, 10**19, 2**31)
_VALUES = (
    None,
    *_HUGE,
    -1,
    0,
    -(10**30),
    float("nan"),
    float("inf"),
    "text",
    "",
    [],
    {},
    [[]],
    True,
    0.5,
)


def _fields(data: Any, path: tuple = ()) -> Iterator[tuple]:
    """The place of every value of a JSON, at most three of a list."""
    if path:
        yield path
    if isinstance(data, dict):
        for name in data:
            yield from _fields(data[name], (*path, name))
    elif isinstance(data, list):
        for k in sorted({0, len(data) // 2, len(data) - 1} & set(range(len(data)))):
            yield from _fields(data[k], (*path, k))


def _set(data: Any, path: tuple, value: Any) -> None:
    for name in path[:-1]:
        data = data[name]
    data[path[-1]] = value


def _drop(data: Any, path: tuple) -> None:
    for name in path[:-1]:
        data = data[name]
    del data[path[-1]]


def _as_json(data: Any) -> str:
    """JSON, also with integers longer than Python prints."""
    text = json.dumps(data, default=str) if not _long(data) else json.dumps(_marked(data))
    return text.replace('"<400 digits>"', "1" + "0" * 400)


def _long(data: Any) -> bool:
    return "<400 digits>" in json.dumps(_marked(data))


def _marked(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _marked(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_marked(value) for value in data]
    return "<400 digits>" if isinstance(data, int) and data > 10**300 else data


def _bytes(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """A file as a bad disk, a bad transfer or a bad editor leaves it."""
    kind = rng.choice(
        ["flip", "flips", "cut", "empty", "zeros", "insert", "double", "text", "lines", "nested"]
    )
    where, many = int(rng.integers(max(len(data), 1))), bytearray(data)
    if kind in ("flip", "flips") and data:
        for place in rng.integers(len(data), size=1 if kind == "flip" else 20):
            many[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        many = many[:where]
    elif kind == "empty":
        many = bytearray()
    elif kind == "zeros":
        many[where:] = bytes(len(data) - where)
    elif kind == "insert":
        many[where:where] = rng.bytes(int(rng.integers(1, 40)))
    elif kind == "double":
        many += data
    elif kind == "text":
        many = bytearray(
            rng.choice([b"null", b"1", b"[]", b"{}", b"<html>", b'"a"', b"NaN", b"\xff\xfe\x00"])
        )
    elif kind == "lines":
        lines = data.split(b"\n")
        rng.shuffle(lines)
        many = bytearray(b"\n".join(lines))
    elif kind == "nested":
        many = bytearray(b'{"a":' * 100_000 if rng.random() < 0.5 else b"[" * 100_000)
    return f"{kind} at {where}", bytes(many)


def _tensors(path: Path, rng: np.random.Generator) -> str:
    """One tensor of a safetensors file becomes another, or its header does."""
    import safetensors.torch
    import torch
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    name = sorted(tensors)[int(rng.integers(len(tensors)))]
    kind = str(rng.choice(["nan", "inf", "one nan", "half", "double", "int64", "drop", "more", "shape", "empty",
                           "header", "no header", "stamp", "changed"]))  # fmt: skip
    value = tensors[name]
    if kind in ("nan", "inf") and value.is_floating_point():
        value.fill_(float(kind))
    elif kind == "one nan" and value.is_floating_point() and value.numel():
        value.reshape(-1)[int(rng.integers(value.numel()))] = float("nan")
    elif kind == "changed" and value.numel():
        value.reshape(-1)[int(rng.integers(value.numel()))] += 1
    elif kind in ("half", "double", "int64"):
        tensors[name] = value.to(
            {"half": torch.float16, "double": torch.float64, "int64": torch.int64}[kind]
        )
    elif kind == "drop":
        del tensors[name]
    elif kind == "more":
        tensors["of another"] = torch.zeros(3)
    elif kind == "shape":
        tensors[name] = value.reshape(1, *value.shape)
    elif kind == "empty":
        tensors[name] = value.reshape(-1)[:0]
    elif kind == "header":
        header = {"deepseq_nb": str(rng.choice(["[]", "1", "{}", "null", "x", '"a"']))}
    elif kind == "no header":
        header = None
    elif kind == "stamp":
        stamp = json.loads(header["deepseq_nb"])
        where = sorted(stamp)[int(rng.integers(len(stamp)))]
        stamp[where] = _VALUES[int(rng.integers(len(_VALUES)))]
        header = {"deepseq_nb": _as_json(stamp)}
        name = f"stamp.{where} = {str(stamp[where])[:20]}"
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, str(path), header)
    return f"{path.name}: {kind} {name}"


def _damage(folder: Path, other: Path, bench: Bench, rng: np.random.Generator) -> str:
    """Damage a run folder in one way; says how."""
    name = str(rng.choice(_FILES))
    path, kind = folder / name, rng.random()
    if kind < 0.06:
        if rng.random() < 0.5:
            path.unlink()
            return f"{name} removed"
        path.unlink()
        path.mkdir()
        return f"{name} a folder"
    if kind < 0.2:
        shutil.copy(other / name, path)
        return f"{name} of {other.parent.name}"
    if kind < 0.25:
        path.unlink()
        target = folder.parent / "precious"
        target.write_text("mine\n")
        path.symlink_to(target)
        return f"{name} a link"
    if name.endswith("safetensors") and kind < 0.75:
        return _tensors(path, rng)
    if name.endswith("json") and kind < 0.85:
        data = json.loads(path.read_text())
        places = list(_fields(data))
        place = places[int(rng.integers(len(places)))]
        if rng.random() < 0.15:
            _drop(data, place)
            value = "dropped"
        else:
            value = _VALUES[int(rng.integers(len(_VALUES)))]
            _set(data, place, value)
        path.write_text(_as_json(data))
        return f"{name} {'.'.join(map(str, place))} = {str(value)[:20] if not isinstance(value, int) or value < 10**300 else '10**400'}"
    how, data = _bytes(path.read_bytes(), rng)
    path.write_bytes(data)
    return f"{name}: {how}"


def _same_json(a: Path, b: Path) -> bool:
    """Whether two JSON files say the same."""
    try:
        return json.loads(a.read_text()) == json.loads(b.read_text())
    except (OSError, ValueError, RecursionError):
        return False


def damaged_folder(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A damaged copy is scored, embedded, sampled and resumed."""
    good = bench.trained()
    others = [
        bench.trained(family=bench.other_family),
        bench.trained(seed=2),
        bench.trained(steps=8),
    ]
    run = folder / "run"
    shutil.copytree(good, run)
    label = _damage(run, others[int(rng.integers(len(others)))], bench, rng)
    before = {
        path: path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    kinds = ["score"] * 5 + ["embed"] * 3 + ["sample"] * 3 + ["resume"] * 4 + ["plot"]
    kind = kinds[int(rng.integers(len(kinds)))]
    words = {
        "score": ["score", "run", *SCORE, "--out", "s.csv"],
        "embed": ["embed", "run", "--out", "z.npy"],
        "sample": ["sample", "run", "--n", 5, "--out", "new.fasta"],
        "plot": ["plot", "run", "--scores", bench.scores(), "--out", "figures"],
        "resume": ["train", bench.family, "--out", "run", "--steps", 16, *TRAIN[2:], "--resume"],
    }[kind]
    label = f"{kind}, {label}"
    found = bench.run(words, folder)
    precious = folder / "precious"
    if precious.exists() and precious.read_text() != "mine\n":
        return label, "wrote through a link"
    if fault := fault_of(found):
        return label, fault
    if left := leftovers(folder):
        return label, f"left behind: {left}"
    if kind != "resume" and any(path.read_bytes() != data for path, data in before.items()):
        return label, f"changed the run: {kind}"
    if found.code:
        made = [
            name for name in ("s.csv", "z.npy", "new.fasta", "figures") if (folder / name).exists()
        ]
        return label, f"refused, but {made[0]} is there" if made else None
    return label, _compare(bench, kind, folder, run)


def _compare(bench: Bench, kind: str, folder: Path, run: Path) -> str | None:
    """Whether what was accepted is what the undamaged run gives."""
    if kind == "score":
        same = (folder / "s.csv").read_bytes() == bench.scores().read_bytes()
        return None if same else "wrong: other scores without a word"
    if kind == "resume":
        longer = bench.trained(steps=16)
        different = same_run(run, longer)
        return f"wrong: resumed to {different}" if different else None
    if kind in ("embed", "sample"):
        name, words = {"embed": ("z.npy", []), "sample": ("new.fasta", ["--n", 5])}[kind]

        def make(place: Path) -> Path:
            bench.must(kind, bench.trained(), *words, "--out", place / name)
            return place / name

        same = (folder / name).read_bytes() == bench.once(f"good {kind}", make).read_bytes()
        return None if same else f"wrong: another {name} without a word"
    return None


def two_runs_swapped(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """The models or checkpoints of two runs change places, one file or several."""
    good, others = (
        bench.trained(),
        [bench.trained(family=bench.other_family), bench.trained(seed=2)],
    )
    other, run = others[number % 2], folder / "run"
    shutil.copytree(good, run)
    names = [name for name in _FILES if rng.random() < 0.4] or [str(rng.choice(_FILES))]
    for name in names:
        shutil.copy(other / name, run / name)
    label = f"{', '.join(names)} of {other.parent.name}"
    found = bench.run(["score", "run", *SCORE, "--out", "s.csv"], folder)
    if fault := fault_of(found):
        return label, fault
    if found.code:
        return label, None
    scores = (folder / "s.csv").read_bytes()
    if scores == bench.scores(good).read_bytes():
        return label, None
    needed = {"model.safetensors", "config.json" if other == others[1] else "alignment.json"}
    whole = (
        set(names) >= needed
    )  # runs of one family have the same alignment, and these two families the same settings
    if whole and scores == bench.scores(other).read_bytes():
        return label, None
    return label, "wrong: scores of a mixture without a word"


ROWS = [
    Row("folders", "damaged run folders: scored, embedded, sampled, drawn, resumed", 900, damaged_folder, real=150),
    Row("swapped", "run folders with files of another run", 100, two_runs_swapped, real=50),
]  # fmt: skip
