"""The model as a Pyro program: our loss, our gradients and our runs; other guides; what it refuses."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive, TraceMeanField_ELBO, autoguide

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.model.network import DeepSequence, weight_cost
from deepseq_nb.model.priors import SPARSITY_PRIORS, SparsityPrior
from deepseq_nb.model.runs import fit, load_run
from deepseq_nb.model.scorer import Scorer
from deepseq_nb.model.sizes import ModelConfig
from deepseq_nb.model.training import TrainConfig, Trainer
from deepseq_nb.peers.pyro_model import (
    GivenNoise,
    GuideScorer,
    PyroModel,
    PyroTrainer,
    scale_prior,
    weight_priors,
)
from deepseq_nb.scores.scoring import score

LENGTH, LETTERS, NEFF = 7, 5, 123.0


def settings(**changes) -> ModelConfig:
    return ModelConfig(**{"encoder": (6,), "latent": 3, "decoder": (5, 8), "conv": 4} | changes)


CASES = {
    kind: settings(sparsity=SparsityPrior(kind=kind, logit_p=0.01)) for kind in SPARSITY_PRIORS
}
CASES["plain output"] = settings(conv=0, temperature=False, output_bias=False, weight_sigma=0.5)
CASES["no hidden layer"] = settings(encoder=(), decoder=(), latent=4)
CASES["site prior"] = settings(site_prior=True)


def example(config: ModelConfig, dtype=torch.float64):
    """A model away from its start, tokens with a gap, and noise for weights and z."""
    model = DeepSequence(config, LENGTH, LETTERS, seed=3).to(dtype)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    tokens = torch.randint(0, LETTERS, (6, LENGTH), generator=generator).to(torch.uint8)
    tokens[2, 3] = LETTERS
    noise = torch.randn(model.decoder.noise_size, generator=generator, dtype=dtype)
    return model, tokens, noise, torch.randn(6, config.latent, generator=generator, dtype=dtype)


def losses(config, dtype=torch.float64):
    """Our loss and Pyro's under the same noise, the known difference of their estimates of entropy taken off."""
    model, tokens, noise, latent = example(config, dtype)
    named, bayes = model.decoder.weights.noise_by_name(noise), PyroModel(model, NEFF)
    w = model.decoder.draw(noise)
    price = weight_cost(model.decoder, w, named.get("W_out_scale"))
    ours = price / NEFF - model.elbo(tokens, w, latent).elbo.mean()
    with GivenNoise(named | {"z": latent}):
        elbo = TraceMeanField_ELBO()
        theirs = elbo.differentiable_loss(bayes.program, bayes.guide, tokens) / NEFF
    if config.sparsity.kind in ("horseshoe", "laplacian", "ard"):
        theirs = theirs - (1 - named["W_out_scale"].square()).sum() / (2 * NEFF)
    return model, ours, theirs


