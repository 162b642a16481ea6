"""Scores: common random numbers, independence of neighbours, standard errors, streaming."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from tiny_family import TINY

from deepseq_nb import scoring
from deepseq_nb.model import DeepSequence, ModelConfig
from deepseq_nb.priors import ConfigError, SparsityPrior
from deepseq_nb.scoring import Scorer, delta_elbo, embed, sample_sequences, score
from deepseq_nb.training import TrainConfig, fit, load_run, noise_generator
from deepseq_nb.variants import all_singles, resolve_variants


def reference_scores(run, variants: list[str], samples: int, seed: int) -> np.ndarray:
    """The definition, one variant at a time: mean over samples of ELBO(variant) - ELBO(wild type) with shared noise."""
    model, wild = run.model, torch.from_numpy(run.focus_map.tokens)
    table, scores = resolve_variants(variants, run.focus_map), []
    for row in range(len(variants)):
        mutant = torch.from_numpy(table.tokens(np.array([row]), run.focus_map.tokens))[0]
        deltas = []
        for s in range(samples):
            noise = torch.randn(
                model.decoder.noise_size, generator=noise_generator("cpu", seed, "score weights", s)
            )
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
        score(tiny_run, variants, samples=4, seed=3, estimator="plain").score,
        reference_scores(tiny_run, variants, 4, 3),
        atol=1e-4,
    )


def test_t126t_is_zero__deepsequence_12(tiny_run):
    table = score(tiny_run, ["A15A", "WT", "A15A:G17G"], samples=3)
    assert (
        (table.score == 0).all() and (table.std_error == 0).all() and (table.status == "ok").all()
    )


def test_every_row_comes_back_in_order(tiny_run):
    rows = ["A15W", "nonsense", "A999W", "V13A", "G15A", "A15A"]
    table = score(tiny_run, rows, samples=2)
    assert table.variant.tolist() == rows
    assert list(table.columns) == ["variant", "score", "std_error", "status", "reason", "occupancy"]
    assert table.score.notna().tolist() == [True, False, False, False, False, True]
    assert (table.reason[table.status != "ok"] != "").all()


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
    monkeypatch.setattr(scoring, "BLOCK", 50)
    assert (score(tiny_run, samples=3).score == whole.score).all()


def test_same_seed_same_scores_other_seed_others(tiny_run):
    a, b, c = (score(tiny_run, samples=3, seed=s).score for s in (1, 1, 2))
    assert (a == b).all() and (a != c).any()


def test_score_does_not_depend_on_training_mode(tiny_run):
    before = score(tiny_run, samples=2)
    tiny_run.model.train()
    after = score(tiny_run, samples=2)
    tiny_run.model.eval()
    assert (before.score == after.score).all()


def test_dropout_is_off_when_scoring(alignment):
    config = ModelConfig(
        encoder=(8,),
        latent=3,
        decoder=(8, 12),
        conv=5,
        weights="point",
        dropout=0.5,
        sparsity=SparsityPrior(kind="none"),
    )
    run = fit(alignment, config, TrainConfig(steps=5, batch_size=10, device="cpu"))
    assert (score(run, samples=2).score == score(run, samples=2).score).all()


def test_scores_survive_saving_and_loading(tiny_run):
    assert (
        score(load_run(tiny_run.path), samples=2).score == score(tiny_run, samples=2).score
    ).all()
    assert (
        score(tiny_run.path, samples=2, device="cpu").score == score(tiny_run, samples=2).score
    ).all()


def test_shared_noise_ranks_well_with_few_samples(tiny_run):
    few, many = score(tiny_run, samples=5, seed=1), score(tiny_run, samples=200, seed=2)
    assert spearmanr(few.score, many.score).statistic > 0.98


def test_standard_errors_are_honest(tiny_run):
    runs = [score(tiny_run, samples=20, seed=s) for s in range(12)]
    spread = np.std([r.score for r in runs], axis=0, ddof=1)
    stated = np.mean([r.std_error for r in runs], axis=0)
    assert np.median(spread / stated) == pytest.approx(1, abs=0.25)


def test_precision_is_reached_and_each_variant_stops_on_its_own(tiny_run):
    loose = score(tiny_run, samples=5)
    wish = float(loose.std_error.median() / 2)
    fine = score(tiny_run, samples=5, precision=wish)
    assert (fine.std_error <= wish).all()
    one = int(loose.std_error.argmax())
    assert (
        score(tiny_run, [fine.variant[one]], samples=5, precision=wish).score[0] == fine.score[one]
    )
    easy = loose.std_error <= wish
    assert (fine.score[easy] == loose.score[easy]).all()


def test_precision_out_of_reach_stops_at_max_samples(tiny_run):
    table = score(tiny_run, ["A15W"], samples=4, precision=1e-9, max_samples=16)
    assert np.allclose(table.score, score(tiny_run, ["A15W"], samples=16).score)


def test_one_sample_has_no_standard_error(tiny_run):
    assert score(tiny_run, ["A15W"], samples=1).std_error.isna().all()


def test_a_deletion_is_scored_as_a_gap(tiny_run):
    table = score(tiny_run, ["A15-"], samples=2)
    assert table.status[0] == "ok" and np.isfinite(table.score[0]) and table.reason[0]


def test_memory_does_not_grow_with_the_number_of_variants(monkeypatch):
    model = DeepSequence(TINY, 40)
    monkeypatch.setattr(scoring, "BLOCK", 256)
    wild = np.zeros(40, np.uint8)
    from deepseq_nb.alignment import Alignment

    focus_map = Alignment.from_strings(["A" * 40]).focus_map
    peaks = []
    for n in (512, 8192):
        texts = (all_singles(focus_map) * 20)[:n]
        table = resolve_variants(texts, focus_map)
        tracemalloc.start()
        delta_elbo(Scorer(model, 1, 64), table, wild, samples=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (
        peaks[1] < peaks[0] + 200 * 8192
    )  # a few numbers a variant, not its tokens times anything


def test_table_of_variants_is_accepted_and_a_wrong_one_explained(tiny_run):
    assert len(score(tiny_run, pd.DataFrame({"variant": ["A15W"]}), samples=1)) == 1
    with pytest.raises(ConfigError, match="no column 'variant'; its columns are mutation"):
        score(tiny_run, pd.DataFrame({"mutation": ["A15W"]}))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"samples": 0}, "samples"), ({"precision": 0.0}, "precision"), ({"seed": -1}, "seed")],
)
def test_settings_out_of_range_are_refused(tiny_run, wrong, text):
    with pytest.raises(ConfigError, match=text):
        score(tiny_run, ["A15W"], **wrong)


def test_embedding_has_one_row_a_sequence(tiny_run, alignment):
    z = embed(tiny_run, alignment)
    assert z.shape == (len(alignment.tokens), TINY.latent) and z.dtype == np.float32


def test_embedding_of_other_columns_is_refused(tiny_run, family):
    from deepseq_nb.alignment import Alignment

    with pytest.raises(ConfigError, match="must be the same"):
        embed(tiny_run, Alignment.read(family, columns="all"))


def test_sampled_sequences_follow_the_profile(tiny_run):
    sequences = sample_sequences(tiny_run, 150, seed=2)
    assert len(sequences) == 150 and {len(s) for s in sequences} == {12}
    assert sequences == sample_sequences(tiny_run, 150, seed=2)
    assert sequences[:100] == sample_sequences(tiny_run, 100, seed=2)
