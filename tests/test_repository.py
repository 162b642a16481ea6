"""What the repository promises as a whole: modules come from chapters, one environment, nothing private committed."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

from deepseq_nb.studies import book, contents

ROOT = Path(__file__).resolve().parents[1]
# a module imports only from modules before it, and so only from its own room or a lower one
ROOMS = {
    "core": ("errors", "settings", "files", "machine"),
    "family": (
        "focus", "formats", "reading", "alignment", "weights", "weight_files", "depth", "notation", "variants",
        "assays", "synthetic", "registry",
    ),
    "model": ("priors", "kernels", "network", "training", "checkpoints", "loop", "graphs", "runs"),
    "scores": (
        "scorer", "fast", "scoring", "metrics", "evaluation", "style", "heatmap", "logo", "figures",
    ),
    "peers": (
        "additive", "sites", "pseudolikelihood", "potts", "pickles", "theano", "parity",
        "pyro_model", "engines",
    ),
    "studies": ("results", "contents", "execution", "site", "book", "grid", "jobs", "runner"),
    "cli": (
        "options", "train", "score", "evaluate", "data", "original", "studies", "main",
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


# chapters


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
def test_a_chapter_has_one_parameters_cell_with_the_four_names(path):
    cells = nbformat.read(path, as_version=4).cells
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
    declared = contents.declared_parameters(path)
    assert {"profile", "data_dir", "seed", "device"} <= {*declared}
    assert declared["profile"] == "'quick'"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=relative)
def test_a_chapter_asks_for_the_kernel_python3(path):
    assert nbformat.read(path, as_version=4).metadata.kernelspec.name == "python3"


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
        text = path.read_text()
        if path.suffix == ".ipynb":
            cells = nbformat.reads(text, as_version=4).cells
            text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for cited in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text):
            missing += [
                f"{relative(path)}: {key.strip()}"
                for key in cited.split(",")
                if key.strip() not in keys
            ]
    assert missing == []


# modules


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
    for text in [*PROJECT["dependencies"], *extras["book"], *extras["test"]]:
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
    assert (
        "test" in PROJECT["optional-dependencies"]
        and "deepseq-nb[book]" in PROJECT["optional-dependencies"]["test"]
    )
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python{PROJECT['requires-python']}" in conda
    assert re.search(
        rf"^TORCH \?= {re.escape(torch)}$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )


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
