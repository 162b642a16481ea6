"""Recorded tables and where they come from."""

import pandas as pd
import torch

from deepseq_nb.studies.results import provenance, read_result, results_folder, save_result


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


def test_a_missing_table_is_none(tmp_path):
    assert read_result("nothing", tmp_path) is None


def test_results_live_in_the_repository_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (results_folder().parent / "_toc.yml").exists()


def test_every_recorded_table_has_its_twin():
    tables = {path.stem for path in results_folder().glob("*.csv")}
    assert tables == {path.stem for path in results_folder().glob("*.json")}
