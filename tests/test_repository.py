"""What the repository promises as a whole: modules come from chapters, one environment, nothing private committed."""

import ast
import importlib
import inspect
import os
import re
import shutil
import subprocess
import symtable
import sys
import tomllib
from collections import Counter
from functools import cache
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

import deepseq_nb
from deepseq_nb.studies import book, contents

ROOT = Path(__file__).resolve().parents[1]
# a module imports only from modules before it, and so only from its own room or a lower one
ROOMS = {
    "core": ("errors", "settings", "files", "machine"),
    "family": (
        "focus", "formats", "reading", "alignment", "neighbours", "weights", "clusters", "weight_files", "depth", "hits", "rounds", "search", "notation", "variants",
        "assays", "landscape", "synthetic", "transfer", "registry",
        "structure_files", "structures", "understanding",
    ),
    "model": ("priors", "sizes", "kernels", "network", "schedule", "training", "parallel", "scorer", "fast", "settling", "run_files", "checkpoints", "choices", "loop", "graphs", "runs"),
    "scores": (
        "background", "scoring", "outputs", "epistasis", "metrics", "matching", "evaluation", "classes", "labels", "design", "libraries", "style", "embedding", "generation", "curves", "heatmap", "logo", "tolerance", "figures", "report_structure", "report_page", "report_agreement", "report",
    ),
    "peers": (
        "additive", "folders", "sites", "nearest", "pseudolikelihood", "potts", "mixing", "evidence", "explanation", "pickles", "theano", "parity",
        "pyro_model", "engines", "guests",
        "unirep", "unirep_weights", "unirep_fast", "unirep_gradient", "representations",
        "length_batches", "family_loss", "tuning_folders", "evotuning", "tuning_search", "indels", "likelihood", "walks", "transformers", "ridge",
    ),
    "studies": (
        "results", "contents", "warm", "execution", "assets", "address", "site", "book", "grid", "jobs", "storage", "runner", "cluster", "trials", "workers", "tuning",
    ),
    "cli": (
        "options", "check", "train", "search", "score", "embed", "evaluate", "report", "classify", "explain", "design", "data", "original", "studies", "tune", "proteingym", "unirep", "main",
    ),
}  # fmt: skip
ORDER = tuple(f"{room}.{name}" for room, names in ROOMS.items() for name in names)
NOTEBOOKS = sorted(path for path in (ROOT / "book").rglob("*.ipynb") if "_build" not in path.parts)
MODULES = sorted(
    path for path in (ROOT / "deepseq_nb").glob("*/*.py") if not path.name.startswith("_")
)


