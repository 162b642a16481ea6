"""A recorded update: the same numbers, found out when wrong; several runs in step."""

import json
import warnings
from dataclasses import replace
from operator import attrgetter

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_family import TINY

from deepseq_nb.cli.main import main
from deepseq_nb.core.errors import ConfigError
from deepseq_nb.model.graphs import GraphTrainer, trainer_for
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.priors import SPARSITY_PRIORS, SparsityPrior
from deepseq_nb.model.runs import fit, fit_many, load_run
from deepseq_nb.model.training import TrainConfig, Trainer, seconds_per_update

CPU = torch.device("cpu")
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
PLAIN = SparsityPrior(kind="none")
MODELS = {kind: replace(TINY, sparsity=SparsityPrior(kind=kind)) for kind in SPARSITY_PRIORS} | {
    "point": replace(TINY, weights="point", sparsity=PLAIN),
    "dropout": replace(TINY, weights="point", sparsity=PLAIN, dropout=0.3),
    "site prior": replace(TINY, site_prior=True),
}


def made(kind, alignment, model=TINY, device=CPU, **settings):
    config = TrainConfig(steps=50, batch_size=20, device=str(device), **settings)
    network = DeepSequence(model, alignment.tokens.shape[1], alignment.gap, seed=config.seed)
    weights = np.linspace(0.1, 1, len(alignment.tokens))
    return kind(network, alignment.tokens, weights, config, device, fused=False)


class Pretending(GraphTrainer):
    """Records on a processor: replaying calls `compute`."""

    def __init__(self, *given, fused=None):
        super().__init__(*given)
        self.able = not self.model.config.dropout
        self.computed = 0

    def compute(self):
        self.computed += 1
        super().compute()

    def capture(self):
        return self.compute


class MovesNothing(Pretending):
    """Its recording leaves the parameters where they are."""

    def capture(self):
        def half():
            drawn = self.now, self.batches.latent, *self.draws.sample()
            self.row.copy_(self.objective(self.draws, *drawn, self.strength)[1])

        return half


def frozen(name: str) -> type[Pretending]:
    """A trainer whose recording has kept one of its inputs as it was when it was made."""

    class Frozen(Pretending):
        def capture(self):
            memory = attrgetter(name)(self)
            kept = memory.clone()

            def stale():
                memory.copy_(kept)
                self.compute()

            return stale

    return Frozen


class CannotRecord(Pretending):
    def capture(self):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def trajectory(trainer, updates=8):
    return torch.stack([trainer.update(step) for step in range(1, updates + 1)])


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("kind", [GraphTrainer, Pretending])
def test_the_same_bits_as_a_plain_trainer(alignment, model, kind):
    settings = {"warm_up": 5, "kl_scale": 0.5, "width_rate": 3.0}
    plain, graph = (made(k, alignment, model, **settings) for k in (Trainer, kind))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(trajectory(plain), trajectory(graph))
    for a, b in zip(plain.model.parameters(), graph.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_original_optimiser_is_recorded_too(alignment):
    options = {"optimizer": "adam_original", "dtype": "float64"}
    plain, graph = (made(k, alignment, **options) for k in (Trainer, Pretending))
    assert torch.equal(trajectory(plain), trajectory(graph))


def test_a_recording_is_made_once_and_used(alignment):
    trainer = made(Pretending, alignment)
    trajectory(trainer, updates=4)
    assert trainer.replay is not None and trainer.computed == 3 + 3 + 4


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (MovesNothing, "expected"),
        (frozen("now"), "expected"),
        (frozen("strength"), "expected"),
        (frozen("batches.latent"), "expected"),
        (frozen("draws.noise"), "expected"),
        (CannotRecord, "not permitted"),
    ],
)
def test_a_wrong_recording_is_found_out_and_harms_nothing(alignment, kind, text):
    plain, wrong = made(Trainer, alignment), made(kind, alignment)
    with pytest.warns(UserWarning, match=f"no CUDA graph .*{text}"):
        found = trajectory(wrong)
    assert wrong.replay is None and torch.equal(trajectory(plain), found)


def test_recording_in_the_middle_of_a_run_keeps_what_adam_remembers(alignment, tmp_path):
    weights = np.linspace(0.1, 1, len(alignment.tokens))
    half, whole = (TrainConfig(steps=n, batch_size=20, device="cpu") for n in (10, 20))
    for name in ("stopped", "straight"):
        config = half if name == "stopped" else whole
        fit(alignment, TINY, config, tmp_path / name, weights=weights, trainer=Pretending)
    again = fit(
        alignment,
        TINY,
        whole,
        tmp_path / "stopped",
        weights=weights,
        trainer=Pretending,
        resume=True,
    )
    assert again.history.equals(load_run(tmp_path / "straight").history)


def test_the_time_of_an_update_is_known_before_training(alignment):
    trainer = made(Pretending, alignment)
    assert seconds_per_update(trainer) > 0 and trainer.replay is not None
    assert seconds_per_update(made(GraphTrainer, alignment)) > 0


def test_the_processor_keeps_its_own_trainer():
    assert trainer_for(CPU) is Trainer and trainer_for(torch.device("cuda")) is GraphTrainer


