"""The fast estimator: an expansion that is exact on average, opposite noise, its standard errors."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tiny_family import TINY

from deepseq_nb.family.variants import all_singles, resolve_variants
from deepseq_nb.model import fast, scorer
from deepseq_nb.model.fast import (
    FastScorer,
    expand,
    expanded_change,
    latent_noise,
    log_odds_weights,
    substitution_table,
)
from deepseq_nb.model.network import DeepSequence, centre_on_sites, log_likelihood
from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.scorer import Sampling, Scorer, delta_elbo
from deepseq_nb.model.sizes import ModelConfig
from deepseq_nb.scores.scoring import score


def test_standard_errors_of_the_fast_estimator_hold_over_many_runs(tiny_run, monkeypatch):
    monkeypatch.setattr(fast, "EXACT_POSITIONS", 2)
    variants = ["M11A", "A15W:G17P", "R24K", "M11W:A15P:A16W:G17W:G20W:E22W:D23P"]
    truth = score(tiny_run, variants, samples=4000, seed=999, batch_size=8, estimator="plain")
    runs = [score(tiny_run, variants, samples=40, seed=s, batch_size=8) for s in range(120)]
    scores = np.array([r.score for r in runs])
    stated = np.sqrt(np.mean([r.std_error**2 for r in runs], axis=0))
    assert scores.std(0, ddof=1) / stated == pytest.approx(np.ones(4), abs=0.25)
    off = (scores.mean(0) - truth.score) / np.hypot(stated / np.sqrt(120), truth.std_error)
    assert np.abs(off).max() < 4


CONFIGS = {
    "as it is": TINY,
    "no convolution": replace(TINY, conv=0),
    "no sparsity": replace(TINY, sparsity=SparsityPrior(kind="none")),
    "another prior": replace(TINY, sparsity=SparsityPrior(kind="horseshoe")),
    "point weights": replace(TINY, weights="point", sparsity=SparsityPrior(kind="none")),
    "neither bias nor temperature": replace(TINY, output_bias=False, temperature=False),
    "prior centred on the sites": replace(TINY, site_prior=True),
    "encoder convolution": replace(TINY, encoder_conv=6, encoder_nonlinearity="sigmoid"),
    "no hidden layers": replace(TINY, encoder=(), decoder=(), latent=4),
    "deep, with kinks": replace(
        TINY, encoder=(9, 8, 7), decoder=(8, 10, 12), final_nonlinearity="relu"
    ),
}


def random_model(config: ModelConfig, length: int = 13, letters: int = 20) -> DeepSequence:
    """A model whose parameters are nowhere near their regular starting values."""
    model, generator = DeepSequence(config, length, letters), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    if config.site_prior:
        centre_on_sites(model.decoder, torch.randn(length, letters, generator=generator))
    return model.double().eval()


def random_table(wild: np.ndarray, letters: int):
    """Wild type tokens as an alignment of one and 60 random variants of one to five substitutions."""
    from deepseq_nb.family.alignment import Alignment

    rng, alphabet = np.random.default_rng(4), {20: "protein", 4: "rna"}[letters]
    names = "ACDEFGHIKLMNPQRSTVWY" if letters == 20 else "ACGU"
    focus_map = Alignment.from_strings(
        ["".join(names[i] for i in wild)], alphabet=alphabet
    ).focus_map
    texts = []
    for _ in range(60):
        where = rng.choice(len(wild), rng.integers(1, 6), replace=False)
        new = [names[(wild[i] + rng.integers(1, letters)) % letters] for i in where]
        texts.append(
            ":".join(f"{names[wild[i]]}{i + 1}{a}" for i, a in zip(where, new, strict=True))
        )
    table = resolve_variants(texts, focus_map)
    assert table.ok.all()
    return table


@pytest.mark.parametrize("letters", [20, 4])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@torch.no_grad()
def test_corrected_expansion_is_exact_on_average_over_the_positions(config, letters):
    model, stride = random_model(config, 13, letters), 4
    wild = np.random.default_rng(5).integers(0, letters, 13).astype(np.uint8)
    table = random_table(wild, letters)
    tokens = torch.from_numpy(table.tokens(slice(None), wild))
    decoder, wild = model.decoder, torch.from_numpy(wild)
    generator = torch.Generator().manual_seed(6)
    w = decoder.draw(torch.randn(decoder.noise_size, generator=generator, dtype=torch.float64))
    z = torch.randn(config.latent, generator=generator, dtype=torch.float64)
    step = torch.randn(len(tokens), config.latent, generator=generator, dtype=torch.float64)
    hidden = decoder.hidden(torch.cat([z[None], z + step]), w)
    logits = decoder.logits(hidden, decoder.output_weights(w), w)
    exact = log_likelihood(logits, torch.cat([wild[None], tokens]))
    weights, bias = log_odds_weights(decoder, w, wild)
    chosen = torch.nn.functional.one_hot(tokens.long(), letters).double().flatten(1)
    letters_of = chosen @ weights.flatten(0, 1)
    changes = []
    for start in range(stride):
        at = expand(decoder, w, (weights, bias), torch.ones(13).double(), z, start, stride)
        own = chosen @ at.log_odds.flatten()
        changes.append(expanded_change(at, step, hidden[1:].clone(), letters_of, own))
    mean = torch.stack(changes).mean(0)
    assert torch.allclose(mean, exact[1:] - exact[0], atol=1e-8)
    assert (torch.stack(changes).std(0) > 1e-6).all()  # each alone is not


@torch.no_grad()
def test_expansion_skips_positions_where_the_wild_type_has_a_gap():
    model, stride = random_model(TINY), 3
    decoder = model.decoder
    wild = torch.tensor([3, 20, 5, 7, 20, 1, 0, 2, 4, 19, 18, 20, 6], dtype=torch.uint8)
    w, z = decoder.draw(), torch.zeros(3, dtype=torch.float64)
    step = torch.full((1, 3), 0.5, dtype=torch.float64)
    hidden = decoder.hidden(torch.cat([z[None], z + step]), w)
    logits = decoder.logits(hidden, decoder.output_weights(w), w)
    exact = log_likelihood(logits, wild.expand(2, -1))
    odds, present = log_odds_weights(decoder, w, wild), (wild < 20).double()
    nothing = torch.zeros(1, 12).double(), torch.zeros(1).double()
    changes = [
        expanded_change(
            expand(decoder, w, odds, present, z, start, stride), step, hidden[1:].clone(), *nothing
        )
        for start in range(stride)
    ]
    assert torch.allclose(torch.stack(changes).mean(0), exact[1:] - exact[0], atol=1e-8)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@torch.no_grad()
def test_fast_scorer_with_exact_positions_everywhere_is_the_definition_under_its_own_noise(
    config, monkeypatch
):
    monkeypatch.setattr(fast, "EXACT_POSITIONS", 13)
    model, wild = random_model(config), np.arange(13).astype(np.uint8)
    table, scorer = random_table(wild, 20), FastScorer(model, seed=8)
    tokens = torch.from_numpy(np.concatenate([wild[None], table.tokens(slice(None), wild)]))
    expected = np.zeros(len(table))
    for sample in range(2):
        for w, latent in zip(scorer.weights(sample), latent_noise(scorer, sample), strict=True):
            for noise, _ in latent:
                elbo = model.elbo(tokens, w, noise.expand(len(tokens), -1)).elbo
                expected += (elbo[1:] - elbo[0]).numpy() / 8
    assert np.allclose(delta_elbo(scorer, table, wild, Sampling(samples=8))[0], expected, atol=1e-9)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_fast_and_plain_estimators_have_the_same_expectation(config, monkeypatch):
    monkeypatch.setattr(fast, "EXACT_POSITIONS", 2)
    model, wild = random_model(config), np.arange(13).astype(np.uint8)
    table = random_table(wild, 20)
    quick, quick_error = delta_elbo(FastScorer(model, 1, 64), table, wild, Sampling(samples=400))
    plain, plain_error = delta_elbo(Scorer(model, 2, 64), table, wild, Sampling(samples=400))
    z = (quick - plain) / np.hypot(quick_error, plain_error)
    assert np.abs(z).max() < 5 and np.sqrt(np.mean(z**2)) < 2.5


@torch.no_grad()
def test_weights_of_a_sample_have_opposite_noise(tiny_run):
    scorer, decoder = FastScorer(tiny_run.model, 1), tiny_run.model.decoder
    first, second = [{name: value.clone() for name, value in w.items()} for w in scorer.weights(3)]
    for name, weight in decoder.weights.items():
        assert torch.allclose((first[name] + second[name]) / 2, weight.mu, atol=1e-6)
        assert (first[name] != second[name]).any()
    for a, b in zip(*latent_noise(scorer, 3), strict=True):
        assert torch.equal(a[0], -b[0])


@torch.no_grad()
def test_weights_are_drawn_into_one_buffer(tiny_run):
    scorer = FastScorer(tiny_run.model, 1)
    places = {w["W_out"].data_ptr() for sample in range(3) for w in scorer.weights(sample)}
    assert len(places) == 1


@pytest.mark.parametrize("encoder_conv", [0, 6])
@torch.no_grad()
def test_substitution_table_gives_the_encoders_first_layer(encoder_conv):
    encoder = random_model(replace(TINY, encoder_conv=encoder_conv)).encoder
    wild = torch.arange(13, dtype=torch.uint8)
    changes, base = substitution_table(encoder, wild)
    mutant = wild.clone()
    mutant[[2, 9]] = torch.tensor([17, 0], dtype=torch.uint8)
    changed = base + changes[2 * 20 + 17] + changes[9 * 20]
    mu = encoder.mu(encoder.nonlinearity(changed))
    assert torch.allclose(mu, encoder(mutant[None])[0][0])
    assert torch.allclose(encoder.mu(encoder.nonlinearity(base)), encoder(wild[None])[0][0])


def test_deletions_go_the_plain_way_and_leave_their_neighbours_alone(tiny_run):
    variants = ["A15-", "A15W", "A15W:G17-"]
    mixed = score(tiny_run, variants, samples=8).set_index("variant")
    plain = score(tiny_run, variants, samples=8, estimator="plain").set_index("variant")
    gapped = ["A15-", "A15W:G17-"]
    assert np.allclose(mixed.score[gapped], plain.score[gapped])
    assert mixed.score["A15W"] == score(tiny_run, ["A15W"], samples=8).score[0]


def test_fast_estimator_rounds_up_to_whole_samples(tiny_run):
    assert (score(tiny_run, samples=5).score == score(tiny_run, samples=8).score).all()


def test_fast_estimator_ranks_like_many_plain_samples_after_four_evaluations(tiny_run):
    many = score(tiny_run, samples=200, seed=2, estimator="plain")
    assert spearmanr(score(tiny_run, samples=4).score, many.score).statistic > 0.99


def test_memory_of_the_fast_estimator_does_not_grow_with_the_number_of_variants(monkeypatch):
    from deepseq_nb.family.alignment import Alignment

    model, wild = DeepSequence(TINY, 40), np.zeros(40, np.uint8)
    monkeypatch.setattr(scorer, "BLOCK", 256)
    focus_map, peaks = Alignment.from_strings(["A" * 40]).focus_map, []
    for n in (512, 8192):
        table = resolve_variants((all_singles(focus_map) * 20)[:n], focus_map)
        tracemalloc.start()
        delta_elbo(FastScorer(model, 1, 64), table, wild, Sampling(samples=4))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200 * 8192
