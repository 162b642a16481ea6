"""Inputs as other programs write them: each is read right, noticed, or refused in one sentence."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseq_nb.core.errors import AlignmentError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import no_family
from deepseq_nb.family.focus import find_first_residue
from deepseq_nb.family.variants import resolve_variants

NAMES = ("WILD/11-22", "one", "two")
ROWS = ("MKVLACDEFGHI", "MRVLACDE-GHI", "-KILACNEFGHV")
A3M = "".join(f">{name}\n{row}\n" for name, row in zip(NAMES, ROWS, strict=True))


def read(folder, text, name="family.a3m", **options):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Alignment.read(path, **options)


def is_the_family(alignment):
    assert alignment.decode(alignment.tokens) == list(ROWS)
    assert alignment.residues.tolist() == list(range(11, 23))


@pytest.mark.parametrize(
    "name",
    ["ss_pred", "ss_conf", "ss_dssp", "sa_dssp", "aa_dssp", "SS_PRED", "T0400_ss_pred", "Consensus",
     "T0400_consensus", "consensus/70%", "Consensus_aa"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["a3m", "stockholm", "clustal"])
def test_a_row_of_annotation_is_left_out_of_every_format(tmp_path, name, form):
    rows = [(name, "HHHEECCCHHEC"), *zip(NAMES, ROWS, strict=True)]
    if form == "a3m":
        text = "".join(f">{n} words\n{row}\n" for n, row in rows)
    else:
        head, end = (
            ("# STOCKHOLM 1.0\n", "//\n")
            if form == "stockholm"
            else ("CLUSTAL W (1.83) multiple sequence alignment\n\n", "")
        )
        text = head + "".join(f"{n} {row}\n" for n, row in rows) + end
    found = read(tmp_path, text)
    is_the_family(found)
    assert name in found.report.notices[0] and "left out: 1 record" in found.report.notices[0]


def test_a_sequence_behind_a_prefix_that_is_no_annotation_stays(tmp_path):
    found = read(tmp_path, A3M + ">x_ss_pred\nMKVLACDEFGHI\n>sa_0123\nMKVLACDEFGHI\n")
    assert len(found.names) == 5


def test_a_consensus_that_is_asked_for_is_the_focus(tmp_path):
    found = read(tmp_path, ">Consensus\nMKVLACDEFGHI\n" + A3M, focus="Consensus")
    assert found.focus == "Consensus" and len(found.names) == 4


def test_consensus_sequences_of_many_clusters_are_a_family(tmp_path):
    text = "".join(f">c{i}_consensus\n{row}\n" for i, row in enumerate(ROWS))
    found = read(tmp_path, text)
    assert len(found.names) == 3 and "read as sequences" in found.report.notices[0]


@pytest.mark.parametrize(
    "text",
    [
        A3M.replace("\n", "\0\n"), A3M.replace("\n", "\r\n\0"), A3M + "\0", A3M + "\0\n",
        "#12\t1\n" + A3M + "\0\n\0", A3M.replace(">two", "\0>two"), "\0" + A3M,
    ],
)  # fmt: skip
def test_nul_bytes_at_the_ends_of_lines_change_nothing(tmp_path, text):
    is_the_family(read(tmp_path, text))


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", b"\x80\x04\x95\0\0x", b">a\nAC\0D\n"])
def test_nul_bytes_elsewhere_stay_refused(tmp_path, data):
    with pytest.raises(AlignmentError, match="not an alignment"):
        read(tmp_path, data)


HEADS = [
    "CLUSTALW (1.83) multiple sequence alignment", "CLUSTAL O(1.2.4) multiple sequence alignment",
    "MUSCLE (3.8) multiple sequence alignment", "PROBCONS version 1.12 multiple sequence alignment",
    "CLUSTAL FORMAT for T-COFFEE Version_10.00, CPU=0.0 sec, Nseq=3, Len=12", "T-COFFEE, Version_11",
    "Kalign (3.4.0) multiple sequence alignment", "CLUSTAL format alignment by MAFFT L-INS-i (v7.5)", "CLUSTAL",
    "# by a script\n\nCLUSTAL 2.1 multiple sequence alignment", "My program multiple sequence alignment",
]  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "between", ["\n", "           **:. *\n", "\t*\n", "\t \n", "          \n\n"]
)
def test_a_head_of_clustal_and_what_ends_a_block(tmp_path, head, between):
    def block(part):
        return "".join(f"{n}\t{row[part]}\n" for n, row in zip(NAMES, ROWS, strict=True))

    text = f"{head}\n\n\n{block(slice(0, 6))}{between}{block(slice(6, None))}"
    is_the_family(read(tmp_path, text, "x.aln"))
    is_the_family(read(tmp_path, text.rstrip().replace("\n", "\r\n"), "x.aln"))


def test_names_with_blanks_in_clustal(tmp_path):
    text = "Kalign (3.4.0) multiple sequence alignment\n\n" + "".join(
        f"{n} Disks large OS=Rattus norvegicus SV=1     {row}\n"
        for n, row in zip(NAMES, ROWS, strict=True)
    )
    found = read(tmp_path, text)
    is_the_family(found)
    assert found.names == NAMES


@pytest.mark.parametrize("row", ["name MKVLA CDEFG", "name 1 MKVLACDEFG", "name 1 MKVLACDEFG 10"])
def test_letters_in_groups_are_not_read_by_the_last_group(tmp_path, row):
    with pytest.raises(AlignmentError, match="expected a name and its letters"):
        read(tmp_path, f"CLUSTAL W\n\n{row}\n")


@pytest.mark.parametrize(
    "head", ["# by a script\n# STOCKHOLM 1.0\n", "\n\n# STOCKHOLM 1.0\n", "\ufeff# STOCKHOLM 1.0\n",
             "#STOCKHOLM 1.0\n", "#=GF ID x\n"]
)  # fmt: skip
@pytest.mark.parametrize("between", ["\n", "#=GC RF xxxxxx\n", ""])
def test_a_head_of_stockholm_and_what_ends_a_block(tmp_path, head, between):
    names = ("WILD", "twin", "twin")

    def block(part):
        return "".join(f"{n} {row[part]}\n#=GR {n} PP 999999\n" for n, row in zip(names, ROWS, strict=True))  # fmt: skip

    text = f"{head}{block(slice(0, 6))}{between}{block(slice(6, None))}//\n"
    found = read(tmp_path, text, "x.sto", first_residue=11)
    is_the_family(found)
    assert any("no blank line" in n for n in found.report.notices) == (between == "")


def test_rows_that_hold_all_the_residues_of_their_range_are_not_joined(tmp_path):
    rows = "a/1-4 MKVL\nb/1-4 MRVL\n"
    found = read(tmp_path, f"# STOCKHOLM 1.0\n{rows}{rows}//\n")
    assert len(found.names) == 4 and "rows have the name of another" in found.report.notices[0]


def test_one_name_again_and_again_is_asked_about(tmp_path):
    with pytest.raises(
        AlignmentError, match="one sequence in several lines, or several of one name"
    ):
        read(tmp_path, "# STOCKHOLM 1.0\na MKVL\na MRVL\n//\n")


def test_blocks_without_a_header_are_read(tmp_path):
    rows = "".join(f"{n}  {row}\n" for n, row in zip(NAMES, ROWS, strict=True))
    is_the_family(read(tmp_path, rows, "x.psi"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">P1;WILD\nsome title\nMKVL*\n", "a PIR (NBRF) file"), (" 2 4 I\na MKVL\nb MRVL\n", "a PHYLIP file"),
        ("!!AA_MULTIPLE_ALIGNMENT 1.0\n", "an MSF file"), (" x.msf  MSF: 12  Type: P ..\n", "an MSF file"),
        ("#nexus\nbegin data;\n", "a NEXUS file"), ("#=AU me\na MKVL\n", "a SELEX file"),
        ("#mega\n", "a MEGA file"), ("HMMER3/f [3.3]\n", "a profile of HMMER"),
        ("# jackhmmer :: iteratively search\n", "a report of HMMER"),
        ("Query         WILD\n", "a report of HH-suite"),
    ],
)  # fmt: skip
def test_other_formats_are_refused_by_name(tmp_path, text, expected):
    with pytest.raises(AlignmentError) as caught:
        read(tmp_path, text)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_comments_inside_are_no_letters(tmp_path):
    is_the_family(
        read(tmp_path, A3M.replace(">one", "# close ones\n>one").replace("-KI", "; x\n-KI"))
    )


def test_joined_files_of_one_query_are_one_family(tmp_path):
    found = read(tmp_path, "#12\t1\n" + A3M + "#12\t1\n" + A3M)
    assert len(found.names) == 6 and "line 8 begins another part" in found.report.notices[0]


def test_joined_files_of_two_queries_are_two_alignments(tmp_path):
    found = read(tmp_path, "#12\t1\n" + A3M + "#12\t1\n>x\nACDEFGHIKLMN\n")
    is_the_family(found)
    assert found.report.notices == ("line 8 begins a second alignment: only the first was read",)


def test_two_chains_are_named(tmp_path):
    found = read(tmp_path, "#5,7\t1,1\n" + A3M)
    is_the_family(found)
    assert "2 chains of 5, 7 residues" in found.report.notices[0]
    assert "says 13 columns" in read(tmp_path, "#13\t1\n" + A3M).report.notices[0]


@pytest.mark.parametrize("sign", ["*", "?", "5", "+"])
def test_a_sign_that_is_no_letter_is_told(tmp_path, sign):
    row = ROWS[0][:4] + sign + ROWS[0][5:]
    found = read(tmp_path, f">w/11-21\n{row}\n>b\n{ROWS[1]}\n", "x.fa")
    (notice,) = [n for n in found.report.notices if repr(sign) in n]
    assert "behind residue 14" in notice and "numbered without it" in notice
    assert found.residues.tolist() == list(range(11, 22))


@pytest.mark.parametrize("sign", "XUOBZJ")
def test_an_unknown_letter_of_the_focus_keeps_its_number(tmp_path, sign):
    row = ROWS[0][:4] + sign + ROWS[0][5:]
    found = read(tmp_path, f">w/11-22\n{row}\n>b\n{ROWS[1]}\n", "x.fa")
    assert found.residues.tolist() == [11, 12, 13, 14, *range(16, 23)]
    assert f"{sign}15" in found.report.notices[0]


@pytest.mark.parametrize("sign", "-.~")
def test_a_gap_of_the_focus_is_told(tmp_path, sign):
    row = ROWS[0][:4] + sign + ROWS[0][5:]
    found = read(tmp_path, f">w\n{row}\n>b\n{ROWS[1]}\n", "x.fa")
    assert any("1 column where the focus has a gap" in n and "behind residue 4)" in n for n in found.report.notices)  # fmt: skip


def test_a_gap_column_of_everybody_is_not_told(tmp_path):
    found = read(tmp_path, ">w/1-3\nMK-V\n>b\nMR-V\n", "x.fa")
    assert found.report.notices == ()


def test_a_secondary_structure_under_another_name_is_asked_about(tmp_path):
    found = read(tmp_path, f">x/1-30\n{'HEC' * 10}\n>b\n{'MKV' * 10}\n", "x.fa")
    assert any("secondary structure" in n for n in found.report.notices)


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("a/-3-8", -3, ""), ("a/-20--9", -20, ""), ("a/0-11", 0, ""), ("sp|P00000|NAME/3-14", 3, ""),
        ("a/3-14(+)", 3, ""), ("a/3-14:0.5", 3, ""), ("a:3-14", 3, "says"), ("a|3-14", 3, "says"),
        ("a/3..14", 3, "says"), ("a:3-15", 1, "no range"), ("a_3-14", 1, "--first-residue 3"),
        ("a_3-15", 1, "no /start-stop"), ("a/301-391/5-16", 305, "305 to 316"), ("a/301-312/5-40", 301, "first fits"),
        ("a/301-391/310-321", 310, "310 to 321"), ("a/3-8,20-25", 1, "several ranges"), ("a/3-8_20-25", 1, "several"),
        ("a:14-3", 1, "no range"), ("a:3-14(-)", 1, "no range"),
    ],
)  # fmt: skip
def test_ranges_in_names(name, start, said):
    found, notices = find_first_residue(name, 12, None, "demo")
    assert found == start and (said in notices[0] if said else notices == ())


@pytest.mark.parametrize("name", ["a/14-3", "a/3-14(-)", "a/3-15"])
def test_a_range_that_cannot_be_is_refused_with_the_way_out(name):
    with pytest.raises(AlignmentError, match="--first-residue"):
        find_first_residue(name, 12, None, "demo")
    assert find_first_residue(name, 12, 3, "demo")[0] == 3


def test_the_way_out_of_dropped_sequences_is_named(tmp_path):
    found = read(tmp_path, A3M + ">x\nMKVLXCDEFGHI\n" * 2)
    assert any("--unknown gap" in n and "X 2" in n for n in found.report.notices)
    assert not any("--unknown" in n for n in read(tmp_path, A3M).report.notices)


def test_a_first_sequence_is_said_to_be_the_focus(tmp_path):
    assert "WILD/11-22 (the first sequence):" in read(tmp_path, A3M).report.lines()[2]
    assert "(the first" not in read(tmp_path, A3M, focus="WILD").report.lines()[2]


def test_a_fasta_file_with_lower_case_is_called_so(tmp_path):
    found = read(tmp_path, ">a/1-3\nMkV\n>b\nMRV\n", "x.fasta")
    assert "aligned FASTA with lower case, read as a2m" in found.report.lines()[0]


@pytest.mark.parametrize(
    ("neff", "n", "said"),
    [(1, 2, True), (1.2, 9, True), (1.5, 9, True), (1, 1, False), (3, 9, False)],
)
def test_several_sequences_that_count_as_one_are_no_family(neff, n, said):
    assert bool(no_family(neff, n)) == said


def _spelled(rows, names, form, rng):
    """An alignment in one format with surprises that must change nothing."""
    end = rng.choice(["\n", "\r\n", "\r"])
    if form in ("a3m", "fasta"):
        lines = ["#12\t1"] * (rng.random() < 0.3)
        if rng.random() < 0.5:
            lines += [">ss_pred of psipred", "HHHEECCCHHEC", ">ss_conf", "123412341234"]
        for name, row in zip(names, rows, strict=True):
            lines += [f">{name} words", *(["# note"] * (rng.random() < 0.2)), row[:5], row[5:]]
            if rng.random() < 0.3 and end != "\r":
                lines[-1] += "\0"
    else:
        stockholm = form == "stockholm"
        lines = ["# made by us"] * (rng.random() < 0.5)
        lines += ["# STOCKHOLM 1.0" if stockholm else rng.choice(HEADS).split("\n")[-1], ""]
        cut = rng.randint(1, 11)
        between = rng.choice(["", "#=GC RF x"] if stockholm else ["", "        * :.", "\t*"])
        for part in (slice(0, cut), slice(cut, None)):
            lines += [f"{n}{rng.choice([' ', '    ', chr(9)])}{r[part]}" for n, r in zip(names, rows, strict=True)]  # fmt: skip
            lines += [between]
        lines += ["//"] * stockholm
    text = rng.choice(["", "\ufeff"]) + end.join(lines) + rng.choice(["", end])
    return text.encode()


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(["a3m", "fasta", "stockholm", "clustal"]))
def test_surprises_of_every_format_change_nothing(tmp_path_factory, seed, form):
    rng = random.Random(seed)
    rows = ["".join(rng.choice("ACDEFGHIKLMNPQRSTVWY") for _ in range(12))]
    rows += ["".join(rng.choice("ACDEFGHIKLMNPQRSTVWY-") for _ in range(12)) for _ in range(4)]
    names = ["WILD/11-22", *(f"s{i}" for i in range(4))]
    folder = tmp_path_factory.mktemp("fuzz")
    found = read(folder, _spelled(rows, names, form, rng), f"family.{form}")
    assert found.decode(found.tokens) == rows and found.names == tuple(names)
    assert np.array_equal(found.residues, np.arange(11, 23))


def test_a_shift_that_holds_from_a_gap_on_is_not_advised_for_all(tmp_path):
    whole = "MKVLACDEFGHIKLMNPQRSTVWYACDF"
    row = whole[:9] + "-" + whole[10:]
    found = read(tmp_path, f">w\n{row}\n>b\n{whole}\n", "x.fa")
    names = [f"{a}{i}{'W' if a != 'W' else 'A'}" for i, a in enumerate(whole, 1)]
    hint = resolve_variants(names, found.focus_map).hint
    assert "no single --offset is right" in hint and "pass --offset" not in hint


@pytest.mark.parametrize("form", ["fasta", "stockholm"])
def test_control_characters_in_a_name_are_read_as_escapes(tmp_path, form):
    name = "\x1b[31mred\x07\u202e/11-14"
    rows = {"fasta": ">{}\nMKVL\n>b\nMKVI\n", "stockholm": "# STOCKHOLM 1.0\n{} MKVL\nb MKVI\n//\n"}
    path = tmp_path / f"family.{form}"
    path.write_text(rows[form].format(name), encoding="utf-8")
    alignment = Alignment.read(path)
    assert alignment.names == (r"\x1b[31mred\x07\u202e/11-14", "b")
    assert alignment.residues.tolist() == [11, 12, 13, 14]
    assert Alignment.read(path, focus=name).focus == alignment.focus


def test_letters_beyond_ascii_in_a_name_stay(tmp_path):
    path = tmp_path / "family.fasta"
    path.write_text(">Süße/11-14\nMKVL\n>b\nMKVI\n", encoding="utf-8")
    assert Alignment.read(path).names[0] == "Süße/11-14"
