"""Recorded tables and where they come from."""

import re
import subprocess
import tomllib
from pathlib import Path

import pandas as pd
import torch

import deepseq_nb
from deepseq_nb.studies import results
from deepseq_nb.studies.results import (
    origin_line,
    provenance,
    read_result,
    results_folder,
    save_result,
)


def test_a_table_comes_back_with_its_origin(tmp_path):
    table = pd.DataFrame({"updates": [1, 2], "rho": [0.5, 0.25]})
    path = save_result("runs", table, {"seed": 3}, tmp_path)
    found, origin = read_result("runs", tmp_path)
    assert path == tmp_path / "runs.csv"
    pd.testing.assert_frame_equal(found, table)
    assert origin["parameters"] == {"seed": 3}


def test_origin_names_versions_machine_commit_and_time():
    origin = provenance({})
    assert origin["torch"] == torch.__version__
    assert {"commit", "device", "threads", "python", "numpy", "made", "version"} <= origin.keys()


def test_the_line_on_a_table_has_the_note_on_it():
    origin = provenance({"steps": 3})
    assert origin_line(origin).endswith("not computed by this page.*")
    origin = provenance({"note": "two of three seeds"})
    assert origin_line(origin).endswith("by this page; two of three seeds.*")


def test_the_line_on_a_table_counts_one_thread_in_the_singular():
    origin = provenance({})
    assert ", 1 thread, torch" in origin_line({**origin, "threads": 1})
    assert ", 8 threads, torch" in origin_line({**origin, "threads": 8})


def test_a_missing_table_is_none(tmp_path):
    assert read_result("nothing", tmp_path) is None


def test_results_live_in_the_repository_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (results_folder().parent / "_toc.yml").exists()


def test_every_recorded_table_has_its_twin():
    tables = {path.stem for path in results_folder().glob("*.csv")}
    assert tables == {path.stem for path in results_folder().glob("*.json")}


def test_recorded_tables_travel_in_the_wheel_and_one_of_your_own_comes_first(tmp_path, monkeypatch):
    root = Path(__file__).resolve().parents[2]
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    inside = wheel["targets"]["wheel"]["force-include"]["results"]
    installed, mine = tmp_path / "site-packages", tmp_path / "mine"
    mine.mkdir()
    monkeypatch.setattr(deepseq_nb, "__file__", str(installed / "deepseq_nb" / "__init__.py"))
    monkeypatch.chdir(mine)
    assert read_result("runs") is None
    save_result("runs", pd.DataFrame({"rho": [0.5]}), {}, installed / inside)
    assert read_result("runs")[0].rho.tolist() == [0.5]
    save_result("runs", pd.DataFrame({"rho": [0.7]}), {})
    assert (mine / "results" / "runs.csv").is_file()
    assert read_result("runs")[0].rho.tolist() == [0.7]


def test_a_changed_result_does_not_make_the_code_another(tmp_path, monkeypatch):
    def git(*words):
        told = "-c", "user.name=a", "-c", "user.email=a@b"
        subprocess.run(["git", "-C", tmp_path, *told, *words], check=True, capture_output=True)

    for name in ("package/code.py", "results/table.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(results, "__file__", str(tmp_path / "package/code.py"))
    clean = results.provenance({})["commit"]
    (tmp_path / "results/table.csv").write_text("2\n")
    (tmp_path / "results/new.csv").write_text("3\n")
    assert re.fullmatch(r"[0-9a-f]{12}", clean) and results.provenance({})["commit"] == clean
    (tmp_path / "package/code.py").write_text("2\n")
    assert results.provenance({})["commit"] == f"{clean}-dirty"
    monkeypatch.setattr(results, "__file__", str(tmp_path.parent / "code.py"))
    assert results.provenance({})["commit"] == "unknown"
