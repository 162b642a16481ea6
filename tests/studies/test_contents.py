"""The order of the book, the parameters of its chapters, and what a chapter depends on."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from small_book import code, prose, write_book, write_notebook

from deepseq_nb.core import errors
from deepseq_nb.studies import contents
from deepseq_nb.studies.execution import run_chapter

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tiny(tmp_path) -> Path:
    return write_book(tmp_path)


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


def write_package(root: Path) -> None:
    """Rooms with `shown`, which imports `deep` inside a function, and `other`, which nobody imports."""
    files = {
        "__init__.py": 'from importlib import import_module\n\n__version__ = "1"\n_HOME = {"show": "a.shown"}\n',
        "a/__init__.py": "",
        "a/shown.py": "def show():\n    from deepseq_nb.a.deep import x\n    return x\n",
        "a/deep.py": "from deepseq_nb import (\n    __version__,\n)\nx = 1\n",
        "a/other.py": "y = 1\n",
    }
    for name, text in files.items():
        path = root / "deepseq_nb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("source", "reached"),
    [
        ("from deepseq_nb.a.shown import show", {"shown", "deep"}),
        ("def f():\n    from deepseq_nb.a import shown", {"shown", "deep"}),
        ("import deepseq_nb.a.deep as d", {"deep"}),
        ("from deepseq_nb import show", {"shown", "deep"}),
        ("%matplotlib inline\n!ls\nfrom deepseq_nb.a.deep import x", {"deep"}),
        ("import numpy", set()),
        ("import deepseq_nb", {"shown", "deep", "other"}),
        ("from deepseq_nb import a_name_from_nowhere", {"shown", "deep", "other"}),
        ("!deepseq train x.a2m", {"shown", "deep", "other"}),
        ("import subprocess", {"shown", "deep", "other"}),
        ("this is no (python", {"shown", "deep", "other"}),
    ],
)
def test_modules_are_followed_through_imports_and_all_are_taken_in_doubt(tmp_path, source, reached):
    write_package(tmp_path)
    found = {path.stem for path in contents.imported_modules([source], tmp_path)}
    assert found - {"__init__"} == reached


def test_a_module_that_the_chapter_does_not_import_changes_nothing(tiny):
    write_package(tiny)
    path = write_notebook(tiny / "book" / "x.ipynb", code("from deepseq_nb.a.shown import show"))

    def mark() -> str:
        return contents.fingerprint(path, {}, tiny)

    before = mark()
    (tiny / "deepseq_nb" / "a" / "other.py").write_text("y = 2\n")
    assert mark() == before
    (tiny / "deepseq_nb" / "a" / "deep.py").write_text("x = 2\n")
    assert mark() != before


@pytest.mark.parametrize("name", ["results/accuracy.csv", "results/accuracy.json", "book/p/g.toml"])
def test_a_recorded_result_that_was_changed_is_seen_by_the_chapters_that_read_any(tiny, name):
    (tiny / name).parent.mkdir(parents=True, exist_ok=True)
    (tiny / name).write_text("0.7\n")
    reads = write_notebook(tiny / "book" / "x.ipynb", code("table, _ = read_result('accuracy')"))
    apart = write_notebook(tiny / "book" / "y.ipynb", prose("# on results"), code("1 + 1"))
    before = [contents.fingerprint(path, {}, tiny) for path in (reads, apart)]
    (tiny / name).write_text("0.9\n")
    after = [contents.fingerprint(path, {}, tiny) for path in (reads, apart)]
    assert after[0] != before[0] and after[1] == before[1]


def test_a_table_that_a_module_reads_belongs_to_the_chapters_that_reach_the_module(tiny):
    write_package(tiny)
    (tiny / "deepseq_nb" / "a" / "deep.py").write_text('NAME = "breadth.csv"\n')
    (tiny / "results").mkdir()
    for name in ("breadth.csv", "other.csv"):
        (tiny / "results" / name).write_text("0.7\n")
    source = "from deepseq_nb.a.shown import show"
    reaches = write_notebook(tiny / "book" / "x.ipynb", code(source))
    apart = write_notebook(tiny / "book" / "y.ipynb", code("from deepseq_nb.a.other import y"))

    def marks() -> list[str]:
        return [contents.fingerprint(path, {}, tiny) for path in (reaches, apart)]

    before = marks()
    (tiny / "results" / "other.csv").write_text("0.9\n")
    assert marks() == before
    (tiny / "results" / "breadth.csv").write_text("0.9\n")
    assert marks()[0] != before[0] and marks()[1] == before[1]


def code_of(chapter: str) -> list[str]:
    cells = contents.read_notebook(ROOT / "book" / chapter).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


@pytest.mark.parametrize("chapter", ["usage.ipynb", "structure/runs.ipynb"])
def test_a_chapter_that_trains_depends_on_what_such_families_reached(chapter):
    """`fit` and `deepseq train` say it from results/breadth.csv; no word of the chapter has to."""
    modules = contents.imported_modules(code_of(chapter), ROOT)
    assert ROOT / "results" / "breadth.csv" in contents._recorded("", modules, ROOT)


def test_a_chapter_that_trains_nothing_does_not_depend_on_it():
    modules = contents.imported_modules(code_of("workshop/pickles.ipynb"), ROOT)
    assert ROOT / "results" / "breadth.csv" not in contents._recorded("", modules, ROOT)


def test_the_chapters_of_this_book_depend_on_half_of_its_modules_in_the_mean():
    """A room (`import deepseq_nb.core`), or a name that is not found, would make it all of them."""
    every = [path for path in (ROOT / "deepseq_nb").rglob("*.py") if path.name != "_modidx.py"]
    chapters = [path for path in contents.chapters(ROOT / "_toc.yml") if path.suffix == ".ipynb"]
    shares = [
        len(contents.imported_modules(code_of(str(path.relative_to(ROOT / "book"))), ROOT))
        for path in chapters
    ]
    assert len(shares) > 100 and sum(shares) / len(shares) < 0.5 * len(every)


def test_a_room_that_is_imported_is_its_own_module_and_not_all():
    stems = {path.stem for path in contents.imported_modules(["import deepseq_nb.core"], ROOT)}
    assert stems == {"__init__"}


def test_the_versions_are_those_of_the_libraries_that_a_chapter_or_its_modules_import():
    found = contents._versions(["import numpy as np\nfrom yaml import safe_load", "import json"])
    assert sorted(line.split()[0].lower() for line in found) == ["numpy", "pyyaml"]


# what a chapter was given

GIVEN = "# Parameters\n"


@pytest.mark.parametrize("profile", ["Quick", "", None, "long"])
def test_a_profile_that_does_not_exist_is_refused(profile):
    contents.take_parameters([], profile="full")
    with pytest.raises(errors.ConfigError, match=r"^profile is .*expected one of quick, full$"):
        contents.take_parameters([], profile=profile)


def test_a_parameter_that_the_chapter_does_not_declare_is_refused_with_the_nearest():
    cells = ["", "steps: int = 400  # updates", GIVEN + "setps = 100\n", "take()"]
    with pytest.raises(errors.ConfigError) as caught:
        contents.take_parameters(cells)
    said = "this chapter has no parameter 'setps': did you mean 'steps'? it has steps"
    assert str(caught.value) == said and caught.value.setting == "setps"


def test_a_parameter_given_to_a_chapter_that_has_none_is_refused():
    with pytest.raises(errors.ConfigError, match="no parameter 'seed': it has no parameters"):
        contents.take_parameters(["", GIVEN + "seed = 1\n", "take()"])


@pytest.mark.parametrize(
    ("kind", "value"),
    [("int", "'7'"), ("int", "1.5"), ("int", "True"), ("str", "7"), ("float", "'x'"),
     ("bool", "1"), ("str | None", "0"), ("int", "None")],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(kind, value):
    with pytest.raises(errors.ConfigError, match=rf"^x is .*: expected {re.escape(kind)}$"):
        contents.take_parameters(["", f"x: {kind} = 1", f"{GIVEN}x = {value}\n"])


@pytest.mark.parametrize(
    ("kind", "value"),
    [("int", "-7"), ("str", "'a'"), ("float", "1"), ("float", "1e-3"), ("bool", "False"),
     ("str | None", "None"), ("str | None", "'a'")],
)  # fmt: skip
def test_a_value_of_the_declared_type_is_taken(kind, value):
    contents.take_parameters(["", f"x: {kind} = 1", f"{GIVEN}x = {value}\n"])


def test_a_folder_that_is_not_there_is_refused_and_one_that_is_there_has_the_families(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DEEPSEQ_DATA", "before")
    with pytest.raises(errors.ConfigError, match=r"^data_dir is '.*nowhere': expected a folder"):
        contents.take_parameters([], data_dir=str(tmp_path / "nowhere"))
    assert os.environ["DEEPSEQ_DATA"] == "before"
    contents.take_parameters([], data_dir=None)
    assert os.environ["DEEPSEQ_DATA"] == "before"
    contents.take_parameters([], data_dir=str(tmp_path))
    assert os.environ["DEEPSEQ_DATA"] == str(tmp_path.resolve())


def test_papermill_gives_a_misspelt_parameter_and_the_chapter_refuses_it(tmp_path):
    take = "from deepseq_nb.studies.contents import take_parameters\ntake_parameters(In)"
    cells = [code("steps: int = 1  # updates", "parameters"), code(take), code("print(steps)")]
    path = write_notebook(tmp_path / "a.ipynb", *cells)
    assert run_chapter(path, tmp_path / "out" / "a.ipynb", {"steps": 3}, tmp_path, tmp_path / "w")
    with pytest.raises(errors.BookError, match="no parameter 'setps': did you mean 'steps'"):
        run_chapter(path, tmp_path / "out" / "a.ipynb", {"setps": 3}, tmp_path, tmp_path / "w")
