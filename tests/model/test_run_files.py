"""What a run's files may look like, and what is said of a folder that is damaged."""

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_family import QUICK, TINY, same

from deepseq_nb.core.errors import CheckpointError, ConfigError, DeepseqError, ResourceError
from deepseq_nb.model import run_files
from deepseq_nb.model.run_files import load_tensors, save_tensors
from deepseq_nb.model.runs import fit, load_run
from deepseq_nb.scores.scoring import score

LONGER = replace(QUICK, steps=31)
VARIANTS = ["A15C", "G17D"]


@pytest.fixture(scope="module")
def whole(alignment, tmp_path_factory):
    """A finished run, which tests copy and leave alone."""
    return fit(alignment, TINY, QUICK, tmp_path_factory.mktemp("whole") / "run").path


@pytest.fixture
def run(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "run"))


def rewrite(path: Path, tensors: dict, about: object) -> None:
    """A safetensors file as another program would write it: without our checksum."""
    header = {"deepseq_nb": json.dumps(about)}
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    path.write_bytes(safetensors.torch.save(tensors, header))


def one_sentence(error: Exception) -> bool:
    return "\n" not in str(error) and 0 < len(str(error)) < 1200


# tensors


def test_any_flipped_bit_of_a_models_numbers_is_refused(run):
    path = run / "model.safetensors"
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")  # the header's length, then the header
    for place in np.random.default_rng(1).integers(start, len(content), 40):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(place) % 8
        path.write_bytes(damaged)
        with pytest.raises(
            CheckpointError, match=r"model\.safetensors does not hold what was saved"
        ):
            load_run(run)


def test_a_changed_header_is_refused(run):
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'\\"step\\": 30', b'\\"step\\": 31'))
    with pytest.raises(CheckpointError, match="checksum differs"):
        load_run(run)


def test_a_file_without_a_checksum_is_loaded_as_before(run, whole):
    path = run / "model.safetensors"
    rewrite(path, *load_tensors(path))
    assert same(load_run(run), load_run(whole))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_parameter_that_is_not_finite_is_refused_by_name(run, bad):
    path = run / "model.safetensors"
    tensors, about = load_tensors(path)
    tensors["encoder.mu.weight"][0, 0] = bad
    rewrite(path, tensors, about)
    with pytest.raises(CheckpointError, match=r"encoder\.mu\.weight has a number that is not fin"):
        load_run(run)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_parameters_of_another_type_are_refused_by_name(run, kind):
    path = run / "model.safetensors"
    tensors, about = load_tensors(path)
    rewrite(path, {name: value.to(kind) for name, value in tensors.items()}, about)
    with pytest.raises(CheckpointError, match="expected float32"):
        load_run(run)


@pytest.mark.parametrize("about", [[], 1, None, {}, {"checksum": 1}, {"checksum": "0" * 64}])
def test_a_header_that_says_something_else_is_one_sentence(run, about):
    for name in ("model.safetensors", "checkpoint/state.safetensors"):
        rewrite(run / name, load_tensors(run / name)[0], about)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_run(run)
    (run / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"state\.safetensors"):
        load_run(run)


def test_the_model_of_a_run_with_another_seed_is_refused(run, alignment, tmp_path):
    other = fit(alignment, TINY, replace(QUICK, seed=2), tmp_path / "other").path
    shutil.copy(other / "model.safetensors", run / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"of a run with seed 2, config\.json of one with 1"):
        load_run(run)


# the checkpoint


def damaged_state(run: Path, change) -> None:
    path = run / "checkpoint/state.safetensors"
    tensors, about = load_tensors(path)
    change(tensors)
    rewrite(path, tensors, about)


