"""A tiny random language model for tests."""

import torch

from deepseq_nb.peers.unirep import UniRep, UniRepConfig


def small_unirep(width: int = 12, layers: int = 2, seed: int = 1) -> UniRep:
    """A UniRep with random weights."""
    return UniRep(UniRepConfig(width=width, layers=layers), torch.Generator().manual_seed(seed))
