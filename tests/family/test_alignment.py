"""Reading alignments: each format, the choice of columns and numbers, and what is said about broken files."""

import dataclasses
import gzip
import io
import json

import numpy as np
import pytest
from Bio import AlignIO
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deepseq_nb.core.errors import AlignmentError, ConfigError
from deepseq_nb.family.alignment import Alignment, ReadOptions, alignment_of
from deepseq_nb.family.focus import ALPHABETS, FocusMap, alphabet_letters
from deepseq_nb.family.reading import _residue_number

A2M = """>FOCUS/11-17 the first one
mACDEfG
>close/1-7
.ACDEyG
>gappy
.A--E-G
"""
ROWS = ["ACDEG", "ACDEG", "A--EG"]


def write(folder, text, name="family.a2m"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def fails(text, expected, folder, name="family.a2m", **options):
    path = write(folder, text, name)
    with pytest.raises(AlignmentError) as caught:
        Alignment.read(path, **options)
    message = str(caught.value)
    assert expected in message and str(path) in message and "\n" not in message, message
    return message


class ReaderContract:
    """What every format must do; subclasses say how three rows are written."""

    names = ("FOCUS/11-15", "other", "third")
    rows = ("ACDEG", "SCD-G", "A--EG")
    suffix = ".txt"

    def text(self, names, rows):
        raise NotImplementedError

    def read(self, folder, text, suffix=None, **options):
        return Alignment.read(write(folder, text, "family" + (suffix or self.suffix)), **options)

    def check(self, alignment):
        assert alignment.decode(alignment.tokens) == list(self.rows)
        assert alignment.names == self.names
        assert alignment.residues.tolist() == [11, 12, 13, 14, 15]

    def test_reads_rows_names_and_numbers(self, tmp_path):
        self.check(self.read(tmp_path, self.text(self.names, self.rows)))

    def test_crlf_old_mac_line_ends_and_a_byte_order_mark_change_nothing(self, tmp_path):
        text = self.text(self.names, self.rows)
        for variant in (
            text.replace("\n", "\r\n"),
            text.replace("\n", "\r"),
            "\ufeff" + text,
            text.rstrip("\n"),
        ):
            self.check(self.read(tmp_path, variant))

    def test_gzip_is_found_by_content(self, tmp_path):
        packed = gzip.compress(self.text(self.names, self.rows).encode())
        self.check(self.read(tmp_path, packed, self.suffix + ".gz"))
        self.check(self.read(tmp_path, packed, self.suffix))

    def test_duplicate_names_stay_apart(self, tmp_path):
        text = self.text(("FOCUS/11-15", "twin", "twin"), self.rows)
        alignment = self.read(tmp_path, text)
        assert alignment.names == ("FOCUS/11-15", "twin", "twin")
        assert alignment.decode(alignment.tokens) == list(self.rows)

    def test_format_may_be_said(self, tmp_path):
        self.check(self.read(tmp_path, self.text(self.names, self.rows), format=self.format))

    def test_a_ragged_row_is_named(self, tmp_path):
        path = write(
            tmp_path, self.text(self.names, ("ACDEG", "SCD-G", "A--E")), "family" + self.suffix
        )
        with pytest.raises(
            AlignmentError,
            match=r"record 3 'third' \(line \d+\) has 4 columns, expected 5 as in rec",
        ):
            Alignment.read(path)

    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )
    @given(text=st.text(max_size=80), cut=st.integers(0, 60), junk=st.binary(max_size=20))
    def test_damage_raises_nothing_but_alignment_error(self, tmp_path_factory, text, cut, junk):
        good = self.text(self.names, self.rows)
        folder = tmp_path_factory.mktemp("damaged")
        for data in (
            (good[:cut] + text + good[cut:]).encode(),
            good[: len(good) - cut].encode() + junk,
            gzip.compress(good.encode())[: 10 + cut],
            gzip.compress((good[:cut] + text).encode()) + junk,
        ):
            for options in ({}, {"format": self.format}, {"columns": "all", "unknown": "gap"}):
                try:
                    self.read(folder, data, **options)
                except AlignmentError as error:
                    assert "\n" not in str(error)


class TestA2m(ReaderContract):
    format, suffix = "a2m", ".a2m"

    def text(self, names, rows):
        return "".join(
            f">{name} some words\n{row[:3]}\n{row[3:]}\n"
            for name, row in zip(names, rows, strict=True)
        )


