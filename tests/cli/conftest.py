"""A folder with a family, a run, scores and an assay, made once for all tests of the command line, and a prompt in it."""

import json
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.cli.main import main
from deepseq_nb.scores.scoring import score

SMALL = {"model": {"encoder": [16], "latent": 3, "decoder": [8, 12], "conv": 5}}


class Done(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def work(tmp_path_factory, family, tiny_run) -> Path:
    """family.a2m, small.json, run/, scores.csv and assay.csv; each test writes under names of its own."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copy(family, folder / "family.a2m")
    shutil.copytree(tiny_run.path, folder / "run")
    (folder / "small.json").write_text(json.dumps(SMALL))
    scores = score(tiny_run, samples=3, device="cpu")
    scores.to_csv(folder / "scores.csv", index=False, lineterminator="\n")
    noise = np.random.default_rng(1).normal(size=len(scores))
    assay = pd.DataFrame({"mutant": scores.variant, "activity": scores.score + noise})
    assay.to_csv(folder / "assay.csv", index=False)
    return folder


@pytest.fixture
def deepseq(work, monkeypatch, capsys):
    """`deepseq("score run --all-singles --out x.csv")`, typed in the folder `work`."""
    monkeypatch.chdir(work)

    def type_line(line: str) -> Done:
        capsys.readouterr()
        try:
            code = main(shlex.split(line))
        except SystemExit as stop:
            code = stop.code
        return Done(code, *capsys.readouterr())

    return type_line


@pytest.fixture(scope="session")
def several(work) -> Path:
    """Two runs of one family in a folder, as `deepseq train --runs 2` makes them."""
    line = f"train {work}/family.a2m --out {work}/several --runs 2 --steps 20 --device cpu"
    assert main(shlex.split(f"{line} --config {work}/small.json")) == 0
    return work / "several"
