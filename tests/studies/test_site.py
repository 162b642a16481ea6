"""Executed chapters as pages."""

import re
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from small_book import code, prose, write_book, write_notebook

from deepseq_nb.core import errors
from deepseq_nb.studies import book, contents, site


@pytest.fixture
def tiny(tmp_path) -> Path:
    return write_book(tmp_path)


def page_of(*cells, names=None):
    return site.present(nbformat.v4.new_notebook(cells=list(cells)), names)


def test_directive_lines_and_hidden_cells_are_not_on_the_page():
    page = page_of(
        code("#| default_exp alignment"),
        code("#| hide\nimport nbdev"),
        code("print()", "remove-cell"),
        code("#| export\n#| echo: false\n\ndef f():\n    return '#| export'"),
        code("s = '''\n#| export\n'''"),
        prose("#| not a directive in prose"),
        code(""),
    )
    assert [cell.source for cell in page.cells] == [
        "def f():\n    return '#| export'", "s = '''\n#| export\n'''", "#| not a directive in prose",
    ]  # fmt: skip


def test_the_parameters_cell_is_folded_and_says_what_this_run_changed():
    page = page_of(
        code('profile = "quick"  # or full\nseed = 1', "parameters"),
        code('# Parameters\nprofile = "quick"\nseed = 7\n', "injected-parameters"),
    )
    assert len(page.cells) == 1
    assert page.cells[0].metadata["tags"] == ["parameters", "hide-input"]
    assert (
        page.cells[0].source
        == 'profile = "quick"  # or full\nseed = 1\nseed = 7  # as given to this run'
    )


def test_progress_bars_and_warnings_are_not_on_the_page_and_redrawn_lines_show_their_last_state():
    cell = code("train()")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="UserWarning: x"),
        nbformat.v4.new_output(
            "stream", name="stdout", text=" 1%\r50%\r100% done\r\nlonger line\rshort\nend\n"
        ),
    ]
    (output,) = page_of(cell).cells[0].outputs
    assert output.text == "100% done\nshortr line\nend\n"


