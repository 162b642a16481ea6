"""The site-independent model: hand-computed frequencies, additivity, and the table that every scorer returns."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseq_nb.core.errors import ConfigError, VariantError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.peers.sites import SiteIndependent

COLUMNS = ["variant", "score", "std_error", "status", "reason", "occupancy"]


@pytest.fixture
def rna():
    """Four sequences; column 2 has a gap in the last."""
    return Alignment.from_strings(
        ["ACG", "ACG", "AUG", "G-G"], names=["seq/5-7", "b", "c", "d"], alphabet="rna"
    )


def test_frequencies_are_the_weighted_counts_with_the_pseudocount_spread_over_the_letters(rna):
    model = SiteIndependent.fit(rna, np.array([1.0, 1.0, 2.0, 4.0]), pseudocount=2.0)
    expected = np.array([[4.5, 0.5, 4.5, 0.5], [0.5, 2.5, 0.5, 2.5], [0.5, 0.5, 8.5, 0.5]])
    expected /= np.array([[10.0], [6.0], [10.0]])  # the gap of column 2 is not counted
    np.testing.assert_allclose(np.exp(model.log_frequencies), expected)


def test_every_column_is_a_distribution(rna):
    np.testing.assert_allclose(np.exp(SiteIndependent.fit(rna).log_frequencies).sum(axis=1), 1.0)


def test_score_is_the_log_ratio_to_the_wild_type(rna):
    table = SiteIndependent.fit(rna, pseudocount=1.0).score(["A5G", "C6U"])
    assert table.score.tolist() == pytest.approx([math.log(1.25 / 3.25), math.log(1.25 / 2.25)])


def test_no_weights_means_equal_weights(rna):
    plain, ones = SiteIndependent.fit(rna), SiteIndependent.fit(rna, np.ones(4))
    np.testing.assert_array_equal(plain.log_frequencies, ones.log_frequencies)


def test_scaling_weights_and_pseudocount_together_changes_nothing(rna):
    weights = np.array([0.5, 1.0, 0.25, 1.0])
    first, second = (
        SiteIndependent.fit(rna, weights, 1.0),
        SiteIndependent.fit(rna, 10 * weights, 10.0),
    )
    np.testing.assert_allclose(first.log_frequencies, second.log_frequencies)


def test_column_that_nobody_fills_is_uniform():
    alignment = Alignment.from_strings(["AC", "A-"], alphabet="dna")
    model = SiteIndependent.fit(alignment, np.array([0.0, 1.0]))
    np.testing.assert_allclose(np.exp(model.log_frequencies[1]), 0.25)


# the table --------------------------------------------------------------------------------------------------------


def test_synonymous_substitution_scores_exactly_zero__deepsequence_12(rna):
    table = SiteIndependent.fit(rna).score(["A5A", "WT"])
    assert table.score.tolist() == [0.0, 0.0] and table.status.tolist() == ["ok", "ok"]


def test_table_has_the_columns_of_every_scorer_and_no_noise(rna):
    table = SiteIndependent.fit(rna).score()
    assert list(table.columns) == COLUMNS
    assert len(table) == 9 and (table.std_error == 0).all() and (table.status == "ok").all()


def test_rejected_rows_keep_their_place_and_have_no_score(rna):
    table = SiteIndependent.fit(rna).score(["A5G", "C5G", "A99G", "junk", "C6U"])
    assert table.variant.tolist() == ["A5G", "C5G", "A99G", "junk", "C6U"]
    assert table.score.isna().tolist() == [False, True, True, True, False]
    assert table.std_error.isna().tolist() == [False, True, True, True, False]
    assert (table.status != "ok").tolist() == [False, True, True, True, False]
    assert all(table.reason[table.status != "ok"])


def test_occupancy_is_the_lowest_of_the_columns_touched(rna):
    assert SiteIndependent.fit(rna).score(["A5G", "A5G:C6U"]).occupancy.tolist() == [1.0, 0.75]


def test_deletion_contributes_nothing_and_is_marked(rna):
    table = SiteIndependent.fit(rna, pseudocount=1.0).score(["A5-"])
    assert table.score[0] == pytest.approx(-math.log(3.25 / 5)) and table.reason[0]


def test_resolved_variants_are_accepted(rna):
    model = SiteIndependent.fit(rna)
    resolved = resolve_variants(["A5G", "C6U"], rna.focus_map)
    pd.testing.assert_frame_equal(model.score(resolved), model.score(["A5G", "C6U"]))


def test_offset_shifts_positions(rna):
    model = SiteIndependent.fit(rna)
    assert model.score(["A4G"], offset=1).score[0] == model.score(["A5G"]).score[0]


def test_empty_list_gives_an_empty_table(rna):
    table = SiteIndependent.fit(rna).score([])
    assert list(table.columns) == COLUMNS and len(table) == 0


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text(alphabet="ACGU", min_size=6, max_size=6), min_size=1, max_size=8),
    st.floats(0.01, 100),
    st.lists(st.sampled_from("ACGU"), min_size=6, max_size=6),
)
def test_scores_add_up_over_sites(sequences, pseudocount, mutant):
    model = SiteIndependent.fit(
        Alignment.from_strings(sequences, alphabet="rna"), pseudocount=pseudocount
    )
    parts = [f"{w}{i}{m}" for i, (w, m) in enumerate(zip(sequences[0], mutant, strict=True), 1)]
    assert model.score([":".join(parts)]).score[0] == pytest.approx(
        model.score(parts).score.sum(), abs=1e-9
    )


# what is refused --------------------------------------------------------------------------------------------------


def test_weights_of_another_alignment_are_refused(rna):
    with pytest.raises(ConfigError, match=r"weights must be 4 finite numbers.*found shape \(3,\)"):
        SiteIndependent.fit(rna, np.ones(3))


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_must_be_finite_and_not_negative(rna, bad):
    with pytest.raises(ConfigError, match=f"zero or more and not all zero; found {bad} at 1"):
        SiteIndependent.fit(rna, np.array([1.0, bad, 1.0, 1.0]))


def test_weights_that_are_all_zero_are_refused(rna):
    with pytest.raises(ConfigError, match="not all zero; found only zeros"):
        SiteIndependent.fit(rna, np.zeros(4))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_pseudocount_must_be_above_zero(rna, bad):
    with pytest.raises(ConfigError, match="pseudocount must be above 0"):
        SiteIndependent.fit(rna, pseudocount=bad)


def test_simple_models_take_variants_as_runs_do(rna, tmp_path):
    model, path = SiteIndependent.fit(rna), tmp_path / "mine.csv"
    path.write_text("mutant,fitness\nA5G,0.5\nC6U,0.1\n")
    expected = model.score(["A5G", "C6U"])
    for asked in (path, str(path), pd.DataFrame({"variant": ["A5G", "C6U"]})):
        pd.testing.assert_frame_equal(model.score(asked), expected)
    assert model.score("A5G").score.tolist() == expected.score[:1].tolist()
    with pytest.raises(VariantError, match=r"none\.csv: no such file"):
        model.score(str(tmp_path / "none.csv"))
