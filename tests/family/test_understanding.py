"""What is said of a family before a training: numbering, residues without a score, quality, tables of variants."""

import csv
import math
from pathlib import Path

import pandas as pd
import pytest

from deepseq_nb.core.errors import VariantError
from deepseq_nb.family import understanding
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import Family, describe
from deepseq_nb.family.understanding import (
    check_variants,
    columns_without_focus,
    expected_quality,
    numbering,
    understood,
    understood_json,
    unscored,
    variant_lines,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEQ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def read(tmp_path):
    """Writes rows to a file and reads it as options say."""

    def written(*rows, name="FOCUS/11-18", suffix="a2m", **options):
        path = tmp_path / f"x.{suffix}"
        names = [name, *(f"s{i}" for i in range(1, len(rows)))]
        path.write_text("".join(f">{n}\n{row}\n" for n, row in zip(names, rows, strict=True)))
        return Alignment.read(path, **options)

    return written


ROWS = ("MKvlAAGI", "MK..AAGI", "MRvlAA-I")


# numbers


@pytest.mark.parametrize(
    ("name", "first", "source", "start"),
    [
        ("FOCUS/11-18", None, "name", 11),
        ("FOCUS/11-18", 11, "option", 11),
        ("FOCUS/11-18", 5, "option", 5),
        ("FOCUS", None, "default", 1),
        ("FOCUS", 1, "option", 1),
    ],
)
def test_the_source_of_the_residue_numbers_is_known(read, name, first, source, start):
    alignment = read(*ROWS, name=name, first_residue=first)
    assert (numbering(alignment), alignment.focus_map.start) == (source, start)


def test_a_line_says_where_the_numbers_come_from(read):
    said = understood(Family.of(read(*ROWS)))
    assert any(line.startswith("numbering:") and "M11" in line for line in said)


def test_a_numbering_that_nothing_gives_is_said_once(read):
    said = understood(Family.of(read(*ROWS, name="FOCUS")))
    assert sum("number" in line for line in said) == 1
    assert any(line.startswith("note:") and "numbered from 1" in line for line in said)


# residues without a score


def test_lower_case_residues_have_no_score_and_an_option_that_includes_them(read):
    (one,) = unscored(read(*ROWS))
    assert one.residues == (13, 14) and "lower case" in one.reason and "--columns all" in one.remedy


def test_with_all_columns_every_residue_has_a_score(read):
    assert unscored(read(*ROWS, columns="all")) == []


def test_a_limit_on_gaps_and_lower_case_are_told_apart(read):
    alignment = read(*ROWS, max_column_gaps=0.2)
    assert [(one.residues, "--max-column-gaps" in one.remedy) for one in unscored(alignment)] == [
        ((13, 14), False),
        ((17,), True),
    ]
    assert "more than 20% gaps" in unscored(alignment)[1].reason


def test_a_limit_on_occupancy_is_its_own_reason(read):
    alignment = read(*ROWS, columns="occupancy=0.9")
    (one,) = unscored(alignment)
    assert one.residues == (13, 14, 17) and "less than 90%" in one.reason
    assert "occupancy=" in one.remedy


def test_insertions_of_an_a3m_cannot_be_included_by_an_option(read):
    alignment = read("MKvlAAGI", "MKAAGI", "MRAA-I", suffix="a3m", format="a3m")
    (one,) = unscored(alignment)
    assert one.residues == (13, 14) and "--" not in one.remedy and "query" in one.remedy
    assert columns_without_focus(alignment) == 0


def test_a_letter_outside_the_alphabet_is_a_reason_of_its_own(read):
    alignment = read("MKvlAXGI", "MKvlAAGI", "MKvlAAGI", unknown="gap")
    assert [one.residues for one in unscored(alignment)] == [(13, 14), (16,)]


def test_rows_that_came_from_no_file_are_described_too():
    alignment = Alignment.from_strings(["MKvlAAGI", "MRvlAA-I"], ["F/11-18", "b"])
    assert [one.residues for one in unscored(alignment)] == [(13, 14)]


def test_columns_in_which_the_focus_has_a_gap_are_counted(read):
    alignment = read("MK--AAGI", "MKVLAAGI", "MKVLAAGI", name="FOCUS/11-16")
    assert columns_without_focus(alignment) == 2
    said = [line for line in understood(Family.of(alignment)) if "2 columns" in line]
    assert len(said) == 1 and said[0].startswith("note: 2 columns where the focus has a gap")


# the block


def test_the_lines_of_the_report_and_the_depth_keep_their_order(read):
    family = Family.of(read(*ROWS))
    said, before = understood(family), describe(family)
    assert [line for line in said if line in before] == before
    assert said[: len(family.alignment.report.lines())] == family.alignment.report.lines()


def test_a_family_of_one_gets_no_promise(read):
    said = understood(Family.of(read("MKVLAAGI", "MKVLAAGI")))
    assert not any("expected quality" in line for line in said)


def test_the_plain_values_are_those_of_the_lines(read):
    family = Family.of(read(*ROWS, columns="focus"))
    told = understood_json(family)
    assert told["alignment"]["sequences"] == told["alignment"]["kept"] == 3
    assert told["focus"] == {
        "name": "FOCUS/11-18",
        "residues": 8,
        "first": 11,
        "numbering": "name",
        "modelled": 6,
        "unscored": [
            {
                "reason": "lower case in the focus",
                "remedy": "--columns all includes them",
                "residues": [[13, 14]],
            }
        ],
    }
    assert told["depth"]["neff"] == family.neff and told["depth"]["verdict"] == "shallow"


# quality


@pytest.fixture
def measured(monkeypatch):
    rows = [("A", 1.0, 0.2), ("A", 1.0, 0.3), ("B", 2.0, 0.4), ("C", 50.0, 0.6)]
    table = pd.DataFrame(rows, columns=["family", "depth", "value"])
    monkeypatch.setattr(understanding, "_measured", lambda: table)


def test_alignments_within_a_factor_of_three_are_the_range(measured):
    found = expected_quality(1.5)
    assert (found.low, found.high, found.near, found.assays) == (0.2, 0.4, True, 3)
    assert found.alignments == ("A (1 a column)", "B (2 a column)")


def test_one_of_the_factor_three_itself_counts(measured):
    assert expected_quality(150).near and not expected_quality(151).near


def test_without_one_of_that_depth_the_nearest_is_named(measured):
    found = expected_quality(0.1)
    assert not found.near and found.alignments == ("A (1 a column)",)
    (line,) = understanding._quality_line(0.1)
    assert "no alignment of this depth was measured; the nearest, A (1 a column)" in line
    assert "0.20 to 0.30 with 2 assays" in line


@pytest.mark.parametrize("depth", [0.0, -1.0, math.nan])
def test_a_depth_that_is_none_has_no_expectation(depth):
    assert expected_quality(depth) is None


def test_without_the_table_the_line_is_left_out(monkeypatch):
    monkeypatch.setattr(understanding, "_measured", lambda: None)
    assert expected_quality(1.0) is None and understanding._quality_line(1.0) == []


def test_the_table_is_the_mean_of_the_runs_in_results():
    with (ROOT / "results/breadth.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "record"]
    table = understanding._measured()
    assert sorted(table.value) == sorted(float(row["value"]) for row in rows)
    depths = {row["family"]: float(row["neff"]) / float(row["columns"]) for row in rows}
    assert dict(zip(table.family, table.depth, strict=True)) == pytest.approx(depths)


def test_the_table_travels_inside_the_wheel():
    import tomllib

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    inside = wheel["targets"]["wheel"]["force-include"]
    assert inside["results/breadth.csv"] == "deepseq_nb/data/breadth.csv"


# tables of variants


@pytest.fixture
def table(tmp_path):
    def write(text, name="t.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_the_column_taken_is_named(read, table):
    focus_map = read(*ROWS).focus_map
    found = check_variants(table("id,Mutant,score\n1,M11A,0.5\n"), focus_map)
    assert found.column == "Mutant"
    assert "column 'Mutant', 1 rows: 1 will be scored" in variant_lines(found)[0]


def test_a_column_that_was_asked_for_is_the_one(read, table):
    path = table("mutant;other\nM11A;K12A\n")
    assert check_variants(path, read(*ROWS).focus_map, "other").column == "other"


def test_a_column_that_was_taken_for_what_it_holds_is_named(read, table):
    found = check_variants(table("gene,x\nM11A,1\nK12A,2\n"), read(*ROWS).focus_map)
    assert found.column == "gene" and found.to_json()["scored"] == 2


def test_a_plain_list_has_no_column(read, table):
    found = check_variants(table("M11A\nK12A\n", "t.txt"), read(*ROWS).focus_map)
    assert found.column is None and "t.txt: a list, 2 rows" in variant_lines(found)[0]


def test_rejected_rows_are_counted_by_reason(read, table):
    rows = "M11A\nV13A\nL14A\nM99A\nW11A\nhello\nhallo\n"
    found = check_variants(table("mutant\n" + rows), read(*ROWS).focus_map)
    assert [(status, n) for status, n, _ in found.reasons()] == [
        ("outside the alignment", 2),
        ("malformed", 2),
        ("outside the alignment", 1),
        ("wild type differs", 1),
    ]
    told = found.to_json()
    assert told["rows"] == 7 and told["scored"] == 1
    assert told["rejected"] == {
        "outside the alignment": 3,
        "wild type differs": 1,
        "malformed": 2,
    }


def test_a_long_list_of_reasons_ends(read, table, monkeypatch):
    monkeypatch.setattr(understanding, "_MOST", 1)
    found = check_variants(table("mutant\nV13A\nL14A\nM99A\nW11A\n"), read(*ROWS).focus_map)
    assert variant_lines(found)[2] == "  2 for 2 other reasons"


def test_the_shift_that_would_help_is_a_note(table):
    alignment = Alignment.from_strings(["MKVLAAGIRWDE"] * 2, ["F/11-22", "b"])
    rows = "\n".join(f"{x}{i}A" for i, x in enumerate("MKVL", 1)) + "\nI8A\nR9A\nW10A\n"
    lines = variant_lines(check_variants(table("mutant\n" + rows), alignment.focus_map))
    assert (
        lines[-1].startswith("note: all 7 wild-type letters agree") and "--offset 10" in lines[-1]
    )


def test_a_table_without_a_row_that_fits_says_so(read, table):
    lines = variant_lines(check_variants(table("mutant\nhello\n"), read(*ROWS).focus_map))
    assert lines[-1] == "note: no row of the table can be scored"


def test_a_table_that_cannot_be_read_is_refused(read, table):
    with pytest.raises(VariantError):
        check_variants(table("gene,x\nA,1\n"), read(*ROWS).focus_map)
