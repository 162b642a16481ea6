"""Parity with the original: the comparison catches any change, and its parameter files are read without running them."""

import json
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_family import TINY

from deepseq_nb.cli.main import main as cli
from deepseq_nb.core.errors import CheckpointError, ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.model.network import DeepSequence, ModelConfig
from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.runs import fit
from deepseq_nb.model.training import AdamOriginal, TrainConfig
from deepseq_nb.peers import parity, pickles, theano
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
from deepseq_nb.peers.pickles import load_original_parameters
from deepseq_nb.peers.theano import (
    export_original,
    import_original,
    infer_config,
    original_model,
    original_names,
)
from deepseq_nb.scores.scoring import score

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


def test_names_are_views_of_the_model():
    model = DeepSequence(TINY, 5, 20)
    original_names(model)["W_encode_0"].fill_(2.0)
    assert (model.encoder.layers[0].weight == 2).all()
    assert original_names(model)["W_encode_0"].shape == (100, 16)


# reading the original's parameters


def number(n):
    return b"J" + struct.pack("<i", n)


def array_opcodes(array, protocol=2, module=b"numpy.core.multiarray"):
    """Instructions that rebuild an array, as cPickle of Python 2 wrote them."""

    def string(data):
        if protocol == 0:
            return b"S" + repr(data)[1:].encode() + b"\n"
        return b"T" + struct.pack("<i", len(data)) + data

    integers = (lambda n: b"I%d\n" % n) if protocol == 0 else number
    order = array.dtype.str[:1].encode()
    shape = b"(" + b"".join(integers(n) for n in array.shape) + b"t"
    build = b"c" + module + b"\n_reconstruct\n(cnumpy\nndarray\n(" + integers(0) + b"t"
    build += string(b"b") + b"tR(" + integers(1) + shape
    build += b"cnumpy\ndtype\n(" + string(array.dtype.str[1:].encode()) + integers(0) + integers(1)
    build += b"tR(" + integers(3) + string(order) + b"NNN" + integers(-1) * 2 + integers(0) + b"tb"
    build += (b"I00\n" if protocol < 2 else b"\x89") + string(array.tobytes()) + b"tb"
    return build


def python2_pickle(arrays, protocol=2, **options):
    """A dictionary of arrays as Python 2 pickled it."""
    out = (b"\x80\x02" if protocol == 2 else b"") + (b"}" if protocol else b"(d")
    for name, array in arrays.items():
        key = (
            b"S'%s'\n" % name.encode()
            if protocol == 0
            else b"U" + bytes([len(name)]) + name.encode()
        )
        out += key + array_opcodes(array, protocol, **options) + b"s"
    return out + b"."


@pytest.fixture
def load(tmp_path):
    """Write bytes as a parameter file and read it."""

    def read(data):
        path = tmp_path / "P_params.pkl"
        path.write_bytes(data)
        return load_original_parameters(path)

    return read


ARRAYS = {
    "W": np.arange(6.0).reshape(2, 3) - 1.5,
    "b": np.array([0.5, -2.25], np.float32),
    "big-endian": np.array([1.0, 300.0], ">f8"),
}


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_of_python_2_are_read(load, protocol, module):
    found = load(python2_pickle(ARRAYS, protocol, module=module))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype.isnative and found[name].dtype.itemsize == array.itemsize


def test_our_hand_made_pickles_are_what_pickle_understands():
    found = pickle.loads(python2_pickle(ARRAYS, 2), encoding="latin1")
    np.testing.assert_array_equal(found["W"], ARRAYS["W"])


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_pickles_that_python_3_made_are_read(load, protocol):
    arrays = {"W": np.asfortranarray(ARRAYS["W"]), "s": np.array(2.5)}
    found = load(pickle.dumps(arrays, protocol))
    np.testing.assert_array_equal(found["W"], arrays["W"])
    assert found["s"].shape == () and found["s"] == 2.5


class Hostile:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


class Subclass(np.ndarray):
    """An array with a class of its own."""


