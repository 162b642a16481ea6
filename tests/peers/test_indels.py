"""Variants in words become whole sequences."""

import pytest

from deepseq_nb.peers.indels import mutant_of

WILD = "MKVLAAGIVG"  # residues 11 to 20


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("K12R", "MRVLAAGIVG"),
        ("K12R:G20W", "MRVLAAGIVW"),
        ("K12del", "MVLAAGIVG"),
        ("K12-", "MVLAAGIVG"),
        ("K12delK", "MVLAAGIVG"),
        ("p.Lys12del", "MVLAAGIVG"),
        ("V13_A15del", "MKAGIVG"),
        ("L14_A15insWW", "MKVLWWAAGIVG"),
        ("p.Leu14_Ala15insTrpTrp", "MKVLWWAAGIVG"),
        ("V13_A15delinsW", "MKWAGIVG"),
        ("V13_L14delinsGG", "MKGGAAGIVG"),
        ("K12dup", "MKKVLAAGIVG"),
        ("K12_V13dup", "MKVKVLAAGIVG"),
        ("M11del", "KVLAAGIVG"),
        ("K12del:A15_A16insWW:G20W", "MVLAWWAGIVW"),
        ("G20W:K12del", "MVLAAGIVW"),
        ("WT", WILD),
        ("wild-type", WILD),
        ("MKVLAAGIVGG", "MKVLAAGIVGG"),
        ("mkvl-agivg*", "MKVLAGIVG"),
    ],
)
def test_what_is_written_is_the_sequence(text, sequence):
    assert mutant_of(text, WILD, 11) == (sequence, "ok", "")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("A12del", "wild type differs"),
        ("K12delR", "wild type differs"),
        ("K42del", "outside the alignment"),
        ("K12_A15insG", "malformed"),
        ("K12insG", "malformed"),
        ("L14_A15ins", "malformed"),
        ("A15_V13del", "malformed"),
        ("L14_A15insX", "unknown letter"),
        ("K12fs", "frameshift"),
        ("K12_L14del:V13W", "conflict"),
        ("L14_A15insW:L14_A15insG", "conflict"),
        ("K12R:K12G", "conflict"),
        ("MKVLAAXIVG", "unknown letter"),
        ("VDGV", "malformed"),
        ("", "malformed"),
        ("M11_G20del", "malformed"),
    ],
)
def test_what_cannot_be_made_has_a_status_and_a_reason(text, status):
    found = mutant_of(text, WILD, 11)
    assert found.sequence == "" and found.status == status and found.reason


def test_an_offset_is_added_to_every_number():
    assert mutant_of("V3_A5del", WILD, 11, offset=10) == mutant_of("V13_A15del", WILD, 11)


def test_deleting_either_of_two_equal_letters_is_the_same():
    assert mutant_of("A15del", WILD, 11) == mutant_of("A16del", WILD, 11)
