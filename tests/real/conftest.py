"""Tests on real data: they run where `DEEPSEQ_DATA` names a folder that holds it, and skip with a reason elsewhere."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """`real_data("BLAT_ECOLX/file")` is the path of a real file, or skips the test saying what is missing."""

    def find(relative: str) -> Path:
        root = os.environ.get("DEEPSEQ_DATA")
        if not root:
            pytest.skip("DEEPSEQ_DATA is not set: no real data here")
        path = Path(root) / relative
        if not path.exists():
            pytest.skip(f"DEEPSEQ_DATA has no {relative}")
        return path

    return find
