"""The part of a variant that is not the sum: by draws, by hand, with its error under common noise."""

import numpy as np
import pytest

from deepseq_nb.core.errors import VariantError
from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.model.scorer import Sampling
from deepseq_nb.scores import epistasis
from deepseq_nb.scores.epistasis import Together, scores_by_draw, together
from deepseq_nb.scores.scoring import score

DOUBLE = "A15W:G17K"


@pytest.mark.parametrize("estimator", ["fast", "plain"])
def test_the_mean_over_draws_is_the_score(tiny_run, estimator):
    texts = ["A15W", DOUBLE, "WT", "A999W"]
    table = resolve_variants(texts, tiny_run.focus_map)
    values = scores_by_draw(tiny_run, table, Sampling(samples=12, seed=5), estimator)
    scored = score(tiny_run, texts, 12, 5, estimator=estimator, background="none")
    np.testing.assert_allclose(values.mean(axis=0), scored.score, atol=1e-5)


def test_beyond_is_the_score_less_those_of_the_parts(tiny_run):
    found = together([tiny_run], DOUBLE, Sampling(samples=12, seed=5))
    table = score(tiny_run, [DOUBLE, "A15W", "G17K"], 12, 5)  # the background falls out
    whole, first, second = table.score
    assert found.beyond == pytest.approx(whole - first - second, abs=1e-5)
    assert [name for name, _ in found.parts] == ["A15W", "G17K"]
    assert found.whole == pytest.approx(table.delta_elbo[0], abs=1e-5)


def test_its_error_is_of_draws_that_whole_and_parts_share(tiny_run, monkeypatch):
    """Draws by hand: whole 1, 5, 3 and parts 0, 4, 2 and 1, 1, 1, so 0, 0, 0 beyond although each of two varies."""
    draws = np.array([[1.0, 0.0, 1.0], [5.0, 4.0, 1.0], [3.0, 2.0, 1.0]])
    monkeypatch.setattr(epistasis, "scores_by_draw", lambda *given: draws)
    found = together([tiny_run], DOUBLE, Sampling())
    assert (found.beyond, found.std_error) == (0.0, 0.0)
    moved = draws + np.array([[3.0, 0, 0], [0, 0, 0], [0, 0, 0]])  # 3, 0, 0 beyond
    monkeypatch.setattr(epistasis, "scores_by_draw", lambda *given: moved)
    found = together([tiny_run], DOUBLE, Sampling())
    assert found.beyond == pytest.approx(1.0)
    assert found.std_error == pytest.approx(1.0)  # sd of 3, 0, 0 is the root of 3


def test_several_runs_have_a_mean_a_shared_error_and_a_spread(tiny_run, monkeypatch):
    first = np.array([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]])  # 1 and 3: mean 2, error 1
    second = np.array([[6.0, 0.0, 0.0], [6.0, 0.0, 0.0]])  # mean 6, error 0
    each = iter([first, second])
    monkeypatch.setattr(epistasis, "scores_by_draw", lambda *given: next(each))
    found = together([tiny_run, tiny_run], DOUBLE, Sampling())
    assert found.beyond == pytest.approx(4.0)
    assert found.std_error == pytest.approx(0.5)
    assert found.spread == pytest.approx(8**0.5)


def test_runs_have_noise_of_their_own(tiny_run, monkeypatch):
    seeds = []

    def watched(run, table, sampling, estimator):
        seeds.append(sampling.seed)
        return np.zeros((2, len(table)))

    monkeypatch.setattr(epistasis, "scores_by_draw", watched)
    together([tiny_run, tiny_run], DOUBLE, Sampling(seed=7))
    assert seeds == [7, 8]


def test_one_draw_has_no_error_and_is_never_clear(tiny_run):
    found = together([tiny_run], DOUBLE, Sampling(samples=1))
    assert np.isnan(found.std_error) and not found.is_clear


@pytest.mark.parametrize(
    ("error", "spread", "clear"), [(0.4, 0.0, True), (0.6, 0.0, False), (0.4, 2.0, False)]
)
def test_clear_is_twice_the_larger_error_away_from_nothing(error, spread, clear):
    """Four runs: a spread of 2 is an error of 1 for their mean."""
    found = Together(whole=0.0, parts=(), beyond=1.0, std_error=error, spread=spread, runs=4)
    assert found.is_clear is clear


@pytest.mark.parametrize(
    ("variant", "why"),
    [("A15W", "fewer than two"), ("A15W:A999W", "outside"), ("WT", "fewer than two")],
)
def test_what_has_no_parts_is_refused(tiny_run, variant, why):
    with pytest.raises(VariantError, match=why):
        together([tiny_run], variant, Sampling())
