"""Whole sequences become the variants that they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseq_nb.family.focus import FocusMap
from deepseq_nb.family.variants import named_sequences, resolve_variants

WILD = "RPDFCLEPPYTGPCKARIIRYFYNAKAGLCQTFVYGGCRAKRNNFKSAEDCMRTCGG"
LETTERS = dict(enumerate(WILD, 4))
MAP = FocusMap(
    name="KUNITZ", sequence=WILD, residues=tuple(LETTERS), alphabet="ACDEFGHIKLMNPQRSTVWY",
    occupancy=(1.0,) * len(WILD), full_sequence=WILD, start=4,
)  # fmt: skip


@given(
    st.dictionaries(
        st.integers(0, len(WILD) - 1), st.sampled_from("ACDEFGHIKLMNPQRSTVWY-"), max_size=8
    )
)
def test_substitutions_and_gaps_are_named_one_by_one(changes):
    mutant = "".join(changes.get(i, letter) for i, letter in enumerate(WILD))
    expected = [f"{WILD[i]}{i + 4}{b}" for i, b in sorted(changes.items()) if b != WILD[i]]
    assert named_sequences([mutant], LETTERS) == [":".join(expected) or "WT"]


@pytest.mark.parametrize(
    ("mutant", "name"),
    [
        (WILD[:9] + WILD[11:], "Y13-:T14-"),
        (WILD[:10] + "A" + WILD[11:40] + WILD[41:], "T14A:K44-"),
        (WILD[:-1], "G60-"),
        (WILD[1:], "R4-"),
        (WILD[:12] + "K" + WILD[12:], "G15_P16insK"),
        (WILD.lower(), "WT"),
        (WILD + "*", "WT"),
        (WILD[:5] + "*" + WILD[6:], "L9*"),
    ],
)
def test_one_sequence(mutant, name):
    assert named_sequences([mutant], LETTERS) == [name]


def test_a_construct_that_is_longer_than_the_focus_is_placed_on_it():
    whole = ["MKS" + WILD[:i] + "W" + WILD[i + 1 :] + "HHHHHH" for i in range(10)]
    expected = [f"{WILD[i]}{i + 4}W" for i in range(10)]
    assert named_sequences(whole, LETTERS) == expected
    assert named_sequences(["MKS" + WILD + "HHHWHH", *whole], LETTERS)[0] == "H64W"


def test_a_sequence_of_another_protein_stays_as_it_is():
    rng = np.random.default_rng(1)
    other = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), len(WILD)))
    assert named_sequences([other], LETTERS) == [other]
    table = resolve_variants([WILD, WILD[:3] + "A" + WILD[4:], other], MAP)
    assert table.status.tolist() == ["ok", "ok", "malformed"]
    assert table.text[:2] == ("WT", "F7A")


def test_insertions_are_refused_with_their_place():
    table = resolve_variants([WILD[:12] + "K" + WILD[12:], WILD], MAP)
    assert table.status[0] == "insertion" and "G15_P16insK" in table.reason[0]


def test_a_list_of_variants_is_not_taken_for_sequences():
    assert named_sequences(["A24G", "WT", "nonsense"], LETTERS) == ["A24G", "WT", "nonsense"]
