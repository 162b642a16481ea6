"""The pseudo-likelihood: value and gradient from the definition, coordinates, and the minimiser."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_potts import as_tensors, random_model

from deepseq_nb.family.weights import letter_counts
from deepseq_nb.peers import pseudolikelihood
from deepseq_nb.peers.pseudolikelihood import Coordinates, OneHot, PseudoLikelihood, minimise
from deepseq_nb.peers.sites import fields_with_gaussian_prior


def value_by_definition(h, J, tokens, weights, lambda_h, lambda_j) -> float:
    """The formula of the chapter, one sequence and one site at a time."""
    length, letters = h.shape
    total = lambda_h * (h**2).sum()
    total += lambda_j * sum(
        (J[i, :, j] ** 2).sum() for i, j in itertools.combinations(range(length), 2)
    )
    for row, weight in zip(tokens, weights, strict=True):
        for i in (i for i in range(length) if row[i] < letters):
            others = [j for j in range(length) if j != i and row[j] < letters]
            logits = h[i] + sum((J[i, :, j, row[j]] for j in others), np.zeros(letters))
            total -= weight * (logits[row[i]] - np.log(np.exp(logits).sum()))
    return total


@pytest.fixture
def problem():
    """Thirty RNA sequences of five sites with gaps, weights, and a random model."""
    rng = np.random.default_rng(3)
    h, J = random_model(5, 4, 4, 0.5)
    return h, J, rng.integers(0, 5, (30, 5)).astype(np.uint8), rng.random(30)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(2, 5), st.integers(0, 10**6))
def test_one_hot_products_are_matrix_products(n, length, letters, seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, letters + 1, (n, length)).astype(np.uint8)
    x = (tokens[:, :, None] == np.arange(letters)).reshape(n, -1).astype(float)
    dense, wide = rng.normal(size=(length * letters, 7)), rng.normal(size=(n, 7))
    product, transposed = np.ones((n, 7)), np.ones((length * letters, 7))
    one_hot = OneHot(tokens, letters)
    one_hot.add_product(dense, product)
    one_hot.add_transposed_product(wide, transposed)
    np.testing.assert_allclose(product, 1 + x @ dense, atol=1e-12)
    np.testing.assert_allclose(transposed, 1 + x.T @ wide, atol=1e-12)


def test_value_is_the_formula_summed_term_by_term(problem):
    h, J, tokens, weights = problem
    value, *_ = PseudoLikelihood(tokens, weights, 4, 0.3, 0.7)(*as_tensors(h, J))
    assert value == pytest.approx(value_by_definition(h, J, tokens, weights, 0.3, 0.7), rel=1e-6)


def test_without_data_only_the_penalty_is_left_and_counts_each_pair_once(problem):
    h, J, tokens, _ = problem
    value, *_ = PseudoLikelihood(tokens, np.zeros(30), 4, 1.0, 2.0)(*as_tensors(h, J))
    pairs = sum((J[i, :, j] ** 2).sum() for i, j in itertools.combinations(range(5), 2))
    assert value == pytest.approx((h**2).sum() + 2 * pairs, rel=1e-6)


def test_gradient_is_that_of_finite_differences(problem):
    h, J, tokens, weights = problem
    _, by_h, by_J = PseudoLikelihood(tokens, weights, 4, 0.3, 0.7)(*as_tensors(h, J))

    def value(h, J):
        return value_by_definition(h, J, tokens, weights, 0.3, 0.7)

    for i, a in ((0, 0), (3, 2)):
        step = np.zeros_like(h)
        step[i, a] = 1e-5
        slope = (value(h + step, J) - value(h - step, J)) / 2e-5
        assert by_h.view(5, 4)[i, a].item() == pytest.approx(slope, rel=1e-4, abs=1e-4)
    for i, a, j, b in ((0, 1, 3, 2), (4, 0, 2, 3), (1, 1, 2, 1)):
        step = np.zeros_like(J)
        step[i, a, j, b] = step[j, b, i, a] = 1e-5
        slope = (value(h, J + step) - value(h, J - step)) / 2e-5
        both = by_J.view(5, 4, 5, 4)
        assert (both[i, a, j, b] + both[j, b, i, a]).item() == pytest.approx(
            slope, rel=1e-4, abs=1e-4
        )


def test_gradient_is_that_of_automatic_differentiation(problem):
    h, J, tokens, weights = problem
    _, by_h, by_J = PseudoLikelihood(tokens, weights, 4, 0.3, 0.7)(*as_tensors(h, J))
    H, full = (torch.from_numpy(part).requires_grad_() for part in (h, J))
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(tokens).long(), 5)[..., :4].double()
    log_p = (H + torch.einsum("iajb,njb->nia", full, one_hot)).log_softmax(-1)
    loss = 0.3 * (H**2).sum() + 0.35 * (full**2).sum()
    (loss - (torch.from_numpy(weights) * (one_hot * log_p).sum((1, 2))).sum()).backward()
    expected = full.grad + full.grad.permute(2, 3, 0, 1)
    expected[range(5), :, range(5)] = 0
    torch.testing.assert_close(by_h.view(5, 4), H.grad.float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(2 * by_J.view(5, 4, 5, 4), expected.float(), rtol=1e-4, atol=1e-5)


def test_a_row_of_gaps_asks_nothing(problem):
    h, J, tokens, weights = problem
    more = np.concatenate([tokens, np.full((1, 5), 4, np.uint8)])
    plain = PseudoLikelihood(tokens, weights, 4, 0.3, 0.7)(*as_tensors(h, J))
    padded = PseudoLikelihood(more, np.append(weights, 9.0), 4, 0.3, 0.7)(*as_tensors(h, J))
    assert plain[0] == pytest.approx(padded[0])
    torch.testing.assert_close(plain[2], padded[2])


@pytest.mark.parametrize("chunk", [1, 7, 30])
@pytest.mark.parametrize("threads", [1, 3])
def test_chunks_and_threads_change_nothing(problem, chunk, threads, monkeypatch):
    h, J, tokens, weights = problem
    expected = PseudoLikelihood(tokens, weights, 4, 0.3, 0.7)(*as_tensors(h, J))
    for name, size in (("CHUNK", chunk), ("STRIP", 6), ("SITES", 2), ("TOGETHER", 2)):
        monkeypatch.setattr(pseudolikelihood, name, size)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    found = PseudoLikelihood(tokens, weights, 4, 0.3, 0.7)(*as_tensors(h, J))
    assert found[0] == pytest.approx(expected[0])
    torch.testing.assert_close(found[1:], expected[1:], rtol=1e-4, atol=1e-5)


# coordinates and minimiser ----------------------------------------------------------------------------------------


def test_coordinates_start_at_the_independent_model(problem):
    _, _, tokens, weights = problem
    counts = letter_counts(tokens, weights, 4)
    at = Coordinates(PseudoLikelihood(tokens, weights, 4, 0.01, 0.5), counts, weights.sum())
    fields, J = at.parameters(at.start)
    np.testing.assert_allclose(
        fields.view(5, 4), fields_with_gaussian_prior(counts, 0.01), atol=1e-5
    )
    assert (J == 0).all()


def test_gradient_in_coordinates_is_that_of_finite_differences(problem):
    _, _, tokens, weights = problem
    counts = letter_counts(tokens, weights, 4)
    at = Coordinates(PseudoLikelihood(tokens, weights, 4, 0.01, 0.5), counts, weights.sum())
    point, way = (random_model(5, 4, seed, 0.3) for seed in (1, 2))
    u, d = (torch.cat([part.view(-1) for part in as_tensors(*pair)]) for pair in (point, way))

    def value(u):
        fields, J = (part.double().numpy() for part in at.parameters(u))
        return value_by_definition(
            fields.reshape(5, 4), J.reshape(5, 4, 5, 4), tokens, weights, 0.01, 0.5
        )

    slope = (value(u + 1e-2 * d) - value(u - 1e-2 * d)) / 2e-2
    assert torch.dot(at(u)[1], d).item() == pytest.approx(slope, rel=1e-3)


def test_minimiser_solves_a_quadratic_whose_curvatures_differ():
    curvature = torch.logspace(0, 3, 40)
    goal = torch.linspace(-1, 1, 40)

    def bowl(u):
        gradient = curvature * (u - goal)
        return 0.5 * torch.dot(gradient, u - goal).item(), gradient

    found, trace, reached = minimise(bowl, torch.zeros(40), 1e-6, 1e-3)
    assert reached and trace.left.iloc[-1] <= 1e-6
    torch.testing.assert_close(found, goal, atol=2e-3, rtol=0)


def test_minimiser_says_when_it_did_not_get_there():
    _, trace, reached = minimise(
        lambda u: (u.square().sum().item() * 50, 100 * u), torch.ones(3), 1e-12, 1e-4, 1
    )
    assert not reached and len(trace) == 2
