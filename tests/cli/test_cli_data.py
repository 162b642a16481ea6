"""`deepseq weights`, `data`, `import-original` and `export-original`: files in and out."""

import json
import pickle

import numpy as np
import pytest
from tiny_family import TINY


def test_weights_can_be_made_once_and_used(deepseq):
    code, out, _ = deepseq("weights family.a2m --out w.npy --json")
    assert code == 0 and json.loads(out)["sequences"] == 80
    line = "train family.a2m --weights w.npy --config small.json --steps 2 --device cpu"
    code, _, err = deepseq(f"{line} --out weighted")
    assert code == 0, err
    code, _, err = deepseq(f"{line} --out other --theta 0.3")
    assert code == 2 and "theta" in err


def test_the_command_after_weights_repeats_how_the_alignment_was_read(deepseq):
    _, out, _ = deepseq("weights family.a2m --theta 0.3 --columns all --out wide.npy")
    following = out.splitlines()[-1].partition("next: deepseq ")[2]
    assert "--columns all" in following
    code, _, err = deepseq(
        f"{following} --overwrite --config small.json --steps 2 --device cpu".replace(
            "--out run", "--out wide_run"
        )
    )
    assert code == 0, err


def test_data_list_knows_the_families(deepseq):
    code, out, _ = deepseq("data list")
    assert code == 0 and "BLAT_ECOLX" in out


def test_data_list_is_json_when_asked(deepseq):
    found = json.loads(deepseq("data list --json").out)
    assert {"synthetic", "BLAT_ECOLX"} <= {row["name"] for row in found}


def test_data_fetch_names_the_files(deepseq):
    code, out, _ = deepseq("data fetch synthetic")
    assert code == 0 and "synthetic.a2m" in out


def test_parameters_leave_and_come_back_with_the_same_scores(deepseq, work):
    assert deepseq("export-original run --out arrays.npz").code == 0
    with np.load(work / "arrays.npz") as arrays:
        (work / "P_params.pkl").write_bytes(pickle.dumps(dict(arrays), protocol=2))
    logit = TINY.sparsity.logit_p
    line = f"import-original P_params.pkl --alignment family.a2m --out back --logit-p {logit}"
    code, out, err = deepseq(line)
    assert code == 0 and "next: deepseq score back --all-singles" in out, err
    deepseq("score back --all-singles --samples 3 --device cpu --out back.csv")
    assert (work / "back.csv").read_bytes() == (work / "scores.csv").read_bytes()


@pytest.mark.parametrize("words", ["weights family.a2m", "export-original run"])
def test_an_existing_file_is_not_replaced_by_accident(deepseq, work, words):
    (work / "mine.npz").write_text("mine")
    code, _, err = deepseq(f"{words} --out mine.npz")
    assert code == 2 and "--overwrite" in err and (work / "mine.npz").read_text() == "mine"
