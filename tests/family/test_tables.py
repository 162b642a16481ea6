"""Tables of variants in the shapes in which programs and people leave them."""

import numpy as np
import pytest

from deepseq_nb.core.errors import VariantError
from deepseq_nb.family.assays import read_assay, read_variants

VARIANTS, NUMBERS = ["A24G", "K30R", "T31S"], [0.5, -1.25, 1234.0]


@pytest.fixture
def write(tmp_path):
    def make(data, name="assay.csv"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return make


SHAPES = {
    "unnamed first column": "\tSE\ty\nA24G\t1\t0.5\nK30R\t1\t-1.25\nT31S\t1\t1234\n",
    "unnamed behind an index": ",Unnamed: 0,y\n0,A24G,0.5\n1,K30R,-1.25\n2,T31S,1234\n",
    "rows named by R": '"y" "n"\n"A24G" 0.5 1\n"K30R" -1.25 1\n"T31S" 1234 1\n',
    "rows numbered by R": '"mutant","y"\n"1","A24G",0.5\n"2","K30R",-1.25\n"3","T31S",1234\n',
    "header behind a #": "#mutant\ty\nA24G\t0.5\nK30R\t-1.25\nT31S\t1234\n",
    "comments and a header behind a #": "# made on Monday\n# mutant,y\nA24G,0.5\nK30R,-1.25\nT31S,1234\n# end\n",
    "sep=; of Excel": "sep=;\r\nmutant;y\r\nA24G;0,5\r\nK30R;-1,25\r\nT31S;1234\r\n",
    "sep=, in quotes": '"sep=,"\nmutant,y\nA24G,0.5\nK30R,-1.25\nT31S,1234\n',
    "decimal commas in tabs": "mutant\ty\nA24G\t0,5\nK30R\t-1,25\nT31S\t1.234,0\n",
    "decimal commas in quotes": 'mutant,y\nA24G,"0,5"\nK30R,"-1,25"\nT31S,"1234"\n',
    "thousands": "mutant\ty\nA24G\t0.5\nK30R\t-1.25\nT31S\t1,234.0\n",
    "thousands by a narrow blank": "mutant\ty\nA24G\t0.5\nK30R\t-1.25\nT31S\t1\u202f234\n",
    "U+2212": "mutant,y\nA24G,0.5\nK30R,\u22121.25\nT31S,1234\n",
    "bars": "mutant|y\nA24G|0.5\nK30R|-1.25\nT31S|1234\n",
    "a table of Markdown": "| mutant | y |\n|---|---|\n| A24G | 0.5 |\n| K30R | -1.25 |\n| T31S | 1234 |\n",
    "blanks": "mutant    y\nA24G    0.5\nK30R  -1.25\nT31S   1234\n",
    "a delimiter at the end of all lines": "mutant,y,\nA24G,0.5,\nK30R,-1.25,\nT31S,1234,\n",
    "a delimiter at the end of the header": "mutant,y,\nA24G,0.5\nK30R,-1.25\nT31S,1234\n",
    "a delimiter at the end of the rows": "mutant,y\nA24G,0.5,\nK30R,-1.25,\nT31S,1234,\n",
    "two lines of names": "condition\tE3\tE3\nvalue\tSE\ty\nA24G\t1\t0.5\nK30R\t1\t-1.25\nT31S\t1\t1234\n",
    "three lines of names": ",E3,E3\nvalue,SE,y\nhgvs,,\nA24G,1,0.5\nK30R,1,-1.25\nT31S,1,1234\n",
    "a count called mutations": "mutations,aa,y\n1,A24G,0.5\n1,K30R,-1.25\n1,T31S,1234\n",
    "an empty hgvs_pro": "hgvs_nt,hgvs_pro,y\nA24G,NA,0.5\nK30R,NA,-1.25\nT31S,NA,1234\n",
    "a name of one's own": "AAmut,y\nA24G,0.5\nK30R,-1.25\nT31S,1234\n",
    "twins nobody asked for": "mutant,note,y,note\nA24G,a,0.5,b\nK30R,a,-1.25,b\nT31S,a,1234,b\n",
    "a field with a line end": 'mutant,note,y\nA24G,"one\ntwo",0.5\nK30R,x,-1.25\nT31S,x,1234\n',
    "a sequence beside": "mutated_sequence,mutant,y\nACDE,A24G,0.5\nACDF,K30R,-1.25\nACDG,T31S,1234\n",
}  # fmt: skip


@pytest.mark.parametrize("shape", list(SHAPES))
def test_every_shape_reads_the_same(write, shape):
    frame = read_assay(write(SHAPES[shape]))
    assert frame["variant"].tolist() == VARIANTS
    np.testing.assert_array_equal(frame["y"].to_numpy(float), NUMBERS)


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "latin-1"])
def test_every_code_of_letters_reads_the_same(write, code):
    data = "mutant,y\nA24G,0.5\nK30R,-1.25\nT31S,1234\n".encode(code)
    assert read_assay(write(data))["variant"].tolist() == VARIANTS


