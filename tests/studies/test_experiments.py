"""Grids of experiments: what a grid file means, what is compared, and what is left when everything is killed."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import ConfigError, ExperimentError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.registry import find
from deepseq_nb.model.network import PRESETS, preset
from deepseq_nb.model.runs import fit
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import contents, grid, runner
from deepseq_nb.studies.grid import Experiment, Measured

ROOT = Path(__file__).resolve().parents[2]
QUICK = ROOT / "book" / "performance" / "quick.toml"


# variants


def test_the_full_variant_is_the_preset_itself():
    assert grid.named_variant("SVI+C+T+S", preset("small")) == preset("small")


@pytest.mark.parametrize("name", grid.VARIANTS)
@pytest.mark.parametrize("size", PRESETS)
def test_a_variant_is_what_its_letters_say(name, size):
    config, letters = (
        grid.named_variant(name, preset(size)),
        set("".join(name.split("+")[1:])),
    )
    point = name.startswith("MLE") or size == "mle"
    assert config.weights == ("point" if point else "variational")
    assert (config.dropout > 0) == ("D" in letters)
    assert (config.conv > 0, config.temperature) == ("C" in letters, "T" in letters)
    assert config.sparsity.kind == (preset(size).sparsity.kind if "S" in letters else "none")


def test_an_unknown_variant_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean 'SVI\+C\+T'"):
        grid.named_variant("SVI+CT", preset("small"))


# names


def test_names_are_readable_and_differ_where_runs_differ():
    run = Experiment(family="BLAT_ECOLX", steps=8000)
    assert run.name == "BLAT_ECOLX-SVI+C+T+S-small-8000-seed1"
    others = [
        replace(run, seed=2),
        replace(run, samples=40),
        replace(run, train='{"learning_rate": 0.0003}'),
        replace(run, model='{"encoder": [300]}'),
        replace(run, model='{"encoder": [301]}'),
        replace(run, alignment="/a/x.a2m"),
        replace(run, alignment="/b/x.a2m"),
        replace(run, family="BLAT_ECOLX/other.a2m"),
    ]
    names = [run.name, *(other.name for other in others)]
    assert len(set(names)) == len(names) and not any("/" in name for name in names)
    assert "learning_rate=0.0003" in others[2].name


# what is compared


def test_epistatic_part_is_the_double_less_its_singles():
    table = pd.DataFrame(
        {
            "variant": ["A1G", "K2R", "L3M", "A1G:K2R", "L3M,A1G", "K2R:V9I", "A1G:K2R:L3M"],
            "x": [-1.0, -2.0, 0.5, -5.0, 0.0, 1.0, 3.0],
        }
    )
    part = grid.epistatic_part(table, "x").set_index("variant").x
    assert part.to_dict() == {"A1G:K2R": -2.0, "A1G:L3M": 0.5}


def test_the_synthetic_family_has_singles_doubles_and_their_epistatic_part():
    sets = grid.measurements("synthetic")
    assert [(s.name, len(s.table)) for s in sets] == [
        ("singles", 912),
        ("doubles", 5776),
        ("epistasis", 5776),
    ]
    truth = pd.read_csv(find("synthetic", kind="doubles")).set_index("mutant").epistasis
    mine = sets[2].table.set_index("variant").value
    assert np.allclose(mine, truth.loc[mine.index])


def test_variants_to_score_are_named_once_and_include_the_singles_of_doubles():
    sets = [
        Measured("singles", pd.DataFrame({"variant": ["A1G"], "value": [0.0]})),
        Measured("doubles", pd.DataFrame({"variant": ["A1G:K2R"], "value": [0.0]})),
    ]
    assert grid.wanted_variants(sets) == ["A1G", "A1G:K2R", "K2R"]


def test_labels_where_one_is_bad_are_turned_around():
    names = [f"A{i}G" for i in range(1, 41)]
    labels = pd.DataFrame({"variant": names, "value": [1.0, 0.0] * 20})
    scores = pd.DataFrame({"variant": names, "score": [-3.0, 1.0] * 20})
    (row,) = grid.compare(scores, [Measured("labels", labels, "auc", False)])
    assert (row["metric"], row["value"], row["n"]) == ("auc", 1.0, 40)


def test_a_metric_that_is_not_defined_is_none_and_not_nan():
    names = [f"A{i}G" for i in range(1, 11)]
    flat = pd.DataFrame({"variant": names, "score": 0.0})
    measured = pd.DataFrame({"variant": names, "value": np.arange(10.0)})
    (row,) = grid.compare(flat, [Measured("singles", measured)])
    assert row["value"] is None and json.loads(json.dumps(row, allow_nan=False)) == row


def test_measurements_of_your_own_are_read_and_a_wrong_column_is_named(tmp_path):
    (tmp_path / "mine.csv").write_text("mutant,growth\nA1G,0.5\nA1V,0.1\n")
    (found,) = grid.measurements("mine", tmp_path / "mine.csv", "growth")
    assert found.table.value.tolist() == [0.5, 0.1]
    with pytest.raises(ExperimentError, match="no column 'speed'; it has growth"):
        grid.measurements("mine", tmp_path / "mine.csv", "speed")


# grid files


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_grid_is_every_combination_the_first_seed_first(tmp_path):
    _, runs = grid.read_grid(
        write(
            tmp_path / "g.toml",
            'families = "synthetic"\nvariants = ["MLE", "SVI"]\nseeds = [1, 2]\nsteps = [10, 20]\n'
            "[model]\nencoder = [[8], [16, 16]]\nlatent = 3\n[train]\nlearning_rate = [0.001, 0.01]\n",
        )
    )
    assert len(runs) == len({run.name for run in runs}) == 2 * 2 * 2 * 2 * 2
    assert [run.seed for run in runs] == [1] * 16 + [2] * 16
    model, train = runs[0].configurations("cpu")
    assert (model.encoder, model.latent, train.steps, train.learning_rate) == ((8,), 3, 10, 0.001)


def test_files_of_your_own_are_looked_for_beside_the_grid(tmp_path):
    text = 'families = "mine"\n[data.mine]\nalignment = "m.a2m"\nassay = "m.csv"\ncolumn = "x"\n'
    _, (run,) = grid.read_grid(write(tmp_path / "g.toml", text))
    assert run.alignment == str(tmp_path / "m.a2m") and run.column == "x"
    assert "m.a2m is not there" in runner._absent(run)


BAD = [
    ("", "lacks 'families'"),
    ("families = []", "families is empty"),
    (
        'families = ["synthetic"]\nseed = 3',
        "line 2: the grid has no setting 'seed': did you mean 'seeds'",
    ),
    ('families = ["synthetic"]\nsteps = "many"', "line 2: the grid.steps[0] is 'many'"),
    ('families = ["synthetic"]\nsteps = 0', "line 2: steps is 0"),
    ('families = ["synthetic"]\nsamples = 0', "line 2: samples is 0"),
    ('families = ["synthetic"]\nseeds = [1, 1]', "line 2: seeds lists 1 twice"),
    ('families = ["synthetic"]\nvariants = "SVI+T"', "variant is 'SVI+T': did you mean 'SVI+C+T'"),
    ('families = ["synthetic"]\npresets = "smal"', "did you mean 'small'"),
    ('families = ["sythetic"]', "line 1: there is no family 'sythetic'"),
    ('families = ["DLG4_RAT/other.a2m"]', "has no file 'other.a2m'"),
    (
        'families = ["synthetic"]\n[model]\nlatnet = 3',
        "line 3: ModelConfig has no setting 'latnet'",
    ),
    ('families = ["synthetic"]\n[model]\nlatent = 0', "line 3: latent is 0"),
    ('families = ["synthetic"]\n[train]\nlearning_rate = -1', "line 3: learning_rate is -1"),
    ('families = ["synthetic"]\n[train]\nsteps = 5', "say steps instead"),
    ('families = ["synthetic"]\n[train]\nseed = 5', "say seeds instead"),
    ('families = ["synthetic"]\nmodel = 3', "write [model]"),
    ('families = ["mine"]\n[data.mine]\nassay = "x.csv"', "[data.mine] takes alignment"),
    ('families = ["mine"]\n[data.mine]\nalignment = "x"\nassay = "x.csv"', "go together"),
    ('families = ["synthetic"]\n[data.mine]\nalignment = "x"', "is not in families"),
    ('families = ["synthetic"]\nresult = "../x"', "line 2: result is '../x'"),
    ("families = [", "is not TOML"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_bad_grid_is_one_sentence_that_names_file_and_key(tmp_path, text, said):
    with pytest.raises(ExperimentError) as caught:
        grid.read_grid(write(tmp_path / "bad.toml", text))
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "bad.toml")) and said in message
    assert "\n" not in message


def test_the_committed_grids_can_be_read():
    read, runs = grid.read_grid(ROOT / "book" / "performance" / "variants.toml")
    assert read.variants == tuple(grid.VARIANTS) and len(runs) == 6 * 3 * len(read.families)
    assert len(grid.read_grid(QUICK)[1]) == 2


# the runner, on a book whose template takes no time

TEMPLATE = """\
import json, os, pathlib, time
from deepseq_nb.studies.runner import join_grid
join_grid(out)
time.sleep({sleep})
trouble = pathlib.Path(out).parent / "trouble"
assert seed != 2 or not trouble.exists(), "seed 2 is unlucky"
with open(pathlib.Path(out).parent / "made", "a") as file:
    file.write(f"{{seed}}\\n")
