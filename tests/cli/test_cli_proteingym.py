"""`deepseq proteingym`: a small folder in the benchmark's layout, resumed, broken, and averaged."""

import json

import numpy as np
import pandas as pd
import pytest
from tiny_family import write_family

from deepseq_nb.cli.proteingym import benchmark_mean, read_reference
from deepseq_nb.core.errors import DatasetError

TARGET = "MSTNPQRSTVMKVLAAGIVGLEDR"  # the family's focus is 11-24
HOW = "--runs 2 --preset quick --steps 3 --samples 2 --device cpu"


def write_gym(folder, assays=("TINY_ECOLI_A_2020",), start=11, **cells):
    """Reference, alignment and assays of TINY; `cells` replace cells of every row."""
    for part in ("DMS_msa_files", "DMS_ProteinGym_substitutions"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_family(folder / "DMS_msa_files" / "TINY.a2m")
    measured = "mutant,mutated_sequence,DMS_score,DMS_score_bin\nA15W,x,1.5,1\nA16G,x,0.5,0\nV13A,x,-1,0\nM1A,x,2,1\n"
    rows = []
    for name in assays:
        (folder / "DMS_ProteinGym_substitutions" / f"{name}.csv").write_text(measured)
        row = {"DMS_id": name, "DMS_filename": f"{name}.csv", "UniProt_ID": "TINY_ECOLI"}
        row |= {"target_seq": TARGET, "MSA_filename": "TINY.a2m", "MSA_start": start}
        rows.append(row | {"MSA_end": 24, "MSA_theta": 0.2} | cells)
    pd.DataFrame(rows).to_csv(folder / "DMS_substitutions.csv", index=False)
    return folder


def test_scores_stand_where_the_benchmark_s_scripts_look(deepseq, tmp_path):
    gym = write_gym(tmp_path / "gym")
    code, out, err = deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW}")
    assert code == 0, err
    table = pd.read_csv(tmp_path / "out" / "DeepSequence_nb" / "TINY_ECOLI_A_2020.csv")
    given = ["mutant", "mutated_sequence", "DMS_score", "DMS_score_bin"]
    assert list(table.columns) == [*given, "DeepSequence_score"]
    assert table.mutant.tolist() == ["A15W", "A16G", "V13A", "M1A"]
    # all residues of the target are modelled (13 is lower case); 1 is outside
    assert table.DeepSequence_score.notna().tolist() == [True, True, True, False]
    assert "1 have no score" in out
    entry = json.loads((tmp_path / "out" / "config.json").read_text())
    model = entry["model_list_zero_shot_substitutions_DMS"]["DeepSequence_nb"]
    assert model["directionality"] == 1 and model["input_score_name"] in table


def test_assays_of_one_alignment_share_its_runs_and_nothing_is_done_twice(deepseq, tmp_path):
    gym = write_gym(tmp_path / "gym", ("TINY_ECOLI_A_2020", "TINY_ECOLI_B_2021"))
    line = f"proteingym {gym} --out {tmp_path}/out {HOW}"
    assert deepseq(line).code == 0
    models = sorted((tmp_path / "out" / "models").glob("*/seed*/model.safetensors"))
    assert len(models) == 2
    scores = sorted((tmp_path / "out" / "DeepSequence_nb").glob("*.csv"))
    trained = [path.read_bytes() for path in models]
    first = scores[0].stat().st_mtime_ns
    scores[1].unlink()  # as if killed between the two
    assert deepseq(line).code == 0
    assert [path.read_bytes() for path in models] == trained
    assert scores[0].stat().st_mtime_ns == first and scores[1].exists()


def test_one_assay_s_failure_does_not_end_the_others_and_the_exit_code_says_so(deepseq, tmp_path):
    gym = write_gym(tmp_path / "gym", ("LOST_ECOLI_A_2020", "TINY_ECOLI_B_2021"))
    (gym / "DMS_ProteinGym_substitutions" / "LOST_ECOLI_A_2020.csv").unlink()
    code, out, err = deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW}")
    assert code == 2 and "Traceback" not in err and "1 failed" in out
    summary = pd.read_csv(tmp_path / "out" / "summary.csv").set_index("DMS_id")
    assert summary.status.to_dict() == {"LOST_ECOLI_A_2020": "failed", "TINY_ECOLI_B_2021": "ok"}
    assert "no measurements" in summary.reason["LOST_ECOLI_A_2020"]


