"""A made-up book of three chapters, for the tests of what runs and shows a book."""

from pathlib import Path

import nbformat

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


def write_book(folder: Path) -> Path:
    """A book: index.md, then book/b/second.ipynb before book/a_first.ipynb, so that order is not the alphabet's."""
    (folder / "book").mkdir()
    (folder / "book" / "index.md").write_text("# Tiny\n\nSee [](b/second) and {cite}`knuth1992`.\n")
    (folder / "book" / "references.bib").write_text(BIB)
    (folder / "_config.yml").write_text(CONFIG)
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n- file: book/b/second\n- file: book/a_first\n"
    )
    write_notebook(
        folder / "book" / "b" / "second.ipynb",
        prose("# Second"),
        code("#| default_exp second"),
        code('profile = "quick"\nseed = 1\ndata_dir: str | None = None', "parameters"),
        code("#| export\ndef double(x):\n    return 2 * x"),
        code(
            "import sys, os\nprint(profile, double(seed), data_dir)\nprint(sys.executable)\nprint(os.environ['PATH'])"
        ),
    )
    write_notebook(
        folder / "book" / "a_first.ipynb",
        prose("# First"),
        code('profile = "quick"', "parameters"),
        code("1 + 1"),
    )
    return folder
