"""Variants: notation, the map, the wild-type check, shifts, tables."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseq_nb.core.errors import VariantError
from deepseq_nb.family.assays import find_variant_column, read_assay, read_variants
from deepseq_nb.family.focus import ALPHABETS, FocusMap
from deepseq_nb.family.notation import (
    STATUSES,
    Substitution,
    canonical_variants,
    format_variant,
    parse_variant,
)
from deepseq_nb.family.variants import (
    all_pairs,
    all_singles,
    compare_wild_types,
    resolve_variants,
    spelled_variants,
)

PROTEIN = ALPHABETS["protein"]


def focus_map(
    full: str, start: int = 1, lower: tuple[int, ...] = (), alphabet: str = PROTEIN, occupancy=None
) -> FocusMap:
    """A map in which the residues of `lower` have no column."""
    residues = tuple(start + i for i in range(len(full)) if start + i not in lower)
    return FocusMap(
        name="FOCUS", sequence="".join(full[r - start] for r in residues), residues=residues, alphabet=alphabet,
        occupancy=tuple(occupancy or [1.0] * len(residues)), full_sequence=full, start=start,
    )  # fmt: skip


TOY = focus_map(
    "MKTAYIAKQR", start=20, lower=(20, 25), occupancy=[0.9, 0.8, 1.0, 0.7, 0.6, 0.5, 0.4, 0.3]
)
RANDOM = focus_map(
    "".join(np.random.default_rng(0).choice(list(PROTEIN), 120)), start=24, lower=(24, 25, 60)
)


def one(text: str, where: FocusMap = TOY, offset: int = 0) -> tuple[str, str]:
    table = resolve_variants([text], where, offset)
    return table.status[0], table.reason[0]


# ---- notation


@pytest.mark.parametrize(
    "text",
    [
        "A24G",
        "a24g",
        " A24G ",
        "p.Ala24Gly",
        "P.ALA24GLY",
        "p.(Ala24Gly)",
        "Ala24Gly",
        "(A24G)",
        "A24Gly",
        "NP_000537.3:p.Ala24Gly",
    ],
)
def test_every_spelling_of_one_substitution_reads_the_same(text):
    assert parse_variant(text) == (Substitution("A", 24, "G"),)


@pytest.mark.parametrize(
    "text",
    [
        "A24G:K30R",
        "A24G,K30R",
        "A24G+K30R",
        "A24G;K30R",
        " A24G , K30R ",
        "p.[Ala24Gly;Lys30Arg]",
        "p.(Ala24Gly;Lys30Arg)",
        "p.Ala24Gly:p.Lys30Arg",
        "[A24G;K30R]",
        "ENSP00000269305.4:p.[Ala24Gly;Lys30Arg]",
    ],
)
def test_every_separator_reads_the_same(text):
    assert parse_variant(text) == (("A", 24, "G"), ("K", 30, "R"))


@pytest.mark.parametrize("text", ["WT", "wt", "_wt", " wt ", "p.="])
def test_wild_type_is_the_empty_tuple(text):
    assert parse_variant(text) == ()


def test_empty_text_is_not_the_wild_type():
    with pytest.raises(VariantError, match="malformed"):
        parse_variant("")


@pytest.mark.parametrize("text", ["A24-", "A24del", "p.Ala24del", "A24\u2212", "A24delA"])
def test_deletion_reads_as_a_gap(text):
    assert parse_variant(text) == (("A", 24, "-"),)


@pytest.mark.parametrize(("text", "letters"), [("T126T", "T"), ("p.Thr126=", "T"), ("T126=", "T")])
def test_synonymous_change_keeps_its_letter(text, letters):
    assert parse_variant(text) == ((letters, 126, letters),)


def test_residue_numbers_may_be_negative():
    assert parse_variant("G-1A") == (("G", -1, "A"),)
    assert parse_variant("G-1-") == (("G", -1, "-"),)


@pytest.mark.parametrize("text", ["G12U", "g12u", "G12-", "r.12g>u", "12G>U"])
def test_rna_letters(text):
    assert parse_variant(text, "ACGU")[0][:2] == ("G", 12)
    assert parse_variant(text, "rna") == parse_variant(text, "ACGU")


def test_dna_letter_in_an_rna_variant_is_explained():
    with pytest.raises(VariantError, match="T is spelled U"):
        parse_variant("G12T", "rna")


def test_three_letter_codes_are_for_proteins_only():
    with pytest.raises(VariantError, match="three-letter code"):
        parse_variant("Gly12Ala", "rna")


def test_alphabet_of_digits():
    assert parse_variant("0121", "012") == (("0", 12, "1"),)
    assert parse_variant("0121:2132", "012") == (("0", 12, "1"), ("2", 13, "2"))


REFUSED = {
    "A24X": ("unknown letter", "any residue"),
    "A24B": ("unknown letter", "D or N"),
    "A24Z": ("unknown letter", "E or Q"),
    "X24A": ("unknown letter", "any residue"),
    "Q30*": ("unknown letter", "stop"),
    "p.Gln30Ter": ("unknown letter", "stop"),
    "A24?": ("unknown letter", "not known"),
    "A24U": ("unknown letter", "selenocysteine"),
    "A24\u00d6": ("unknown letter", "none of"),
    "A24insG": ("insertion", "no column"),
    "p.Lys23_Ala24insGly": ("insertion", "no column"),
    "24_25insG": ("insertion", "no column"),
    "p.Ala24dup": ("insertion", "no column"),
    "p.Met1ext-5": ("insertion", "no column"),
    "-24A": ("insertion", "no column"),
    "p.Ala24_Leu26delinsGlyArgVal": ("insertion", "write it as substitutions"),
    "A24delinsGV": ("insertion", "write it as substitutions"),
    "A24fs": ("frameshift", "everything after residue 24"),
    "p.Ala24GlyfsTer5": ("frameshift", "everything after residue 24"),
    "A24Gfs*5": ("frameshift", "everything after residue 24"),
    "p.Ala24_Lys26del": ("malformed", "A24-:K25-"),
    "24del": ("malformed", "A24-"),
    "24G": ("malformed", "no wild-type letter"),
    "A24": ("malformed", "write A24G"),
    "VDGV": ("malformed", "spelled_variants"),
    "76A>T": ("malformed", "change of the gene"),
    "A24G:": ("malformed", "write A24G"),
    "A24G K30": ("malformed", "write A24G"),
    "hello world": ("malformed", "A24G:K30R"),
    "A1234567890123G": ("malformed", "write A24G"),
    "A24G:A24V": ("conflict", "changed twice, A24G and A24V"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused_with_the_right_status_and_reason(text):
    status, words = REFUSED[text]
    with pytest.raises(VariantError) as caught:
        parse_variant(text)
    assert status in str(caught.value) and words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [text for text, (status, _) in REFUSED.items() if status != "conflict"]
)
def test_a_refused_variant_is_a_row_with_that_status(text):
    status, words = REFUSED[text]
    found, reason = one(text)
    assert found == status and words in reason


def test_format_sorts_by_residue():
    assert format_variant([Substitution("K", 30, "R"), Substitution("A", 4, "G")]) == "A4G:K30R"
    assert format_variant([]) == "WT"


substitutions = st.lists(
    st.builds(
        Substitution,
        st.sampled_from(PROTEIN),
        st.integers(-999, 99999),
        st.sampled_from(PROTEIN + "-"),
    ),
    unique_by=lambda s: s.residue,
    max_size=6,
)


@given(substitutions, st.sampled_from(":,+;"))
def test_format_and_parse_are_inverse(items, separator):
    text = format_variant(items).replace(":", separator)
    assert sorted(parse_variant(text)) == sorted(items)
    assert canonical_variants([text]) == [format_variant(items)]


@given(
    st.one_of(
        st.text(max_size=30),
        st.text(alphabet="ACGpalysdeinfx0123456789_:;,+.()[]*=->? ", max_size=30),
    )
)
@settings(max_examples=400)
def test_no_text_raises_anything_but_variant_error(text):
    for alphabet in ("ACDEFGHIKLMNPQRSTVWY", "rna", "012"):
        try:
            parse_variant(text, alphabet)
        except VariantError as error:
            assert str(error)
    table = resolve_variants([text, "A23G"], TOY)
    assert table.status[0] in STATUSES and table.status[1] == "ok"
    assert (table.reason[0] == "") <= (table.status[0] == "ok")


# ---- the map


def test_lower_case_residue_moves_the_columns_after_it():
    table = resolve_variants(["Y24F", "A26G"], TOY)
    assert table.columns.tolist() == [3, 4]
    assert [TOY.alphabet[m] for m in table.mutants] == ["F", "G"]


def test_residue_outside_the_protein_names_its_range():
    assert one("K300R") == (
        "outside the alignment",
        "residue 300 is outside the protein's known range 20-29",
    )
    assert one("K19R")[0] == one("A-5G")[0] == one("A999999999G")[0] == "outside the alignment"


def test_residue_without_a_column_names_the_remedy():
    status, reason = one("I25V")
    assert status == "outside the alignment"
    assert "inside the protein" in reason and "lower-case in the alignment" in reason
    assert "train with --columns all to include it" in reason


def test_wild_type_letter_is_checked():
    assert one("G23A") == ("wild type differs", "alignment has A at 23, the variant says G")


def test_wild_type_letter_is_checked_without_a_column_too():
    assert one("L25V") == ("wild type differs", "alignment has I at 25, the variant says L")


def test_wild_type_letter_is_checked_for_every_substitution():
    assert one("A23G:G26A") == ("wild type differs", "alignment has A at 26, the variant says G")


def test_offset_is_added_and_named():
    table = resolve_variants(["A3G", "G3A"], TOY, offset=20)
    assert table.status.tolist() == ["ok", "wild type differs"]
    assert table.columns.tolist() == [TOY.column(23)]
    assert "23 (3+20)" in table.reason[1]


def test_deletion_is_the_gap_token_with_a_warning():
    for text in ("A23-", "A23del", "p.Ala23del"):
        table = resolve_variants([text], TOY)
        assert table.status[0] == "ok" and table.mutants.tolist() == [TOY.gap]
        assert "scored as a gap" in table.reason[0]


def test_deletion_in_rna_is_the_gap_token():
    rna = focus_map("GGAUCC", alphabet="ACGU")
    for text in ("G2-", "G2del"):
        assert resolve_variants([text], rna).mutants.tolist() == [4]


def test_same_residue_twice_is_a_conflict_across_pieces():
    assert one("A23G:K27R:A23V") == ("conflict", "residue 23 is changed twice, A23G and A23V")
    assert one("A23A:A23V")[0] == one("A23G:A23G")[0] == "conflict"


def test_t126t_is_empty__deepsequence_12():
    """A synonymous change is the wild type's own row, so that its score is zero whatever the noise."""
    table = resolve_variants(["T22T", "T22T:A23G"], TOY)
    assert table.status.tolist() == ["ok", "ok"] and table.offsets.tolist() == [0, 0, 1]
    assert (table.tokens(slice(0, 1), TOY.tokens)[0] == TOY.tokens).all()