@pytest.mark.parametrize("case", [name for name in CASES if name != "ard"])
def test_same_noise_gives_our_loss_and_our_gradients(case):
    model, ours, theirs = losses(CASES[case])
    assert abs(float((theirs - ours).detach())) < 1e-10 * abs(float(ours.detach()))
    expected = torch.autograd.grad(ours, [*model.parameters()], allow_unused=True)
    found = torch.autograd.grad(theirs, [*model.parameters()], allow_unused=True)
    for a, b in zip(expected, found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_same_noise_gives_our_loss_in_single_precision(case):
    _, ours, theirs = losses(CASES[case], torch.float32)
    assert abs(float((theirs - ours).detach())) < 1e-5 * abs(float(ours.detach()))


@pytest.mark.parametrize("kind", ["logit", "analytic", "horseshoe", "laplacian", "ard"])
def test_draws_of_a_prior_follow_its_density(kind):
    like = torch.zeros((), dtype=torch.float64)
    prior = SparsityPrior(kind=kind)
    distribution = scale_prior(prior, like)
    torch.manual_seed(5)
    draws = distribution.sample((20_000,))
    middle = float(draws.median())
    grid = torch.linspace(middle - 60, middle, 400_001, dtype=torch.float64)
    below = torch.trapezoid(prior.log_density(grid).exp(), grid)  # mass under the empirical median
    assert abs(float(below) - 0.5) < 0.02


def test_warm_up_scales_both_divergences_and_kl_scale_that_of_z():
    model, tokens, noise, latent = example(CASES["logit"])
    bayes, w = PyroModel(model, NEFF), model.decoder.draw(noise)
    terms, price = model.elbo(tokens, w, latent), weight_cost(model.decoder, w) / NEFF
    expected = 0.25 * (price + 0.5 * terms.kl_latent.mean()) - terms.reconstruction.mean()
    with GivenNoise(model.decoder.weights.noise_by_name(noise) | {"z": latent}):
        found = TraceMeanField_ELBO().loss(bayes.program, bayes.guide, tokens, None, 0.25, 0.5)
    assert found / NEFF == pytest.approx(float(expected.detach()), rel=1e-10)


def test_on_average_pyros_own_draws_give_our_loss():
    model, tokens, _, _ = example(CASES["logit"])
    bayes, elbo, found = PyroModel(model, NEFF), TraceMeanField_ELBO(), np.empty((400, 2))
    pyro.set_rng_seed(6)
    with torch.no_grad():
        for row in found:
            noise = torch.randn(model.decoder.noise_size, dtype=torch.float64)
            w, latent = model.decoder.draw(noise), torch.randn(6, 3, dtype=torch.float64)
            cost = weight_cost(model.decoder, w) / NEFF
            row[:] = (
                float(cost - model.elbo(tokens, w, latent).elbo.mean()),
                elbo.loss(bayes.program, bayes.guide, tokens) / NEFF,
            )
    error = found.std(0, ddof=1) / math.sqrt(len(found))
    assert abs(np.subtract(*found.mean(0))) < 4 * np.hypot(*error)


def test_given_noise_leaves_the_program_on_the_guides_choices():
    model, tokens, noise, latent = example(CASES["logit"])
    bayes = PyroModel(model, NEFF)
    with GivenNoise(model.decoder.weights.noise_by_name(noise) | {"z": latent}):
        guided = poutine.trace(bayes.guide).get_trace(tokens)
        story = poutine.trace(poutine.replay(bayes.program, trace=guided)).get_trace(tokens)
    for name in (*bayes.priors, "z"):
        assert torch.equal(guided.nodes[name]["value"], story.nodes[name]["value"]), name


def family_of(rng, tmp_path, rows=60):
    """A small alignment read from a file."""
    from deepseq_nb.family.alignment import Alignment

    lines = ["".join(rng.choice(list("ACDEF"), LENGTH)) for _ in range(rows)]
    text = "".join(f">s{i}{'/1-7' * (i == 0)}\n{line}\n" for i, line in enumerate(lines))
    (tmp_path / "family.a2m").write_text(text)
    return Alignment.read(tmp_path / "family.a2m")


def test_training_by_pyro_moves_as_ours_and_says_the_same(tmp_path):
    family = family_of(np.random.default_rng(7), tmp_path)
    config = TrainConfig(steps=15, seed=2, device="cpu", dtype="float64", warm_up=10, kl_scale=0.7)
    weights, made = np.linspace(0.2, 1, len(family.tokens)), {}
    for trainer in (Trainer, PyroTrainer):
        model = DeepSequence(settings(), LENGTH, family.gap, seed=2)
        one = trainer(model, family.tokens, weights, config, torch.device("cpu"), fused=False)
        made[trainer] = model, torch.stack([one.update(step) for step in range(1, 16)])
    (ours, our_rows), (theirs, their_rows) = made[Trainer], made[PyroTrainer]
    torch.testing.assert_close(their_rows, our_rows, rtol=1e-9, atol=1e-9)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-8)


