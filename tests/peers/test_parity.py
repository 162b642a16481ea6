"""`verify` compares all that a folder of reference values holds, and notices every number that differs."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from deepseq_nb.core.errors import CheckpointError
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.peers import parity
from deepseq_nb.peers.parity import (
    Case,
    case_config,
    forward_values,
    golden_cases,
    read_case,
    relative_difference,
    update_values,
    verify,
)
from deepseq_nb.peers.theano import (
    original_names,
)

# folders of reference values, made by our own model: they test the comparison, tests/real tests the numbers

SVI = {
    "cls": "VariationalAutoencoder", "seq_len": 6, "alphabet_size": 5, "encoder_architecture": [7], "decoder_architecture": [4, 3],
    "n_latent": 2, "n_patterns": 2, "batch_size": 4, "conv_decoder_size": 3, "conv_encoder_size": 4, "logit_p": 0.01,
    "logit_sigma": 3.0, "pattern_sigma": 0.7, "kl_scale": 0.5, "warm_up": 10.0, "global_scale": 0.6, "encode_nonlinearity_type": "tanh",
    "decode_nonlinearity_type": "elu", "sparsity": "logit", "convolve_patterns": True, "final_pwm_scale": True, "output_bias": True,
    "final_decode_nonlinearity": "sigmoid", "convolve_encoder": True,
}  # fmt: skip
MLE = SVI | {
    "cls": "VariationalAutoencoderMLE",
    "convolve_encoder": False,
    "l2_lambda": 0.01,
    "sparsity_lambda": 0.1,
    "dropout": False,
}
FREE = MLE | {"sparsity": False, "l2_lambda": 0.0, "sparsity_lambda": 0.0}
VARIETY = {
    "convolved": SVI,
    "plain": SVI | {"convolve_patterns": False, "convolve_encoder": False, "output_bias": False},
    "no_decoder": SVI | {"decoder_architecture": [], "sparsity": "horseshoe"},
    "no_layers": SVI | {"encoder_architecture": [], "decoder_architecture": [], "sparsity": False},
    "deep": SVI | {"decoder_architecture": [3, 4, 5, 2], "encoder_architecture": [5, 4, 3]},
    "latent_unpriced": SVI | {"kl_scale": 0.0, "sparsity": "ard", "learning_rate": 0.01},
    "dna": SVI | {"alphabet_size": 4, "seq_len": 9, "warm_up": 0.0, "sparsity": "laplacian"},
    "mle": MLE,
    "free": FREE,
}


def write_folder(folder, neff=37.5, **cases):
    """`cases.json` and a file for each case, from our own model with random parameters; returns the folder."""
    rows = []
    for number, (name, case) in enumerate(cases.items()):
        case = case | {"file": f"{name}.npz"}
        rng = np.random.default_rng(number)
        length, letters, size = (case[k] for k in ("seq_len", "alphabet_size", "batch_size"))
        model = DeepSequence(case_config(case), length, letters).double()
        for key, value in original_names(model).items():
            narrow = key.endswith("log_sigma") or key == "b_hsigma"
            noise = torch.from_numpy(rng.normal(size=tuple(value.shape)))
            value.copy_(torch.full_like(value, -50) if narrow else noise)
        original_names(model)["W_hsigma"].zero_()
        arrays = {f"param/{k}": v.numpy().copy() for k, v in original_names(model).items()}
        tokens = rng.integers(0, letters + 1, size=(7, size, length))
        hot = np.eye(letters + 1)[tokens][..., :letters]
        arrays |= {"x": hot[6], "update_x": hot[:6], "Neff": np.array(neff)}
        if case["cls"] == SVI["cls"]:
            arrays |= dict.fromkeys(("m1/W_hmu", "out/pattern_activations"), np.zeros(1))
        names = ("mu", "log_sigma", "elbo", "KLD_latent", "logpxz", "reconstruction")
        arrays |= {f"out/{k}": np.zeros(1) for k in names}
        known = Case(case, model, arrays)
        arrays |= forward_values(known) | update_values(known)
        np.savez(folder / case["file"], **arrays)
        rows.append(case)
    (folder / "cases.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("golden"), **VARIETY)


def change(folder, target, name, array, how):
    """Copy one case to `target` with one array changed by `how` (None: removed)."""
    case = next(c for c in golden_cases(folder) if c["file"] == f"{name}.npz")
    arrays = dict(np.load(folder / case["file"]))
    value = how(arrays.pop(array).copy())
    if value is not None:
        arrays[array] = value
    np.savez(target / case["file"], **arrays)
    (target / "cases.json").write_text(json.dumps([case]))
    return target


def nudge(value):
    """One entry, the largest, changed in its sixth digit."""
    flat = value.reshape(-1)
    flat[np.abs(flat).argmax()] += 3e-6 * (np.abs(flat).max() or 1)
    return value


def test_sizes_alphabets_layers_and_rates_of_other_folders_agree(folder):
    table = verify(folder)
    assert table.ok.all() and set(table.case) == set(VARIETY)
    assert set(table.quantity) == {quantity for quantity, _ in parity.QUANTITIES}


def all_inputs_and_some_results(case):
    model = DeepSequence(case_config(case), case["seq_len"], case["alphabet_size"])
    names = [*parity._expected_shapes({}, model), "update_history"]
    inputs = [name for name in names if not name.startswith(("after", "m", "v"))]
    return [*inputs, *[name for name in names if name not in inputs][::7]]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        (name, array)
        for name in ("plain", "mle")
        for array in all_inputs_and_some_results(VARIETY[name])
    ],
)
def test_a_changed_number_is_noticed(folder, tmp_path, name, array):
    assert not verify(change(folder, tmp_path, name, array, nudge)).ok.all()


def test_a_changed_letter_is_noticed_in_every_batch(folder, tmp_path):
    for batch in range(6):

        def swap(x, batch=batch):
            x[batch, 0, 0] = np.roll(np.eye(5)[0], 1 if x[batch, 0, 0, 0] else 0)
            return x

        assert not verify(change(folder, tmp_path, "plain", "update_x", swap)).ok.all()


@pytest.mark.parametrize(
    ("array", "how", "says"),
    [
        ("after2/b_hmu", lambda v: None, "after2/b_hmu is missing"),
        ("out/elbo", lambda v: v[:-1], "out/elbo has shape (3,), expected (4,)"),
        ("m1/b_hmu", lambda v: v * np.nan, "not a finite number"),
        ("update_history", lambda v: v[:19], "expected (20, 4)"),
        ("x", lambda v: v * 0.5, "x is not one-hot"),
        ("Neff", lambda v: -v, "Neff is not positive"),
        ("out/mu", lambda v: v.astype(object), "allow_pickle"),
        ("out/mu", lambda v: v.astype(complex), "not a finite number"),
    ],
)
def test_a_file_that_is_not_whole_fails_with_its_name(folder, tmp_path, array, how, says):
    table = verify(change(folder, tmp_path, "convolved", array, how))
    assert not table.ok.any() and "convolved.npz" in table.problem[0] and says in table.problem[0]


def test_an_array_that_nothing_is_compared_with_fails(folder, tmp_path):
    change(folder, tmp_path, "convolved", "x", lambda v: v)
    arrays = dict(np.load(tmp_path / "convolved.npz"))
    np.savez(tmp_path / "convolved.npz", **arrays, extra=np.zeros(2))
    assert "extra is not an array of this case" in verify(tmp_path).problem[0]


def test_a_damaged_file_fails(folder, tmp_path):
    change(folder, tmp_path, "convolved", "x", lambda v: v)
    data = bytearray((tmp_path / "convolved.npz").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "convolved.npz").write_bytes(bytes(data))
    assert not verify(tmp_path).ok.any()
    (tmp_path / "convolved.npz").write_bytes(b"nothing")
    assert not verify(tmp_path).ok.any()


def test_an_neff_that_nothing_depends_on_is_compared_with_the_other_cases(folder, tmp_path):
    write_folder(tmp_path, a=MLE, b=SVI, c=MLE | {"output_bias": False}, free=FREE)
    assert verify(tmp_path).ok.all()
    arrays = dict(np.load(tmp_path / "free.npz"))
    np.savez(tmp_path / "free.npz", **arrays | {"Neff": np.array(37.6)})
    table = verify(tmp_path)
    assert table[~table.ok].case.tolist() == ["free"]


@pytest.mark.parametrize(
    "text", ["[]", "{", '[{"x": 1}]', '[{"file": "a.npz"}]', '{"file": 1}', "null"]
)
def test_an_unusable_list_of_cases_is_one_error(tmp_path, text):
    (tmp_path / "cases.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"cases\.json"):
        golden_cases(tmp_path)


def test_moments_of_the_maximum_likelihood_class_are_compared_where_they_are_given(
    folder, tmp_path
):
    case = next(c for c in golden_cases(folder) if c["file"] == "mle.npz")
    arrays = dict(np.load(folder / "mle.npz"))
    known = read_case(folder, case)
    given = Case(case, known.model, known.arrays | {"m1/W_hmu": np.zeros(1)})
    arrays |= update_values(given)
    (tmp_path / "cases.json").write_text(json.dumps([case]))
    np.savez(tmp_path / "mle.npz", **arrays)
    table = verify(tmp_path)
    assert table.ok.all() and {"Adam m1", "Adam v20"} <= {*table.quantity}
    np.savez(tmp_path / "mle.npz", **arrays | {"m20/b_out": arrays["m20/b_out"] * 1.001})
    assert not verify(tmp_path).ok.all()


def test_a_setting_that_is_missing_or_random_is_one_error():
    with pytest.raises(CheckpointError, match="n_patterns"):
        case_config({"file": "a.npz", "cls": "VariationalAutoencoder"})
    with pytest.raises(CheckpointError, match="dropout"):
        case_config(MLE | {"dropout": True})


def test_the_latent_space_is_multiplied_where_there_is_no_decoder_layer():
    assert case_config(VARIETY["no_decoder"]).latent == 4
    assert case_config(SVI).decoder == (4, 6) and case_config(SVI).latent == 2


def test_differences_by_hand():
    assert relative_difference(np.array([1.0, 3.0]), np.array([1.0, 4.0])) == (0.25, 0.25)
    assert relative_difference(np.array([2.0, 4.0]), np.array([1.0, 4.0])) == (0.25, 1.0)
    assert relative_difference(np.zeros(2), np.zeros(2)) == (0.0, 0.0)
    assert relative_difference(np.array([np.nan]), np.ones(1)) == (np.inf, np.inf)


def test_verify_from_a_terminal_has_exit_codes(folder, tmp_path, capsys):
    assert parity.main(["verify", str(folder)]) == 0
    assert "9 cases: all agree" in capsys.readouterr().out
    change(folder, tmp_path, "plain", "v20/b_hmu", nudge)
    assert parity.main(["verify", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    bad = [row for row in report["comparisons"] if not row["ok"]]
    assert not report["ok"] and [row["quantity"] for row in bad] == ["Adam v20"]
    assert parity.main(["verify", str(tmp_path / "none")]) == 2
    command = [sys.executable, "-m", "deepseq_nb.peers.parity", "verify", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "1 cases: 1 DIFFER" in done.stdout


def test_read_case_builds_in_double_precision(folder):
    case = read_case(folder, golden_cases(folder)[0])
    assert all(p.dtype == torch.float64 for p in case.model.parameters())
