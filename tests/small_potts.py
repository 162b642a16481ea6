"""A small random pairwise model and its energy, by definition."""

import itertools

import numpy as np
import torch


def random_model(length: int, letters: int, seed: int, scale: float = 1.0) -> tuple:
    """Fields (L, A) and symmetric couplings (L, A, L, A) without self-couplings, float64."""
    rng = np.random.default_rng(seed)
    h, J = rng.normal(size=(length, letters)), np.zeros((length, letters, length, letters))
    for i, j in itertools.combinations(range(length), 2):
        J[i, :, j] = scale * rng.normal(size=(letters, letters))
        J[j, :, i] = J[i, :, j].T
    return h, J


def energy_by_definition(h, J, tokens) -> float:
    """The double sum, term by term; letters from A on are gaps."""
    there = [i for i, a in enumerate(tokens) if a < h.shape[1]]
    single = sum(h[i, tokens[i]] for i in there)
    return single + sum(J[i, tokens[i], j, tokens[j]] for i, j in itertools.combinations(there, 2))


def as_tensors(h, J) -> tuple[torch.Tensor, torch.Tensor]:
    size = h.size
    return torch.from_numpy(h.ravel()).float(), torch.from_numpy(J.reshape(size, size)).float()