class TestFasta(TestA2m):
    format, suffix = "fasta", ".fa"

    def text(self, names, rows):
        return "\n" + "".join(
            f">{name}\n{row[:2]} {row[2:]}\n\n" for name, row in zip(names, rows, strict=True)
        )


class TestA3m(ReaderContract):
    format, suffix = "a3m", ".a3m"

    def text(self, names, rows):
        insertions = ("", "kk", "p")
        return "#A3M#\n" + "".join(
            f">{name}\n{row[:2]}{more}{row[2:]}\n"
            for name, row, more in zip(names, rows, insertions, strict=True)
        )

    def test_a_ragged_row_is_named(self, tmp_path):
        text = ">a\nACDEG\n>b\nACkkD-G\n>c\nAC-E\n"
        message = fails(
            text,
            "record 3 'c' (line 5) has 4 columns, expected 5 as in record 1 'a'",
            tmp_path,
            "x.a3m",
        )
        assert "not counting lower-case insertions" in message


class TestStockholm(ReaderContract):
    format, suffix = "stockholm", ".sto"

    def text(self, names, rows):
        def block(part):
            return "".join(
                f"{name:<20} {row[part]}\n" for name, row in zip(names, rows, strict=True)
            )

        head = "# STOCKHOLM 1.0\n#=GF ID test\n\n#=GS other DE some words\n"
        return f"{head}{block(slice(0, 3))}#=GC RF xxx\n\n{block(slice(3, None))}#=GC RF xx\n//\n"


class TestClustal(ReaderContract):
    format, suffix = "clustal", ".aln"

    def text(self, names, rows):
        def block(part):
            lines = [f"{name:<20}{row[part]}\n" for name, row in zip(names, rows, strict=True)]
            return "".join(lines) + " " * 20 + "* .\n"

        return f"CLUSTAL O(1.2.4) multiple sequence alignment\n\n\n{block(slice(0, 3))}\n{block(slice(3, None))}\n"

    def test_letter_counts_at_line_ends_are_ignored(self, tmp_path):
        text = "CLUSTAL W\n\nFOCUS/11-15 ACDEG 5\nother SCD-G 4\nthird A--EG 3\n"
        self.check(self.read(tmp_path, text))


def test_stockholm_and_clustal_agree_with_biopython(tmp_path):
    names = [f"s{i}" for i in range(9)]
    generator = np.random.default_rng(0)
    rows = ["".join(generator.choice(list("ACDEFGHIKL"), 130)) for _ in names]
    fasta = "".join(f">{name}\n{row}\n" for name, row in zip(names, rows, strict=True))
    for format in ("stockholm", "clustal"):
        out = io.StringIO()
        AlignIO.convert(io.StringIO(fasta), "fasta", out, format)
        alignment = Alignment.read(write(tmp_path, out.getvalue(), "x.txt"))
        assert alignment.report.format == format
        assert alignment.decode(alignment.tokens) == rows and alignment.names == tuple(names)


def test_modelled_columns_are_the_upper_case_columns_of_the_focus(tmp_path):
    alignment = Alignment.read(write(tmp_path, A2M))
    assert alignment.decode(alignment.tokens) == ROWS
    assert alignment.tokens.dtype == np.uint8 and alignment.gap == 20
    assert alignment.tokens[2].tolist() == [0, 20, 20, 3, 5]
    assert alignment.focus == "FOCUS/11-17" and alignment.focus_index == 0


def test_residue_numbers_count_lower_case_residues(tmp_path):
    focus_map = Alignment.read(write(tmp_path, A2M)).focus_map
    assert focus_map.residues == (12, 13, 14, 15, 17)
    assert focus_map.full_sequence == "MACDEFG" and focus_map.start == 11
    assert [focus_map.column(residue) for residue in (11, 12, 15, 16, 17, 18)] == [
        None,
        0,
        3,
        None,
        4,
        None,
    ]
    assert focus_map.sequence == "ACDEG" and focus_map.tokens.tolist() == [0, 1, 2, 3, 5]


