"""The job of a run: one function, one result, the same whatever happened on the way."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import ConfigError, DatasetError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.registry import find
from deepseq_nb.model.runs import fit, load_run
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import contents, grid, jobs
from deepseq_nb.studies.grid import Experiment

ROOT = Path(__file__).resolve().parents[2]
QUICK = Experiment(
    family="synthetic", preset="quick", steps=200, samples=4, train='{"checkpoint_every": 20}'
)


KILLED = """
import os, sys
from pathlib import Path
from deepseq_nb.model.training import Trainer
from deepseq_nb.studies.jobs import job_process
update = Trainer.update
def last(self, step):
    if step == 50:
        os.kill(os.getpid(), 9)
    return update(self, step)
Trainer.update = last
sys.exit(job_process(Path(sys.argv[1]), sys.argv[2]))
"""


def start(
    folder: Path,
    experiment: Experiment,
    root: Path = ROOT,
    program: tuple[str, ...] = ("-m", "deepseq_nb.studies.jobs"),
    **environment: str,
):
    """The process of a job, with its experiment written down as the runner does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.json").write_text(json.dumps(asdict(experiment)))
    return subprocess.Popen(
        [sys.executable, *program, str(folder), "cpu"],
        env=os.environ | {"PYTHONPATH": str(root)} | environment, cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_a_job_killed_in_training_goes_on_from_its_checkpoint_to_the_same_scores(tmp_path):
    process = start(tmp_path / "run", QUICK, program=("-c", KILLED))
    said = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL, said
    assert not (tmp_path / "run" / "result.json").exists()
    (tmp_path / "run" / "train" / "history.csv").unlink()  # written after the checkpoint
    process = start(tmp_path / "run", QUICK)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    table = pd.DataFrame(grid.result_rows(result))
    assert table.set.tolist() == ["singles", "doubles", "epistasis"]
    assert table.resumed_from[0] == 40 and table.neff[0] > 1 and table.commit[0]
    assert ((table.low <= table.value) & (table.value <= table.high)).all()
    assert math.isfinite(table.peak_mib[0])
    whole = fit(Alignment.read(find("synthetic")), *QUICK.configurations("cpu"))
    variants = grid.wanted_variants(grid.measurements("synthetic"))
    mine = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert mine.variant.tolist() == variants
    assert np.allclose(mine.score, score(whole, variants, 4, 1).score, atol=1e-3)


def test_a_finished_job_is_read_and_not_made_again(tmp_path):
    (tmp_path / "result.json").write_text('{"made": "before"}')
    assert jobs.run_job(QUICK, tmp_path) == {"made": "before"}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_job_makes_the_run_that_fit_makes_for_a_shallow_family(tmp_path):
    rows = ["MKVLAT", "MKILAT", "MRVLGT", "MKVFAT"]
    text = "".join(f">s{i}\n{row}\n" for i, row in enumerate(rows))
    (tmp_path / "few.a2m").write_text(text)
    asked = Experiment(
        family="few", alignment=str(tmp_path / "few.a2m"), preset="quick", steps=3, samples=2
    )
    result = jobs.run_job(asked, tmp_path / "run", "cpu")
    made = fit(Alignment.read(tmp_path / "few.a2m"), *asked.configurations("cpu"))
    assert made.model_config.site_prior, "four sequences are a shallow family"
    kept = load_run(tmp_path / "run" / "train")
    assert (kept.model_config, kept.train_config) == (made.model_config, made.train_config)
    assert kept.history.loss.tolist() == pytest.approx(made.history.loss.tolist())
    assert result["trained"]["site_prior"] and result["sets"] == []
    assert result["trained"]["width_rate"] == made.train_config.width_rate
    assert (result["trained"]["updates"], result["trained"]["settled"]) == (3, made.settled)
    assert len(pd.read_csv(tmp_path / "run" / "scores.csv")) == 6 * 19


@pytest.mark.parametrize("name", ["auto", "quick"])
def test_a_model_that_the_grid_leaves_to_the_device_was_not_asked_for(tmp_path, name):
    (tmp_path / "few.a2m").write_text(">a/1-6\nMKVLAT\n>b\nMKILAT\n>c\nMRVLGT\n")
    asked = Experiment(family="few", alignment=str(tmp_path / "few.a2m"), preset=name, steps=1)
    job = jobs.Job(asked, tmp_path / "run", "cpu")
    job.read()
    assert job.train().model_config.decoder == job.model_config.decoder
    decided = json.loads((tmp_path / "run/train/config.json").read_text())["decisions"]["preset"]
    assert decided["asked"] == (name == "quick")
    assert decided["why"] != "as asked" or name == "quick"


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"alignment": "nowhere/x.a2m"}, ValueError, "nowhere/x.a2m"),
        ({"variant": "SVI+CT"}, ConfigError, "did you mean"),
        ({"train": '{"learning_rat": 1}'}, ConfigError, "learning_rat"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    tmp_path, change, error, said
):
    with pytest.raises(error, match=said):
        jobs.run_job(replace(QUICK, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_family_that_is_not_here_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(jobs, "find", lambda *args: None)
    with pytest.raises(DatasetError, match="deepseq data fetch BLAT_ECOLX"):
        jobs.family_of(replace(QUICK, family="BLAT_ECOLX"))


def test_the_process_writes_down_what_went_wrong(tmp_path):
    (tmp_path / "experiment.json").write_text(json.dumps(asdict(replace(QUICK, preset="huge"))))
    assert jobs.job_process(tmp_path, "cpu") == 1
    last = (tmp_path / "error.txt").read_text().rstrip().splitlines()[-1]
    assert "ConfigError: " in last and "huge" in last


def test_a_job_needs_the_package_alone(tmp_path):
    alone = tmp_path / "site"
    shutil.copytree(ROOT / "deepseq_nb", alone / "deepseq_nb")
    (alone / "deepseq_nb" / "data").mkdir(exist_ok=True)
    shutil.copy(ROOT / "data" / "registry.toml", alone / "deepseq_nb" / "data")
    (tmp_path / "grid.toml").write_text(
        'families = "synthetic"\npresets = "quick"\nsteps = 2\nsamples = 2\n'
    )
    blocked = "import sys\nfor name in ('papermill', 'nbformat', 'nbclient', 'jupyter_client'):\n    sys.modules[name] = None\n"
    (alone / "sitecustomize.py").write_text(blocked)
    done = subprocess.run(
        [sys.executable, "-m", "deepseq_nb", "experiments", "grid.toml", "--device", "cpu"],
        env=os.environ | {"PYTHONPATH": str(alone)}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "runs" / "grid" / "table.csv")
    assert table.set.tolist() == ["singles", "doubles", "epistasis"]


def test_the_template_has_a_parameter_for_each_part_of_an_experiment():
    declared = contents.declared_parameters(ROOT / "book" / "performance" / "experiment.ipynb")
    assert declared.keys() >= set(Experiment.__slots__)
