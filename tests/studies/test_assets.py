"""What pages load: parts of MathJax, outlines of icons, lighter pictures, and no script that serves nothing."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_book import prose, write_book, write_notebook

from deepseq_nb.studies import assets, contents, site

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import pages

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"

SCRIPT = (
    '{"sun":[512,512,[9728],"f185","M1 1z"],x:[384,512,["close"],"f00d","M2 2z"]}'
    '{"sun":[640,512,[9728],"f185","M3 3z"]}'
)


def test_icons_are_found_in_classes_of_pages_and_scripts():
    page = '<i class="fas fa-sun fa-lg"></i><p class="fair">fa-moon</p>'
    assert assets.icons_on([page, 'e.classList="fa-regular fa-bell"']) == {
        assets.Icon("solid", "sun"),
        assets.Icon("regular", "bell"),
    }


def test_a_solid_icon_is_the_last_of_its_name_and_a_regular_one_the_first():
    rules = assets.icon_rules(SCRIPT, [assets.Icon("solid", "sun"), assets.Icon("regular", "sun")])
    credit, _, regular, solid = rules.splitlines()
    assert "CC BY 4.0" in credit
    assert "M1 1z" in regular and "width: 1em" in regular
    assert "M3 3z" in solid and "width: 1.25em" in solid


def test_an_icon_has_other_names_and_an_unknown_one_has_no_rules():
    assert "M2 2z" in assets.icon_rules(SCRIPT, [assets.Icon("solid", "close")])
    assert assets.icon_rules(SCRIPT, [assets.Icon("solid", "bicycle")]) is None


def png(array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_drawing_becomes_lighter_and_its_colours_hardly_move():
    down, across = np.mgrid[:200, :300]
    share = (np.sin(across**2 / 900 + down**2 / 700) + 1) / 2  # of blue on white
    drawing = np.full((200, 300, 4), 255, np.uint8)
    drawing[..., 0], drawing[..., 1] = 255 - 255 * share, 255 - 141 * share
    light = assets.lighter_picture(png(drawing))
    assert len(light) < len(png(drawing))
    with Image.open(io.BytesIO(light)) as opened:
        shown = np.asarray(opened.convert("RGB"), int)
    assert shown.shape == (200, 300, 3)
    assert np.abs(shown - drawing[..., :3]).max() <= 25


def test_what_is_clear_is_drawn_on_white():
    clear = np.random.default_rng(1).integers(0, 2, (200, 200, 4), np.uint8) * 9
    clear[:10] = (10, 20, 30, 255)
    clear[10:, :, 3] = 0
    with Image.open(io.BytesIO(assets.lighter_picture(png(clear)))) as opened:
        shown = np.asarray(opened.convert("RGB"))
    assert shown[-1, -1].tolist() == [255, 255, 255] and shown[0, 0].tolist() == [10, 20, 30]


def test_a_picture_whose_colours_would_move_stays_as_it_is():
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8)
    assert assets.lighter_picture(png(noise)) == png(noise)


def write_page(folder: Path, name: str, up: str) -> Path:
    tags = [
        f'<script defer src="{up}_static/scripts/fontawesome.js?digest=1"></script>',
        f'<script src="{up}_static/searchtools.js"></script>',
        f'<script src="{up}searchindex.js" defer="defer"></script>',
        f'<script src="{up}_static/doctools.js"></script>',
    ]
    path = folder / f"{name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<head>" + "\n".join(tags) + '</head><i class="fas fa-sun"></i>')
    return path


@pytest.fixture
def built(tmp_path) -> Path:
    """A site as the theme leaves it, with one page, a page of search, a style sheet and a script."""
    write_page(tmp_path, "book/a", "../")
    write_page(tmp_path, "search", "")
    for name, text in (
        ("styles/pydata-sphinx-theme.css", '.a{b:c}.fa-sun:before{content:"\\f185"}.d{e:f}'),
        ("scripts/fontawesome.js", SCRIPT),
        ("scripts/theme.js", 'e.classList="fa-solid fa-x"'),
    ):
        path = tmp_path / "_static" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_page_keeps_the_scripts_that_it_uses(built):
    assets.lighten(built)
    page = (built / "book" / "a.html").read_text()
    assert "doctools.js" in page
    assert "fontawesome" not in page and "searchtools" not in page and "searchindex" not in page


def test_the_page_of_search_keeps_its_index_and_shows_titles_alone_from_a_disk(built):
    assets.lighten(built)
    page = (built / "search.html").read_text()
    assert "searchtools.js" in page and "searchindex.js" in page and "fontawesome" not in page
    assert page.count("SHOW_SEARCH_SUMMARY = false") == 1


def test_a_chapter_that_is_called_search_is_a_page_as_any(built):
    (built / "book" / "search.html").write_text((built / "search.html").read_text())
    assets.lighten(built)
    page = (built / "book" / "search.html").read_text()
    assert "searchindex" not in page and "SHOW_SEARCH_SUMMARY" not in page


def test_icons_stand_in_the_style_sheet_and_their_script_is_gone(built):
    assets.lighten(built)
    style = (built / "_static" / "styles" / "pydata-sphinx-theme.css").read_text()
    assert style.startswith(".a{b:c}.d{e:f}\n") and "M3 3z" in style and "M2 2z" in style
    assert not (built / "_static" / "scripts" / "fontawesome.js").exists()


def test_a_style_sheet_keeps_its_font_where_an_icon_is_not_found(built):
    path = built / "book" / "a.html"
    path.write_text(path.read_text() + '<i class="fas fa-bicycle"></i>')
    style = built / "_static" / "styles" / "pydata-sphinx-theme.css"
    before = style.read_text()
    assets.lighten(built)
    assert style.read_text() == before


def test_lightening_twice_changes_nothing_more(built):
    assets.lighten(built)
    once = {path: path.read_bytes() for path in built.rglob("*") if path.is_file()}
    once.pop(built / "search.html")  # its line for the disk is written once more
    assets.lighten(built)
    assert {path: path.read_bytes() for path in once} == once


def test_ids_of_exercises_stand_once_and_references_are_entries_of_their_list(built):
    path = built / "book" / "a.html"
    twice = (
        '<section id="exercise-content">a</section><section id="solution-content">b</section>' * 2
    )
    entry = (
        '<div role="list" class="citation-list"><div id="id1" role="doc-biblioentry">c</div></div>'
    )
    path.write_text(path.read_text() + twice + entry)
    assets.lighten(built)
    page = path.read_text()
    assert page.count("<section>a</section><section>b</section>") == 2
    assert page.endswith(entry.replace("doc-biblioentry", "listitem"))


def test_a_folded_cell_is_called_by_the_line_that_is_seen(built):
    path = built / "book" / "a.html"
    path.write_text('<summary aria-label="Toggle hidden content">\n<p>Imports</p></summary>')
    assets.lighten(built)
    assert path.read_text() == "<summary>\n<p>Imports</p></summary>"


# a small site in a browser

FORMULAS = r"""# Formulas

