"""Small faults put into the package, one at a time: which of them do the tests of their module not see?

    python benchmarks/mutants.py --rooms scores family --each 5 --out mutants.jsonl

A fault is a comparison that is off by one or turned, another operator, a number one larger, a condition negated, a named argument
or a statement that only calls something left out. Each is made in a copy of the package, and the module's own tests run on it
(`tests/ROOM/test_MODULE.py`, else all files of the room that name the module), first the fast ones, then, if those pass, the
slow ones; with `--fast` only those. A run that was stopped goes on where it was: what is in the file is not tried again. `--table` prints what it holds.

What survives is no rate of errors: some mutants mean the same as the original, and are for a reader to judge.
"""

import argparse
import ast
import contextlib
import copy
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
COMPUTED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Mult,
}  # fmt: skip


def variations(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node: each a small fault."""
    if isinstance(node, ast.Compare):
        for place, kind in enumerate(node.ops):
            if type(kind) in COMPARED:
                other = copy.deepcopy(node)
                other.ops[place] = COMPARED[type(kind)]()
                yield other
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
        yield ast.BinOp(node.left, COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.If | ast.IfExp) and not isinstance(
        node.test, ast.Compare | ast.UnaryOp
    ):
        other = copy.copy(node)
        other.test = ast.UnaryOp(ast.Not(), node.test)
        yield other
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()
    elif isinstance(node, ast.Call):
        for place, named in enumerate(node.keywords):
            if named.arg not in (None, "strict"):  # of zip: says what holds anyway
                yield ast.Call(
                    node.func, node.args, node.keywords[:place] + node.keywords[place + 1 :]
                )


def _left_alone(parent: ast.AST, field: str) -> bool:
    """Hints, decorators, what an error says, text in f-strings: a fault there is none."""
    if field in ("annotation", "returns", "decorator_list", "format_spec", "exc", "msg"):
        return True
    return isinstance(parent, ast.JoinedStr) and field == "values"


def places(tree: ast.AST, path: tuple = ()) -> Iterator[tuple[tuple, ast.AST, ast.AST]]:
    """Every variation of a module: where, the node, and what takes its place."""
    for field, value in ast.iter_fields(tree):
        if _left_alone(tree, field):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                here = (*path, (field, index))
                yield from ((here, child, other) for other in variations(child))
                yield from places(child, here)


def mutated(source: str, number: int) -> tuple[str, int, str, str]:
    """A module with its fault of this number: the text, its line, and the piece before and after."""
    tree = ast.parse(source)
    where, node, other = list(places(tree))[number]
    before, line = ast.unparse(node).split("\n")[0][:120], node.lineno
    parent = tree
    for field, index in where[:-1]:
        parent = getattr(parent, field) if index is None else getattr(parent, field)[index]
    field, index = where[-1]
    if index is None:
        setattr(parent, field, other)
    else:
        getattr(parent, field)[index] = other
    whole = ast.unparse(ast.fix_missing_locations(tree))
    return whole, line, before, ast.unparse(ast.fix_missing_locations(other)).split("\n")[0][:120]


def tests_of(module: str) -> list[str]:
    """The module's own tests, or those of its room that name it."""
    room, name = module.split(".")
    own = ROOT / "tests" / room / f"test_{name}.py"
    files = [own] if own.exists() else sorted((ROOT / "tests" / room).glob("test_*.py"))
    word = re.compile(rf"\b{room}\.{name}\b|\b{room} import (.*\b)?{name}\b")
    found = [file for file in files if file == own or word.search(file.read_text())]
    return [str(file.relative_to(ROOT)) for file in found]


def tested(copy_at: Path, files: list[str], which: str, limit: float) -> tuple[str, float]:
    """pytest in a fork, on the copy: `passed`, `failed`, `hung` or `none`, and its seconds."""
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        sys.path.insert(0, str(copy_at))
        os.environ["PYTHONPATH"] = str(copy_at)
        os.environ.pop("PYTEST_XDIST_WORKER", None)
        os.chdir(ROOT)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        import pytest

        basetemp = copy_at / "pytest"
        options = [
            "-x",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            "-m",
            which,
            f"--basetemp={basetemp}",
            "-o",
            "addopts=",
        ]
        options += ["--jaxtyping-packages=deepseq_nb,beartype.beartype", "--strict-markers"]
        os._exit(int(pytest.main([*options, *files])))
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() - begun > limit:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hung", time.monotonic() - begun
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # whatever the tests left running
    code = os.waitstatus_to_exitcode(done[1])
    return {0: "passed", 5: "none"}.get(code, "failed"), time.monotonic() - begun


def judged(
    copy_at: Path, module: str, number: int | None, limits: dict[str, float], fast: bool = False
) -> dict:
    """One mutant of a module, or with None the module as it is: what the tests say, and how long they took."""
    source = (ROOT / "deepseq_nb" / f"{module.replace('.', '/')}.py").read_text()
    text, line, before, after = (source, 0, "", "") if number is None else mutated(source, number)
    target = copy_at / "deepseq_nb" / f"{module.replace('.', '/')}.py"
    target.write_text(text)
    said = {}
    try:
        for which in ("not slow",) if fast else ("not slow", "slow"):
            if number is not None and which not in limits:
                continue
            verdict, seconds = tested(copy_at, tests_of(module), which, limits.get(which, 900.0))
            said[which] = (verdict, seconds)
            if verdict in ("failed", "hung"):
                break
    finally:
        target.write_text(source)
    verdicts = [verdict for verdict, _ in said.values()]
    fate = "killed" if {"failed", "hung"} & set(verdicts) else "survived"
    return {
        "module": module, "number": number, "line": line, "before": before, "after": after, "fate": fate,
        "how": verdicts[-1],
        "seconds": {which: round(spent, 1) for which, (verdict, spent) in said.items() if verdict != "none"},
    }  # fmt: skip


def chosen(rooms: list[str], each: int, seed: int) -> list[tuple[str, int]]:
    """So many mutants of each module that has tests, drawn without replacement; a room is all of its modules."""
    found = []
    for asked in rooms:
        room, _, one = asked.partition(".")
        for path in sorted((ROOT / "deepseq_nb" / room).glob(f"{one or '*'}.py")):
            module = f"{room}.{path.stem}"
            if path.stem != "__init__" and tests_of(module):
                count = sum(1 for _ in places(ast.parse(path.read_text())))
                numbers = random.Random(f"{seed} {module}").sample(range(count), min(each, count))
                found += [(module, number) for number in numbers]
    return found


def report(path: Path) -> str:
    """How many were killed, by module, and each that was not."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    tried = [row for row in rows if row["number"] is not None]
    lines, text = [], io.StringIO()
    for module in sorted({row["module"] for row in tried}):
        mine = [row for row in tried if row["module"] == module]
        lines.append((module, len(mine), sum(row["fate"] == "killed" for row in mine)))
    for module, n, killed in [
        *lines,
        ("all", len(tried), sum(row["fate"] == "killed" for row in tried)),
    ]:
        print(f"{module:28s} {n:4d} tried {killed:4d} killed {n - killed:4d} survived", file=text)
    for row in tried:
        if row["fate"] == "survived":
            print(f"{row['module']}:{row['line']}: {row['before']}  ->  {row['after']}", file=text)
    return text.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rooms",
        nargs="+",
        default=["scores", "family"],
        help="rooms, or modules as in family.weights",
    )
    parser.add_argument(
        "--each", type=int, default=5, metavar="N", help="mutants of each module (default: 5)"
    )
    parser.add_argument("--fast", action="store_true", help="without the slow tests")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument(
        "--table", action="store_true", help="print what the file holds, try nothing"
    )
    args = parser.parse_args()
    if args.table:
        print(report(args.out), end="")
        return
    import matplotlib  # noqa: F401  imported once, before the forks: a mutant starts in a moment
    import numba  # noqa: F401
    import pandas  # noqa: F401
    import torch  # noqa: F401

    known = (
        [json.loads(line) for line in args.out.read_text().splitlines()]
        if args.out.exists()
        else []
    )
    done = {(row["module"], row["number"]) for row in known}
    healthy = {row["module"]: row for row in known if row["number"] is None}
    with tempfile.TemporaryDirectory() as folder, args.out.open("a") as file:
        copy_at = Path(folder)
        shutil.copytree(
            ROOT / "deepseq_nb",
            copy_at / "deepseq_nb",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        for name in ("_toc.yml", "pyproject.toml"):
            shutil.copy(ROOT / name, copy_at / name)
        for name in ("data", "results"):
            shutil.copytree(ROOT / name, copy_at / name)
        for module, number in chosen(args.rooms, args.each, args.seed):
            if module not in healthy:
                healthy[module] = judged(copy_at, module, None, {}, args.fast)
                print(json.dumps(healthy[module]), file=file, flush=True)
            if healthy[module]["fate"] == "killed":
                print(f"{module}: its tests fail without a fault, so nothing is tried", flush=True)
                continue
            if (module, number) in done:
                continue
            spent = healthy[module]["seconds"]
            limits = {which: max(60.0, 8 * seconds) for which, seconds in spent.items()}
            row = judged(copy_at, module, number, limits, args.fast)
            print(json.dumps(row), file=file, flush=True)
            print(
                f"{row['fate']:8s} {module}:{row['line']}: {row['before']}  ->  {row['after']}",
                flush=True,
            )
    print(report(args.out), end="")


if __name__ == "__main__":
    main()
