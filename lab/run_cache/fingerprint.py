"""A hash of the source code and files that a run's result depends on.

Of this repository, these are the modules that the run's own modules import, directly or not.
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
RAW = ROOT / "scenarios/data/raw"
"""Tables that runs do not read; other tables are derived from them."""


def fingerprint(modules: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Return a hash of files, tables, and modules with what they import from this repository.

    A module from elsewhere stands for its top-level package.
    Raises ValueError if this repository has no such module.
    """
    found: set[str] = set()
    left = list(modules)
    paths = {*files, *_tables()}
    while left:
        name = left.pop()
        if not _is_ours(name):
            paths.update(_foreign(name.partition(".")[0]))
        elif name not in found:
            found.add(name)
            paths.add(_source(name))
            left += imported(name)
    digest = sha256()
    for path in sorted(paths):
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        digest.update(shown.as_posix().encode() + b"\0" + _hash(path, path.stat().st_mtime_ns))
    return digest.hexdigest()[:32]


@cache
def imported(module: str) -> tuple[str, ...]:
    """Return the modules of this repository that a module imports, anywhere in its source."""
    tree = ast.parse(_source(module).read_bytes())
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


def _source(module: str) -> Path:
    path = _path(module)
    if path is None:
        raise ValueError(f"{module}: there is no such module")
    return path


@cache
def _tables() -> frozenset[Path]:
    """Return the tables that runs read."""
    found = (path for folder in TABLES for path in (ROOT / folder).rglob("*.*"))
    tables = (path for path in found if path.suffix in (".csv", ".toml"))
    return frozenset(path for path in tables if not path.is_relative_to(RAW))


def _foreign(package: str) -> list[Path]:
    """Return the source files of a package from elsewhere, or of a single module."""
    spec = find_spec(package) if package else None
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path for folder in folders for path in folder.rglob("*.py")]
    return [] if spec.origin is None else [Path(spec.origin)]


@cache
def _hash(path: Path, modified_ns: int) -> bytes:
    """Return the hash of a file, read once for each time of its last change."""
    return sha256(path.read_bytes()).digest()