def module_name(path: Path) -> str:
    return f"{path.parent.name}.{path.stem}"


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def committed_files() -> list[Path]:
    """Files git tracks or would add; every file outside build folders where git cannot say."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0 and done.stdout:
        return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    skipped = {
        ".git",
        ".venv",
        "_build",
        "__pycache__",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        "cache",
    }
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not skipped & {*path.relative_to(ROOT).parts}
    ]


@cache
def cells_of(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def prose_of(path: Path) -> str:
    return "\n\n".join(cell.source for cell in cells_of(path) if cell.cell_type == "markdown")


def tags(cell) -> set[str]:
    return {*cell.metadata.get("tags", [])}


def section(text: str, heading: str) -> str | None:
    """What stands under a heading of the second level, up to the next heading of that level or above."""
    found = re.search(rf"^## {heading}[^\n]*\n(.*?)(?=^##? |\Z)", text, re.S | re.M)
    return found and found[1].strip()


def sentences(text: str) -> list[str]:
    """Sentences of a paragraph: a stop, a question or an exclamation mark with a space behind it ends one."""
    plain = re.sub(r"\b(e\.g|i\.e|cf|vs|al|approx|Fig)\.", r"\1", text)
    plain = re.sub(r"`[^`]*`|\$[^$]*\$", "x", plain)
    return [part for part in re.split(r"(?<=[.!?])[*_)\"’”]*\s+", plain.strip()) if part]


# chapters


@pytest.mark.export
def test_notebooks_are_stripped():
    assert [relative(path) for path in book.strip_notebooks(check=True, root=ROOT)] == [], (
        "run: make clean-notebooks"
    )


def test_every_chapter_is_in_the_table_of_contents_and_the_other_way_round():
    listed = {path for path in contents.chapters(ROOT / "_toc.yml") if path.suffix == ".ipynb"}
    assert {relative(path) for path in NOTEBOOKS} == {relative(path) for path in listed}


def test_every_page_of_prose_is_in_the_table_of_contents():
    listed = {relative(path) for path in contents.chapters(ROOT / "_toc.yml")}
    assert {relative(path) for path in (ROOT / "book").rglob("*.md")} <= listed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_chapter_takes_its_parameters_before_anything_else_runs(path):
    """So a name that it does not have, a wrong profile and a missing folder are refused in its first cells."""
    cells = [cell for cell in cells_of(path) if cell.cell_type == "code"]
    declaring = [at for at, cell in enumerate(cells) if "parameters" in tags(cell)]
    taking = [at for at, cell in enumerate(cells) if "take_parameters(In" in cell.source]
    assert len(declaring) == len(taking) == 1
    assert tags(cells[taking[0]]) == {"remove-cell", "download"}
    declared = contents.declared_parameters(path)
    assert declared["profile"] == "'quick'"
    assert taking[0] == declaring[0] + 1
    handed = "".join(f", {name}={name}" for name in ("profile", "data_dir") if name in declared)
    assert cells[taking[0]].source.splitlines()[-1] == f"take_parameters(In{handed})"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_chapter_reads_each_parameter_that_it_declares(path):
    """Handing a name to `take_parameters` is no reading, but for a folder where real families are then found. The profile
    is for the whole book: a chapter to which both are the same has to say so."""
    read, real = set(), False
    for cell in cells_of(path):
        if cell.cell_type == "code" and not {"parameters"} & tags(cell):
            exported = re.search(r"^#\| *export", cell.source, re.M)
            real |= not exported and bool(REAL.search(cell.source))
            if "take_parameters(In" not in cell.source:
                read |= names_read(cell.source)
    declared = {*contents.declared_parameters(path)}
    assert declared - read - {"data_dir", "profile"} == set()
    (comment,) = [
        line
        for cell in cells_of(path)
        if "parameters" in tags(cell)
        for line in cell.source.splitlines()
        if line.startswith("profile")
    ]
    assert comment.endswith(", the same here") == ("profile" not in read)
    assert ("data_dir" in declared) == (real or "data_dir" in read)


# what looks for a real family: a search of the registry for a name, a run of a grid or of an experiment
REAL = re.compile(
    r"""(?<![.\w])(?:registry\.)?find\((?!"synthetic"|"BLAT_ECOLI")|DEEPSEQ_DATA|run_grid\(|Job\("""
)


def names_read(source: str) -> set[str]:
    """Names of the notebook that code reads, without those that are local to a function."""
    found = set()

    def walk(table: symtable.SymbolTable) -> None:
        top = table.get_type() == "module"
        names = [n for n in table.get_symbols() if n.is_referenced() and (top or n.is_global())]
        found.update(name.get_name() for name in names)
        for child in table.get_children():
            walk(child)

    walk(symtable.symtable(re.sub(r"(?m)^(\s*)[!%].*$", r"\1pass", source), "cell", "exec"))
    return found


def test_a_local_name_is_no_reading_of_a_parameter():
    assert names_read("def f():\n    seed = 1\n    return seed") == set()
    assert names_read("def f():\n    return seed") == {"seed"}
    assert names_read("seed = 2\nprint([seed for _ in steps])") == {"print", "seed", "steps"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_parameter_has_a_type_and_a_comment(path):
    """`papermill --help-notebook` shows both."""
    for cell in cells_of(path):
        if "parameters" in tags(cell):
            lines = [line for line in cell.source.splitlines() if not line.startswith("#")]
            form = r"\w+: (?:int|float|str|bool)(?: \| None)? = .+  # \S.+"
            assert [line for line in lines if not re.fullmatch(form, line)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_chapter_asks_for_the_kernel_python3(path):
    assert nbformat.read(path, as_version=4).metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_chapter_says_in_one_sentence_what_it_is_about(path):
    """It is the subtitle of the page and the docstring of the module."""
    lines = [line for line in prose_of(path).splitlines() if line.strip()]
    assert lines[0].startswith("# ") and lines[1].startswith("> ")
    said = lines[1].removeprefix("> ")
    assert re.fullmatch(r"[A-Z0-9`].*\.", said), f"no sentence: {said!r}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_chapter_says_what_is_learnt_and_what_can_go_wrong(path):
    text = prose_of(path)
    assert "**What you will learn" in text
    assert re.search(r"^## What can go wrong", text, re.M)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_chapter_ends_with_a_summary_of_three_sentences(path):
    summary = section(prose_of(path), "Summary")
    assert summary, "no section ## Summary"
    first = summary.split("\n\n")[0]
    assert len(sentences(first)) == 3, sentences(first)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_an_exercise_has_a_solution(path):
    text = prose_of(path)
    asked = re.findall(r"\{exercise\}.*\n:label: *(\S+)", text)
    assert asked, "no exercise"
    assert asked == [label for label in re.findall(r"\{solution\} *(\S+)", text) if label in asked]


def test_labels_of_exercises_are_unique_in_the_book():
    labels = Counter(
        label
        for path in NOTEBOOKS
        for label in re.findall(r"^:label: *(\S+)", prose_of(path), re.M)
    )
    assert [label for label, count in labels.items() if count > 1] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_visible_code_fits_the_page(path):
    hidden = {"hide-input", "remove-cell", "remove-input"}
    wide = [
        line
        for cell in cells_of(path)
        if cell.cell_type == "code" and not hidden & tags(cell)
        for line in cell.source.splitlines()
        if len(line.rstrip()) > 88
    ]
    assert wide == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_caption_begins_as_the_site_expects_it(path):
    """Figures are numbered by the site; a caption that begins otherwise is no caption, and the alternative text of its
    picture the hash of a file."""
    prose = [cell.source for cell in cells_of(path) if cell.cell_type == "markdown"]
    assert [text[:40] for text in prose if re.match(r"\*\*(Figure|Fig\.?) \d", text)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_code_cell_is_short(path):
    """At most 70 lines, shown or folded."""
    code = [cell for cell in cells_of(path) if cell.cell_type == "code"]
    counts = {cell.id: cell.source.count("\n") + 1 for cell in code}
    assert {name: count for name, count in counts.items() if count > 70} == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_chapter_reads_as_a_chapter(path):
    """At least 0.35 characters of prose for each of code."""
    code = sum(len(cell.source) for cell in cells_of(path) if cell.cell_type == "code")
    prose = sum(len(cell.source) for cell in cells_of(path) if cell.cell_type == "markdown")
    assert prose >= 0.35 * code


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_figure_has_its_caption_below_it(path):
    """A cell that opens a figure at its top level is followed by prose that begins with its caption."""
    cells, without = cells_of(path), []
    for position, cell in enumerate(cells):
        drawn = re.search(r"^(\w.*= *)?plt\.(subplots|figure)\(", cell.source, re.M)
        if cell.cell_type != "code" or not drawn or "remove-cell" in tags(cell):
            continue
        below = next((c.source for c in cells[position + 1 :] if c.cell_type == "markdown"), "")
        if not below.startswith("**Figure"):
            without.append(cell.id)
    assert without == []


ONE_SIDED = {"Greys", "cividis"}  # maps of quantities without a better end


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_no_figure_has_colours_that_mean_something_else_elsewhere(path):
    """Named maps are one-sided, or red is the low end (`RdBu`); a map of one's own has blue as its better end."""
    code = "\n".join(cell.source for cell in cells_of(path) if cell.cell_type == "code")
    named = set(re.findall(r"(?:cmap=|get_cmap\(|colormaps\[)\"(\w+)\"", code))
    assert named <= ONE_SIDED | {"RdBu"}
    for ends in re.findall(r"LinearSegmentedColormap\.from_list\(([^)]*)\)", code):
        sides = re.findall(r"\"(vermillion|blue)\"", ends)
        assert sides in ([], ["vermillion", "blue"])


def test_citations_are_in_the_bibliography():
    keys = set(
        re.findall(
            r"^\s*@\w+\s*\{\s*([^,\s]+)\s*,",
            (ROOT / "book" / "references.bib").read_text(),
            re.MULTILINE,
        )
    )
    missing = []
    for path in contents.chapters(ROOT / "_toc.yml", missing_ok=True):
        text = prose_of(path) if path.suffix == ".ipynb" else path.read_text()
        for cited in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text):
            missing += [
                f"{relative(path)}: {key.strip()}"
                for key in cited.split(",")
                if key.strip() not in keys
            ]
    assert missing == []


# modules


@pytest.mark.export
def test_export_changes_nothing(tmp_path):
    shutil.copytree(
        ROOT / "book",
        tmp_path / "book",
        ignore=shutil.ignore_patterns("_build", ".ipynb_checkpoints"),
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "deepseq_nb").mkdir()
    shutil.copy(ROOT / "deepseq_nb" / "__init__.py", tmp_path / "deepseq_nb")
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "none")}
    export = "from nbdev.doclinks import nbdev_export; nbdev_export()"
    done = subprocess.run(
        [sys.executable, "-c", export], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

    def contents(root: Path) -> dict[str, bytes]:
        generated = [*(root / "deepseq_nb").glob("*/[!_]*.py"), root / "deepseq_nb" / "_modidx.py"]
        files = [*generated, root / "pyproject.toml"]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}

    here, exported = contents(ROOT), contents(tmp_path)
    differing = {
        name for name in here.keys() | exported.keys() if here.get(name) != exported.get(name)
    }
    assert differing == set(), "the chapters say otherwise; run: make export"


