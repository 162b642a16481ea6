"""`deepseq design`: words become rules, files are written or refused, sequences are whole."""

import pandas as pd
import pytest

from deepseq_nb.cli.design import allowed_argument, places_argument, sizes_argument


@pytest.mark.parametrize(
    ("text", "places"),
    [("5", (5,)), ("5-7,7,12", (5, 6, 7, 12)), ("-3--1", (-3, -2, -1)), ("-2-1", (-2, -1, 0, 1))],
)
def test_positions_are_read_as_people_write_them(text, places):
    assert places_argument(text) == places


@pytest.mark.parametrize("text", ["", "a", "7-5", "1,,2", "1-9999999"])
def test_no_positions_are_refused_by_the_parser(deepseq, text):
    code, _, err = deepseq(f"design run --positions '{text}' --out never.csv")
    assert code == 2 and "no list of residues such as 10-40,55" in err


def test_letters_and_numbers_of_mutations_are_read():
    assert allowed_argument("45:avi") == (45, "AVI") and allowed_argument("-4:G") == (-4, "G")
    assert sizes_argument("3") == (3, 3) and sizes_argument("1-4") == (1, 4)


def test_designs_sequences_and_codons_are_written(deepseq, work):
    focus = (work / "family.a2m").read_text().split(">")[1].splitlines()[1]
    line = "design run --mutations 1-2 --count 4 --samples 3 --distance 2 --out d.csv --fasta d.fasta --library l.csv"
    code, out, err = deepseq(line)
    assert code == 0 and not err and "wrote d.csv" in out and "DNA sequences" in out
    table = pd.read_csv(work / "d.csv")
    assert len(table) == 4 and {"variant", "score", "std_error", "mutations", "search_score"} <= {
        *table
    }
    records = (work / "d.fasta").read_text().split(">")[1:]
    for text, variant in zip(records, table.variant, strict=True):
        sequence = text.splitlines()[1]
        letters = focus.replace("-", "").replace(".", "").upper()
        assert len(sequence) == len(letters)
        assert sum(a != b for a, b in zip(sequence, letters, strict=True)) == variant.count(":") + 1
    assert set(pd.read_csv(work / "l.csv").columns) >= {"residue", "codon", "letters"}
    again = deepseq(line)
    assert again.code == 2 and "d.csv exists" in again.err
    assert deepseq(line + " --overwrite").code == 0
    scored = deepseq("score run --variants d.csv --samples 3 --out again.csv")
    assert scored.code == 0
    assert pd.read_csv(work / "again.csv").score.tolist() == pytest.approx(
        table.score.tolist(), abs=1e-4
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--positions 4000", "residue 4000 is not modelled"),
        ("--forbid 1", "'1' is no letter"),
        ("--min-score 1e6", "no design scores"),
        ("--allow 12:A --allow 12:G", "names a residue twice"),
    ],
)
def test_rules_that_leave_nothing_are_one_line(deepseq, work, words, said):
    code, _, err = deepseq(f"design run {words} --samples 3 --out nothing.csv")
    assert code == 2 and said in err and err.count("\n") == 1
    assert not (work / "nothing.csv").exists()