def hostile_pickles(marker):
    """Files that would leave `marker` behind, or worse, if anything in them ran."""
    command = f"touch {marker}"
    good = python2_pickle({"W": ARRAYS["W"]})
    for protocol in range(5):
        yield f"system {protocol}", pickle.dumps({"W": Hostile(os.system, command)}, protocol)
    yield "eval", pickle.dumps(Hostile(eval, f"open({str(marker)!r}, 'w')"), 2)
    yield "Popen", pickle.dumps([{"a": (Hostile(subprocess.Popen, ["touch", str(marker)]),)}], 2)
    yield "inside an array", pickle.dumps({"W": np.array([Hostile(os.system, command)], object)}, 2)
    yield "INST", b"(S'" + command.encode() + b"'\nios\nsystem\n."
    yield "OBJ", b"(cos\nsystem\nS'" + command.encode() + b"'\no."
    yield "NEWOBJ", b"\x80\x02cos\nsystem\nU\x01x\x85\x81."
    yield "STACK_GLOBAL", b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R."
    yield "dotted name", b"\x80\x04\x8c\x05numpy\x8c\x0frandom.rand.foo\x93."
    yield "numpy.load", b"cnumpy\nload\n(S'x'\ntR."
    yield "another home", b"cos\n_reconstruct\n."
    yield "persistent", b"Pos.system\n."
    yield "persistent, binary", b"\x80\x02U\x01xQ."
    yield "extension 1", b"\x80\x02\x82\x01."
    yield "extension 4", b"\x80\x02\x84\x01\x00\x00\x00."
    yield (
        "state of a function",
        b"cnumpy\ndtype\n(S'f8'\ntRcnumpy\nndarray\n}U\x06__call__cnumpy\ndtype\nsb.",
    )
    yield "slot state", b"cnumpy\nndarray\n(N}U\x05_callU\x01xstb."
    yield "ndarray called", b"cnumpy\nndarray\n((J\xff\xff\xff\x7fttR."
    yield (
        "reconstruct a dtype",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(K\x00tU\x01btR.",
    )
    yield "subclass", pickle.dumps({"W": np.zeros(2).view(Subclass)}, 2)
    yield "objects", pickle.dumps({"W": np.array([{}], object)}, 2)
    yield "text", pickle.dumps({"W": np.array(["a"])}, 2)
    yield "fields", pickle.dumps({"W": np.zeros(1, [("a", "f8")])}, 2)
    meta = np.zeros(1, np.dtype("f8", metadata={"a": 1}))
    yield "metadata", pickle.dumps({"W": meta}, 2)
    yield "dates", pickle.dumps({"W": np.zeros(1, "M8[s]")}, 2)
    yield "a huge shape", good.replace(number(3), number(2**31 - 1))
    yield "a negative shape", good.replace(number(2) + number(3), number(-2) + number(-3))
    yield "memo number", b"\x80\x02}r\xff\xff\xff\xff."
    yield "memo number, text", b"(dp4294967295\n."
    yield "a huge string", b"\x80\x02T\xff\xff\xff\x7fabc."
    yield "very many instructions", b"(" + b"N0" * 150_000 + b"d."
    one = (
        b"T" + struct.pack("<i", 8000) + bytes(8000) + b"q\x010}"
    )  # one string, used by many arrays
    template = array_opcodes(np.zeros(1000)).replace(one[:8005], b"h\x01")
    many = b"".join(b"U\x03%03d" % i + template + b"s" for i in range(30))
    yield "one string as many arrays", b"\x80\x02" + one + many + b"."
    yield "number as key", b"\x80\x02}K\x01" + array_opcodes(np.zeros(2)) + b"s."
    yield "number as value", pickle.dumps({"W": 1.0}, 2)
    yield (
        "an unfinished array",
        b"\x80\x02}U\x01Wcnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\ntRs.",
    )
    yield "a list", pickle.dumps([np.zeros(2)], 2)
    yield "an empty dictionary", pickle.dumps({}, 2)
    yield "not finite", python2_pickle({"W": np.array([np.nan])})
    yield "cut short", good[:-30]
    yield "no end", good[:-1]
    yield "nothing", b""
    yield "text file", b">a\nMKV\n"
    yield "npz", b"PK\x03\x04" + bytes(30)
    yield "deep", b"\x80\x02" + b"]" * 100_000 + b"."
    yield "a long number", b"I" + b"9" * 100_000 + b"\n."


NAMES = [name for name, _ in hostile_pickles("marker")]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_or_broken_file_is_refused_and_nothing_runs(load, tmp_path, name):
    marker = tmp_path / "marker"
    with pytest.raises(
        CheckpointError, match=r"P_params\.pkl: (refused, because|not a pickle)"
    ) as error:
        load(dict(hostile_pickles(marker))[name])
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert not marker.exists()


@given(edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("protocol", [0, 2])
def test_a_file_with_flipped_bytes_is_read_or_refused(tmp_path_factory, protocol, edits):
    data = bytearray(python2_pickle(ARRAYS, protocol))
    for at, value in edits:
        data[at % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "flipped.pkl"
    path.write_bytes(bytes(data))
    try:
        found = load_original_parameters(path)
    except CheckpointError:
        return
    assert all(type(array) is np.ndarray for array in found.values())


def test_one_load_leaves_no_trace_in_the_next(load):
    for data in dict(hostile_pickles("marker")).values():
        with pytest.raises(CheckpointError):
            load(data)
    np.testing.assert_array_equal(load(python2_pickle(ARRAYS))["W"], ARRAYS["W"])


def test_a_missing_file_and_a_file_too_large_are_named(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=r"none\.pkl: No such file"):
        load_original_parameters(tmp_path / "none.pkl")
    monkeypatch.setattr(pickles, "_BYTES", 10)
    (tmp_path / "big.pkl").write_bytes(bytes(11))
    with pytest.raises(CheckpointError, match="larger than"):
        load_original_parameters(tmp_path / "big.pkl")


# from shapes to a model


def parameters(config, length=12, letters=20):
    names = original_names(DeepSequence(config, length, letters))
    return {name: value.numpy().copy() for name, value in names.items()}


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, patterns=3, encoder_conv=4, temperature=False, output_bias=False),
        replace(TINY, conv=0, encoder=(9, 8, 7), decoder=(4,), patterns=1),
        replace(TINY, conv=0, decoder=(), latent=4, patterns=2, output_bias=False),
        replace(TINY, weights="point"),
        replace(TINY, weights="point", conv=0, encoder=()),
    ],
)
def test_architecture_is_inferred_from_shapes(config):
    assert infer_config(parameters(config), 12, 20, replace(TINY)) == config
    bare = replace(config, sparsity=SparsityPrior(kind="none"), patterns=1)
    assert infer_config(parameters(bare), 12, 20) == replace(bare)


