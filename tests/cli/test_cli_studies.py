"""`deepseq experiments` and `deepseq book`: handed on to the room of studies."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from deepseq_nb.studies import book


def test_experiments_make_a_table(deepseq, tmp_path):
    (tmp_path / "grid.toml").write_text('families = "synthetic"\npresets = "quick"\nsteps = 3\n')
    code, out, err = deepseq(f"experiments {tmp_path}/grid.toml --out {tmp_path}/grid --device cpu")
    assert code == 0, out + err
    assert len(pd.read_csv(tmp_path / "grid/table.csv")) >= 1
    assert "1 of 1 runs" in out


def test_a_slip_in_the_grid_is_told_before_anything_begins(deepseq, tmp_path):
    (tmp_path / "slip.toml").write_text('families = "synthetic"\npreset = "quick"\n')
    code, _, err = deepseq(f"experiments {tmp_path}/slip.toml --out {tmp_path}/slip")
    assert code == 2 and "preset" in err and err.count("\n") == 1
    assert not (tmp_path / "slip").exists()


def test_the_book_gets_its_options(deepseq, tmp_path, monkeypatch):
    seen = {}

    def fake(profile, only, out, force, parameters, **options):
        seen.update(
            options, profile=profile, only=only, out=out, force=force, parameters=parameters
        )
        return book.BookResult(chapters=(), failure="x")

    monkeypatch.setattr(book, "run_book", fake)
    line = "book --profile full --only usage --only datasets --no-site --seed 4 --jobs 3"
    assert deepseq(f"{line} --data-dir {tmp_path}").code == 1
    assert seen["profile"] == "full" and seen["only"] == ["usage", "datasets"]
    assert not seen["site"] and not seen["strict"] and seen["jobs"] == 3
    assert seen["parameters"] == {"seed": 4, "data_dir": tmp_path.resolve()}
    assert seen["out"] == Path("_build/book")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--only nothing_called_so", "--only nothing_called_so: no chapter is called that"),
        ("--out ''", "--out"),
        ("--data-dir ''", "--data-dir"),
        ("--data-dir nowhere", "--data-dir nowhere: no such folder"),
        ("--seed -1", "--seed"),
        ("--jobs 0", "--jobs"),
    ],
)
def test_a_slip_in_the_options_of_the_book_is_one_line(deepseq, monkeypatch, options, told):
    made = []
    monkeypatch.setattr(book, "run_chapters", lambda *given: made.append(given) or [])
    code, _, err = deepseq(f"book --no-site {options}")
    assert code == 2 and told in err and err.count("\n") == 1 and made == []


def test_a_parameter_that_no_chosen_chapter_declares_is_refused(deepseq, tmp_path, monkeypatch):
    seen = []
    (tmp_path / "_toc.yml").write_text("root: a\nchapters:\n- file: b\n")
    (tmp_path / "_config.yml").write_text("title: two\n")
    for name, declared in (("a", "profile = 'quick'"), ("b", "profile = 'quick'\nseed = 1")):
        cell = nbformat.v4.new_code_cell(declared, metadata={"tags": ["parameters"]})
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    monkeypatch.chdir(tmp_path)

    def fake(profile, only, out, force, parameters, **options):
        seen.append(parameters)
        return book.BookResult(chapters=())

    monkeypatch.setattr(book, "run_book", fake)
    assert deepseq("book --only a --seed 7") == (
        2,
        "",
        "deepseq book: --seed: no chapter that is to run takes it (a); leave it out\n",
    )
    code, _, err = deepseq("book --only a --only b --seed 7 --device cpu")
    assert (code, seen) == (2, []) and "--device: no chapter that is to run takes it (a, b)" in err
    assert deepseq("book --only a --only b --seed 7").code == 0, "b takes it"
    assert deepseq("book --only a").code == 0 and seen == [{"seed": 7}, {}]


def test_a_package_that_the_book_lacks_is_named(deepseq, monkeypatch):
    def missing(*given, **options):
        raise ModuleNotFoundError("No module named 'papermill'", name="papermill")

    monkeypatch.setattr(book, "run_book", missing)
    code, _, err = deepseq("book")
    assert (code, err) == (
        2,
        "deepseq book: papermill is missing: pip install 'deepseq-nb[book]'\n",
    )


def test_a_chapter_is_run_when_nobody_reads_the_lines(tmp_path):
    """`deepseq book ... | true`, in a book of one chapter."""
    cells = [nbformat.v4.new_code_cell("open('made.txt', 'w').write('yes')")]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    (tmp_path / "_toc.yml").write_text("root: only\n")
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.write(notebook, tmp_path / "only.ipynb")
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "deepseq_nb", "book", "--no-site"]
    done = subprocess.run(words, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.read_text() for path in tmp_path.rglob("made.txt")] == ["yes"]
