"""Priors over weights: Gaussian divergences and the sparsity priors."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.model.priors import SPARSITY_PRIORS, SparsityPrior, gaussian_kl


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# ---------------------------------------------------------------- gaussian_kl


@pytest.mark.parametrize(
    ("mu", "log_sigma", "prior_mu", "prior_sigma", "expected"),
    [
        (0.0, 0.0, 0.0, 1.0, 0.0),  # the prior itself
        (1.0, 0.0, 0.0, 1.0, 0.5),  # half the squared distance
        (3.0, 0.0, 1.0, 2.0, math.log(2) + 1 / 8 + 4 / 8 - 0.5),  # σ 1 against 2, two units away
        (0.0, -5.0, 0.0, 1.0, 5.0 + 0.5 * math.exp(-10) - 0.5),  # where training starts
    ],
)
def test_gaussian_kl_of_one_entry(mu, log_sigma, prior_mu, prior_sigma, expected):
    found = gaussian_kl(double(mu), double(log_sigma), prior_mu, prior_sigma)
    assert found.item() == pytest.approx(expected, rel=1e-14, abs=1e-15)


def test_gaussian_kl_sums_over_every_axis_as_torch_distributions_does():
    g = torch.Generator().manual_seed(1)
    mu, log_sigma = (torch.randn(3, 4, 5, generator=g, dtype=torch.float64) for _ in range(2))
    prior = torch.distributions.Normal(0.3, 0.7)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, log_sigma.exp()), prior
    ).sum()
    torch.testing.assert_close(gaussian_kl(mu, log_sigma, 0.3, 0.7), expected)


@given(mu=st.floats(-1e3, 1e3), log_sigma=st.floats(-60, 20), prior_sigma=st.floats(0.01, 100))
@settings(deadline=None)
def test_gaussian_kl_is_never_negative(mu, log_sigma, prior_sigma):
    assert gaussian_kl(double(mu), double(log_sigma), 0.0, prior_sigma).item() >= -1e-12


@given(n=st.sampled_from([0, 1, (1 << 17) - 1, 1 << 17, (1 << 17) + 1]))
@settings(deadline=None, max_examples=5)
def test_gaussian_kl_counts_every_entry_at_the_edges_of_its_blocks(n):
    mu = torch.ones(n)
    assert gaussian_kl(mu, torch.zeros(n)).item() == n / 2


def test_gaussian_kl_keeps_its_digits_over_millions_of_float32_entries():
    n = 5_000_000
    mu = 0.01 * torch.randn(n, generator=torch.Generator().manual_seed(2))
    log_sigma = torch.full((n,), -5.0)
    exact = gaussian_kl(mu.double(), log_sigma.double()).item()
    found = gaussian_kl(mu, log_sigma)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(exact, rel=2e-8)
    assert exact == pytest.approx(4.5 * n, rel=1e-3)


def test_gaussian_kl_gradient_agrees_with_finite_differences():
    g = torch.Generator().manual_seed(3)
    mu, log_sigma = (
        torch.randn(2, 3, generator=g, dtype=torch.float64, requires_grad=True) for _ in range(2)
    )
    assert torch.autograd.gradcheck(lambda m, l: gaussian_kl(m, l, 0.4, 1.7), (mu, log_sigma))


def test_gaussian_kl_gradient_keeps_the_entries_dtype_and_may_be_wanted_for_one_side_only():
    mu = torch.ones(4)
    log_sigma = torch.zeros(4, requires_grad=True)
    (0.5 * gaussian_kl(mu, log_sigma, 0.0, 2.0)).backward()
    torch.testing.assert_close(log_sigma.grad, torch.full((4,), 0.5 * (0.25 - 1)))
    assert log_sigma.grad.dtype == torch.float32


def test_gaussian_kl_takes_a_transposed_view():
    mu = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    log_sigma = torch.linspace(-1, 0, 6, dtype=torch.float64).reshape(2, 3)
    assert gaussian_kl(mu.T, log_sigma.T).item() == pytest.approx(gaussian_kl(mu, log_sigma).item())


def test_gaussian_kl_refuses_a_prior_without_width():
    with pytest.raises(ConfigError, match=r"prior_sigma is 0\.0: expected a number above 0"):
        gaussian_kl(double(0.0), double(0.0), 0.0, 0.0)


# ---------------------------------------------------------------- the contract every sparsity prior keeps


class SparsityPriorContract:
    """What any prior over s must satisfy; `scipy_log_density` states it a second time, independently."""

    prior: SparsityPrior
    posteriors = ((-1.0, -1.0), (0.5, 0.2), (-3.0, -0.5), (1.2, -5.0))  # (mean, log sigma)

    def scipy_log_density(self, s: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def quadrature_kl(self, mean: float, log_sigma: float) -> float:
        posterior = stats.norm(mean, math.exp(log_sigma))
        low, high = posterior.ppf(1e-14), posterior.isf(1e-14)

        def integrand(s):
            return posterior.pdf(s) * (posterior.logpdf(s) - self.scipy_log_density(s))

        return integrate.quad(integrand, low, high, epsabs=1e-10, limit=400)[0]

    def test_density_integrates_to_one(self):
        s = torch.linspace(-90, 60, 600_001, dtype=torch.float64)
        assert torch.trapezoid(self.prior.log_density(s).exp(), s).item() == pytest.approx(
            1, abs=1e-6
        )

    def test_density_agrees_with_scipy(self):
        s = np.linspace(-2, 3, 26)
        np.testing.assert_allclose(
            self.prior.log_density(torch.tensor(s)), self.scipy_log_density(s), rtol=1e-6
        )

    def test_kl_agrees_with_quadrature_on_average(self):
        g = torch.Generator().manual_seed(4)
        for mean, log_sigma in self.posteriors:
            n = 40_000
            noise = torch.randn(n, generator=g, dtype=torch.float64)
            mu, log_sigmas = torch.full_like(noise, mean), torch.full_like(noise, log_sigma)
            found = self.prior.kl(mu, log_sigmas, mu + log_sigmas.exp() * noise).item() / n
            expected = self.quadrature_kl(mean, log_sigma)
            spread = self.prior.log_density(mu + log_sigmas.exp() * noise).std().item() / math.sqrt(
                n
            )
            assert found == pytest.approx(
                expected, abs=1e-7 if self.prior.gaussian else 5 * spread + 1e-7
            )

    def test_kl_is_not_negative_on_average(self):
        g = torch.Generator().manual_seed(5)
        for mean, log_sigma in self.posteriors:
            noise = torch.randn(40_000, generator=g, dtype=torch.float64)
            mu, log_sigmas = torch.full_like(noise, mean), torch.full_like(noise, log_sigma)
            assert self.prior.kl(mu, log_sigmas, mu + log_sigmas.exp() * noise).item() >= 0

    def test_gradient_agrees_with_finite_differences(self):
        g = torch.Generator().manual_seed(6)
        mu, log_sigma = (
            torch.randn(2, 3, generator=g, dtype=torch.float64, requires_grad=True)
            for _ in range(2)
        )
        noise = torch.randn(2, 3, generator=g, dtype=torch.float64)
        assert torch.autograd.gradcheck(
            lambda m, l: self.prior.kl(m, l, m + l.exp() * noise), (mu, log_sigma)
        )
        assert torch.autograd.gradcheck(lambda m: self.prior.log_density(m).sum(), (mu,))

    def test_float32_agrees_with_float64_and_sums_in_float64(self):
        g = torch.Generator().manual_seed(7)
        mu, log_sigma, noise = (torch.randn(50, generator=g) for _ in range(3))
        sample = mu + log_sigma.exp() * noise
        single = self.prior.kl(mu, log_sigma, sample)
        assert single.dtype == torch.float64
        exact = self.prior.kl(mu.double(), log_sigma.double(), sample.double())
        assert single.item() == pytest.approx(exact.item(), rel=1e-5)

    def test_scales_are_positive(self):
        s = torch.linspace(-20, 10, 31)
        t = self.prior.transform(s)
        assert (t > 0).all() and (t.diff() > 0).all()

    def test_round_trips_through_json(self):
        assert SparsityPrior.from_json(json.loads(json.dumps(self.prior.to_json()))) == self.prior


class TestLogit(SparsityPriorContract):
    prior = SparsityPrior(kind="logit", logit_p=0.01, logit_sigma=3.0)

    def scipy_log_density(self, s):
        return stats.norm(3.0 * stats.norm.ppf(0.01), 3.0).logpdf(s)

    def test_p_is_the_chance_of_a_scale_above_one_half(self):
        mean, sigma = SparsityPrior().gaussian
        assert stats.norm.sf(0.0, mean, sigma) == pytest.approx(0.001, rel=1e-12)

    def test_scale_is_the_sigmoid(self):
        torch.testing.assert_close(
            self.prior.transform(double(0.0, math.log(3))), double(0.5, 0.75)
        )


class TestAnalytic(SparsityPriorContract):
    prior = SparsityPrior(kind="analytic", global_scale=0.6)

    def scipy_log_density(self, s):
        return stats.norm(math.log(0.6), math.pi / 2).logpdf(s)

    def test_has_the_mean_and_variance_of_the_log_of_a_half_cauchy(self):
        log_t = lambda t: stats.halfcauchy(scale=0.6).pdf(t)  # noqa: E731
        mean = integrate.quad(lambda s: s * log_t(math.exp(s)) * math.exp(s), -40, 40)[0]
        square = integrate.quad(
            lambda s: (s - mean) ** 2 * log_t(math.exp(s)) * math.exp(s), -40, 40
        )[0]
        assert self.prior.gaussian == pytest.approx((mean, math.sqrt(square)), rel=1e-8)


class TestHorseshoe(SparsityPriorContract):
    prior = SparsityPrior(kind="horseshoe", global_scale=0.6)

    def scipy_log_density(self, s):
        return stats.halfcauchy(scale=0.6).logpdf(np.exp(s)) + s

    def test_stays_finite_far_out(self):
        assert torch.isfinite(self.prior.log_density(torch.tensor([-300.0, 300.0]))).all()


class TestLaplacian(SparsityPriorContract):
    prior = SparsityPrior(kind="laplacian", global_scale=0.6)

    def scipy_log_density(self, s):
        return stats.expon(scale=0.6).logpdf(np.exp(2 * s)) + math.log(2) + 2 * s

    def test_a_gaussian_weight_with_this_scale_is_laplace_distributed(self):
        # ∫ N(w | 0, t²) p(t) dt = exp(-|w|/b) / 2b with b = sqrt(global_scale / 2)
        b = math.sqrt(0.6 / 2)
        for w in (0.1, 0.8, 2.5):
            mixed = integrate.quad(
                lambda s, w=w: (
                    stats.norm(0, math.exp(s)).pdf(w) * math.exp(self.scipy_log_density(s))
                ),
                -12,
                3,
            )[0]
            assert mixed == pytest.approx(math.exp(-w / b) / (2 * b), rel=1e-6)


class TestArd(SparsityPriorContract):
    prior = SparsityPrior(kind="ard", global_scale=0.6)

    def scipy_log_density(self, s):
        return stats.invgamma(0.6, scale=0.6).logpdf(np.exp(2 * s)) + math.log(2) + 2 * s

    def test_a_gaussian_weight_with_this_scale_is_student_distributed(self):
        for w in (0.1, 0.8, 2.5):
            mixed = integrate.quad(
                lambda s, w=w: (
                    stats.norm(0, math.exp(s)).pdf(w) * math.exp(self.scipy_log_density(s))
                ),
                -6,
                30,
            )[0]
            assert mixed == pytest.approx(stats.t(df=1.2).pdf(w), rel=1e-6)

    def test_stays_finite_at_a_vanishing_scale(self):
        assert torch.isfinite(self.prior.log_density(torch.tensor([-50.0]))).all()


def test_no_prior_costs_nothing_and_scales_nothing():
    prior = SparsityPrior(kind="none")
    s = torch.randn(3, generator=torch.Generator().manual_seed(8))
    assert prior.kl(s, s).item() == 0
    assert prior.log_density(s).tolist() == [0, 0, 0]
    assert prior.transform(s).tolist() == [1, 1, 1]


def test_every_kind_can_be_made():
    assert [SparsityPrior(kind=kind).kind for kind in SPARSITY_PRIORS] == list(SPARSITY_PRIORS)


def test_a_sampled_prior_asks_for_its_sample():
    with pytest.raises(
        ConfigError, match="horseshoe prior's KL is estimated from a sample of s: pass sample"
    ):
        SparsityPrior(kind="horseshoe").kl(double(0.0), double(0.0))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"logit_p": 1}, "SparsityPrior.logit_p is 1: expected a number above 0 and below 1"),
        (
            {"logit_sigma": -4.0},
            "SparsityPrior.logit_sigma is -4.0: expected a number at least 1e-06",
        ),
        ({"logit_sigma": 1e-300}, "SparsityPrior.logit_sigma is 1e-300"),
        (
            {"global_scale": math.nan},
            "SparsityPrior.global_scale is nan: expected a number at least 1e-06",
        ),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(settings_, message):
    with pytest.raises(ConfigError, match=message):
        SparsityPrior(**settings_)


def test_a_misspelt_kind_is_refused_with_the_nearest_one():
    with pytest.raises(
        ConfigError, match=r"SparsityPrior\.kind is 'horsehoe': did you mean 'horseshoe'"
    ):
        SparsityPrior.from_json({"kind": "horsehoe"})