def test_every_row_comes_back_in_order():
    texts = ["K300R", "A23G", "", "WT", "nonsense", "A23G:K27R", "A23G"]
    table = resolve_variants(texts, TOY)
    assert table.text == tuple(texts) and len(table) == len(table.reason) == len(table.status) == 7
    assert table.status.tolist() == [
        "outside the alignment",
        "ok",
        "malformed",
        "ok",
        "malformed",
        "ok",
        "ok",
    ]
    assert table.offsets.tolist() == [0, 0, 1, 1, 1, 1, 3, 4]
    assert (
        table.columns.dtype == np.int32
        and table.mutants.dtype == np.uint8
        and table.offsets.dtype == np.int64
    )


def test_empty_cells_of_a_table_are_malformed_rows():
    table = resolve_variants(pd.Series(["A23G", None, float("nan")], dtype=object), TOY)
    assert table.status.tolist() == ["ok", "malformed", "malformed"] and table.text == (
        "A23G",
        "",
        "",
    )


def test_no_variants_at_all():
    table = resolve_variants([], TOY)
    assert (
        len(table) == 0 and table.summary() == "0 scored, 0 rejected" and table.shift_hint() is None
    )
    assert table.tokens(slice(None), TOY.tokens).shape == (0, 8)


def test_occupancy_is_the_least_of_the_columns():
    table = resolve_variants(["WT", "A23G", "A23G:K27R", "A23A:R29K", "K300R"], TOY)
    np.testing.assert_array_equal(table.occupancy, [1.0, 1.0, 0.5, 0.3, np.nan])


