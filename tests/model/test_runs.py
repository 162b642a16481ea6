"""Runs: checkpoints, resume, what a folder holds and what a run says."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_family import QUICK, TINY, same

from deepseq_nb.core.errors import CheckpointError, ConfigError, TrainingError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.model.checkpoints import load_tensors, save_tensors
from deepseq_nb.model.runs import describe, fit, load_run
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
    from tiny_family import write_family

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
    (run.path / "alignment.json").write_text(json.dumps(about | {"checksum": "0" * 64}))
    with pytest.raises(CheckpointError, match="another alignment"):
        load_run(run.path)


def test_parameters_of_another_architecture_are_refused(alignment, tmp_path):
    run = fit(alignment, TINY, QUICK, tmp_path / "run")
    config = json.loads((run.path / "config.json").read_text())
    config["model"]["latent"] = 4
    (run.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="another architecture"):
        load_run(run.path)


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
    text = "\n".join(describe(alignment, np.ones(80), QUICK))
    assert "Neff 80.0 at theta 0.2" in text and "per column: fair" in text
