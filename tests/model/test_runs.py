"""Runs: checkpoints, resume, what a folder holds and what a run says."""

import errno
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_family import QUICK, TINY, same, write_family

from deepseq_nb.core.errors import AlignmentError, CheckpointError, ConfigError, TrainingError
from deepseq_nb.family import depth
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import Family, describe
from deepseq_nb.model.checkpoints import RunFolder
from deepseq_nb.model.run_files import load_tensors, save_tensors
from deepseq_nb.model.runs import fit, fit_many, for_shallow_family, load_run, prepare
from deepseq_nb.model.training import TrainConfig, Trainer


def test_a_longer_run_passes_through_the_shorter_one(alignment, tmp_path):
    fit(alignment, TINY, QUICK, tmp_path / "run")
    longer = TrainConfig(steps=50, batch_size=20, device="cpu", checkpoint_every=10)
    resumed = fit(alignment, TINY, longer, tmp_path / "run", resume=True)
    assert same(resumed, fit(alignment, TINY, longer))
    assert resumed.steps == 50


def test_resume_starts_from_nothing_when_there_is_nothing(alignment, tmp_path):
    assert same(
        fit(alignment, TINY, QUICK, tmp_path / "new", resume=True), fit(alignment, TINY, QUICK)
    )


SCRIPT = """
import os, sys, time, threading
from deepseq_nb.family import depth
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.peers.sites import SiteIndependent
from deepseq_nb.model.runs import fit
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.model import training
sys.path.insert(0, sys.argv[3])
from tiny_family import TINY
die, steps = int(sys.argv[4]), 0
update = training.Trainer.update
def counted(self, step):
    global steps
    steps += 1
    if steps == die:
        threading.Timer(float(sys.argv[5]), lambda: os.kill(os.getpid(), 9)).start()
    time.sleep(0.002)
    return update(self, step)
training.Trainer.update = counted
fit(Alignment.read(sys.argv[1]), TINY, TrainConfig(steps=120, batch_size=20, device="cpu", checkpoint_every=7), sys.argv[2], resume=True)
"""


def test_a_run_killed_again_and_again_ends_with_the_same_bits(alignment, family, tmp_path):
    config = TrainConfig(steps=120, batch_size=20, device="cpu", checkpoint_every=7)
    whole = fit(alignment, TINY, config, tmp_path / "whole")
    rng, here = np.random.default_rng(5), os.path.dirname(os.path.dirname(__file__))
    for _ in range(3):
        die, after = int(rng.integers(2, 40)), float(rng.uniform(0, 0.01))
        code = subprocess.run(
            [sys.executable, "-c", SCRIPT, family, tmp_path / "cut", here, str(die), str(after)]
        ).returncode
        assert code == -signal.SIGKILL
    subprocess.run(
        [sys.executable, "-c", SCRIPT, family, tmp_path / "cut", here, "-1", "0"], check=True
    )
    assert same(load_run(tmp_path / "cut"), whole)
    assert (tmp_path / "cut/history.csv").read_bytes() == (
        tmp_path / "whole/history.csv"
    ).read_bytes()
    assert not list((tmp_path / "cut").rglob("*.tmp"))


def test_interrupt_saves_and_resume_goes_on(alignment, family, tmp_path):
    here = os.path.dirname(os.path.dirname(__file__))
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, family, tmp_path / "run", here, "-1", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "run/checkpoint/state.safetensors").exists():
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert "continue with --resume" in stderr
    step = load_tensors(tmp_path / "run/checkpoint/state.safetensors")[1]["step"]
    assert 7 <= step < 120
    config = TrainConfig(steps=120, batch_size=20, device="cpu", checkpoint_every=7)
    assert same(
        fit(alignment, TINY, config, tmp_path / "run", resume=True), fit(alignment, TINY, config)
    )


def test_an_unfinished_run_loads_at_its_last_checkpoint(alignment, tmp_path):
    whole = fit(alignment, TINY, QUICK, tmp_path / "run")
    (tmp_path / "run/model.safetensors").unlink()
    assert same(load_run(tmp_path / "run"), whole)