def test_tokens_builds_only_the_rows_asked_for():
    texts = ["A23G:K27R", "K300R", "WT", "R29K"]
    table = resolve_variants(texts, TOY)
    everything = table.tokens(slice(None), TOY.tokens)
    decoded = ["".join(PROTEIN[t] for t in row) for row in everything]
    assert decoded == ["KTGYARQR", "KTAYAKQR", "KTAYAKQR", "KTAYAKQK"]
    assert everything.dtype == np.uint8
    mask = np.array([True, False, False, True])
    for rows in (slice(1, 3), np.array([3, 0, 0]), mask, slice(0, 0), slice(None, None, -1)):
        np.testing.assert_array_equal(table.tokens(rows, TOY.tokens), everything[rows])


@given(
    st.lists(st.sampled_from([*all_singles(TOY), "WT", "bad", "K300R", "T22T"]), max_size=30),
    st.randoms(),
)
def test_a_row_does_not_depend_on_its_neighbours(texts, random):
    table = resolve_variants(texts, TOY)
    for v, text in enumerate(texts):
        alone = resolve_variants([text], TOY)
        assert (alone.status[0], alone.reason[0]) == (table.status[v], table.reason[v])
        together = table.tokens(np.array([v]), TOY.tokens)
        np.testing.assert_array_equal(alone.tokens(slice(None), TOY.tokens), together)


