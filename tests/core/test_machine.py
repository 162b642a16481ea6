"""The machine: device, compiled loops, cores, interrupts, and times for people."""

import os
import signal
import subprocess
import sys

import numba
import numpy as np
import pytest
import torch

from deepseq_nb.core.errors import ConfigError, ResourceError
from deepseq_nb.core.machine import (
    choose_device,
    compiled,
    cores,
    deferred_interrupt,
    duration,
    memory_explained,
    said_by,
)


def test_device_is_explained():
    assert choose_device("cpu")[1].startswith("cpu (") and "as asked" in choose_device("cpu")[1]
    with pytest.raises(ConfigError, match="expected auto, cpu, cuda"):
        choose_device("tpu:x")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_missing_gpu_is_one_clear_error():
    with pytest.raises(ConfigError, match="sees no CUDA GPU"):
        choose_device("cuda")


def test_durations_read_well():
    assert [duration(s) for s in (12.3, 300, 7200)] == ["12 s", "5 min", "2.0 h"]


def test_cores_are_those_of_omp_num_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cores() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    assert cores() == len(os.sched_getaffinity(0))


def test_an_interrupt_is_noted_and_a_second_one_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as caught:
        os.kill(os.getpid(), signal.SIGINT)
        assert caught == [signal.SIGINT]
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_compiled_takes_options_and_works_bare():
    @compiled
    def bare(x, y):
        return x / y

    @compiled(fastmath=False, error_model="python")
    def strict(x, y):
        return x / y

    assert bare(1.0, 4.0) == strict(1.0, 4.0) == 0.25
    assert np.isinf(bare(1.0, 0.0))
    with pytest.raises(ZeroDivisionError):
        strict(1.0, 0.0)
    assert isinstance(bare, numba.core.registry.CPUDispatcher)


def test_loops_are_kept_on_disk_between_processes(tmp_path):
    (tmp_path / "loop.py").write_text(
        "from deepseq_nb.core.machine import compiled\n"
        "@compiled(fastmath=False)\ndef one(x):\n    return x + 1\n"
        "one(1)\nprint(sum(one.stats.cache_hits.values()))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    hits = [
        subprocess.run(
            [sys.executable, "loop.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert hits == ["0", "1"]


def test_the_weights_do_not_wait_for_torch():
    code = "import sys, deepseq_nb.family.depth; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def _raise(error):
    raise error


SHORTAGES = {
    "python": lambda: bytearray(2**62),
    "numpy": lambda: np.empty(2**58),
    "numpy's own limit": lambda: np.empty((2**40, 2**40)),
    "torch": lambda: torch.empty(2**50),
    "torch's own limit": lambda: torch.empty(2**40, 2**40),
    "a GPU": lambda: _raise(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")),
}


@pytest.mark.parametrize("name", SHORTAGES)
def test_memory_that_does_not_suffice_is_one_sentence_with_what_to_do(name):
    with pytest.raises(ResourceError, match=r"memory of this machine .*--batch-size") as caught:
        with memory_explained():
            SHORTAGES[name]()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [ValueError("theta"), RuntimeError("shape"), ConfigError("x"), ResourceError("once")]
)
def test_no_other_error_is_taken_for_lacking_memory(error):
    with pytest.raises(type(error)) as caught:
        with memory_explained():
            raise error
    assert caught.value is error


def test_what_ends_a_helping_process_is_one_sentence_here(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert said_by("print('said \u2026', end='')") == "said \u2026"
    with pytest.raises(ResourceError, match=r"did not come to its end \(it ended with -6\)"):
        said_by("import os; os.abort()")
    with pytest.raises(ResourceError, match=r"\(ValueError: no\)"):
        said_by("raise ValueError('no')")
