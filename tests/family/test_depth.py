"""What a family holds, counted once: weights, letters, depth, and the one rule for "shallow"."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from deepseq_nb.core.errors import ConfigError, WeightsError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import (
    Family,
    depth_verdict,
    describe,
    distances_from_focus,
    is_shallow,
    theta_hint,
)
from deepseq_nb.family.weights import check_weights, sequence_weights

ROWS = ["ACDE", "ACDE", "ACD-", "WWWW"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEQ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def alignment():
    return Alignment.from_strings(ROWS)


@pytest.mark.parametrize("given", ["family.a2m", Path("family.a2m"), None])
def test_a_file_in_the_place_of_an_alignment_is_one_clear_error(given):
    of = inspect.unwrap(Family.of.__func__)  # without the checks of types that tests have
    with pytest.raises(ConfigError, match=r"^alignment is a \w+: .* Alignment.read\(FILE\)"):
        of(Family, given)


def test_verdicts_change_at_two_and_at_ten():
    words = [depth_verdict(neff, 100) for neff in (199.9, 200, 999.9, 1000)]
    assert words == ["thin", "fair", "fair", "deep"]


@pytest.mark.parametrize(
    ("neff", "length"), [(99.9, 60), (100, 60), (60, 30), (5, 300), (256, 190)]
)
def test_the_word_shallow_is_said_where_the_rule_holds_and_nowhere_else(neff, length):
    assert (depth_verdict(neff, length) == "shallow") is is_shallow(neff, length)


def test_the_rule_needs_few_sequences_and_few_per_column():
    assert is_shallow(99.9, 60)
    assert not is_shallow(100, 60)  # 1.67 per column, but enough of them
    assert not is_shallow(60, 30)  # few, but 2 per column


def test_a_family_has_the_weights_of_its_theta(alignment):
    family = Family.of(alignment, 0.3)
    assert family.theta == 0.3 and family.alignment is alignment
    assert (family.weights == sequence_weights(alignment, 0.3)).all()
    assert family.neff == pytest.approx(2.0) and family.depth == pytest.approx(0.5)
    assert family.verdict == "shallow" and family.is_shallow


def test_counts_are_those_of_the_definition(alignment):
    weights = np.array([1.0, 0.5, 0.25, 2.0])
    counts = Family.of(alignment, weights=weights).counts
    expected = np.zeros((4, 20))
    for row, weight in zip(ROWS, weights, strict=True):
        for column, letter in enumerate(row):
            if letter != "-":
                expected[column, "ACDEFGHIKLMNPQRSTVWY".index(letter)] += weight
    assert np.allclose(counts, expected, atol=1e-15)


def test_frequencies_leave_the_rest_to_gaps(alignment):
    family = Family.of(alignment, weights=np.ones(4))
    assert family.frequencies.sum(axis=1).tolist() == [1, 1, 1, 0.75]
    assert family.frequencies[0, 0] == 0.75


def test_log_frequencies_share_a_pseudocount_among_the_letters(alignment):
    logs = Family.of(alignment, weights=np.ones(4)).log_frequencies(2.0)
    assert logs[0, 0] == pytest.approx(np.log((3 + 2 / 20) / 6))
    assert logs[3, 0] == pytest.approx(np.log((2 / 20) / 5))  # of letters alone: three of them
    assert np.allclose(np.exp(logs).sum(axis=1), 1)


def test_given_weights_are_used_and_not_computed(alignment, monkeypatch):
    from deepseq_nb.family import depth

    def never(*arguments, **options):
        raise AssertionError("computed")

    monkeypatch.setattr(depth, "cached_weights", never)
    assert Family.of(alignment, weights=np.arange(1.0, 5.0)).neff == 10


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (np.ones(3), r"must be 4 finite numbers.*found shape \(3,\)"),
        (np.ones((4, 1)), r"found shape \(4, 1\)"),
        (np.array([1, np.inf, 1, 1]), "found inf at 1"),
        (np.array([1, 1, 1, -0.5]), "found -0.5 at 3"),
        (np.zeros(4), "found only zeros"),
    ],
)
def test_unfit_weights_are_refused(weights, expected):
    with pytest.raises(ConfigError, match=expected) as caught:
        check_weights(weights, 4)
    assert caught.value.setting == "weights"


def test_a_family_refuses_weights_of_another_alignment(alignment):
    with pytest.raises(ConfigError, match=r"weights must be 4 finite numbers.*shape \(3,\)"):
        Family.of(alignment, weights=np.ones(3))


def test_theta_is_checked_also_where_weights_are_given(alignment):
    with pytest.raises(WeightsError, match=r"did you mean 0.2\?"):
        Family.of(alignment, 0.8, weights=np.ones(4))


def test_a_distance_is_the_share_of_residues_that_differ_where_both_have_one():
    rows = ["ACGU", "ACGA", "GA-U", "--GU"]
    distances = distances_from_focus(Alignment.from_strings(rows, alphabet="rna"))
    np.testing.assert_allclose(distances, [0, 1 / 4, 2 / 3, 0])


def test_a_fragment_is_infinitely_far():
    distances = distances_from_focus(Alignment.from_strings(["ACGU", "---U"], alphabet="rna"))
    assert distances[1] == np.inf


def test_distances_do_not_depend_on_the_rows_compared_at_a_time(alignment):
    np.testing.assert_array_equal(
        distances_from_focus(alignment, block=3), distances_from_focus(alignment)
    )


def near_copies(differing: int) -> Alignment:
    """A focus of 20 letters and 12 others, each of which differs in `differing` places of its own."""
    focus = "ACDEFGHIKLMNPQRSTVWY"
    rows = [focus]
    for k in range(12):
        row = list(focus)
        for place in range(differing):
            row[(k + place) % 20] = "W" if row[(k + place) % 20] != "W" else "A"
        rows.append("".join(row))
    return Alignment.from_strings(rows)


def test_near_copies_are_named_with_both_numbers():
    """One of 20 differs: at 0.2 all are one sequence, at 0.01 each stands alone."""
    (line,) = theta_hint(Family.of(near_copies(1)))
    assert "half of the sequences share 95% or more with the focus" in line
    assert "Neff 1.0 at theta 0.2, 13.0 at 0.01" in line and "--theta 0.01" in line


def test_the_hint_is_part_of_what_is_described():
    family = Family.of(near_copies(1))
    assert theta_hint(family)[0] in describe(family)


def test_no_hint_for_relatives_that_differ():
    assert theta_hint(Family.of(near_copies(6))) == []


def test_no_hint_where_the_advice_is_followed_already():
    assert theta_hint(Family.of(near_copies(1), 0.01)) == []


def test_no_hint_for_a_handful_of_sequences(alignment):
    assert theta_hint(Family.of(Alignment.from_strings(["ACDE"] * 9))) == []
