"""The modules under test, their possible mutants, and a sample of these.

cosmic-ray says what can be mutated and how. Left out are type annotations, which nothing reads;
compiled functions and the constants that they read, because such a mutant would be compiled anew;
and removed decorators, since without them all fails, or only the speed changes.
"""

import ast
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

PACKAGES = ("sim/cluster", "sim/controlplane", "sim/metrics", "sim/planning", "planners/compass")
COMPILES = {"compiled", "in_place", "inlined"}
"""The decorators of ``scenarios.compiled``."""

Position = tuple[int, int]


def modules() -> list[str]:
    """Return the paths of the modules under test, relative to the repository, sorted."""
    found = (path for package in PACKAGES for path in Path(package).rglob("*.py"))
    return sorted(str(path) for path in found if path.name != "__init__.py")


@dataclass(frozen=True)
class Mutant:
    """One small change of a module."""

    module: str  # path of its file
    operator: str  # of cosmic-ray
    occurrence: int  # which of the places in the module where the operator applies
    start: Position  # line from 1 and column from 0
    end: Position

    @property
    def name(self) -> str:
        """What identifies it as long as the module is the same."""
        operator = self.operator.partition("/")[2]
        return f"{self.module}:{self.start[0]}:{self.start[1]} {operator} {self.occurrence}"

    @property
    def lines(self) -> range:
        """The changed lines."""
        return range(self.start[0], self.end[0] + 1)

    @cached_property
    def source(self) -> str:
        """The module with the change."""
        changed = mutate_code(
            Path(self.module).read_text(), get_operator(self.operator)(), self.occurrence
        )
        assert changed is not None
        return str(changed)

    @property
    def change(self) -> tuple[str, str]:
        """The first changed line, before and after, without indentation."""
        texts = Path(self.module).read_text(), self.source
        pairs = zip(*(text.splitlines() for text in texts), strict=False)
        before, after = next((old, new) for old, new in pairs if old != new)
        return before.strip(), after.strip()


def sample(count: int, seed: int) -> list[Mutant]:
    """Draw mutants at random, in proportion to the modules' numbers of lines, in random order.

    A place in the code is drawn first, and then one of its mutants, because some places have many.
    """
    places = {module: found for module in modules() if (found := _by_place(module))}
    lines = {module: len(Path(module).read_text().splitlines()) for module in places}
    quota = {module: count * many / sum(lines.values()) for module, many in lines.items()}
    take = {module: int(share) for module, share in quota.items()}
    largest = sorted(quota, key=lambda module: (take[module] - quota[module], module))
    for module in largest[: count - sum(take.values())]:
        take[module] += 1
    drawn: list[Mutant] = []
    for module, many in take.items():
        rng, there = random.Random(f"{seed} {module}"), places[module]
        shuffled = (
            rng.sample(there[at], len(there[at])) for at in rng.sample(list(there), len(there))
        )
        found = (next(filter(_is_python, some), None) for some in shuffled)
        drawn += islice(filter(None, found), many)
    random.Random(seed).shuffle(drawn)
    return drawn


def _by_place(module: str) -> dict[tuple[Position, Position], list[Mutant]]:
    found: dict[tuple[Position, Position], list[Mutant]] = defaultdict(list)
    for mutant in mutants(module):
        found[mutant.start, mutant.end].append(mutant)
    return dict(sorted(found.items()))


def _is_python(mutant: Mutant) -> bool:
    try:
        ast.parse(mutant.source)
    except SyntaxError:
        return False
    return True


def mutants(module: str) -> Iterator[Mutant]:
    """Yield all mutants of a module that a test should detect."""
    text = Path(module).read_text()
    nodes, left_out = list(ast_nodes(get_ast(text))), list(_left_out(ast.parse(text)))
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments() or name == "core/RemoveDecorator":
            continue
        operator = kind()
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(places):
            if not any(first <= start and end <= last for first, last in left_out):
                yield Mutant(module, name, occurrence, tuple(start), tuple(end))


def _left_out(tree: ast.Module) -> Iterator[tuple[Position, Position]]:
    """Yield the parts of a module that are not mutated, as pairs of positions."""
    read: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {getattr(each, "id", None) for each in node.decorator_list}
            if names & COMPILES:
                yield _span(node.decorator_list[0])[0], _span(node)[1]
                read |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            if node.returns is not None:
                yield _span(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield _span(node.annotation)
        elif isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            yield _span(node)
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            types = isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.BitOr)
            if targets & read or types:  # an alias such as ``Model = A | B``
                yield _span(node)


def _span(node: ast.expr | ast.stmt) -> tuple[Position, Position]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
