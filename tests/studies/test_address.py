"""Where a book is public, and what follows from it."""

import re
import struct
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from small_book import CONFIG, code, prose, write_book, write_notebook

from deepseq_nb.core import errors
from deepseq_nb.studies import address, book, contents, site
from deepseq_nb.studies.address import Address
from deepseq_nb.studies.execution import run_chapter

HERE = Address(repository="https://github.com/someone/deepseq-nb", site="https://book.example.org")


@pytest.fixture(autouse=True)
def no_address_outside(monkeypatch):
    monkeypatch.delenv("DEEPSEQ_REPOSITORY", raising=False)
    monkeypatch.delenv("DEEPSEQ_SITE", raising=False)


@pytest.fixture
def picture(tmp_path) -> Path:
    plt.imsave(tmp_path / "front.png", np.arange(12.0).reshape(3, 4))
    return tmp_path / "front.png"


# the setting


@pytest.mark.parametrize(
    "url",
    ["someone/deepseq-nb", "http://github.com/a/b", "https://github.com/a", "https://x.org/a/b"],
)
def test_what_is_no_address_of_a_repository_is_refused(url):
    with pytest.raises(errors.BookError, match=r"^the repository's address is '.*OWNER/NAME"):
        Address(repository=url)


def test_what_is_no_address_of_a_site_is_refused():
    with pytest.raises(
        errors.BookError, match=r"^the site's address is 'book\.org': expected http"
    ):
        Address(site="book.org")


def test_the_environment_comes_before_the_file(monkeypatch):
    settings = {
        "repository": {"url": f"{HERE.repository}.git", "branch": "next"},
        "html": {"baseurl": "https://a.org/b/"},
    }
    found = address.find_address(settings)
    assert (found.repository, found.branch) == (HERE.repository, "next")
    assert found.site == "https://a.org/b"
    monkeypatch.setenv("DEEPSEQ_REPOSITORY", "https://gitlab.com/x/y")
    monkeypatch.setenv("DEEPSEQ_SITE", "https://c.org")
    found = address.find_address(settings)
    assert (found.repository, found.site) == ("https://gitlab.com/x/y", "https://c.org")
    assert address.find_address({"repository": None, "html": None}).branch == "main"


def test_no_address_gives_no_button_and_changes_nothing():
    settings = {"title": "t", "sphinx": {"config": {"html_theme_options": {"a": 1}}}}
    assert address.with_address(settings, Address()) == settings


@pytest.mark.parametrize(
    ("host", "colab", "issues"),
    [("github.com", True, True), ("gitlab.com", False, True), ("bitbucket.org", False, False)],
)
def test_a_button_stands_only_where_its_service_knows_the_host(host, colab, issues):
    here = Address(repository=f"https://{host}/a/b")
    settings = {"sphinx": {"config": {"html_theme_options": {"toc_title": "kept"}}}}
    options = address.with_address(settings, here)["sphinx"]["config"]["html_theme_options"]
    assert ("colab_url" in options["launch_buttons"]) == colab
    assert ("use_issues_button" in options) == issues
    assert options["use_edit_page_button"] and options["toc_title"] == "kept"
    assert settings["sphinx"]["config"]["html_theme_options"] == {"toc_title": "kept"}


# the first cell of a download


def run_first_cell(here: Address, monkeypatch) -> list[tuple[str, ...]]:
    """Run the cell as a notebook would, where the package cannot be imported; the magics that it calls."""
    called = []
    shell = type("Shell", (), {"run_line_magic": lambda self, *words: called.append(words)})()
    monkeypatch.setitem(sys.modules, "deepseq_nb", None)
    source = TransformerManager().transform_cell(address.first_cell(here))
    exec(compile(source, "cell", "exec"), {"get_ipython": lambda: shell})
    return called


def test_the_first_cell_installs_the_package_from_the_address(monkeypatch):
    ((magic, line),) = run_first_cell(HERE, monkeypatch)
    assert magic == "pip"
    assert (
        line == '''install -q "deepseq-nb[book] @ git+https://github.com/someone/deepseq-nb@main"'''
    )


def test_without_an_address_the_first_cell_says_how_to_install(monkeypatch):
    with pytest.raises(ModuleNotFoundError, match="in a clone of the book, pip install"):
        run_first_cell(Address(), monkeypatch)


@pytest.mark.parametrize("here", [Address(), HERE], ids=["nowhere", "public"])
def test_the_first_cell_does_nothing_where_the_package_is_there(here):
    source = TransformerManager().transform_cell(address.first_cell(here))
    exec(compile(source, "cell", "exec"), {})


def test_only_a_page_that_imports_the_package_begins_with_the_cell():
    plain = nbformat.v4.new_notebook(cells=[prose("# A"), code("import math")])
    needy = nbformat.v4.new_notebook(
        cells=[prose("# A"), code("from deepseq_nb.core import files")]
    )
    for page in (plain, needy):
        address.add_first_cell(page, HERE)
    assert len(plain.cells) == 2
    assert [cell.get("id") == "install" for cell in needy.cells] == [False, True, False]
    assert needy.cells[1].metadata.tags == ["remove-cell"]


# the card


def test_a_card_has_the_size_that_links_are_shown_with_and_is_the_same_every_time(picture):
    card = address.draw_card("Title", "A sentence.", picture)
    assert struct.unpack(">II", card[16:24]) == (1200, 630)
    assert card == address.draw_card("Title", "A sentence.", picture)
    assert card != address.draw_card("Another", "A sentence.", picture)
    assert plt.get_fignums() == []


