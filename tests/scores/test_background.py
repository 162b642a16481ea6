"""Half of the background taken out of scores: by hand, for one run and several, and where it does not apply."""

import math

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.scores.background import (
    PROTEOME,
    background_change,
    chosen_background,
    is_taken_out,
    log_background,
    with_background,
)
from deepseq_nb.scores.scoring import combine, score

W_FOR_L = math.log(1.10 / 9.65)  # both in per cent of Swiss-Prot


@pytest.fixture(scope="module")
def small():
    """LAV at residues 5 to 7."""
    return Alignment.from_strings(["LAV", "LAV", "W-V"], ["seq/5-7", "b", "c"])


def changes(alignment, *rows):
    table = resolve_variants(rows, alignment.focus_map)
    return background_change(table, alignment.focus_map)


def test_frequencies_are_of_the_twenty_amino_acids_and_sum_to_one_hundred():
    assert sorted(PROTEOME) == sorted("ACDEFGHIKLMNPQRSTVWY")
    assert sum(PROTEOME.values()) == pytest.approx(100, abs=0.2)


def test_log_background_follows_the_order_of_the_alphabet():
    there = log_background("ACDEFGHIKLMNPQRSTVWY")
    back = log_background("YWVTSRQPNMLKIHGFEDCA")
    assert np.allclose(there, back[::-1]) and np.exp(there).sum() == pytest.approx(1)


def test_change_of_one_letter_is_the_log_ratio_of_its_frequencies(small):
    assert changes(small, "L5W")[0] == pytest.approx(W_FOR_L)


def test_changes_of_several_letters_add_up(small):
    assert changes(small, "L5W:V7A")[0] == pytest.approx(W_FOR_L + math.log(8.25 / 6.86))


@pytest.mark.parametrize("row", ["WT", "L5L", "L5-", "L9W", "nonsense"])
def test_wild_type_deletions_and_rejected_rows_owe_nothing(small, row):
    assert changes(small, row)[0] == 0


def test_deletion_beside_a_substitution_leaves_the_substitution_its_due(small):
    assert changes(small, "L5W:A6-")[0] == pytest.approx(W_FOR_L)


def test_score_loses_half_of_the_change_and_delta_elbo_keeps_it(small):
    table = resolve_variants(["L5W", "L9W"], small.focus_map)
    scores = pd.DataFrame(
        {"variant": table.text, "score": [-3.0, np.nan], "std_error": [0.1, np.nan]}
    )
    told = with_background(scores, table, small.focus_map, "proteome")
    assert told.score[0] == pytest.approx(-3 - W_FOR_L / 2) and np.isnan(told.score[1])
    assert told.delta_elbo[0] == -3 and told.columns[-1] == "delta_elbo"
    assert told.std_error.equals(scores.std_error)
    assert list(scores.columns) == ["variant", "score", "std_error"]  # not changed in place


def test_background_is_taken_out_once_and_can_be_put_back(small):
    table = resolve_variants(["L5W"], small.focus_map)
    scores = pd.DataFrame({"variant": ["L5W"], "score": [-3.0]})
    told = with_background(scores, table, small.focus_map, "proteome")
    assert with_background(told, table, small.focus_map, "proteome").equals(told)
    back = with_background(told, table, small.focus_map, "none")
    assert back.score[0] == back.delta_elbo[0] == -3


def test_proteins_are_scored_without_their_background_where_nothing_is_said(small, tiny_run):
    assert chosen_background(None, small.focus_map.alphabet) == "proteome"
    said, silent = (score(tiny_run, ["A15W"], samples=4, background=b) for b in ("proteome", None))
    assert silent.equals(said) and silent.score[0] != silent.delta_elbo[0]


def test_scores_of_rna_are_differences_of_elbos(tmp_path):
    alignment = Alignment.from_strings(
        ["ACGU", "ACGA", "AC-U"], ["seq/5-8", "b", "c"], alphabet="rna"
    )
    run = fit(alignment, preset("quick"), TrainConfig(steps=2, device="cpu"), progress=False)
    table = score(run, ["A5C", "G7U"], samples=2)
    assert table.score.equals(table.delta_elbo) and table.score.notna().all()


@pytest.mark.parametrize(
    ("columns", "out"),
    [
        ({"score": [-1.0]}, False),
        ({"score": [-1.0, np.nan], "delta_elbo": [-1.0, np.nan]}, False),
        ({"score": [-1.0, 0.0], "delta_elbo": [-1.1, 0.0]}, True),
    ],
)
def test_a_table_shows_whether_its_background_is_out(columns, out):
    assert is_taken_out(pd.DataFrame(columns)) is out


def test_other_alphabets_are_scored_without_and_refused_when_asked():
    assert chosen_background(None, "ACGU") == "none"
    with pytest.raises(ConfigError, match="twenty amino acids"):
        chosen_background("proteome", "ACGU")


def test_unknown_background_is_refused_by_name():
    with pytest.raises(ConfigError, match="background"):
        chosen_background("uniform", "ACDEFGHIKLMNPQRSTVWY")


def test_score_of_a_run_is_its_elbo_difference_less_half_of_the_background(tiny_run):
    rows = ["A15W", "V13A:G19W", "A15A", "A15-", "A999W"]
    plain = score(tiny_run, rows, samples=4, background="none")
    told = score(tiny_run, rows, samples=4, background="proteome")
    table = resolve_variants(rows, tiny_run.focus_map)
    expected = plain.score - background_change(table, tiny_run.focus_map) / 2
    assert np.allclose(told.score, expected, equal_nan=True)
    assert told.delta_elbo.equals(plain.score) and told.std_error.equals(plain.std_error)
    assert plain.delta_elbo.equals(plain.score)


def test_several_runs_have_the_background_taken_out_of_their_mean(tiny_run):
    runs = [tiny_run, tiny_run]
    plain = score(runs, ["A15W"], samples=8, background="none")
    told = score(runs, ["A15W"], samples=8, background="proteome")
    assert told.delta_elbo[0] == plain.score[0] and told.std_error[0] == plain.std_error[0]
    parts = [score(tiny_run, ["A15W"], samples=8, seed=s, background="proteome") for s in (1, 2)]
    joined = combine(parts)
    assert joined.score[0] == pytest.approx(told.score[0])
    assert joined.delta_elbo[0] == pytest.approx(told.delta_elbo[0])


def test_tables_with_and_without_background_are_not_combined(tiny_run):
    tables = [
        score(tiny_run, ["A15W"], samples=2, background=name) for name in ("none", "proteome")
    ]
    with pytest.raises(ConfigError, match="1 of 2 tables"):
        combine(tables)


def test_a_mean_with_a_table_of_another_version_has_no_elbo_column(tiny_run):
    new = score(tiny_run, ["A15W"], samples=2, background="none")
    old = new.drop(columns="delta_elbo").assign(score=new.score - 1)
    assert "delta_elbo" not in combine([new, old])
    assert combine([new, old]).score[0] == pytest.approx(new.score[0] - 0.5)
