"""Hostile names and files that point outside: nothing raw on the terminal, pictures that parse, nothing written elsewhere."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd

from deepseq_nb.cli.main import COMMANDS
from deepseq_nb.family import registry

from .frame import ROOT, SCORE, TRAIN, Bench, Row, command, fault_of, forked, snapshot
from .inputs import tried

_NAMES = (
    "<script>alert(1)</script>", "</svg><script>x</script>", "a&b;&#x0;", "]]>", "<!--", '" onload="x', "$\\frac{1}{$", "$x^2$", "$", "\\alpha",
    "\x1b[2J\x1b[31mred", "\x07bell", "\x9b31m", "\ufffe", "\ud7ff", "\u202eabc", "a\u2028b", "x" * 300, "x" * 1_000_000, "=1+1", "@SUM(1)",
    "%s%n", "{0}", "../../evil", "..", "/etc/passwd", "a b", "'; rm -rf x; '", "$(touch x)", "`touch x`", "\\", "nul\x7f", "%PDF", "\x85next",
)  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")


def hostile_name(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A family whose focus, or another sequence, has such a name: trained, scored, drawn, reported."""
    name = _NAMES[number % len(_NAMES)]
    if rng.random() < 0.3:
        name += _NAMES[int(rng.integers(len(_NAMES)))]
    family, place = folder / "f.a2m", folder / "work"
    place.mkdir()
    text = bench.family.read_text()
    old = ">FAM/" if number % 4 else ">seq3\n"
    family.write_text(
        text.replace(old, f">{name}{'/' if number % 4 else chr(10)}"),
        encoding="utf-8",
        errors="surrogatepass",
    )
    label = f"{'focus' if number % 4 else 'sequence'} {ascii(name)[:60]}"
    before = set(snapshot(folder))
    commands = [["check", family], ["train", family, "--out", "run", "--steps", 3, *TRAIN], ["score", "run", *SCORE, "--out", "s.csv"],
                ["plot", "run", "--scores", "s.csv", "--out", "figures"], ["sample", "run", "--n", 3, "--out", "n.fasta"]]  # fmt: skip
    if "report" in COMMANDS:
        commands.append(["report", "run", "--out", "report.html"])
    for words in commands:
        found = command(words, place, 300)
        if fault := fault_of(found, (0, 2)):
            return label, f"{fault} ({words[0]})"
        if raw := _CONTROL.search(found.out + found.err):
            return label, f"raw: {words[0]} prints {raw[0]!r}"
        if max(map(len, (found.out + found.err).splitlines()), default=0) > 5000:
            return (
                label,
                f"long: {words[0]} prints a line of {max(map(len, (found.out + found.err).splitlines())):,} letters",
            )
        if found.code == 2:
            return label, None if words[0] in ("check", "train") else f"refused: {found.said}"
    for path in place.rglob("*.svg"):
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as error:
            return label, f"svg: {path.name} is not well-formed: {error}"
        if any(
            str(part.tag).endswith("script") or any(k.lower().startswith("on") for k in part.attrib)
            for part in root.iter()
        ):
            return label, f"svg: {path.name} has a script"
    for path in place.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        if re.search(r"<script>(alert\(1\)|x)</script>", page) or '" onload="x' in page:
            return label, f"html: {path.name} has the name as it is"
    outside = {one for one in set(snapshot(folder)) - before if not one.startswith("work/")}
    return label, f"outside: {sorted(outside)[:3]}" if outside else None


