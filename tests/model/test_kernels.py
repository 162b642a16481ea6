"""The fast loops: the same numbers as the plain way."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from deepseq_nb.model import kernels
from deepseq_nb.model.kernels import OutputLayer, normal_numbers, quantiles
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.sizes import ModelConfig
from deepseq_nb.model.training import TrainConfig, Trainer

SMALL = {"encoder": (12,), "latent": 3, "decoder": (6, 8), "patterns": 2, "conv": 5}


def test_quantiles_are_standard_normal():
    table = quantiles().astype(np.float64)
    assert len(table) == 65536 and (np.diff(table) >= 0).all()
    assert table.mean() == pytest.approx(0, abs=1e-6)
    assert (table**2).mean() == pytest.approx(1, abs=1e-6)
    assert (table**4).mean() == pytest.approx(3, abs=0.002)


class TestNormalNumbers:
    def test_moments_tails_and_independence(self):
        x = normal_numbers(11, torch.empty(2_000_000)).double()
        assert x.mean().item() == pytest.approx(0, abs=0.004)
        assert x.var().item() == pytest.approx(1, abs=0.006)
        assert (x > 1.959964).double().mean().item() == pytest.approx(0.025, abs=0.0006)
        for lag in (1, 2, 3, 4, 1000):
            assert (x[lag:] * x[:-lag]).mean().item() == pytest.approx(0, abs=0.004)

    def test_keys_name_unrelated_sequences(self):
        a, b = (normal_numbers(key, torch.empty(500_000)).double() for key in (5, 6))
        assert (a * b).mean().item() == pytest.approx(0, abs=0.008)
        assert torch.equal(a.float(), normal_numbers(5, torch.empty(500_000)))

    @pytest.mark.parametrize("first", [0, 1, 2, 3, 4, 5, 2047, 2048, 4099])
    @pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 100])
    def test_any_part_is_a_part_of_the_whole(self, first, size):
        whole = normal_numbers(3, torch.empty(5000))
        assert torch.equal(
            whole[first : first + size], normal_numbers(3, torch.empty(size), first=first)
        )

    @pytest.mark.parametrize("threads", [1, 2, 3, 7])
    def test_the_number_of_threads_changes_nothing(self, threads, monkeypatch):
        expected = normal_numbers(9, torch.empty(300_001))
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        assert torch.equal(expected, normal_numbers(9, torch.empty(300_001)))

    def test_float64_holds_the_same_numbers(self):
        single, double = torch.empty(10), torch.empty(10, dtype=torch.float64)
        assert torch.equal(normal_numbers(4, single).double(), normal_numbers(4, double))

    def test_the_largest_key(self):
        assert normal_numbers(2**64 - 1, torch.empty(8)).isfinite().all()

    def test_a_forked_process_makes_its_own_threads(self):
        code = (
            "import os, torch; from deepseq_nb.model.kernels import normal_numbers; torch.set_num_threads(2); "
            "a = normal_numbers(1, torch.empty(300_001)).numpy(); child = os.fork(); "
            "same = (a == normal_numbers(1, torch.empty(300_001)).numpy()).all(); "
            "os._exit(not same) if child == 0 else None; "
            "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
        )
        assert subprocess.run([sys.executable, "-c", code], timeout=600).returncode == 0


def test_exp_is_exact_to_float32():
    x = np.linspace(-87, 88, 100_001, dtype=np.float32)
    out, bits = np.empty_like(x), np.empty(len(x), np.int32)
    kernels._exp(x, bits, bits.view(np.float32), out)
    assert np.abs(out / np.exp(x.astype(np.float64)) - 1).max() < 3e-7


def test_exp_far_below_is_almost_zero_and_far_above_finite():
    x, bits = np.array([-1000, -88, 1000], np.float32), np.empty(3, np.int32)
    out = np.empty_like(x)
    kernels._exp(x, bits, bits.view(np.float32), out)
    assert 0 <= out[0] < 1e-37 and 0 <= out[1] < 1e-37 and np.isfinite(out[2])


@pytest.mark.parametrize("size", [24, 50])
def test_the_kl_does_not_depend_on_where_its_numbers_lie(size):
    """A loop that sums and writes is compiled twice, and the scalar one runs where arrays lie close
    together: another order of the sum, another last bit in `history.csv`."""
    rng, seen = np.random.default_rng(1), set()
    values = rng.normal(size=(7, size)).astype(np.float32)
    price, mean, precision = np.float32(0.1), np.float32(0), np.float32(1)
    for gap in (52, 64, 80, 512):
        for _ in range(60):
            room = np.zeros(10_000, np.float32)
            places = rng.permutation(7) * gap
            mu, log_sigma, sigma, w, grad, by_mu, by_log_sigma = (
                room[place : place + size] for place in places
            )
            for part, given in zip((mu, log_sigma, sigma, w, grad), values, strict=False):
                part[:] = given
            settings = price, mean, precision
            kl = kernels._gradients(mu, log_sigma, sigma, w, grad, *settings, by_mu, by_log_sigma)
            seen.add((float(kl), by_mu.tobytes(), by_log_sigma.tobytes()))
    assert len(seen) == 1


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("sizes", [[1], [5000, 1, 0, 70_000, 2048], [2048] * 9])
def test_stretches_cover_every_number_once(threads, sizes):
    covered = [np.zeros(size, int) for size in sizes]
    for job in kernels._stretches(sizes, threads):
        for i, first, last in job:
            assert first % kernels.BLOCK == 0
            covered[i][first:last] += 1
    assert all((c == 1).all() for c in covered)
    assert len(kernels._stretches(sizes, threads)) <= threads


@pytest.mark.parametrize("conv", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
def test_output_layer_has_the_gradients_of_the_plain_product(conv, scaled):
    rng = torch.Generator().manual_seed(1)
    hidden, weight, matrix, scale = (
        torch.randn(shape, generator=rng, requires_grad=True)
        for shape in ((7, 8), (8, 6 * (5 if conv else 4)), (5, 4), (4, 6))
    )
    target = torch.randn(7, 24, generator=rng)

    def plain():
        out = weight.view(48, 5) @ matrix if conv else weight
        if scaled:
            out = out.reshape(2, 4, 6, 4) * scale.unsqueeze(-1)
        return hidden @ out.reshape(8, 24)

    def kept():
        layer = OutputLayer(8, 6, 5 if conv else 4, 4, conv, scaled)
        return layer(hidden, weight, matrix if conv else None, scale if scaled else None)

    used = [hidden, weight, *([matrix] if conv else []), *([scale] if scaled else [])]
    expected = torch.autograd.grad((plain() * target).sum(), used)
    found = torch.autograd.grad((kept() * target).sum(), used)
    assert torch.allclose(plain(), kept(), atol=1e-5)
    for a, b in zip(expected, found, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("step", [1, 4])
def test_a_tiny_gradient_is_held_back_by_epsilon_as_in_torch(step):
    gradient = torch.tensor([0.0, 1e-9, 1e-8, -3e-8, 1e-3])
    weight = torch.zeros(5, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=0.01, eps=1e-8)
    p, m, v = (np.zeros(5, np.float32) for _ in range(3))
    for number in range(1, step + 1):
        weight.grad = gradient.clone()
        optimiser.step()
        settings = kernels._corrected(optimiser.param_groups[0], number)
        kernels._adam(p, m, v, gradient.numpy(), *settings)
    assert p[0] == 0 and 0 < -p[1] < 0.0011 * step  # without epsilon all move by 0.01
    assert p.tolist() == pytest.approx(weight.tolist(), rel=1e-4)


OPTIONS = [
    {},
    {"conv": 0},
    {"optimizer": "adam_original"},
    {"warm_up": 3},
    {"decoder": ()},
    {"patterns": 1, "decoder": (5,), "output_bias": False, "temperature": False},
    {"weight_sigma": 0.3},
    {"encoder_conv": 4},
    {"encoder": ()},
    *(
        {"sparsity": SparsityPrior(kind=kind)}
        for kind in ("none", "analytic", "horseshoe", "laplacian", "ard")
    ),
]


class TestFusedUpdates:
    """One update by the loops against one by automatic differentiation and torch's own Adam."""

    def trainer(self, fused, dtype="float32", **options):
        train = {key: options.pop(key) for key in ("optimizer", "warm_up") if key in options}
        model = DeepSequence(ModelConfig(**(SMALL | options)), length=11, alphabet_size=20, seed=2)
        rng = np.random.default_rng(0)
        tokens = rng.integers(0, 21, (60, 11)).astype(np.uint8)
        config = TrainConfig(batch_size=10, learning_rate=0.01, dtype=dtype, **train)
        return Trainer(
            model, tokens, rng.random(60) + 0.1, config, torch.device("cpu"), fused=fused
        )

    @pytest.mark.parametrize("options", OPTIONS)
    def test_history_and_parameters_agree(self, options):
        if options.get("decoder") == ():
            options = options | {"patterns": 3}
        fused, plain = self.trainer(None, **options), self.trainer(False, **options)
        assert fused.draws.closed and not plain.draws.closed
        for step in range(1, 8):
            a, b = fused.update(step), plain.update(step)
            assert a.tolist() == pytest.approx(b.tolist(), rel=2e-4, abs=1e-3)
        pairs = zip(fused.model.named_parameters(), plain.model.parameters(), strict=True)
        for (name, a), b in pairs:
            # Adam divides by the gradient's size: a gradient that is nothing but rounding may go either way
            assert (a - b).abs().median() < 1e-5, name
            assert (a - b).abs().max() < 0.02, name

    def test_the_first_update_is_that_of_float64(self):
        fused, exact = self.trainer(None), self.trainer(False, dtype="float64")
        assert fused.update(1).tolist() == pytest.approx(exact.update(1).tolist(), rel=1e-6)
        for a, b in zip(fused.model.parameters(), exact.model.parameters(), strict=True):
            assert torch.allclose(a.double(), b, atol=2e-5)

    @pytest.mark.parametrize("threads", [2, 3])
    def test_draws_do_not_depend_on_the_number_of_threads(self, threads, monkeypatch):
        wide = {"decoder": (6, 800), "conv": 16}
        expected = {
            k: v.detach().clone() for k, v in self.trainer(None, **wide).draws.draw(5)[0].items()
        }
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        found = self.trainer(None, **wide).draws.draw(5)[0]
        assert all(torch.equal(expected[name], found[name]) for name in expected)

    def test_point_weights_are_left_to_torch(self):
        assert not self.trainer(None, weights="point").draws.closed

    def test_float64_is_left_to_torch(self):
        assert not self.trainer(None, dtype="float64").draws.closed
