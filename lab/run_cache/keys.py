"""What the result of a run depends on, as texts that make its key.

That is the configuration as the run has it, the source that it is made by, and what others wrote:
their source, and the files that the configuration names. (Of versions, `lab.version` knows.) A
configuration is composed and set up once, for whoever asks of it: the key, the price, the check
that it can be run.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.config.compose import Setup, set_up
from lab.run_cache.fingerprint import fingerprint, theirs
from lab.runs.api import composed
from scenarios.keyed_tables import SUFFIXES

IDLE = ("about",)
"""Keys of a configuration on which no result depends."""

REMEMBERED = 256
"""Setups that stay in memory, at a fifth of a megabyte each."""


def prepared(overrides: Sequence[str]) -> tuple[Setup, bool]:
    """Return what a run of overrides is made with, and whether its planner is the default.

    Raises:
        InputError: they cannot be run.
    """
    return _prepared(tuple(overrides))


@lru_cache(maxsize=REMEMBERED)
def _prepared(overrides: tuple[str, ...]) -> tuple[Setup, bool]:
    with_planner, config = composed(overrides)
    return set_up(config, with_planner), len(with_planner) > len(overrides)


def forget() -> None:
    """Forget what was composed and read, for whoever changes a file that it depends on."""
    for each in (_prepared, configuration, code):
        each.cache_clear()


@cache
def configuration(overrides: tuple[str, ...]) -> str:
    """Return the configuration that a run of overrides has, but for what its result ignores.

    Raises:
        InputError: they cannot be run.
    """
    config = prepared(overrides)[0].config
    kept = [str(key) for key in config if key not in IDLE]
    return OmegaConf.to_yaml(OmegaConf.masked_copy(config, kept))


@cache
def code(overrides: tuple[str, ...], measure: str) -> str:
    """Return a hash of the source that a run is made by, and of the files that it reads.

    Args:
        overrides: of the run.
        measure: module that takes from the result what is kept.

    Raises:
        InputError: they cannot be run.
    """
    config = OmegaConf.to_container(prepared(overrides)[0].config)
    modules, paths = sorted(set(_targets(config))), sorted(set(_files(config)))
    return fingerprint(["lab.runs.api", measure, *modules]) + theirs(modules, paths)


def _targets(node: Any) -> Iterator[str]:
    """Yield the modules of the classes that a configuration names."""
    if isinstance(node, Mapping):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"].rpartition(".")[0]
        for child in node.values():
            yield from _targets(child)
    elif isinstance(node, list):
        for child in node:
            yield from _targets(child)


def _files(node: Any) -> Iterator[Path]:
    """Yield the files that a configuration names, such as a user's own tables.

    Of a directory, such as that of an application's tables, those that may be tables.
    """
    if isinstance(node, str) and node:
        try:
            path = Path(node)
            if path.is_file():
                yield path
            elif path.is_dir():
                yield from (one for one in path.iterdir() if _may_be_table(one))
        except (OSError, ValueError):
            pass  # A text that is no path at all, or a directory that nobody may read.
    elif isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            yield from _files(child)


def _may_be_table(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()