def test_a_run_by_pyro_is_kept_resumed_loaded_and_scored_as_any_other(tmp_path):
    family = family_of(np.random.default_rng(8), tmp_path)
    config = TrainConfig(steps=6, seed=2, device="cpu", checkpoint_every=3)
    options = {"weights": np.ones(len(family.tokens)), "trainer": PyroTrainer}
    whole = fit(family, settings(), config, tmp_path / "whole", **options)
    fit(family, settings(), replace(config, steps=3), tmp_path / "parts", **options)
    parts = fit(family, settings(), config, tmp_path / "parts", resume=True, **options)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert torch.equal(a, b)
    scores = score(load_run(tmp_path / "whole"), samples=3)
    assert (scores.status == "ok").all() and scores.score.std() > 0


def test_new_sequences_from_the_program():
    model, *_ = example(CASES["logit"])
    bayes = PyroModel(model, NEFF)
    pyro.set_rng_seed(9)
    with torch.no_grad():
        drawn = [bayes.mean_field() for _ in range(4)]
        posterior = {name: torch.stack([w[name] for w in drawn]) for name in drawn[0]}
        new = Predictive(bayes.program, posterior_samples=posterior)(None, 11)["x"]
        untaught = Predictive(bayes.program, num_samples=3)(None, 11)["x"]
    assert new.shape == (4, 11, LENGTH) and untaught.shape == (3, 11, LENGTH)
    assert 0 <= int(new.min()) and int(new.max()) < LETTERS


def test_scores_under_the_independent_guide_are_ours_on_average(tmp_path):
    family = family_of(np.random.default_rng(10), tmp_path)
    config = TrainConfig(steps=5, seed=2, device="cpu")
    run = fit(family, settings(), config, weights=np.ones(len(family.tokens)))
    ours = score(run, samples=400, estimator=Scorer)
    theirs = score(run, samples=400, estimator=GuideScorer)
    again = score(run, samples=400, estimator=GuideScorer)
    assert np.array_equal(theirs.score, again.score)
    gap = np.abs(ours.score - theirs.score) / np.hypot(ours.std_error, theirs.std_error)
    assert gap.median() < 2 and not np.array_equal(ours.score, theirs.score)


def test_another_guide_trains_and_scores(tmp_path):
    family = family_of(np.random.default_rng(11), tmp_path)
    run = fit(family, settings(), TrainConfig(steps=2, device="cpu"), weights=np.ones(60))
    bayes = PyroModel(run.model.train(), 60.0)
    pyro.set_rng_seed(12)
    bayes.weight_guide = autoguide.AutoLowRankMultivariateNormal(bayes.weights, rank=2)
    bayes.weight_guide()
    learned = [*bayes.weight_guide.parameters(), *run.model.encoder.parameters()]
    optimiser, tokens = torch.optim.Adam(learned, lr=0.02), torch.from_numpy(family.tokens)
    elbo, found = pyro.infer.Trace_ELBO(), []
    for _ in range(150):
        loss = elbo.differentiable_loss(bayes.program, bayes.guide, tokens) / bayes.neff
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    assert np.mean(found[-20:]) < np.mean(found[:20])
    table = score(run, samples=2, estimator=partial(GuideScorer, weight_guide=bayes.weight_guide))
    assert (table.status == "ok").all()


def test_a_decoder_without_a_prior_is_refused():
    with pytest.raises(ConfigError, match="no prior: Pyro needs weights='variational'"):
        weight_priors(DeepSequence(settings(weights="point"), LENGTH, LETTERS).decoder)


def test_a_missing_pyro_is_named(monkeypatch):
    import builtins
    import importlib.util

    from deepseq_nb.peers import pyro_model

    real = builtins.__import__

    def missing(name, *rest, **named):
        if name == "pyro":
            raise ImportError("No module named 'pyro'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    spec = importlib.util.spec_from_file_location(
        "deepseq_nb.copy_without_pyro", pyro_model.__file__
    )
    with pytest.raises(ImportError, match=r"Pyro is not installed.*\[pyro\]"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_normal_priors_have_the_widths_of_the_model():
    priors = weight_priors(example(settings(weight_sigma=0.5))[0].decoder)
    assert float(priors["W_out"].base_dist.scale.max()) == 0.5
    assert float(priors["W_conv"].base_dist.scale.max()) == 1.0
    assert isinstance(priors["W_out_scale"].base_dist, dist.Normal)
