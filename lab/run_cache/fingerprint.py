"""What a run's result depends on in this repository, as one hash.

A cached result may be used again only if nothing that it came from has changed. That is the source
of all modules that can be reached by imports from those that made it, and the tables; a change to
one planner so leaves the results of the others valid.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hardware_models", "scenarios", "sim", "planners", "lab", "studies")
TABLES = ("hardware_models/data", "scenarios/data", "scenarios/traces")
UNREAD = ("scenarios/data/raw",)
"""Tables that only derivations read, whose results are tables too."""


def fingerprint(modules: Iterable[str]) -> str:
    """Return a hash of the modules, of all that they import of this repository, and of the tables.

    Args:
        modules: full names.
    """
    found: set[str] = set()
    left = [name for name in modules if _is_ours(name)]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += imported(name)
    digest = sha256(tables().encode())
    for name in sorted(found):
        digest.update(name.encode() + b"\0" + _source(name))
    return digest.hexdigest()[:16]


def theirs(modules: Iterable[str], paths: Iterable[Path]) -> str:
    """Return a hash of what others wrote: source beside these modules, and contents of files.

    Args:
        modules: full names; of those that are not ours, all source of their package counts, or that
            of the module where there is no package.
        paths: files.
    """
    sources = {
        path
        for name in modules
        if name and not _is_ours(name)
        for path in _sources(name.partition(".")[0])
    }
    digest = sha256()
    for path in sorted(sources | set(paths)):
        digest.update(path.as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path for folder in folders for path in folder.rglob("*.py")]
    return [] if spec.origin is None else [Path(spec.origin)]


@cache
def tables() -> str:
    """Return a hash of all tables that runs read."""
    digest = sha256()
    for folder in TABLES:
        for path in sorted((ROOT / folder).rglob("*.csv")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(UNREAD):
                digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def imported(module: str) -> tuple[str, ...]:
    """Return the modules of this repository that a module names in imports, wherever they stand."""
    names: dict[str, None] = {}
    for node in ast.walk(ast.parse(_source(module))):
        names.update(dict.fromkeys(_named(node)))
    return tuple(names)


def _named(node: ast.AST) -> Iterator[str]:
    """Yield the modules that an import statement loads; relative ones are not in use here."""
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names if _is_ours(each.name))
    elif isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
        inner = [f"{node.module}.{each.name}" for each in node.names]
        modules = [name for name in inner if _file(name) is not None]
        yield from modules
        if len(modules) < len(inner):
            yield node.module


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


@cache
def _file(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


@cache
def _source(module: str) -> bytes:
    path = _file(module)
    if path is None:
        raise ValueError(f"{module}: there is no such module")
    return path.read_bytes()
