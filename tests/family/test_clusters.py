"""Clusters of near sequences, and what is held out."""

import numpy as np
import pytest

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.clusters import clusters, hold_out


def greedy(tokens: np.ndarray, gap: int, identity: float) -> np.ndarray:
    """The same by definition: a founder at a time."""
    member = np.full(len(tokens), -1)
    for founder in range(len(tokens)):
        if member[founder] >= 0:
            continue
        for row in range(founder, len(tokens)):
            both = (tokens[row] != gap) & (tokens[founder] != gap)
            same = (tokens[row] == tokens[founder]) & both
            near = same.sum() >= identity * max(both.sum(), 1)
            if member[row] < 0 and (near or row == founder):
                member[row] = founder
    return member


@pytest.mark.parametrize("identity", [0.3, 0.5, 0.8, 0.9, 1.0])
def test_clusters_are_those_of_the_definition(identity):
    stream = np.random.default_rng(1)
    parents = stream.integers(0, 4, (6, 20))
    rows = parents[stream.integers(0, 6, 60)]
    rows[stream.random(rows.shape) < 0.15] = 4
    rows[stream.random(rows.shape) < 0.1] = 20
    rows[0] = parents[0]  # no gap in the focus
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY-"))
    family = Alignment.from_strings(["".join(letters[row]) for row in rows])
    expected = greedy(family.tokens, family.gap, identity)
    assert clusters(family, identity).tolist() == expected.tolist()


def test_a_tie_belongs_to_the_cluster():
    family = Alignment.from_strings(["AAAAAAAAAA", "AAAAAAAACC", "AAAAAAACCC"])
    assert clusters(family, 0.8).tolist() == [0, 0, 2]


def test_whole_clusters_are_held_out_and_never_that_of_the_focus():
    member = np.repeat(np.arange(0, 100, 5), 5)
    for seed in range(20):
        out = hold_out(member, np.ones(100), 0.2, seed, keep=3)
        assert not set(member[out]) & set(member[~out])
        assert not out[:5].any()
        assert out.sum() == 20


def test_a_hold_out_is_drawn_by_its_seed():
    member = np.arange(50)
    same = hold_out(member, np.ones(50), 0.2, 7)
    assert (same == hold_out(member, np.ones(50), 0.2, 7)).all()
    assert (same != hold_out(member, np.ones(50), 0.2, 8)).any()


def test_a_family_of_one_cluster_has_nothing_to_hold_out():
    assert not hold_out(np.zeros(9, np.int64), np.ones(9), 0.2).any()


def test_a_cluster_that_is_too_heavy_is_passed_over():
    member = np.array([0] * 60 + list(range(60, 100)))
    out = hold_out(member, np.ones(100), 0.1, 1)
    assert not out[:60].any() and out.sum() == 10


def test_identities_in_per_cent_are_refused():
    with pytest.raises(ConfigError, match="identity is 80"):
        clusters(Alignment.from_strings(["ACD", "ACD"]), 80)