def test_a3m_counts_the_insertions_of_the_focus(tmp_path):
    text = ">f/5-9\nAkkCD\n>b\nSCpD\n>c\nA-D\n"
    alignment = Alignment.read(write(tmp_path, text, "x.a3m"))
    assert alignment.decode(alignment.tokens) == ["ACD", "SCD", "A-D"]
    assert alignment.residues.tolist() == [5, 8, 9] and alignment.focus_map.full_sequence == "AKKCD"
    everything = Alignment.read(write(tmp_path, text, "x.a3m"), columns="all")
    assert (
        everything.residues.tolist() == [5, 8, 9]
        and "cannot be modelled" in everything.report.notices[0]
    )


HHSUITE = """>ss_pred PSIPRED predicted secondary structure
CHHEEC
>ss_conf PSIPRED confidence values
972369
>sa_dssp
ABCABC
>WILD/11-16
MKVLAC
>a
MRVaLA-
>b
-KILAC
"""


def test_annotation_rows_of_hhsuite_are_no_sequences(tmp_path):
    path = tmp_path / "hh.a3m"
    path.write_text(HHSUITE)
    found = Alignment.read(path)
    assert found.report.focus == "WILD/11-16" and found.names == ("WILD/11-16", "a", "b")
    assert found.decode(found.tokens) == ["MKVLAC", "MRVLA-", "-KILAC"]
    assert found.report.residues == (11, 16) and not found.report.dropped
    assert (found.report.records, found.report.kept) == (3, 3)
    (notice,) = found.report.notices
    assert "3 records" in notice and "ss_pred, ss_conf, sa_dssp" in notice


def test_a_sequence_called_nearly_like_an_annotation_row_stays(tmp_path):
    path = tmp_path / "near.a3m"
    path.write_text(">ss_predator/1-3\nMKV\n>sa_12/4-6\nMRV\n>sa_dssp\nABC\n")
    found = Alignment.read(path)
    assert found.names == ("ss_predator/1-3", "sa_12/4-6")
    assert found.report.notices[0].startswith("left out: 1 record of")


def test_nothing_but_annotation_rows_is_refused(tmp_path):
    path = tmp_path / "odd.a3m"
    path.write_text(">ss_pred\nCHH\n>ss_conf\n972\n")
    with pytest.raises(AlignmentError, match=r"nothing but 2 records.*ss_pred, ss_conf"):
        Alignment.read(path)


def test_rows_ragged_only_by_lower_case_are_read_as_a3m_with_a_notice(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">f\nACD\n>b\nSkCD\n", "x.txt"))
    assert alignment.report.format == "a3m" and alignment.decode(alignment.tokens) == ["ACD", "SCD"]
    assert any("read as a3m" in notice for notice in alignment.report.notices)


def test_padded_rows_named_a3m_are_read_as_a2m_with_a_notice(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">f\nACDE\n>b\nACdE\n", "x.a3m"))
    assert alignment.report.format == "a2m" and any(
        "read as a2m" in n for n in alignment.report.notices
    )


def test_columns_all_promotes_lower_case_focus_columns(tmp_path):
    alignment = Alignment.read(write(tmp_path, A2M), columns="all")
    assert alignment.residues.tolist() == [11, 12, 13, 14, 15, 16, 17]
    assert alignment.decode(alignment.tokens) == ["MACDEFG", "-ACDEYG", "-A--E-G"]


def test_columns_by_occupancy(tmp_path):
    alignment = Alignment.read(write(tmp_path, A2M), columns="occupancy=0.6")
    assert alignment.residues.tolist() == [12, 13, 14, 15, 16, 17]
    assert alignment.occupancy.tolist() == pytest.approx([1, 2 / 3, 2 / 3, 1, 2 / 3, 1])


def test_a_gap_in_the_focus_is_no_column(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">f/3-5\nA-C.D\n>b\nAACCD\n"))
    assert alignment.residues.tolist() == [3, 4, 5] and alignment.decode(alignment.tokens) == [
        "ACD",
        "ACD",
    ]


def test_a_row_with_an_unknown_letter_in_a_modelled_column_is_dropped_and_counted(tmp_path):
    text = ">f\nACDe\n>x\nAXDE\n>b\nACDX\n>z\nZCDe\n>lower\nacde\n"
    alignment = Alignment.read(write(tmp_path, text))
    assert alignment.names == ("f", "b", "lower")
    assert alignment.report.dropped == {"with letters outside the alphabet": 2}
    assert alignment.report.unknown_letters == {"X": 1, "Z": 1}
    assert (alignment.report.records, alignment.report.kept) == (5, 3)


