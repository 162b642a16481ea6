"""The metrics, each computed a second way, and the bootstrap against resampling."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deepseq_nb.core.errors import EvaluationError
from deepseq_nb.scores.metrics import (
    METRICS,
    auc,
    bootstrap_metrics,
    mcc,
    ndcg,
    spearman,
    top_recall,
)


def noisy(n: int, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = a + rng.normal(size=n)
    return (np.round(a, 1), np.round(b, 0)) if ties else (a, b)


# ---- independent versions, as slow as they like


def slow_auc(score, label):
    pairs = [
        (s > t) + 0.5 * (s == t)
        for s, p in zip(score, label, strict=True)
        if p
        for t, q in zip(score, label, strict=True)
        if not q
    ]
    return sum(pairs) / len(pairs)


def slow_mcc(score, label):
    return np.corrcoef(score >= np.median(score), label)[0, 1]


def proteingym_ndcg(score, assay):
    """The benchmark's definition, step by step, for lists without ties."""
    k = int(np.floor(len(score) * 0.1))
    gains = (assay - assay.min()) / (assay.max() - assay.min())
    place = np.argsort(np.argsort(-score)) + 1
    ideal = np.argsort(np.argsort(-gains)) + 1
    dcg = sum(g / math.log2(r + 1) for g, r in zip(gains, place, strict=True) if r <= k)
    return dcg / sum(g / math.log2(r + 1) for g, r in zip(gains, ideal, strict=True) if r <= k)


def proteingym_top_recall(score, assay):
    best = assay >= np.percentile(assay, 90)
    return (best & (score >= np.percentile(score, 90))).sum() / best.sum()


# ---- the metrics


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [5, 30, 101, 400])
def test_spearman_is_scipys(n, ties):
    score, assay = noisy(n, ties=ties)
    assert spearman(score, assay) == pytest.approx(
        stats.spearmanr(score, assay).statistic, abs=1e-12
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [5, 30, 101])
def test_auc_counts_pairs(n, ties):
    score, assay = noisy(n, ties=ties)
    assert auc(score, assay > 0) == pytest.approx(slow_auc(score, assay > 0), abs=1e-12)


def test_auc_by_hand():
    assert auc([1, 2, 3, 4], [0, 0, 1, 1]) == 1.0
    assert auc([4, 3, 2, 1], [0, 0, 1, 1]) == 0.0
    assert auc([1, 3, 2, 4], [0, 0, 1, 1]) == 0.75
    assert auc([1, 1, 2, 1], [0, 1, 1, 0]) == 0.75


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [6, 31, 100])
def test_mcc_is_a_correlation_of_two_classes(n, ties):
    score, assay = noisy(n, ties=ties)
    assert mcc(score, assay > 0.2) == pytest.approx(slow_mcc(score, assay > 0.2), abs=1e-12)


def test_mcc_by_hand():
    assert mcc([1, 2, 3, 4], [0, 0, 1, 1]) == 1.0
    assert mcc([1, 2, 3, 4], [0, 1, 0, 1]) == 0.0
    assert mcc([1, 2, 3, 4], [1, 1, 0, 0]) == -1.0


@pytest.mark.parametrize("n", [10, 37, 100, 1234])
def test_ndcg_is_proteingyms(n):
    score, assay = noisy(n)
    assert ndcg(score, assay) == pytest.approx(proteingym_ndcg(score, assay), abs=1e-12)


def test_ndcg_by_hand():
    assay = np.arange(20.0)  # k = 2, gains i / 19; the model's two best are worth 17/19 and 19/19
    score = assay.copy()
    score[17], score[18] = 30, 17
    expected = (17 / 19 + 1 / math.log2(3)) / (1 + (18 / 19) / math.log2(3))
    assert ndcg(score, assay) == pytest.approx(expected, abs=1e-12)


def test_ndcg_of_tied_scores_is_the_mean_over_their_orders():
    rng = np.random.default_rng(3)
    score, assay = np.round(rng.normal(size=40), 0), rng.normal(size=40)
    orders = [proteingym_ndcg(score + 1e-6 * rng.permutation(40), assay) for _ in range(4000)]
    assert ndcg(score, assay) == pytest.approx(np.mean(orders), abs=0.01)


