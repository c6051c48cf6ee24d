"""The key of a run: a hash of everything that its result depends on.

It covers the configuration, the seed, the modules of this repository that the run imports directly
or indirectly, the user's modules and files that the configuration names, and package versions. It
leaves out the processor, since kept runs may come from many machines.
"""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.config.compose import Setup, set_up
from lab.runs.api import composed
from lab.version import software
from scenarios.applications.keyed_tables import SUFFIXES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hardware_models", "scenarios", "sim", "planners", "lab", "studies")
TABLES = ("hardware_models/data", "scenarios/data", "scenarios/traces")
RAW = ROOT / "scenarios/data/raw"
"""Directory of raw tables; runs read only the tables that are derived from these."""

IDLE = ("about",)
"""Keys of a configuration that do not affect results."""

REMEMBERED = 256
"""Setups kept in memory, at 0.2 MB each."""


def fingerprint(modules: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Return a hash of files, tables, and modules with their imports from this repository.

    A module from elsewhere is hashed with its whole top-level package. Raises ValueError if this
    repository has no such module.
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
    """Return the modules of this repository that a module imports, also within functions."""
    tree = ast.parse(_source(module).read_bytes())
    return tuple(dict.fromkeys(name for node in ast.walk(tree) for name in _named(node)))


def _named(node: ast.AST) -> Iterator[str]:
    """Yield the modules loaded by an import statement; the repository has no relative imports."""
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
    if (path := _path(module)) is None:
        raise ValueError(f"{module}: no such module")
    return path


@cache
def _tables() -> frozenset[Path]:
    found = (path for folder in TABLES for path in (ROOT / folder).rglob("*.*"))
    tables = (path for path in found if path.suffix in (".csv", ".toml"))
    return frozenset(path for path in tables if not path.is_relative_to(RAW))


def _foreign(package: str) -> list[Path]:
    """Return the source files of a package or module from elsewhere."""
    spec = find_spec(package) if package else None
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path for folder in folders for path in folder.rglob("*.py")]
    return [] if spec.origin is None else [Path(spec.origin)]


@cache
def _hash(path: Path, modified_ns: int) -> bytes:
    """Return the hash of a file; it is cached until the file is modified."""
    return sha256(path.read_bytes()).digest()


def run_key(overrides: tuple[str, ...], seed: int, module: str, measure: str) -> str:
    """Return the key of a run measured by a function; raise InputError if it cannot run."""
    parts = (
        configuration(overrides),
        str(seed),
        f"{module}.{measure}",
        code(overrides, module),
        json.dumps(software()),
    )
    return sha256("\0".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=REMEMBERED)
def prepared(overrides: tuple[str, ...]) -> tuple[Setup, bool]:
    """Return the setup of a run, and whether its planner is the default; can raise InputError."""
    with_planner, config = composed(overrides)
    return set_up(config, with_planner), len(with_planner) > len(overrides)


@cache
def configuration(overrides: tuple[str, ...]) -> str:
    """Return the configuration of a run as YAML, without `IDLE` keys."""
    config = prepared(overrides)[0].config
    kept = [str(key) for key in config if key not in IDLE]
    return OmegaConf.to_yaml(OmegaConf.masked_copy(config, kept))


@cache
def shipped_configuration() -> str:
    """Return a hash of all shipped configuration files."""
    digest = sha256()
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:32]


@cache
def code(overrides: tuple[str, ...], measure: str) -> str:
    """Return a hash of the source code and files of a run, and of the measure's module."""
    nodes = list(_nodes(OmegaConf.to_container(prepared(overrides)[0].config)))
    targets = [
        node["_target_"] for node in nodes if isinstance(node, Mapping) and "_target_" in node
    ]
    modules = sorted({str(target).rpartition(".")[0] for target in targets})
    paths = {path for node in nodes if isinstance(node, str) and node for path in _files(node)}
    return fingerprint(["lab.runs.api", measure, *modules], paths)


def _nodes(node: Any) -> Iterator[Any]:
    """Yield a node of a configuration and all nodes below it."""
    yield node
    if isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            yield from _nodes(child)


def _files(text: str) -> Iterator[Path]:
    """Yield the file that a text names, or the tables in a directory that it names."""
    try:
        path = Path(text)
        if path.is_file():
            yield path
        elif path.is_dir():
            tables = (one for one in path.iterdir() if one.suffix.lower() in (*SUFFIXES, ".toml"))
            yield from (one for one in tables if one.is_file())
    except (OSError, ValueError):
        pass  # The text is not a path, or the directory cannot be read.