def test_unknown_letters_may_count_as_gaps(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">f\nACD\n>x\nAXD\n"), unknown="gap")
    assert alignment.decode(alignment.tokens) == ["ACD", "A-D"] and alignment.report.dropped == {}


def test_unknown_focus_residues_are_not_modelled_but_counted(tmp_path):
    focus = "ACDEFGHIKUL"
    alignment = Alignment.read(
        write(tmp_path, f">f/1-11\n{focus}\n>b\n{focus.replace('U', 'C')}\n")
    )
    assert alignment.residues.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    assert "U10" in alignment.report.notices[0] and alignment.report.kept == 2


def test_gap_filters_are_those_of_eve(tmp_path):
    generator = np.random.default_rng(1)
    focus = generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), 40)
    rows = np.where(
        generator.random((200, 40)) < 1.8 * generator.random((200, 1)) * generator.random(40),
        "-",
        focus,
    )
    rows = np.where((rows != "-") & (generator.random((200, 40)) < 0.004), "X", rows)
    rows[0] = focus
    options = ReadOptions(columns="all", max_sequence_gaps=0.5, max_column_gaps=0.45)
    alignment = alignment_of(["".join(row) for row in rows], None, options)
    gaps = (
        rows == "-"
    )  # as EVE's data_utils: sequences first, then columns over the sequences left, then odd letters
    kept = gaps.mean(axis=1) <= 0.5
    columns = gaps[kept].mean(axis=0) <= 0.45
    expected = [row for row in rows[kept][:, columns] if "X" not in row]
    assert 0 < columns.sum() < 40 and len(expected) < kept.sum() < 200
    assert alignment.decode(alignment.tokens) == ["".join(row) for row in expected]
    assert alignment.report.dropped["with more than 50% gaps"] == 200 - kept.sum()


def test_filters_are_off_by_default():
    assert Alignment.from_strings(["ACD", "---", "A--"]).report.kept == 3


def test_focus_by_name_with_and_without_the_range(tmp_path):
    path = write(tmp_path, ">a/1-3\nACD\n>sp|P1|WILD_TYPE/7-9 words\nSCD\n>c\nA-D\n")
    for focus in (
        "sp|P1|WILD_TYPE/7-9",
        "sp|P1|WILD_TYPE",
        "WILD_TYPE",
        "P1",
        ">sp|P1|WILD_TYPE/7-9 words",
        "sp|P1",
    ):
        alignment = Alignment.read(path, focus=focus)
        assert alignment.focus_index == 1 and alignment.residues.tolist() == [7, 8, 9]
    assert "begins so" in alignment.report.notices[0]


def test_double_arrow_headers(tmp_path):
    path = write(tmp_path, ">>S1\nACD\n>>S10\nSCD\n")
    assert Alignment.read(path, focus="S1").names == ("S1", "S10")
    assert Alignment.read(path, focus="S10").focus_index == 1


def test_focus_row_is_found_after_rows_before_it_were_dropped(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">x\nAXD\n>b\nSCD\n>f\nACD\n"), focus="f")
    assert alignment.focus_index == 1 and alignment.names[1] == "f"
    assert (alignment.tokens[1] == alignment.focus_map.tokens).all()


def test_an_ambiguous_focus_lists_the_candidates(tmp_path):
    fails(
        ">A1/1-3\nACD\n>A1/9-11\nACD\n>b\nACD\n",
        "fits 2 names (A1/1-3, A1/9-11)",
        tmp_path,
        focus="A1",
    )


def test_a_missing_focus_suggests_near_names(tmp_path):
    message = fails(
        A2M, "no sequence is named 'FOKUS/11-17' among 3", tmp_path, focus="FOKUS/11-17"
    )
    assert "FOCUS/11-17" in message


def test_near_names_are_found_inside_the_fields_of_a_header(tmp_path):
    text = ">x\nACD\n>sp|P1|BLAT_ECOLX/1-3\nACD\n"
    assert "nearest names are sp|P1|BLAT_ECOLX/1-3" in fails(
        text, "BLAT_ECOLI", tmp_path, focus="BLAT_ECOLI"
    )


def test_a_weight_after_the_range_is_no_part_of_it(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">f/5-7:0.25\nACD\n>b\nACD\n"), focus="f")
    assert alignment.residues.tolist() == [5, 6, 7]


def test_a_focus_name_twice_is_a_notice(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">b\nACD\n>f\nSCD\n>f\nTCD\n"), focus="f")
    assert alignment.focus_index == 1 and "2 records are named 'f'" in alignment.report.notices[0]


