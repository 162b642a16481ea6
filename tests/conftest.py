"""Shared fixtures: a tiny random family and a run trained on it in a second; how tests share the cores."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one core a worker, said before torch and numba count them
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"

from hypothesis import settings
from tiny_family import TINY, write_family

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.model.runs import fit
from deepseq_nb.model.training import TrainConfig

settings.register_profile("no clock", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("no clock")

SLOW = frozenset((Path(__file__).parent / "slow_tests.txt").read_text().split())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto` is the cores that this process may use; xdist would count physical ones of the machine."""
    able = getattr(os, "sched_getaffinity", None)
    return len(able(0)) if able else os.cpu_count() or 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests and start with them, so that no worker is left alone with a long one at the end."""
    for item in items:
        if getattr(item, "originalname", item.name) in SLOW:
            item.add_marker(pytest.mark.slow)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


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
