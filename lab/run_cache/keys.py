"""The key of a run: a hash of everything its result depends on.

It covers the configuration, the seed, the source code, the user's modules and files that the
configuration names, and the versions of packages.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.config.compose import Setup, set_up
from lab.run_cache.fingerprint import fingerprint
from lab.runs.api import composed
from lab.version import versions
from scenarios.applications.keyed_tables import SUFFIXES

IDLE = ("about",)
"""Keys of a configuration that no result depends on."""

REMEMBERED = 256
"""Setups that stay in memory, at 0.2 MB each."""


def run_key(overrides: tuple[str, ...], seed: int, module: str, measure: str) -> str:
    """Return the key of a run and of its measure in a module; raise InputError if it cannot run."""
    parts = (
        configuration(overrides),
        str(seed),
        f"{module}.{measure}",
        code(overrides, module),
        json.dumps(versions()),
    )
    return sha256("\0".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=REMEMBERED)
def prepared(overrides: tuple[str, ...]) -> tuple[Setup, bool]:
    """Return the setup of a run, and whether its planner is the default; raise InputError."""
    with_planner, config = composed(overrides)
    return set_up(config, with_planner), len(with_planner) > len(overrides)


@cache
def configuration(overrides: tuple[str, ...]) -> str:
    """Return the configuration of a run as YAML, without keys that no result depends on."""
    config = prepared(overrides)[0].config
    kept = [str(key) for key in config if key not in IDLE]
    return OmegaConf.to_yaml(OmegaConf.masked_copy(config, kept))


@cache
def code(overrides: tuple[str, ...], measure: str) -> str:
    """Return a hash of the source code and files of a run and of the module of its measure."""
    nodes = list(_nodes(OmegaConf.to_container(prepared(overrides)[0].config)))
    targets = [
        node["_target_"] for node in nodes if isinstance(node, Mapping) and "_target_" in node
    ]
    modules = sorted({str(target).rpartition(".")[0] for target in targets})
    paths = {path for node in nodes if isinstance(node, str) and node for path in _files(node)}
    return fingerprint(["lab.runs.api", measure, *modules], paths)


def forget() -> None:
    """Forget what was composed and read; call it after a file has changed."""
    for each in (prepared, configuration, code):
        each.cache_clear()


def _nodes(node: Any) -> Iterator[Any]:
    """Yield a node of a configuration and all nodes below it."""
    yield node
    if isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            yield from _nodes(child)


def _files(text: str) -> Iterator[Path]:
    """Yield the file that a text names, or the tables in the directory that it names."""
    try:
        path = Path(text)
        if path.is_file():
            yield path
        elif path.is_dir():
            tables = (one for one in path.iterdir() if one.suffix.lower() in (*SUFFIXES, ".toml"))
            yield from (one for one in tables if one.is_file())
    except (OSError, ValueError):
        pass  # The text is no path, or the directory cannot be read.