def test_numbers_from_one_with_a_notice(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">f\nACD\n>b\nACD\n"))
    assert (
        alignment.residues.tolist() == [1, 2, 3]
        and "numbered from 1" in alignment.report.notices[0]
    )


def test_first_residue_overrules_the_name(tmp_path):
    path = write(tmp_path, A2M)
    alignment = Alignment.read(path, first_residue=-2)
    assert (
        alignment.residues.tolist() == [-1, 0, 1, 2, 4]
        and "as given" in alignment.report.notices[0]
    )
    assert Alignment.read(path, first_residue=11).report.notices == ()


def test_a_range_that_contradicts_the_row_is_an_error(tmp_path):
    fails(A2M.replace("11-17", "11-18"), "spans 8 residues but its row holds 7", tmp_path)
    fails(A2M.replace("11-17", "17-11"), "runs backwards", tmp_path)


def test_alphabets(tmp_path):
    rna = Alignment.read(write(tmp_path, ">f\nACGU\n>b\nac.u\n"), alphabet="rna")
    assert rna.tokens.tolist() == [[0, 1, 2, 3], [0, 1, 4, 3]] and rna.gap == 4
    assert Alignment.from_strings(["0120", "21-0"], alphabet="012").tokens.tolist() == [
        [0, 1, 2, 0],
        [2, 1, 3, 0],
    ]
    assert Alignment.from_strings(["HPPH", "HHP-"], alphabet="HP").tokens.tolist() == [
        [0, 1, 1, 0],
        [0, 0, 1, 2],
    ]
    assert alphabet_letters("Protein") == ALPHABETS["protein"]


@pytest.mark.parametrize("alphabet", ["", "A", "AA", "ac-", "A C", "proteins", "Ä1"])
def test_a_strange_alphabet_is_refused(alphabet):
    with pytest.raises(AlignmentError, match="alphabet: found"):
        alphabet_letters(alphabet)


def test_rna_read_as_protein_asks_for_the_alphabet(tmp_path):
    text = ">f\nACGUUGCA\n>b\nACGUUGCA\n"
    fails(text, 'did you mean alphabet="rna"?', tmp_path)
    fails(text, 'did you mean alphabet="rna"?', tmp_path, alphabet="dna")
    fails(text.replace("U", "T"), 'did you mean alphabet="dna"?', tmp_path, alphabet="rna")
    fails(A2M, 'did you mean alphabet="protein"?', tmp_path, alphabet="dna")


def test_rna_below_a_focus_without_u_would_drop_most_rows(tmp_path):
    fails(">f\nACGACGACG\n" + ">b\nACGUUUACG\n" * 9, 'did you mean alphabet="rna"?', tmp_path)


def test_dna_read_as_protein_is_a_notice(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">f\nACGTACGTAC\n" * 30), alphabet="protein")
    assert any('did you mean alphabet="dna"?' in notice for notice in alignment.report.notices)


def test_one_sequence_is_legal_but_noticed(tmp_path):
    alignment = Alignment.read(write(tmp_path, ">f/1-3\nACD\n"))
    assert alignment.tokens.shape == (1, 3) and "one sequence" in alignment.report.notices[0]