def test_summary_counts_by_reason():
    texts = ["A23G"] * 4807 + ["I25V"] * 171 + ["G23A"] * 18
    summary = resolve_variants(texts, TOY).summary()
    assert summary == "4,807 scored, 189 rejected: 171 outside the alignment, 18 wild type differs"


def test_summary_without_rejections():
    assert resolve_variants(["WT"], TOY).summary() == "1 scored, 0 rejected"


# ---- shifts


def shifted(texts: list[str], by: int) -> list[str]:
    return [f"{text[0]}{int(text[1:-1]) + by}{text[-1]}" for text in texts]


@pytest.mark.parametrize("by", [1, -1, 23, -23, 50, 500])
def test_a_shifted_table_is_recognised(by):
    singles = all_singles(RANDOM)
    table = resolve_variants(shifted(singles, -by), RANDOM)
    expected = f"all {len(singles):,} wild-type letters agree if positions are shifted by {by:+d}: pass --offset {by}"
    assert table.shift_hint() == expected


def test_nothing_is_shifted_silently():
    table = resolve_variants(shifted(all_singles(RANDOM), -1), RANDOM)
    assert (table.status[table.status != "ok"] != "ok").all() and table.ok.mean() < 0.2


def test_the_advice_of_the_hint_works():
    moved = shifted(all_singles(RANDOM), -7)
    assert "--offset 7" in resolve_variants(moved, RANDOM).shift_hint()
    repaired = resolve_variants(moved, RANDOM, offset=7)
    assert repaired.ok.all() and repaired.shift_hint() is None


def test_a_mostly_shifted_table_says_how_many_agree():
    singles = all_singles(RANDOM)
    moved = shifted(singles, -1)[: len(singles) - 38] + ["W24A"] * 38
    where = focus_map("C" + RANDOM.full_sequence[1:], start=24, lower=(24, 25, 60))
    hint = resolve_variants(moved, where).shift_hint()
    assert hint.startswith(f"{len(singles) - 38:,} of {len(singles):,} wild-type letters agree")
    assert hint.endswith("shifted by +1: pass --offset 1")


