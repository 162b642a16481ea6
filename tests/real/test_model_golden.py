"""The model against numbers of the original Theano implementation (DeepSequence, Riesselman 2018)."""

import json

import numpy as np
import pytest
import torch

from deepseq_nb.model import DeepSequence, ModelConfig, latent_kl, log_likelihood, weight_cost
from deepseq_nb.priors import SparsityPrior
from deepseq_nb.training import AdamOriginal

CASES = [f"svi_{i:02d}" for i in range(24)] + ["mle_00", "mle_05", "mle_06"]


def configuration(case: dict) -> ModelConfig:
    """Our configuration of one golden case; the variational class knows only sigmoid as a final nonlinearity of its own."""
    point = case["cls"].endswith("MLE")
    final = case["final_decode_nonlinearity"]
    decode = case.get("decode_nonlinearity_type", "relu")
    return ModelConfig(
        encoder=tuple(case["encoder_architecture"]),
        latent=case["n_latent"],
        decoder=(
            *case["decoder_architecture"][:-1],
            case["decoder_architecture"][-1] * case["n_patterns"],
        ),
        patterns=case["n_patterns"],
        conv=case["conv_decoder_size"] if case["convolve_patterns"] else 0,
        encoder_conv=case["conv_encoder_size"] if case["convolve_encoder"] else 0,
        temperature=case["final_pwm_scale"],
        output_bias=case["output_bias"],
        weights="point" if point else "variational",
        sparsity=SparsityPrior(
            kind=case["sparsity"] or "none",
            logit_p=case["logit_p"],
            logit_sigma=case["logit_sigma"],
            global_scale=case.get("global_scale", 1.0),
        ),
        weight_sigma=case.get("pattern_sigma", 1.0),
        encoder_nonlinearity=case.get("encode_nonlinearity_type", "relu"),
        decoder_nonlinearity=decode,
        final_nonlinearity=final if point or final == "sigmoid" else decode,
        l2=case.get("l2_lambda", 0.0),
        sparsity_penalty=case.get("sparsity_lambda", 0.0),
    )


def original_parameters(model: DeepSequence) -> dict[str, torch.nn.Parameter]:
    """Our parameters under the original's names; encoder matrices are transposed views."""
    named = {}
    if model.encoder.conv is not None:
        named["W_conv_encode"] = model.encoder.conv
    for i, layer in enumerate(model.encoder.layers):
        named[f"W_encode_{i}"], named[f"b_encode_{i}"] = layer.weight, layer.bias
    for ours, theirs in ((model.encoder.mu, "hmu"), (model.encoder.log_sigma, "hsigma")):
        named[f"W_{theirs}"], named[f"b_{theirs}"] = ours.weight, ours.bias
    for name, weight in model.decoder.weights.items():
        if model.config.weights == "point":
            named["W_conv_decode" if name == "W_conv" else name] = weight.value
        else:
            named[f"{name}-mu"], named[f"{name}-log_sigma"] = weight.mu, weight.log_sigma
    return named


def is_transposed(name: str) -> bool:
    return name.startswith(("W_encode", "W_hmu", "W_hsigma"))


@pytest.fixture(params=CASES)
def golden(request, real_data):
    cases = json.loads(real_data("theano_golden/cases.json").read_text())
    case = next(c for c in cases if c["file"] == f"{request.param}.npz")
    data = dict(np.load(real_data(f"theano_golden/{request.param}.npz")))
    model = DeepSequence(configuration(case), case["seq_len"], case["alphabet_size"]).double()
    parameters = original_parameters(model)
    with torch.no_grad():
        for name, parameter in parameters.items():
            value = torch.from_numpy(data[f"param/{name}"])
            parameter.copy_(value.T if is_transposed(name) else value)
    assert {k.removeprefix("param/") for k in data if k.startswith("param/")} == set(parameters)
    return case, data, model, parameters


def tokens(x: np.ndarray) -> torch.Tensor:
    """One-hot `(B, L, A)` to tokens, an all-zero row to the gap."""
    return torch.from_numpy(np.where(x.any(-1), x.argmax(-1), x.shape[-1]).astype(np.uint8))


def close(ours: torch.Tensor, theirs: np.ndarray, tolerance: float) -> None:
    scale = max(np.abs(theirs).max(), 1e-300)
    assert np.abs(ours.detach().numpy() - theirs).max() / scale < tolerance


@torch.no_grad()
def test_forward_pass_equals_the_original(golden):
    _, data, model, _ = golden
    x = tokens(data["x"])
    mu, log_sigma = model.encoder(x)
    close(mu, data["out/mu"], 1e-9)
    close(log_sigma, data["out/log_sigma"], 1e-9)
    w = model.decoder.draw()
    close(model.decoder(mu, w).exp(), data["out/reconstruction"], 1e-9)
    terms = model.elbo(x, w)
    close(terms.reconstruction, data["out/logpxz"], 1e-9)
    close(-terms.kl_latent, data["out/KLD_latent"], 1e-9)
    close(terms.elbo, data["out/elbo"], 1e-9)
    if "out/pattern_activations" in data:
        close(model.decoder.hidden(mu, w), data["out/pattern_activations"], 1e-9)


def test_twenty_updates_equal_the_original(golden):
    case, data, model, parameters = golden
    history = next(v for k, v in data.items() if k.startswith("update_history"))
    optimiser = AdamOriginal(model.parameters(), lr=case.get("learning_rate", 0.001))
    neff, warm_up = float(data["Neff"]), case.get("warm_up", 0.0)
    for step in range(1, 21):
        x = tokens(data["update_x"][(step - 1) % 6])
        w = model.decoder.draw()
        terms = model.elbo(x, w)
        kl_weights = weight_cost(model.decoder, w, None) / neff
        s = step / warm_up if step < warm_up else 1.0
        objective = (
            terms.reconstruction - s * case.get("kl_scale", 1.0) * terms.kl_latent
        ).mean() - s * kl_weights
        ours = torch.stack(
            [objective, terms.reconstruction.mean(), -kl_weights, -terms.kl_latent.mean()]
        )
        close(ours, history[step - 1], 1e-7)
        optimiser.zero_grad()
        (-objective).backward()
        optimiser.step()
        if step in (1, 2, 5, 20):
            for name, parameter in parameters.items():
                value = parameter.T if is_transposed(name) else parameter
                close(value, data[f"after{step}/{name}"], 1e-7)
        if step in (1, 20) and f"m{step}/W_hmu" in data:
            for name, parameter in parameters.items():
                state = optimiser.state[parameter]
                m, v = state["exp_avg"], state["exp_avg_sq"]
                close(-m.T if is_transposed(name) else -m, data[f"m{step}/{name}"], 1e-7)
                close(v.T if is_transposed(name) else v, data[f"v{step}/{name}"], 1e-7)


def test_helpers_are_used_by_the_model():
    assert latent_kl(torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0
    assert (
        log_likelihood(torch.zeros(1, 3, 4), torch.full((1, 3), 4, dtype=torch.uint8)).item() == 0
    )
