"""The model on other array libraries: agreement with our own, scores, PyTensor and NumPyro. What is not installed is skipped."""

from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from tiny_family import TINY

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.model.network import DeepSequence, centre_on_sites, one_hot, weight_cost
from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import ModelConfig
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.peers import engines, guests
from deepseq_nb.peers.engines import (
    ArrayModel,
    array_model,
    engine,
    engine_estimator,
    loss,
    sigmoid,
)
from deepseq_nb.peers.guests import numpyro_loss, pytensor_function
from deepseq_nb.peers.theano import named_parameters
from deepseq_nb.scores.scoring import score

LENGTH, LETTERS, NEFF = 7, 5, 123.0
NEEDS = {"numpy": "numpy", "torch": "array_api_compat", "jax": "jax", "cupy": "cupy"}


def available(name: str) -> engines.Engine:
    """The engine, or a skipped test that says what is missing."""
    if find_spec(NEEDS[name]) is None:
        how = "it needs CUDA" if name == "cupy" else "pip install 'deepseq-nb[engines]'"
        pytest.skip(f"{NEEDS[name]} is not installed: {how}")
    return engine(name)


def settings(**changes) -> ModelConfig:
    return ModelConfig(**{"encoder": (6,), "latent": 3, "decoder": (5, 8), "conv": 4} | changes)


CASES = {
    kind: settings(sparsity=SparsityPrior(kind=kind, logit_p=0.01))
    for kind in ("logit", "analytic", "horseshoe", "laplacian", "ard", "none")
}
CASES["plain output"] = settings(conv=0, temperature=False, output_bias=False, weight_sigma=0.5)
CASES["no hidden layer"] = settings(encoder=(), decoder=(), latent=4)
CASES["elu and tanh"] = settings(
    encoder_conv=3, encoder_nonlinearity="elu", decoder_nonlinearity="tanh"
)
CASES["point"] = settings(weights="point", l2=0.1, sparsity_penalty=0.2)
CASES["point, no groups"] = settings(
    weights="point", l2=0.1, sparsity_penalty=0.2, sparsity=SparsityPrior(kind="none")
)
CASES["point, laplacian"] = settings(
    weights="point", sparsity_penalty=0.2, sparsity=SparsityPrior(kind="laplacian")
)
CASES["site prior"] = settings(site_prior=True)


def example(config: ModelConfig, moved: float = 0.3):
    """A float64 model, `moved` away from its start, tokens with gaps, and noise."""
    generator, options = torch.Generator().manual_seed(3), {"dtype": torch.float64}
    model = DeepSequence(config, LENGTH, LETTERS, seed=2).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(moved * torch.randn(p.shape, generator=generator, **options))
        if config.site_prior:
            profile = torch.randn(LENGTH, LETTERS, generator=generator, **options)
            centre_on_sites(model.decoder, profile)
    tokens = torch.randint(LETTERS + 1, (4, LENGTH), generator=generator).to(torch.uint8)
    noise = torch.randn(model.decoder.noise_size, generator=generator, **options)
    return model, tokens, noise, torch.randn(4, config.latent, generator=generator, **options)


def own(model: DeepSequence, tokens, noise, latent) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of our own model, under the original's names."""
    w = model.decoder.draw(noise)
    value = weight_cost(model.decoder, w) / NEFF - model.elbo(tokens, w, latent).elbo.mean()
    value.backward()
    grads = {p.data_ptr(): p.grad for p in model.parameters()}
    found = {}
    for name, view in named_parameters(model).items():
        grad = grads[view.data_ptr()]
        flipped = name.startswith(("W_encode", "W_hmu", "W_hsigma"))
        found[name] = (grad.T if flipped else grad).numpy()
    return value.item(), found


def close(theirs, ours: dict[str, np.ndarray]) -> None:
    for name, value in ours.items():
        assert np.allclose(np.asarray(theirs[name]), value, rtol=1e-10, atol=1e-11), name


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NEEDS)
def test_the_loss_is_that_of_our_model(name, case):
    e, (model, tokens, noise, latent) = available(name), example(CASES[case])
    m, p = array_model(model, e)
    x = e.array(one_hot(tokens, LETTERS, torch.float64))
    found = e.compiled(partial(loss, m, neff=NEFF))(p, x, e.array(noise), e.array(latent))
    assert float(found) == pytest.approx(own(model, tokens, noise, latent)[0], rel=1e-12)