def test_loss_that_is_no_number_stops_and_names_the_last_good_checkpoint(
    alignment, tmp_path, monkeypatch
):
    update = Trainer.update

    def poisoned(self, step):
        if step == 25:
            with torch.no_grad():
                self.model.encoder.mu.weight.fill_(float("nan"))
        return update(self, step)

    monkeypatch.setattr(Trainer, "update", poisoned)
    with pytest.raises(TrainingError, match="at update 25: the last good checkpoint, update 20"):
        fit(alignment, TINY, QUICK, tmp_path / "run")
    monkeypatch.undo()
    assert same(
        fit(alignment, TINY, QUICK, tmp_path / "run", resume=True), fit(alignment, TINY, QUICK)
    )


def test_parameters_that_are_not_finite_are_never_saved(alignment, tmp_path, monkeypatch):
    update = Trainer.update

    def poisoned(self, step):
        row = update(self, step)
        if step == 20:
            with torch.no_grad():
                self.model.encoder.mu.weight.fill_(float("inf"))
        return row

    monkeypatch.setattr(Trainer, "update", poisoned)
    with pytest.raises(TrainingError, match="after update 20 a parameter is not finite"):
        fit(alignment, TINY, QUICK, tmp_path / "run")
    assert load_tensors(tmp_path / "run/checkpoint/state.safetensors")[1]["step"] == 10


def test_run_folder_round_trips(tiny_run, alignment):
    run = load_run(tiny_run.path)
    assert same(run, tiny_run)
    assert run.model_config == tiny_run.model_config and run.train_config == tiny_run.train_config
    assert run.focus_map == alignment.focus_map
    assert run.about["checksum"] == alignment.checksum
    assert np.allclose(
        np.sum(run.about["frequencies"], 1), np.asarray(alignment.occupancy), atol=0.1
    )
    pd.testing.assert_frame_equal(run.history, tiny_run.history)


def test_files_of_a_run_carry_version_checksum_theta_and_seed(tiny_run, alignment):
    about = load_tensors(tiny_run.path / "model.safetensors")[1]
    assert (
        about["checksum"] == alignment.checksum
        and about["theta"] == 0.2
        and about["seed"] == 1
        and about["version"]
    )


def test_a_run_is_not_written_over_by_accident(alignment, tmp_path):
    fit(alignment, TINY, QUICK, tmp_path / "run")
    with pytest.raises(ConfigError, match="already holds a run"):
        fit(alignment, TINY, QUICK, tmp_path / "run")
    fit(alignment, TINY, QUICK, tmp_path / "run", overwrite=True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": 3}, "trained with seed 1"),
        ({"learning_rate": 0.01}, "learning_rate"),
        ({"steps": 20}, "already has 30 updates"),
    ],
)
def test_resume_under_other_settings_is_refused(alignment, tmp_path, change, text):
    fit(alignment, TINY, QUICK, tmp_path / "run")
    other = TrainConfig.from_json(QUICK.to_json() | change)
    with pytest.raises(ConfigError, match=text):
        fit(alignment, TINY, other, tmp_path / "run", resume=True)


def test_resume_on_another_alignment_is_refused(alignment, tmp_path):
    fit(alignment, TINY, QUICK, tmp_path / "run")
    other = Alignment.read(write_family(tmp_path / "other.a2m", seed=9))
    with pytest.raises(CheckpointError, match="another alignment"):
        fit(other, TINY, QUICK, tmp_path / "run", resume=True)


@pytest.mark.parametrize("damage", ["config.json", "alignment.json", "model.safetensors"])
def test_a_damaged_run_says_which_file(alignment, tmp_path, damage):
    fit(alignment, TINY, QUICK, tmp_path / "run")
    file = tmp_path / "run" / damage
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=damage):
        load_run(tmp_path / "run")


def test_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="is not a run folder"):
        load_run(tmp_path)