def test_the_rooms_hold_the_modules_that_are_listed():
    assert {module_name(path) for path in MODULES} == {*ORDER}


def imported_modules(path: Path) -> set[str]:
    """The package's modules that a module imports anywhere, inside functions too, as room.name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{relative(path)}:{node.lineno} imports relatively"
            found |= {
                node.module or "",
                *(f"{node.module}.{alias.name}" for alias in node.names),
            }
    return {name.removeprefix("deepseq_nb.") for name in found} & {*ORDER}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_imports_only_from_floors_below(path):
    own = module_name(path)
    later = {name for name in imported_modules(path) if ORDER.index(name) >= ORDER.index(own)}
    assert later == set(), f"{own} may import only from modules before it"


def test_studies_do_not_need_peers():
    """Both stand on scores; a grid runs where no peer's package is installed."""
    crossing = {
        module_name(path)
        for path in MODULES
        if path.parent.name == "studies"
        and any(name.startswith("peers.") for name in imported_modules(path))
    }
    assert crossing == set()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_is_at_most_500_lines_and_says_what_it_is_for(path):
    text = path.read_text()
    assert text.count("\n") <= 500
    assert ast.get_docstring(ast.parse(text)), "a line `> ...` under the title of its chapter"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_does_not_switch_off_its_type_checks(path):
    assert "from __future__ import " + "annotations" not in path.read_text()


