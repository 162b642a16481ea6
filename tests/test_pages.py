"""Pages of the built site: light, not endless, as wide as the window, and without a complaint of the browser.

`make test` builds the site before the tests. Where there is none (`make book` builds it) or no Chromium, they skip.
"""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

# ruff: noqa: E402
import pages

SITE = ROOT / "_build" / "book" / "html"
MOST_BYTES = 2_000_000  # of all files that a page loads, uncompressed
MOST_PIXELS = 15_000  # of height in a window of 1280
SHARES = 4  # of the pages, for as many processes

# pages that may be higher, and why
HIGHER: dict[str, tuple[int, str]] = {}


@pytest.mark.parametrize("share", range(SHARES))
def test_pages_are_light_and_not_endless(share):
    pytest.importorskip("playwright.sync_api")
    if not (SITE / "index.html").is_file():
        pytest.skip("no site is built here: make book")
    if pages.chromium() is None:
        pytest.skip("no Chromium on this machine")
    names = pages.page_names(SITE)
    assert len(names) > SHARES
    assert {*HIGHER} <= {*names}
    wrong = []
    for page in pages.measure_all(SITE, names[share::SHARES]):
        most = HIGHER.get(page.name, (MOST_PIXELS, ""))[0]
        if page.weight >= MOST_BYTES:
            wrong.append(f"{page.name}: {page.weight / 1e6:.2f} MB")
        if page.height >= most:
            wrong.append(f"{page.name}: {page.height:,d} px, allowed are {most:,d}")
        if page.overflow:
            wrong.append(f"{page.name}: {page.overflow} px wider than a window")
        if page.complaints:
            wrong.append(f"{page.name}: {page.complaints}")
    assert wrong == []