def test_what_shapes_cannot_tell_is_the_originals_choice_unless_given():
    found = infer_config(parameters(TINY), 12, 20)
    assert found.sparsity == SparsityPrior(kind="logit", logit_p=0.001)
    assert (found.decoder_nonlinearity, found.final_nonlinearity) == ("relu", "sigmoid")
    base = ModelConfig(sparsity=SparsityPrior(kind="ard"), final_nonlinearity="elu")
    given = infer_config(parameters(TINY), 12, 20, base)
    assert given.sparsity.kind == "ard" and given.final_nonlinearity == "elu"


@pytest.mark.parametrize("conv", [5, 0])
def test_another_alignment_is_refused_with_both_sizes(conv):
    arrays = parameters(replace(TINY, conv=conv))
    with pytest.raises(CheckpointError, match=r"12 columns of 20 letters.* has 13 columns of 20"):
        infer_config(arrays, 13, 20)
    with pytest.raises(CheckpointError, match=r"12 columns of 20 letters.* has 12 columns of 4"):
        infer_config(arrays, 12, 4)


@pytest.mark.parametrize("weights", ["variational", "point"])
def test_parameters_without_convolution_and_scales_know_their_alignment(weights):
    config = replace(TINY, conv=0, sparsity=SparsityPrior(kind="none"), weights=weights)
    with pytest.raises(CheckpointError, match=r"12 columns of 20 letters|W_"):
        original_model(parameters(config), 13, 20)
    with pytest.raises(CheckpointError):
        original_model(parameters(config), 60, 4 + 1)


