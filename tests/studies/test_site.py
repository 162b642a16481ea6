"""Executed chapters as pages."""

import sys
from pathlib import Path

import nbformat
import pytest
from small_book import code, prose, write_book

from deepseq_nb.studies import contents, site


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
