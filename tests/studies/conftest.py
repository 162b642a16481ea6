"""A search of settings on a tiny family."""

import pytest
from tiny_family import TINY, write_family

from deepseq_nb.family.alignment import Alignment


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> Alignment:
    """The tiny family; modules may have another of this name."""
    return Alignment.read(write_family(tmp_path_factory.mktemp("family") / "tiny.a2m"))


@pytest.fixture
def tiny_trials(monkeypatch):
    """Trials of a tiny model."""
    from deepseq_nb.studies import tuning

    monkeypatch.setattr(tuning, "preset", lambda name: TINY)
