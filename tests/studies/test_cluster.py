"""A grid on a Ray cluster of several nodes: the table of the local run, also when a node dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from small_cluster import ray_cluster
from small_grid import GRID, numbers

from deepseq_nb.core.errors import ExperimentError
from deepseq_nb.model import choices
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.sizes import PRESETS
from deepseq_nb.studies import cluster, runner

ROOT = Path(__file__).resolve().parents[2]


def whole_node(raylet: int) -> list[int]:
    """The raylet and all that descends from it: workers, and the processes of runs in sessions of
    their own. A machine that fails takes them all; a raylet killed alone leaves them at work."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
    found = [raylet]
    for one in found:  # grows while it is gone through
        found += [pid for pid, parent in parents.items() if parent == one]
    return found


def halted_in_training(raylet: int) -> bool:
    """Stop a run of the node that has a checkpoint and is not done with training, if there is one."""
    for process in whole_node(raylet):
        with suppress(OSError, ValueError):
            words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
            train = Path(words[words.index("deepseq_nb.studies.jobs") + 1]) / "train"
            if not (train / "checkpoint" / "state.safetensors").exists():
                continue
            os.kill(process, signal.SIGSTOP)
            if not (train / "model.safetensors").exists():
                return True
            os.kill(process, signal.SIGCONT)
    return False


@pytest.fixture
def nodes(monkeypatch):
    """Two nodes of one core, each with processes of its own."""
    with ray_cluster(monkeypatch) as made:
        yield made


def test_a_node_killed_in_the_middle_leaves_the_table_of_the_local_run(nodes, tmp_path):
    grid = tmp_path / "grid.toml"
    grid.write_text(GRID)
    assert runner.run_grid(grid, tmp_path / "local", device="cpu", echo=lambda line: None) == 0
    raylet = nodes.worker.all_processes["raylet"][0].process.pid
    killed = tmp_path / "killed"
    said, out = [], tmp_path / "remote"
    pid = os.fork()
    if pid == 0:  # kills the node in the middle of its training
        end = time.monotonic() + 300
        while time.monotonic() < end:
            if halted_in_training(raylet):
                lost = whole_node(raylet)
                for process in lost:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                killed.write_text(f"{len(lost)}")
                os._exit(0)
            time.sleep(0.02)
        os._exit(1)
    code = cluster.run_on_cluster(grid, out, nodes.address, device="cpu", echo=said.append)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert code == 0, said
    assert int(killed.read_text()) > 2, "the raylet, a worker and the process of a run"
    resumed = [
        json.loads(p.read_text())["trained"]["resumed_from"] for p in out.glob("*/result.json")
    ]
    assert len(resumed) == 2 and max(resumed) > 0, resumed
    pd.testing.assert_frame_equal(numbers(out / "table.csv"), numbers(tmp_path / "local/table.csv"))


def command(grid: Path, out: Path, address: str) -> subprocess.Popen:
    """The command line, as a driver of its own."""
    words = ["experiments", grid, "--out", out, "--cluster", address, "--device", "cpu"]
    words = [sys.executable, "-m", "deepseq_nb", *map(str, words)]
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, **kept)


