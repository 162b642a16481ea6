"""Every real alignment loads, with the counts that are known and residues that agree with the assays."""

import csv
import os
import re

import numpy as np
import pytest

from deepseq_nb.core.errors import AlignmentError
from deepseq_nb.family.alignment import Alignment

pytestmark = pytest.mark.skipif(
    not os.environ.get("DEEPSEQ_DATA"), reason="DEEPSEQ_DATA is not set: no real data here"
)

BLAT = "BLAT_ECOLX/BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m"
FULL_PDZ = "DLG4_RAT/DLG4_RAT_PF00595_full.a2m"

FAMILIES = [  # file, alphabet, records, kept, columns, first and last modelled residue
    (BLAT, "protein", 8403, 8355, 253, (29, 283)),
    ("P53_HUMAN/P53_HUMAN_b0.1.a2m", "protein", 3668, 3630, 329, (45, 374)),
    ("GB1/GB1_Alignment.a2m", "protein", 391, 385, 54, (3, 56)),
    ("KUNITZ/Kunitz_domain_MSA.fasta", "protein", 11819, 11819, 52, (1, 52)),
    ("TRNA_RF00005/RF00005_CCU.fasta", "rna", 1919, 1919, 72, (1, 72)),
    (FULL_PDZ, "protein", 36691, 36691, 78, (313, 391)),
    ("DLG4_RAT/DLG4_RAT_PF00595.a2m", "protein", 1334, 1332, 79, (313, 391)),
    ("PABP_YEAST/PABP_YEAST_PF00076.a2m", "protein", 3659, 3653, 70, (128, 197)),
]


@pytest.mark.parametrize(("file", "alphabet", "records", "kept", "columns", "residues"), FAMILIES)
def test_real_families_load(real_data, file, alphabet, records, kept, columns, residues):
    report = (alignment := Alignment.read(real_data(file), alphabet=alphabet)).report
    assert (report.records, report.kept, report.columns, report.residues) == (
        records,
        kept,
        columns,
        residues,
    )
    assert alignment.tokens.shape == (kept, columns) and alignment.tokens.max() <= alignment.gap
    assert (alignment.tokens[alignment.focus_index] == alignment.focus_map.tokens).all()


@pytest.mark.parametrize("file", [file for file, *_ in FAMILIES])
def test_dropped_rows_are_those_of_the_original(real_data, file):
    alphabet = "ACGU" if "TRNA" in file else "ACDEFGHIKLMNPQRSTVWY"
    chunks = real_data(file).read_text().lstrip(">").split("\n>")
    rows = [chunk.partition("\n")[2].replace("\n", "").replace(".", "-") for chunk in chunks]
    columns = [i for i, letter in enumerate(rows[0]) if letter == letter.upper() and letter != "-"]
    rows = ["".join(row[i].upper() for i in columns) for row in rows]
    expected = [row for row in rows if set(row) <= set(alphabet + "-")]
    alignment = Alignment.read(real_data(file), alphabet=alphabet)
    assert alignment.decode(alignment.tokens) == expected


def wild_types(path, column):
    with open(path, newline="", encoding="utf-8-sig") as handle:
        for row in csv.DictReader(handle):
            if match := re.fullmatch(r"([A-Z])(\d+)[A-Z]", row[column]):
                yield match[1], int(match[2])


def test_blat_residues_agree_with_all_wild_types_of_the_assay(real_data):
    focus_map = Alignment.read(real_data(BLAT)).focus_map
    assert (
        focus_map.residues[0] == 29
        and focus_map.sequence[0] == "V"
        and focus_map.full_sequence.startswith("HPETLV")
    )
    columns = [
        (letter, focus_map.column(residue))
        for letter, residue in wild_types(
            real_data("BLAT_ECOLX/BLAT_ECOLX_Ranganathan2015.csv"), "mutant"
        )
    ]
    inside = [(letter, column) for letter, column in columns if column is not None]
    assert len(inside) == 4807 and all(
        focus_map.sequence[column] == letter for letter, column in inside
    )


def test_pdz_residues_after_a_lower_case_focus_column_do_not_shift(real_data):
    focus_map = Alignment.read(real_data(FULL_PDZ)).focus_map
    assert focus_map.column(352) is None and focus_map.column(351) + 1 == focus_map.column(353)
    everything = Alignment.read(real_data(FULL_PDZ), columns="all").focus_map
    assert len(everything.sequence) == 79 and everything.sequence[everything.column(352)] == "E"
    for residue, letter in zip(focus_map.residues, focus_map.sequence, strict=True):
        assert everything.sequence[everything.column(residue)] == letter


def test_pabp_residues_agree_with_the_assay(real_data):
    focus_map = Alignment.read(real_data("PABP_YEAST/PABP_YEAST_PF00076.a2m")).focus_map
    rows = real_data("PABP_YEAST/PABP_YEAST_Fields2013-singles.csv").read_text().splitlines()
    found = [re.search(r"\b([A-Z])(\d+)[A-Z]\b", row) for row in rows]
    inside = [
        (m[1], focus_map.column(int(m[2])))
        for m in found
        if m and focus_map.column(int(m[2])) is not None
    ]
    assert len(inside) > 1000 and all(
        focus_map.sequence[column] == letter for letter, column in inside
    )


def test_kunitz_focus_by_name_without_its_arrows(real_data):
    path = real_data("KUNITZ/Kunitz_domain_MSA.fasta")
    assert Alignment.read(path, focus="S1").focus_index == 0
    assert (
        Alignment.read(path, focus="S118").names[Alignment.read(path, focus="S118").focus_index]
        == "S118"
    )
    with pytest.raises(AlignmentError, match="fits 11,819 names"):
        Alignment.read(path, focus="S")


def test_trna_read_as_protein_asks_for_the_alphabet(real_data):
    with pytest.raises(AlignmentError, match='did you mean alphabet="rna"'):
        Alignment.read(real_data("TRNA_RF00005/RF00005_CCU.fasta"))


def test_blat_rows_of_one_protein_are_told_apart(real_data):
    with pytest.raises(AlignmentError, match="A0A077REW6_WHEAT/30-249, up"):
        Alignment.read(real_data(BLAT), focus="A0A077REW6")


def test_blat_filters_of_eve(real_data):
    alignment = Alignment.read(
        real_data(BLAT), columns="all", max_sequence_gaps=0.5, max_column_gaps=0.3
    )
    text = real_data(BLAT).read_text()
    rows = np.array(
        [list("".join(c.split("\n")[1:]).upper().replace(".", "-")) for c in text[1:].split("\n>")]
    )
    kept = (rows == "-").mean(axis=1) <= 0.5
    columns = (rows[kept] == "-").mean(axis=0) <= 0.3
    good = np.isin(rows[:, columns], list("ACDEFGHIKLMNPQRSTVWY-")).all(axis=1) & kept
    assert alignment.decode(alignment.tokens) == ["".join(row) for row in rows[good][:, columns]]
    assert alignment.residues.tolist() == (24 + np.flatnonzero(columns)).tolist()


@pytest.mark.parametrize(
    "file", ["BLAT_ECOLX/BLAT_ECOLX_Ranganathan2015.csv", "PABP_YEAST/pab1.tsv", "MANIFEST.tsv"]
)
def test_a_table_is_not_an_alignment(real_data, file):
    with pytest.raises(AlignmentError, match="begins like a table"):
        Alignment.read(real_data(file))