def test_a_wrong_offset_is_told_to_go():
    hint = resolve_variants(all_singles(RANDOM), RANDOM, offset=4).shift_hint()
    assert hint.endswith("leave out --offset 4")


def test_multi_mutants_vote_too():
    singles = shifted(all_singles(RANDOM), -2)
    pairs = [f"{a}:{b}" for a, b in zip(singles[:500], singles[700:1200], strict=True)]
    hint = resolve_variants(pairs, RANDOM).shift_hint()
    assert hint.startswith("all 1,000 wild-type letters agree if positions are shifted by +2")


@pytest.mark.parametrize(("elsewhere", "clear"), [({(9, "A"): 1}, False), ({(6, "C"): 1}, True)])
def test_one_letter_that_fits_by_chance_moves_nothing(elsewhere, clear):
    """Of two shifts, one has an A right: by chance in 2 of 20. With a C beside it, in 2 of 400."""
    claims = {(5, "A"): 2, (7, "A"): 1} | elsewhere
    found = compare_wild_types(claims, {1: "A", 2: "C", 3: "D"})
    assert found.shift == -4 and found.clear == clear


def test_no_hint_when_the_letters_agree():
    assert resolve_variants(all_singles(RANDOM) + ["W26A"] * 5, RANDOM).shift_hint() is None


def test_no_hint_for_another_protein():
    other = focus_map("".join(np.random.default_rng(5).choice(list(PROTEIN), 120)), start=24)
    assert resolve_variants(all_singles(other), RANDOM).shift_hint() is None


def test_no_hint_from_a_single_variant():
    assert one("W26A", RANDOM)[0] == "wild type differs"
    assert resolve_variants(["W26A", "W26C"], RANDOM).shift_hint() is None


def test_no_hint_where_two_shifts_do_equally_well():
    repeat = focus_map("ACDEFGHIKL" * 2)
    moved = [f"{letter}{i + 103}W" for i, letter in enumerate("ACDEFGHIKL")]
    assert resolve_variants(moved, repeat).shift_hint() is None


def test_hint_survives_absurd_residue_numbers():
    assert resolve_variants(["A999999999G", "C-99999999D", "nonsense"], RANDOM).shift_hint() is None


# ---- lists of variants


def test_all_singles_in_order():
    singles = all_singles(TOY)
    assert len(singles) == 8 * 19 and singles[0] == "K21A" and singles[-1] == "R29Y"
    table = resolve_variants(singles, TOY)
    assert table.ok.all() and (np.diff(table.offsets) == 1).all()


def test_all_pairs_of_chosen_residues():
    pairs = all_pairs(TOY, [29, 23, 23])
    assert len(pairs) == 361 == len(set(pairs)) and pairs[0] == "A23C:R29A"
    assert resolve_variants(pairs, TOY).ok.all()


def test_all_pairs_refuses_a_residue_without_column():
    with pytest.raises(VariantError, match="residue 25 is not a modelled column"):
        all_pairs(TOY, [23, 25])


def test_spelled_variants():
    found = spelled_variants(["VDGV", "ADGV", "adgv", "WDGW", "A*GV"], (39, 40, 41, 54), "VDGV")
    assert found == ["WT", "V39A", "V39A", "V39W:V54W", "V39A:D40*"]


def test_spelled_variants_of_another_length_name_the_row():
    with pytest.raises(VariantError, match=r"row 2: 'ADG' has 3 letters, expected 4"):
        spelled_variants(["VDGV", "ADG"], (39, 40, 41, 54), "VDGV")
    with pytest.raises(VariantError, match="wild type 'VDG' has 3 letters, expected 4"):
        spelled_variants([], (39, 40, 41, 54), "VDG")


def test_canonical_variants_join_spellings_and_keep_what_they_cannot_read():
    texts = ["K30R, A24G", "p.[Lys30Arg;Ala24Gly]", "wt", " VDGV ", "A24G:nonsense", "G12U", ""]
    assert canonical_variants(texts) == [
        "A24G:K30R",
        "A24G:K30R",
        "WT",
        "VDGV",
        "A24G:nonsense",
        "G12U",
        "",
    ]