def test_a_parameter_that_is_missing_odd_or_misshapen_is_named():
    arrays = parameters(TINY)
    without = {k: v for k, v in arrays.items() if k != "b_hmu"}
    with pytest.raises(CheckpointError, match=r"b_hmu: found none, expected \(3,\)"):
        original_model(without, 12, 20)
    with pytest.raises(CheckpointError, match="extra: found"):
        original_model(arrays | {"extra": np.zeros(1)}, 12, 20)
    with pytest.raises(CheckpointError, match="b_hmu: found"):
        original_model(arrays | {"b_hmu": np.zeros(4)}, 12, 20)
    with pytest.raises(CheckpointError, match="W_hmu"):
        original_model({k: v for k, v in arrays.items() if k != "W_hmu"}, 12, 20)
    with pytest.raises(CheckpointError, match="sparsity cannot be 'none'"):
        infer_config(arrays, 12, 20, ModelConfig(sparsity=SparsityPrior(kind="none")))


@pytest.mark.parametrize(
    "name", ["W_out-mu", "W_out_scale-mu", "W_conv-mu", "W_decode_0-mu", "W_hmu"]
)
@pytest.mark.parametrize("shape", [(), (0,), (0, 0), (1, 1), (7, 0), (5, 5, 5)])
def test_odd_shapes_are_refused_in_words(name, shape):
    with pytest.raises(CheckpointError):
        original_model(parameters(TINY) | {name: np.zeros(shape)}, 12, 20)


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "run.npz"
    return dict(np.load(export_original(tiny_run, path), allow_pickle=False))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back_scores_the_same(tiny_run, exported, alignment, tmp_path, dtype):
    arrays = {name: value.astype(dtype) for name, value in exported.items()}
    (tmp_path / "p_params.pkl").write_bytes(python2_pickle(arrays))
    run = import_original(
        tmp_path / "p_params.pkl", alignment, tmp_path / "run", tiny_run.model_config
    )
    assert run.model_config == tiny_run.model_config and run.steps == 0
    ours, theirs = (score(r, samples=3, progress=False).score for r in (tiny_run, run))
    if dtype == np.float32:
        assert ours.equals(theirs)
    else:
        assert run.model.encoder.mu.weight.dtype == torch.float64 and len(theirs.dropna()) == len(
            ours
        )


def test_an_imported_run_is_not_overwritten_or_resumed(exported, alignment, tmp_path):
    (tmp_path / "p_params.pkl").write_bytes(python2_pickle(exported))
    run = import_original(tmp_path / "p_params.pkl", alignment, tmp_path / "run")
    with pytest.raises(ConfigError, match="--overwrite"):
        import_original(tmp_path / "p_params.pkl", alignment, tmp_path / "run")
    import_original(tmp_path / "p_params.pkl", alignment, tmp_path / "run", overwrite=True)
    with pytest.raises(CheckpointError, match="cannot be continued"):
        fit(alignment, run.model_config, run.train_config, tmp_path / "run", resume=True)


def command(capsys, *words):
    capsys.readouterr()
    code = cli([str(word) for word in words])
    return code, *capsys.readouterr()


def test_the_commands_exchange_parameters(tiny_run, family, tmp_path, capsys):
    code, out, _ = command(capsys, "export-original", tiny_run.path, "--out", tmp_path / "p.npz")
    assert code == 0 and "p.npz" in out
    pickled = tmp_path / "p_params.pkl"
    pickled.write_bytes(python2_pickle(dict(np.load(tmp_path / "p.npz"))))
    words = ("import-original", pickled, "--alignment", family, "--out", tmp_path / "run")
    code, out, _ = command(capsys, *words, "--logit-p", "0.01", "--final-nonlinearity", "tanh")
    assert code == 0 and "next: deepseq score" in out and "final nonlinearity tanh" in out
    config = json.loads((tmp_path / "run" / "config.json").read_text())["model"]
    assert config["final_nonlinearity"] == "tanh" and config["sparsity"]["logit_p"] == 0.01
    words = ("score", tmp_path / "run", "--all-singles", "--samples", 2, "--device", "cpu")
    assert command(capsys, *words, "--out", tmp_path / "s.csv")[0] == 0
    words = (
        "plot",
        tmp_path / "run",
        "--scores",
        tmp_path / "s.csv",
        "--out",
        tmp_path / "figures",
    )
    assert command(capsys, *words)[0] == 0