@pytest.mark.parametrize("moved", [0.3, 0.0])  # 0: the start of training, where all scales are 0
@pytest.mark.parametrize("case", ["logit", "horseshoe", "elu and tanh", "point", "site prior"])
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_gradient_is_that_of_our_model(name, case, moved):
    e, (model, tokens, noise, latent) = available(name), example(CASES[case], moved)
    m, p = array_model(model, e)
    x = e.array(one_hot(tokens, LETTERS, torch.float64))
    f = partial(loss, m, x=x, noise=e.array(noise), latent=e.array(latent), neff=NEFF)
    _, gradients = e.value_and_grad(f)(p)
    close({n: e.numpy(g) for n, g in gradients.items()}, own(model, tokens, noise, latent)[1])


@pytest.mark.parametrize("case", CASES)
def test_the_model_keeps_to_the_array_api_standard(case):
    if find_spec("array_api_strict") is None:
        pytest.skip("array_api_strict is not installed")
    xp = import_module("array_api_strict")
    model, tokens, noise, latent = example(CASES[case])
    profile = model.decoder.site_profile.numpy() if model.config.site_prior else None
    profile = None if profile is None else xp.asarray(profile)
    m = ArrayModel(xp, model.config, LENGTH, LETTERS, profile)
    p = {n: xp.asarray(v.numpy()) for n, v in named_parameters(model).items()}
    x = one_hot(tokens, LETTERS, torch.float64)
    found = loss(m, p, *(xp.asarray(t.numpy()) for t in (x, noise, latent)), NEFF)
    assert float(found) == pytest.approx(own(model, tokens, noise, latent)[0], rel=1e-12)


