"""What each page of a built site loads and how high it is, in Chromium, from disk.

    python benchmarks/pages.py [SITE] [--only PART_OF_A_NAME] [--out TABLE.csv]

SITE is a folder of HTML (default: _build/book/html). For each page: the bytes of all files that it asked for until nothing
came any more (the page itself among them, uncompressed, each once), how many they were, its height at 1280 and at 390
pixels, by how many pixels it is wider than the window, formulas set, and what the browser complained of. A page is
scrolled to its end first, so that nothing is left out which loads late. Needs playwright and a Chromium.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

WIDTHS = (1280, 390)  # a laptop and a phone


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What was measured of one page."""

    name: str  # below the site, without .html
    weight: int  # bytes of all files loaded
    files: int
    height: int  # pixels, in a window of 1280
    phone_height: int  # in one of 390
    overflow: int  # pixels by which it is wider than a window, the worse of both
    formulas: int  # set by MathJax
    complaints: str  # errors of the console and of scripts, files not found, foreign addresses


def chromium() -> str | None:
    """The installed Chromium, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def page_names(site: Path) -> list[str]:
    """The pages of a site that have a text of their own."""
    found = sorted(
        path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")
    )
    return [name for name in found if name != "index" and not name.startswith("_")]


def _file(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def settle(page: Any) -> None:
    """Wait for fonts and formulas, and scroll to the end for what loads late."""
    page.wait_for_function(
        "!document.querySelector('script[src*=mathjax]') || (window.MathJax && MathJax.startup && MathJax.startup.promise)",
        timeout=120_000,
    )
    page.evaluate("window.MathJax && MathJax.startup && MathJax.startup.promise")
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function("[...document.images].every((one) => one.complete)", timeout=120_000)
    page.evaluate("document.fonts.ready.then(() => window.scrollTo(0, 0))")


def measure(browser: Any, site: Path, name: str) -> Page:
    """Open one page in a window of each width."""
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    try:
        page, asked, wrong = context.new_page(), [], []
        page.on("request", lambda one: asked.append(one.url))
        page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: wrong.append(str(one)))
        page.goto((site / f"{name}.html").resolve().as_uri(), timeout=120_000)
        settle(page)
        heights, over = [], []
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            root = "document.documentElement"
            heights.append(page.evaluate(f"{root}.scrollHeight"))
            over.append(page.evaluate(f"{root}.scrollWidth - window.innerWidth"))
        formulas = page.evaluate("document.querySelectorAll('mjx-container').length")
    finally:
        context.close()
    local = {_file(url) for url in asked if url.startswith("file:")}
    wrong += [
        f"asked for {url}" for url in asked if not url.startswith(("file:", "data:", "blob:"))
    ]
    wrong += [f"{path.name} is not there" for path in sorted(local) if not path.is_file()]
    return Page(
        name=name,
        weight=sum(path.stat().st_size for path in local if path.is_file()),
        files=len(local),
        height=heights[0],
        phone_height=heights[1],
        overflow=max(0, *over),
        formulas=formulas,
        complaints="; ".join(dict.fromkeys(wrong)),
    )


def measure_all(site: Path, names: Iterable[str]) -> Iterator[Page]:
    """One page after the other in one browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            for name in names:
                yield measure(browser, site, name)
        finally:
            browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", nargs="?", type=Path, default=Path("_build/book/html"))
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    names = [name for name in page_names(given.site) if given.only in name]
    if not names or chromium() is None:
        print(
            f"no pages in {given.site}" if not names else "no Chromium on this machine",
            file=sys.stderr,
        )
        return 2
    pages = []
    for one in measure_all(given.site, names):
        pages.append(one)
        print(
            f"{one.weight / 1e6:6.2f} MB {one.files:3d} files {one.height:6,d} px {one.phone_height:6,d} px (390) "
            f"{one.overflow:3d} over {one.formulas:3d} formulas  {one.name}  {one.complaints}",
            flush=True,
        )
    heaviest = max(pages, key=lambda one: one.weight)
    highest = max(pages, key=lambda one: one.height)
    print(
        f"{len(pages)} pages; heaviest {heaviest.name} {heaviest.weight / 1e6:.2f} MB, highest {highest.name} {highest.height:,d} px"
    )
    if given.out:
        import pandas as pd

        pd.DataFrame([asdict(one) for one in pages]).to_csv(given.out, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
