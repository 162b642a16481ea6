"""Grids: what a grid file means, the names of runs, and what is compared."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import ConfigError, ExperimentError
from deepseq_nb.family.registry import find
from deepseq_nb.model.sizes import PRESETS, preset
from deepseq_nb.studies import grid, runner
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
    run = Experiment(family="BLAT_ECOLX", preset="small", steps=8000)
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
    assert "m.a2m is not there" in runner.why_absent(run)


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
    ('families = ["mine"]\n[data.mine]\nassay = "x.csv"', "[data.mine] needs alignment"),
    ('families = ["mine"]\n[data.mine]\nalignment = "x"\nassay = "x.csv"', "go together"),
    ('families = ["synthetic"]\n[data.mine]\nalignment = "x"', "is not in families"),
    ('families = ["synthetic"]\nresult = "../x"', "line 2: result is '../x'"),
    ("families = [", "is not TOML"),
    ('families = ["x"]\n[data.x]\nalignment = 1', "line 2: [data.x].alignment is 1: expected str"),
    ('families = ["x"]\n[data.x]\nalignment = "x"\nassay = {}\ncolumn = "y"', "assay is {}"),
    ('families = ["x"]\n[data.x]\nalignment = "x"\nassay = "y"\ncolumn = []', "column is []"),
    (
        'families = ["x"]\n[data.x]\nalignment = "x"\nassay = "y"\ncolumn = "z"\noffset = 1'
        + "0" * 30,
        "offset is 1" + "0" * 30,
    ),
    ('families = ["x"]\n[data.x]\nalignment = "a\\u0000b"', "null byte"),
    ('families = ["a\\u0000b"]\n[data."a\\u0000b"]\nalignment = "x"', "which is no name"),
    ("families = 'x'\na = " + 3000 * "[", "its brackets are nested too deep"),
    ("families = 'x'\na = " + 3000 * "[" + 3000 * "]", "its brackets are nested too deep"),
    ("families = 'x'\nsteps = " + 5000 * "9", "is not TOML"),
    ("families = 'synthetic'\nseeds = " + str([*range(200_000)]), "the grid has 200,000 runs"),
    (
        "families = 'synthetic'\nseeds = 9999999999999999999999",
        "line 2: seed is 9999999999999999999999",
    ),
    ("families = 'synthetic'\nsamples = 1000000000000000", "line 2: samples is 1000000000000000"),
    ("families = 'synthetic'\n[model]\nweight_sigma = 1e-300", "line 3: weight_sigma is 1e-300"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=lambda text: text[:60])
def test_a_bad_grid_is_one_sentence_that_names_file_and_key(tmp_path, text, said):
    with pytest.raises(ExperimentError) as caught:
        grid.read_grid(write(tmp_path / "bad.toml", text))
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "bad.toml")) and said in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", "..", "a/../..", "$(touch x)", "L" * 300]
)
def test_the_name_of_a_run_is_one_folder_of_the_grid(tmp_path, name):
    text = f"families = ['{name}']\n[data.'{name}']\nalignment = 'x.a2m'\n"
    _, (run,) = grid.read_grid(write(tmp_path / "g.toml", text))
    assert (tmp_path / run.name).parent == tmp_path and Path(run.name).name not in (".", "..")


def test_the_committed_grids_can_be_read():
    read, runs = grid.read_grid(ROOT / "book" / "performance" / "variants.toml")
    assert read.variants == tuple(grid.VARIANTS) and len(runs) == 6 * 3 * len(read.families)
    assert len(grid.read_grid(QUICK)[1]) == 2