def test_rows_of_gaps_are_noticed():
    assert any(
        "only gaps" in notice for notice in Alignment.from_strings(["ACD", "---"]).report.notices
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"%PDF-1.7\n...", "a PDF document"),
        (b"mutant,2500\nA24G,0.1\n", "a table"),
        (b"mutant\t2500\n", "a table"),
        (b"<!DOCTYPE html>", "an HTML or XML page"),
        (b'{"a": 1}', "JSON"),
        (b"PK\x03\x04 ", "a zip archive"),
        (b"BZh91AY", "a bzip2 file"),
        (b"#NEXUS\nbegin data;", "a NEXUS file"),
        (b" 5 42\nname ACD", "a PHYLIP file"),
        (b"\xff\xfe>\x00a\x00", "UTF-16"),
        (b">a\nAC\x00D\n", "binary data"),
        (b"ACDEFG\n", "begins like 'ACDEFG'"),
        (b"# nothing\n", "only comments"),
        (b"; hello\nACD\n", "line 2 is 'ACD', expected '>NAME'"),
        (b"# STOCKHOLM 1.0\n//\n", "without sequences"),
        (b"# STOCKHOLM 1.0\nname\n//\n", "line 2 is 'name'"),
        (b"CLUSTAL W\n\n", "without sequences"),
        (b"CLUSTAL W\n\nname AC DE\n", "line 3 is 'name AC DE'"),
        (gzip.compress(b">a\nACD\n" * 99, mtime=0)[:25], "cut short or damaged"),
        (b"\x1f\x8b\x08nonsense", "cut short or damaged"),
        (b">a\n>b\n", "no focus columns in 'a': it has no residues"),
        (b">a\n---\n>b\nACD\n", "no focus columns in 'a': it has no residues"),
        (
            b">a\nACDE\n>b\nACD\n>c\nACDE\n",
            "record 2 'b' (line 3) has 3 columns, expected 4 as in record 1 'a'",
        ),
        (
            b">a\nACD\n>b\nACDE\n>c\nACDE\n",
            "record 1 'a' (line 1) has 3 columns, expected 4 as in record 2 'b'",
        ),
        (b">a\nACd.\n>b\nACdd.\n", "record 2 'b' (line 3) has 5 columns"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, content, expected):
    fails(content, expected, tmp_path)


def test_an_all_lower_case_alignment_suggests_columns_all(tmp_path):
    fails(">a\nacd\n>b\nacd\n", "columns='all'", tmp_path)
    assert Alignment.read(tmp_path / "family.a2m", columns="all").tokens.shape == (2, 3)


def test_no_column_of_the_asked_occupancy(tmp_path):
    fails(
        ">a\nACD\n" + ">b\n---\n" * 9,
        "no column has the occupancy",
        tmp_path,
        columns="occupancy=0.5",
    )


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(AlignmentError, match="no such file"):
        Alignment.read(tmp_path / "none.a2m")
    with pytest.raises(AlignmentError, match="a folder"):
        Alignment.read(tmp_path)
    with pytest.raises(AlignmentError, match="cannot be read"):
        Alignment.read("bad\0name")


def test_a_stockholm_file_said_to_be_fasta(tmp_path):
    fails(
        "# STOCKHOLM 1.0\na ACD\n//\n", "found stockholm, expected fasta", tmp_path, format="fasta"
    )


def test_stockholm_notices(tmp_path):
    one = "# STOCKHOLM 1.0\na/1-3 ACD\nb ACD\n"
    assert "cut short" in Alignment.read(write(tmp_path, one)).report.notices[0]
    assert (
        "second alignment" in Alignment.read(write(tmp_path, (one + "//\n") * 2)).report.notices[0]
    )


