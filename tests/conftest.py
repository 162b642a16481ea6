"""Shared fixtures: a tiny random family and a run trained on it in a second."""

from pathlib import Path

import pytest
from tiny_family import TINY, write_family

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.model.runs import fit
from deepseq_nb.model.training import TrainConfig


@pytest.fixture(scope="session")
def family(tmp_path_factory) -> Path:
    return write_family(tmp_path_factory.mktemp("family") / "tiny.a2m")


@pytest.fixture(scope="session")
def alignment(family) -> Alignment:
    return Alignment.read(family)


@pytest.fixture(scope="session")
def tiny_run(alignment, tmp_path_factory):
    return fit(
        alignment,
        TINY,
        TrainConfig(steps=60, batch_size=20, device="cpu"),
        tmp_path_factory.mktemp("runs") / "tiny",
    )
