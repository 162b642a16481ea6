"""Variants and assays of the real families."""

import os

import numpy as np
import pytest

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.assays import read_assay
from deepseq_nb.family.focus import ALPHABETS, FocusMap
from deepseq_nb.family.notation import parse_variant
from deepseq_nb.family.variants import resolve_variants, spelled_variants

pytestmark = pytest.mark.skipif(
    "DEEPSEQ_DATA" not in os.environ, reason="DEEPSEQ_DATA is not set: no real families"
)

BLAT = "BLAT_ECOLX/BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m"


@pytest.fixture
def blat(real_data):
    return Alignment.read(real_data(BLAT)).focus_map, read_assay(
        real_data("BLAT_ECOLX/BLAT_ECOLX_Ranganathan2015.csv")
    )


def test_blat_rows_inside_and_outside(blat):
    focus_map, assay = blat
    table = resolve_variants(assay["variant"], focus_map)
    assert len(assay) == len(table) == 263 * 19
    assert table.summary() == "4,807 scored, 190 rejected: 190 outside the alignment"
    assert table.shift_hint() is None
    lower = {24, 25, 26, 27, 28, 56, 238, 284, 285, 286}
    rejected = {
        parse_variant(text)[0].residue
        for text, ok in zip(table.text, table.ok, strict=True)
        if not ok
    }
    assert rejected == lower and all("--columns all" in reason for reason in table.reason if reason)
    assert assay["2500"].dtype == np.float64 and assay["2500"].notna().all()


def test_blat_with_all_columns_scores_every_row(blat, real_data):
    every = Alignment.read(real_data(BLAT), columns="all").focus_map
    assert resolve_variants(blat[1]["variant"], every).summary() == "4,997 scored, 0 rejected"


def test_blat_shifted_by_one_is_recognised(blat):
    focus_map, assay = blat
    moved = [f"{w}{r - 1}{m}" for ((w, r, m),) in map(parse_variant, assay["variant"])]
    table = resolve_variants(moved, focus_map)
    assert (
        table.shift_hint()
        == "all 4,997 wild-type letters agree if positions are shifted by +1: pass --offset 1"
    )
    assert (
        resolve_variants(moved, focus_map, offset=1).summary()
        == "4,807 scored, 190 rejected: 190 outside the alignment"
    )


def test_blat_numbered_from_one_is_recognised(blat):
    focus_map, assay = blat
    mature = [f"{w}{r - 23}{m}" for ((w, r, m),) in map(parse_variant, assay["variant"])]
    assert (
        resolve_variants(mature, focus_map)
        .shift_hint()
        .endswith("shifted by +23: pass --offset 23")
    )


def test_p53_labels_parse(real_data):
    focus_map = Alignment.read(real_data("P53_HUMAN/P53_HUMAN_b0.1.a2m")).focus_map
    labels = read_assay(real_data("P53_HUMAN/ClinVar_labels_P53.csv"))
    assert len(labels) == 163 and labels["ClinVar_labels_category"].value_counts().to_dict() == {
        "pathogenic": 130,
        "benign": 33,
    }
    assert (
        resolve_variants(labels["variant"], focus_map).summary()
        == "157 scored, 6 rejected: 6 outside the alignment"
    )


def test_pabp_doubles(real_data):
    focus_map = Alignment.read(real_data("PABP_YEAST/PABP_YEAST_PF00076.a2m")).focus_map
    doubles = read_assay(real_data("PABP_YEAST/pab1.tsv"))
    table = resolve_variants(doubles["variant"], focus_map)
    assert len(table) == 40852
    assert (
        table.summary()
        == "33,956 scored, 6,896 rejected: 3,754 outside the alignment, 3,142 unknown letter"
    )
    changes = np.diff(table.offsets)
    assert (changes[table.ok] == doubles["num_mutations"].to_numpy()[table.ok]).all()
    stops = np.array(["*" in text for text in table.text])
    assert (table.status[stops] == "unknown letter").all()


def test_pabp_singles(real_data):
    focus_map = Alignment.read(real_data("PABP_YEAST/PABP_YEAST_PF00076.a2m")).focus_map
    singles = read_assay(real_data("PABP_YEAST/PABP_YEAST_Fields2013-singles.csv"))
    assert int(resolve_variants(singles["variant"], focus_map).ok.sum()) == 1125


def test_dlg4_columns_after_the_lower_case_residue_shift(real_data):
    assay = read_assay(real_data("DLG4_RAT/DLG4_RAT_Ranganathan2012.csv"))
    full = Alignment.read(real_data("DLG4_RAT/DLG4_RAT_PF00595_full.a2m")).focus_map
    plain = Alignment.read(real_data("DLG4_RAT/DLG4_RAT_PF00595.a2m")).focus_map
    assert (full.column(351), full.column(352), full.column(353)) == (38, None, 39)
    assert (plain.column(351), plain.column(352), plain.column(353)) == (38, 39, 40)
    table, other = (resolve_variants(assay["variant"], focus_map) for focus_map in (full, plain))
    assert int(table.ok.sum()) == 1560 and int(other.ok.sum()) == 1580
    assert (
        sum(
            "residue 352 is inside the protein but not a modelled column" in reason
            for reason in table.reason
        )
        == 20
    )
    for v in np.flatnonzero(table.ok & other.ok):  # the same letter is changed in both maps
        a, b = (t.columns[t.offsets[v] : t.offsets[v + 1]] for t in (table, other))
        assert [full.sequence[i] for i in a] == [plain.sequence[i] for i in b] and [
            full.residues[i] for i in a
        ] == [plain.residues[i] for i in b]


def test_gb1_spells_its_residues(real_data):
    focus_map = Alignment.read(real_data("GB1/GB1_Alignment.a2m")).focus_map
    assay = read_assay(real_data("GB1/Gb1Dataset.csv"))
    assert assay["variant"][0] == "VDGV" and len(assay) == 149361  # the byte-order mark is gone
    raw = resolve_variants(assay["variant"][:1000], focus_map)
    assert (
        raw.summary() == "0 scored, 1,000 rejected: 1,000 malformed"
        and "spelled_variants" in raw.reason[0]
    )
    table = resolve_variants(
        spelled_variants(assay["variant"], (39, 40, 41, 54), "VDGV"), focus_map
    )
    assert table.summary() == "149,361 scored, 0 rejected" and table.text[:2] == ("WT", "V39A")


def test_gfp_multi_mutants_agree_on_one_wild_type(real_data):
    assay = read_assay(real_data("GFP_AEQVI/avgfp.tsv"))
    singles = {text for variant in assay["variant"] for text in variant.split(",")}
    wild = {int(text[1:-1]): text[0] for text in singles}
    sequence = "".join(wild.get(residue, "X") for residue in range(1, max(wild) + 1))
    residues = tuple(sorted(wild))
    focus_map = FocusMap(
        name="GFP_AEQVI", sequence="".join(wild[r] for r in residues), residues=residues, alphabet=ALPHABETS["protein"],
        occupancy=(1.0,) * len(residues), full_sequence=sequence, start=1,
    )  # fmt: skip
    table = resolve_variants(assay["variant"], focus_map)
    stops = assay["variant"].str.contains("*", regex=False).to_numpy()
    assert (
        len(table) == 54024
        and (table.ok == ~stops).all()
        and (table.status[stops] == "unknown letter").all()
    )
    assert (np.diff(table.offsets)[~stops] == assay["num_mutations"].to_numpy()[~stops]).all()