def test_model_and_alignment_of_different_runs_do_not_mix(alignment, tmp_path):
    run = fit(alignment, TINY, QUICK, tmp_path / "run")
    about = json.loads((run.path / "alignment.json").read_text())
    del about["digest"]
    (run.path / "alignment.json").write_text(json.dumps(about | {"checksum": "0" * 64}))
    with pytest.raises(CheckpointError, match="another alignment"):
        load_run(run.path)


def test_parameters_of_another_architecture_are_refused(alignment, tmp_path):
    run = fit(alignment, TINY, QUICK, tmp_path / "run")
    config = json.loads((run.path / "config.json").read_text())
    config["model"]["latent"] = 4
    (run.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"latent \d, config.json of one with 4"):
        load_run(run.path)


@pytest.mark.parametrize("unfinished", [False, True])
def test_parameters_of_other_settings_are_refused(alignment, tmp_path, unfinished):
    """A kill between two renames of --overwrite leaves the new parameters beside the old config.json."""
    run = fit(alignment, TINY, QUICK, tmp_path / "run")
    if unfinished:
        (run.path / "model.safetensors").unlink()
    config = json.loads((run.path / "config.json").read_text())
    config["train"]["learning_rate"] = 0.02
    (run.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"learning_rate .* they belong to different runs"):
        load_run(run.path)
    if unfinished:
        other = replace(QUICK, learning_rate=0.02)
        with pytest.raises(CheckpointError, match="or other settings"):
            fit(alignment, TINY, other, run.path, resume=True)


def test_no_room_for_the_bytes_of_a_checkpoint_is_lack_of_memory(monkeypatch, tmp_path):
    class PanicException(BaseException):
        """As that of a library in Rust, which is no `Exception`."""

    def panic(*_):
        raise PanicException("PyObject pointer is null")

    monkeypatch.setattr("safetensors.torch.save", panic)
    with pytest.raises(MemoryError, match="no room"):
        save_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(2)}, {})


def test_nothing_is_pickled(tiny_run):
    kinds = {file.suffix for file in tiny_run.path.rglob("*") if file.is_file()}
    assert kinds == {".json", ".csv", ".safetensors"}


def test_saving_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.zeros(2)}, {"step": 1})
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_tensors(path, {"a": torch.ones(2)}, {"step": 2})
    monkeypatch.undo()
    assert load_tensors(path)[1]["step"] == 1 and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "weights", [np.ones(3), np.full(80, np.nan), np.full(80, -1.0), np.zeros(80)]
)
def test_unusable_weights_are_refused(alignment, weights):
    with pytest.raises(ConfigError, match="weights must be 80 finite numbers"):
        fit(alignment, TINY, QUICK, weights=weights)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_run_trained_on_a_gpu_loads_on_a_cpu(alignment, tmp_path):
    fit(alignment, TINY, TrainConfig(steps=30, device="cuda"), tmp_path / "run")
    assert next(load_run(tmp_path / "run", "cpu").model.parameters()).device.type == "cpu"


def test_description_gives_neff_and_depth(alignment):
    text = "\n".join(describe(Family.of(alignment, weights=np.ones(80))))
    assert "Neff 80.0 at theta 0.2" in text and "per column: fair" in text