def hostile_cell(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A cell that a spreadsheet takes for a formula comes back as what it was, in its row, with a status and no score,
    and not at the beginning of a cell that we fill ourselves."""
    cell = [
        "=1+1",
        '=HYPERLINK("http://x","y")',
        "+1",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "=cmd|' /C x'!A0",
        "-",
        "=",
        "+A5C",
    ][number % 10]
    variants = [str(x) for x in pd.read_csv(bench.assay).mutant[:3]]
    with open(folder / "list.csv", "w") as file:
        quoted = '"' + cell.replace('"', '""') + '"'
        file.write("\n".join(["variant", *variants[:2], quoted, variants[2]]) + "\n")
    found = command(
        ["score", bench.trained(), "--variants", "list.csv", "--samples", 8, "--out", "s.csv"],
        folder,
    )
    label = f"cell {cell!r}"
    if fault := fault_of(found, (0, 2)):
        return label, fault
    if found.code == 2:
        return label, None
    table = pd.read_csv(folder / "s.csv", keep_default_na=False)
    if len(table) != 4 or [str(x) for x in table.variant[[0, 1, 3]]] != variants:
        return label, "wrong: other rows"
    if cell == "=":  # HGVS and MaveDB write the wild type so, and no spreadsheet computes it
        wild = (table.status[2], float(table.score[2])) == ("ok", 0.0)
        return label, None if wild else f"wrong: the wild type is {table.status[2]}"
    if table.status[2] == "ok" and not cell.startswith(("+A", "-")):
        return label, f"wrong: it is scored {table.score[2]}"
    if str(table.reason[2]).startswith(("=", "+", "@")):
        return label, f"formula: the reason begins with it: {table.reason[2]}"
    return label, None


def hostile_grid(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """A grid whose families and files point outside, or that is no grid: nothing beside the grid's folder, one line."""
    place = folder / "inner"
    place.mkdir()
    shutil.copy(bench.family, place / "family.a2m")
    name = [
        "../../evil",
        "/etc/passwd",
        "..",
        "a/../..",
        "x" * 300,
        "a\\nb",
        "$(touch x)",
        ".",
        "",
        "a/b",
        "con",
        "~",
        "a\\u0000b",
        "-rf",
        "variants",
    ][number % 15]
    body = [
        f'families = "{name}"\nsteps = 2\npresets = "quick"\n[data."{name}"]\nalignment = "family.a2m"\n',
        f'families = "{name}"\nsteps = 2\npresets = "quick"\n',
        f'families = "m"\nresult = "{name}"\nsteps = 2\n[data.m]\nalignment = "family.a2m"\n',
        f'families = "m"\nvariants = "{name}"\nsteps = 2\n[data.m]\nalignment = "family.a2m"\n',
        'families = "m"\n[data.m]\nalignment = ' + ["1", "[]", "{}", "true", "1979-05-27", "nan"][number % 6] + "\n",
        'families = "m"\n[data.m]\nalignment = "family.a2m"\nassay = ' + ["1", "[]", "{}", "true"][number % 4] + '\ncolumn = "x"\n',
        "families = " + ["[" * 3000, "9" * 400, "{a=" * 3000, '"m"\nsteps = ' + "9" * 400, '"m"\nseeds = -1', '"m"\nsamples = ' + "9" * 30,
                         '"synthetic"\n[model]\nlatent = ' + "9" * 400, '"synthetic"\nseeds = [' + ",".join(map(str, range(200_000))) + "]"][number % 8] + "\n",
        '[data."../x"]\nalignment = "/etc/passwd"\n[a]\n',
    ][int(rng.integers(8))]  # fmt: skip
    (place / "grid.toml").write_text(body)
    before, recorded = snapshot(folder), _recorded()
    label = f"grid {ascii(body)[:90]}"
    found = command(["experiments", "grid.toml", "--out", "grid", "--device", "cpu"], place, 300)
    # a run that fails is reported in the table of the grid and ends with 1, which says so
    if fault := fault_of(found, (0, 1, 2)):
        return label, fault
    after = snapshot(folder)
    mine = (
        "inner/grid",
        "inner/results",
    )  # a grid that names its table gets it in results/ of the current folder
    outside = [one for one in after if one not in before and not one.startswith(mine)]
    changed = [one for one in before if after.get(one) != before[one]]
    if recorded != _recorded():
        changed.append("results/ of the project")
    return label, f"outside: {(outside + changed)[:3]}" if outside or changed else None


def _recorded() -> dict[str, str]:
    """The tables of the project, but for the one that this benchmark writes."""
    found = snapshot(ROOT / "results")
    return {name: data for name, data in found.items() if not name.startswith("faults.")}


def hostile_registry(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """An entry of a registry whose family or file points outside the folder of downloads."""
    import hashlib

    from .downloads import CONTENT, server

    name = [
        "../../evil",
        "/tmp/evil-f4",
        "..",
        "a/../../b",
        "\0",
        "x" * 300,
        "",
        ".",
        "a\nb",
        "~/x",
        "C:\\x",
    ][number % 11]
    part, place = ["family", "file"][int(rng.integers(2))], folder / "deep" / "data"
    place.mkdir(parents=True)
    entry = {"family": "TOY", "kind": "alignment", "file": "toy.a2m", "bytes": len(CONTENT), "repository": "a/b", "commit": "c",
             "path": "toy", "sha256": hashlib.sha256(CONTENT).hexdigest()} | {part: name}  # fmt: skip
    report = folder / "report"
    with server("good", 1) as (address, _):

        def work() -> int:
            def get():
                return registry.download(
                    registry.DatasetFile(**entry), place, base_url=f"http://{address}", timeout=5
                )

            found, fault = tried(get)
            report.write_text(json.dumps([str(found) if found else None, fault]))
            return 0

        ended = forked(work, folder, 60)
    label = f"registry {part} = {name[:30]!r}"
    if ended.code != 0:
        return label, fault_of(ended, (0,))
    found, fault = json.loads(report.read_text())
    if fault:
        return label, fault
    outside = [
        one
        for one in snapshot(folder)
        if not one.startswith("deep/data") and one not in ("deep", "report")
    ]
    if found and not Path(found).resolve().is_relative_to(place.resolve()):
        outside.append(found)
        if Path(found).is_file():
            Path(found).unlink()
    return label, f"outside: {outside}" if outside else None


ROWS = [
    Row("names", "hostile names in terminal, SVG and HTML", 170, hostile_name),
    Row("cells", "cells that begin as a formula", 20, hostile_cell),
    Row("grids", "grids that point outside, or are none", 112, hostile_grid),
    Row("registry", "registry entries that point outside", 44, hostile_registry),
]
