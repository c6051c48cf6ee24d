"""Hashes of the source code and the tables that the result of a run depends on.

Of this repository, that is all modules that can be reached by imports from those that make the run,
so a change of one planner does not affect the results of others.
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
RAW = "scenarios/data/raw"
"""Tables that runs do not read; other tables are derived from them."""


def fingerprint(modules: Iterable[str]) -> str:
    """Return a hash of modules of this repository, of all they import from it, and of the tables.

    Args:
        modules: full names; those of other packages are ignored.

    Raises:
        ValueError: there is no such module.
    """
    found: set[str] = set()
    left = [name for name in modules if _is_ours(name)]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += imported(name)
    return _digest(tables().encode(), *(part for name in sorted(found) for part in _source(name)))


def foreign_fingerprint(modules: Iterable[str], paths: Iterable[Path]) -> str:
    """Return a hash of source code from outside this repository, and of files.

    Args:
        modules: full names; of each, the whole top-level package counts.
        paths: files.
    """
    packages = {name.partition(".")[0] for name in modules if name and not _is_ours(name)}
    sources = {path for package in packages for path in _sources(package)}
    read = sorted(sources | set(paths))
    return _digest(*(part for path in read for part in (_name(path), path.read_bytes())))


@cache
def tables() -> str:
    """Return a hash of all tables that runs read."""
    paths = [path for folder in TABLES for path in sorted((ROOT / folder).rglob("*.csv"))]
    read = [path for path in paths if not path.is_relative_to(ROOT / RAW)]
    return _digest(
        *(part for path in read for part in (_name(path.relative_to(ROOT)), path.read_bytes()))
    )


@cache
def imported(module: str) -> tuple[str, ...]:
    """Return the modules of this repository that a module imports, anywhere in its source."""
    tree = ast.parse(_source(module)[1])
    return tuple(dict.fromkeys(name for node in ast.walk(tree) for name in _named(node)))


def _named(node: ast.AST) -> Iterator[str]:
    """Yield the modules that an import statement loads; the repository has no relative imports."""
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names if _is_ours(each.name))
    elif isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
        inner = [f"{node.module}.{each.name}" for each in node.names]
        modules = [name for name in inner if _path(name) is not None]
        yield from modules
        if len(modules) < len(inner):
            yield node.module


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


@cache
def _path(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    options = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((each for each in options if each.is_file()), None)


@cache
def _source(module: str) -> tuple[bytes, bytes]:
    """Return the name and the source of a module."""
    path = _path(module)
    if path is None:
        raise ValueError(f"{module}: there is no such module")
    return module.encode(), path.read_bytes()


def _sources(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path for folder in folders for path in folder.rglob("*.py")]
    return [] if spec.origin is None else [Path(spec.origin)]


def _name(path: Path) -> bytes:
    return path.as_posix().encode()


def _digest(*parts: bytes) -> str:
    """Return a hash of parts, each told from the next."""
    return sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()[:16]