result = {{"experiment": {{"family": family, "seed": seed}}, "data": {{}}, "trained": {{}}, "seconds": {{"all": 1.0}}, "sets": []}}
result["origin"] = dict.fromkeys(("version", "commit", "device", "cores", "threads", "python", "torch", "numpy", "made"), "")
temporary = pathlib.Path(out) / "result.tmp"
temporary.write_text(json.dumps(result))
os.replace(temporary, pathlib.Path(out) / "result.json")
"""


@pytest.fixture
def tiny_book(tmp_path, monkeypatch) -> Path:
    """A book with a template that only sleeps, and the current folder; `grid.toml` has three runs."""
    path = tmp_path / "book" / "performance" / "experiment.ipynb"
    path.parent.mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    cells = [
        nbformat.v4.new_code_cell(
            "out = None\nseed = 1\nfamily = ''", metadata={"tags": ["parameters"]}
        ),
        nbformat.v4.new_code_cell(TEMPLATE.format(sleep=0.5)),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    (tmp_path / "grid.toml").write_text('families = "synthetic"\nseeds = [1, 2, 3]\nsteps = 1\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start_runner(folder: Path, *more: str) -> subprocess.Popen:
    """`deepseq experiments grid.toml` in a process of its own, which hears Ctrl-C even where the tests run in a script's background."""
    command = [
        sys.executable,
        "-m",
        "deepseq_nb.cli",
        "experiments",
        "grid.toml",
        "--out",
        "runs",
        *more,
    ]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of the two files of every finished run."""
    done = [p for p in out.glob("synthetic-*") if runner.state_of(p) == "finished"]
    files = [p / name for p in done for name in ("result.json", "experiment.ipynb")]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in files}


def processes_of(out: Path) -> list[int]:
    """Processes whose command line names a run of the grid."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"deepseq_nb.studies.runner\0" + str(out.resolve()).encode() in command:
            found.append(int(entry.name))
    return found