CHANGES = {
    "a moment is lacking": lambda t: t.pop("adam.exp_avg.encoder.mu.weight"),
    "half a moment": lambda t: t.update(
        {"adam.exp_avg.encoder.mu.weight": t["adam.exp_avg.encoder.mu.weight"].half()}
    ),
    "a moment of nothing": lambda t: t["adam.exp_avg_sq.encoder.mu.weight"].fill_(torch.nan),
    "a moment of another shape": lambda t: t.update(
        {"adam.exp_avg.encoder.mu.weight": torch.zeros(3)}
    ),
    "a step of another type": lambda t: t.update(
        {"adam.step.encoder.mu.weight": torch.tensor([1, 2])}
    ),
    "an odd name": lambda t: t.update({"adam.x": torch.zeros(1)}),
    "no history": lambda t: t.pop("history"),
    "half the history": lambda t: t.update({"history": t["history"][:15].clone()}),
    "a flat history": lambda t: t.update({"history": t["history"].flatten()}),
    "a history of another type": lambda t: t.update({"history": t["history"].half()}),
    "no steps of the ranking": lambda t: t.pop("ranking.steps"),
    "a ranking of another size": lambda t: t.update({"ranking.rows": torch.zeros(2, 2)}),
    "a parameter is lacking": lambda t: t.pop("model.encoder.mu.weight"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_that_lacks_something_is_not_continued(run, alignment, name):
    damaged_state(run, CHANGES[name])
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(CheckpointError, match=r"state\.safetensors") as caught:
        fit(alignment, TINY, LONGER, run, resume=True)
    assert one_sentence(caught.value)
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


# tables that no score needs

TABLES = {
    "empty": b"",
    "a row too long": b"step,loss\n1,2\n1,2,3,4\n",
    "other columns": b"a,b\n1,2\n",
    "text": None,
    "no text": bytes(range(128, 256)),
    "nothing but zeros": bytes(300),
}


@pytest.mark.parametrize("file", ["history.csv", "ranking.csv"])
@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_table_is_warned_of_and_the_checkpoints_own_is_taken(run, whole, file, name):
    good = load_run(whole)
    content = TABLES[name]
    if content is None:
        lines = (run / file).read_text().splitlines()
        content = "\n".join([lines[0], ",".join(["text"] * len(lines[0].split(",")))]).encode()
    (run / file).write_bytes(content)
    with pytest.warns(UserWarning, match=f"{file} is not as written"):
        loaded = load_run(run)
    assert same(loaded, good)
    assert loaded.history.equals(good.history) and loaded.ranking.equals(good.ranking)
    (run / "checkpoint/state.safetensors").unlink()
    with pytest.warns(UserWarning, match="scores do not need it"):
        loaded = load_run(run)
    assert len(loaded.history if file == "history.csv" else loaded.ranking) == 0


def test_a_history_that_was_not_written_any_more_is_written_by_resume(run, whole, alignment):
    lines = (run / "history.csv").read_text().splitlines(keepends=True)
    (run / "history.csv").write_text("".join(lines[:11]))  # as after the checkpoint before
    (run / "model.safetensors").unlink()
    fit(alignment, TINY, QUICK, run, resume=True)
    assert (run / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


# JSON

VALUES = (None, -1, 0, 1.5, 1e308, 10**400, "x", "", [], {}, [1], True, "9" * 300, {"a": {"b": 1}})


def places(value: object, here: tuple = ()) -> list[tuple]:
    """All places of a JSON value, of a list the first three."""
    found = [here]
    items = value.items() if isinstance(value, dict) else ()
    items = list(enumerate(value))[:3] if isinstance(value, list) else items
    for key, inner in items:
        found += places(inner, (*here, key))
    return found


def put(data: object, place: tuple, value: object) -> object:
    if not place:
        return value
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return data


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_to_a_json_file_is_one_sentence_or_the_same_scores(data, whole, tmp_path):
    """The issue's attack, small: benchmarks/faults.py has the thousand folders."""
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(whole, run)
    name = data.draw(st.sampled_from(["config.json", "alignment.json"]))
    content = json.loads((run / name).read_text())
    place = data.draw(st.sampled_from(places(content)))
    value = data.draw(st.sampled_from(VALUES))
    (run / name).write_text(json.dumps(put(content, place, value)))
    try:
        loaded = load_run(run)
        table = score(loaded, VARIANTS, samples=5)
    except DeepseqError as error:
        assert one_sentence(error)
        return
    assert np.isfinite(table.score).all()
    assert len(loaded.verdict) > 0
    weights = load_run(whole).model.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in loaded.model.state_dict().items())


def test_a_number_of_the_family_that_was_changed_by_hand_is_noticed(run):
    """Case 571 of benchmarks/faults.py: another occupancy stood beside the scores."""
    text = (run / "alignment.json").read_text()
    about = json.loads(text)
    about["focus_map"]["occupancy"][3] = 0.5
    (run / "alignment.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match=r"alignment.json .* a value in it was changed"):
        load_run(run)
    del about["digest"]  # as earlier versions wrote it
    (run / "alignment.json").write_text(json.dumps(about))
    assert load_run(run).steps > 0
    (run / "alignment.json").write_text(text)
    assert load_run(run).steps > 0


@pytest.mark.parametrize("stopped", [7, {"updates": {}}, {"updates": -1}, {"updates": "30"}])
def test_how_a_run_ended_is_checked_when_it_is_read(run, stopped):
    config = json.loads((run / "config.json").read_text())
    config["decisions"]["stopped"] = stopped
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config.json is not as written"):
        load_run(run)


def test_a_history_is_read_to_the_last_bit_and_without_a_warning(run):
    numbers = np.random.default_rng(1).normal(size=(500, 5)) * 10.0 ** np.arange(-10, 15, 5)
    table = run_files.history_table(numbers)
    table.to_csv(run / "history.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = run_files.read_table(run / "history.csv", like=table)
    assert (read.to_numpy() == table.to_numpy()).all()


# writing


def test_a_run_in_work_belongs_to_one_process(alignment, family, tmp_path):
    script = """
import sys
import warnings
sys.path.insert(0, sys.argv[3])
from tiny_family import TINY, QUICK
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.model import training
from deepseq_nb.model.runs import fit
update = training.Trainer.update
def waiting(self, step):
    if step == 5:
        print("in work", flush=True)
        sys.stdin.read()
    return update(self, step)
training.Trainer.update = waiting
fit(Alignment.read(sys.argv[1]), TINY, QUICK, sys.argv[2])
"""
    words = [sys.executable, "-c", script, family, tmp_path / "run", Path(__file__).parents[1]]
    first = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "in work\n"
    other = replace(QUICK, seed=2)
    for how in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(ConfigError, match=r"run (is being|already holds|was trained)"):
            fit(alignment, TINY, other, tmp_path / "run", **how)
    with pytest.raises(ConfigError, match="is being written by another process"):
        fit(alignment, TINY, QUICK, tmp_path / "run", resume=True)
    first.communicate("go on\n")
    assert first.returncode == 0
    assert same(load_run(tmp_path / "run"), fit(alignment, TINY, QUICK))
    assert not (tmp_path / "run/.lock").exists()


def test_a_refused_run_leaves_no_folder(alignment, tmp_path):
    with pytest.raises(ConfigError, match="shallow"):
        fit(alignment, TINY, QUICK, tmp_path / "a/run", shallow="perhaps")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["history.csv", "config.json", "alignment.json", "ranking.csv"])
def test_resume_replaces_a_link_and_not_its_target(run, alignment, tmp_path, file):
    mine = tmp_path / "mine"
    shutil.move(run / file, mine)
    (run / file).symlink_to(mine)
    before = mine.read_bytes()
    fit(alignment, TINY, LONGER, run, resume=True)
    assert mine.read_bytes() == before and not (run / file).is_symlink()
    assert load_run(run).steps == 31


def test_a_full_disk_names_the_file_and_keeps_the_last_checkpoint(alignment, tmp_path, monkeypatch):
    written, wait = [], os.fsync

    def fsync(number):
        written.append(number)
        if len(written) > 8:  # two files to begin with, then three at each checkpoint
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return wait(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match=r"/run/.* cannot be written: No space") as caught:
            fit(alignment, TINY, QUICK, tmp_path / "run")
    assert ".tmp" not in str(caught.value)
    assert load_tensors(tmp_path / "run/checkpoint/state.safetensors")[1]["step"] == 20
    assert not list((tmp_path / "run").rglob("*.tmp"))
    resumed = fit(alignment, TINY, QUICK, tmp_path / "run", resume=True)
    assert same(resumed, fit(alignment, TINY, QUICK))


def test_a_model_larger_than_the_memory_is_one_sentence_and_leaves_nothing(alignment, tmp_path):
    huge = replace(TINY, encoder=(10**9, 10**9))
    with pytest.raises(ResourceError, match="memory of this machine"):
        fit(alignment, huge, QUICK, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_of_a_huge_model_is_refused_when_loaded(run):
    config = json.loads((run / "config.json").read_text())
    config["model"]["encoder"] = [10**14]
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(DeepseqError) as caught:
        load_run(run)
    assert one_sentence(caught.value)


def test_the_checksum_says_names_types_shapes_and_what_is_said(tmp_path):
    one = {"a": torch.arange(6.0)}
    assert load_tensors(save(tmp_path, one, {"step": 1}))[1] == {"step": 1}
    sums = {
        digest(save(tmp_path, tensors, about))
        for tensors, about in (
            (one, {"step": 1}),
            (one, {"step": 2}),
            ({"b": torch.arange(6.0)}, {"step": 1}),
            ({"a": torch.arange(6.0).reshape(2, 3)}, {"step": 1}),
            ({"a": torch.arange(6.0).view(torch.int32)}, {"step": 1}),
            ({"a": torch.arange(6.0), "e": torch.empty(0, 0)}, {"step": 1}),
        )
    }
    assert len(sums) == 6 and digest(save(tmp_path, one, {"step": 1})) in sums


def save(folder: Path, tensors: dict, about: dict) -> Path:
    save_tensors(folder / "x.safetensors", tensors, about)
    return folder / "x.safetensors"


def digest(path: Path) -> str:
    with safetensors.safe_open(str(path), framework="pt") as file:
        return json.loads(file.metadata()["deepseq_nb"])["sha256"]


def test_the_model_of_a_shorter_run_is_refused(run, alignment, tmp_path):
    shorter = fit(alignment, TINY, replace(QUICK, steps=20), tmp_path / "other").path
    shutil.copy(shorter / "model.safetensors", run / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"of update 20, .* ended after 30"):
        load_run(run)


def test_a_run_that_was_made_longer_is_loaded_at_its_end(run, alignment):
    fit(alignment, TINY, LONGER, run, resume=True)
    assert load_run(run).steps == 31
