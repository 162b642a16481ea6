"""Mixtures of models from several alignments of one protein."""

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.cli.main import main
from deepseq_nb.core.errors import ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.peers.mixing import check_one_protein, fit_simple, load_parts, moved, score

ROWS = ["MKTAYIAKQR", "MRTAYLAKQK", "MKSAFIGRQR", "LKTGYIAKHR", "MKTAYVSKQR"]
NAMES = ["P/11-20", "a", "b", "c", "d"]


def alignment(hidden=(), rows=ROWS, name="P/11-20"):
    """The family without some columns, by number from 0."""
    cut = ["".join(x.lower() if i in hidden else x for i, x in enumerate(row)) for row in rows]
    return Alignment.from_strings(cut, [name, *NAMES[1:]])


@pytest.fixture
def both():
    """Letter counts of all columns, and of all but the third and the last."""
    return [fit_simple(alignment(), "sites"), fit_simple(alignment((2, 9)), "sites")]


TEXTS = ["M11L", "T13S", "Y15F:R20K", "Y15F:Q19H", "wt", "R20K", "A99C"]


def test_a_variant_is_scored_where_all_alignments_have_its_residues(both):
    table = score(both, TEXTS, mix=(1, 1)).set_index("variant")
    assert list(table.status == "ok") == [True, False, False, True, True, False, False]
    outside = table.loc[["T13S", "Y15F:R20K", "R20K"]]
    assert {*outside.status} == {"outside the alignment"}
    assert {*outside.reason} == {"not a column of P/11-20"}
    assert outside[["score", "occupancy"]].isna().all(axis=None)
    assert table.score["wt"] == 0 and table.loc["A99C", "status"] == "outside the alignment"


def test_the_parts_are_what_each_model_says_alone(both):
    table = score(both, TEXTS, mix=(3, 1)).set_index("variant")
    spreads = [score(model).score.std(ddof=0) for model in both]
    for text in ("M11L", "Y15F:Q19H"):
        alone = [score(model, [text]).score[0] for model in both]
        assert list(table.loc[text, ["score_1", "score_2"]]) == alone
        expected = (3 * alone[0] / spreads[0] + alone[1] / spreads[1]) / 4
        assert table.score[text] == pytest.approx(expected, rel=1e-12)


def test_the_order_of_the_alignments_changes_no_score(both):
    one = score(both, TEXTS, mix=(1, 2)).set_index("variant").score
    two = score(both[::-1], TEXTS, mix=(2, 1)).set_index("variant").score
    pd.testing.assert_series_equal(one, two, rtol=1e-12)


@pytest.mark.parametrize("hidden", [(), (0,), (2, 9), (0, 1, 2, 3, 4)])
def test_a_table_that_is_moved_is_the_table_of_the_other_map(hidden):
    here, there = alignment().focus_map, alignment(hidden).focus_map
    got = moved(resolve_variants(TEXTS, here), here, there)
    want = resolve_variants(TEXTS, there)
    assert list(got.status == "ok") == list(want.status == "ok")
    ok = np.flatnonzero(want.ok)
    wild = there.tokens
    assert (got.tokens(ok, wild) == want.tokens(ok, wild)).all()
    np.testing.assert_array_equal(got.occupancy, want.occupancy)


def test_another_protein_and_other_numbers_are_refused():
    one = alignment().focus_map
    with pytest.raises(ConfigError, match="residue 11 is M in one and K in the other"):
        check_one_protein([one, alignment(rows=[r[1:] + r[0] for r in ROWS]).focus_map])
    with pytest.raises(ConfigError, match="no residue in common"):
        check_one_protein([one, alignment(name="P/31-40").focus_map])
    assert check_one_protein([one, alignment((2, 9)).focus_map]) == [11, 12, *range(14, 20)]


def test_a_mean_is_still_of_one_set_of_columns(both):
    with pytest.raises(ConfigError, match="one set of columns"):
        load_parts(both)
    with pytest.raises(ConfigError, match="one set of columns"):
        score([both, both], mix=(1, 1))


def test_the_command_says_which_residues_are_in_all(both, tmp_path, capsys):
    folders = [str(tmp_path / name) for name in "ab"]
    for model, folder in zip(both, folders, strict=True):
        model.save(folder)
    out = tmp_path / "mixed.csv"
    assert main(["score", *folders, "--mix", "1:1", "--all-singles", "--out", str(out)]) == 0
    assert (
        "8 of these residues are in all alignments; others get no score" in capsys.readouterr().out
    )
    table = pd.read_csv(out)
    assert (table.status == "ok").sum() == 8 * 19 and len(table) == 10 * 19
    assert main(["score", *folders, "--all-singles", "--out", str(tmp_path / "x.csv")]) == 2
    assert "--mix" in capsys.readouterr().err
