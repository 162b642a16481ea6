"""The runner of a grid: what is left when everything is killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import ExperimentError
from deepseq_nb.studies import jobs, runner
from deepseq_nb.studies.results import save_result

ROOT = Path(__file__).resolve().parents[2]

# the runner, with a job that takes no time

JOB = """\
import json, os, pathlib, sys, time
from deepseq_nb.studies.jobs import join_grid
out = pathlib.Path(sys.argv[1])
join_grid(out)
(out / "error.txt").unlink(missing_ok=True)
while (out.parent / "hold").exists():
    time.sleep(0.05)
given = json.loads((out / "experiment.json").read_text())
if given["seed"] == 2 and (out.parent / "trouble").exists():
    (out / "error.txt").write_text("seed 2 is unlucky")
    sys.exit(1)
with open(out.parent / "made", "a") as file:
    file.write(f"{given['seed']}\\n")
result = {"experiment": given, "data": {}, "trained": {}, "seconds": {"all": 1.0}, "sets": []}
keys = ("version", "commit", "device", "cores", "threads", "python", "torch", "numpy", "made")
result["origin"] = dict.fromkeys(keys, "")
(out / "result.tmp").write_text(json.dumps(result))
os.replace(out / "result.tmp", out / "result.json")
"""
COMMAND = """\
import sys
from deepseq_nb.cli import main
from deepseq_nb.studies import jobs, runner
runner._JOB = ("job.py",)
sys.exit(main.main(sys.argv[1:]))
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def quick_job(tmp_path, monkeypatch) -> Path:
    """The current folder, with a job that does nothing, and waits as long as the grid has a file `hold`; `grid.toml` has three runs."""
    write(tmp_path / "job.py", JOB)
    write(tmp_path / "command.py", COMMAND)
    write(tmp_path / "grid.toml", 'families = "synthetic"\nseeds = [1, 2, 3]\nsteps = 1\n')
    monkeypatch.setattr(runner, "_JOB", (str(tmp_path / "job.py"),))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start_runner(folder: Path, *more: str) -> subprocess.Popen:
    """`deepseq experiments grid.toml` in a process of its own, which hears Ctrl-C even where the tests run in a script's background."""
    command = [sys.executable, "command.py", "experiments", "grid.toml", "--out", "runs", *more]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def hold(out: Path) -> Path:
    """The file that keeps the jobs of a grid from ending."""
    out.mkdir(exist_ok=True)
    return out / "hold"


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of the result of every finished run."""
    files = list(out.glob("synthetic-*/result.json"))
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in files}


def processes_of(out: Path) -> list[int]:
    """Processes whose command line names a run of the grid."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{out.resolve()}/".encode() in command:
            found.append(int(entry.name))
    return found


