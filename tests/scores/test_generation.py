"""Samples judged: every measure by hand or a second way, the sets that are compared, and the sampler of pairs against its law."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseq_nb.core.errors import AlignmentError, ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.model.scorer import elbos
from deepseq_nb.scores.generation import (
    MEASURES,
    Sequences,
    column_pairs,
    jensen_shannon,
    judge_samples,
    letter_shares,
    nearest_identity,
    pair_correlations,
    sample_pairs,
)
from deepseq_nb.scores.scoring import sample_sequences

GAP = 20


def of(rows: list[list[int]], weights: list[float] | None = None) -> Sequences:
    tokens = np.array(rows, np.uint8)
    return Sequences(tokens, np.array(weights or [1.0] * len(rows)), GAP)


# letters


def test_shares_are_weighted_and_leave_gaps_out():
    shares = letter_shares(of([[3, GAP], [3, GAP], [5, GAP]], [1.0, 0.5, 0.5]))
    assert shares[0, 3] == 0.75 and shares[0, 5] == 0.25
    assert not shares[1].any()  # a column that is all gaps


def test_divergence_by_hand():
    one, other = np.zeros((3, 20)), np.zeros((3, 20))
    one[0, 0] = other[0, 0] = 1  # the same
    one[1, 0] = other[1, 1] = 1  # nothing in common
    one[2, 0], other[2, [0, 1]] = 1, 0.5  # half: 1/2 log2 4/3 + 1/4 log2 2/3 + 1/4 log2 2
    half = 0.5 * np.log2(4 / 3) + 0.25 * np.log2(2 / 3) + 0.25
    assert jensen_shannon(one, other) == pytest.approx([0, 1, half])


@given(st.integers(0, 10_000))
def test_divergence_does_not_depend_on_the_order_and_is_within_0_and_1_bit(seed):
    rng = np.random.default_rng(seed)
    one, other = (rng.dirichlet(np.full(20, 0.1), 4) for _ in range(2))
    found = jensen_shannon(one, other)
    assert found == pytest.approx(jensen_shannon(other, one))
    assert (found > -1e-12).all() and (found < 1 + 1e-12).all()


# pairs


def test_a_pair_correlation_by_hand():
    # of the three that have both: (3, 7) twice, (4, 8) once
    found = pair_correlations(of([[3, 7], [3, 7], [4, 8], [4, GAP], [GAP, 7]]), np.array([[0, 1]]))[
        0
    ]
    assert found[3, 7] == pytest.approx(2 / 3 - 4 / 9)
    assert found[3, 8] == pytest.approx(0 - 2 / 9)
    assert found[4, 8] == pytest.approx(1 / 3 - 1 / 9)


def test_a_pair_without_common_residues_is_zero():
    assert not pair_correlations(of([[3, GAP], [GAP, 7]]), np.array([[0, 1]])).any()


@given(st.integers(0, 10_000))
def test_rows_and_columns_of_a_pair_sum_to_zero(seed):
    rng = np.random.default_rng(seed)
    some = Sequences(rng.integers(0, 21, (30, 4)).astype(np.uint8), rng.random(30), GAP)
    found = pair_correlations(some, column_pairs(4, rng))
    assert np.abs(found.sum(axis=1)).max() < 1e-6 and np.abs(found.sum(axis=2)).max() < 1e-6


def test_columns_are_paired_once_and_at_most_so_often():
    rng = np.random.default_rng(1)
    assert column_pairs(4, rng).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    some = column_pairs(40, rng, most=100)
    assert len({tuple(pair) for pair in some.tolist()}) == 100 and (some[:, 0] < some[:, 1]).all()


# nearness


def test_the_nearest_is_that_of_a_comparison_of_all_with_all():
    rng = np.random.default_rng(2)
    tokens, others = (rng.integers(15, 21, (n, 12)).astype(np.uint8) for n in (70, 90))

    def identity(a, b):
        both = (a < GAP) & (b < GAP)
        return ((a == b) & both).sum() / both.sum() if both.sum() >= 6 else 0.0

    slow = [max(identity(a, b) for b in others) for a in tokens]
    assert nearest_identity(tokens, others, GAP) == pytest.approx(slow)
    own = np.arange(90)
    slow = [
        max(identity(a, b) for j, b in enumerate(others) if j != i) for i, a in enumerate(others)
    ]
    assert nearest_identity(others, others, GAP, own) == pytest.approx(slow)


def test_fragments_are_nobodys_nearest():
    whole, fragment = [3, 4, 5, 6], [3, GAP, GAP, GAP]
    found = nearest_identity(
        np.array([whole], np.uint8), np.array([fragment, [3, 4, 9, 9]], np.uint8), GAP
    )
    assert found.tolist() == [0.5]


# the pairwise sampler


def test_gibbs_sampling_draws_from_the_law_of_the_model():
    rng = np.random.default_rng(3)
    length, letters = 3, 3
    fields = rng.normal(size=(length, letters)).astype(np.float32)
    couplings = np.zeros((length, letters, length, letters), np.float32)
    for i in range(length):
        for j in range(i + 1, length):
            couplings[i, :, j, :] = rng.normal(size=(letters, letters))
            couplings[j, :, i, :] = couplings[i, :, j, :].T
    states = list(product(range(letters), repeat=length))
    energy = [
        sum(fields[i, x[i]] for i in range(length))
        + sum(couplings[i, x[i], j, x[j]] for i in range(length) for j in range(i + 1, length))
        for x in states
    ]
    law = np.exp(energy) / np.exp(energy).sum()
    start = np.zeros((20_000, length), np.uint8)
    drawn = sample_pairs(fields, couplings, start, 30, rng)
    counts = np.bincount(drawn @ np.array([9, 3, 1]), minlength=27) / len(drawn)
    assert 0.5 * np.abs(counts - law).sum() < 0.02  # chance alone: about 0.01
    assert not start.any()  # what was given is as it was


# the judgement


@pytest.fixture(scope="module")
def twins() -> Alignment:
    """Four hundred sequences of 20 columns and four letters; each second column repeats the one
    before it."""
    rng = np.random.default_rng(4)
    half = rng.integers(0, 4, (400, 10))
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))[np.repeat(half, 2, axis=1)]
    return Alignment.from_strings(["".join(row) for row in letters])


def test_the_family_itself_is_right_in_pairs_and_is_all_copies(twins):
    table = judge_samples(twins.decode(twins.tokens), twins).set_index("measure")
    assert table.samples["copies"] == 1 and table.samples["nearest_identity"] == 1
    assert table.samples["pairs_correlation"] > table.family["pairs_correlation"] > 0.7
    assert table.samples["pairs_slope"] == pytest.approx(1, abs=0.15)
    assert table.samples["repeats"] == 0 and table.family["copies"] == 0


def test_letters_alone_have_the_letters_and_no_pairs(twins):
    table = judge_samples(twins.decode(twins.tokens), twins).set_index("measure")
    assert table.letters["letters_divergence"] < 0.05
    assert abs(table.letters["pairs_correlation"]) < 0.1 and table.letters["copies"] == 0


def test_pairs_are_told_from_shuffled_columns(twins):
    rng = np.random.default_rng(5)
    shuffled = np.stack([rng.permutation(column) for column in twins.tokens.T], axis=1)
    table = judge_samples(twins.decode(shuffled), twins).set_index("measure")
    assert table.samples["letters_correlation"] > 0.8
    assert abs(table.samples["pairs_correlation"]) < 0.1


def test_repeats_are_counted_whole(twins):
    few = twins.decode(twins.tokens[[0, 0, 1, 2]])
    assert judge_samples(few, twins).set_index("measure").samples["repeats"] == 0.5


def test_the_judgement_is_the_same_for_the_same_seed(twins):
    samples = twins.decode(twins.tokens[:50])
    one, same = judge_samples(samples, twins, seed=7), judge_samples(samples, twins, seed=7)
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(judge_samples(samples, twins, seed=8))


def test_samples_wear_the_gaps_of_the_family_and_keep_their_own():
    rows = [f"{a}{b}CD------" for a, b in product("ACDE", repeat=2)]
    rows = ["ACCDEFGHIK", *(row.replace("------", "EFG---") for row in rows)]
    family = Alignment.from_strings(rows)
    whole = ["ACCDEFGAAA"] * 8  # differs where nearly all of the family has gaps
    found = judge_samples(whole, family, np.r_[1e-9, np.ones(16)]).set_index("measure")
    assert found.samples["nearest_identity"] == 1
    gapped = ["ACCDEFGAA-"] * 8
    found = judge_samples(gapped, family, np.r_[1e-9, np.ones(16)]).set_index("measure")
    assert found.samples["nearest_identity"] == 1  # by the gaps of the family's rows
    found = judge_samples(["WWWWEFGAA-"] * 8, family).set_index("measure")
    assert found.samples["nearest_identity"] == pytest.approx(3 / 7)


def test_a_family_that_cannot_be_cut_has_no_ceiling():
    family = Alignment.from_strings(["MKVLAGIEDR"] * 5)
    table = judge_samples(["MKVLAGIEDR", "MKVLAGIEDW"], family).set_index("measure")
    assert np.isnan(table.family["pairs_correlation"]) and table.family["copies"] == 1
    assert table.samples["nearest_identity"] == pytest.approx(0.95)


def test_a_run_adds_the_elbo_of_its_samples(tiny_run, alignment):
    samples = sample_sequences(tiny_run, 40, 3)
    table = judge_samples(samples, alignment, run=tiny_run, seed=2)
    assert table.measure.tolist() == list(MEASURES)
    tokens = alignment.encode(samples)
    whole = elbos(tiny_run.model, tokens)[0]
    # with gaps it can only be nearer to zero
    assert np.median(whole) <= table.set_index("measure").samples["elbo"] < 0
    assert "elbo" not in judge_samples(samples, alignment).measure.tolist()


def test_weights_are_those_of_the_runs_theta_unless_given(tiny_run, alignment):
    samples = sample_sequences(tiny_run, 40, 3)
    mine = judge_samples(samples, alignment, sequence_weights(alignment))
    pd.testing.assert_frame_equal(mine, judge_samples(samples, alignment))
    equal = judge_samples(samples, alignment, np.ones(len(alignment.tokens)))
    assert not mine.equals(equal)


@pytest.mark.parametrize(
    ("samples", "error", "told"),
    [
        (["MKVLAGIEDRAA"], ConfigError, "expected two at least"),
        ([], ConfigError, "found 0"),
        (["MKV", "MKV"], AlignmentError, "expected 12"),
        (["MKVLAGIEDRAA", "MKVLAGIEDRA*"], AlignmentError, "'\\*'"),
    ],
)
def test_what_cannot_be_judged_is_refused(alignment, samples, error, told):
    with pytest.raises(error, match=told):
        judge_samples(samples, alignment)


def test_a_family_of_fragments_is_refused():
    family = Alignment.from_strings(["MKVLAG", "M-----", "-K----"])
    with pytest.raises(ConfigError, match="fragments alone"):
        judge_samples(["MKVLAG"] * 2, family, np.array([0.0, 1.0, 1.0]))
