import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import FigureError
from deepseq_nb.family.focus import FocusMap
from deepseq_nb.scores.tolerance import column_information, residue_table


@pytest.fixture
def focus_map():
    return FocusMap(
        name="four",
        sequence="ACU",
        residues=(7, 8, 10),
        alphabet="ACGU",
        occupancy=(0.9, 1.0, 0.4),
        full_sequence="ACGU",
        start=7,
    )


@pytest.fixture
def scores():
    texts = ["A7C", "A7G", "C8U", "A7C:C8U", "A7U", "WT"]
    return pd.DataFrame({"variant": texts, "score": [-1.0, -4.0, 0.5, -9.0, np.nan, 0.0]})


def test_the_tolerance_is_the_mean_over_scored_single_substitutions(scores, focus_map):
    table = residue_table(scores, focus_map)
    assert table.tolerance[:2].tolist() == [-2.5, 0.5]
    assert table.substitutions.tolist() == [2, 1, 0, 0]


def test_best_and_worst_letter_stand_beside_it(scores, focus_map):
    table = residue_table(scores, focus_map)
    assert [*table.best] == ["C", "U", "", ""] and [*table.worst] == ["G", "U", "", ""]
    assert (table.best_score[0], table.worst_score[0]) == (-1.0, -4.0)


def test_a_residue_that_is_not_modelled_has_a_row_without_numbers(scores, focus_map):
    row = residue_table(scores, focus_map, np.full((3, 4), 0.25)).iloc[2]
    assert (row.residue, row.wild_type, row.modelled) == (9, "G", False)
    assert row[["tolerance", "best_score", "conservation_bits", "occupancy"]].isna().all()


def test_conservation_is_of_letters_without_gaps_and_occupancy_of_the_focus_map(scores, focus_map):
    shares = np.array([[0.2, 0.0, 0.0, 0.0], [0.25, 0.25, 0.0, 0.0], [0.0] * 4])
    table = residue_table(scores, focus_map, shares)
    assert table.conservation_bits[[0, 1]].tolist() == [2.0, 1.0]
    assert np.isnan(table.conservation_bits[3])
    assert table.occupancy[[0, 1, 3]].tolist() == [0.9, 1.0, 0.4]


def test_a_column_of_equal_letters_has_no_information():
    assert column_information(np.full((1, 4), 0.25)).tolist() == [0.0]


def test_frequencies_of_another_family_are_refused(scores, focus_map):
    with pytest.raises(FigureError, match=r"\(2, 4\).*\(3, 4\)"):
        residue_table(scores, focus_map, np.zeros((2, 4)))