TABLE = re.compile(r"(?<=<!-- rooms -->\n).*?(?=<!-- end of rooms -->)", re.S)


def rooms_table() -> str:
    """The table of CONTRIBUTING.md: a row for each module, its chapter, and the sentence that both begin with."""
    rows = ["| module | chapter | idea |", "| --- | --- | --- |"]
    for name in ORDER:
        text = (ROOT / "deepseq_nb" / f"{name.replace('.', '/')}.py").read_text()
        (chapter,) = re.findall(r"^# AUTOGENERATED!.*/(book/\S+)\.ipynb\.$", text, re.M)
        (idea, *_) = (ast.get_docstring(ast.parse(text)) or "").splitlines() or [""]
        rows.append(f"| `{name}` | `{chapter}` | {idea} |")
    return "\n".join(rows) + "\n"


def test_the_table_of_modules_in_contributing_is_true():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert TABLE.findall(text) == [rooms_table()], "run: make rooms"


# what a stranger calls


def promised() -> list[str]:
    return [name for name in deepseq_nb.__all__ if not inspect.ismodule(getattr(deepseq_nb, name))]


@pytest.mark.parametrize("name", promised())
def test_a_promised_name_says_what_it_does_and_what_it_raises(name):
    thing = getattr(deepseq_nb, name)
    said = thing.__doc__ or ""
    assert said and not said.startswith(f"{name}("), "no docstring of its own"
    if inspect.isfunction(thing) and re.search(r"^\s+raise ", inspect.getsource(thing), re.M):
        assert re.search(r"\b[Rr]aises\b", said), "it raises, and its docstring does not say what"


