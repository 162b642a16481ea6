"""The front page: what it tells a newcomer to type works as printed, on the family that ships with the project."""

import argparse
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.cli.main import COMMANDS, main
from deepseq_nb.cli.options import Parser

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
USAGE = json.loads((ROOT / "book" / "usage.ipynb").read_text())["cells"]
FENCES = re.findall(r"^```(\w*)\n(.*?)^```", README, re.M | re.S)
TYPED = [line for _, text in FENCES for line in text.splitlines() if line.startswith("deepseq ")]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder that looks like a clone of the project, as the current one."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_readme_work_as_printed(clone, capsys):
    assert [line.split()[1] for line in TYPED] == ["train", "score", "evaluate", "plot"]
    for line in TYPED:
        assert main(shlex.split(line, comments=True)[1:]) == 0, line
    assert "spearman" in capsys.readouterr().out.lower()
    assert pd.read_csv("scores.csv").score.notna().all()
    assert Path("run/figures/heatmap.svg").is_file()


def test_the_python_of_the_readme_works_as_printed(clone, capsys):
    (example,) = [text for language, text in FENCES if language == "python"]
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["table"].status.tolist() == ["ok", "ok"]
    assert "spearman" in capsys.readouterr().out.lower()


def test_the_variants_on_the_front_page_can_be_scored(tiny_synthetic):
    """Reader's note R1: the variants that stood there were not those of the file beside them."""
    named = re.findall(r"\b[A-Z]\d{2,3}[A-Z](?::[A-Z]\d{2,3}[A-Z])*\b", README)
    assert len(named) >= 4
    assert set(tiny_synthetic(named)) == {"ok"}


@pytest.fixture
def tiny_synthetic():
    """Status of variants in the shipped family."""
    from deepseq_nb.family.alignment import Alignment
    from deepseq_nb.family.variants import resolve_variants

    focus_map = Alignment.read(ROOT / "data" / "synthetic.a2m").focus_map
    return lambda texts: resolve_variants(texts, focus_map).status


def named_commands() -> list[str]:
    """Commands in running text, of the front page and of the user's chapter, and the lines of the latter's fences."""
    prose = "\n".join("".join(cell["source"]) for cell in USAGE if cell["cell_type"] == "markdown")
    plain = re.sub(r"```\w*\n.*?```", "", README, flags=re.S)
    return re.findall(rf"deepseq ((?:{'|'.join(COMMANDS)})\b[^`\n#]*)", plain + prose)


@pytest.mark.parametrize("line", sorted(set(named_commands())))
def test_a_command_that_is_named_has_the_options_that_are_named_with_it(line):
    words = shlex.split(line)
    parser = Parser(prog="deepseq")
    COMMANDS[words[0]].options(parser)
    deeper = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if deeper:  # deepseq unirep score ...
        parser = deeper[0].choices[words[1]]
    wanted = {word for word in words if word.startswith("--")}
    assert wanted <= {*parser._option_string_actions}


def test_the_numbers_of_breadth_are_those_of_the_chapter():
    notebook = json.loads((ROOT / "book/performance/breadth.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"]]
    source = next(cell for cell in cells if "def by_family" in cell)
    names = {"pd": pd, "np": np}
    exec(source.partition("\ndef gains_table")[0], names)
    table = pd.read_csv(ROOT / "results" / "breadth.csv")
    half = table[table.use == "reporting"]
    words = README.partition("families that nothing was chosen on")[2].partition(
        "chapter *Breadth*"
    )[0]
    said = [float(word) for word in re.findall(r"\b0\.\d{3}\b", words)]
    expected = []
    for other in ("sites", "pairs", "published EVE"):
        found = names["with_interval"](names["by_family"](half, "record", other))
        expected += [round(found[key], 3) for key in ("gain", "low", "high")]
    assert said == pytest.approx(expected)
    assert half.family.nunique() == 8
