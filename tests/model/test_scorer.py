"""The definition of a score: shared noise, independence of neighbours, standard errors, streaming."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tiny_family import TINY

from deepseq_nb.family.variants import all_singles, resolve_variants
from deepseq_nb.model import fast, scorer
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.scorer import Sampling, Scorer, delta_elbo
from deepseq_nb.model.training import fill_noise, noise_generator
from deepseq_nb.scores.scoring import score


def reference_scores(run, variants: list[str], samples: int, seed: int) -> np.ndarray:
    """The definition, one variant at a time: mean over samples of ELBO(variant) - ELBO(wild type) with shared noise."""
    model, wild = run.model, torch.from_numpy(run.focus_map.tokens)
    table, scores = resolve_variants(variants, run.focus_map), []
    for row in range(len(variants)):
        mutant = torch.from_numpy(table.tokens(np.array([row]), run.focus_map.tokens))[0]
        deltas = []
        for s in range(samples):
            noise = torch.empty(model.decoder.noise_size)
            fill_noise(noise, seed, "score weights", s)
            latent = torch.randn(
                model.config.latent, generator=noise_generator("cpu", seed, "score latent", s)
            )
            with torch.no_grad():
                elbo = model.elbo(
                    torch.stack([mutant, wild]), model.decoder.draw(noise), latent.expand(2, -1)
                ).elbo
            deltas.append((elbo[0] - elbo[1]).item())
        scores.append(np.mean(deltas))
    return np.array(scores)


def test_score_is_the_mean_difference_of_elbos_under_shared_noise(tiny_run):
    variants = ["M11A", "A15W:G17P", "R24K"]
    assert np.allclose(
        score(tiny_run, variants, samples=4, seed=3, estimator="plain").delta_elbo,
        reference_scores(tiny_run, variants, 4, 3),
        atol=1e-4,
    )


def test_t126t_is_zero__deepsequence_12(tiny_run):
    table = score(tiny_run, ["A15A", "WT", "A15A:G17G"], samples=3)
    assert (
        (table.score == 0).all() and (table.std_error == 0).all() and (table.status == "ok").all()
    )


def test_score_does_not_change_with_neighbours_or_order(tiny_run):
    everything = score(tiny_run, samples=3)
    shuffled = score(tiny_run, everything.variant.sample(frac=1, random_state=1), samples=3)
    merged = everything.merge(shuffled, on="variant")
    assert (merged.score_x == merged.score_y).all()
    assert score(tiny_run, [everything.variant[7]], samples=3).score[0] == everything.score[7]


@pytest.mark.parametrize("size", [1, 16, 37, 1000])
def test_score_does_not_change_with_the_batch_size(tiny_run, size):
    assert np.allclose(
        score(tiny_run, samples=3, batch_size=size).score,
        score(tiny_run, samples=3).score,
        atol=1e-5,
    )


def test_score_does_not_change_with_blocks(tiny_run, monkeypatch):
    whole = score(tiny_run, samples=3)
    monkeypatch.setattr(scorer, "BLOCK", 50)
    assert (score(tiny_run, samples=3).score == whole.score).all()


def test_same_seed_same_scores_other_seed_others(tiny_run):
    a, b, c = (score(tiny_run, samples=3, seed=s).score for s in (1, 1, 2))
    assert (a == b).all() and (a != c).any()


def test_shared_noise_ranks_well_with_few_samples(tiny_run):
    few, many = score(tiny_run, samples=5, seed=1), score(tiny_run, samples=200, seed=2)
    assert spearmanr(few.score, many.score).statistic > 0.98


@pytest.mark.parametrize("estimator", ["fast", "plain"])
def test_standard_errors_are_honest(tiny_run, estimator, monkeypatch):
    monkeypatch.setattr(fast, "EXACT_POSITIONS", 3)
    variants = ["M11A", "A15W", "A15W:G17P", "R24K", "G20E"]
    runs = [
        score(tiny_run, variants, samples=20, seed=s, estimator=estimator, batch_size=8)
        for s in range(120)
    ]
    spread = np.std([r.score for r in runs], axis=0, ddof=1)
    # the mean of variances is unbiased; noise is shared, so the variants are not five independent tries
    stated = np.sqrt(np.mean([r.std_error**2 for r in runs], axis=0))
    assert np.median(spread / stated) == pytest.approx(1, abs=0.2)


def test_precision_is_reached_and_each_variant_stops_on_its_own(tiny_run):
    loose = score(tiny_run, samples=20)
    wish = float(loose.std_error.median() / 2)
    fine = score(tiny_run, samples=20, precision=wish)
    assert (fine.std_error <= wish).all()
    one = int(loose.std_error.argmax())
    assert (
        score(tiny_run, [fine.variant[one]], samples=20, precision=wish).score[0] == fine.score[one]
    )
    easy = loose.std_error <= wish
    assert (fine.score[easy] == loose.score[easy]).all()


def test_precision_out_of_reach_stops_at_max_samples(tiny_run):
    with pytest.warns(UserWarning, match="not reached"):
        table = score(tiny_run, ["A15W"], samples=4, precision=1e-9, max_samples=16)
    assert np.allclose(table.score, score(tiny_run, ["A15W"], samples=16).score)


def test_one_sample_has_no_standard_error(tiny_run):
    assert score(tiny_run, ["A15W"], samples=1).std_error.isna().all()


def test_memory_does_not_grow_with_the_number_of_variants(monkeypatch):
    model = DeepSequence(TINY, 40)
    monkeypatch.setattr(scorer, "BLOCK", 256)
    wild = np.zeros(40, np.uint8)
    from deepseq_nb.family.alignment import Alignment

    focus_map = Alignment.from_strings(["A" * 40]).focus_map
    peaks = []
    for n in (512, 8192):
        texts = (all_singles(focus_map) * 20)[:n]
        table = resolve_variants(texts, focus_map)
        tracemalloc.start()
        delta_elbo(Scorer(model, 1, 64), table, wild, Sampling(samples=1))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (
        peaks[1] < peaks[0] + 200 * 8192
    )  # a few numbers a variant, not its tokens times anything


def test_noise_is_normal_and_does_not_depend_on_threads():
    threads, draws = torch.get_num_threads(), []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            draws.append(torch.empty(100_000))
            fill_noise(draws[-1], 1, "score weights", 2)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*draws)
    other = torch.empty(100_000)
    fill_noise(other, 1, "score weights", 3)
    assert abs(np.corrcoef(draws[0], other)[0, 1]) < 0.02
    assert abs(draws[0].mean()) < 0.02 and draws[0].std() == pytest.approx(1, abs=0.02)