def test_a_promised_function_gives_the_shapes_of_its_arrays():
    """An array in a signature has its axes in the hint (jaxtyping), or its shape in the docstring."""
    silent = []
    for name in promised():
        thing = getattr(deepseq_nb, name)
        if not inspect.isfunction(thing):
            continue
        hints = [str(hint.annotation) for hint in inspect.signature(thing).parameters.values()]
        bare = [hint for hint in hints if re.search(r"ndarray|Tensor\b", hint) and "[" not in hint]
        if bare and not re.search(r"\([A-Z]+,", thing.__doc__ or ""):
            silent.append(name)
    assert silent == []


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, deepseq_nb; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "pandas", "numba", "matplotlib", "scipy", "pyro", "jax"}
    assert heavy & {*done.stdout.split()} == set()


def test_slow_tests_are_tests_that_exist():
    names = re.findall(
        r"^ *def (test_\w+)",
        "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py")),
        re.M,
    )
    listed = (ROOT / "tests" / "slow_tests.txt").read_text().split()
    assert [name for name in listed if name not in names] == []
    assert len(listed) == len({*listed})


# the environment

CONSTRAINTS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pip_section() -> list[str]:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (section,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    return section


def test_constraints_are_exact_without_build_suffixes_and_without_the_project():
    wrong = [
        line for line in CONSTRAINTS if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line)
    ]
    assert wrong == []
    names = [line.split("==")[0].lower() for line in CONSTRAINTS]
    assert len(names) == len(set(names)) and "deepseq-nb" not in names


def test_constraints_satisfy_every_requirement_of_the_project():
    pinned = dict(line.lower().replace("_", "-").split("==") for line in CONSTRAINTS)
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(text for extra in extras.values() for text in extra)]:
        requirement = Requirement(text)
        if requirement.name != PROJECT["name"]:
            name = requirement.name.lower().replace("_", "-")
            assert name in pinned, (
                f"{name} is in pyproject.toml and not in constraints.txt; run: make constraints"
            )
            assert requirement.specifier.contains(pinned[name]), f"{text} against {pinned[name]}"


def test_conda_users_get_the_same_environment():
    torch = next(line for line in CONSTRAINTS if line.startswith("torch=="))
    section = pip_section()
    assert section == ["-c constraints.txt", torch, "-e .[test]"], (
        "torch first, nothing that constraints.txt does not pin"
    )
    whole = next(text for text in PROJECT["optional-dependencies"]["test"] if "deepseq-nb" in text)
    assert whole == "deepseq-nb[book,engines,tune,unirep]", (
        "the tests have every extra but two: Ray is large, and anndata is not for Python 3.11"
    )
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python{PROJECT['requires-python']}" in conda
    assert re.search(
        rf"^TORCH \?= {re.escape(torch)}$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_takes_no_private_name_of_another(path):
    private = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deepseq_nb")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not private


def test_the_package_that_is_tested_is_this_one():
    origin = Path(book.__file__).resolve().parent
    assert origin == ROOT / "deepseq_nb" / "studies"
    assert metadata.version("deepseq-nb") == PROJECT["version"]


# what is committed


def test_no_registry_and_no_machine_is_named_in_a_committed_file():
    hosts = [
        "py" + "pi.org",
        "python" + "hosted",
        "npm" + "js",
        "deb" + "ian.org",
        "ana" + "conda.org",
        "download.py" + "torch",
    ]
    paths = ["/work" + "/main", "/work" + "/shared", "/root" + "/", "/home" + "/runner"]
    found = []
    for path in committed_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{relative(path)}: {name}" for name in [*hosts, *paths] if name in text]
    assert found == []


def test_no_large_file_and_no_real_data_is_committed():
    assert [relative(path) for path in committed_files() if path.stat().st_size > 1_000_000] == []
    assert (
        sum(path.stat().st_size for path in (ROOT / "data").glob("*") if path.is_file()) < 400_000
    )


def test_the_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "make book" in text and "make test" in text


def test_a_licence_and_a_citation_are_there():
    assert "MIT License" in (ROOT / "LICENSE").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] and citation["license"] == "MIT"


