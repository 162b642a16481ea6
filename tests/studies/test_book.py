"""The book runner, on a made-up book of three chapters."""

import json
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from small_book import code, prose, write_book, write_notebook

from deepseq_nb.core import errors
from deepseq_nb.studies import book


@pytest.fixture
def tiny(tmp_path) -> Path:
    return write_book(tmp_path)


def outputs(result: book.BookResult, chapter: int) -> str:
    cells = nbformat.read(result.chapters[chapter].executed, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def statuses(result: book.BookResult) -> list[bool]:
    return [chapter.ran for chapter in result.chapters]


# running


def test_chapters_run_in_order_with_their_parameters_in_this_interpreter(tiny):
    lines = []
    given = {"seed": 21, "data_dir": Path("somewhere"), "device": "cpu"}
    result = book.run_book(root=tiny, echo=lines.append, site=False, parameters=given)
    assert result.failure == "" and result.exit_code == 0 and result.site is None
    assert [chapter.name for chapter in result.chapters] == ["b/second", "a_first"]
    assert lines[0].startswith("[ 1/2] b/second ... ") and lines[1].startswith(
        "[ 2/2] a_first .... "
    )
    assert lines[1].endswith(" s")
    text = outputs(result, 0)
    assert text.startswith("quick 42 somewhere\n"), "device is not declared, so it is not given"
    assert f"\n{sys.executable}\n{Path(sys.executable).parent}{os.pathsep}" in text
    assert "JUPYTER_PATH" not in os.environ


def test_only_what_changed_runs_again(tiny):
    def again(**options) -> book.BookResult:
        return book.run_book(root=tiny, echo=lambda line: None, site=False, **options)

    assert statuses(again()) == [True, True]
    assert statuses(again()) == [False, False]
    write_notebook(tiny / "book" / "a_first.ipynb", prose("# First"), code("1 + 3"))
    assert statuses(again()) == [False, True]
    assert statuses(again(parameters={"seed": 2})) == [True, False], (
        "only the second chapter declares a seed"
    )
    assert statuses(again(only="a_first", force=True)) == [True]


def test_the_first_failing_cell_stops_the_book_and_is_shown(tiny):
    source = "total = 0\nfor value in [1, 0]:\n    total += 1 / value\nprint('not reached')"
    path = tiny / "book" / "b" / "second.ipynb"
    write_notebook(
        path,
        prose("# Second"),
        code("profile = 'quick'", "parameters"),
        code("x = 1"),
        code(source),
        code("2"),
    )
    lines = []
    result = book.run_book(root=tiny, echo=lines.append, jobs=1)
    assert result.exit_code == 1 and result.chapters == () and result.site is None
    assert lines[0].endswith("failed")
    shown = result.failure.splitlines()
    assert shown[0] == "b/second: cell 4 of 5 failed", "papermill's own cell is not counted"
    assert "  >   3      total += 1 / value" in shown
    assert shown[-1] == "  ZeroDivisionError: division by zero"
    assert "\x1b" not in result.failure
    assert not (tiny / "_build/book/executed/book/a_first.ipynb").exists()
    write_notebook(path, code("x = 1"))
    assert statuses(book.run_book(root=tiny, echo=lines.append, site=False)) == [True, True]


def test_lines_come_in_the_order_of_the_book_whatever_ends_first(tiny, capsys):
    mark = tiny / "the other has ended"
    first = code(f"open({str(mark)!r}, 'w').close()")
    write_notebook(tiny / "book" / "a_first.ipynb", prose("# First"), first)
    wait = f"import os, time\nend = time.time() + 300\nwhile not os.path.exists({str(mark)!r}) and time.time() < end:\n"
    slow = code(wait + "    time.sleep(0.05)")
    write_notebook(tiny / "book" / "b" / "second.ipynb", prose("# Second"), slow)
    lines = []
    result = book.run_book(root=tiny, echo=lines.append, site=False, jobs=2)
    assert [line.split()[1:3] for line in lines] == [["1/2]", "b/second"], ["2/2]", "a_first"]]
    assert [chapter.name for chapter in result.chapters] == ["b/second", "a_first"]

    write_notebook(tiny / "book" / "a_first.ipynb", prose("# First"), code("1 / 0"))
    lines.clear()
    failed = book.run_book(root=tiny, echo=lines.append, site=False, jobs=2)
    assert [line.split()[2] for line in lines[:2]] == ["b/second", "a_first"]
    assert "unchanged" in lines[0] and lines[1].endswith("failed") and failed.exit_code == 1
    assert [chapter.name for chapter in failed.chapters] == ["b/second"]
    mark.unlink()  # the other is at work until the failure ends it
    book.run_book(root=tiny, site=False, force=True, jobs=2)
    shown = capsys.readouterr().out
    assert shown.startswith("[ 1/2] b/second ... \n[ 2/2] a_first .... failed\n\na_first: cell 2")


def test_a_kernel_that_dies_is_a_failure_with_the_cell_named(tiny):
    write_notebook(
        tiny / "book" / "a_first.ipynb", prose("# First"), code("import os\nos._exit(3)")
    )
    result = book.run_book(root=tiny, only="a_first", echo=lambda line: None, site=False)
    assert result.exit_code == 1
    assert "a_first: cell 2 of 2 failed" in result.failure and "Kernel" in result.failure


def test_a_chapter_works_in_an_empty_folder_of_its_own(tiny):
    write_notebook(
        tiny / "book" / "a_first.ipynb",
        code(
            "import os\nprint(os.listdir())\nopen('left_behind', 'w').close()\nprint(os.getcwd())"
        ),
    )
    for _ in range(2):
        result = book.run_book(
            root=tiny, only="a_first", echo=lambda line: None, site=False, force=True
        )
        listing, folder = outputs(result, 0).split()
        assert (
            listing == "[]" and Path(folder) == (tiny / "_build/book/work/book/a_first").resolve()
        )


def test_an_unknown_chapter_is_refused_with_the_names_there_are(tiny):
    with pytest.raises(
        errors.BookError,
        match="--only thrid: no chapter is called that; there are b/second, a_first",
    ):
        book.run_book(root=tiny, only="thrid", echo=lambda line: None)


@pytest.mark.parametrize(
    "name", ["b/second", "second", "book/b/second.ipynb", "./book/b/second.ipynb"]
)
def test_a_chapter_may_be_named_in_any_sensible_way(name):
    assert book._chosen([name], ["b/second", "a_first"]) == ["b/second"]


def test_the_site_is_built_from_executed_copies_and_a_broken_citation_fails_it(tiny):
    drawing = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    caption = "**Figure.** *A line that rises.* It has two points."
    title = prose("# First\n\n> The first one of two.")
    write_notebook(tiny / "book" / "a_first.ipynb", title, code(drawing), prose(caption))
    lines = []
    result = book.run_book(root=tiny, echo=lines.append, strict=True)
    assert result.failure == "" and result.site == tiny / "_build/book/html/index.html"
    assert lines[-1] == f"the site is {result.site}"
    second = (tiny / "_build/book/html/book/b/second.html").read_text()
    assert (
        "default_exp" not in second
        and "#| export" not in second
        and "double" in second
        and "quick 2 None" in second
    )
    first = (tiny / "_build/book/html/book/a_first.html").read_text()
    assert re.search(
        r'<figure.*<img[^>]*alt="A line that rises\.".*<figcaption>.*two points', first, re.S
    )
    assert re.search(r'<meta content="The first one of two\." name="description"', first)
    source = (tiny / "_build/book/html/_sources/book/b/second.ipynb").read_text()
    assert str(tiny) not in second and str(tiny) not in source
    index = (tiny / "_build/book/html/book/index.html").read_text()
    assert "Literate Programming" in index, "a page that cites has its references"

    (tiny / "book" / "index.md").write_text("# Tiny\n\nSee {cite}`nobody1900` and [](b/third).\n")
    broken = book.run_book(root=tiny, echo=lines.append)
    assert broken.exit_code == 1 and statuses(broken) == [False, False]
    assert (
        "nobody1900" in broken.failure
        and "b/third" in broken.failure
        and "book/index.md:3" in broken.failure
    )


# notebooks in their normal form


def test_strip_notebooks_keeps_sources_tags_and_ids_and_drops_the_rest(tiny):
    path = tiny / "book" / "a_first.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="2")]
    notebook.cells[2].execution_count = 3
    notebook.cells[1].metadata["lines_to_next_cell"] = 2
    notebook.metadata |= {
        "jupytext": {"x": 1},
        "language_info": {"version": "3.11.7"},
        "kernelspec": {"name": "conda-base"},
    }
    nbformat.write(notebook, path)
    book.strip_notebooks(root=tiny)
    clean = json.loads(path.read_text())
    assert [cell["id"] for cell in clean["cells"]] == [cell.id for cell in notebook.cells]
    assert clean["cells"][1]["metadata"] == {"tags": ["parameters"]}
    assert clean["cells"][2]["outputs"] == [] and clean["cells"][2]["execution_count"] is None
    assert clean["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    assert path.read_text().endswith("}\n")


def test_strip_notebooks_with_check_reports_and_changes_nothing(tiny):
    book.strip_notebooks(root=tiny)
    assert book.strip_notebooks(check=True, root=tiny) == []
    path = tiny / "book" / "a_first.ipynb"
    dirty = path.read_text().replace('"execution_count": null', '"execution_count": 5')
    path.write_text(dirty)
    assert book.strip_notebooks(check=True, root=tiny) == [path]
    assert path.read_text() == dirty


def test_old_cells_without_ids_get_the_same_ids_every_time(tiny):
    path = tiny / "book" / "a_first.ipynb"
    data = json.loads(path.read_text())
    for cell in data["cells"]:
        cell.pop("id", None)
    path.write_text(json.dumps(data | {"nbformat_minor": 4}))
    first = book._normal_form(path)
    assert book._normal_form(path) == first and json.loads(first)["cells"][0]["id"]
