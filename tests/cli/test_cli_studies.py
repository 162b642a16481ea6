"""`deepseq experiments` and `deepseq book`: handed on to the room of studies."""

import pandas as pd


def test_experiments_make_a_table(deepseq, tmp_path):
    (tmp_path / "grid.toml").write_text('families = "synthetic"\npresets = "quick"\nsteps = 3\n')
    code, out, err = deepseq(f"experiments {tmp_path}/grid.toml --out {tmp_path}/grid --device cpu")
    assert code == 0, out + err
    assert len(pd.read_csv(tmp_path / "grid/table.csv")) >= 1
    assert "1 of 1 runs" in out


def test_the_book_needs_a_clone_and_says_so(deepseq, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = deepseq("book")
    assert code == 2 and err.startswith("deepseq book: ") and err.count("\n") == 1
