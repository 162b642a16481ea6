"""The parameter KL of the original program, case by case (golden values in float64)."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from deepseq_nb.model.priors import SparsityPrior, gaussian_kl

pytestmark = pytest.mark.skipif(
    not os.environ.get("DEEPSEQ_DATA"),
    reason="DEEPSEQ_DATA is not set: the golden values are not here",
)

# The original takes the log of the literal 2.0 in single precision (Theano narrows a literal that float32 holds
# exactly), so each entry of a sampled KL is off by this constant; gradients do not notice.
LOG_TWO_IN_SINGLE = float(np.log(np.float32(2)))
SAMPLED = ("horseshoe", "laplacian", "ard")


class Case:
    """One golden file and its row of cases.json."""

    def __init__(self, folder: Path, name: str) -> None:
        self.settings = {
            row["file"]: row for row in json.loads((folder / "cases.json").read_text())
        }[name]
        with np.load(folder / name) as arrays:
            self.parameters = {
                key.removeprefix("param/"): torch.tensor(arrays[key], dtype=torch.float64)
                for key in arrays
                if key.startswith("param/")
            }
            self.neff = float(arrays["Neff"])
            history = next(key for key in arrays if key.startswith("update_history"))
            self.regulariser = float(arrays[history][0, 2])
        known = {"logit_p", "logit_sigma", "global_scale"} & self.settings.keys()
        self.prior = SparsityPrior(
            kind=self.settings["sparsity"] or "none", **{key: self.settings[key] for key in known}
        )


@pytest.mark.parametrize("number", range(24))
def test_parameter_kl_equals_the_original(real_data, number):
    case = Case(real_data("theano_golden"), f"svi_{number:02d}.npz")
    mus = {
        key.removesuffix("-mu"): value
        for key, value in case.parameters.items()
        if key.endswith("-mu")
    }
    log_sigmas = {name: case.parameters[f"{name}-log_sigma"] for name in mus}
    total = torch.zeros((), dtype=torch.float64)
    for name in mus.keys() - {"W_out_scale"}:
        sigma = case.settings["pattern_sigma"] if name in ("W_out", "b_out") else 1.0
        total = total + gaussian_kl(mus[name], log_sigmas[name], 0.0, sigma)
    assert ("W_out_scale" in mus) == (case.prior.kind != "none")
    if "W_out_scale" in mus:
        mu = mus["W_out_scale"]
        total = total + case.prior.kl(mu, log_sigmas["W_out_scale"], sample=mu)
        if case.prior.kind in SAMPLED:
            total = total - mu.numel() * (LOG_TWO_IN_SINGLE - math.log(2))
    assert -total.item() / case.neff == pytest.approx(case.regulariser, rel=1e-12)


@pytest.mark.parametrize("name", ["mle_00.npz", "mle_05.npz", "mle_06.npz"])
def test_maximum_likelihood_regulariser_equals_the_original(real_data, name):
    case = Case(real_data("theano_golden"), name)
    parameters, settings = case.parameters, case.settings
    penalised = [
        key for key in parameters if "decode" in key or key in ("b_out", "final_pwm_scale")
    ]
    if case.prior.kind == "none":
        squares = sum(parameters[key].square().sum() for key in penalised)
        groups = parameters["W_out"].reshape(len(parameters["W_out"]), settings["seq_len"], -1)
        sparsity = (groups.square().sum(-1) + 1e-8).sqrt().sum()
    else:
        squares = sum(parameters[key].square().sum() for key in [*penalised, "W_out"]) / 2
        sparsity = -case.prior.log_density(parameters["W_out_scale"]).sum()
    found = -(settings["sparsity_lambda"] * sparsity + settings["l2_lambda"] * squares) / case.neff
    assert found.item() == pytest.approx(case.regulariser, rel=1e-12, abs=0)