def test_several_runs_are_those_that_each_seed_makes_alone(alignment, tmp_path):
    config = TrainConfig(steps=12, batch_size=20, device="cpu", checkpoint_every=5)
    runs = fit_many(alignment, (3, 5), TINY, config, tmp_path / "runs")
    assert [run.path.name for run in runs] == ["seed3", "seed5"]
    for run, seed in zip(runs, (3, 5), strict=True):
        alone = fit(alignment, TINY, replace(config, seed=seed))
        assert run.history.equals(alone.history) and run.train_config.seed == seed
        assert load_run(run.path).history.equals(alone.history)
    assert not runs[0].history.equals(runs[1].history)


def test_runs_in_step_are_the_same_runs(alignment, tmp_path, monkeypatch):
    """As on a GPU: all seeds in one loop, one of them resumed further on than the other."""
    from deepseq_nb.core import machine
    from deepseq_nb.model import runs

    config = TrainConfig(steps=12, batch_size=20, device="cpu", checkpoint_every=4)
    apart = fit_many(alignment, (1, 2), TINY, config)
    fit(alignment, TINY, replace(config, steps=7, seed=2), tmp_path / "seed2")
    monkeypatch.setattr(machine, "choose_device", lambda name: (FakeGpu(), "pretending"))
    monkeypatch.setattr(runs, "prepare", prepared_on_cpu(runs.prepare))
    together = fit_many(alignment, (1, 2), TINY, config, tmp_path, resume=True)
    for a, b in zip(apart, together, strict=True):
        assert np.allclose(a.history, b.history, rtol=1e-5)
        assert pd.read_csv(b.path / "history.csv").shape == (12, 6)


class FakeGpu:
    """A device that says it is a GPU."""

    type = "cuda"


def prepared_on_cpu(prepare):
    def prepared(alignment, model_config, config, weights, *, echo, trainer=Trainer):
        network = DeepSequence(model_config, alignment.tokens.shape[1], alignment.gap, config.seed)
        from deepseq_nb.family.weight_files import cached_weights

        weights = cached_weights(alignment, config.theta)
        return trainer(network, alignment.tokens, weights, config, CPU)

    return prepared


def test_all_folders_are_looked_at_before_the_first_run(alignment, tmp_path):
    config = TrainConfig(steps=2, batch_size=5, device="cpu")
    fit(alignment, TINY, replace(config, seed=2), tmp_path / "seed2")
    with pytest.raises(ConfigError, match="seed2 already holds a run"):
        fit_many(alignment, (1, 2), TINY, config, tmp_path)
    assert not (tmp_path / "seed1").exists()


def test_several_runs_do_not_go_into_a_run(alignment, tmp_path):
    config = TrainConfig(steps=2, batch_size=5, device="cpu")
    fit(alignment, TINY, config, tmp_path / "run")
    with pytest.raises(ConfigError, match="is a run itself"):
        fit_many(alignment, (1, 2), TINY, config, tmp_path / "run", overwrite=True)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_are_checked(alignment, seeds):
    with pytest.raises(ConfigError, match="each once"):
        fit_many(alignment, seeds, TINY)


def test_runs_from_the_command_line(family, tmp_path, capsys):
    out, scores = tmp_path / "runs", tmp_path / "scores.csv"
    train = f"train {family} --out {out} --preset quick --steps 20 --runs 2 --device cpu".split()
    assert main(train) == 0
    text = capsys.readouterr().out
    assert "seed 1: trained 20 updates" in text and "seed 2: trained 20 updates" in text
    assert main(f"score {out} --all-singles --out {scores}".split()) == 0
    assert "20, 20 updates" in capsys.readouterr().out
    both = f"score {out}/seed1 {out}/seed2 --all-singles --out {tmp_path}/both.csv".split()
    assert main(both) == 0
    assert scores.read_text() == (tmp_path / "both.csv").read_text()
    capsys.readouterr()
    assert main(train) != 0
    assert "already holds a run" in capsys.readouterr().err
    longer = [*train, "--resume"]
    longer[longer.index("20")] = "30"
    longer[longer.index("2", longer.index("--runs"))] = "3"
    longer = [word for word in longer if word not in ("--preset", "quick")]
    assert main(longer) == 0
    assert [load_run(out / f"seed{k}").steps for k in (1, 2, 3)] == [30, 30, 30]
    assert json.loads((out / "seed3" / "config.json").read_text())["model"]["latent"] == 8
    capsys.readouterr()
    assert main(f"sample {out} --n 2 --out {tmp_path}/new.fasta".split()) != 0
    assert "holds several runs: choose one, such as" in capsys.readouterr().err


@ON_GPU
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_real_recording_agrees_with_a_plain_trainer(alignment, model):
    device = torch.device("cuda")
    plain, graph = (made(k, alignment, model, device, warm_up=5) for k in (Trainer, GraphTrainer))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = trajectory(graph, 30).cpu()
    assert torch.allclose(trajectory(plain, 30).cpu(), found, rtol=1e-3)
    assert (graph.replay is None) == bool(model.dropout)


@ON_GPU
def test_runs_side_by_side_on_a_gpu_are_the_runs_of_each_seed(alignment, tmp_path):
    config = TrainConfig(steps=40, batch_size=20, device="cuda", checkpoint_every=15)
    runs = fit_many(alignment, (1, 2, 3), TINY, config, tmp_path, trainer=GraphTrainer)
    for run in runs:
        seed = run.train_config.seed
        alone = fit(alignment, TINY, replace(config, seed=seed), trainer=GraphTrainer)
        assert np.allclose(run.history, alone.history, rtol=1e-3)