def test_bad_input_of_the_commands_is_one_line(family, tmp_path, capsys):
    (tmp_path / "x_params.pkl").write_bytes(b"cos\nsystem\n(S'x'\ntR.")
    words = (
        "import-original",
        tmp_path / "x_params.pkl",
        "--alignment",
        family,
        "--out",
        tmp_path / "r",
    )
    for more, says in (
        ((), "refused"),
        (("--logit-p", "2"), "logit_p"),
        (("--theta", "0.8"), "0.2"),
    ):
        code, _, error = command(capsys, *words, *more)
        assert code == 2 and error.count("\n") == 1 and says in error
    assert not (tmp_path / "r").exists()
    assert command(capsys, "export-original", tmp_path, "--out", tmp_path / "p.npz")[0] == 2


# faults of the original: ours does otherwise


def test_a_position_is_the_residue_asked_for__deepsequence_12_and_3(tiny_run, alignment):
    # residues 13 and 14 are not modelled: the original, asked for 15, would change 17
    focus_map = tiny_run.focus_map
    asked = focus_map.residues[2]
    assert asked == 15 and focus_map.residues[asked - focus_map.start] == 17
    wild = focus_map.sequence[2]
    table = score(tiny_run, [f"{wild}15{wild}", f"{wild}15W", "C17W"], samples=2, progress=False)
    assert table.score[0] == 0 and table.score[1] != 0
    assert list(table.status) == ["ok", "ok", "wild type differs"]
    assert alignment.focus_map.column(15) == 2


def test_records_of_one_name_stay_apart():
    found = Alignment.from_strings(["MKVL", "MKIL", "MRVL"], ["focus", "hit", "hit"])
    assert found.decode(found.tokens) == ["MKVL", "MKIL", "MRVL"]


def test_a_gap_in_the_focus_is_not_a_column():
    found = Alignment.from_strings(["MK-vL", "MKAvL"], ["focus/1-4", "a"])
    assert found.residues.tolist() == [1, 2, 4]


def test_a_row_of_gaps_does_not_weigh_infinitely():
    rows = np.array([[0, 1, 2], [0, 1, 2], [20, 20, 20]], np.uint8)
    weights = sequence_weights(rows, 0.2, gap=20)
    assert weights[:2].tolist() == [0.5, 0.5] and np.isfinite(weights).all()


def test_a_model_the_original_does_not_have_is_not_exported():
    config = ModelConfig(
        encoder=(4,), latent=2, decoder=(3, 4), patterns=2, conv=0, site_prior=True
    )
    with pytest.raises(ConfigError, match="site_prior"):
        theano.original_names(DeepSequence(config, 3, 4))


def test_building_models_does_not_widen_the_next():
    config = ModelConfig(encoder=(4,), latent=2, decoder=(3, 4), patterns=2, conv=0)
    widths = [DeepSequence(config, 3, 4).decoder.weights["W_out"].mu.shape[0] for _ in range(3)]
    assert widths == [4, 4, 4] and config.decoder == (3, 4)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (AdamOriginal, (0.3162, 0.3162, 0.3162)),
        (torch.optim.Adam, (0.3162, 0.1532, 0.2220)),
    ],
)
def test_only_the_originals_adam_stands_still(make, expected):
    p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser, factors = make([p], lr=0.001), []
    for update in range(1, 51):
        p.grad, before = torch.ones_like(p), p.item()
        optimiser.step()
        m, v = 1 - 0.9**update, 1 - 0.999**update
        factors.append((before - p.item()) * v**0.5 / (0.001 * m))
    assert [factors[i - 1] for i in (1, 10, 50)] == pytest.approx(expected, abs=1e-4)
    assert TrainConfig().optimizer == "adam"


def test_an_alignment_takes_one_byte_a_letter(alignment):
    assert alignment.tokens.nbytes == alignment.tokens.size


def test_read_case_builds_in_double_precision(folder):
    case = read_case(folder, golden_cases(folder)[0])
    assert all(p.dtype == torch.float64 for p in case.model.parameters())
