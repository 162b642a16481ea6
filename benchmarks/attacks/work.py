"""The commands that the attacks disturb: how each is called, called again, and compared with what it makes undisturbed."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from .frame import (
    SCORE,
    TRAIN,
    Bench,
    at_write,
    command,
    die,
    leftovers,
    same_run,
    write_family,
)

CPU = ["--device", "cpu"]
FEW = ["--samples", 8, *CPU, "--overwrite"]
KINDS = ["train", "score", "search", "weights", "embed", "sample", "plot", "export", "proteins", "report", "classify",
         "explain", "design", "evotune", "unirep"]  # fmt: skip
"""All of these last seconds; `tune` lasts longer and is attacked by kills alone."""


class Work:
    """A command that makes something: how it is called, called again, and compared with what it makes undisturbed."""

    def __init__(self, bench: Bench, kind: str):
        self.bench, self.kind = bench, kind
        words, self.product = _line(bench, kind)
        self.words: list[Any] = list(words)

    @property
    def good(self) -> Path:
        """What it makes undisturbed."""

        def make(folder: Path) -> Path:
            begun = time.monotonic()
            self.bench.must(*self.words, cwd=folder)
            self.bench.made[f"seconds {self.kind}"] = time.monotonic() - begun
            return folder / self.product

        return self.bench.once(f"work {self.kind}", make)

    @property
    def seconds(self) -> float:
        """How long that takes."""
        _ = self.good
        return self.bench.made[f"seconds {self.kind}"]

    @property
    def writes(self) -> int:
        """How many write events that has."""

        def make(folder: Path) -> int:
            count = folder.parent / f"count {self.kind}"
            found = command(self.words, folder, prepare=at_write(-1, folder, die, count))
            if found.code:
                raise SystemExit(f"{self.kind} failed undisturbed: {found.said}")
            return count.stat().st_size

        return self.bench.once(f"writes {self.kind}", make)

    def wrong(self, folder: Path, whole: bool) -> str | None:
        """What is wrong with what stands in `folder`: nothing may be half; with `whole` it has to be there."""
        made, good = folder / self.product, self.good
        if not made.exists():
            return f"{self.product} is missing" if whole else None
        if made.is_dir():
            return self._other_folder(made, good) if whole else None
        same = made.read_bytes() == good.read_bytes()
        return None if same else f"{self.product} is half or another"

    def _other_folder(self, made: Path, good: Path) -> str | None:
        """How a folder differs from the undisturbed one; the seconds that the work took are no result."""
        if self.kind == "train":
            return same_run(made, good)
        if self.kind == "tune":
            tables = [
                pd.read_csv(place / "trials.csv").drop(columns="seconds") for place in (made, good)
            ]
            if not tables[0].equals(tables[1]):
                return "other trials"
            same = (made / "config.json").read_bytes() == (good / "config.json").read_bytes()
            return None if same else "another config.json"
        return _differing(made, good)


def _line(bench: Bench, kind: str) -> tuple[list[Any], str]:
    """The words of a command and the name of what it makes."""
    if kind == "train":
        return ["train", bench.family, "--out", "run", "--steps", 12, *TRAIN, "--resume"], "run"
    if kind == "score":
        return ["score", bench.trained(), *SCORE, "--out", "s.csv", "--overwrite"], "s.csv"
    if kind == "search":
        query, database = bench.database
        return ["search", query, "--database", database, "--out", "hits.a2m", "--overwrite", "--jobs", 1,
                "--thresholds", "0.3", "--iterations", 2], "hits.a2m"  # fmt: skip
    if kind == "weights":
        return ["weights", bench.family, "--out", "w.npy", "--overwrite"], "w.npy"
    if kind == "embed":
        return ["embed", bench.trained(), "--out", "z.npy", "--overwrite"], "z.npy"
    if kind == "sample":
        return [
            "sample",
            bench.trained(),
            "--n",
            20,
            "--out",
            "new.fasta",
            "--overwrite",
        ], "new.fasta"
    if kind == "plot":
        return [
            "plot",
            bench.trained(),
            "--scores",
            bench.scores(),
            "--out",
            "figures",
            "--overwrite",
        ], "figures"
    if kind == "export":
        return ["export-original", bench.trained(), "--out", "p.npz", "--overwrite"], "p.npz"
    if kind == "proteins":
        return ["train", bench.family, "--out", "run", "--model", "sites", "--overwrite"], "run"
    if kind == "report":
        assay = ["--assay", bench.assay, "--column", "fitness"]
        return ["report", bench.trained(), *assay, *FEW, "--out", "report.html"], "report.html"
    if kind == "classify":
        return ["classify", _two_humps(bench), *FEW, "--out", "classes.csv"], "classes.csv"
    if kind == "explain":
        return [
            "explain",
            bench.trained(),
            _variant(bench),
            *FEW,
            "--json",
            "--out",
            "why.json",
        ], "why.json"
    if kind == "design":
        return [
            "design",
            bench.trained(),
            "--count",
            5,
            *FEW,
            "--out",
            "designs.csv",
        ], "designs.csv"
    if kind == "evotune":
        return ["unirep", "evotune", bench.family, "--model", _language(bench), "--learning-rate", 0.01, "--epochs", 2,
                "--out", "tuned", "--resume", *CPU], "tuned"  # fmt: skip
    if kind == "unirep":
        return ["unirep", "score", _language(bench), "--alignment", bench.family, "--all-singles", *CPU,
                "--out", "u.csv", "--overwrite"], "u.csv"  # fmt: skip
    if kind == "tune":
        return ["tune", bench.family, "--out", "search", "--trials", 2, "--steps", 6, "--looks", 2, "--resume",
                *CPU], "search"  # fmt: skip
    raise ValueError(kind)


def _variant(bench: Bench) -> str:
    return str(pd.read_csv(bench.scores()).variant[0])


def _language(bench: Bench) -> Path:
    """A random UniRep of 12 units."""

    def make(folder: Path) -> Path:
        from deepseq_nb.peers.unirep import UniRep, UniRepConfig
        from deepseq_nb.peers.unirep_weights import save_unirep

        config = UniRepConfig(width=12, layers=2, embedding=5)
        save_unirep(UniRep(config, torch.Generator().manual_seed(1)), folder / "tiny")
        return folder / "tiny"

    return bench.once("language", make)


def _two_humps(bench: Bench) -> Path:
    """A run whose scores have two humps: half of the columns never change, the others are anything."""

    def make(folder: Path) -> Path:
        family = write_family(folder / "humps.a2m", 4, rows=200, columns=24)
        records = [record.split("\n") for record in family.read_text().split(">")[1:]]
        focus, letters, rng = (
            records[0][1],
            np.array(list("ACDEFGHIKLMNPQRSTVWY")),
            np.random.default_rng(4),
        )
        lines = [
            f">{name}\n{focus[:12]}{''.join(rng.choice(letters, 12)) if k else focus[12:]}\n"
            for k, (name, *_) in enumerate(records)
        ]
        family.write_text("".join(lines))
        return bench.trained(steps=150, family=family)

    return bench.once("humps", make)


def _differing(one: Path, two: Path) -> str | None:
    """The first file in which two folders differ; a checkpoint also says how long the work took."""
    names = [
        {
            str(p.relative_to(f))
            for p in f.rglob("*")
            if p.is_file() and p.parent.name != "checkpoint"
        }
        for f in (one, two)
    ]
    if names[0] != names[1]:
        return f"other files: {sorted(names[0] ^ names[1])}"
    for name in sorted(names[0]):
        if (one / name).read_bytes() != (two / name).read_bytes():
            return f"another {name}"
    return None


def after(work: Work, folder: Path) -> str | None:
    """Nothing half stands there; the same command line once more makes what an undisturbed one makes, and sweeps."""
    if wrong := work.wrong(folder, whole=False):
        return f"partial: {wrong}"
    found = command(work.words, folder)
    if found.code:
        return f"lost: cannot be repeated, exit {found.code}: {found.said}"
    if wrong := work.wrong(folder, whole=True):
        return f"lost: after a repetition {wrong}"
    if left := leftovers(folder):
        return f"left behind: {left}"
    return None