Inline $x_i \in \{0, 1\}$ and $\boldsymbol{x}$.

$$
\log p(x) \ge \underbrace{\mathbb{E}_{q}[\log p(x \mid z)]}_{\text{reconstruction}} = \mathrm{ELBO}
$$
"""


@pytest.fixture(scope="module")
def small_site(tmp_path_factory) -> Path:
    if assets.mathjax_parts() is None:
        pytest.skip("MathJax is not installed")
    folder = write_book(tmp_path_factory.mktemp("book"))
    write_notebook(folder / "book" / "b" / "second.ipynb", prose(FORMULAS))
    config = folder / "_config.yml"
    config.write_text(
        config.read_text() + "parse: {myst_enable_extensions: [amsmath, dollarmath]}\n"
    )
    toc = contents.chapters(folder / "_toc.yml")
    made = site.prepare_site(folder, folder / "_build", toc)
    return site.build_site(made, folder / "_build")[0].parent


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if pages.chromium() is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=pages.chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


def test_formulas_are_set_from_a_disk_and_nothing_is_asked_of_a_network(small_site, browser):
    found = pages.measure(browser, small_site, "book/b/second")
    assert found.formulas == 3
    assert "asked for" not in found.complaints and "is not there" not in found.complaints
    assert found.weight < 2_000_000


def test_a_page_without_formulas_loads_no_mathjax(small_site, browser):
    assert pages.measure(browser, small_site, "book/a_first").weight < 1_000_000


def test_a_search_finds_a_page_from_a_disk(small_site, browser):
    page, wrong = browser.new_page(), []
    page.on("console", lambda one: wrong.append(one.text) if "from origin" in one.text else None)
    page.goto((small_site / "search.html").as_uri() + "?q=formulas")
    page.wait_for_selector("#search-results li a", timeout=60_000)
    assert "Formulas" in page.inner_text("#search-results") and wrong == []
    page.close()


def test_an_icon_of_the_theme_is_a_shape_and_not_a_letter(small_site, browser):
    page = browser.new_page()
    page.goto((small_site / "book" / "a_first.html").as_uri())
    mask = page.evaluate(
        "getComputedStyle(document.querySelector('i.fa-magnifying-glass, i.fa-bars'), '::before').maskImage"
    )
    assert mask.startswith('url("data:image/svg+xml')
    page.close()


def test_each_long_table_scrolls_in_a_box_of_its_own_and_says_that_more_rows_stand_below(
    browser, tmp_path
):
    def table(rows: int) -> str:
        lines = "".join(f"<tr><td>row {row}</td></tr>" for row in range(rows))
        return f'<div class="output text_html"><table class="dataframe">{lines}</table></div>'

    static = STATIC.as_uri()
    path = tmp_path / "tables.html"
    path.write_text(
        f'<link rel="stylesheet" href="{static}/deepseq.css"><script src="{static}/deepseq.js"></script>'
        f'<div class="cell"><div class="cell_output">{table(8)}{table(8)}{table(80)}</div></div>'
    )
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_selector("div.text_html.more")
    cut = "e => [e.scrollHeight > e.clientHeight, e.classList.contains('more')]"
    boxes = page.query_selector_all("div.text_html")
    assert [box.evaluate(cut) for box in boxes] == [[False, False], [False, False], [True, True]]
    whole = page.query_selector("div.cell_output")
    assert whole.evaluate("e => e.scrollHeight <= e.clientHeight")
    boxes[2].evaluate("e => e.scrollTo(0, e.scrollHeight)")
    page.wait_for_selector("div.text_html.more", state="detached")
    page.close()