def wait_for(what, seconds: float = 300.0) -> None:
    """Until `what()` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_killed_at_random_moments_no_finished_run_is_lost_or_made_again(quick_job):
    out, rng = quick_job / "runs", np.random.default_rng(5)
    moments = [1.0, *rng.uniform(4, 14, size=3)]
    for moment in moments:
        process = start_runner(quick_job, "--jobs", "2")
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            pass
        before = finished(out) if out.exists() else {}
        process.kill()
        if rng.random() < 0.5:  # the children with it
            for child in processes_of(out):
                with suppress(ProcessLookupError):  # it may have ended meanwhile
                    os.kill(child, signal.SIGKILL)
        process.communicate()
        now = finished(out)
        assert {name: now.get(name) for name in before} == before
    before = finished(out)
    process = start_runner(quick_job, "--jobs", "2")
    said = process.communicate(timeout=600)[0]
    assert process.returncode == 0, said
    now = finished(out)
    assert len(now) == 3 and {name: now[name] for name in before} == before
    assert sorted(pd.read_csv(out / "table.csv").seed) == [1, 2, 3]


def test_orphans_of_a_killed_runner_end_by_themselves(quick_job):
    out = quick_job / "runs"
    write(hold(out), "")
    process = start_runner(quick_job)
    wait_for(lambda: processes_of(out))
    process.kill()
    process.communicate()
    wait_for(lambda: not processes_of(out))
    with runner._only_runner(out, patience=90):  # they have let go
        pass


def test_ctrl_c_ends_it_and_says_how_to_go_on(quick_job):
    write(hold(quick_job / "runs"), "")  # none of the three can end before the signal
    process = start_runner(quick_job)
    wait_for(lambda: processes_of(quick_job / "runs"))
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 130 and "Traceback" not in said
    assert "0 of 3 runs are finished; go on with: deepseq experiments grid.toml --out runs" in said
    assert not processes_of(quick_job / "runs")


def test_a_failed_run_is_listed_and_tried_again_only_with_resume(quick_job):
    out, said = quick_job / "runs", []
    out.mkdir()
    (out / "trouble").touch()
    grid = quick_job / "grid.toml"
    assert runner.run_grid(grid, out, jobs=3, echo=said.append) == 1
    assert sum("seed2: " in line and "seed 2 is unlucky" in line for line in said) == 1
    (unlucky,) = out.glob("*seed2")
    assert runner.state_of(unlucky) == "failed"
    (out / "trouble").unlink()
    before, said = finished(out), []
    assert runner.run_grid(grid, out, echo=said.append) == 1 and finished(out) == before
    assert any("--resume tries again" in line for line in said)
    assert runner.run_grid(grid, out, resume=True, echo=lambda line: None) == 0
    assert sorted((out / "made").read_text().split()) == ["1", "2", "3"]


def test_a_grid_of_ones_own_never_replaces_a_table_of_the_project__faults_grids(
    quick_job, monkeypatch
):
    """The row `grids` of benchmarks/faults.py: `result = "con"` made results/con.csv in the project."""
    project = quick_job / "project" / "results"
    monkeypatch.setattr(runner, "results_folder", lambda: project)
    save_result("variants", pd.DataFrame({"rho": [0.5]}), {"file": "variants.toml"}, project)
    text = 'families = "synthetic"\nsteps = 1\nresult = "variants"\n'
    grid = write(quick_job / "mine.toml", text)
    assert runner.run_grid(grid, quick_job / "runs", echo=lambda line: None) == 0
    assert pd.read_csv(quick_job / "results" / "variants.csv").seed.tolist() == [1]
    assert pd.read_csv(project / "variants.csv").columns.tolist() == ["rho"]
    own = write(quick_job / "project" / "variants.toml", text)
    assert runner.run_grid(own, quick_job / "again", echo=lambda line: None) == 0
    assert pd.read_csv(project / "variants.csv").seed.tolist() == [1], "its own grid replaces it"


@pytest.mark.parametrize(
    ("origin", "maker"),
    [
        ('{"parameters": {"file": "first.toml"}}', "first.toml"),
        ('{"parameters": {"script": "benchmarks/search.py"}}', "benchmarks/search.py"),
        ("[]", "something that left no record of itself"),
        (None, "something that left no record of itself"),
    ],
)
def test_a_table_that_something_else_made_is_not_replaced_and_nothing_is_run(
    quick_job, origin, maker
):
    folder = quick_job / "results"
    folder.mkdir()
    write(folder / "table.csv", "rho\n0.5\n")
    if origin:
        write(folder / "table.json", origin)
    grid = write(quick_job / "second.toml", 'families = "synthetic"\nresult = "table"\n')
    with pytest.raises(ExperimentError, match="another name, or move that table away") as caught:
        runner.run_grid(grid, quick_job / "runs", echo=lambda line: None)
    assert f"made by {maker}: " in str(caught.value) and "\n" not in str(caught.value)
    assert (folder / "table.csv").read_text() == "rho\n0.5\n" and not (quick_job / "runs").exists()


def test_a_table_of_the_same_runs_is_replaced_whatever_the_file_was_called(quick_job):
    grid = write(quick_job / "grid.toml", 'families = "synthetic"\nsteps = 1\nresult = "mine"\n')
    assert runner.run_grid(grid, quick_job / "runs", echo=lambda line: None) == 0
    made = (quick_job / "results" / "mine.json").read_text()
    renamed = grid.rename(quick_job / "renamed.toml")
    assert runner.run_grid(renamed, quick_job / "runs", echo=lambda line: None) == 0
    assert (quick_job / "results" / "mine.json").read_text() != made
    longer = write(quick_job / "longer.toml", renamed.read_text().replace("= 1", "= 2"))
    with pytest.raises(ExperimentError, match=r"made by renamed\.toml"):
        runner.run_grid(longer, quick_job / "longer", echo=lambda line: None)


def test_a_second_runner_is_refused(tmp_path):
    grid = write(tmp_path / "g.toml", 'families = "synthetic"\n')
    with runner._only_runner(tmp_path / "runs"):
        with pytest.raises(ExperimentError, match="in use by another runner"):
            runner.run_grid(grid, tmp_path / "runs")
    with runner._only_runner(tmp_path / "runs"):  # let go again
        pass


def test_a_family_that_is_not_here_is_named_and_the_others_run(quick_job):
    said = []
    text = 'families = ["mine", "synthetic"]\nsteps = 1\n[data.mine]\nalignment = "mine.a2m"\n'
    grid = write(quick_job / "two.toml", text)
    assert runner.run_grid(grid, quick_job / "runs", echo=said.append) == 1
    assert any(line.startswith("absent: mine-") and "is not there" in line for line in said)
    assert runner.state_of(next((quick_job / "runs").glob("synthetic-*"))) == "finished"
    assert not list((quick_job / "runs").glob("mine-*"))


def test_a_table_names_files_as_the_grid_does_where_they_are_below_it(quick_job):
    home = quick_job / "home"
    (home / "families").mkdir(parents=True)
    near, far = home / "families" / "near.a2m", quick_job / "far.a2m"
    for file in (near, far):
        write(file, ">one\nMKV\n>two\nMRV\n")
    text = 'families = ["near", "far"]\nsteps = 1\n[data.near]\nalignment = "families/near.a2m"\n'
    grid = write(home / "g.toml", text + '[data.far]\nalignment = "../far.a2m"\n')
    assert runner.run_grid(grid, quick_job / "runs", echo=lambda line: None) == 0
    table = pd.read_csv(quick_job / "runs" / "table.csv").set_index("family")
    assert table.alignment["near"] == "families/near.a2m"
    assert table.alignment["far"] == str(far)


def test_a_grid_none_of_which_can_run_is_one_line_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "find", lambda *args, **options: None)
    said = []
    grid = write(tmp_path / "g.toml", 'families = "BLAT_ECOLX"\nseeds = [1, 2]\n')
    with pytest.raises(
        ExperimentError, match=r"nothing can run: .* data fetch BLAT_ECOLX"
    ) as caught:
        runner.run_grid(grid, tmp_path / "runs", echo=said.append)
    assert said == [] and "\n" not in str(caught.value)
    assert not list((tmp_path / "runs").glob("BLAT*"))


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ([], "open"),
        (["experiment.ipynb"], "open"),
        (["error.txt"], "failed"),
        (["result.json"], "finished"),
        (["result.json", "experiment.ipynb"], "finished"),  # a folder of an earlier version
    ],
)
def test_a_run_is_finished_when_its_result_is_in_place(tmp_path, files, state):
    for name in files:
        (tmp_path / name).touch()
    assert runner.state_of(tmp_path) == state


def test_a_run_that_cannot_be_started_fails_alone_and_says_why(tmp_path, monkeypatch):
    """Its disk is full before there is a process."""
    grid, said = tmp_path / "grid.toml", []
    grid.write_text('families = "synthetic"\npresets = "quick"\nsteps = 3\nseeds = [1, 2]\n')

    class Done:
        """A process that has left its result."""

        returncode, why = 0, ""

        def poll(self):
            return 0

        wait = kill = poll

    def starter(folder, run, device, limits):
        if "seed1" in folder.name:
            raise OSError(28, "No space left on device", str(folder))
        folder.mkdir()
        (folder / "result.json").write_text(RESULT)
        return Done()

    monkeypatch.setattr(runner, "result_rows", lambda result, home: [{"value": 1.0}])
    assert runner.run_grid(grid, tmp_path / "out", echo=said.append, starter=starter) == 1
    assert sum("No space left on device" in line for line in said) == 1
    assert any(line.startswith("failed: ") and "seed1" in line for line in said)
    assert any(line.startswith("[1/2] ") and "seed2" in line for line in said), said


RESULT = '{"experiment": {"family": "synthetic"}, "data": {}, "trained": {}, "scored": {}, "seconds": {}, "sets": [], "origin": {}}'


def test_where_not_even_the_error_can_be_written_the_room_is_said(tmp_path, monkeypatch):
    def full(*given, **more):
        raise OSError(28, "No space left on device")

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(jobs, "write_atomic", full)
    code = jobs.job_process(tmp_path / "run", "cpu")  # it has no experiment.json
    assert code == jobs.UNWRITABLE
    told = runner._failure(tmp_path / "run", code)
    assert told.startswith(f"nothing can be written to {tmp_path / 'run'}: ") and "MiB" in told


def test_a_table_that_cannot_be_written_ends_nothing(tmp_path, monkeypatch):
    grid, said = tmp_path / "grid.toml", []
    grid.write_text('families = "synthetic"\npresets = "quick"\nsteps = 3\n')

    def full(*given, **more):
        raise OSError(28, "No space left on device")

    def starter(folder, run, device, limits):
        folder.mkdir()
        (folder / "result.json").write_text(RESULT)
        return subprocess.Popen(["true"])

    monkeypatch.setattr(runner, "save_result", full)
    monkeypatch.setattr(runner, "result_rows", lambda result, home: [{"value": 1.0}])
    assert runner.run_grid(grid, tmp_path / "out", echo=said.append, starter=starter) == 1
    assert "No space left" in said[-1] and "writes the table again" in said[-1]
