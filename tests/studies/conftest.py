"""A search of settings on a tiny family."""

import pytest
from tiny_family import TINY


@pytest.fixture
def tiny_trials(monkeypatch):
    """Trials of a tiny model."""
    from deepseq_nb.studies import tuning

    monkeypatch.setattr(tuning, "preset", lambda name: TINY)
