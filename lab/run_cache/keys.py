"""The key of a run: a hash of everything that its result depends on.

It covers the configuration, the seed, the behaviour versions of the world and of the planner, the
files that the configuration names, and the source of classes that have no version. It does not
cover other code, packages or the processor: the signature (``python -m tests.signature``) notices
whether those change results.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.behaviour import versions_of
from lab.config.compose import Setup, set_up
from lab.runs.api import composed
from scenarios.applications.keyed_tables import SUFFIXES

ROOT = Path(__file__).resolve().parents[2]
VERSIONED = ("hardware_models", "scenarios", "sim", "planners")
"""Packages whose behaviour has versions."""

IDLE = ("about",)
"""Keys of a configuration that do not affect results."""

REMEMBERED = 256
"""Setups kept in memory."""


def run_key(overrides: tuple[str, ...], seed: int, module: str, measure: str) -> str:
    """Return the key of a run measured by a function; raise InputError if it cannot run.

    A measure whose meaning changes gets another name.
    """
    parts = (configuration(overrides), str(seed), f"{module}.{measure}", behaviour(overrides))
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
def behaviour(overrides: tuple[str, ...]) -> str:
    """Return the behaviour versions of a run, and a hash of the unversioned files that it uses."""
    setup = prepared(overrides)[0]
    versions = [versions_of(planner) for planner in setup.planners.values()]
    nodes = list(_nodes(OmegaConf.to_container(setup.config)))
    files = {path for node in nodes if isinstance(node, str) and node for path in _files(node)}
    for node in nodes:
        if isinstance(node, Mapping) and "_target_" in node:
            files.update(_source(str(node["_target_"]).rpartition(".")[0]))
    return json.dumps(versions) + digest_of(files)


def digest_of(files: set[Path]) -> str:
    """Return a hash of the names and contents of files."""
    digest = sha256()
    for path in sorted(files):
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        digest.update(shown.as_posix().encode() + b"\0" + _hash(path, path.stat().st_mtime_ns))
    return digest.hexdigest()[:32]


@cache
def _hash(path: Path, modified_ns: int) -> bytes:
    """Return the hash of a file; it is cached until the file is modified."""
    return sha256(path.read_bytes()).digest()


def _source(module: str) -> list[Path]:
    """Return the files of an unversioned module: itself if it is ours, else its whole package."""
    package = module.partition(".")[0]
    if package in VERSIONED:
        return []
    ours = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    if ours.is_file() and package in ("lab", "studies"):
        return [ours]
    spec = find_spec(package) if package else None
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path for folder in folders for path in folder.rglob("*.py")]
    return [] if spec.origin is None else [Path(spec.origin)]


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
