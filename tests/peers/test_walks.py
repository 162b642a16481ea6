"""Metropolis walks."""

import itertools

import numpy as np
import pytest

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.peers.walks import WalkConfig, mixing, split_r_hat, walk


def tryptophans(sequences):
    return np.array([float(text.count("W")) for text in sequences])


def test_sequences_are_visited_as_often_as_the_score_says():
    """Two residues, four hundred sequences: shares of 0, 1 and 2 W by hand."""
    config = WalkConfig(chains=8, steps=8000, seed=3)
    table = walk("MK", tryptophans, config, progress=False)
    late = table[table.step > 500]
    p = np.e / (np.e + 19)
    shares = [np.mean(late.score == k) for k in (0, 1, 2)]
    assert shares == pytest.approx([(1 - p) ** 2, 2 * p * (1 - p), p**2], abs=0.02)
    assert mixing(table) < 1.05


def test_no_walk_leaves_the_radius_or_the_places():
    config = WalkConfig(chains=3, steps=300, radius=2, residues=(12, 13, 15), temperature=9)
    table = walk("MKVLAA", tryptophans, config, first_residue=11, progress=False)
    assert table.distance.max() == 2
    changed = {
        11 + i
        for text in table.sequence
        for i, (a, b) in enumerate(zip("MKVLAA", text, strict=True))
        if a != b
    }
    assert changed == {12, 13, 15}
    by_hand = [sum(a != b for a, b in zip("MKVLAA", t, strict=True)) for t in table.sequence]
    assert table.distance.tolist() == by_hand


def test_the_score_is_not_asked_outside_the_radius():
    seen = []

    def score(sequences):
        seen.extend(sequences)
        return np.zeros(len(sequences))

    walk("MKVLAA", score, WalkConfig(steps=100, radius=1, chains=2), progress=False)
    assert max(sum(a != b for a, b in zip("MKVLAA", t, strict=True)) for t in seen) == 1


def test_a_walk_changes_at_most_one_residue_at_a_time():
    table = walk("MKVLAA", tryptophans, WalkConfig(steps=100, chains=1), progress=False)
    for a, b in itertools.pairwise(table.sequence):
        assert sum(x != y for x, y in zip(a, b, strict=True)) <= 1


def test_a_walk_is_the_same_whoever_walks_beside_it():
    two = walk("MKVLAA", tryptophans, WalkConfig(chains=2, steps=50), progress=False)
    three = walk("MKVLAA", tryptophans, WalkConfig(chains=3, steps=50), progress=False)
    assert three[three.chain <= 2].reset_index(drop=True).equals(two)
    other = walk("MKVLAA", tryptophans, WalkConfig(chains=2, steps=50, seed=2), progress=False)
    assert not other.equals(two)


def test_cold_walks_never_go_down():
    config = WalkConfig(steps=200, temperature=1e-6, chains=2)
    table = walk("MKVLAA", tryptophans, config, progress=False)
    assert (table.groupby("chain").score.diff().dropna() >= 0).all()


def test_r_hat_by_hand():
    """Pieces (1, 3) and (3, 5), after a first half that is left out: W = 2, B = 4."""
    scores = np.array([[9.0, 9, 9, 9, 1, 3, 3, 5]])
    assert split_r_hat(scores) == pytest.approx(np.sqrt((2 / 2 + 4 / 2) / 2))


def test_r_hat_of_walks_that_stand_still():
    assert split_r_hat(np.array([[1.0] * 8, [2.0] * 8])) == np.inf
    assert split_r_hat(np.ones((2, 8))) == 1
    assert np.isnan(split_r_hat(np.zeros((2, 4))))


@pytest.mark.parametrize("answer", [np.zeros(3), np.array([np.nan]), np.zeros((1, 1))])
def test_a_score_that_answers_otherwise_is_refused(answer):
    with pytest.raises(ConfigError, match="expected 1 finite numbers"):
        walk("MKVL", lambda sequences: answer, progress=False)


def test_a_residue_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="found 2, expected numbers from 11 to 14"):
        walk("MKVL", tryptophans, WalkConfig(residues=(2,)), first_residue=11)
