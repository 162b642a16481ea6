"""The model: configuration, shapes, and numbers worked out by hand."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.model.network import (
    DeepSequence,
    centre_on_sites,
    decoder_shapes,
    latent_kl,
    log_likelihood,
    one_hot,
    output_parts,
    weight_cost,
)
from deepseq_nb.model.priors import GaussianWeight, SparsityPrior
from deepseq_nb.model.sizes import PRESETS, ModelConfig, preset

SMALL = ModelConfig(encoder=(7,), latent=2, decoder=(5, 6), patterns=2, conv=3)


def elbo_gradients_agree(config: ModelConfig) -> None:
    """Automatic gradients of the whole objective against finite differences in float64, at a fixed draw."""
    torch.manual_seed(0)
    model = DeepSequence(config, length=4, alphabet_size=5, seed=3).double()
    tokens = torch.tensor([[0, 1, 5, 3], [4, 4, 2, 0]], dtype=torch.uint8)
    noise = torch.randn(model.decoder.noise_size, dtype=torch.float64)
    latent = torch.randn(2, config.latent, dtype=torch.float64)
    shape = decoder_shapes(config, 4, 5).get("W_out_scale")
    scale_noise = torch.randn(shape, dtype=torch.float64) if shape else None

    def objective() -> torch.Tensor:
        w = model.decoder.draw(noise)
        return (
            model.elbo(tokens, w, latent).elbo.mean()
            - weight_cost(model.decoder, w, scale_noise) / 50
        )

    objective().backward()
    for parameter in model.parameters():
        size = parameter.numel()
        for i in {0, size // 2, size - 1}:
            at = np.unravel_index(i, parameter.shape)
            old, h = parameter.data[at].item(), 1e-6
            with torch.no_grad():
                parameter.data[at] = old + h
                up = objective().item()
                parameter.data[at] = old - h
                down = objective().item()
                parameter.data[at] = old
            expected = (up - down) / (2 * h)
            assert parameter.grad[at].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("kind", ["logit", "analytic", "horseshoe", "laplacian", "ard", "none"])
def test_gradient_with_every_prior(kind):
    elbo_gradients_agree(
        ModelConfig(
            encoder=(7,),
            latent=2,
            decoder=(5, 6),
            patterns=2,
            conv=3,
            encoder_nonlinearity="tanh",
            decoder_nonlinearity="tanh",
            sparsity=SparsityPrior(kind=kind),
        )
    )


@pytest.mark.parametrize(
    "options",
    [
        {"conv": 0},
        {"encoder_conv": 3},
        {"temperature": False},
        {"output_bias": False},
        {"decoder": (), "patterns": 2},
        {"encoder": ()},
        {"decoder": (3, 4, 5, 6)},
        {"final_nonlinearity": "elu"},
        {"weight_sigma": 0.5},
    ],
)
def test_gradient_with_every_option(options):
    base = {"encoder": (7,), "latent": 2, "decoder": (5, 6), "patterns": 2, "conv": 3}
    elbo_gradients_agree(
        ModelConfig(
            **(
                base
                | {"encoder_nonlinearity": "sigmoid", "decoder_nonlinearity": "sigmoid"}
                | options
            )
        )
    )


@pytest.mark.parametrize("kind", ["logit", "analytic", "horseshoe", "laplacian", "ard", "none"])
def test_gradient_of_the_maximum_likelihood_penalties(kind):
    elbo_gradients_agree(
        ModelConfig(
            encoder=(7,),
            latent=2,
            decoder=(5, 6),
            patterns=2,
            conv=3,
            weights="point",
            l2=0.1,
            sparsity_penalty=0.2,
            encoder_nonlinearity="elu",
            decoder_nonlinearity="tanh",
            sparsity=SparsityPrior(kind=kind),
        )
    )


def test_one_hot_of_a_gap_is_zero():
    rows = one_hot(torch.tensor([[1, 3]]), 3)
    assert rows.tolist() == [[[0, 1, 0], [0, 0, 0]]]


def test_log_likelihood_by_hand_leaves_out_gaps():
    logits = torch.tensor([[[0.0, math.log(3.0)], [5.0, -5.0]]])
    assert log_likelihood(logits, torch.tensor([[1, 2]])).item() == pytest.approx(math.log(0.75))


def test_latent_kl_by_hand():
    mu, log_sigma = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(2.0)]])
    assert latent_kl(mu, log_sigma).item() == pytest.approx(0.5 + 0.5 * (4 - 1 - 2 * math.log(2)))


def test_weight_kl_counts_every_weight_once():
    model = DeepSequence(SMALL, 4, 20)
    expected = sum(w.kl().item() for n, w in model.decoder.weights.items() if n != "W_out_scale")
    scale = model.decoder.weights["W_out_scale"]
    expected += SMALL.sparsity.kl(scale.mu, scale.log_sigma, None).item()
    assert weight_cost(model.decoder, model.decoder.draw()).item() == pytest.approx(
        expected, rel=1e-12
    )


def test_prior_width_of_output_weights_is_weight_sigma():
    model = DeepSequence(
        ModelConfig(encoder=(7,), latent=2, decoder=(4,), conv=3, weight_sigma=0.5), 4, 20
    )
    widths = {name: w.prior_sigma for name, w in model.decoder.weights.items()}
    assert widths["W_out"] == widths["b_out"] == 0.5
    assert widths["W_conv"] == widths["W_decode_0"] == widths["final_pwm_scale"] == 1.0


@pytest.mark.parametrize("temperature", [True, False])
def test_a_site_prior_is_the_site_independent_model_when_all_weights_are_zero(temperature):
    config = ModelConfig(
        encoder=(7,), latent=2, decoder=(4,), conv=3, temperature=temperature, site_prior=True
    )
    decoder = DeepSequence(config, 4, 20).decoder
    sites = torch.randn(4, 20, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    centre_on_sites(decoder, sites)
    nothing = {name: torch.zeros_like(value) for name, value in decoder.draw().items()}
    profiles = decoder(torch.randn(3, 2), nothing)
    assert torch.allclose(profiles, sites.expand(3, -1, -1), atol=1e-6)
    assert "b_out" not in decoder.weights


def test_scales_are_tiled_not_repeated():
    model = DeepSequence(SMALL, 4, 20)
    w = {k: torch.ones_like(v) for k, v in model.decoder.draw().items()}
    w["W_out_scale"] = torch.tensor(
        [[-100.0] * 4, [100.0] * 4, [-100.0] * 4]
    )  # 6 units share 3 rows
    per_unit = model.decoder.output_weights(w).sum(1)
    assert (per_unit > 1).tolist() == [False, True, False, False, True, False]


def test_paper_sizes():
    shapes = decoder_shapes(ModelConfig(), 253, 20)
    assert shapes["W_out"] == (2000, 253 * 40)
    assert shapes["W_out_scale"] == (500, 253)
    assert shapes["b_out"] == (253 * 20,)
    assert shapes["W_decode_1"] == (100, 2000)


def test_initial_values_are_the_originals():
    model = DeepSequence(SMALL, 4, 20)
    assert (model.encoder.layers[0].bias == 0.1).all()
    assert (model.encoder.log_sigma.bias == -5).all()
    assert (model.decoder.weights["W_out_scale"].mu == 0).all()
    assert model.decoder.weights["final_pwm_scale"].mu.item() == 1
    assert all((w.log_sigma == -5).all() for w in model.decoder.weights.values())
    big = DeepSequence(ModelConfig(encoder=(300,), latent=2, decoder=(4,), conv=3), 40, 20)
    assert big.encoder.layers[0].weight.std().item() == pytest.approx(math.sqrt(2 / 1100), rel=0.02)


def test_same_seed_same_model():
    a, b, c = (DeepSequence(SMALL, 4, 20, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["encoder.mu.weight"], c["encoder.mu.weight"])


def test_draw_without_noise_is_the_mean():
    weight = GaussianWeight(torch.tensor([1.0, 2.0]))
    assert weight.draw(None) is weight.mu


@pytest.mark.parametrize("name", PRESETS)
def test_presets_round_trip_through_json(name):
    assert ModelConfig.from_json(preset(name).to_json()) == preset(name)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"decoder": (100, 30)}, "4 patterns do not divide the 30 units"),
        ({"dropout": 0.5}, "belong to weights='point'"),
        ({"latent": 0}, "latent is 0"),
        ({"site_prior": True, "weights": "point"}, "needs weights='variational'"),
        ({"encoder": (0,)}, "encoder is 0"),
        ({"weight_sigma": 1e-300}, "weight_sigma is 1e-300"),
        ({"weight_sigma": 1e300}, "weight_sigma is 1e+300"),
    ],
)
def test_impossible_configurations_are_refused_by_name(wrong, text):
    with pytest.raises(ConfigError, match=r".") as error:
        ModelConfig(**wrong)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("final_nonlinearity", "swish"), ("weights", "bayes"), ("latent", "many"), ("layers", 3)],
)
def test_wrong_json_is_refused_by_name(key, value):
    with pytest.raises(ConfigError, match=key):
        ModelConfig.from_json({key: value})


def test_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="preset"):
        preset("paper")


@given(
    length=st.integers(1, 6),
    alphabet=st.integers(2, 6),
    latent=st.integers(1, 4),
    layers=st.lists(st.integers(1, 5), max_size=3),
    conv=st.integers(0, 3),
    batch=st.integers(1, 4),
)
@settings(max_examples=30, deadline=None)
def test_every_shape_gives_normalised_profiles(length, alphabet, latent, layers, conv, batch):
    config = ModelConfig(
        encoder=tuple(layers), latent=latent, decoder=tuple(layers), patterns=1, conv=conv
    )
    model = DeepSequence(config, length, alphabet)
    z = torch.zeros(batch, latent)
    profile = model.decoder(z, model.decoder.draw())
    assert profile.shape == (batch, length, alphabet)
    assert torch.allclose(profile.exp().sum(-1), torch.ones(batch, length), atol=1e-5)
    terms = model.elbo(torch.zeros(batch, length, dtype=torch.uint8), model.decoder.draw())
    assert terms.elbo.shape == (batch,) and (terms.kl_latent >= 0).all()


class DecoderContract:
    """What every kind of decoder weight promises; subclasses name a configuration."""

    config: ModelConfig

    def model(self) -> DeepSequence:
        return DeepSequence(self.config, length=5, alphabet_size=6, seed=2).double()

    def noise(self, model: DeepSequence) -> torch.Tensor:
        generator = torch.Generator().manual_seed(4)
        return torch.randn(model.decoder.noise_size, generator=generator, dtype=torch.float64)

    def test_a_draw_has_every_weight_in_its_shape(self):
        model = self.model()
        drawn = model.decoder.draw(self.noise(model))
        assert {k: tuple(v.shape) for k, v in drawn.items()} == decoder_shapes(self.config, 5, 6)

    def test_the_same_noise_gives_the_same_draw(self):
        model = self.model()
        noise = self.noise(model)
        first, second = model.decoder.draw(noise), model.decoder.draw(noise.clone())
        assert all(torch.equal(first[k], second[k]) for k in first)

    def test_a_draw_without_noise_is_the_mean(self):
        model = self.model()
        drawn = model.decoder.draw()
        assert all(torch.equal(drawn[k], w.mean) for k, w in model.decoder.weights.items())

    def test_profiles_are_probabilities(self):
        model = self.model()
        drawn = model.decoder.draw(self.noise(model))
        profile = model.decoder(torch.randn(3, self.config.latent, dtype=torch.float64), drawn)
        assert profile.shape == (3, 5, 6)
        assert torch.allclose(profile.exp().sum(-1), torch.ones(3, 5, dtype=torch.float64))

    def test_the_objective_reaches_every_parameter(self):
        model = self.model()
        noise = self.noise(model)
        drawn = model.decoder.draw(noise)
        tokens = torch.tensor([[0, 1, 2, 3, 4], [5, 5, 0, 6, 1]], dtype=torch.uint8)
        z = torch.ones(2, self.config.latent, dtype=torch.float64)
        (model.elbo(tokens, drawn, z).elbo.sum() - weight_cost(model.decoder, drawn)).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())

    def test_the_cost_is_finite(self):
        model = self.model()
        assert weight_cost(model.decoder, model.decoder.draw()).isfinite()

    def test_parameters_survive_a_round_trip(self):
        model, other = self.model(), DeepSequence(self.config, 5, 6, seed=9).double()
        other.load_state_dict(model.state_dict())
        z = torch.ones(1, self.config.latent, dtype=torch.float64)
        assert torch.equal(
            model.decoder(z, model.decoder.draw()), other.decoder(z, other.decoder.draw())
        )


class TestVariationalDecoder(DecoderContract):
    config = ModelConfig(encoder=(7,), latent=2, decoder=(5, 6), patterns=2, conv=3)

    def test_noise_spreads_by_the_posterior_width(self):
        model = self.model()
        n = 4000
        weight = GaussianWeight(torch.full((n,), 2.0), log_sigma=-1.0)
        drawn = weight.draw(torch.randn(n, generator=torch.Generator().manual_seed(1)))
        assert drawn.std().item() == pytest.approx(math.exp(-1), rel=0.05)
        assert model.decoder.noise_size == sum(w.mu.numel() for w in model.decoder.weights.values())


class TestPointDecoder(DecoderContract):
    config = ModelConfig(
        encoder=(7,),
        latent=2,
        decoder=(5, 6),
        patterns=2,
        conv=3,
        weights="point",
        l2=0.1,
        sparsity_penalty=0.1,
    )

    def test_takes_no_noise(self):
        assert self.model().decoder.noise_size == 0


class TestDecoderWithoutHiddenLayers(DecoderContract):
    config = ModelConfig(encoder=(), latent=4, decoder=(), patterns=2, conv=0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conv": 0},
        {"sparsity": SparsityPrior(kind="none"), "temperature": False},
        {"site_prior": True},
        {"output_bias": False, "sparsity": SparsityPrior(kind="horseshoe")},
    ],
)
def test_the_output_formula_is_the_same_in_both_of_its_layouts(options):
    config = ModelConfig(**({"encoder": (8,), "latent": 3, "decoder": (6, 12)} | options))
    decoder = DeepSequence(config, 5, 7).double().decoder
    generator = torch.Generator().manual_seed(3)
    if config.site_prior:
        decoder.site_profile.copy_(torch.randn(5, 7, generator=generator))
    noise = torch.randn(decoder.noise_size, generator=generator, dtype=torch.float64)
    w = {name: value.detach() for name, value in decoder.draw(noise).items()}
    parts, hidden = output_parts(decoder, w), torch.rand(4, 12, generator=generator).double()
    logits = parts.logits(hidden @ parts.matrix())
    nothing = parts.logits(torch.zeros(1, 35, dtype=torch.float64))
    assert torch.allclose(logits, torch.einsum("bh,lah->bla", hidden, parts.by_letter()) + nothing)


@pytest.mark.parametrize("size", [10**9 + 1, int("9" * 30), 10**400], ids=["more", "30", "400"])
@pytest.mark.parametrize("name", ["latent", "encoder", "patterns", "conv"])
def test_a_size_that_no_machine_holds_is_refused_by_name__faults_numbers(name, size):
    """Case 179 of that row: torch counts in 64 bits, and ended in a traceback."""
    value = (size,) if name == "encoder" else size
    with pytest.raises(ConfigError, match=rf"^{name} is \d+: expected .* at most 1e\+09$"):
        ModelConfig(**{name: value})
