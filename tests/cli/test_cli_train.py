"""`deepseq train`: what it says, the settings of shallow families, continuing, and the time of an update."""

import json

import pandas as pd
import pytest
from tiny_family import write_family

from deepseq_nb.model.runs import fit
from deepseq_nb.model.training import TrainConfig

SMALL = "--config small.json --device cpu"


def test_train_says_what_it_understood_and_what_to_do_next(deepseq):
    code, out, _ = deepseq(f"train family.a2m --out again --steps 5 {SMALL}")
    assert code == 0
    assert "80 sequences" in out and "12 columns" in out
    for text in ("Neff", "per column", "device: cpu", "expected time", "trained 5 updates"):
        assert text in out
    last = out.splitlines()[-1]
    assert last.endswith("next: deepseq score again --all-singles --out scores.csv")


def test_the_command_to_type_next_quotes_a_name_with_a_space(deepseq):
    _, out, _ = deepseq(f"train family.a2m --out 'a run' --steps 2 {SMALL}")
    assert "next: deepseq score 'a run' --all-singles" in out


@pytest.mark.parametrize(
    ("rows", "option", "expected"),
    [(12, "", True), (12, "--shallow off", False), (80, "", False), (80, "--shallow on", True)],
)
def test_a_shallow_family_gets_its_settings_and_is_told(deepseq, tmp_path, rows, option, expected):
    write_family(tmp_path / "family.a2m", n=rows)
    line = f"train {tmp_path}/family.a2m --out {tmp_path}/run --preset quick --steps 2 {option}"
    code, out, _ = deepseq(line)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert code == 0 and stored["model"]["site_prior"] is expected
    assert (stored["train"]["width_rate"] > 1) is expected
    assert ("shallow family: prior" in out) is expected


def test_the_decision_is_told_after_the_file_was_read(deepseq, tmp_path):
    write_family(tmp_path / "family.a2m", n=12)
    line = f"train {tmp_path}/family.a2m --out {tmp_path}/run --preset quick --steps 2"
    lines = deepseq(line).out.splitlines()
    read = next(i for i, text in enumerate(lines) if "family.a2m" in text)
    told = next(i for i, text in enumerate(lines) if text.startswith("shallow family: prior"))
    assert read < told


def test_the_command_makes_the_run_that_python_makes(deepseq, work, alignment):
    """Both roads pass the same decisions: a shallow family trained with the defaults."""
    from deepseq_nb.family.alignment import Alignment
    from deepseq_nb.model.sizes import preset

    write_family(work / "few.a2m", n=12)
    deepseq("train few.a2m --out few --preset quick --steps 3 --seed 2 --device cpu")
    run = fit(
        Alignment.read(work / "few.a2m"),
        preset("quick"),
        TrainConfig(steps=3, seed=2, device="cpu"),
    )
    assert run.model_config.site_prior
    assert pd.read_csv(work / "few/history.csv").loss.tolist() == run.history.loss.tolist()


# continuing


def test_resume_takes_the_runs_own_settings_and_makes_it_longer(deepseq):
    deepseq(f"train family.a2m --out long --steps 10 --seed 4 {SMALL}")
    code, out, err = deepseq("train family.a2m --out long --resume --steps 15 --device cpu")
    assert code == 0 and "5 of 15 to make" in out, err


@pytest.mark.parametrize(
    "options",
    [
        "--preset quick",
        "--config small.json",
        "--preset quick --config small.json --seed 3 --batch-size 20",
        "--preset quick --shallow on",
    ],
)
def test_the_same_line_can_be_repeated_with_resume(deepseq, tmp_path, options):
    line = f"train family.a2m --out {tmp_path}/run --steps 4 --device cpu --resume {options}"
    assert deepseq(line).code == 0
    model = (tmp_path / "run/model.safetensors").read_bytes()
    code, out, err = deepseq(line)
    assert code == 0 and "nothing is left to do" in out, err
    assert (tmp_path / "run/model.safetensors").read_bytes() == model


def test_the_same_line_can_be_repeated_for_a_shallow_family(deepseq, tmp_path):
    write_family(tmp_path / "few.a2m", n=12)
    line = f"train {tmp_path}/few.a2m --out {tmp_path}/run --preset quick --steps 3 --resume"
    assert deepseq(line).code == 0
    code, out, err = deepseq(line)
    assert code == 0 and "nothing is left to do" in out, err


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--preset small", ("--preset small", "encoder [300, 300]", "[128]")),
        ("--preset deepsequence", ("--preset deepsequence", "[128]")),
        ("--shallow on", ("--shallow on", "site_prior True", "False")),
        ("--seed 9", ("seed 1", "9")),
        ("--batch-size 7", ("batch_size 100", "7")),
    ],
)
def test_what_differs_from_the_run_is_named(deepseq, work, option, named):
    if not (work / "kept").exists():
        deepseq("train family.a2m --out kept --preset quick --steps 2 --device cpu")
    line = "train family.a2m --out kept --steps 3 --device cpu --resume"
    code, _, err = deepseq(f"{line} {option}")
    assert code == 2 and err.count("\n") == 1
    assert all(text in err for text in named), err


def test_several_runs_can_be_repeated_and_more_of_them_made(deepseq, several):
    line = f"train family.a2m --out several --steps 20 {SMALL} --resume"
    before = (several / "seed2/model.safetensors").read_bytes()
    code, _, err = deepseq(f"{line} --runs 3")
    assert code == 0 and (several / "seed3/model.safetensors").is_file(), err
    assert (several / "seed2/model.safetensors").read_bytes() == before


def test_profile_step_says_where_the_time_goes_and_writes_nothing(deepseq, work):
    code, out, err = deepseq(f"train family.a2m --out unwritten {SMALL} --profile-step")
    assert code == 0 and "draw the weights" in out and "nothing was written" in out, err
    assert not (work / "unwritten").exists()


def test_the_help_says_the_most_updates_that_are_recommended(deepseq):
    from deepseq_nb.model.choices import RECOMMENDED

    said = " ".join(deepseq("train --help").out.split())
    for device, words in (("cpu", "on a processor"), ("cuda", "on a GPU")):
        assert f"{RECOMMENDED[device].max_steps} {words}" in said