def wait_for(what, seconds: float = 240) -> None:
    """Until something is true; fails where it does not become so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_a_driver_killed_and_started_again_counts_nothing_twice(nodes, tmp_path):
    grid, out = tmp_path / "grid.toml", tmp_path / "remote"
    grid.write_text(GRID.replace("seeds = [1, 2]", "seeds = [1, 2, 3, 4]"))
    first = command(grid, out, nodes.address)
    wait_for(lambda: list(out.glob("*/result.json")) or first.poll() is not None)
    first.kill()
    first.wait()
    done = {path: path.read_bytes() for path in out.glob("*/result.json")}
    assert 1 <= len(done) < 4
    again = command(grid, out, nodes.address)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert f"{len(done)} finished" in said or "4 finished" in said
    assert all(path.read_bytes() == before for path, before in done.items())
    table = pd.read_csv(out / "table.csv")
    assert sorted(table.seed.unique()) == [1, 2, 3, 4]
    assert len(table) == len(table.drop_duplicates(["seed", "set"]))


def test_a_run_whose_process_is_killed_fails_alone_and_is_made_at_the_next_start(nodes, tmp_path):
    grid, out = tmp_path / "grid.toml", tmp_path / "remote"
    grid.write_text(GRID)
    driver = command(grid, out, nodes.address)

    def victim() -> list[int]:
        """The process of the first run, once it trains."""
        if not list(out.glob("*seed1*/train/history.csv")):
            return []
        found = subprocess.run(["pgrep", "-f", f"jobs {out}/.*seed1"], capture_output=True)
        return [int(pid) for pid in found.stdout.split()]

    wait_for(lambda: victim() or driver.poll() is not None)
    for pid in victim():
        os.kill(pid, signal.SIGKILL)  # what a kernel without memory does
    said, _ = driver.communicate(timeout=300)
    assert driver.returncode == 1, said
    assert "killed by signal 9 (9 may mean that memory ran out)" in said
    assert len(list(out.glob("*/result.json"))) == 1
    again = command(grid, out, nodes.address)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert sorted(pd.read_csv(out / "table.csv").seed.unique()) == [1, 2]


@pytest.fixture
def one_core(monkeypatch):
    """A node of one core, so that runs are made in the order of the grid."""
    with ray_cluster(monkeypatch, 1) as made:
        yield made


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 9 MiB: a checkpoint of the preset quick has 4.4, one of small 9.3."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", disk]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no command `mount`")
    if done.returncode:
        pytest.skip(f"a disk of its own needs root: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_on_a_full_disk_one_run_fails_and_goes_on_once_there_is_room(
    one_core, small_disk, tmp_path
):
    grid, out, said = tmp_path / "grid.toml", small_disk / "runs", []
    text = GRID.replace('"quick"', '["small", "quick"]').replace("1500", "20")
    grid.write_text(text.replace("[1, 2]", "1"))
    how = {"device": "cpu", "echo": said.append}
    assert cluster.run_on_cluster(grid, out, one_core.address, **how) == 1
    failed = [line for line in said if "FAILED" in line]
    assert len(failed) == 1 and "-small-" in failed[0], said
    assert "No space left on device" in failed[0] and "\n" not in failed[0]
    (done,) = out.glob("*/result.json")
    assert "-quick-" in done.parent.name
    assert list(pd.read_csv(out / "table.csv").preset.unique()) == ["quick"]
    before = done.read_bytes()
    subprocess.run(["mount", "-o", "remount,size=90m", small_disk], check=True)
    assert cluster.run_on_cluster(grid, out, one_core.address, resume=True, **how) == 0, said
    assert done.read_bytes() == before
    assert runner.run_grid(grid, tmp_path / "local", **how) == 0
    pd.testing.assert_frame_equal(numbers(out / "table.csv"), numbers(tmp_path / "local/table.csv"))


def test_a_node_killed_in_the_middle_loses_nothing_of_a_store(nodes, tmp_path, monkeypatch):
    """The folder of a run is the node's own; what is left of it is in the store."""
    monkeypatch.setenv("DEEPSEQ_CACHE", str(tmp_path / "cache"))
    grid, bucket, said = tmp_path / "grid.toml", tmp_path / "bucket", []
    grid.write_text(GRID)
    raylet = nodes.worker.all_processes["raylet"][0].process.pid
    pid = os.fork()
    if pid == 0:  # kills the node once both runs have a version in the store
        end = time.monotonic() + 300
        while time.monotonic() < end:
            if len(list(bucket.glob("*/*.json"))) == 2:
                for process in whole_node(raylet):
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                os._exit(0)
            time.sleep(0.02)
        os._exit(1)
    how = {"device": "cpu", "echo": said.append}
    code = cluster.run_on_cluster(grid, bucket.as_uri(), nodes.address, **how)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert code == 0, said
    results = [json.loads(p.read_text()) for p in bucket.glob("*/*/result.json")]
    resumed = [result["trained"]["resumed_from"] for result in results]
    assert len(resumed) == 2 and max(resumed) > 0, resumed
    assert runner.run_grid(grid, tmp_path / "local", **how) == 0
    pd.testing.assert_frame_equal(
        numbers(bucket / "table.csv"), numbers(tmp_path / "local/table.csv")
    )


def test_what_no_node_has_room_for_is_said_before_anything_starts():
    small, large = {"CPU": 4.0, "memory": 2.0**31}, {"CPU": 1.0, "memory": 2.0**34}
    assert cluster.lacking([small, large], 2**33, "cpu") == ""
    assert cluster.lacking([small], 2**31, "cpu") == ""
    needs = "it needs 8,192 MiB, and no node offers more than 2,048 MiB"
    assert cluster.lacking([small], 2**33, "cpu") == needs
    assert cluster.lacking([small], 2**20, "cuda:0") == "no node has a GPU"
    assert cluster.lacking([small | {"GPU": 1.0}], 2**20, "cuda") == ""
    assert "more than 0 MiB" in cluster.lacking([], 2**20, "cpu")


@pytest.mark.parametrize("name", PRESETS)
def test_the_parameters_are_counted_as_the_model_has_them(name):
    model = DeepSequence(PRESETS[name], 30, 20)
    found = sum(parameter.numel() for parameter in model.parameters())
    assert cluster.parameters_of(PRESETS[name], 30) == found


def test_a_plan_starts_nothing_and_says_time_and_memory(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    plan = cluster.plan_of(tmp_path / "grid.toml")
    assert len(plan.table) == 2 and plan.seconds > 0 and plan.memory_mib > 400
    assert plan.lines()[-1].startswith("2 runs: ")
    assert [path.name for path in tmp_path.iterdir()] == ["grid.toml"]


def test_a_plan_counts_the_updates_that_the_device_allows(tmp_path, monkeypatch):
    """As `fit` does where nobody says when to stop: on a GPU these are far more than on a processor."""
    more = choices.RECOMMENDED["cpu"]._replace(max_steps=54_321)
    monkeypatch.setitem(choices.RECOMMENDED, "cpu", more)
    (tmp_path / "grid.toml").write_text(GRID.replace("steps = 1500", 'steps = "auto"'))
    assert set(cluster.planned(tmp_path / "grid.toml", "cpu", measure=False).updates) == {54_321}


@pytest.mark.parametrize(
    "address", ["nowhere.invalid:1", "127.0.0.1:1", "ray://127.0.0.1:1", "localhost:99999"]
)
def test_no_cluster_is_one_sentence(tmp_path, address):
    pytest.importorskip("ray", reason="Ray is not installed: pip install '.[cluster]'")
    (tmp_path / "grid.toml").write_text(GRID)
    with pytest.raises(ExperimentError, match=f"--cluster {address}: no Ray cluster answers"):
        cluster.run_on_cluster(tmp_path / "grid.toml", tmp_path / "out", address)
    assert not (tmp_path / "out").exists()


def test_an_address_is_tried_without_ray():
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "localhost:99999"):
        with pytest.raises(OSError):
            cluster._check_answers(address)
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        cluster._check_answers(f"127.0.0.1:{somebody.getsockname()[1]}")
    cluster._check_answers("auto")
