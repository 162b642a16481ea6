"""`verify` on the numbers of the original, and its index fault on the authors' own alignment."""

import json

import numpy as np
import pytest

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.peers.parity import golden_cases, main, verify


def test_all_27_cases_agree_to_twelve_digits(real_data):
    table = verify(real_data("theano_golden"))
    assert table.ok.all() and table.case.nunique() == 27
    forward = table[table.tolerance == 1e-9]
    assert forward.difference.max() < 1e-12 and table.difference.max() < 1e-11


def test_the_command_prints_the_worst_and_succeeds(real_data, capsys):
    assert main(["verify", str(real_data("theano_golden"))]) == 0
    out = capsys.readouterr().out
    assert "27 cases: all agree" in out and "worst before any update" in out


@pytest.mark.parametrize("name", ["svi_09", "mle_05"])
def test_one_number_changed_anywhere_is_noticed(real_data, tmp_path, name):
    folder = real_data("theano_golden")
    case = next(c for c in golden_cases(folder) if c["file"] == f"{name}.npz")
    (tmp_path / "cases.json").write_text(json.dumps([case]))
    arrays, rng = dict(np.load(folder / case["file"])), np.random.default_rng(1)
    for key in [*arrays][:: 5 if name == "svi_09" else 3]:
        changed = np.array(arrays[key], copy=True)
        at = rng.integers(changed.size)
        changed.reshape(-1)[at] += 0.01 * np.abs(changed).max() or 1e-6
        np.savez(tmp_path / case["file"], **arrays | {key: changed})
        assert not verify(tmp_path).ok.all(), key


def test_an_neff_without_effect_is_noticed_among_all_cases(real_data, tmp_path):
    folder = real_data("theano_golden")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    arrays = dict(np.load(folder / "mle_06.npz"))
    np.savez(tmp_path / "mle_06.npz", **arrays | {"Neff": arrays["Neff"] * 1.001})
    table = verify(tmp_path)
    assert table[~table.ok].case.tolist() == ["mle_06"]


def test_the_original_changes_the_wrong_residue_at_all_253_positions__deepsequence_12(real_data):
    a2m = "BLAT_ECOLX/BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m"
    focus_map = Alignment.read(real_data(a2m)).focus_map
    residues, start = focus_map.residues, focus_map.start
    written = {r: residues[r - start] if r - start < 253 else None for r in residues}
    assert len(residues) == 253 and all(asked != hit for asked, hit in written.items())
    assert written[126] == 132 and focus_map.sequence[focus_map.column(132)] == "A"
    assert focus_map.sequence[focus_map.column(126)] == "T"