def wait_for(what, seconds: float = 90.0) -> None:
    """Until `what()` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_killed_at_random_moments_no_finished_run_is_lost_or_made_again(tiny_book):
    out, rng = tiny_book / "runs", np.random.default_rng(5)
    moments = [1.0, *rng.uniform(4, 14, size=3)]
    for moment in moments:
        process = start_runner(tiny_book, "--jobs", "2")
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            pass
        before = finished(out) if out.exists() else {}
        process.kill()
        if rng.random() < 0.5:  # the children with it
            for child in processes_of(out):
                os.kill(child, signal.SIGKILL)
        process.communicate()
        now = finished(out)
        assert {name: now.get(name) for name in before} == before
    before = finished(out)
    process = start_runner(tiny_book, "--jobs", "2")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    now = finished(out)
    assert len(now) == 6 and {name: now[name] for name in before} == before
    assert sorted(pd.read_csv(out / "table.csv").seed) == [1, 2, 3]


def test_orphans_of_a_killed_runner_end_by_themselves(tiny_book):
    out = tiny_book / "runs"
    process = start_runner(tiny_book)
    wait_for(lambda: processes_of(out))
    process.kill()
    process.communicate()
    wait_for(lambda: not processes_of(out), 20)
    with runner._only_runner(out, patience=20):  # kernels too have let go
        pass


def test_ctrl_c_ends_it_and_says_how_to_go_on(tiny_book):
    process = start_runner(tiny_book)
    wait_for(lambda: processes_of(tiny_book / "runs"))
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "Traceback" not in said
    assert "0 of 3 runs are finished; go on with: deepseq experiments grid.toml --out runs" in said
    assert not processes_of(tiny_book / "runs")


def test_a_failed_run_is_listed_and_tried_again_only_with_resume(tiny_book):
    out, said = tiny_book / "runs", []
    out.mkdir()
    (out / "trouble").touch()
    grid = tiny_book / "grid.toml"
    assert runner.run_grid(grid, out, jobs=3, echo=said.append) == 1
    assert any("seed2: " in line and "seed 2 is unlucky" in line for line in said)
    (unlucky,) = out.glob("*seed2")
    assert (
        runner.state_of(unlucky) == "failed"
        and "cell 2 of 2" in (unlucky / "error.txt").read_text()
    )
    (out / "trouble").unlink()
    before, said = finished(out), []
    assert runner.run_grid(grid, out, echo=said.append) == 1 and finished(out) == before
    assert any("--resume tries again" in line for line in said)
    assert runner.run_grid(grid, out, resume=True, echo=lambda line: None) == 0
    assert sorted((out / "made").read_text().split()) == ["1", "2", "3"]


def test_a_second_runner_is_refused(tmp_path):
    grid = write(tmp_path / "g.toml", 'families = "synthetic"\n')
    with runner._only_runner(tmp_path / "runs"):
        with pytest.raises(ExperimentError, match="in use by another runner"):
            runner.run_grid(grid, tmp_path / "runs")
    with runner._only_runner(tmp_path / "runs"):  # let go again
        pass


def test_a_family_that_is_not_here_is_named_with_how_to_fetch_it(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "find", lambda *args, **options: None)
    said = []
    grid = write(tmp_path / "g.toml", 'families = "BLAT_ECOLX"\n')
    assert runner.run_grid(grid, tmp_path / "runs", echo=said.append) == 1
    assert any("deepseq data fetch BLAT_ECOLX" in line for line in said)
    assert not list((tmp_path / "runs").glob("BLAT*"))


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ([], "open"),
        (["result.json"], "open"),
        (["experiment.ipynb"], "open"),
        (["result.json", "error.txt"], "failed"),
        (["result.json", "experiment.ipynb"], "finished"),
    ],
)
def test_a_run_is_finished_when_result_and_notebook_are_in_place(tmp_path, files, state):
    for name in files:
        (tmp_path / name).touch()
    assert runner.state_of(tmp_path) == state


# the template itself


def test_a_run_killed_in_training_goes_on_from_its_checkpoint_to_the_same_scores(
    tmp_path, monkeypatch
):
    (tmp_path / "grid.toml").write_text(
        'families = "synthetic"\npresets = "quick"\nsteps = 200\nsamples = 4\n[train]\ncheckpoint_every = 20\n'
    )
    monkeypatch.chdir(tmp_path)
    process = start_runner(tmp_path, "--device", "cpu")
    wait_for(lambda: list(tmp_path.glob("runs/*/train/checkpoint/state.safetensors")))
    process.kill()
    process.communicate()
    process = start_runner(tmp_path, "--device", "cpu")
    said = process.communicate(timeout=200)[0]
    assert process.returncode == 0, said
    table = pd.read_csv(tmp_path / "runs" / "table.csv")
    assert table.set.tolist() == ["singles", "doubles", "epistasis"]
    assert 0 < table.resumed_from[0] < 200 and table.neff[0] > 1 and table.commit[0]
    assert ((table.low <= table.value) & (table.value <= table.high)).all()
    (run,) = grid.read_grid("grid.toml")[1]
    whole = fit(Alignment.read(find("synthetic")), *run.configurations("cpu"))
    variants = grid.wanted_variants(grid.measurements("synthetic"))
    mine = pd.read_csv(tmp_path / "runs" / run.name / "scores.csv")
    assert mine.variant.tolist() == variants
    assert np.allclose(mine.score, score(whole, variants, 4, 1).score, atol=1e-3)
    copy = nbformat.read(tmp_path / "runs" / run.name / "experiment.ipynb", as_version=4)
    assert contents.declared_parameters(ROOT / runner.TEMPLATE).keys() >= set(Experiment.__slots__)
    assert any("image/png" in o.get("data", {}) for c in copy.cells for o in c.get("outputs", []))
    assert math.isfinite(table.peak_mib[0])
