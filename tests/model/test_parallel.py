"""Several processes make one run: the numbers of one process, whoever dies in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from sharing import BRIEF, KINDS
from tiny_family import QUICK, TINY, same

from deepseq_nb.cli.main import main
from deepseq_nb.core.errors import ConfigError, TrainingError
from deepseq_nb.model import graphs, parallel
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.parallel import ParallelTrainer, Team, launched, own_device, speaks
from deepseq_nb.model.runs import fit, load_run
from deepseq_nb.model.training import Trainer

HERE = Path(__file__).resolve()
CPU = torch.device("cpu")
LONG = 60  # updates; long enough that nobody has finished when another is interrupted


def torchrun(*words, processes=2, **more):
    """Start tests/model/sharing.py in several processes; its result."""
    path = os.pathsep.join(map(str, (HERE.parents[2], HERE.parents[1], HERE.parent)))
    alone = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", processes]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command += [HERE.with_name("sharing.py"), *words]
    return subprocess.run(
        [*map(str, command)],
        env=os.environ | alone | {name: str(value) for name, value in more.items()},
        capture_output=True,
        text=True,
        timeout=570,
    )


def told(done) -> list[str]:
    """The lines in which the command says what went wrong."""
    return [line for line in done.stderr.splitlines() if line.startswith("deepseq ")]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """The options of `deepseq train` that make TINY and QUICK, with more updates."""
    settings = tmp_path_factory.mktemp("settings") / "tiny.json"
    model, train = TINY.to_json(), {"steps": LONG, "batch_size": 20, "checkpoint_every": 3}
    settings.write_text(json.dumps({"model": model, "train": train}))
    return ["--config", settings, "--device", "cpu", "--shallow", "off"]


@pytest.fixture(scope="module")
def pairs(family, tmp_path_factory):
    """A folder with a run of every kind of model, made by two processes."""
    out = tmp_path_factory.mktemp("pairs")
    done = torchrun("fit", family, out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def straight(family, words, tmp_path_factory):
    """A run of the command by two processes, not interrupted."""
    out = tmp_path_factory.mktemp("straight") / "run"
    done = torchrun("train", family, "--out", out, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained 60 updates") == 1, "one process prints"
    assert "shared by 2 processes" in done.stdout
    return load_run(out)


def close(a, b) -> None:
    """Two runs have the same history and the same parameters, up to rounding."""
    np.testing.assert_allclose(a.history.to_numpy(), b.history.to_numpy(), rtol=2e-4, atol=1e-5)
    for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_make_the_run_of_one(pairs, alignment, name):
    alone = fit(alignment, *KINDS[name])
    close(load_run(pairs / name), alone)


def test_the_command_makes_the_same_run(straight, alignment, words, family, tmp_path):
    given = [*map(str, words)]
    assert main(["train", str(family), "--out", str(tmp_path / "one"), *given]) == 0
    close(straight, load_run(tmp_path / "one"))


@pytest.fixture(scope="module")
def killed(family, words, tmp_path_factory):
    """The folder of a run whose second process was killed before update 8."""
    out = tmp_path_factory.mktemp("killed") / "run"
    given = "train", family, "--out", out, *words
    done = torchrun(*given, WHO=1, WHEN=8, SIGNAL=signal.SIGKILL.value)
    assert done.returncode != 0
    assert told(done) == [
        "deepseq train: another of the 2 processes of this run has ended; "
        f"saved in {out}; continue with --resume"
    ]
    return out


def test_a_killed_process_leaves_what_was_trained(killed, straight):
    run = load_run(killed)
    assert run.history.equals(straight.history[:7])


@pytest.mark.parametrize("processes", [1, 2])
def test_any_number_of_processes_continues(killed, straight, family, words, tmp_path, processes):
    out = shutil.copytree(killed, tmp_path / "run")
    given = "train", family, "--out", out, *words, "--resume"
    if processes == 1:
        assert main([*map(str, given)]) == 0
        close(load_run(out), straight)
    else:
        done = torchrun(*given)
        assert done.returncode == 0, done.stderr
        again = load_run(out)
        assert again.history.equals(straight.history) and same(again, straight)


def test_where_the_one_that_writes_is_killed_the_last_checkpoint_is_left(
    family, words, straight, tmp_path
):
    out = tmp_path / "run"
    given = "train", family, "--out", out, *words
    done = torchrun(*given, WHO=0, WHEN=8, SIGNAL=signal.SIGKILL.value)
    assert done.returncode != 0
    assert told(done) == [
        "deepseq train: another of the 2 processes of this run has ended; "
        "what it last saved can be continued with --resume"
    ]
    assert load_run(out).history.equals(straight.history[:6])


def test_one_process_that_is_interrupted_stops_all_after_the_same_update(
    family, words, straight, tmp_path
):
    out = tmp_path / "run"
    given = "train", family, "--out", out, *words
    done = torchrun(*given, WHO=1, WHEN=8, SIGNAL=signal.SIGINT.value)
    line = f"deepseq train: interrupted after update 8: saved in {out}; continue with --resume"
    assert done.returncode != 0 and told(done) == [line]
    assert load_run(out).history.equals(straight.history[:8])


def test_a_mistake_is_said_once(family, words, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    done = torchrun("train", family, "--out", out, *words, "--batch-size", "1")
    assert done.returncode != 0 and len(told(done)) == 1
    assert "--batch-size is 1, fewer than the 2 processes" in told(done)[0]
    assert not (out / "config.json").exists()


# one process


@pytest.mark.parametrize(("rows", "size"), [(100, 1), (100, 3), (7, 7), (5, 2)])
def test_shares_are_the_whole_and_differ_by_one_row_at_most(rows, size):
    parts = [range(rows)[Team(rank, size).share(rows)] for rank in range(size)]
    assert [row for part in parts for row in part] == [*range(rows)]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_there_is_one_process(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert launched() == parallel.current() == Team(0, 1) and speaks()
    assert Team().most([3, 1.5]) == [3.0, 1.5]
    Team().check_alike("anything", 5)


@pytest.fixture
def second(monkeypatch):
    """As if this were the second of two processes, with a place for their notes."""
    notes = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"RANK": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": notes.port}
    for name, value in place.items():
        monkeypatch.setenv(name, str(value))
    return notes


def test_the_environment_says_which_process_this_is(second, monkeypatch):
    assert launched() == Team(1, 2)
    monkeypatch.delenv("RANK")
    assert launched() == Team(), "a variable of that name may be of another program"


def test_what_the_first_has_said_is_not_said_again(second, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    assert speaks()
    monkeypatch.setenv("RANK", "1")
    assert not speaks()


def test_where_the_first_is_silent_one_other_speaks(second, monkeypatch):
    monkeypatch.setattr(parallel, "_PATIENCE", 0.2)
    assert [speaks(), speaks()] == [True, False]


def test_another_command_is_refused(second, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    assert main(["score", "run", "--all-singles", "--out", "scores.csv"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("deepseq score: deepseq score was started 2 times by torchrun")


def test_a_model_without_updates_is_refused(second, monkeypatch, capsys, family, tmp_path):
    monkeypatch.setenv("RANK", "0")
    out = tmp_path / "pairs"
    assert main(["train", str(family), "--model", "pairs", "--out", str(out)]) == 2
    assert "torchrun cannot share out" in capsys.readouterr().err and not out.exists()


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    asked = []

    def choose(name):
        asked.append(name)
        return torch.device("cuda" if name == "auto" else name), "because"

    monkeypatch.setattr(parallel, "choose_device", choose)
    monkeypatch.setattr(parallel, "current", lambda: Team(5, 8))
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("auto")[0] == torch.device("cuda:1")
    assert asked == ["auto", "cuda:1", torch.device("cuda:1")]
    assert own_device("cpu")[0] == CPU
    with pytest.raises(ConfigError, match="device is cuda:0, and 8 processes cannot share it"):
        own_device("cuda:0")


def test_processes_that_read_different_files_are_found_out(monkeypatch):
    monkeypatch.setattr(Team, "most", lambda self, numbers: [7.0, -5.0])
    with pytest.raises(TrainingError, match="2 processes of this run differ in the alignment"):
        Team(0, 2).check_alike("the alignment", 7)


def test_dropout_and_a_trainer_for_one_process_are_refused(monkeypatch, alignment):
    for module in (parallel, graphs):
        monkeypatch.setattr(module, "current", lambda: Team(0, 2))
    model = replace(KINDS["plain weights"][0], dropout=0.3)
    network = DeepSequence(model, alignment.tokens.shape[1], alignment.gap)
    weights = np.ones(len(alignment.tokens))
    with pytest.raises(ConfigError, match="dropout draws one mask for a whole batch"):
        ParallelTrainer(network, alignment.tokens, weights, BRIEF, CPU)
    with pytest.raises(ConfigError, match="trainer is Trainer, which makes its updates in one"):
        graphs.trainer_for(CPU, Trainer)
    assert graphs.trainer_for(CPU) is ParallelTrainer


def test_an_error_of_torch_that_is_none_of_the_connection_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes"), parallel._loss_told(2):
        raise RuntimeError("shapes cannot be multiplied")
    with pytest.raises(parallel.ProcessLost, match="another of the 2"), parallel._loss_told(2):
        raise RuntimeError("[third_party/gloo/transport/tcp/pair.cc] Connection closed by peer")


def test_the_history_of_a_share_is_what_its_rows_add(alignment, monkeypatch):
    """The rows of ten processes, one after the other in this one, add to those of one."""
    config = QUICK
    network = [DeepSequence(TINY, alignment.tokens.shape[1], alignment.gap) for _ in range(4)]
    weights = np.ones(len(alignment.tokens))
    given = alignment.tokens, weights, config, CPU
    whole = Trainer(network[0], *given).loss(1)[1]
    parts = []
    for rank in range(3):
        monkeypatch.setattr(parallel, "current", lambda rank=rank: Team(rank, 3))
        parts.append(ParallelTrainer(network[rank + 1], *given).loss(1)[1])
    torch.testing.assert_close(torch.stack(parts).mean(0), whole)
