"""Each engine against numbers of the original Theano implementation, with parameters straight from its files."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from deepseq_nb.peers.engines import ArrayModel, engine, golden_values
from deepseq_nb.peers.parity import _original_constant, golden_cases, read_case, relative_difference
from deepseq_nb.peers.theano import original_names

NEEDS = {"numpy": "numpy", "torch": "array_api_compat", "jax": "jax", "cupy": "cupy"}


@pytest.mark.parametrize("name", NEEDS)
def test_an_engine_gives_the_originals_numbers(real_data, name):
    if find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    e, folder = engine(name), real_data("theano_golden")
    for settings in golden_cases(folder):
        case = read_case(folder, settings)
        m = ArrayModel(e.xp, case.model.config, case.model.length, case.model.alphabet_size)
        p = {
            n: e.array(torch.from_numpy(case.arrays[f"param/{n}"]))
            for n in original_names(case.model)
        }
        neff, x = float(case.arrays["Neff"]), torch.from_numpy(case.arrays["x"].astype(float))
        with e.precise():
            found = golden_values(m, p, e.array(x), neff)
        ours = {k: e.numpy(v) for k, v in found.items()}
        constant = _original_constant(m.config, case.model) / neff
        ours["parameter KL"] = np.asarray(ours["parameter KL"] + constant)
        theirs = case.arrays | {"parameter KL": np.asarray(case.history[0, 2])}
        compared = [n for n in ours if n in theirs]
        assert {"out/mu", "out/elbo", "parameter KL"} <= {*compared}
        for n in compared:
            assert relative_difference(ours[n], theirs[n])[0] < 1e-10, (settings["file"], n)