def test_the_bibliography_can_be_read_and_repeats_no_key():
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{([^,\s]+),\n(.*?)^\}$", text, flags=re.S | re.M)
    keys = [key for key, _ in entries]
    assert len(keys) == len(set(keys)) == len(re.findall(r"^@", text, flags=re.M))
    assert all(not re.search(r"^@", body, flags=re.M) for _, body in entries)


def test_what_an_installation_brings_is_what_the_package_requires_and_below():
    """`make sbom` makes its list from this one."""
    listed = subprocess.run(
        [sys.executable, ROOT / ".ci" / "wheel_requirements.py"], capture_output=True, text=True
    )
    versions = dict(line.split("==") for line in listed.stdout.splitlines())
    required = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert required <= {*versions} and "sympy" in versions, listed.stderr
    assert not {"biopython", "pytest", "nbdev", "pooch", "jax"} & {*versions}
    pinned = (ROOT / "constraints.txt").read_text().lower().replace("_", "-").splitlines()
    assert {f"{name}=={version}" for name, version in versions.items()} <= {*pinned}


# the chapter Reference


def test_the_reference_has_all_stable_names_and_each_is_used_there():
    chapter = cells_of(ROOT / "book/reference.ipynb")
    shown = "\n".join(cell.source for cell in chapter if cell.cell_type == "markdown")
    named = re.findall(r"\.\. auto\w+:: deepseq_nb\.(\w+)$", shown, re.M)
    assert sorted(named) == sorted(deepseq_nb._HOME)
    used = "\n".join(cell.source for cell in chapter if cell.cell_type == "code")
    errors = {name for name in named if name.endswith("Error")} - {"ConfigError"}
    unused = [name for name in named if not re.search(rf"\b{name}\b", used)]
    assert set(unused) - errors - {"DeepSequence", "Run"} == set()


def test_the_members_that_the_reference_lists_are_there_and_described():
    """Sphinx passes over a member that has no description without a word."""
    text = "\n".join(cell.source for cell in cells_of(ROOT / "book/reference.ipynb"))
    found = re.findall(r"autoclass:: (deepseq_nb[\w.]*)\.(\w+)\n\s+:members: (.*)", text)
    assert len(found) > 4
    for module, name, members in found:
        cls = getattr(importlib.import_module(module), name)
        source = inspect.getsource(cls)
        for member in members.split(", "):
            field = rf"(#: [^\n]*\n)    {member}: |\n    {member}: [^\n]*  #: "
            method = inspect.getdoc(inspect.getattr_static(cls, member))
            described = re.search(field, source) if member in fields_of(cls) else method
            assert described, f"{name}.{member}"


def fields_of(cls):
    return getattr(cls, "__dataclass_fields__", {})


def test_no_description_of_a_field_is_taken_for_its_type():
    """Napoleon reads what stands before a colon as the type of an attribute."""
    marked = [
        line
        for path in (ROOT / "deepseq_nb").rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"#: .*:", line)
    ]
    assert marked == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_an_exercise_has_a_title(path):
    prose = "\n".join(cell.source for cell in cells_of(path) if cell.cell_type == "markdown")
    assert re.findall(r"```\{exercise\} *\n(.*)", prose) == []
