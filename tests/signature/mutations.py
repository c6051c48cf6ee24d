"""Does the signature notice small faults? It is run on mutations of `sim` and `planners`.

A mutation changes a constant of a formula, a constant of a module, or one comparison. `drawn` draws
them at random with a fixed seed, at most one of each module. Left out is what decides nothing about
a run: checks of input, texts, forks, resumed runs. Left out are also compiled functions, whose
machine code is stored; ``pytest -k invariant_agreement`` compares these with the plain ones.
"""

import ast
import os
import random
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("mutations.toml")
COUNT, SEED = 40, 65
LIMIT_S = 200
PLACE = "COMPASS_MUTATION"
"""The environment variable that gives a child process the module and the file of its mutation."""

LEFT_OUT = ("conformance", "safe_text", "profiling_log", "recording", "guard", "hints", "behaviour")
"""Modules that decide nothing about a run."""

COMPILED = {"compiled", "in_place", "inlined"}
OPPOSITE = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
"""Comparisons are reversed; `<` instead of `<=` seldom matters for measured quantities."""


@dataclass(frozen=True)
class Mutation:
    """A change of one line."""

    module: str  # path of its file
    before: str  # the line, without indentation
    after: str
    harmless: bool = False  # it decides nothing about the runs of the signature

    def source(self) -> str:
        """Return the text of the module with the change; the line must be there once."""
        text = (ROOT / self.module).read_text(encoding="utf-8")
        assert text.count(f"{self.before}\n") == 1, f"{self.module}: {self.before}"
        return text.replace(f"{self.before}\n", f"{self.after}\n")


def noticed(mutation: Mutation, folder: Path) -> bool:
    """Return whether the signature differs under a mutation, or its runs fail."""
    changed = folder / "mutated.py"
    changed.write_text(mutation.source(), encoding="utf-8")
    code = "from tests.signature.mutations import child; child()"
    environment = os.environ | {PLACE: f"{mutation.module}={changed}"}
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def child() -> None:
    """Make the runs of the signature under a mutation until one has moved; exit 1 then."""
    module, _, changed = os.environ[PLACE].partition("=")
    name = module.removesuffix(".py").replace("/", ".")

    class Finder(MetaPathFinder):
        def find_spec(self, fullname, path, target=None):
            spec = PathFinder.find_spec(fullname, path) if fullname == name else None
            if spec is not None:
                spec.loader = _Loader(fullname, str(ROOT / module))
            return spec

    class _Loader(SourceFileLoader):
        def get_code(self, fullname):
            return compile(Path(changed).read_bytes(), self.path, "exec", dont_inherit=True)

    sys.meta_path.insert(0, Finder())
    from tests.signature.record import Record
    from tests.signature.runs import NAMES, made

    kept = Record.read()
    for each in NAMES:
        if kept.problems(Record.of({each: made(each)})):
            sys.exit(1)


def drawn() -> Iterator[Mutation]:
    """Yield mutations of modules in random order, one each."""
    rng = random.Random(SEED)
    modules = [
        path.relative_to(ROOT).as_posix()
        for package in ("sim", "planners")
        for path in sorted((ROOT / package).rglob("*.py"))
        if not {path.stem, *path.parts} & {*LEFT_OUT}
    ]
    for module in rng.sample(modules, len(modules)):
        found = list(mutations(module))
        if found:
            yield rng.choice(found)


def mutations(module: str) -> Iterator[Mutation]:
    """Yield all mutations of a module that can be written as a change of one line."""
    text = (ROOT / module).read_text(encoding="utf-8")
    lines, tree = text.splitlines(), ast.parse(text)
    skipped = {part for node in _skipped(tree) for part in ast.walk(node)}
    parameters = {
        each for node in tree.body if isinstance(node, ast.Assign) for each in ast.walk(node)
    }
    parameters |= {
        each
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        for each in (node.left, node.right)
    }
    for node in ast.walk(tree):
        if node in skipped or getattr(node, "lineno", 0) != getattr(node, "end_lineno", 1):
            continue
        if isinstance(node, ast.Constant) and node not in parameters:
            continue
        if (changed := _changed(node)) is None:
            continue
        line = lines[node.lineno - 1]
        after = line[: node.col_offset] + changed + line[node.end_col_offset :]
        if text.count(f"{line.strip()}\n") == 1:
            yield Mutation(module, line.strip(), after.strip())


def _changed(node: ast.AST) -> str | None:
    """Return a constant or a comparison with a change, or None for other code."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return repr(1.5 * node.value or 1.0 if isinstance(node.value, float) else node.value + 1)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPPOSITE:
        other = OPPOSITE[type(node.ops[0])]()
        return ast.unparse(ast.Compare(node.left, [other], node.comparators))
    return None


def _skipped(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the parts of a module that decide nothing, or whose machine code is stored."""
    compiled: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = {getattr(each, "id", None) for each in node.decorator_list}
            described = node.name in ("__repr__", "__str__") or node.name.startswith("check")
            if names & COMPILED:
                compiled |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            if names & COMPILED or described:
                yield node
        elif isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise):
            yield node.test
        elif isinstance(node, ast.Assert | ast.Raise | ast.JoinedStr):
            yield node
    for node in tree.body:  # Compiled functions read these constants.
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            if targets & compiled or any(name.startswith(("MOST", "VERSION")) for name in targets):
                yield node
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.Assign) and "behaviour" in ast.unparse(part.targets[0]):
                    yield part


def listed() -> list[Mutation]:
    """Return the mutations of ``mutations.toml``."""
    found = tomllib.loads(FILE.read_text(encoding="utf-8"))["mutation"]
    return [Mutation(**each) for each in found]
