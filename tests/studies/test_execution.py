"""Chapters in processes of their own: several at a time, ended together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from deepseq_nb.core import errors
from deepseq_nb.studies import execution


def job(folder: Path, stem: str, *sources: str, **parameters) -> execution.ChapterJob:
    """A chapter of code cells, the first one its parameters, written into `folder`."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata = {"tags": ["parameters"]}
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{stem}.ipynb")
    return execution.ChapterJob(
        notebook=folder / f"{stem}.ipynb",
        executed=folder / "executed" / f"{stem}.ipynb",
        parameters=parameters,
        root=folder,
        scratch=folder / "work" / stem,
    )


def printed(executed: Path) -> str:
    cells = nbformat.read(executed, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def alive(word: str) -> list[str]:
    """Command lines of processes that name `word`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line and path.parent.name != str(os.getpid()):
            found.append(line)
    return found


def test_a_job_survives_its_way_through_text(tmp_path):
    made = job(tmp_path, "a", "seed = 1", seed=3, data_dir="somewhere")
    assert execution.ChapterJob.from_json(made.to_json()) == made


def test_two_chapters_wait_for_each_other_only_if_they_run_at_the_same_time(tmp_path):
    wait = (
        "import time\nfrom pathlib import Path\n"
        "Path(place, name).touch()\nend = time.time() + 300\n"
        "while not Path(place, other).exists() and time.time() < end:\n    time.sleep(0.05)\n"
        "print(Path(place, other).exists(), __import__('os').environ.get('OMP_NUM_THREADS'))"
    )
    declared = "place = name = other = ''"
    jobs = [
        job(tmp_path, name, declared, wait, place=str(tmp_path), name=name, other=other)
        for name, other in (("one", "two"), ("two", "one"))
    ]
    before = dict(os.environ)
    done = list(execution.run_chapters(jobs, at_once=2))
    assert dict(os.environ) == before, "nothing of this process is changed"
    assert {made.notebook.stem for made, _ in done} == {"one", "two"}
    assert all(seconds > 0 for _, seconds in done)
    share = execution.thread_limits(2)["OMP_NUM_THREADS"]
    assert [printed(made.executed) for made in jobs] == [f"True {share}\n"] * 2


def test_threads_are_divided_and_never_none(monkeypatch):
    monkeypatch.setattr(execution, "cores", lambda: 6)
    assert execution.thread_limits(1) == {}
    assert set(execution.thread_limits(2).values()) == {"3"}
    assert set(execution.thread_limits(8).values()) == {"1"}


def test_a_failure_ends_the_others_and_shows_its_cell(tmp_path):
    slow = job(tmp_path, "slow", "seed = 1", "import time\ntime.sleep(3000)")
    wrong = job(tmp_path, "wrong", "seed = 1", "1 / 0")
    with pytest.raises(errors.BookError, match="wrong: cell 2 of 2 failed") as caught:
        list(execution.run_chapters([slow, wrong], at_once=2))
    assert str(caught.value).endswith("ZeroDivisionError: division by zero")
    assert alive(str(tmp_path)) == []
    assert not slow.executed.with_suffix(".json").exists()


def test_a_process_that_is_killed_is_a_failure_with_the_chapter_named(tmp_path):
    made = job(
        tmp_path, "killed", "seed = 1", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"
    )
    with pytest.raises(errors.BookError, match="killed: its process was killed by signal 9"):
        list(execution.run_chapters([made]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_runner_is_ended(tmp_path, number):
    made = job(
        tmp_path,
        "slow",
        "place = ''",
        "import os, time\nfrom pathlib import Path\n"
        "Path(place, 'writing').write_text(str(os.getpid()))\n"
        "Path(place, 'writing').rename(Path(place, 'kernel'))\ntime.sleep(600)",
        place=str(tmp_path),
    )
    program = (  # a shell that starts tests in the background hands down that SIGINT is ignored
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from deepseq_nb.studies.execution import ChapterJob, run_chapters\n"
        "list(run_chapters([ChapterJob.from_json(sys.argv[1])]))"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", program, made.to_json()], stderr=subprocess.DEVNULL
    )
    while not (tmp_path / "kernel").exists():
        assert runner.poll() is None
        time.sleep(0.05)
    kernel = int((tmp_path / "kernel").read_text())
    runner.send_signal(number)
    assert runner.wait(300) != 0

    def gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    end = time.monotonic() + 300
    while (alive(str(tmp_path)) or not gone(kernel)) and time.monotonic() < end:
        time.sleep(0.1)
    assert alive(str(tmp_path)) == [] and gone(kernel)


def test_chapters_of_a_warm_server_start_with_their_own_environment_and_leave_nothing(tmp_path):
    source = (
        "import os, random, sys\nimport numpy as np\n"
        "print(os.getcwd(), seed, 'torch' in sys.modules, 'deepseq_nb.model' in sys.modules)\n"
        "print(os.getpid(), os.getppid(), random.random(), np.random.random())"
    )
    jobs = [job(tmp_path, f"c{i}", "seed = 1", source, seed=i) for i in range(4)]
    done = list(execution.run_chapters(jobs, at_once=2))
    assert sorted(made.notebook.stem for made, _ in done) == ["c0", "c1", "c2", "c3"]
    lines = [printed(made.executed).splitlines() for made in jobs]
    warm = sys.platform == "linux"
    for i, (first, _) in enumerate(lines):
        assert first == f"{(tmp_path / f'work/c{i}').resolve()} {i} {warm} False"
    numbers = [second.split() for _, second in lines]
    for column in zip(*numbers, strict=True):
        assert len(set(column)) == 4, "each has a process, a parent and random numbers of its own"
    for pid, parent, *_ in numbers:
        assert not Path("/proc", pid).exists() and not Path("/proc", parent).exists()


def test_a_figure_of_a_warm_chapter_is_a_picture_as_it_is_of_a_cold_one(tmp_path):
    """matplotlib reads at its import where figures go, and in a copy that was before there was a kernel."""
    draw = (
        "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\nplt.close(figure)\nfigure"
    )
    jobs = [job(tmp_path, f"f{i}", "seed = 1", draw) for i in range(3)]
    list(execution.run_chapters(jobs))
    for made in jobs:
        (output,) = nbformat.read(made.executed, as_version=4).cells[-1].outputs
        assert "image/png" in output.data


def test_a_warm_chapter_may_run_a_notebook_itself(tmp_path):
    inner = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(6 * 7)")])
    nbformat.write(inner, tmp_path / "inner.ipynb")
    source = (
        "import papermill\n"
        "made = papermill.execute_notebook(path, 'out.ipynb', kernel_name='python3', progress_bar=False)\n"
        "print(made.cells[-1].outputs[0].text)"
    )
    jobs = [
        job(tmp_path, f"n{i}", "path = ''", source, path=str(tmp_path / "inner.ipynb"))
        for i in range(3)
    ]
    list(execution.run_chapters(jobs))
    assert all("42" in printed(made.executed) for made in jobs)


def test_a_failure_among_warm_chapters_ends_the_others(tmp_path):
    source = "from pathlib import Path\nimport os, time\nPath(place).write_text(str(os.getpid()))\n"
    slow = [
        job(
            tmp_path,
            f"slow{i}",
            "place = ''",
            source + "time.sleep(3000)",
            place=str(tmp_path / f"{i}"),
        )
        for i in range(2)
    ]
    wait = f"import os, time\nend = time.time() + 300\nwhile len(set(os.listdir({str(tmp_path)!r})) & {{'0', '1'}}) < 2 and time.time() < end:\n    time.sleep(0.05)\n1 / 0"
    wrong = job(tmp_path, "wrong", "seed = 1", wait)
    with pytest.raises(errors.BookError, match="wrong: cell 2 of 2 failed"):
        list(execution.run_chapters([*slow, wrong], at_once=3))
    kernels = [int((tmp_path / f"{i}").read_text()) for i in range(2)]
    assert not any(Path(f"/proc/{pid}").exists() for pid in kernels)


def test_a_warm_chapter_whose_process_is_killed_is_named_and_its_kernel_ends(tmp_path):
    kill = (
        "import os, signal, time\nfrom pathlib import Path\nPath(place).write_text(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(3000)"
    )
    jobs = [
        job(tmp_path, name, "place = ''", kill, place=str(tmp_path / f"{name}.pid"))
        for name in ("one", "two", "three")
    ]
    with pytest.raises(errors.BookError, match="one: its process was killed by signal 9"):
        list(execution.run_chapters(jobs))
    kernel, end = int((tmp_path / "one.pid").read_text()), time.time() + 300
    while Path(f"/proc/{kernel}").exists() and time.time() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{kernel}").exists()