# ---- tables


@pytest.fixture
def write(tmp_path):
    def make(text: str | bytes, name: str = "assay.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


class TableContract:
    """The same table, in every dress: two variants, a number with a hole, a word."""

    data: bytes
    name = "assay.csv"

    def test_reads_the_same(self, write):
        frame = read_assay(write(self.data, self.name))
        assert list(frame.columns) == ["variant", "fitness", "label"]
        assert frame["variant"].tolist() == ["A24G", "K30R,A24G"]
        assert (
            frame["fitness"].dtype == np.float64
            and frame["fitness"][0] == 0.5
            and np.isnan(frame["fitness"][1])
        )
        assert frame["label"].tolist() == ["benign", "it's, odd"]

    def test_read_variants_takes_its_column(self, write):
        assert read_variants(write(self.data, self.name)) == ["A24G", "K30R,A24G"]


CSV = 'mutant,fitness,label\nA24G,0.5,benign\n"K30R,A24G",,"it\'s, odd"\n'


class TestCSV(TableContract):
    data = CSV.encode()


class TestCRLF(TableContract):
    data = CSV.replace("\n", "\r\n").encode()


class TestOldMac(TableContract):
    data = CSV.replace("\n", "\r").encode()


class TestNoFinalNewline(TableContract):
    data = CSV.rstrip("\n").encode()


class TestByteOrderMark(TableContract):
    data = b"\xef\xbb\xbf" + CSV.encode()


class TestUTF16(TableContract):
    data = CSV.encode("utf-16")


class TestQuotedHeader(TableContract):
    data = CSV.replace("mutant,fitness", '"Mutant"," fitness"').encode()


class TestComments(TableContract):
    data = ("# from plate 7\n#\n\n" + CSV + "\n# the end\n").encode()


class TestTSV(TableContract):
    data = b"mutant\tfitness\tlabel\nA24G\t0.5\tbenign\nK30R,A24G\tNA\tit's, odd\n"
    name = "assay.tsv"


class TestSemicolonsAndDecimalCommas(TableContract):
    data = b"mutant;fitness;label\nA24G;0,5;benign\nK30R,A24G;NaN;it's, odd\n"


class TestGzip(TableContract):
    data = gzip.compress(CSV.encode())
    name = "assay.csv.gz"


class TestTrailingCommas(TableContract):
    data = CSV.replace("benign\n", "benign,,\n").encode()


@pytest.mark.parametrize(
    "name", ["mutant", "Variants", "mutations", "MUTATION", "hgvs_pro", "variant"]
)
def test_usual_column_names_are_found(write, name):
    assert read_assay(write(f"id,{name},y\n1,A24G,2\n"))["variant"].tolist() == ["A24G"]


def test_named_column_is_taken_and_the_other_one_kept(write):
    frame = read_assay(write("variant,changes,y\nrs1,A24G,2\n"), variant_column="changes")
    assert list(frame.columns) == ["variant_1", "variant", "y"] and frame["variant"][0] == "A24G"


def test_column_names_may_be_numbers(write):
    frame = read_assay(write("mutant,0,2500\nA24G,1,-0.5\n"))
    assert list(frame.columns) == ["variant", "0", "2500"] and frame["2500"][0] == -0.5


def test_variants_stay_text_untouched(write):
    assert read_assay(write("mutant,y\nNA,1\n A24G ,2\n,3\n"))["variant"].tolist() == [
        "NA",
        " A24G ",
        "",
    ]


def test_one_column_table(write):
    assert read_assay(write("mutant\nA24G,K30R\nWT\n"))["variant"].tolist() == ["A24G,K30R", "WT"]


def test_plain_list_of_variants(write):
    assert read_variants(write("# mine\nA24G\nA24G,K30R\n\nWT\nnonsense\n")) == [
        "A24G",
        "A24G,K30R",
        "WT",
        "nonsense",
    ]
    assert read_variants(write("G12U\n")) == ["G12U"]
    assert read_variants(write("\ufeffp.Ala24Gly\r\n")) == ["p.Ala24Gly"]


BROKEN = {
    "empty": (b"", "the file is empty"),
    "only comments": (b"# a\n# b\n", "the file is empty"),
    "no rows": (b"mutant,y\n", "a header and no rows"),
    "no variant column": (
        b"position,y\n1,2\n",
        "no column of variants .* are 'position', 'y': pass variant_column",
    ),
    "no header": (b"A24G,0.5\nK30R,0.1\n", "line 1: 'A24G,0.5' is data, expected a header"),
    "ragged": (
        b"# c\nmutant,y,z\nA24G,1,2\nK30R,1\n",
        r"line 4: found 2 fields, expected 3 .* \(mutant, y, z\)",
    ),
    "too long": (b"mutant,y\nA24G,1,2\n", "line 2: found 3 fields, expected 2"),
    "open quote": (b'mutant,y\n"A24G,1\nK30R,2\n', "a quoted field is not closed"),
    "twice": (b"mutant,y,mutant\nA24G,1,A24G\n", "two columns are called 'mutant'"),
    "binary": (b"mutant,y\nA24G,\x00\n", "found binary data"),
    "workbook": (b"PK\x03\x04rest", "save the sheet as CSV"),
    "cut gzip": (gzip.compress(CSV.encode())[:-9], "the gzip file is cut short or damaged"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_tables_get_one_clear_sentence(write, case):
    data, words = BROKEN[case]
    path = write(data)
    with pytest.raises(VariantError, match=words) as caught:
        read_assay(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_of_a_header_alone_the_missing_column_is_told_first(write):
    path = write(b"position,y\n")
    with pytest.raises(VariantError, match=r"no column of variants .* are 'position', 'y'"):
        read_assay(path)


def test_missing_file_and_folder_are_named(tmp_path):
    for path, said in ((tmp_path / "nowhere.csv", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(VariantError, match=f"{path.name}: {said}"):
            read_assay(path)


def test_missing_named_column_lists_those_that_exist(write):
    with pytest.raises(VariantError, match="no column 'changes'; the columns are 'mutant', 'y'"):
        read_assay(write("mutant,y\nA24G,1\n"), variant_column="changes")


@pytest.mark.parametrize("text", ["|", "|\n|", "|-|\n", "|-|-|\n|-|-|\n"])
def test_a_table_of_bars_alone_is_one_sentence(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    for read in (read_variants, read_assay):
        with pytest.raises(VariantError, match=r"t\.csv: found .* expected"):
            read(tmp_path / "t.csv")


@given(
    st.binary(max_size=200)
    | st.text(alphabet='mutant,A24G\n\r\t;"#0.5', max_size=80).map(str.encode)
)
@settings(max_examples=300)
def test_no_file_raises_anything_but_variant_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(data)
    for read in (read_assay, read_variants):
        try:
            read(path)
        except VariantError as error:
            assert str(path) in str(error)


def test_find_variant_column_prefers_the_usual_order():
    assert find_variant_column(["mutated_sequence", "Mutant", "variant"]) == "variant"
    assert find_variant_column(["hgvs_nt", "hgvs_pro"]) == "hgvs_pro"


def test_four_hundred_thousand_multi_mutants_keep_their_order():
    rng = np.random.default_rng(2)
    singles = np.array(all_singles(RANDOM))
    texts = list(map(":".join, singles[rng.integers(0, len(singles), (400_000, 3))].tolist()))
    table = resolve_variants(texts, RANDOM)
    assert len(table) == 400_000
    clash = table.status == "conflict"
    assert (table.ok | clash).all() and 0.01 < clash.mean() < 0.05
    for v in rng.integers(0, 400_000, 20).tolist():
        if table.ok[v]:
            found = {(RANDOM.residues[c], PROTEIN[m]) for c, m in zip(
                table.columns[table.offsets[v] : table.offsets[v + 1]],
                table.mutants[table.offsets[v] : table.offsets[v + 1]], strict=True)}  # fmt: skip
            assert found == {(s.residue, s.mutant) for s in parse_variant(texts[v])}
