"""The pairwise model: planted couplings found again, scores as differences of energies."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from small_potts import as_tensors, energy_by_definition, random_model

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.family.weights import letter_counts
from deepseq_nb.peers.potts import Potts, contact_scores, energy, zero_sum
from deepseq_nb.peers.pseudolikelihood import PseudoLikelihood
from deepseq_nb.peers.sites import SiteIndependent, fields_with_gaussian_prior


@pytest.fixture(scope="module")
def family():
    """400 protein sequences drawn around the focus, with gaps; two columns change together."""
    rng = np.random.default_rng(5)
    rows = rng.choice(list("ACDE"), (400, 6), p=(0.4, 0.3, 0.2, 0.1))
    rows[:, 4] = np.where(rng.random(400) < 0.9, rows[:, 1], rows[:, 4])
    rows[rng.random(rows.shape) < 0.05] = "-"
    rows[0] = list("ACADCA")
    return Alignment.from_strings(
        ["".join(r) for r in rows], names=["seq/11-16", *map(str, range(399))]
    )


@pytest.fixture(scope="module")
def fitted(family):
    return Potts.fit(family)


# value and gradient -----------------------------------------------------------------------------------------------


def test_fit_ends_where_the_gradient_is_zero(family):
    fitted = Potts.fit(family, tolerance=1e-7)
    objective = PseudoLikelihood(family.tokens, np.ones(400), 20, 0.01, 0.01 * 5 * 19)
    _, by_h, by_J = objective(*as_tensors(fitted.fields, fitted.couplings))
    assert fitted.converged and by_h.abs().max() < 0.1 and by_J.abs().max() < 0.1


def test_fitted_couplings_are_symmetric_and_no_site_couples_with_itself(fitted):
    np.testing.assert_allclose(fitted.couplings, fitted.couplings.transpose(2, 3, 0, 1), atol=1e-6)
    assert (fitted.couplings[range(6), :, range(6)] == 0).all()


def test_no_weights_means_equal_weights(family, fitted):
    ones = Potts.fit(family, np.ones(400))
    np.testing.assert_array_equal(ones.couplings, fitted.couplings)


def test_scaling_weights_and_penalties_together_changes_nothing(family):
    weights = np.random.default_rng(2).random(400)
    first = Potts.fit(family, weights, 0.1, 2.0, tolerance=1e-7)
    second = Potts.fit(family, 3 * weights, 0.3, 6.0, tolerance=1e-7)
    np.testing.assert_allclose(first.score().score, second.score().score, atol=0.02)


def test_without_couplings_it_is_the_independent_model_of_hopf_2017(family):
    strict = Potts.fit(family, lambda_j=1e7)
    counts = letter_counts(family.tokens, np.ones(400), 20)
    np.testing.assert_allclose(strict.fields, fields_with_gaussian_prior(counts), atol=2e-3)
    assert np.abs(strict.couplings).max() < 1e-3


# planted couplings ------------------------------------------------------------------------------------------------


def test_endless_data_give_the_planted_model_back():
    """All 4^4 sequences, weighted by their exact probability: as if infinitely many had been drawn."""
    h, J = random_model(4, 4, 7, 0.7)
    tokens = np.array(list(itertools.product(range(4), repeat=4)), dtype=np.uint8)
    p = np.exp([energy_by_definition(h, J, row) for row in tokens])
    rows = ["".join("ACGU"[t] for t in row) for row in tokens]
    family = Alignment.from_strings(rows, alphabet="rna")
    fitted = Potts.fit(family, 1e6 * p / p.sum(), 1e-3, 1e-3, tolerance=1e-9, max_steps=500)
    planted = Potts(
        fields=h.astype(np.float32), couplings=J.astype(np.float32), focus_map=family.focus_map
    )
    planted, found = zero_sum(planted), zero_sum(fitted)
    np.testing.assert_allclose(found.couplings, planted.couplings, atol=0.02)
    np.testing.assert_allclose(found.fields, planted.fields, atol=0.02)


def test_planted_couplings_are_recovered_from_sampled_sequences():
    rng = np.random.default_rng(11)
    h, J = random_model(8, 4, 12, 0.0)
    h /= 2
    pairs = [(0, 4), (1, 6), (2, 7), (3, 5)]
    for i, j in pairs:
        block = rng.normal(size=(4, 4))
        J[i, :, j], J[j, :, i] = block, block.T
    tokens = rng.integers(0, 4, (5000, 8))
    for _ in range(40):
        for i in range(8):
            logits = h[i] + sum(J[i, :, j, tokens[:, j]] for j in range(8) if j != i)
            tokens[:, i] = (logits + rng.gumbel(size=(5000, 4))).argmax(axis=1)
    family = Alignment.from_strings(
        ["".join("ACGU"[t] for t in row) for row in tokens], alphabet="rna"
    )
    fitted = Potts.fit(family, lambda_j=1.0)
    planted = Potts(
        fields=h.astype(np.float32), couplings=J.astype(np.float32), focus_map=family.focus_map
    )
    one, two = zero_sum(planted).couplings, zero_sum(fitted).couplings
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.95
    strength = contact_scores(fitted)
    i, j = np.triu_indices(8, 1)
    strongest = np.argsort(-strength[i, j])[:4]
    assert {(int(i[k]), int(j[k])) for k in strongest} == set(pairs)


# scores -----------------------------------------------------------------------------------------------------------

SOME = [
    "A11C",
    "C12D",
    "A11C:C12D",
    "D14A:C15E",
    "A11E:C12A:A16D",
    "A11-",
    "A11-:C15D",
    "WT",
    "A11A",
]


def test_energy_is_the_double_sum(family, fitted):
    rows = family.tokens[:20]
    expected = [energy_by_definition(fitted.fields, fitted.couplings, row) for row in rows]
    np.testing.assert_allclose(energy(fitted, rows), expected, atol=1e-4)


def test_scores_are_differences_of_energies(family, fitted):
    table, wild = resolve_variants(SOME, family.focus_map), family.focus_map.tokens
    tokens = table.tokens(slice(None), wild)
    expected = [
        energy_by_definition(fitted.fields.astype(float), fitted.couplings.astype(float), row)
        - energy_by_definition(fitted.fields.astype(float), fitted.couplings.astype(float), wild)
        for row in tokens
    ]
    np.testing.assert_allclose(fitted.score(table).score, expected, atol=1e-5)


def test_synonymous_substitution_scores_exactly_zero__deepsequence_12(fitted):
    assert fitted.score(["WT", "A11A"]).score.tolist() == [0.0, 0.0]


def test_columns_that_change_together_show_epistasis_and_others_hardly_any(fitted):
    def epistasis(a, b):
        table = fitted.score([f"{a}:{b}", a, b]).score
        return table[0] - table[1] - table[2]

    assert epistasis("C12A", "C15A") > 1.0
    assert abs(epistasis("A11C", "A13C")) < 0.3


def test_a_zero_sum_gauge_has_zero_sums(fitted):
    zero = zero_sum(fitted)
    np.testing.assert_allclose(zero.couplings.sum(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(zero.couplings.sum(axis=3), 0, atol=1e-4)
    np.testing.assert_allclose(zero.fields.sum(axis=1), 0, atol=1e-4)


def test_scores_of_substitutions_are_the_same_in_every_gauge(fitted):
    substitutions = [text for text in SOME if "-" not in text]
    one, two = fitted.score(substitutions), zero_sum(fitted).score(substitutions)
    np.testing.assert_allclose(one.score, two.score, atol=1e-4)


def test_contact_scores_are_norms_without_the_average_product():
    J = np.zeros((3, 2, 3, 2), np.float32)
    for (i, j), size in {(0, 1): 3.0, (0, 2): 1.0, (1, 2): 2.0}.items():
        J[i, :, j] = size * np.array([[0.5, -0.5], [-0.5, 0.5]])  # norm = size, already zero-sum
        J[j, :, i] = J[i, :, j].T
    family = Alignment.from_strings(["ACG"], alphabet="rna")
    model = Potts(fields=np.zeros((3, 2), np.float32), couplings=J, focus_map=family.focus_map)
    # means over the others: 2, 2.5, 1.5, of all 2
    expected = [[0, 3 - 2.5, 1 - 1.5], [0.5, 0, 2 - 1.875], [-0.5, 0.125, 0]]
    np.testing.assert_allclose(contact_scores(model), expected, atol=1e-6)


# the table --------------------------------------------------------------------------------------------------------


def test_table_is_that_of_every_scorer(family, fitted):
    ours, theirs = fitted.score(), SiteIndependent.fit(family).score()
    pd.testing.assert_frame_equal(ours.drop(columns="score"), theirs.drop(columns="score"))
    assert list(ours.columns) == list(theirs.columns) and ours.score.notna().all()


def test_rejected_rows_keep_their_place_and_have_no_score(fitted):
    table = fitted.score(["A11C", "C11A", "A99C", "junk", "C12D"])
    assert table.score.isna().tolist() == [False, True, True, True, False]
    assert all(table.reason[table.status != "ok"])


def test_offset_shifts_positions(fitted):
    assert fitted.score(["A10C"], offset=1).score[0] == fitted.score(["A11C"]).score[0]


def test_empty_list_gives_an_empty_table(fitted):
    assert len(fitted.score([])) == 0


# what is refused --------------------------------------------------------------------------------------------------


def test_weights_of_another_alignment_are_refused(family):
    with pytest.raises(
        ConfigError, match=r"weights must be 400 finite numbers.*found shape \(3,\)"
    ):
        Potts.fit(family, np.ones(3))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["lambda_h", "lambda_j"])
def test_penalties_must_be_above_zero(family, name, bad):
    with pytest.raises(ConfigError, match=f"{name} must be above 0"):
        Potts.fit(family, **{name: bad})


def test_weights_that_are_all_zero_are_refused(family):
    with pytest.raises(ConfigError, match="zero or more and not all zero; found only zeros"):
        Potts.fit(family, np.zeros(400))


def test_a_fit_that_is_not_settled_says_so(family):
    with pytest.warns(UserWarning, match="not settled after 2 steps"):
        assert not Potts.fit(family, max_steps=2).converged


def test_a_fit_that_is_settled_says_nothing(family):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Potts.fit(family, lambda_j=50)
