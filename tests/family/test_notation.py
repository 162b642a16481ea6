"""Notations of variants as databases, programs and people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseq_nb.core.errors import VariantError
from deepseq_nb.family.notation import (
    canonical_variants,
    format_variant,
    parse_variant,
    read_piece,
    split_pieces,
)

PROTEIN = "ACDEFGHIKLMNPQRSTVWY"
THREE = dict(zip("ACDEFGHIKLMNPQRSTVWY",
                 "Ala Cys Asp Glu Phe Gly His Ile Lys Leu Met Asn Pro Gln Arg Ser Thr Val Trp Tyr".split(),
                 strict=True))  # fmt: skip

READ = {
    "p.(=)": "WT",
    "p.=": "WT",
    "=": "WT",
    "r.=": "WT",
    "wild-type": "WT",
    "c.957T>A (p.=)": "WT",
    "PTEN:p.G319A": "G319A",
    "DLG4:G319A": "G319A",
    "BRAF p.V600E": "V600E",
    "BRAF V600E": "V600E",
    "HLA-A:p.Gly319Ala": "G319A",
    "NP_000537.3:p.(Arg175His)": "R175H",
    "NM_000546.6(TP53):c.524G>A (p.Arg175His)": "R175H",
    "TP53:NM_000546:exon5:c.524G>A:p.R175H": "R175H",
    "c.955G>C (p.Gly319Ala), c.957T>A (p.Gly319Ala)": "G319A",
    "p.[(Gly319Ala;Ser320Thr)]": "G319A:S320T",
    "p.[(Gly319Ala);(Ser320Thr)]": "G319A:S320T",
    "p.(Gly319Ala);(Ser320Thr)": "G319A:S320T",
    "p.Gly319Ala;p.Ser320Thr": "G319A:S320T",
    "p.[Gly319Ala]": "G319A",
    "p.[Gly319=;Ser320Thr]": "G319G:S320T",
    "p.Gly319delinsAla": "G319A",
    "p.Gly319_Ser320delinsAlaThr": "G319A:S320T",
    "G319_S320delinsAT": "G319A:S320T",
    "p.Gly319_Ser320del": "G319-:S320-",
    "G 319 A": "G319A",
    "G319→A": "G319A",
    "Gly319 -> Ala": "G319A",
    "\u200bG319A": "G319A",
    "G319\xa0A": "G319A",
    "Ｇ319Ａ": "G319A",
}


@pytest.mark.parametrize("text", list(READ))
def test_read_as(text):
    assert format_variant(parse_variant(text)) == READ[text]
    assert canonical_variants([text]) == [READ[text]]


REFUSED = {
    "p.[Gly319Ala];[Ser320Thr]": "two alleles",
    "p.[Gly319Ala];[=]": "two alleles",
    "p.(Gly319Ala)(;)(Ser320Thr)": "two alleles",
    "NM_000546.6:c.956G>C": "a change of the gene",
    "chr17:g.7675088C>T": "a change of the gene",
    "c.956_957del": "a change of the gene",
    "m.8993T>G": "a change of the gene",
    "r.76a>u": "a change of the gene",
    "TP53:NM_1:exon5:c.524G>A:p.R175H,TP53:NM_2:exon3:c.128G>A:p.R43H": "several changes",
    "p.?": "not known",
    "p.(?)": "not known",
    "p.0": "no protein",
    "p.Gly319???": "not known",
    "_sy": "all synonymous variants",
    "G319stop": "stop",
    "G319X": "stop in older tables",
    "p.Gly319_Thr321del": "names only its ends",
    "DLG4_G319A": "write G319A alone",
    "A_G319A": "write G319A alone",
    "GA319A": "a chain or a mark",
    "G319A/T": "a row of its own",
    "NA": "nothing is written",
    "G319\u0410": "CYRILLIC CAPITAL LETTER A",
    "Gly319fs p.Ser320Thr": "frameshift",
    "E": "letters and no residue number",
}


@pytest.mark.parametrize("text", list(REFUSED))
def test_refused_because(text):
    with pytest.raises(VariantError, match=REFUSED[text]):
        parse_variant(text)
    assert canonical_variants([text])[0] == text.strip()


def test_a_gene_that_is_spelled_like_a_variant_is_not_taken_off():
    """A2M is a gene, and a methionine in place of an alanine."""
    assert format_variant(parse_variant("A2M:p.G319A")) == "A2M:G319A"


single = st.tuples(
    st.sampled_from(sorted(THREE)), st.integers(1, 9999), st.sampled_from(sorted(THREE))
)


@given(st.lists(single, min_size=2, max_size=5, unique_by=lambda s: s[1]),
       st.sampled_from([":", ",", "+", ";", "_", " ", "/", "|", "&", "-", ".", ", ", "; ", " / "]))  # fmt: skip
def test_every_separator_between_whole_substitutions_is_read(changes, sign):
    text = sign.join(f"{wild}{residue}{mutant}" for wild, residue, mutant in changes)
    assert sorted(parse_variant(text)) == sorted(changes)


@given(single, st.sampled_from(["{}", "p.{}", "p.({})", "({})", "p.[{}]", "[{}]", "TP53:p.{}",
                                "NP_000537.3:p.({})", "ENSP00000269305.4:p.{}", "c.1A>G (p.{})", " {} "]))  # fmt: skip
def test_every_dress_of_one_substitution_is_read(change, dress):
    wild, residue, mutant = change
    for text in (f"{wild}{residue}{mutant}", f"{THREE[wild]}{residue}{THREE[mutant]}"):
        assert parse_variant(dress.format(text)) == (change,)


@given(st.tuples(st.sampled_from("ACGU"), st.integers(1, 999), st.sampled_from("ACGU")),
       st.sampled_from(["r.{1}{0}>{2}", "n.{1}{0}>{2}", "NR_1.2:n.{1}{0}>{2}", "r.[{1}{0}>{2}]", "r.({1}{0}>{2})"]))  # fmt: skip
def test_nucleotides_are_read_where_the_alphabet_is_theirs(change, dress):
    text = dress.format(*change)
    assert parse_variant(text.lower().replace("nr_", "NR_"), "rna") == (change,)
    assert parse_variant(text.replace("U", "T"), "rna") == (change,)


def test_a_list_of_nucleotide_changes():
    assert format_variant(parse_variant("r.[55c>g;9g>u]", "rna")) == "G9U:C55G"
    assert format_variant(parse_variant("c.[955G>C;957T>A]", "dna")) == "G955C:T957A"


@given(st.text(alphabet="ACGpalysdeinfx0123456789_:;,+.()[]*=->?/| \u200b", max_size=30))
def test_splitting_never_raises_and_empty_means_wild_type(text):
    pieces = split_pieces(text)
    assert all(isinstance(piece, str) for piece in pieces)
    assert pieces or canonical_variants([text]) == ["WT"]


@pytest.mark.parametrize("piece", ["Ala5Gly", "(Ala5Gly)", "p.(Ala5Gly)", "(p.Ala5Gly)"])
def test_one_piece_may_stand_in_brackets(piece):
    assert read_piece(piece, PROTEIN).substitution == ("A", 5, "G")


def test_three_letter_codes_are_called_so_among_nucleotides_and_not_in_a_protein():
    assert "'Ala' is a three-letter code" in read_piece("Ala5Gly", "ACGU").reason
    assert "'Foo' is none of" in read_piece("Foo5Gly", PROTEIN).reason
