"""A Ray cluster on this machine, each node with processes of its own."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def ray_cluster(patch: pytest.MonkeyPatch, nodes: int = 2) -> Iterator[Any]:
    """So many nodes of one core; the last of several is `worker`. Skips without Ray."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install '.[cluster]'")
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    patch.setenv("OMP_NUM_THREADS", "1")
    import ray
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "memory": 2 * 2**30}
    made = Cluster(initialize_head=True, head_node_args=size | {"include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            made.worker = made.add_node(**size)
        yield made
    finally:
        with suppress(Exception):
            ray.shutdown()
        made.shutdown()
