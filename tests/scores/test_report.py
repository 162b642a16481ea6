"""The report: what its page holds, and what it does in a real browser."""

import dataclasses
import html
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import deepseq_nb
from deepseq_nb.core.errors import ConfigError, FigureError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.scores import report as report_module
from deepseq_nb.scores import report_agreement
from deepseq_nb.scores.matching import Measured
from deepseq_nb.scores.report import write_report
from deepseq_nb.scores.report_page import data_text, text, vega_script

pytest.importorskip("vl_convert")
pytest.importorskip("Bio")
EVIL = "</script><script>alert(1)</script>$x$"
ROWS = [
    "MKTAYIAKQRQISFVKSHFS",
    "MKSAYLAKNRQVSFVRSHFS",
    "MRTAWIAKQRQISYVKSHYS",
    "LKTAYIGKQKQISFIKTHFS",
]
MEASURED = {"M24A": -2.0, "K25R": 0.5, "T26S": 0.1, "A27W": -1.0, "Y28F": 0.2}
MEASURED |= {"K25R,T26S": 0.4, "Y28F:A27G": -0.7, "M24L:T26A": -0.2, "I29L:Q32K": 0.3}
MEASURED |= {"A27W:M24A:K25R": -3.0, "M24A:K25A:Z90W": 9.0}  # the last fits nowhere


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page about three runs whose focus and assay column have evil names."""
    folder = tmp_path_factory.mktemp("report")
    names = [f"{EVIL}/24-43", "b", "c", "d"]
    alignment = Alignment.from_strings(ROWS, names)
    model = deepseq_nb.preset("quick")
    runs = [
        deepseq_nb.fit(alignment, model, deepseq_nb.TrainConfig(steps=3, seed=seed))
        for seed in (1, 2, 3)
    ]
    three = dict(
        zip("MKTAYIQRSFVH", "MET LYS THR ALA TYR ILE GLN ARG SER PHE VAL HIS".split(), strict=True)
    )
    atoms = [
        f"ATOM  {i:5}  CA  {three[x]} A{i + 23:4}    {3.8 * i:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00           C"
        for i, x in enumerate(ROWS[0], 1)
    ]
    (folder / "s.pdb").write_text("\n".join(atoms) + "\n")
    pd.DataFrame({"mutant": [*MEASURED], EVIL: [*MEASURED.values()]}).to_csv(
        folder / "assay.csv", index=False
    )
    paths = write_report(
        runs, folder / "r.html", assay=folder / "assay.csv", column=EVIL,
        structure=folder / "s.pdb", samples=2, command=f"deepseq report {EVIL}",
    )  # fmt: skip
    return folder, paths, runs


def page_data(path: Path) -> dict:
    found = re.search(
        r'<script type="application/json" id="page-data">(.*?)</script>', path.read_text(), re.S
    )
    return json.loads(found[1])


def test_the_page_and_three_scripts_are_written(report):
    _, paths, _ = report
    assert [path.name for path in paths] == ["r.html", "r.pml", "r.cxc", "r.defattr"]


def test_the_page_holds_every_single_with_error_spread_percentile_and_measurement(report):
    table = page_data(report[1][0])["tables"]["singles"]
    columns = dict(zip(table["columns"], table["values"], strict=True))
    assert len(columns["variant"]) == 20 * 19
    assert {"score", "std_error", "spread", "percentile", "occupancy", "assay"} <= {*columns}
    assert max(columns["percentile"]) == 100
    assert columns["assay"][columns["variant"].index("A27W")] == -1.0


def test_the_page_says_of_each_run_how_it_was_trained(report):
    _, paths, runs = report
    shown = paths[0].read_text().split("<h2>Training</h2>")[1].split("<h2>")[0]
    found = re.findall(r"<p><strong>(.*?)</strong>: (.*?)</p>", shown)
    assert found == [
        (f"run {number}", f"3 updates, seed {number}. {html.escape(runs[0].verdict)}.")
        for number in (1, 2, 3)
    ]
    assert shown.count("<img") == 3


def test_the_logo_is_of_the_letters_without_the_gaps(report):
    run = report[2][0]
    whole = np.array(run.about["frequencies"])
    gapped = whole * np.linspace(0.3, 1, len(whole))[:, None]
    run = dataclasses.replace(run, about=run.about | {"frequencies": gapped.tolist()})
    shares = report_module._frequencies(run)
    assert shares == pytest.approx(whole) and shares.sum(axis=1) == pytest.approx(1)
    run = dataclasses.replace(run, about=run.about | {"frequencies": [[1.0]]})
    assert report_module._frequencies(run) is None


def columns(path: Path, name: str) -> dict[str, list]:
    table = page_data(path)["tables"][name]
    return dict(zip(table["columns"], table["values"], strict=True))


def test_the_agreement_is_that_of_all_measured_variants_and_of_each_number_of_substitutions(report):
    _, paths, runs = report
    found = columns(paths[0], "agreement")
    assert [*found][:4] == ["substitutions", "variants", "metric", "value"]
    rows = [i for i, name in enumerate(found["metric"]) if name == "spearman"]
    assert [(found["substitutions"][i], found["variants"][i]) for i in rows] == [
        ("all", 10), ("1", 5), ("2", 4),
    ]  # fmt: skip
    for i, kept in zip(rows, (slice(0, 10), slice(0, 5), slice(5, 9)), strict=True):
        names, truth = [*MEASURED][kept], [*MEASURED.values()][kept]
        asked = deepseq_nb.score(runs, names, samples=2)["score"]
        expected = asked.rank().corr(pd.Series(truth).rank())
        assert found["value"][i] == pytest.approx(expected, abs=1e-5)
    assert "over 10 variants" in paths[0].read_text()


def test_more_variants_than_are_scored_are_drawn_and_the_page_says_so(
    report, tmp_path, monkeypatch
):
    folder, _, runs = report
    monkeypatch.setattr(report_agreement, "_MOST", 3)
    how = {"assay": folder / "assay.csv", "column": EVIL, "samples": 2}
    (path,) = write_report(runs[0], tmp_path / "r.html", **how)
    assert "Of 6 measured variants of several substitutions 3 were drawn" in path.read_text()


def test_no_variant_is_drawn_twice(report, monkeypatch):
    names = [f"M24{x}:K25{y}" for x in "ACDEFG" for y in "ACDEFG"]
    measured = Measured(pd.Series(0.5, index=names), 36, 0, False, "y", True, ())
    monkeypatch.setattr(report_agreement, "_MOST", 30)

    def listed(runs, drawn, samples, seed):
        return pd.DataFrame({"variant": drawn})

    monkeypatch.setattr(report_agreement, "score", listed)
    table, said = report_agreement.score_several(report[2], measured, 2, 1)
    drawn = table.variant.tolist()
    assert len(drawn) == len({*drawn}) == 30 and {*drawn} <= {*names} and "Of 36" in said
    assert drawn == sorted(drawn, key=names.index)
    again, _ = report_agreement.score_several(report[2], measured, 2, 2)
    assert again.variant.tolist() != drawn


def test_a_file_of_scores_is_used_and_nothing_is_scored_anew(report, tmp_path, monkeypatch):
    folder, _, runs = report
    scores = deepseq_nb.score(runs[0], samples=2)[["variant", "score"]]
    scores["score"] = np.arange(len(scores)) / 7  # numbers that no run would give
    more = pd.DataFrame({"variant": ["T26S:K25R", "M24L:T26A"], "score": [50.0, -50.0]})
    pd.concat([scores, more]).to_csv(tmp_path / "scores.csv", index=False)
    monkeypatch.setattr(report_module, "score", None)
    (path,) = write_report(
        runs[0], tmp_path / "r.html", scores=tmp_path / "scores.csv",
        assay=folder / "assay.csv", column=EVIL,
    )  # fmt: skip
    found = columns(path, "singles")
    expected = dict(zip(scores["variant"], scores["score"], strict=True))
    assert dict(zip(found["variant"], found["score"], strict=True)) == pytest.approx(
        expected, rel=1e-5
    )
    compared = columns(path, "agreement")
    assert dict(zip(compared["substitutions"], compared["variants"], strict=True)) == {
        "all": 7, "1": 5,
    }  # fmt: skip


def test_a_missing_package_is_a_sentence_before_anything_is_scored(report, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)  # an import of it fails
    monkeypatch.setattr(report_module, "score", None)
    vega_script.cache_clear()
    with pytest.raises(
        FigureError, match=r"vl-convert-python, .*pip install 'deepseq-nb\[report\]'"
    ):
        write_report(report[2][0], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()
    vega_script.cache_clear()


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("BSD-3-Clause", "Neither the name of the copyright holder nor the names of"),
        ("ISC", "provided that the above copyright notice and this permission notice appear"),
        ("MIT", "The above copyright notice and this permission notice shall be included"),
        ("Apache-2.0", "Licensed under the Apache License, Version 2.0"),
    ],
)
def test_the_terms_of_the_scripts_in_the_page_can_be_read_in_it(report, licence, words):
    page = report[1][0].read_text()
    end = page[page.index('<footer id="licences">') : page.index("</footer>")]
    assert f"<h3>{licence}</h3>" in end and words in " ".join(end.split())
    assert "University of Washington" in " ".join(end.split()) and "Mike Bostock" in end


def test_a_name_from_a_file_ends_no_element(report):
    page = report[1][0].read_text()
    assert "<script>alert" not in page and len(re.findall("<script", page)) >= 3
    assert json.loads(data_text(EVIL)) == EVIL and "<" not in data_text(EVIL)
    assert text("<b>'\"") == "&lt;b&gt;&#x27;&quot;"


def test_an_assay_without_a_column_and_a_chain_without_a_structure_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="column"):
        write_report("nothing", tmp_path / "r.html", assay="a.csv")
    with pytest.raises(ConfigError, match="structure"):
        write_report("nothing", tmp_path / "r.html", chain="A")


def test_a_file_that_is_there_is_kept(report, tmp_path):
    (tmp_path / "r.cxc").write_text("mine")
    with pytest.raises(FileExistsError, match=r"r\.cxc"):
        write_report(report[2], tmp_path / "r.html", structure=report[0] / "s.pdb")
    assert (tmp_path / "r.cxc").read_text() == "mine" and not (tmp_path / "r.html").exists()


COMMANDS = {
    "pml": (
        r"# .*",
        r"set_color \w+, \[[01]\.\d{4}, [01]\.\d{4}, [01]\.\d{4}\]",
        r"color grey80, (chain \w+|all)",
        r"alter chain A(?: and resi -?\d+)?, b=-?\d+\.\d+",
        r"spectrum b, \w+ \w+ \w+, chain A and resi [-\d+]+, minimum=-?[\d.]+, maximum=[\d.]+",
    ),
    "cxc": (
        r"# .*",
        r"color /A #[0-9a-f]{6}",
        r"setattr /A:-?\d+ residues tolerance -?[\d.]+ create true",
        r"color byattribute r:tolerance /A palette #\w{6}:#\w{6}:#\w{6} "
        r"range -?[\d.]+,[\d.]+ noValueColor #\w{6}",
    ),
    "defattr": (
        r"attribute: [a-z]\w*", r"match mode: any", r"recipient: residues",
        r"\t/A:-?\d+\t-?[\d.]+",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", COMMANDS)
def test_each_line_of_a_script_is_a_command_as_its_manual_writes_it(report, kind):
    (path,) = [path for path in report[1] if path.suffix == f".{kind}"]
    lines = path.read_text().splitlines()
    odd = [line for line in lines if not any(re.fullmatch(one, line) for one in COMMANDS[kind])]
    assert lines and odd == []


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("pml", r"alter chain A and resi (\d+), b=(\S+)"),
        ("cxc", r"setattr /A:(\d+) residues tolerance (\S+)"),
        ("defattr", r"\t/A:(\d+)\t(\S+)"),
    ],
)
def test_each_residue_has_its_tolerance_in_each_script(report, kind, line):
    (path,) = [path for path in report[1] if path.suffix == f".{kind}"]
    found = {int(number): float(value) for number, value in re.findall(line, path.read_text())}
    table = columns(report[1][0], "residues")
    expected = dict(zip(table["residue"], table["tolerance"], strict=True))
    assert sorted(found) == list(range(24, 44))
    assert found == pytest.approx(expected, abs=1e-4)


def test_pymol_colours_each_residue_once(report):
    parts = re.findall(r"spectrum .* and resi ([\d+]+),", report[1][1].read_text())
    numbers = [int(number) for part in parts for number in part.split("+")]
    assert sorted(numbers) == list(range(24, 44))


# in a browser


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    where = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if where is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=where, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 390])
def opened(report, browser, request):
    """The drawn page, what it asked for, and what it complained of."""
    context = browser.new_context(
        viewport={"width": request.param, "height": 900}, accept_downloads=True
    )
    page, asked, wrong = context.new_page(), [], []
    page.on("request", lambda one: asked.append(one.url))
    page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda one: wrong.append(str(one)))
    page.on("dialog", lambda one: (wrong.append("a dialog"), one.dismiss()))
    page.goto(report[1][0].as_uri())
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=120_000)
    yield page, asked, wrong
    context.close()


def test_nothing_leaves_the_page_and_nothing_is_complained_of(opened):
    page, asked, wrong = opened
    page.wait_for_timeout(300)
    assert [url for url in asked[1:] if not url.startswith(("data:", "blob:"))] == []
    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_a_search_finds_a_substitution_and_says_what_is_known(opened):
    page, *_ = opened
    page.fill("#query", "a27w")
    page.press("#query", "Enter")
    told = page.inner_text("#readout")
    assert told.startswith("A27W: score") and "spread between runs" in told and told.endswith("-1")
    page.fill("#query", "K27W")
    page.press("#query", "Enter")
    assert page.inner_text("#readout") == "residue 27 is A, not K"


def test_pointing_at_the_map_says_what_is_there_and_marks_it_in_the_structure(opened):
    page, *_ = opened
    before = page.evaluate("document.getElementById('structure').toDataURL()")
    cell = page.locator("#chart svg g.mark-rect path").nth(30)
    cell.hover(force=True)
    page.wait_for_function("!document.getElementById('readout').textContent.startsWith('Point')")
    assert re.match(r"[A-Z]\d+", page.inner_text("#readout"))
    assert page.evaluate("document.getElementById('structure').toDataURL()") != before


def test_a_table_is_downloaded_with_all_its_rows(opened):
    page, *_ = opened
    with page.expect_download() as waiting:
        page.click("button[data-csv=singles]")
    table = pd.read_csv(waiting.value.path())
    assert waiting.value.suggested_filename == "singles.csv" and len(table) == 380
    assert table.loc[table.variant == "A27W", "assay"].item() == -1.0


def test_axe_finds_nothing_serious(opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(opened[0]).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
