"""HGVS names, MaveDB's table and ProteinGym's, with expectations written by hand."""

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.notation import parse_variant
from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.scores.outputs import hgvs_names, hgvs_table, mavedb_table, proteingym_table

PROTEIN = Alignment.from_strings(["GSGWY", "GSAWY"], ["seq/319-323", "b"]).focus_map
RNA = Alignment.from_strings(["ACGU", "AUGU"], ["seq/75-78", "b"], alphabet="rna").focus_map
DNA = Alignment.from_strings(["ACGT", "ATGT"], ["seq/75-78", "b"], alphabet="dna").focus_map


def names(focus_map, *rows, offset=0):
    return hgvs_names(resolve_variants(rows, focus_map, offset=offset), focus_map, offset)


def scored(focus_map, *rows):
    """Score 0, -1, -2, ... for rows that have a place, as a scorer's table."""
    table = resolve_variants(rows, focus_map)
    values = np.where(table.ok, -np.arange(len(rows), dtype=float), np.nan)
    columns = {"variant": rows, "score": values, "std_error": 0.1, "status": table.status}
    columns |= {"reason": table.reason, "occupancy": table.occupancy}
    return pd.DataFrame(columns), table


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("G319A", "p.Gly319Ala"),
        ("G319A:S320T", "p.[Gly319Ala;Ser320Thr]"),
        ("W322C:G319A", "p.[Gly319Ala;Trp322Cys]"),  # along the chain
        ("S320-", "p.Ser320del"),
        ("S320-:G321-:W322-", "p.Ser320_Trp322del"),
        ("G319-:G321-", "p.[Gly319del;Gly321del]"),  # not neighbours
        ("G319A:W322-:Y323-", "p.[Gly319Ala;Trp322_Tyr323del]"),
        ("G319G", "p.Gly319="),
        ("p.Gly319=", "p.Gly319="),
        ("WT", "p.="),
        ("G319A:S320S", "p.Gly319Ala"),
        ("A319G", ""),  # wild type differs
        ("hello", ""),
    ],
)
def test_hgvs_name_of_a_protein_variant(row, name):
    assert names(PROTEIN, row) == [name]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("C76U", "r.76c>u"),
        ("A75G:U78C", "r.[75a>g;78u>c]"),
        ("A75-:C76-", "r.75_76del"),
        ("C76C", "r.="),
        ("WT", "r.="),
    ],
)
def test_hgvs_name_of_an_rna_variant_is_in_small_letters(row, name):
    assert names(RNA, row) == [name]


def test_hgvs_name_of_a_dna_variant_claims_no_coding_sequence():
    assert names(DNA, "C76T", "WT") == ["n.76C>T", "n.="]


def test_hgvs_names_have_the_protein_s_numbers_when_the_file_s_are_shifted():
    assert names(PROTEIN, "G1A", "G1G", offset=318) == ["p.Gly319Ala", "p.Gly319="]


@pytest.mark.parametrize("row", ["G319A", "G319A:S320T", "S320-", "WT"])
def test_hgvs_names_are_read_back(row):
    assert parse_variant(names(PROTEIN, row)[0]) == parse_variant(row)


def test_letters_without_a_nomenclature_are_refused():
    focus_map = Alignment.from_strings(["HP", "PP"], ["s/1-2", "b"], alphabet="HP").focus_map
    with pytest.raises(ConfigError, match="the letters here are HP"):
        names(focus_map, "H1P")


def test_hgvs_table_is_the_usual_one_with_a_last_column():
    scores, table = scored(PROTEIN, "G319A", "A319G")
    out = hgvs_table(scores, table, PROTEIN)
    assert list(out.columns) == [*scores.columns, "hgvs"]
    assert out.hgvs.tolist() == ["p.Gly319Ala", ""]


def test_mavedb_table_has_scored_rows_only_and_each_name_once():
    scores, table = scored(PROTEIN, "G319A", "A319G", "p.Gly319Ala", "WT", "S320T")
    out = mavedb_table(scores, table, PROTEIN)
    assert list(out.columns) == ["hgvs_pro", "score", "std_error", "occupancy"]
    assert out.hgvs_pro.tolist() == ["p.Gly319Ala", "p.=", "p.Ser320Thr"]
    assert out.score.tolist() == [0, -3, -4]


def test_mavedb_table_names_an_unchanged_residue_by_its_own_number():
    scores, table = scored(PROTEIN, "G319G", "G319A")
    assert mavedb_table(scores, table, PROTEIN).hgvs_pro.tolist() == ["p.Gly319=", "p.Gly319Ala"]


def test_mavedb_table_of_rna_names_nucleotides():
    scores, table = scored(RNA, "C76U")
    assert list(mavedb_table(scores, table, RNA).columns)[:2] == ["hgvs_nt", "score"]


def test_proteingym_table_spells_whole_sequences_and_keeps_rejected_rows_empty():
    scores, table = scored(PROTEIN, "G319A:W322C", "A319G", "WT")
    out = proteingym_table(scores, table, PROTEIN)
    assert list(out.columns) == ["mutant", "mutated_sequence", "DeepSequence_score"]
    assert out.mutated_sequence.tolist() == ["ASGCY", "", "GSGWY"]