def test_three_columns_are_joined_where_somebody_says_so(write):
    path = write("pos,wt,mut,y\n24,A,G,0.5\n30,K,R,-1.25\n31,T,S,1234\n")
    frame = read_assay(path, "wt+pos+mut")
    assert frame["variant"].tolist() == VARIANTS and frame["y"].tolist() == NUMBERS
    assert frame.attrs["variant_column"] == "wt+pos+mut"
    with pytest.raises(VariantError, match=r"pass variant_column=wt\+pos\+mut") as caught:
        read_assay(path)
    assert caught.value.setting == "variant_column"


def test_letters_without_numbers_are_refused_with_the_other_two_columns(write):
    path = write("position,wildtype,mutation,y\n24,A,G,0.5\n30,K,R,1\n31,T,*,2\n")
    words = (
        r"'mutation' holds letters without numbers \('G', 'R', '\*'\).*wildtype\+position\+mutation"
    )
    for read in (read_assay, read_variants):
        with pytest.raises(VariantError, match=words):
            read(path)
    with pytest.raises(VariantError, match=r"letters without numbers.*as A24G"):
        read_assay(write("mutant,y\nGly,0.5\nArg,1\n"))


def test_two_columns_of_variants_without_a_usual_name_are_a_question(write):
    with pytest.raises(VariantError, match="'a', 'b' all hold variants: pass variant_column=NAME"):
        read_assay(write("a,b,y\nA24G,K30R,1\nA24V,K30T,2\n"))


@pytest.mark.parametrize(
    "text",
    [
        "| mutant | y |\n| --- | ---: |\n| A24G | 0.5 |\n| K30R | |\n",
        "mutant | y |\n--- | --- |\nA24G | 0.5 |\nK30R | |\n",
        "| mutant | y\n| --- | ---\n| A24G | 0.5\n| K30R |\n",
        "mutant | y\n--- | ---\nA24G | 0.5\nK30R |\n",
    ],
    ids=["both bars", "last bar", "first bar", "none"],
)
def test_bars_at_the_ends_of_a_markdown_table_are_no_columns(write, text):
    frame = read_assay(write(text))
    assert list(frame.columns) == ["variant", "y"]
    assert frame["variant"].tolist() == ["A24G", "K30R"] and frame["y"].tolist()[0] == 0.5


def test_a_column_of_nothing_but_1_234_stays_text(write):
    frame = read_assay(write("mutant\ty\nA24G\t1,234\nK30R\t2,000\n"))
    assert frame["y"].tolist() == ["1,234", "2,000"]


def test_missing_words_of_spreadsheets_are_missing(write):
    cells = ["-", "#N/A", "nan", "n.d.", "#DIV/0!", "0.5"]
    text = "mutant,y\n" + "".join(f"A{i}G,{cell}\n" for i, cell in enumerate(cells, 1))
    assert np.isnan(read_assay(write(text))["y"].to_numpy()).tolist() == [True] * 5 + [False]


def test_whole_sequences_are_taken_where_no_variant_is_named(write):
    path = write("mutated_sequence,y\nACDEFGHIKL,0.5\nACDEFGHIKM,1\n")
    assert read_assay(path)["variant"].tolist() == ["ACDEFGHIKL", "ACDEFGHIKM"]
    lines = ["ACDEFGHIKLMNPQRSTVWY", "ACDEFGHIKLMNPQRSTVWA"]
    assert read_variants(write("\n".join(lines))) == lines


def test_what_is_no_table_says_what_it_is(write):
    for data, words in [
        (">a\nACD\n", "found FASTA records"),
        (b"\xd0\xcf\x11\xe0rest", "save the sheet as CSV"),
    ]:
        with pytest.raises(VariantError, match=words):
            read_assay(write(data))
