"""Parameter files of the original: read where they are arrays, refused and never run where they are anything else."""

import os
import pickle
import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python2_pickles import array_opcodes, number, python2_pickle

from deepseq_nb.core.errors import CheckpointError
from deepseq_nb.peers import pickles
from deepseq_nb.peers.pickles import load_original_parameters


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
