"""`deepseq experiments`: handed on to the room of studies."""

import pandas as pd


def test_experiments_make_a_table(deepseq, tmp_path):
    (tmp_path / "grid.toml").write_text('families = "synthetic"\npresets = "quick"\nsteps = 3\n')
    code, out, err = deepseq(f"experiments {tmp_path}/grid.toml --out {tmp_path}/grid --device cpu")
    assert code == 0, out + err
    assert len(pd.read_csv(tmp_path / "grid/table.csv")) >= 1
    assert "1 of 1 runs" in out


def test_a_slip_in_the_grid_is_told_before_anything_begins(deepseq, tmp_path):
    (tmp_path / "slip.toml").write_text('families = "synthetic"\npreset = "quick"\n')
    code, _, err = deepseq(f"experiments {tmp_path}/slip.toml --out {tmp_path}/slip")
    assert code == 2 and "preset" in err and err.count("\n") == 1
    assert not (tmp_path / "slip").exists()