@pytest.mark.parametrize(
    "options",
    [
        {"columns": "upper"}, {"columns": "occupancy=2"}, {"columns": "occupancy=70%"}, {"unknown": "keep"},
        {"format": "phylip"}, {"max_sequence_gaps": 50}, {"max_column_gaps": -0.1}, {"first_residue": 10**12},
        {"max_column_gaps": float("nan")},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(options):
    with pytest.raises(AlignmentError, match=next(iter(options))):
        ReadOptions(**options)


def test_from_strings_refuses_other_things():
    for sequences, names in (([], None), ("ACD", None), (["ACD"], ["a", "b"])):
        with pytest.raises(AlignmentError, match="from_strings"):
            Alignment.from_strings(sequences, names)


def test_from_strings_names_rows():
    assert Alignment.from_strings(["ACD", "ACD"]).names == ("seq1", "seq2")
    assert Alignment.from_strings(
        ["ACD", "SCD"], ["a", "wt/4-6"], focus="wt"
    ).residues.tolist() == [4, 5, 6]


def test_report_lines(tmp_path):
    path = write(tmp_path, A2M + ">x\n.AXDE.G\n")
    assert Alignment.read(path).report.lines()[:3] == [
        "family.a2m: a2m (aligned FASTA with insertions), 4 sequences of 7 columns",
        "kept 3: 1 with letters outside the alphabet (X 1)",
        "focus FOCUS/11-17 (the first sequence): 5 columns modelled, residues 12 to 17",
    ]


def test_a_file_without_insertions_is_not_called_by_one_name(tmp_path):
    path = write(tmp_path, ">a\nACD\n>b\nACE\n", "family.a2m")
    assert "aligned FASTA (a2m without insertions), 2" in Alignment.read(path).report.lines()[0]


def test_checksum_is_of_the_content_not_of_the_file(tmp_path):
    here = Alignment.read(write(tmp_path, A2M))
    packed = Alignment.read(
        write(tmp_path, gzip.compress(A2M.replace("close", "near").encode()), "x.gz")
    )
    assert here.checksum == packed.checksum and len(here.checksum) == 64
    assert Alignment.read(tmp_path / "family.a2m", columns="all").checksum != here.checksum
    assert Alignment.read(tmp_path / "family.a2m", first_residue=1).checksum != here.checksum


def test_encode_is_the_inverse_of_decode():
    alignment = Alignment.from_strings(["ACD", "A-W"])
    assert (alignment.encode(alignment.decode(alignment.tokens)) == alignment.tokens).all()
    assert alignment.encode([]).shape == (0, 3)
    with pytest.raises(AlignmentError, match="sequence 2 has 2 letters, expected 3"):
        alignment.encode(["ACD", "AC"])
    with pytest.raises(AlignmentError, match="sequence 1 has 'X' at letter 2"):
        alignment.encode(["AXD"])


def test_focus_map_survives_json(tmp_path):
    import json

    focus_map = Alignment.read(write(tmp_path, A2M)).focus_map
    assert FocusMap.from_json(json.loads(json.dumps(focus_map.to_json()))) == focus_map


def test_focus_map_refuses_unknown_keys_and_contradictions(tmp_path):
    focus_map = Alignment.read(write(tmp_path, A2M)).focus_map
    with pytest.raises(AlignmentError, match="unknown or missing key 'colour'"):
        FocusMap.from_json({**focus_map.to_json(), "colour": 1})
    with pytest.raises(AlignmentError, match="unknown or missing key 'start'"):
        FocusMap.from_json(
            {key: value for key, value in focus_map.to_json().items() if key != "start"}
        )
    with pytest.raises(AlignmentError, match="residue 12 is A"):
        dataclasses.replace(focus_map, start=12)
    with pytest.raises(AlignmentError, match="5 letters, 2 residue numbers"):
        dataclasses.replace(focus_map, residues=(12, 13))


letters = st.sampled_from("ACDEFGHIKLMNPQRSTVWY")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_alignment_written_as_a2m_comes_back(tmp_path_factory, data):
    width = data.draw(st.integers(1, 12))
    focus = data.draw(st.lists(letters, min_size=width, max_size=width))
    inserted = data.draw(st.lists(st.booleans(), min_size=width, max_size=width))
    rows = data.draw(
        st.lists(st.lists(letters | st.just("-"), min_size=width, max_size=width), max_size=5)
    )
    start = data.draw(st.integers(1, 500))

    def spell(row):
        return "".join(
            (a.lower() if a != "-" else ".") if low else a
            for a, low in zip(row, inserted, strict=True)
        )

    text = f">f/{start}-{start + width - 1}\n{spell(focus)}\n" + "".join(
        f">r\n{spell(row)}\n" for row in rows
    )
    path = write(tmp_path_factory.mktemp("a2m"), text)
    if all(inserted):
        with pytest.raises(AlignmentError, match="no focus columns"):
            Alignment.read(path)
        return
    alignment = Alignment.read(path)
    assert alignment.residues.tolist() == [start + i for i in range(width) if not inserted[i]]
    expected = [
        "".join(a for a, low in zip(row, inserted, strict=True) if not low)
        for row in [focus, *rows]
    ]
    assert alignment.decode(alignment.tokens) == expected
    assert alignment.occupancy.tolist() == pytest.approx(
        np.mean([[a != "-" for a in row] for row in expected], axis=0)
    )


def raises_only_alignment_error(folder, content: bytes):
    for name in ("x", "x.a3m", "x.a2m.gz"):
        for options in (
            {},
            {"columns": "all", "unknown": "gap"},
            {"format": "a3m"},
            {"focus": "a"},
        ):
            try:
                Alignment.read(write(folder, content, name), **options)
            except AlignmentError as error:
                assert "\n" not in str(error)


heads = st.sampled_from(
    ["", ">", ">a\n", ">>a/1-3\nACD\n", "# STOCKHOLM 1.0\n", "CLUSTAL\n\n", "#", "; "]
)


@settings(max_examples=150, deadline=None)
@given(heads, st.text(max_size=60))
@example(">a/1-999999999\n", "A")
@example(">a/1-99999999999999999999\n", "A")
@example("CLUSTAL\n\n", "a \u00b2 \u00b2")
@example(">", "\u2028ä>\n>")
def test_arbitrary_text_raises_nothing_but_alignment_error(tmp_path_factory, head, text):
    raises_only_alignment_error(
        tmp_path_factory.mktemp("text"), (head + text).encode("utf-8", "surrogatepass")
    )


@settings(max_examples=150, deadline=None)
@given(heads, st.binary(max_size=60), st.booleans())
def test_arbitrary_bytes_raise_nothing_but_alignment_error(tmp_path_factory, head, data, packed):
    content = head.encode() + data
    raises_only_alignment_error(
        tmp_path_factory.mktemp("bytes"), gzip.compress(content) if packed else content
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=4), st.sampled_from(["protein", "rna", "012"]))
def test_arbitrary_strings_raise_nothing_but_alignment_error(rows, alphabet):
    try:
        Alignment.from_strings(rows, alphabet=alphabet)
    except AlignmentError:
        pass


def test_an_alignment_knows_how_it_was_read(tmp_path):
    path = write(tmp_path, A2M)
    options = ReadOptions(columns="all", max_column_gaps=0.5, first_residue=3)
    alignment = Alignment.read(path, columns="all", max_column_gaps=0.5, first_residue=3)
    assert alignment.options == options
    assert Alignment.read(path).options == ReadOptions()
    assert Alignment.from_strings(["AC"]).options == ReadOptions()
    assert Alignment.from_strings(["AC"], alphabet="dna").options == ReadOptions(alphabet="dna")


def test_options_of_a_stockholm_file_are_those_that_were_given(tmp_path):
    text = "# STOCKHOLM 1.0\nf/1-3 ACD\nb ACE\n//\n"
    assert Alignment.read(write(tmp_path, text, "a.sto")).options.format is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("focus", "b"), ("alphabet", "rna"), ("format", "a2m"), ("columns", "all"), ("unknown", "gap"),
        ("max_sequence_gaps", 0.5), ("max_column_gaps", 0.5), ("first_residue", 7),
    ],
)  # fmt: skip
def test_every_option_that_is_given_is_the_one_that_is_used(tmp_path, name, value):
    path = write(tmp_path, ">a\nACGU\n>b\nACGG\n>c\nACGA\n" if name == "alphabet" else ">a\nACD\n>b\nACE\n", "a.a2m")  # fmt: skip
    found = Alignment.read(path, **{name: value})
    given = {field.name for field in dataclasses.fields(ReadOptions)}
    assert name in given and getattr(found.options, name) == value
    others = {other: getattr(ReadOptions(), other) for other in given - {name}}
    assert {other: getattr(found.options, other) for other in others} == others