def test_numbering_of_another_stretch_is_refused_before_training(deepseq, tmp_path):
    gym = write_gym(tmp_path / "gym", start=10)
    code, out, _ = deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW}")
    assert code == 2 and "expected the target from MSA_start" in out
    assert not list((tmp_path / "out").glob("models/*/*/model.safetensors"))


def test_weights_that_do_not_fit_are_counted_here_with_a_note(deepseq, tmp_path):
    gym = write_gym(tmp_path / "gym", weight_file_name="TINY.npy")
    (gym / "DMS_msa_weights").mkdir()
    np.save(gym / "DMS_msa_weights" / "TINY.npy", np.ones(3))
    code, out, _ = deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW}")
    assert code == 0 and "found 3 weights" in out and "counted here" in out


def test_other_settings_in_the_same_folder_are_refused(deepseq, tmp_path):
    gym = write_gym(tmp_path / "gym")
    assert deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW}").code == 0
    code, _, err = deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW.replace('2', '1', 1)}")
    assert code == 2 and "--runs" in err and err.count("\n") == 1


def test_seed_one_and_no_seed_are_the_same_run(deepseq, tmp_path):
    gym = write_gym(tmp_path / "gym")
    assert deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW}").code == 0
    said = (tmp_path / "out" / "settings.json").read_text()
    assert deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW} --seed 1").code == 0
    assert (tmp_path / "out" / "settings.json").read_text() == said
    code, _, err = deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW} --seed 2")
    assert code == 2 and "--seed" in err


def test_settings_that_are_no_settings_are_one_line(deepseq, tmp_path):
    gym = write_gym(tmp_path / "gym")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "settings.json").write_text("[1")
    code, _, err = deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW}")
    assert code == 2 and "settings.json" in err and err.count("\n") == 1


def test_scores_are_those_of_record_and_the_background_can_stay(deepseq, tmp_path):
    gym = write_gym(tmp_path / "gym")
    assert deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW}").code == 0
    assert deepseq(f"proteingym {gym} --out {tmp_path}/plain {HOW} --background none").code == 0
    places = (tmp_path / out / "DeepSequence_nb/TINY_ECOLI_A_2020.csv" for out in ("out", "plain"))
    told, plain = (pd.read_csv(path).DeepSequence_score[:3] for path in places)
    owed = np.log([1.10 / 8.25, 7.07 / 8.25, 8.25 / 6.86])  # A15W, A16G, V13A
    assert np.allclose(told, plain - owed / 2, atol=1e-6)


@pytest.mark.parametrize("column", ["DMS_id", "DMS_filename", "target_seq", "MSA_filename"])
def test_reference_without_a_column_is_refused_by_name(deepseq, tmp_path, column):
    gym = write_gym(tmp_path / "gym")
    table = pd.read_csv(gym / "DMS_substitutions.csv").drop(columns=column)
    table.to_csv(gym / "DMS_substitutions.csv", index=False)
    code, _, err = deepseq(f"proteingym {gym} --out {tmp_path}/out {HOW}")
    assert code == 2 and f"no column '{column}'" in err and err.count("\n") == 1


def test_missing_reference_and_unknown_assay_are_one_line(deepseq, tmp_path):
    code, _, err = deepseq(f"proteingym {tmp_path} --out {tmp_path}/out {HOW}")
    assert code == 2 and "--reference" in err and err.count("\n") == 1
    gym = write_gym(tmp_path / "gym")
    code, _, err = deepseq(f"proteingym {gym} --only NO --out {tmp_path}/out {HOW}")
    assert code == 2 and "no assay 'NO'" in err


def test_numbers_of_the_reference_are_read_and_bad_ones_named(tmp_path):
    gym = write_gym(tmp_path / "gym", MSA_theta=0.01, coarse_selection_type="Binding")
    (assay,) = read_reference(gym / "DMS_substitutions.csv")
    assert (assay.start, assay.theta, assay.kind) == (11, 0.01, "Binding")
    write_gym(tmp_path / "gym", start="eleven")
    with pytest.raises(DatasetError, match="line 2: MSA_start is 'eleven'"):
        read_reference(gym / "DMS_substitutions.csv")


def test_average_is_over_assays_of_a_protein_then_proteins_then_kinds():
    rows = [("A", "x", 0.2), ("A", "x", 0.4), ("B", "x", 0.7), ("B", "y", 0.1)]
    summary = pd.DataFrame(rows, columns=["UniProt_ID", "kind", "spearman"])
    assert benchmark_mean(summary) == pytest.approx(((0.3 + 0.7) / 2 + 0.1) / 2)