@given(st.integers(10, 60), st.integers(0, 1000))
@settings(max_examples=40)
def test_metrics_do_not_depend_on_the_order_of_rows(n, seed):
    score, assay = noisy(n, seed, ties=True)
    order = np.random.default_rng(seed).permutation(n)
    for metric, truth in [
        (spearman, assay),
        (auc, assay > 0),
        (mcc, assay > 0),
        (ndcg, assay),
        (top_recall, assay),
    ]:
        assert metric(score, truth) == pytest.approx(
            metric(score[order], truth[order]), abs=1e-12, nan_ok=True
        )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [10, 11, 37, 101, 1000])
def test_top_recall_is_proteingyms(n, ties):
    score, assay = noisy(n, ties=ties)
    assert top_recall(score, assay) == proteingym_top_recall(score, assay)


def test_a_perfect_score():
    assay = noisy(200)[1]
    assert (
        spearman(assay, assay) == pytest.approx(1)
        and ndcg(assay, assay) == pytest.approx(1)
        and top_recall(assay, assay) == 1
    )
    assert auc(assay, assay > 0.1) == 1 and mcc(assay, assay >= np.median(assay)) == 1


@pytest.mark.parametrize("metric", [spearman, auc, mcc, ndcg, top_recall])
@pytest.mark.parametrize(
    ("score", "truth"),
    [
        ([1, 1, 1, 1], [0, 1, 0, 1]),
        ([1, 2, 3, 4], [1, 1, 1, 1]),
        ([1, 2, 3, 4], [0, 0, 0, 0]),
        ([], []),
        ([1], [1]),
    ],
)
def test_nothing_to_order_is_nan_without_a_warning(metric, score, truth):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(metric(score, truth))


def test_vectors_must_match_and_be_finite():
    with pytest.raises(EvaluationError, match="one length"):
        spearman([1, 2, 3], [1, 2])
    with pytest.raises(EvaluationError, match="NaN"):
        ndcg([1, 2, math.nan], [1, 2, 3])


# ---- the bootstrap


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [7, 40, 101])
def test_bootstrap_is_the_metric_of_the_resamples(n, ties):
    score, assay = noisy(n, ties=ties)
    label = assay > 0
    drawn = bootstrap_metrics(score, assay, label, times=50, seed=4)
    resamples = np.random.default_rng(4).integers(0, n, size=(50, n))
    for name, metric, truth in [
        ("spearman", spearman, assay), ("auc", auc, label), ("mcc", mcc, label), ("ndcg", ndcg, assay),
        ("top10_recall", top_recall, assay),
    ]:  # fmt: skip
        expected = [metric(score[i], truth[i]) for i in resamples]
        np.testing.assert_allclose(drawn[name], expected, atol=1e-10, err_msg=name)


def test_bootstrap_does_not_warn_where_resamples_are_degenerate():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = bootstrap_metrics([1.0, 2.0, 3.0], [0.0, 1.0, 1.0], [False, True, True], times=200)
    assert all(np.isnan(drawn[name]).any() and np.isfinite(drawn[name]).any() for name in METRICS)


def test_bootstrap_interval_has_the_width_that_theory_gives():
    score, assay = noisy(2000)
    drawn = bootstrap_metrics(score, assay, assay > 0, times=400)["spearman"]
    rho = spearman(score, assay)
    theory = math.sqrt((1 + rho**2 / 2) / (2000 - 3)) * (
        1 - rho**2
    )  # Bonett and Wright (2000), Fisher scale, back
    assert drawn.std() == pytest.approx(theory, rel=0.2)


def test_blocks_cover_all_resamples(monkeypatch):
    score, assay = noisy(3000)
    drawn = bootstrap_metrics(score, assay, assay > 0, times=600)  # more than one block
    assert all(len(drawn[name]) == 600 and np.isfinite(drawn[name]).all() for name in METRICS)


def test_the_same_seed_gives_the_same_resamples_for_any_score():
    score, assay = noisy(60)
    first = bootstrap_metrics(score, assay, assay > 0, times=20, seed=9)
    again = bootstrap_metrics(np.exp(score), assay, assay > 0, times=20, seed=9)
    other = bootstrap_metrics(score, assay, assay > 0, times=20, seed=10)
    np.testing.assert_array_equal(first["spearman"], again["spearman"])
    assert (first["spearman"] != other["spearman"]).any()
