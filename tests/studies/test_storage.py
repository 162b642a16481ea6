"""Runs in a store: a copy counts once it is whole, a finished run stays, and any machine goes on with any run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from small_grid import GRID, numbers

from deepseq_nb.core.errors import ConfigError, ExperimentError
from deepseq_nb.studies import runner, storage
from deepseq_nb.studies.storage import Storage, Version, best_first, fetch_run, put_run, snapshot


class Broken(MemoryFileSystem):
    """A store that is there and takes nothing, with an exception of its own."""

    protocol = "broken"
    cachable = False

    def put_file(self, *given, **more):
        raise RuntimeError("SlowDown:\n  reduce your request rate")

    pipe_file = put_file


fsspec.register_implementation("broken", Broken, clobber=True)


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path) -> Storage:
    where = f"/store{tmp_path}"
    return Storage((tmp_path / "store").as_uri() if request.param == "file" else f"memory:/{where}")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "_PAUSES", (0,))


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "here" / "one"
    (folder / "train" / "checkpoint").mkdir(parents=True)
    (folder / "train" / "checkpoint" / "state.safetensors").write_bytes(b"state" * 1000)
    (folder / "log.txt").write_text("a line\n")
    (folder / "train" / ".lock").write_text("")
    return folder


def whole(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_what_is_put_is_fetched_without_locks_and_older_versions_go(store, run, tmp_path):
    assert fetch_run(store, "one", tmp_path / "other") is None
    put_run(store, "one", run)
    (run / "train" / "history.csv").write_text("step\n1\n")
    put_run(store, "one", run)
    assert [version.number for version in store.versions("one")] == [2]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "old").write_text("gone after")
    fetch_run(store, "one", tmp_path / "other")
    expected = whole(run)
    del expected["train/.lock"]
    assert whole(tmp_path / "other") == expected
    assert len({path.split("/one/")[1].split("/")[0].split(".")[0] for path in store.files.find(store.root)}) == 1  # fmt: skip
    light = tmp_path / "light"
    fetch_run(store, "one", light, light=True)
    assert [path.name for path in light.iterdir()] == ["log.txt"]
    assert [p.name for p in run.parent.iterdir()] == ["one"], "no snapshot is left"


@pytest.mark.parametrize("listed", [None, b"", b'{"files": {"log.txt": "a'])
def test_a_copy_that_was_cut_short_is_no_version(store, run, tmp_path, listed):
    put_run(store, "one", run)
    (before,) = store.versions("one")
    half = f"{store.root}/one/000002-ffffffff"
    store.files.makedirs(half, exist_ok=True)
    store.files.pipe_file(f"{half}/result.json", b"{}")
    if listed is not None:
        store.files.pipe_file(f"{half}.json", listed)
    assert store.versions("one") == [before]
    assert fetch_run(store, "one", tmp_path / "other") == before
    (run / "result.json").write_text("{}")
    put_run(store, "one", run)
    assert not store.files.exists(half), "swept once the run is finished"


def test_a_finished_run_is_never_replaced(store, run, tmp_path):
    (run / "result.json").write_text('{"first": 1}')
    put_run(store, "one", run)
    first = store.versions("one")
    (run / "result.json").write_text('{"second": 2}')
    put_run(store, "one", run)
    (run / "result.json").unlink()
    put_run(store, "one", run)
    assert store.versions("one") == first
    fetch_run(store, "one", tmp_path / "other")
    assert (tmp_path / "other" / "result.json").read_text() == '{"first": 1}'


def test_of_two_that_were_written_at_once_the_first_finished_is_the_run():
    done, half = {"result.json": ""}, {}
    keys = {"000002-a": half, "000005-b": done, "000004-c": done, "000009-d": half}
    versions = [Version(key, files) for key, files in keys.items()]
    assert [v.key[:6] for v in best_first(versions)] == ["000004", "000005", "000009", "000002"]


def test_another_finishes_while_a_checkpoint_is_copied(store, run, tmp_path, monkeypatch):
    """The checkpoint does not come after the result, and leaves nothing."""
    digest, finished = storage._digest, []

    def meanwhile(path: Path) -> str:
        if not finished:
            finished.append(shutil.copytree(run, tmp_path / "twin"))
            (tmp_path / "twin" / "result.json").write_text("{}")
            put_run(store, "one", tmp_path / "twin")
        return digest(path)

    monkeypatch.setattr(storage, "_digest", meanwhile)
    put_run(store, "one", run)
    (version,) = store.versions("one")
    assert version.finished and fetch_run(store, "one", tmp_path / "other") == version
    kept = {path.split("/one/")[1].split("/")[0] for path in store.files.find(store.root)}
    assert kept == {version.key, f"{version.key}.json"}


def test_a_damaged_run_is_one_sentence_and_is_not_made_again(store, run, tmp_path):
    put_run(store, "one", run)
    (version,) = store.versions("one")
    store.files.pipe_file(f"{store.root}/one/{version.key}/log.txt", b"changed")
    with pytest.raises(ExperimentError, match="one is damaged: no copy of this run"):
        fetch_run(store, "one", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_snapshot_is_of_one_moment(run, monkeypatch):
    """A file that is replaced while the names are given has them given again."""
    place, seen = storage._place, []

    def replaced(path: Path, copy: Path) -> None:
        if path.name == "state.safetensors" and not seen:
            seen.append(path)
            place(path, copy)
            new = path.with_name("new")
            new.write_bytes(b"later")
            os.replace(new, path)
            return
        place(path, copy)

    monkeypatch.setattr(storage, "_place", replaced)
    with snapshot(run) as copy:
        state = copy / "train" / "checkpoint" / "state.safetensors"
        assert state.read_bytes() == b"later"
        (run / "train" / "checkpoint" / "new").write_bytes(b"latest")
        os.replace(run / "train/checkpoint/new", run / "train/checkpoint/state.safetensors")
        with open(run / "log.txt", "a") as log:
            log.write("another\n")
        assert state.read_bytes() == b"later" and (copy / "log.txt").read_text() == "a line\n"
    assert not copy.exists()


def test_what_a_store_says_is_one_sentence(run, tmp_path):
    with pytest.raises(ExperimentError) as told:
        put_run(Storage("broken://bucket"), "one", run)
    said = "broken://bucket cannot be written: SlowDown: reduce your request rate"
    assert str(told.value) == said
    with pytest.raises(ConfigError, match="nowhere://x cannot be opened: Protocol not known"):
        Storage("nowhere://x")
    (tmp_path / "grid.toml").write_text(GRID)
    with pytest.raises(ExperimentError, match="SlowDown"):
        runner.run_grid(tmp_path / "grid.toml", "broken://bucket", echo=lambda line: None)


def test_a_run_that_cannot_be_kept_fails_and_says_so(run):
    class Ended:
        returncode = 0

        def poll(self):
            return 0

        wait = poll

    def start(folder: Path) -> Ended:
        folder.mkdir()
        (folder / "result.json").write_text("{}")
        return Ended()

    code, why = storage.make_kept("broken://bucket", "one", start, lambda process: None)
    assert (code, why.split(":")[-1]) == (1, " SlowDown: reduce your request rate".split(":")[-1])
    assert storage.make_kept("memory://kept", "one", start, lambda process: None) == (0, "")
    assert not [*storage.work_folder().glob(f".*-{os.getpid()}-*")]


def test_a_grid_in_a_store_has_the_table_of_one_in_a_folder(tmp_path):
    """In the memory of this process: the processes of runs never see the store."""
    grid, said = tmp_path / "grid.toml", []
    grid.write_text(GRID.replace("1500", "60"))
    url = f"memory://grids{tmp_path}"
    quiet = {"device": "cpu", "echo": said.append}
    assert runner.run_grid(grid, tmp_path / "local", **quiet) == 0
    assert runner.run_grid(grid, url, jobs=2, **quiet) == 0, said
    assert f"wrote {url}/table.csv: 2 of 2 runs" in said
    store = Storage(url)
    (tmp_path / "table.csv").write_bytes(store.files.cat_file(f"{store.root}/table.csv"))
    pd.testing.assert_frame_equal(
        numbers(tmp_path / "table.csv"), numbers(tmp_path / "local" / "table.csv")
    )
    before = store.files.find(store.root)
    shutil.rmtree(storage.mirror_of(store))
    assert runner.run_grid(grid, url, **quiet) == 0
    assert "2 runs in" in said[-2] and "2 finished" in said[-2]
    assert store.files.find(store.root) == before, "nothing was made again"


def test_another_machine_goes_on_where_a_killed_one_was(tmp_path, monkeypatch):
    grid, url = tmp_path / "grid.toml", (tmp_path / "bucket").as_uri()
    grid.write_text(GRID.replace("[1, 2]", "1").replace("1500", "600"))
    quiet = {"device": "cpu", "echo": lambda line: None}
    assert runner.run_grid(grid, tmp_path / "local", **quiet) == 0
    words = ["-m", "deepseq_nb", "experiments", grid, "--out", url, "--device", "cpu"]
    (tmp_path / "first").mkdir()
    first = os.environ | {"TMPDIR": str(tmp_path / "first")}
    process = subprocess.Popen([sys.executable, *map(str, words)], env=first)
    end = time.monotonic() + 240
    while not [*(tmp_path / "bucket").glob("*/*.json")]:
        assert time.monotonic() < end and process.poll() is None, "no checkpoint came"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setenv("DEEPSEQ_CACHE", str(tmp_path / "another"))
    assert runner.run_grid(grid, url, **quiet) == 0
    (result,) = (tmp_path / "bucket").glob("*/*/result.json")
    assert json.loads(result.read_text())["trained"]["resumed_from"] > 0
    pd.testing.assert_frame_equal(
        numbers(tmp_path / "bucket/table.csv"), numbers(tmp_path / "local/table.csv")
    )
