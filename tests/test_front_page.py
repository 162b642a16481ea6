"""The front page says what is there: its picture, its numbers, its paths and its table of parts."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml

from deepseq_nb.scores import style

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
PAGE = (BOOK / "index.md").read_text(encoding="utf-8")
PARTS = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
LINK = re.compile(r"\[[^\]\n]*\]\(([\w./-]+)\)")


def path_of(name):
    """The chapters of a marked path, as the page links them."""
    return LINK.findall(PAGE.split(f"**{name}**")[1].split(".\n")[0])


def rows_of_parts():
    """The cells of the table of parts, by the name of the part."""
    lines = PAGE.split("## The parts")[1].split("##")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {cells[0]: cells[1] for cells in rows[2:]}


def source_of(chapter):
    """The file of a chapter named without its ending."""
    return next(p for e in (".md", ".ipynb") if (p := BOOK / f"{chapter}{e}").exists())


def title_of(chapter):
    """The first heading of a chapter."""
    text = source_of(chapter).read_text(encoding="utf-8")
    if source_of(chapter).suffix == ".ipynb":
        text = "".join(json.loads(text)["cells"][0]["source"])
    return re.search(r"^# (.+)$", text, re.M).group(1)


def test_the_picture_is_the_one_that_first_runs_drew():
    drawn = ROOT / "results" / "figures" / "blat_heatmap_pair.png"
    assert (BOOK / "_static" / drawn.name).read_bytes() == drawn.read_bytes()


def test_the_way_of_the_data_is_the_drawing_that_its_chapter_makes():
    cells = json.loads((BOOK / "workshop" / "drawing.ipynb").read_text(encoding="utf-8"))["cells"]
    (source,) = ["".join(c["source"]) for c in cells if "ARROWS = (" in "".join(c["source"])]
    names = {"INK": style.INK, "PALETTE": style.PALETTE}
    exec(source, names)
    assert (BOOK / "_static" / "way.svg").read_text(encoding="utf-8") == names["way"]
    assert names["told"].split(": ")[0] in names["way"]
    ElementTree.fromstring(names["way"])


def test_the_numbers_of_the_caption_are_the_recorded_ones():
    default = pd.read_csv(ROOT / "results" / "defaults.csv").set_index("family").loc["BLAT_ECOLX"]
    means = pd.read_csv(ROOT / "results" / "ensembles.csv")
    means = means[(means.family == "BLAT_ECOLX") & (means.models == 5)].set_index(
        ["kind", "updates"]
    )
    ours, theirs = means.loc[("seeds", 8000)], means.loc["original"].iloc[0]
    words = PAGE.split("**Figure.**")[1].split("\n\n")[0].split()
    said = {float(word) for word in re.findall(r"\b0\.\d{3}\b", " ".join(words))}
    expected = (default.score, default.score_low, default.score_high, ours.spearman_of_record)
    expected += (theirs.single_of_record, theirs.spearman_of_record)
    assert said == {round(value, 3) for value in expected}
    assert f"{default.sequences:,}" in " ".join(words)


def test_the_table_of_parts_is_the_table_of_contents():
    rows = rows_of_parts()
    assert [*rows] == [part["caption"] for part in PARTS]
    for part in PARTS[:-1]:
        listed = [chapter["file"].removeprefix("book/") for chapter in part["chapters"]]
        assert LINK.findall(rows[part["caption"]]) == listed
    first = PARTS[-1]["chapters"][0]["file"].removeprefix("book/")
    assert PARTS[-1]["caption"] == "Workshop" and LINK.findall(rows["Workshop"]) == [first]


@pytest.mark.parametrize("name", ["The idea", "The user"])
def test_a_path_on_the_map_is_the_path_of_the_links(name):
    tree = ElementTree.parse(BOOK / "_static" / "paths.svg").getroot()
    drawn = {"".join(text.itertext()) for text in tree.iter("{http://www.w3.org/2000/svg}text")}
    told = tree.findtext("{http://www.w3.org/2000/svg}desc")
    stations = [title_of(chapter).split(":")[0] for chapter in path_of(name)]
    assert len(stations) >= 5
    assert {name, *stations} <= drawn
    places = [told.rindex(station) for station in stations if station != "Accuracy"]
    assert places == sorted(places)


def test_the_two_paths_meet():
    assert [*{*path_of("The idea")} & {*path_of("The user")}] == ["performance/accuracy"]


def test_the_variants_of_the_example_are_of_the_family_that_it_names():
    scored = pd.read_csv(ROOT / "results" / "blat_scores.csv").set_index("variant").score
    example = re.search(r"variants=\[(.*?)\]", PAGE).group(1)
    for variant in re.findall(r'"([^"]+)"', example):
        assert all(single in scored for single in variant.split(":"))


def links():
    """Every link of a page of the book to another: page, target."""
    for path in sorted([*BOOK.rglob("*.md"), *BOOK.rglob("*.ipynb")]):
        if {"_build", ".ipynb_checkpoints"} & {*path.parts}:
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            prose = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
            text = "\n\n".join(prose)
        text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"https?:|mailto:|#", target):
                yield path, target.split("#")[0]


def test_every_link_between_pages_leads_to_a_page():
    broken = []
    for path, target in links():
        goal = (path.parent / target).resolve()
        if not any(goal.with_name(goal.name + end).is_file() for end in ("", ".md", ".ipynb")):
            broken.append(f"{path.relative_to(BOOK)}: {target}")
    assert broken == []


def test_no_two_chapters_have_the_same_name_in_the_side_bar():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    shown = {}
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            path = ROOT / chapter["file"]
            if "title" in chapter:
                name = chapter["title"]
            elif path.with_suffix(".md").exists():
                name = path.with_suffix(".md").read_text().partition("\n")[0]
            else:
                cells = json.loads(path.with_suffix(".ipynb").read_text())["cells"]
                name = "".join(cells[0]["source"]).partition("\n")[0]
            shown[chapter["file"]] = name.removeprefix("# ")
    twice = {name for name in shown.values() if [*shown.values()].count(name) > 1}
    assert len(shown) > 100 and not twice