def test_read_options_come_back_from_json():
    options = ReadOptions(
        focus="f", alphabet="rna", format="a3m", columns="occupancy=0.7", unknown="gap",
        max_sequence_gaps=0.5, max_column_gaps=1, first_residue=-4,
    )  # fmt: skip
    written = json.dumps(options.to_json())
    assert ReadOptions.from_json(json.loads(written)) == options
    assert ReadOptions.from_json({}) == ReadOptions()


@pytest.mark.parametrize(
    ("data", "error", "expected"),
    [
        ({"colums": "all"}, ConfigError, "options has no setting 'colums': did you mean 'columns'"),
        ({"first_residue": "7"}, ConfigError, "options.first_residue is '7'"),
        ({"columns": "upper"}, AlignmentError, "columns: found 'upper'"),
    ],
)
def test_wrong_read_options_are_refused_by_name(data, error, expected):
    with pytest.raises(error, match=expected):
        ReadOptions.from_json(data)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("first_residue", 10**10), ("max_sequence_gaps", 1.5), ("max_column_gaps", -0.1),
        ("unknown", "keep"), ("columns", "occupancy=70"), ("format", "phylip"),
    ],
)  # fmt: skip
def test_an_unusable_option_is_named_in_text_and_field(option, value):
    with pytest.raises(AlignmentError, match=f"^{option}: found {value!r}") as caught:
        ReadOptions(**{option: value})
    assert caught.value.setting == option


@pytest.mark.parametrize("value", ["x", 1.5, True])
def test_a_first_residue_that_is_no_number_is_an_alignment_error(value):
    with pytest.raises(AlignmentError, match=r"first_residue: found .* expected a residue number"):
        _residue_number(value)