def test_the_sigmoid_is_accurate_where_it_is_small_and_does_not_overflow():
    x = np.array([-800.0, -40.0, -12.0, 0.0, 800.0])
    expected = [0.0, np.exp(-40), 1 / (1 + np.exp(12)), 0.5, 1.0]
    with np.errstate(over="raise"):
        assert np.allclose(sigmoid(np, x), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_an_engine_scores_as_the_plain_estimator_does(tiny_run, name):
    available(name)
    variants = ["M11A", "A15W:G17P", "A15A", "nonsense", "R24K"]
    theirs = score(tiny_run, variants, samples=3, seed=5, estimator=engine_estimator(name))
    plain = score(tiny_run, variants, samples=3, seed=5, estimator="plain")
    assert theirs.status.tolist() == plain.status.tolist() and theirs.score[2] == 0
    for column in ("score", "std_error"):
        assert np.allclose(theirs[column], plain[column], atol=1e-4, equal_nan=True)
    numpy = score(tiny_run, variants, samples=3, seed=5, estimator=engine_estimator("numpy"))
    assert np.allclose(theirs.score, numpy.score, rtol=0, atol=1e-10, equal_nan=True)


def test_an_engine_scores_a_float64_model_as_we_do(tiny_run):
    tiny_run.model.double()
    plain = score(tiny_run, samples=2, estimator="plain").score
    numpy = score(tiny_run, samples=2, estimator=engine_estimator("numpy"), batch_size=19).score
    tiny_run.model.float()
    assert np.allclose(plain, numpy, rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def shallow_run(alignment):
    """A run of a family that is trained with a site prior, in float64."""
    config = TrainConfig(steps=30, batch_size=20, device="cpu", dtype="float64")
    return fit(alignment, replace(TINY, site_prior=True), config)


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_an_engine_scores_a_shallow_family_as_the_plain_estimator_does(shallow_run, name):
    available(name)
    assert shallow_run.model.decoder.site_profile.abs().sum() > 0
    plain = score(shallow_run, samples=3, estimator="plain")
    theirs = score(shallow_run, samples=3, estimator=engine_estimator(name))
    for column in ("score", "std_error"):
        assert np.allclose(theirs[column], plain[column], rtol=0, atol=1e-10, equal_nan=True)


def test_jax_computes_in_double_precision_and_leaves_the_users_setting_alone(tiny_run):
    jax, e = pytest.importorskip("jax", reason="JAX is not installed"), available("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    try:
        scores = score(tiny_run, ["M11A"], samples=2, estimator=engine_estimator("jax")).score
        numpy = score(tiny_run, ["M11A"], samples=2, estimator=engine_estimator("numpy")).score
        assert np.allclose(scores, numpy, rtol=0, atol=1e-10)
        array = e.array(torch.ones(3, dtype=torch.float64) / 3)
        assert e.numpy(array).dtype == np.float64
        assert e.numpy(e.compiled(lambda x: x * 2)(array)).dtype == np.float64
        value, _ = e.value_and_grad(lambda x: (x * x).sum())(array)
        assert e.numpy(value).dtype == np.float64
        assert jax.config.jax_enable_x64 is False and jax.numpy.ones(2).dtype == "float32"
    finally:
        jax.config.update("jax_enable_x64", before)


class Steep(SparsityPrior):
    """A Laplace density of its own under the kind whose KL has a closed form."""

    def log_density(self, s):
        return -s.abs()


@pytest.mark.parametrize("weights", ["variational", "point"])
def test_a_prior_with_a_density_of_its_own_is_refused_and_not_ignored(weights):
    model, tokens, noise, latent = example(settings(sparsity=Steep(), weights=weights))
    m, p = array_model(model, engine("numpy"))
    x = one_hot(tokens, LETTERS, torch.float64).numpy()
    with pytest.raises(ConfigError, match="Steep has a density of its own"):
        loss(m, p, x, noise.numpy(), latent.numpy(), NEFF)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'torch'"):
        engine("tourch")


def test_a_missing_engine_says_what_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(engines, "import_module", missing)
    monkeypatch.setattr(guests, "import_module", missing)
    with pytest.raises(ConfigError, match=r"engine 'jax' needs the package jax.*\[engines\]"):
        engine("jax")
    model = example(CASES["logit"])[0]
    for make in (pytensor_function, numpyro_loss):
        with pytest.raises(ConfigError, match=r"not installed.*\[engines\]"):
            make(model, NEFF)


@pytest.mark.parametrize(
    ("way", "case"), [("interpreted", "logit"), ("JAX", "logit"), ("interpreted", "site prior")]
)
def test_pytensor_traces_the_same_function(way, case):
    pytensor = pytest.importorskip("pytensor", reason="PyTensor is not installed")
    if way == "JAX":
        pytest.importorskip("jax", reason="JAX is not installed")
    model, tokens, noise, latent = example(CASES[case])
    slow = pytensor.compile.mode.Mode(linker="py", optimizer="fast_compile")
    f = pytensor_function(model, NEFF, slow if way == "interpreted" else "JAX")
    p = {n: np.ascontiguousarray(v.numpy()) for n, v in named_parameters(model).items()}
    x = one_hot(tokens, LETTERS, torch.float64)
    found, gradients = f(p, *(t.numpy() for t in (x, noise, latent)))
    value, ours = own(model, tokens, noise, latent)
    assert float(found) == pytest.approx(value, rel=1e-12)
    close(gradients, ours)


@pytest.mark.parametrize("case", ["logit", "analytic", "none", "plain output", "site prior"])
def test_numpyro_derives_the_same_loss(case):
    pytest.importorskip("numpyro", reason="NumPyro is not installed")
    e, (model, tokens, noise, latent) = available("jax"), example(CASES[case])
    p = array_model(model, e)[1]
    given = [e.array(t) for t in (one_hot(tokens, LETTERS, torch.float64), noise, latent)]
    found, gradients = e.value_and_grad(numpyro_loss(model, NEFF))(p, *given)
    value, ours = own(model, tokens, noise, latent)
    assert float(found) == pytest.approx(value, rel=1e-12)
    close(gradients, ours)


def test_numpyro_refuses_what_it_would_compute_otherwise():
    with pytest.raises(ConfigError, match="closed forms"):
        numpyro_loss(example(CASES["horseshoe"])[0], NEFF)
