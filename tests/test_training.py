"""Training: sampling, determinism, checkpoints, resume, and what a run folder holds."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_family import TINY

from deepseq_nb.alignment import Alignment
from deepseq_nb.baselines import SiteIndependent
from deepseq_nb.model import DeepSequence, ModelConfig, preset
from deepseq_nb.priors import ConfigError, SparsityPrior
from deepseq_nb.runs import (
    SITE_PSEUDOCOUNT,
    CheckpointError,
    TrainingError,
    choose_device,
    depth_verdict,
    describe,
    duration,
    fit,
    load_run,
    load_tensors,
    save_tensors,
)
from deepseq_nb.training import (
    HISTORY,
    AdamOriginal,
    TrainConfig,
    Trainer,
    draw_rows,
    noise_generator,
    seconds_per_update,
    step_profile,
)

QUICK = TrainConfig(steps=30, batch_size=20, device="cpu", checkpoint_every=10)


def parameters(run) -> dict[str, torch.Tensor]:
    return run.model.state_dict()


def same(a, b) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in zip(parameters(a).values(), parameters(b).values(), strict=True)
    )


def test_noise_is_a_function_of_seed_purpose_and_index():
    def draw(*key):
        return torch.randn(4, generator=noise_generator("cpu", *key))

    assert torch.equal(draw(1, "latent", 7), draw(1, "latent", 7))
    for other in ((2, "latent", 7), (1, "weights", 7), (1, "latent", 8)):
        assert not torch.equal(draw(1, "latent", 7), draw(*other))


def test_rows_are_drawn_in_proportion_to_weights_and_never_at_zero():
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0], dtype=torch.float64)
    rows = draw_rows(weights.cumsum(0), 40_000, noise_generator("cpu", 1, "batch", 0))
    share = torch.bincount(rows, minlength=5) / 40_000
    assert share[[0, 2, 4]].sum() == 0
    assert share[3].item() == pytest.approx(0.75, abs=0.01)


def test_original_adam_moves_at_a_third_of_the_rate_for_ever():
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimiser, m, v, expected = AdamOriginal([p], lr=0.01), 0.0, 0.0, 0.0
    for gradient in (1.0, -0.5, 2.0, 0.0, 1e-9):
        p.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected -= 0.01 * (0.001**0.5 / 0.1) * m / (v**0.5 + 1e-8)
        assert p.item() == pytest.approx(expected, rel=1e-12)


def test_same_seed_gives_the_same_bits(alignment):
    assert same(fit(alignment, TINY, QUICK), fit(alignment, TINY, QUICK))


def test_another_seed_gives_another_model(alignment):
    other = TrainConfig(steps=30, batch_size=20, device="cpu", seed=2)
    assert not same(fit(alignment, TINY, QUICK), fit(alignment, TINY, other))


def test_training_raises_the_reconstruction(alignment):
    history = fit(
        alignment, TINY, TrainConfig(steps=150, batch_size=40, device="cpu", learning_rate=0.01)
    ).history
    assert history.reconstruction.tail(20).mean() > history.reconstruction.head(5).mean() + 5


def test_a_site_prior_holds_the_columns_letters_and_survives_saving(alignment, tmp_path):
    config, weights = replace(TINY, site_prior=True), np.linspace(0.1, 1, len(alignment.tokens))
    run = fit(alignment, config, QUICK, tmp_path / "run", weights=weights)
    sites = SiteIndependent.fit(alignment, weights, pseudocount=SITE_PSEUDOCOUNT).log_frequencies
    profile = run.model.decoder.site_profile
    assert np.allclose(profile.log_softmax(-1), sites, atol=1e-5)
    loaded = load_run(tmp_path / "run", device="cpu").model.decoder.site_profile
    assert torch.equal(profile, loaded)


def test_history_adds_up(alignment):
    config = TrainConfig(steps=12, batch_size=20, device="cpu", warm_up=10, kl_scale=0.5)
    h = fit(alignment, TINY, config).history
    assert list(h.columns) == ["step", *HISTORY]
    assert h.warm_up.tolist() == [min(1.0, t / 10) for t in range(1, 13)]
    assert np.allclose(h.loss, h.warm_up * (0.5 * h.kl_latent + h.kl_weights) - h.reconstruction)


def test_weight_kl_is_divided_by_neff(alignment):
    weights = np.ones(len(alignment.tokens))
    one = fit(
        alignment, TINY, TrainConfig(steps=1, batch_size=5, device="cpu"), weights=weights
    ).history.kl_weights[0]
    half = fit(
        alignment, TINY, TrainConfig(steps=1, batch_size=5, device="cpu"), weights=weights / 2
    ).history.kl_weights[0]
    assert half == pytest.approx(2 * one)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(
            encoder=(8,),
            latent=3,
            decoder=(8, 12),
            conv=5,
            sparsity=SparsityPrior(kind="horseshoe"),
        ),
        ModelConfig(
            encoder=(8,),
            latent=3,
            decoder=(8, 12),
            conv=5,
            weights="point",
            sparsity=SparsityPrior(kind="none"),
            dropout=0.5,
            l2=0.1,
        ),
        ModelConfig(encoder=(), latent=4, decoder=(), conv=0, encoder_conv=4),
    ],
)
def test_every_kind_of_model_trains_reproducibly(alignment, config):
    first = fit(alignment, config, QUICK)
    assert np.isfinite(first.history.loss).all()
    assert same(first, fit(alignment, config, QUICK))


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
from deepseq_nb.alignment import Alignment
from deepseq_nb.baselines import SiteIndependent
from deepseq_nb.runs import fit
from deepseq_nb.training import TrainConfig
import deepseq_nb.training as training
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
    rng, here = np.random.default_rng(5), os.path.dirname(__file__)
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
    here = os.path.dirname(__file__)
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

    from deepseq_nb.alignment import Alignment

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


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"theta": 0.8}, "did you mean 0.2"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_settings_are_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        TrainConfig(**wrong)


def test_device_is_explained():
    assert choose_device("cpu")[1].startswith("cpu (") and "as asked" in choose_device("cpu")[1]
    with pytest.raises(ConfigError, match="expected auto, cpu, cuda"):
        choose_device("tpu:x")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_missing_gpu_is_one_clear_error():
    with pytest.raises(ConfigError, match="sees no CUDA GPU"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_run_trained_on_a_gpu_loads_on_a_cpu(alignment, tmp_path):
    fit(alignment, TINY, TrainConfig(steps=30, device="cuda"), tmp_path / "run")
    assert next(load_run(tmp_path / "run", "cpu").model.parameters()).device.type == "cpu"


def test_depth_verdicts():
    assert [depth_verdict(n, 100) for n in (199, 200, 999, 1000)] == [
        "shallow",
        "fair",
        "fair",
        "deep",
    ]


def test_durations_read_well():
    assert [duration(s) for s in (12.3, 300, 7200)] == ["12 s", "5 min", "2.0 h"]


def test_description_gives_neff_and_depth(alignment):
    text = "\n".join(describe(alignment, np.ones(80), QUICK))
    assert "Neff 80.0 at theta 0.2" in text and "per column: fair" in text


def test_trainer_time_estimate_leaves_the_model_alone(alignment):
    model = DeepSequence(TINY, alignment.tokens.shape[1])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trainer = Trainer(model, alignment.tokens, np.ones(80), QUICK, torch.device("cpu"))
    assert seconds_per_update(trainer) > 0
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("preset_name", ["quick", "mle"])
def test_profile_of_a_step_adds_up_and_leaves_the_trainer_usable(preset_name):
    alignment = Alignment.from_strings(["ACDEF", "ACDEY", "ACDFF"])
    config = preset(preset_name)
    small = replace(config, encoder=(8,), decoder=(4, 8), latent=2)
    trainer = Trainer(
        DeepSequence(small, 5),
        alignment.tokens,
        np.ones(3),
        TrainConfig(batch_size=4),
        torch.device("cpu"),
    )
    table = step_profile(trainer, updates=2)
    assert table.share.sum() == pytest.approx(1) and (table.ms >= 0).all()
    assert "draw" not in vars(trainer) and "forward" not in vars(trainer.model.encoder)
    trainer.update(4)
