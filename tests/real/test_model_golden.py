"""The model against numbers of the original Theano implementation (DeepSequence, Riesselman 2018)."""

import pytest
import torch

from deepseq_nb.model.network import latent_kl, log_likelihood
from deepseq_nb.peers.parity import (
    forward_values,
    golden_cases,
    read_case,
    relative_difference,
    update_values,
)
from deepseq_nb.peers.theano import original_names

CASES = [f"svi_{i:02d}" for i in range(24)] + ["mle_00", "mle_05", "mle_06"]


@pytest.fixture(params=CASES)
def golden(request, real_data):
    folder = real_data("theano_golden")
    settings = next(c for c in golden_cases(folder) if c["file"] == f"{request.param}.npz")
    return read_case(folder, settings)


def agree(ours, theirs, names, tolerance):
    for name in names:
        assert relative_difference(ours[name], theirs[name])[0] < tolerance, name


def test_parameters_have_the_names_of_the_original(golden):
    theirs = {k.removeprefix("param/") for k in golden.arrays if k.startswith("param/")}
    assert theirs == set(original_names(golden.model))


def test_forward_pass_equals_the_original(golden):
    names = [name for name in golden.arrays if name.startswith("out/")]
    assert {"out/mu", "out/log_sigma", "out/elbo", "out/logpxz"} <= {*names}
    agree(forward_values(golden), golden.arrays, names, 1e-9)


def test_twenty_updates_equal_the_original(golden):
    ours = update_values(golden)
    for mine, theirs in zip(ours["update_history"], golden.history, strict=True):
        assert relative_difference(mine, theirs)[0] < 1e-7
    groups = ("after1/", "after2/", "after5/", "after20/", "m1/", "v1/", "m20/", "v20/")
    names = [name for name in golden.arrays if name.startswith(groups)]
    moments = 0 if golden.model.config.weights == "point" else 4
    assert len(names) == (4 + moments) * len(original_names(golden.model))
    agree(ours, golden.arrays, names, 1e-7)


def test_helpers_are_used_by_the_model():
    assert latent_kl(torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0
    assert (
        log_likelihood(torch.zeros(1, 3, 4), torch.full((1, 3), 4, dtype=torch.uint8)).item() == 0
    )
