"""Ridge regression from moments, its penalty by folds, and by leaving out each of few rows."""

import numpy as np
import pytest
from scipy import sparse

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.peers.ridge import (
    PENALTIES,
    moments,
    nested_ridge,
    ridge,
    ridge_by_folds,
    ridge_of_few,
    squared_errors,
)


def some_rows(n=60, p=7, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + 2.0
    return x, x @ rng.normal(size=p) + rng.normal(size=n) - 3.0


def by_definition(x, y, penalty):
    """Weights and constant from the normal equations with an unpenalised column of ones."""
    whole = np.column_stack([x, np.ones(len(x))])
    held = np.diag([penalty] * x.shape[1] + [0.0])
    found = np.linalg.solve(whole.T @ whole + held, whole.T @ y)
    return found[:-1], found[-1]


def test_three_rows_by_hand():
    three = moments(np.array([[-1.0], [0.0], [1.0]]), np.array([-2.0, 0.0, 2.0]))
    assert np.allclose(ridge(three, (1e-12, 2.0)).weights.ravel(), [2.0, 1.0])


@pytest.mark.parametrize("penalty", [0.01, 3.0, 1e4])
def test_weights_solve_the_normal_equations(penalty):
    x, y = some_rows()
    fit = ridge(moments(x, y), (penalty,))
    weights, constant = by_definition(x, y, penalty)
    assert np.allclose(fit.weights[0], weights, rtol=1e-9, atol=1e-12)
    assert fit.constants[0] == pytest.approx(constant)


def test_the_constant_bears_no_penalty():
    x, y = some_rows()
    fit = ridge(moments(x, y), (1e12,))
    assert np.allclose(fit.predict(x), y.mean(), atol=1e-6)


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_moments_do_not_depend_on_blocks_nor_on_how_rows_are_stored(block):
    x, y = some_rows()
    plain = moments(x, y)
    for stored in (x, sparse.csr_array(x)):
        for one, other in zip(moments(stored, y, block), plain, strict=True):
            assert np.allclose(one, other)


def test_moments_less_some_rows_are_those_of_the_others():
    x, y = some_rows()
    left = moments(x, y).less(moments(x[:10], y[:10]), moments(x[50:], y[50:]))
    for one, other in zip(left, moments(x[10:50], y[10:50]), strict=True):
        assert np.allclose(one, other)


def test_squared_errors_from_moments_are_those_of_the_rows():
    x, y = some_rows()
    fit = ridge(moments(x[:40], y[:40]), (0.5, 50.0))
    missed = y[40:, None] - fit.predict(x[40:])
    assert np.allclose(squared_errors(moments(x[40:], y[40:]), fit), (missed**2).sum(0))


def nested_by_definition(x, y, folds, penalties):
    """Both loops written out, a regression for each fold, inner fold and penalty."""
    made, chosen = np.empty(len(y)), []
    for outer in range(folds.max() + 1):
        learn, errors = folds != outer, []
        for penalty in penalties:
            error = 0.0
            for inner in set(folds[learn].tolist()):
                rows, asked = learn & (folds != inner), folds == inner
                weights, constant = by_definition(x[rows], y[rows], penalty)
                error += ((y[asked] - x[asked] @ weights - constant) ** 2).sum()
            errors.append(error)
        chosen.append(penalties[int(np.argmin(errors))])
        weights, constant = by_definition(x[learn], y[learn], chosen[-1])
        made[~learn] = x[~learn] @ weights + constant
    return made, tuple(chosen)


@pytest.mark.parametrize("p", [12, 70])
def test_nested_folds_are_the_two_loops_written_out(p):
    x, y = some_rows(40, p)
    folds = np.random.default_rng(1).permutation(40) % 4
    penalties = (0.1, 1.0, 10.0, 100.0)
    found = nested_ridge(x, y, folds, penalties)
    predictions, chosen = nested_by_definition(x, y, folds, penalties)
    assert found.penalties == chosen
    assert np.allclose(found.predictions, predictions)


def test_what_is_measured_of_a_fold_changes_nothing_of_its_predictions():
    x, y = some_rows(50, 5)
    folds = np.arange(50) % 5
    other = np.where(folds == 2, y[::-1] * 7 + 1, y)
    one, two = nested_ridge(x, y, folds), nested_ridge(x, other, folds)
    assert np.allclose(one.predictions[folds == 2], two.predictions[folds == 2])
    assert one.penalties[2] == two.penalties[2]
    assert not np.allclose(one.predictions[folds == 1], two.predictions[folds == 1])


def test_a_penalty_at_the_edge_of_those_offered_is_said():
    x, y = some_rows(50, 5)
    folds = np.arange(50) % 5
    assert nested_ridge(x, y, folds, (1e3, 1e6, 1e9)).at_the_edge
    noisy = y + 5 * np.random.default_rng(1).normal(size=50)
    assert not nested_ridge(x, noisy, folds).at_the_edge


@pytest.mark.parametrize("folds", [[0, 1] * 10, [0, 1, 3, 3] * 5, [0] * 20])
def test_too_few_or_empty_folds_are_refused(folds):
    x, y = some_rows(20, 3)
    with pytest.raises(ConfigError, match="at least three") as error:
        nested_ridge(x, y, np.array(folds))
    assert error.value.setting == "folds"


def test_one_loop_takes_the_penalty_with_the_least_error_over_folds():
    x, y = some_rows(40, 12)
    folds, penalties = np.arange(40) % 4, (0.1, 1.0, 10.0, 100.0)
    errors = []
    for penalty in penalties:
        fits = [by_definition(x[folds != k], y[folds != k], penalty) for k in range(4)]
        missed = [y[folds == k] - x[folds == k] @ w - c for k, (w, c) in enumerate(fits)]
        errors.append((np.concatenate(missed) ** 2).sum())
    fit, chosen = ridge_by_folds(x, y, folds, penalties)
    assert chosen == penalties[int(np.argmin(errors))]
    assert np.allclose(fit.weights[0], by_definition(x, y, chosen)[0])


@pytest.mark.parametrize("p", [4, 90])
def test_few_rows_take_the_penalty_with_the_least_error_of_rows_left_out(p):
    x, y = some_rows(24, p)
    errors = []
    for penalty in PENALTIES:
        error = 0.0
        for row in range(24):
            rest = np.arange(24) != row
            weights, constant = by_definition(x[rest], y[rest], penalty)
            error += (y[row] - x[row] @ weights - constant) ** 2
        errors.append(error)
    fit, chosen = ridge_of_few(sparse.csr_array(x), y)
    assert chosen == PENALTIES[int(np.argmin(errors))]
    weights, constant = by_definition(x, y, chosen)
    assert np.allclose(fit.weights[0], weights, atol=1e-7)
    assert fit.constants[0] == pytest.approx(constant)


def test_rows_that_are_all_alike_predict_the_mean():
    y = np.array([1.0, 2.0, 6.0])
    fit, _ = ridge_of_few(np.ones((3, 5)), y)
    assert np.allclose(fit.predict(np.ones((2, 5))), 3.0)


def test_a_number_times_ten_pays_a_hundredth_of_the_penalty():
    x, y = some_rows(30, 1)
    dear = ridge(moments(x, y), (5.0,)).predict(x)
    cheap = ridge(moments(10 * x, y), (500.0,)).predict(10 * x)
    assert np.allclose(dear, cheap)
