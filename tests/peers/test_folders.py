"""Simple models in folders: what is loaded scores the same to the bit, and what is no model is refused in one sentence."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_potts import random_model

from deepseq_nb.core.errors import CheckpointError, ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.model.runs import load_run
from deepseq_nb.peers import folders
from deepseq_nb.peers.potts import Potts
from deepseq_nb.peers.sites import SiteIndependent

WEIGHTS = np.array([1.0, 0.5, 0.25, 2.0])
VARIANTS = ["A5G", "C6U", "A5G:C6U", "A5A", "A6G"]


@pytest.fixture(scope="module")
def rna():
    rows = ["ACG", "ACG", "AUG", "G-G"]
    return Alignment.from_strings(rows, names=["seq/5-7", "b", "c", "d"], alphabet="rna")


@pytest.fixture(scope="module")
def models(rna):
    return {
        "SiteIndependent": SiteIndependent.fit(rna, WEIGHTS, pseudocount=0.7, theta=0.2),
        "Potts": Potts.fit(rna, WEIGHTS, lambda_j=0.5, theta=0.2),
    }


@pytest.fixture(scope="module")
def saved(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: model.save(folder / name) for name, model in models.items()}


@pytest.mark.parametrize("name", ["SiteIndependent", "Potts"])
def test_a_loaded_model_scores_the_same_to_the_bit(models, saved, name):
    again = type(models[name]).load(saved[name])
    assert again.score(VARIANTS).equals(models[name].score(VARIANTS))
    assert again.focus_map == models[name].focus_map


def test_a_loaded_potts_model_has_its_arrays_its_trace_and_its_verdict(models, saved):
    model, again = models["Potts"], Potts.load(saved["Potts"])
    for name in ("fields", "couplings"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
        assert getattr(again, name).dtype == getattr(model, name).dtype
    assert again.trace.equals(model.trace) and again.converged is model.converged is True


def test_a_model_that_is_not_settled_is_still_not_settled_when_loaded(rna, tmp_path):
    with pytest.warns(UserWarning, match="not settled"):
        model = Potts.fit(rna, WEIGHTS, lambda_j=0.5, max_steps=1, tolerance=1e-12)
    assert Potts.load(model.save(tmp_path / "m")).converged is False


def test_a_folder_says_what_family_it_is_of(rna, models, saved):
    about = json.loads((saved["Potts"] / "alignment.json").read_text())
    assert about["checksum"] == rna.checksum and about["theta"] == 0.2
    assert about["neff"] == WEIGHTS.sum() and about["sequences"] == 4
    assert (about["lambda_h"], about["lambda_j"]) == (0.01, 0.5)
    assert Potts.load(saved["Potts"]).about == models["Potts"].about
    assert SiteIndependent.load(saved["SiteIndependent"]).pseudocount == 0.7


def test_a_model_made_by_hand_is_kept_without_a_family(rna, tmp_path):
    h, J = random_model(3, 4, seed=1)
    h, J = h.astype(np.float32), J.astype(np.float32)
    model = Potts(fields=h, couplings=J, focus_map=rna.focus_map)
    again = Potts.load(model.save(tmp_path / "m"))
    assert again.trace is None and again.about == {} and again.couplings.dtype == np.float32
    np.testing.assert_array_equal(again.couplings, J)


def test_a_saved_model_is_not_overwritten_unless_asked(models, tmp_path):
    model = models["SiteIndependent"]
    model.save(tmp_path / "m")
    with pytest.raises(ConfigError, match=r"already holds a SiteIndependent model.*overwrite=True"):
        models["Potts"].save(tmp_path / "m")
    models["Potts"].save(tmp_path / "m", overwrite=True)
    assert Potts.load(tmp_path / "m").score(VARIANTS).equals(models["Potts"].score(VARIANTS))


@pytest.mark.parametrize("text", ['{"model": {}, "train": {}}', "[1]", "{", '"kind"'])
def test_a_run_or_a_foreign_folder_is_never_written_over(models, tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match="choose another folder"):
        models["SiteIndependent"].save(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_file_is_no_folder(models, tmp_path):
    (tmp_path / "m").write_text("")
    with pytest.raises(ConfigError, match="is a file, expected a folder"):
        models["SiteIndependent"].save(tmp_path / "m")


@pytest.mark.parametrize("cut", ["alignment.json", "config.json"])
def test_an_interrupted_overwrite_leaves_the_old_model(models, tmp_path, monkeypatch, cut):
    model, write = models["SiteIndependent"], folders.write_atomic
    model.save(tmp_path / "m")

    def power_cut(path, data, **how):
        if path.name == cut:
            raise KeyboardInterrupt
        return write(path, data, **how)

    monkeypatch.setattr(folders, "write_atomic", power_cut)
    with pytest.raises(KeyboardInterrupt):
        models["Potts"].save(tmp_path / "m", overwrite=True)
    again = SiteIndependent.load(tmp_path / "m")
    np.testing.assert_array_equal(again.score().score, model.score().score)
    assert len(list((tmp_path / "m").iterdir())) == 3


def test_a_model_that_has_half_arrived_is_none(models, tmp_path, monkeypatch):
    models["SiteIndependent"].save(tmp_path / "m")
    replace = os.replace

    def power_cut(old, new):
        if Path(new) == tmp_path / "m" / "config.json":
            raise KeyboardInterrupt
        return replace(old, new)

    monkeypatch.setattr(folders.os, "replace", power_cut)
    with pytest.raises(KeyboardInterrupt):
        models["Potts"].save(tmp_path / "m", overwrite=True)
    for kind in (SiteIndependent, Potts):
        with pytest.raises(CheckpointError, match="which a finished `save` writes last"):
            kind.load(tmp_path / "m")


def flip(path):
    data = bytearray(path.read_bytes())
    data[-2] ^= 4
    path.write_bytes(data)


def edit_config(**changes):
    def edit(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return edit


DAMAGE = {
    "a flipped bit": (lambda f: flip(f / "parameters.safetensors"), "not the file that was saved"),
    "half the parameters": (
        lambda f: (f / "parameters.safetensors").write_bytes(
            (f / "parameters.safetensors").read_bytes()[:200]
        ),
        "not the file that was saved",
    ),
    "another residue map": (lambda f: flip(f / "alignment.json"), "not the file that was saved"),
    "no parameters": (lambda f: (f / "parameters.safetensors").unlink(), "lacks parameters"),
    "no alignment": (lambda f: (f / "alignment.json").unlink(), "lacks alignment.json"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "no object with named values"),
    "a run": (
        lambda f: (f / "config.json").write_text('{"model": {}, "train": {}}'),
        "holds a run, not a SiteIndependent model: load it with load_run",
    ),
    "the other model": (edit_config(kind="Potts"), "load it with Potts.load"),
    "a foreign configuration": (
        lambda f: (f / "config.json").write_text('{"name": "x"}'),
        "was not written by `save`",
    ),
    "no settings": (edit_config(settings={}), "pseudocount"),
    "odd settings": (edit_config(settings={"pseudocount": "much"}), "pseudocount"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_or_foreign_folder_is_refused_in_one_sentence(saved, tmp_path, name):
    damage, says = DAMAGE[name]
    folder = shutil.copytree(saved["SiteIndependent"], tmp_path / "m")
    damage(folder)
    with pytest.raises(CheckpointError, match=says) as caught:
        SiteIndependent.load(folder)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["SiteIndependent", "Potts"])
def test_load_run_says_which_model_a_folder_holds(saved, name):
    with pytest.raises(CheckpointError, match=f"holds a {name} model, not a run: .*{name}.load"):
        load_run(saved[name])


def test_how_the_alignment_was_read_is_kept(tmp_path, family):
    alignment = Alignment.read(family, unknown="gap", max_sequence_gaps=0.5)
    about = SiteIndependent.load(SiteIndependent.fit(alignment).save(tmp_path / "m")).about
    assert about["options"] == alignment.options.to_json()
    assert about["options"]["unknown"] == "gap" and about["source"] == str(family)


def test_arrays_that_do_not_fit_the_residue_map_are_refused(rna, models, tmp_path):
    model, arrays = models["SiteIndependent"], {"log_frequencies": np.zeros((2, 4))}
    settings = {"pseudocount": 1.0}
    folders.save_model(tmp_path, "SiteIndependent", settings, arrays, model.focus_map, {})
    with pytest.raises(CheckpointError, match=r"shape \(2, 4\), the residue map asks for \(3, 4\)"):
        SiteIndependent.load(tmp_path)