# policy: what is decided for the user


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A family of 12 sequences on 12 columns: shallow."""
    return Alignment.read(write_family(tmp_path_factory.mktemp("few") / "few.a2m", n=12))


def test_a_shallow_family_is_trained_with_its_settings(few, tmp_path):
    run = fit(few, TINY, QUICK, tmp_path / "run")
    assert (run.model_config, run.train_config) == for_shallow_family(TINY, QUICK)
    assert RunFolder(tmp_path / "run").settings().model.site_prior


def test_fit_and_the_command_line_make_the_same_run(few, tmp_path):
    from deepseq_nb.cli.main import main

    path = write_family(tmp_path / "few.a2m", n=12)
    config = {"model": TINY.to_json(), "train": {"steps": 30, "batch_size": 20}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ("train", path, "--out", tmp_path / "cli", "--config", tmp_path / "config.json")
    assert main([*map(str, words), "--device", "cpu"]) == 0
    ours = fit(Alignment.read(path), TINY, replace(QUICK, checkpoint_every=500))
    theirs = load_run(tmp_path / "cli")
    assert (ours.model_config, ours.train_config) == (theirs.model_config, theirs.train_config)
    assert same(ours, theirs)


def test_a_deep_family_keeps_the_given_settings(alignment):
    run = fit(alignment, TINY, QUICK)
    assert (run.model_config, run.train_config) == (TINY, QUICK)


@pytest.mark.parametrize(
    ("model", "train"),
    [
        (replace(TINY, site_prior=True), QUICK),
        (TINY, replace(QUICK, width_rate=3.0)),
        (replace(TINY, weights="point"), QUICK),
    ],
    ids=["site prior", "width rate", "point weights"],
)
def test_settings_made_by_hand_win_over_the_policy(few, model, train):
    run = fit(few, model, train)
    assert (run.model_config, run.train_config) == (model, train)


def test_the_policy_can_be_switched_off_and_on(few, alignment):
    assert fit(few, TINY, QUICK, shallow="off").model_config == TINY
    assert fit(alignment, TINY, QUICK, shallow="on").model_config.site_prior
    with pytest.raises(ConfigError, match="shallow is 'of': did you mean 'off'"):
        fit(few, TINY, QUICK, shallow="of")


def test_a_resumed_run_keeps_what_was_decided_for_it(few, tmp_path):
    longer = replace(QUICK, steps=50)
    fit(few, TINY, QUICK, tmp_path / "on")
    resumed = fit(few, TINY, longer, tmp_path / "on", resume=True)
    assert same(resumed, fit(few, TINY, longer)) and resumed.model_config.site_prior
    before = RunFolder(tmp_path / "on").settings().decisions["shallow"]
    assert before["asked"] == "auto" and before["applied"]
    fit(few, TINY, QUICK, tmp_path / "off", shallow="off")
    resumed = fit(few, TINY, longer, tmp_path / "off", resume=True)
    assert resumed.model_config == TINY


def test_decisions_and_their_reasons_are_recorded(few, alignment, tmp_path):
    fit(few, TINY, QUICK, tmp_path / "few")
    decided = json.loads((tmp_path / "few/config.json").read_text())["decisions"]
    assert decided["shallow"]["applied"] and "per column: shallow" in decided["shallow"]["why"]
    assert decided["trainer"] == {"class": "Trainer", "asked": False} and "cpu" in decided["device"]
    fit(alignment, TINY, QUICK, tmp_path / "deep")
    decided = RunFolder(tmp_path / "deep").settings().decisions
    assert not decided["shallow"]["applied"] and "not shallow" in decided["shallow"]["why"]


def test_several_runs_and_a_trainer_before_training_have_the_same_settings(few):
    runs = fit_many(few, (1, 2), TINY, QUICK)
    assert all(run.model_config.site_prior for run in runs)
    assert prepare(few, TINY, QUICK).model.config == runs[0].model_config


def test_a_configuration_in_the_others_place_is_one_clear_error(alignment):
    with pytest.raises(ConfigError, match="model_config is a TrainConfig: expected a ModelConfig"):
        inspect.unwrap(fit)(alignment, QUICK)  # without the checks of types that tests have


# reading as the run's alignment was read


def test_a_run_reads_an_alignment_as_its_own_was_read(tmp_path):
    path = write_family(tmp_path / "a.a2m")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([">other/11-24", lines[1].replace("A", "C"), *lines]) + "\n")
    alignment = Alignment.read(path, "TINY/11-24", columns="all", unknown="gap")
    run = fit(alignment, TINY, QUICK, tmp_path / "run")
    for either in (run, load_run(tmp_path / "run")):
        again = either.read()
        assert again.checksum == alignment.checksum and again.focus_map == alignment.focus_map
        assert again.options == alignment.options
    assert run.read(path).checksum == alignment.checksum


def test_another_file_is_read_with_the_focus_of_the_run(tmp_path):
    """Nobody named the focus; in the other file another sequence comes first."""
    path = write_family(tmp_path / "a.a2m")
    run = fit(Alignment.read(path), TINY, QUICK)
    lines = path.read_text().splitlines()
    other = tmp_path / "b.a2m"
    other.write_text("\n".join([">first/1-14", lines[1].replace("A", "C"), *lines]) + "\n")
    assert run.read(other).focus == run.focus_map.name == "TINY/11-24"


def test_the_alignment_of_a_run_is_found_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_family(Path("a.a2m"))
    alignment = Alignment.read("a.a2m")
    fit(alignment, TINY, QUICK, "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    write_family(Path("a.a2m"), seed=3)  # of the same name, and not what was meant
    run = load_run(tmp_path / "run")
    assert run.about["source"] == "a.a2m" and run.read().checksum == alignment.checksum
    (tmp_path / "a.a2m").unlink()
    (elsewhere / "a.a2m").unlink()
    with pytest.raises(AlignmentError, match=r"a\.a2m, on which this was trained, is no longer"):
        run.read()


def test_what_was_read_is_said_before_the_weights_are_counted(alignment, monkeypatch):
    said, then = [], []

    def counted(*_, **__):
        then.extend(said)
        return np.ones(80)

    monkeypatch.setattr(depth, "cached_weights", counted)
    fit(alignment, TINY, QUICK, echo=said.append)
    read = alignment.report.lines()
    assert then[: len(read)] == read and not any("Neff" in line for line in then)
    assert any(line.startswith("effective sequences: Neff 80.0") for line in said)


def test_a_run_whose_alignment_has_changed_says_so(tmp_path):
    path = write_family(tmp_path / "a.a2m")
    run = fit(Alignment.read(path), TINY, QUICK)
    write_family(path, seed=3)
    with pytest.raises(CheckpointError, match="no longer the alignment that this run was trained"):
        run.read()
    assert len(run.read(path).tokens) == 80


# nothing is lost


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": np.zeros(80)},
        {"train_config": replace(QUICK, device="cuda:99")},
        {"shallow": "perhaps"},
        {"train_config": replace(QUICK, learning_rate=1e9)},
    ],
    ids=["weights", "device", "settings", "loss"],
)
def test_overwrite_keeps_the_finished_run_until_the_new_one_has_a_checkpoint(
    alignment, tmp_path, wrong
):
    fit(alignment, TINY, QUICK, tmp_path / "run")
    (tmp_path / "run/scores.csv").write_text("mine\n")
    before = contents(tmp_path / "run")
    arguments = {"train_config": QUICK} | wrong
    with pytest.raises((ConfigError, TrainingError)):
        fit(alignment, TINY, out=tmp_path / "run", overwrite=True, **arguments)
    assert contents(tmp_path / "run") == before


def test_a_new_run_takes_the_old_ones_place_and_no_file_of_the_users_goes(alignment, tmp_path):
    fit(alignment, TINY, QUICK, tmp_path / "run")
    (tmp_path / "run/scores.csv").write_text("of the old run\n")
    (tmp_path / "run/scores.old1.csv").write_text("of a run before\n")
    (tmp_path / "run/notes.txt").write_text("mine\n")
    (tmp_path / "run/checkpoint/notes.txt").write_text("mine too\n")
    (tmp_path / "run/figures").mkdir()
    (tmp_path / "run/figures/logo.svg").write_text("drawn of the old run\n")
    seen = []
    other = replace(QUICK, seed=2)
    new = fit(alignment, TINY, other, tmp_path / "run", overwrite=True, echo=seen.append)
    loaded = load_run(tmp_path / "run")
    assert same(loaded, new) and loaded.train_config == other and loaded.steps == 30
    names = {path.name for path in (tmp_path / "run").iterdir()}
    files = {
        "config.json",
        "alignment.json",
        "model.safetensors",
        "history.csv",
        "ranking.csv",
        "checkpoint",
    }
    assert names == files | {"notes.txt", "scores.old1.csv", "scores.old2.csv", "figures.old1"}
    assert (tmp_path / "run/figures.old1/logo.svg").read_text() == "drawn of the old run\n"
    assert (tmp_path / "run/scores.old2.csv").read_text() == "of the old run\n"
    assert (tmp_path / "run/checkpoint/notes.txt").read_text() == "mine too\n"


def test_a_killed_replacement_leaves_the_old_run_and_nothing_else(alignment, family, tmp_path):
    config = TrainConfig(steps=120, batch_size=20, device="cpu", checkpoint_every=7)
    old = fit(alignment, TINY, replace(config, seed=4), tmp_path / "run")
    here = os.path.dirname(os.path.dirname(__file__))
    script = SCRIPT.replace("resume=True", "overwrite=True")
    words = [sys.executable, "-c", script, family, tmp_path / "run", here, "3", "0"]
    assert subprocess.run(words).returncode == -signal.SIGKILL
    assert same(load_run(tmp_path / "run"), old)
    assert list((tmp_path / "run").glob(".new.*.tmp"))
    fit(alignment, TINY, replace(config, seed=4, steps=121), tmp_path / "run", resume=True)
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_what_killed_processes_left_is_removed_by_the_next_run(alignment, tmp_path):
    from deepseq_nb.core.files import temporary_name

    fit(alignment, TINY, QUICK, tmp_path / "run")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    state = tmp_path / "run/checkpoint/state.safetensors"
    ours = f"-{os.getpid()}-"
    left, busy = (
        state.with_name(temporary_name(state).name.replace(ours, f"-{number}-"))
        for number in (dead.pid, os.getppid())
    )
    left.write_bytes(b"half")
    busy.write_bytes(b"being written")
    fit(alignment, TINY, replace(QUICK, steps=31), tmp_path / "run", resume=True)
    assert not left.exists() and busy.exists()


def failing_at(monkeypatch, number: int) -> list[str]:
    """`os.replace` fails once, as the call of this number; what was replaced before."""
    real, seen = os.replace, []

    def replaced(old, new):
        seen.append(str(new))
        if len(seen) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(new))
        return real(old, new)

    monkeypatch.setattr(os, "replace", replaced)
    return seen


def test_a_longer_run_that_cannot_be_saved_leaves_the_shorter_one__faults_disk_full_over(
    alignment, tmp_path, monkeypatch
):
    """Case 1 of that row: config.json said that a run had ended whose model was still the old one."""
    fit(alignment, TINY, QUICK, tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "first")
    longer = replace(QUICK, steps=31)
    whole = fit(alignment, TINY, longer, tmp_path / "first", resume=True)
    number = 0
    while True:
        number += 1
        shutil.rmtree(tmp_path / "now", ignore_errors=True)
        shutil.copytree(tmp_path / "run", tmp_path / "now")
        with monkeypatch.context() as patched:
            seen = failing_at(patched, number)
            try:
                fit(alignment, TINY, longer, tmp_path / "now", resume=True)
            except OSError:
                pass
            else:
                break
        assert len(seen) == number
        load_run(tmp_path / "now")
        assert same(fit(alignment, TINY, longer, tmp_path / "now", resume=True), whole)
        assert same(load_run(tmp_path / "now"), whole)
    assert number > 6, "config, alignment, ranking, checkpoint, history, model"


def test_a_replacement_that_fails_half_way_is_taken_back__faults_disk_full_over(
    alignment, tmp_path, monkeypatch
):
    """Case 14 of that row: the new checkpoint stood beside the old configuration."""
    fit(alignment, TINY, QUICK, tmp_path / "run")
    (tmp_path / "run/scores.csv").write_text("of the old run\n")
    before, other, kept, number = contents(tmp_path / "run"), replace(QUICK, seed=2), 0, 0
    while True:
        number += 1
        now = tmp_path / f"now{number}"
        shutil.copytree(tmp_path / "run", now)
        with monkeypatch.context() as patched:
            failing_at(patched, number)
            try:
                fit(alignment, TINY, other, now, overwrite=True)
            except OSError:
                pass
            else:
                break
        assert not list(now.rglob("*.tmp"))
        found = load_run(now)  # it is one of the two, whole
        if found.train_config.seed == QUICK.seed:
            assert contents(now) == before
            kept += 1
    assert load_run(now).train_config.seed == 2
    assert kept > 8, "five files of the new run, then the scores' name and five places"