def test_folder_names_of_the_machine_do_not_reach_the_page(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEQ_DATA", "/mnt/families")
    names = site._neutral_names(tmp_path, tmp_path / "_build" / "work")
    cell = code("train()")
    text = (
        f"{tmp_path}/_build/work/run/config.json {tmp_path}/book {tmp_path}2 /mnt/families/B.a2m "
    )
    text += f"/tmp/tmpab12/x {Path.home()}/y"
    cell.outputs = [
        nbformat.v4.new_output("stream", text=text),
        nbformat.v4.new_output(
            "display_data", {"text/html": f"<b>{tmp_path}</b>", "image/png": "aGVsbG8="}
        ),
        nbformat.v4.new_output(
            "error", ename="E", evalue=f"{tmp_path}/a", traceback=[f"in {sys.prefix}/lib"]
        ),
    ]
    stream, shown, error = page_of(cell, names=names).cells[0].outputs
    words = stream.text.split()
    assert words[:2] == ["./run/config.json", "deepseq-nb/book"]
    assert words[3:] == ["$DEEPSEQ_DATA/B.a2m", "/tmp/.../x", "~/y"]
    assert shown.data == {"text/html": "<b>deepseq-nb</b>", "image/png": "aGVsbG8="}
    assert error.evalue == "deepseq-nb/a" and error.traceback == ["in environment/lib"]


def test_presenting_leaves_the_executed_notebook_as_it_is():
    notebook = nbformat.v4.new_notebook(
        cells=[code("#| export\nx = 1"), code("y = 2", "hide-input")]
    )
    notebook.metadata["papermill"] = {"output_path": "somewhere"}
    before = nbformat.writes(notebook)
    page = site.present(notebook)
    assert nbformat.writes(notebook) == before
    assert "papermill" not in page.metadata and page.cells[1].metadata["tags"] == ["hide-input"]


def test_a_chapter_not_run_yet_is_shown_without_results_and_an_unwritten_one_is_left_out(tiny):
    (tiny / "_toc.yml").write_text((tiny / "_toc.yml").read_text() + "- file: book/later\n")
    toc = contents.chapters(tiny / "_toc.yml", missing_ok=True)
    made = site.prepare_site(tiny, tiny / "_build", toc)
    assert "later" not in (made / "_toc.yml").read_text()
    assert [path.name for path in contents.chapters(made / "_toc.yml")] == [
        "index.md",
        "second.ipynb",
        "a_first.ipynb",
    ]
    assert (made / "book" / "references.bib").is_file()


def picture(*tags: str):
    cell = code("draw()", *tags)
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": "aGVsbG8="})]
    return cell


def test_a_caption_becomes_part_of_its_figure_with_a_text_in_words():
    said = "**Figure.** *Scores in `nats`, see [](a)* and {cite}`knuth1992`. Blue is better."
    page = page_of(picture(), prose(f"{said}\n\nThe text goes on."))
    assert [cell.source for cell in page.cells] == ["draw()", "The text goes on."]
    made = page.cells[0].metadata["mystnb"]
    assert made["image"]["alt"] == "Scores in nats, see and ."
    assert made["figure"]["caption"] == said.removeprefix("**Figure.** ")


def test_a_caption_of_two_figures_stays_a_paragraph():
    cell = picture()
    cell.outputs *= 2
    page = page_of(cell, prose("**Figure.** Two panels. More."))
    assert page.cells[1].source == "**Figure.** Two panels. More."
    assert page.cells[0].metadata["mystnb"] == {"image": {"alt": "Two panels."}}


def shown(**data: str):
    kinds = {"png": "image/png", "html": "text/html", "markdown": "text/markdown"}
    return nbformat.v4.new_output("display_data", {kinds[name]: data[name] for name in data})


@pytest.mark.parametrize(
    ("outputs", "parts"),
    [
        (["origin", "figure"], [["origin"], ["figure"]]),
        (["figure", "table"], [[], ["figure"], ["table"]]),
        (["origin", "figure", "table", "table"], [["origin"], ["figure"], ["table", "table"]]),
    ],
)
def test_a_caption_belongs_to_the_picture_alone_whatever_else_its_cell_shows(outputs, parts):
    made = {
        "origin": shown(markdown="*Recorded.*"),
        "figure": shown(png="aGVsbG8="),
        "table": shown(html="<b>1</b>"),
    }
    cell = code("draw()", "hide-input")
    cell.outputs = [made[name] for name in outputs]
    page = page_of(cell, prose("**Figure.** *Scores.*"))
    assert [one.outputs for one in page.cells] == [[made[n] for n in part] for part in parts]
    assert page.cells[0].source == "draw()" and "hide-input" in page.cells[0].metadata.tags
    for one, part in zip(page.cells, parts, strict=True):
        captions = one.metadata.get("mystnb", {}).get("figure")
        assert captions == ({"caption": "*Scores.*"} if part == ["figure"] else None)
    assert [one.metadata.tags for one in page.cells[1:]] == [["remove-input"]] * len(parts[1:])
    nbformat.validate(page)


def test_what_a_cell_prints_beside_its_picture_stays_with_it():
    cell = picture()
    cell.outputs = [nbformat.v4.new_output("stream", text="1\n"), *cell.outputs]
    page = page_of(cell, prose("**Figure.** *Scores.*"))
    assert len(page.cells) == 1 and len(page.cells[0].outputs) == 2


def test_one_caption_is_numbered_once_on_the_built_page(tmp_path):
    cell = code("draw()", "hide-input")
    svg = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'></svg>"
    drawn = nbformat.v4.new_output("display_data", {"image/svg+xml": svg})
    cell.outputs = [shown(markdown="*Recorded.*"), drawn, shown(html="<b>a table</b>")]
    (tmp_path / "_config.yml").write_text("title: tiny\nexecute: {execute_notebooks: 'off'}\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    said = prose("**Figure.** *Scores.*")
    write_notebook(tmp_path / "page.ipynb", prose("# Page"), cell, said)
    made = site.prepare_site(tmp_path, tmp_path / "_build", [tmp_path / "page.ipynb"])
    index, _ = site.build_site(made, tmp_path / "_build")
    page = (index.parent / "page.html").read_text()
    (figure,) = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert "<img" in figure and "Scores." in figure and figure.count("caption-number") == 1
    assert "Recorded." not in figure and "a table" not in figure
    at = [page.index(part) for part in ("Recorded.", "<figure", "<b>a table")]
    assert at == sorted(at)


@pytest.mark.parametrize(
    ("source", "tag", "said"),
    [
        ("seed = 1", "parameters", "Parameters"),
        ("%matplotlib inline\nimport math\nfrom os import path", "hide-input", "Imports"),
        ("import math\nmath.pi", "hide-input", "Source of this cell"),
        ("%matplotlib inline", "hide-input", "Source of this cell"),
        ("this is no Python", "hide-input", "Source of this cell"),
    ],
)
def test_the_line_of_a_folded_cell_says_what_it_is(source, tag, said):
    (cell,) = page_of(code(source, tag)).cells
    assert cell.metadata["mystnb"] == {"code_prompt_show": said, "code_prompt_hide": said}


def test_an_open_cell_has_no_line():
    assert page_of(code("import math")).cells[0].metadata == {}


def test_no_caption_stands_without_its_figure():
    printed = code("print(1)")
    printed.outputs = [nbformat.v4.new_output("stream", text="1\n")]
    page = page_of(printed, prose("**Figure.** *Measured and scored.*\n\nThe text goes on."))
    assert "Measured" not in page.cells[1].source and "real family" in page.cells[1].source
    assert page.cells[1].source.endswith("The text goes on.")


def test_a_chapter_that_was_not_run_keeps_its_captions():
    page = page_of(code("draw()"), prose("**Figure.** *Measured and scored.*"))
    assert page.cells[1].source == "**Figure.** *Measured and scored.*"


def test_a_removed_cell_whose_names_are_used_is_folded_so_that_a_download_runs():
    page = page_of(
        code("import math as m\n%matplotlib inline", "remove-cell"),
        code("left = 1", "remove-cell"),
        code("print(m.pi)"),
    )
    assert [cell.source for cell in page.cells] == [
        "import math as m\n%matplotlib inline",
        "print(m.pi)",
    ]
    assert page.cells[0].metadata["tags"] == ["hide-input"]


def test_header_cells_of_a_table_say_what_they_head():
    cell = code("table")
    table = (
        "<thead><tr><th></th><th>a</th></tr></thead><tbody><tr><th>0</th><td>1</td></tr></tbody>"
    )
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": table})]
    shown = page_of(cell).cells[0].outputs[0].data["text/html"]
    assert shown == (
        '<thead><tr><td></td><th scope="col">a</th></tr></thead>'
        '<tbody><tr><th scope="row">0</th><td>1</td></tr></tbody>'
    )


TABLE = pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=pd.Index(["x", "y"], name="set"))


@pytest.mark.parametrize(
    ("table", "heads"),
    [
        (TABLE, [["set", "a", "b"]]),
        (TABLE.set_index("a", append=True), [["set", "a", "b"]]),
        (TABLE.reset_index(), [["", "set", "a", "b"]]),
        (TABLE.rename_axis(columns="what"), [["what", "a", "b"], ["set", "", ""]]),
        (pd.concat({"one": TABLE}, axis=1), [["", "one"], ["", "a", "b"], ["set", "", ""]]),
    ],
    ids=["an index", "two", "no name", "columns with a name", "two rows of columns"],
)
def test_the_name_of_an_index_stands_beside_those_of_the_columns(table, heads):
    cell = code("table")
    html = table.to_html()
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": html})]
    shown = page_of(cell).cells[0].outputs[0].data["text/html"]
    head, body = shown.split("<tbody>")
    rows = re.findall(r"<tr.*?</tr>", head, re.DOTALL)
    assert [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows] == heads
    plain = html.split("<tbody>")[1].replace("<th></th>", "<td></td>")
    assert body.replace(' scope="row"', "") == plain
    assert head.count("<thead>") == head.count("</thead>") == 1


def test_a_table_with_classes_of_its_own_keeps_its_header():
    cell, html = code("table"), TABLE.style.to_html()
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": html})]
    shown = page_of(cell).cells[0].outputs[0].data["text/html"]
    assert shown.count("<tr>") == html.count("<tr>") > 2
    assert '<table class="dataframe" id="T_' in shown and "dataframe" not in html


def test_the_sentence_under_the_title_describes_the_page():
    page = page_of(prose("# Letters\n\n> What a letter is worth.\n\nText."))
    said = page.metadata["myst"]["html_meta"]
    assert said["description"] == said["property=og:description"] == "What a letter is worth."
    assert said["property=og:title"] == "Letters"
    assert "myst" not in page_of(prose("# Letters\n\nText.")).metadata


@pytest.mark.parametrize("name", ["html", "site", "_build"])
def test_a_folder_that_the_book_did_not_make_is_left_alone(tiny, tmp_path_factory, name):
    theirs = tmp_path_factory.mktemp("theirs")
    (theirs / name).mkdir()
    (theirs / name / "mine.txt").write_text("mine")
    with pytest.raises(errors.BookError, match="was not made by `deepseq book`"):
        book.run_book(root=tiny, out=theirs, echo=lambda line: None)
    assert [path.name for path in theirs.rglob("*")] == [name, "mine.txt"]


def test_a_folder_that_the_book_made_is_taken_again(tmp_path):
    site.claim(tmp_path / "out")
    (tmp_path / "out" / "html").mkdir()
    site.claim(tmp_path / "out")
