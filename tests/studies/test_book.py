"""The book runner, on made-up books of one to three chapters."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from deepseq_nb.core import errors
from deepseq_nb.studies import book, contents, site

CONFIG = (
    "title: tiny\nexecute: {execute_notebooks: 'off'}\nbibtex_bibfiles: [book/references.bib]\n"
)
BIB = "@book{knuth1992, author={Knuth, Donald}, title={Literate Programming}, publisher={CSLI}, year=1992}\n"


def code(source: str, *tags: str):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def prose(source: str):
    return nbformat.v4.new_markdown_cell(source)


def write_notebook(path: Path, *cells) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
    return path


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A book: index.md, then book/b/second.ipynb before book/a_first.ipynb, so that order is not the alphabet's."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.md").write_text(
        "# Tiny\n\nSee [](b/second) and {cite}`knuth1992`.\n"
    )
    (tmp_path / "book" / "references.bib").write_text(BIB)
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n- file: book/b/second\n- file: book/a_first\n"
    )
    write_notebook(
        tmp_path / "book" / "b" / "second.ipynb",
        prose("# Second"),
        code("#| default_exp second"),
        code('profile = "quick"\nseed = 1\ndata_dir: str | None = None', "parameters"),
        code("#| export\ndef double(x):\n    return 2 * x"),
        code(
            "import sys, os\nprint(profile, double(seed), data_dir)\nprint(sys.executable)\nprint(os.environ['PATH'])"
        ),
    )
    write_notebook(
        tmp_path / "book" / "a_first.ipynb",
        prose("# First"),
        code('profile = "quick"', "parameters"),
        code("1 + 1"),
    )
    return tmp_path


def outputs(result: book.BookResult, chapter: int) -> str:
    cells = nbformat.read(result.chapters[chapter].executed, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def statuses(result: book.BookResult) -> list[bool]:
    return [chapter.ran for chapter in result.chapters]


# the table of contents


def test_chapters_come_in_the_order_of_the_table_of_contents(tmp_path):
    for name in ("index.md", "a.ipynb", "b.md", "c.ipynb", "c.md"):
        (tmp_path / name).write_text("")
    (tmp_path / "_toc.yml").write_text(
        "root: index\nparts:\n- caption: X\n  chapters:\n  - file: c\n    sections:\n    - file: b\n"
        "- chapters:\n  - file: a\n"
    )
    assert [path.name for path in contents.chapters(tmp_path / "_toc.yml")] == [
        "index.md",
        "c.ipynb",
        "b.md",
        "a.ipynb",
    ]


def test_a_listed_chapter_that_is_not_written_is_named(tmp_path):
    (tmp_path / "index.md").write_text("")
    (tmp_path / "_toc.yml").write_text("root: index\nchapters:\n- file: later\n")
    with pytest.raises(
        errors.BookError, match=r"_toc\.yml: lists later, but neither later\.ipynb nor later\.md"
    ):
        contents.chapters(tmp_path / "_toc.yml")
    assert len(contents.chapters(tmp_path / "_toc.yml", missing_ok=True)) == 1


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "root: [1]\n", "root: {\n", "chapters: []\n"])
def test_a_table_of_contents_that_is_none_gives_one_line(tmp_path, text):
    (tmp_path / "_toc.yml").write_text(text)
    with pytest.raises(errors.BookError, match=r"_toc\.yml: ") as caught:
        contents.chapters(tmp_path / "_toc.yml")
    assert "\n" not in str(caught.value)


def test_the_root_is_found_from_below_and_falls_back_on_the_installed_checkout(
    tiny, tmp_path_factory
):
    assert contents.find_root(tiny / "book" / "b") == tiny.resolve()
    elsewhere = contents.find_root(tmp_path_factory.mktemp("elsewhere"))
    assert (elsewhere / "deepseq_nb").is_dir()


# parameters and fingerprints


def test_declared_parameters_are_the_assignments_of_the_parameters_cell(tiny):
    declared = contents.declared_parameters(tiny / "book" / "b" / "second.ipynb")
    assert declared == {"profile": "'quick'", "seed": "1", "data_dir": "None"}
    assert contents.declared_parameters({"cells": []}) == {}


def test_a_parameters_cell_that_is_not_python_is_an_error_in_one_sentence():
    with pytest.raises(errors.BookError, match="not Python"):
        contents.declared_parameters({"cells": [code("profile = = 1", "parameters")]})


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "x.ipynb").write_text("{not json")
    with pytest.raises(errors.BookError, match=r"x\.ipynb: not a readable notebook"):
        contents.declared_parameters(tmp_path / "x.ipynb")


def test_the_fingerprint_ignores_outputs_and_sees_everything_else(tiny, monkeypatch):
    monkeypatch.delenv("DEEPSEQ_DATA", raising=False)
    path = tiny / "book" / "a_first.ipynb"
    seen = [contents.fingerprint(path, {"seed": 1}, tiny)]
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="2")]
    notebook.cells[2].execution_count = 7
    nbformat.write(notebook, path)
    assert contents.fingerprint(path, {"seed": 1}, tiny) == seen[0]

    seen.append(contents.fingerprint(path, {"seed": 2}, tiny))
    (tiny / "deepseq_nb").mkdir()
    (tiny / "deepseq_nb" / "weights.py").write_text("a = 1\n")
    seen.append(contents.fingerprint(path, {"seed": 1}, tiny))
    (tiny / "data").mkdir()
    (tiny / "data" / "registry.toml").write_text("[x]\n")
    seen.append(contents.fingerprint(path, {"seed": 1}, tiny))
    (tiny / "real" / "BLAT").mkdir(parents=True)
    (tiny / "real" / "BLAT" / "b.a2m").write_text(">a\nA\n")
    monkeypatch.setenv("DEEPSEQ_DATA", str(tiny / "real"))
    seen.append(contents.fingerprint(path, {"seed": 1}, tiny))
    notebook.cells[2].source = "1 + 2"
    nbformat.write(notebook, path)
    seen.append(contents.fingerprint(path, {"seed": 1}, tiny))
    assert len(set(seen)) == len(seen)


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
    slow = code("import time\ntime.sleep(3)")
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


# pages


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


def test_the_site_is_built_from_executed_copies_and_a_broken_citation_fails_it(tiny):
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


# the command line


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    book.add_arguments(parser)
    return parser.parse_args(list(arguments))


def test_the_command_hands_its_options_to_the_runner(monkeypatch):
    seen = {}

    def fake(profile, only, out, force, parameters, **options):
        seen.update(
            options, profile=profile, only=only, out=out, force=force, parameters=parameters
        )
        return book.BookResult(chapters=(), failure="x")

    monkeypatch.setattr(book, "run_book", fake)
    chapters = ("--only", "usage", "--only", "colophon")
    assert (
        book.main(
            parse(
                "--profile",
                "full",
                *chapters,
                "--no-site",
                "--seed",
                "4",
                "--data-dir",
                "d",
                "--jobs",
                "3",
            )
        )
        == 1
    )
    assert seen["profile"] == "full" and seen["only"] == ["usage", "colophon"]
    assert not seen["site"] and not seen["strict"] and seen["jobs"] == 3
    assert seen["parameters"] == {"seed": 4, "data_dir": Path("d").resolve()}


def test_bad_input_is_one_line_and_exit_code_2(tiny, monkeypatch, capsys):
    monkeypatch.chdir(tiny)
    assert book.main(parse("--only", "nothing")) == 2
    error = capsys.readouterr().err
    assert error.startswith("deepseq book: --only nothing: ") and error.count("\n") == 1


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "deepseq_nb.studies.book", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "--profile {quick,full}" in done.stdout and done.stderr == ""
