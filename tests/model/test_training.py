"""Training: sampling, determinism, one update, and where its time goes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_family import QUICK, TINY, same

from deepseq_nb.core.errors import CheckpointError, ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.model.loop import step_profile
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.runs import fit, load_run
from deepseq_nb.model.sizes import ModelConfig, preset
from deepseq_nb.model.training import (
    HISTORY,
    AdamOriginal,
    TrainConfig,
    Trainer,
    draw_rows,
    noise_generator,
    seconds_per_update,
)
from deepseq_nb.peers.sites import SiteIndependent


def test_noise_is_a_function_of_seed_purpose_and_index():
    def draw(*key):
        return torch.randn(4, generator=noise_generator("cpu", *key))

    assert torch.equal(draw(1, "latent", 7), draw(1, "latent", 7))
    for other in ((2, "latent", 7), (1, "weights", 7), (1, "latent", 8)):
        assert not torch.equal(draw(1, "latent", 7), draw(*other))


def test_rows_are_drawn_in_proportion_to_weights_and_never_at_zero():
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0], dtype=torch.float64)
    rows = draw_rows(weights.cumsum(0), 40_000, noise_generator("cpu", 1, "batch", 0))
    share = torch.bincount(rows, minlength=5) / 40_000
    assert share[[0, 2, 4]].sum() == 0
    assert share[3].item() == pytest.approx(0.75, abs=0.01)


def test_original_adam_moves_at_a_third_of_the_rate_for_ever():
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimiser, m, v, expected = AdamOriginal([p], lr=0.01), 0.0, 0.0, 0.0
    for gradient in (1.0, -0.5, 2.0, 0.0, 1e-9):
        p.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected -= 0.01 * (0.001**0.5 / 0.1) * m / (v**0.5 + 1e-8)
        assert p.item() == pytest.approx(expected, rel=1e-12)


def test_same_seed_gives_the_same_bits(alignment):
    assert same(fit(alignment, TINY, QUICK), fit(alignment, TINY, QUICK))


def test_another_seed_gives_another_model(alignment):
    other = TrainConfig(steps=30, batch_size=20, device="cpu", seed=2)
    assert not same(fit(alignment, TINY, QUICK), fit(alignment, TINY, other))


def test_training_raises_the_reconstruction(alignment):
    history = fit(
        alignment, TINY, TrainConfig(steps=150, batch_size=40, device="cpu", learning_rate=0.01)
    ).history
    assert history.reconstruction.tail(20).mean() > history.reconstruction.head(5).mean() + 5


def test_a_site_prior_holds_the_columns_letters_and_survives_saving(alignment, tmp_path):
    config, weights = replace(TINY, site_prior=True), np.linspace(0.1, 1, len(alignment.tokens))
    run = fit(alignment, config, QUICK, tmp_path / "run", weights=weights)
    sites = SiteIndependent.fit(alignment, weights, pseudocount=1.0).log_frequencies
    profile = run.model.decoder.site_profile
    assert np.allclose(profile.log_softmax(-1), sites, atol=1e-5)
    loaded = load_run(tmp_path / "run", device="cpu").model.decoder.site_profile
    assert torch.equal(profile, loaded)


def test_history_adds_up(alignment):
    config = TrainConfig(steps=12, batch_size=20, device="cpu", warm_up=10, kl_scale=0.5)
    h = fit(alignment, TINY, config).history
    assert list(h.columns) == ["step", *HISTORY]
    assert h.warm_up.tolist() == [min(1.0, t / 10) for t in range(1, 13)]
    assert np.allclose(h.loss, h.warm_up * (0.5 * h.kl_latent + h.kl_weights) - h.reconstruction)


def test_weight_kl_is_divided_by_neff(alignment):
    weights = np.ones(len(alignment.tokens))
    one = fit(
        alignment, TINY, TrainConfig(steps=1, batch_size=5, device="cpu"), weights=weights
    ).history.kl_weights[0]
    half = fit(
        alignment, TINY, TrainConfig(steps=1, batch_size=5, device="cpu"), weights=weights / 2
    ).history.kl_weights[0]
    assert half == pytest.approx(2 * one)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(
            encoder=(8,),
            latent=3,
            decoder=(8, 12),
            conv=5,
            sparsity=SparsityPrior(kind="horseshoe"),
        ),
        ModelConfig(
            encoder=(8,),
            latent=3,
            decoder=(8, 12),
            conv=5,
            weights="point",
            sparsity=SparsityPrior(kind="none"),
            dropout=0.5,
            l2=0.1,
        ),
        ModelConfig(encoder=(), latent=4, decoder=(), conv=0, encoder_conv=4),
    ],
)
def test_every_kind_of_model_trains_reproducibly(alignment, config):
    first = fit(alignment, config, QUICK)
    assert np.isfinite(first.history.loss).all()
    assert same(first, fit(alignment, config, QUICK))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"theta": 0.8}, "did you mean 0.2"),
        ({"seed": -1}, "seed"),
        ({"seed": 10**23}, "seed is 10"),
        ({"steps": 10**20}, "steps is 10"),
        ({"max_steps": 10**20}, "max_steps is 10"),
        ({"batch_size": 99_999_999_999}, "batch_size is 99999999999"),
    ],
)
def test_impossible_settings_are_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        TrainConfig(**wrong)


def test_trainer_time_estimate_leaves_the_model_alone(alignment):
    model = DeepSequence(TINY, alignment.tokens.shape[1])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trainer = Trainer(model, alignment.tokens, np.ones(80), QUICK, torch.device("cpu"))
    assert seconds_per_update(trainer) > 0
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("preset_name", ["quick", "mle"])
def test_profile_of_a_step_adds_up_and_leaves_the_trainer_usable(preset_name):
    alignment = Alignment.from_strings(["ACDEF", "ACDEY", "ACDFF"])
    config = preset(preset_name)
    small = replace(config, encoder=(8,), decoder=(4, 8), latent=2)
    trainer = Trainer(
        DeepSequence(small, 5),
        alignment.tokens,
        np.ones(3),
        TrainConfig(batch_size=4),
        torch.device("cpu"),
    )
    table = step_profile(trainer, updates=2)
    assert table.share.sum() == pytest.approx(1) and (table.ms >= 0).all()
    assert "draw" not in vars(trainer) and "forward" not in vars(trainer.model.encoder)
    trainer.update(4)


# what users bring along is used or refused


class Steep(SparsityPrior):
    """A Laplace density of its own under the kind whose KL has a closed form."""

    asked = 0

    def log_density(self, s):
        type(self).asked += 1
        return -s.abs() - math.log(2)


def test_a_priors_own_log_density_is_asked_and_trained_with__newcomer_d(alignment):
    own, before = replace(TINY, sparsity=Steep(logit_p=0.01)), Steep.asked
    run = fit(alignment, own, QUICK)
    assert Steep.asked > before + QUICK.steps - 1
    assert not same(run, fit(alignment, TINY, QUICK))


def test_a_priors_own_kl_is_the_one_that_is_paid__newcomer_d(alignment):
    class Dear(SparsityPrior):
        def kl(self, mu, log_sigma, sample=None):
            return 1e6 + super(type(self), self).kl(mu, log_sigma, sample)

    run = fit(alignment, replace(TINY, sparsity=Dear(kind="horseshoe")), QUICK)
    assert (run.history.kl_weights > 1e6 / 80).all()


def test_a_run_with_a_prior_of_ones_own_cannot_be_kept__newcomer_d(alignment, tmp_path):
    with pytest.raises(ConfigError, match="Steep is a prior of your own, which a run's files"):
        fit(alignment, replace(TINY, sparsity=Steep()), QUICK, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_density_that_would_never_be_asked_is_refused():
    with pytest.raises(ConfigError, match="kind 'none' has no scales"):
        Steep(kind="none")


class Still(Trainer):
    """Moves nothing."""

    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=0.0)


def test_an_optimiser_that_a_trainer_sets_moves_all_the_parameters__newcomer_d(alignment):
    run = fit(alignment, TINY, QUICK, trainer=Still)
    fresh = DeepSequence(TINY, alignment.tokens.shape[1], seed=QUICK.seed)
    pairs = zip(run.model.state_dict().values(), fresh.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_an_optimiser_of_ones_own_is_resumed_and_not_exchanged(alignment, tmp_path):
    class Heavy(Trainer):
        def __init__(self, *given, **options):
            super().__init__(*given, **options)
            moved = self.model.parameters()
            self.optimiser = torch.optim.SGD(moved, lr=1e-4, momentum=0.9)

    fit(alignment, TINY, replace(QUICK, steps=20), tmp_path / "run", trainer=Heavy)
    with pytest.raises(CheckpointError, match="written by the optimiser SGD, now it is Adam"):
        fit(alignment, TINY, QUICK, tmp_path / "run", resume=True)
    resumed = fit(alignment, TINY, QUICK, tmp_path / "run", trainer=Heavy, resume=True)
    assert same(resumed, fit(alignment, TINY, QUICK, trainer=Heavy))


def test_a_profile_that_fails_leaves_the_trainer_as_it_was(alignment):
    class Falling(Trainer):
        def update(self, step):
            if step == 3:
                raise RuntimeError("down")
            return super().update(step)

    length = alignment.tokens.shape[1]
    device = torch.device("cpu")
    trainer = Falling(DeepSequence(TINY, length), alignment.tokens, np.ones(80), QUICK, device)
    with pytest.raises(RuntimeError, match="down"):
        step_profile(trainer, updates=2)
    assert "draw" not in vars(trainer.draws) and "forward" not in vars(trainer.model.encoder)