def test_a_card_without_its_picture_is_refused_and_no_card_is_none(tmp_path):
    assert address.card_of({}, tmp_path) is None
    card = {"title": "t", "sentence": "s", "picture": "book/front.png"}
    with pytest.raises(errors.BookError, match=r"card: picture: book/front\.png is not there"):
        address.card_of({"card": card}, tmp_path)


def test_the_link_to_a_card_is_absolute_only_where_the_site_has_an_address():
    away = address.card_meta(Address(), "book/b/second.ipynb")
    assert away["property=og:image"] == "../../_static/card.png" and "property=og:url" not in away
    said = address.card_meta(HERE, "book/b/second.ipynb")
    assert said["property=og:image"] == "https://book.example.org/_static/card.png"
    assert said["property=og:url"] == "https://book.example.org/book/b/second.html"


def test_front_matter_of_a_page_of_prose_is_kept_and_completed():
    assert address.with_meta("# T\n---\n", {}) == "# T\n---\n"
    assert address.with_meta("# T\n", {"a": "b"}).endswith("---\n# T\n")
    text = "---\nmyst:\n  html_meta:\n    description: 'é'\nother: 1\n---\n\n# T\n\n---\n\nrest\n"
    made = address.with_meta(text, {"property=og:image": "x"})
    front = yaml.safe_load(made.split("---\n")[1])
    assert front["myst"]["html_meta"] == {"description": "é", "property=og:image": "x"}
    assert front["other"] == 1 and made.endswith("---\n\n# T\n\n---\n\nrest\n")


# a site with an address and one without


def write_public_book(folder: Path) -> Path:
    """The small book with a card, and a chapter that needs the package, a hidden import and its parameters."""
    write_book(folder)
    plt.imsave(folder / "book" / "front.png", np.zeros((3, 4)))
    card = {"title": "Tiny", "sentence": "A card.", "picture": "book/front.png"}
    (folder / "_config.yml").write_text(CONFIG + yaml.safe_dump({"card": card}))
    write_notebook(
        folder / "book" / "a_first.ipynb",
        prose("# First\n\n> A chapter."),
        code("seed: int = 1  # of nothing", "parameters"),
        code(
            "from deepseq_nb.studies.contents import take_parameters\ntake_parameters(In)",
            "remove-cell",
            "download",
        ),
        code("import math", "remove-cell"),
        code("print(math.floor(seed + 0.5))"),
    )
    return folder


def build(folder: Path) -> Path:
    result = book.run_book(root=folder, only="a_first", echo=lambda line: None)
    assert result.failure == ""
    return result.site.parent


def links(page: str) -> set[str]:
    return set(re.findall(r'(?:href|content)="([^"]*)"', page))


def test_a_site_without_an_address_has_no_button_that_leads_away(tmp_path):
    html = build(write_public_book(tmp_path))
    page = (html / "book" / "a_first.html").read_text()
    assert "../_static/card.png" in links(page) and 'rel="canonical"' not in page
    for word in ("github.com/someone", "colab", "mybinder", "edit/main"):
        assert word not in page
    assert (html / "_static" / "card.png").read_bytes().startswith(b"\x89PNG")
    assert "take_parameters" not in page and "ModuleNotFoundError" not in page


def test_a_public_site_has_buttons_absolute_links_and_notebooks_that_run_by_themselves(
    tmp_path, tmp_path_factory, monkeypatch
):
    monkeypatch.setenv("DEEPSEQ_REPOSITORY", HERE.repository)
    monkeypatch.setenv("DEEPSEQ_SITE", HERE.site)
    html = build(write_public_book(tmp_path))
    page = (html / "book" / "a_first.html").read_text()
    found = links(page)
    repository, notebook = HERE.repository, "_sources/book/a_first.ipynb"
    assert f"{repository}/edit/main/book/a_first.ipynb" in found
    assert any(link.startswith(f"{repository}/issues/new") for link in found)
    colab = "https://colab.research.google.com/github/someone/deepseq-nb/blob/gh-pages"
    assert f"{colab}/{notebook}" in found
    binder = "https://mybinder.org/v2/gh/someone/deepseq-nb/gh-pages?urlpath=lab/tree"
    assert f"{binder}/{notebook}" in found
    assert f"{HERE.site}/book/a_first.html" in found and 'rel="canonical"' in page
    assert f"{HERE.site}/_static/card.png" in found
    assert "%pip" not in page, "the first cell is in the file and not on the page"

    alone = tmp_path_factory.mktemp("alone")
    cells = nbformat.read(html / notebook, as_version=4).cells
    assert "git+https://github.com/someone/deepseq-nb@main" in cells[1].source
    downloaded = alone / "a_first.ipynb"
    downloaded.write_bytes((html / notebook).read_bytes())
    run_chapter(downloaded, alone / "out.ipynb", {"seed": 4}, alone, alone / "work")
    said = nbformat.read(alone / "out.ipynb", as_version=4).cells[-1].outputs[0].text
    assert said == "4\n"
    with pytest.raises(errors.BookError, match="no parameter 'sede'"):
        run_chapter(downloaded, alone / "out.ipynb", {"sede": 4}, alone, alone / "work")


def test_the_source_of_a_page_is_the_executed_copy_with_the_cells_that_a_download_needs(tmp_path):
    folder = write_public_book(tmp_path)
    toc = contents.chapters(folder / "_toc.yml")
    made = site.prepare_site(folder, folder / "_build", toc)
    cells = nbformat.read(made / "book" / "a_first.ipynb", as_version=4).cells
    taking = [cell for cell in cells if "take_parameters" in cell.source]
    assert [cell.metadata.tags for cell in taking] == [["remove-cell", "download"]]
