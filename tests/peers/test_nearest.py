"""The nearest relative that has a letter: distances and conservation by hand, and the score that is made of them."""

import math

import numpy as np
import pytest

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import distances_from_focus
from deepseq_nb.peers.nearest import (
    Nearest,
    conservation_by_distance,
    nearest_with_letter,
)


@pytest.fixture
def rna():
    """A focus, a relative at 1/4, one at 2/3 with a gap, and a fragment."""
    return Alignment.from_strings(
        ["ACGU", "ACGA", "GA-U", "---G"], names=["seq/5-8", "b", "c", "d"], alphabet="rna"
    )


def test_each_letter_has_the_distance_of_the_nearest_sequence_that_has_it(rna):
    farthest = 1.1 * 2 / 3
    expected = [
        [0, farthest, 2 / 3, farthest],  # A, C, G, U in the column of A5
        [2 / 3, 0, farthest, farthest],
        [farthest, farthest, 0, farthest],
        [1 / 4, farthest, farthest, 0],  # the fragment's G does not count
    ]
    np.testing.assert_allclose(nearest_with_letter(rna, distances_from_focus(rna)), expected)


def test_the_nearest_of_several_wins():
    alignment = Alignment.from_strings(["AAAA", "CAAA", "CCCA"], alphabet="rna")
    table = nearest_with_letter(alignment, distances_from_focus(alignment))
    assert table[0, 1] == 1 / 4 and table[1, 1] == 3 / 4


def test_conservation_is_the_mean_over_sets_of_the_nearest():
    """Two levels: the focus and its copy, then all four; entropies with one sequence of pseudocount."""
    alignment = Alignment.from_strings(["AA", "AA", "AC", "AC"], alphabet="rna")
    found = conservation_by_distance(
        alignment, np.ones(4), distances_from_focus(alignment), levels=2
    )

    def conserved(*counts):
        shares = [(count + 1 / 4) / (sum(counts) + 1) for count in counts]
        return 1 + sum(p * math.log(p) for p in shares) / math.log(4)

    near = conserved(2, 0, 0, 0)
    expected = [(near + conserved(4, 0, 0, 0)) / 2, (near + conserved(2, 2, 0, 0)) / 2]
    np.testing.assert_allclose(found, expected)


def test_conservation_follows_the_weights():
    alignment = Alignment.from_strings(["AA", "CA", "CA"], alphabet="rna")
    distances = distances_from_focus(alignment)
    light = conservation_by_distance(alignment, np.array([1, 0.01, 0.01]), distances)
    heavy = conservation_by_distance(alignment, np.array([1.0, 1.0, 1.0]), distances)
    assert light[0] > heavy[0]


def test_the_score_is_letters_less_distance_each_in_its_spread_times_the_conservation(rna):
    model = Nearest.fit(rna)
    wild = [0, 1, 2, 3]
    letters = model.conservation[:, None] * model.log_frequencies
    far = model.conservation[:, None] * np.sqrt(model.nearest)
    change = {"letters": [], "far": []}
    for column in range(4):
        for letter in range(4):
            if letter != wild[column]:
                change["letters"].append(letters[column, letter] - letters[column, wild[column]])
                change["far"].append(far[column, letter] - far[column, wild[column]])
    expected = np.array(change["letters"]) / np.std(change["letters"])
    expected -= np.array(change["far"]) / np.std(change["far"])
    np.testing.assert_allclose(model.score().score, expected)


def test_of_two_letters_equally_rare_the_one_in_the_nearer_relative_scores_better():
    rows = ["AAAAAAAA", "CAAAAAAA", "GCCCCAAA", "AAAAAAAC"]
    scores = Nearest.fit(Alignment.from_strings(rows, alphabet="rna")).score(["A1C", "A1G"]).score
    assert scores[0] > scores[1]


def test_substitutions_add_up(rna):
    scores = Nearest.fit(rna).score(["A5G", "C6A", "A5G:C6A"]).score
    assert scores[2] == pytest.approx(scores[0] + scores[1])


def test_a_row_that_cannot_be_scored_says_why(rna):
    table = Nearest.fit(rna).score(["A99G", "A5G"])
    assert math.isnan(table.score[0]) and table.reason[0] and table.status[1] == "ok"


def test_a_focus_alone_scores_every_letter_alike():
    scores = Nearest.fit(Alignment.from_strings(["ACGU"], alphabet="rna")).score().score
    assert np.isfinite(scores).all() and np.ptp(scores) < 1e-9


def test_it_is_kept_in_a_folder(rna, tmp_path):
    model = Nearest.fit(rna, theta=0.2)
    again = Nearest.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.score().score, model.score().score)
    assert again.about["theta"] == 0.2


def test_weights_of_another_number_are_refused(rna):
    with pytest.raises(ConfigError, match=r"weights must be 4 finite numbers.*found shape \(3,\)"):
        Nearest.fit(rna, np.ones(3))
