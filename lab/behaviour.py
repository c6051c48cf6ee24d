"""Behaviour versions: which runs must have equal results.

Two runs of one configuration and seed have the same results if the world (`sim.behaviour`) and the
planner (its class attribute ``behaviour``) have the same versions. Other code does not matter, so
refactoring keeps stored results valid.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from lab.version import __version__
from sim.api.planner import Planner
from sim.behaviour import WORLD

Versions = Mapping[str, int | None]
"""The version of the world under ``"world"``, and of planners by their classes."""

BEFORE = "before versions"
"""The behaviour of results that were written before versions existed."""


def versions_of(planner: Planner) -> dict[str, int | None]:
    """Return the versions on which a planner's runs depend.

    A planner that extends a shipped one has that one's version. One that states no version has
    None.
    """
    owner = next(kind for kind in type(planner).__mro__ if "behaviour" in vars(kind))
    name = type(planner).__name__ if owner is Planner else owner.__name__
    return {"world": WORLD, name: planner.behaviour}


def shipped() -> dict[str, int | None]:
    """Return the versions of the world and of all shipped planners."""
    import planners

    stated = [
        kind
        for kind in (getattr(planners, name) for name in planners.__all__)
        if "behaviour" in vars(kind)
    ]
    return {"world": WORLD, **{kind.__name__: kind.behaviour for kind in stated}}


def version_lines() -> str:
    """Return what ``--version`` prints: the versions of the package and of all behaviour."""
    return f"compass-sim {__version__}\nbehaviour: {told(shipped())}"


def told(*versions: Any) -> str:
    """Return the versions of one or several runs as text, such as "world 3, Compass 4 and 5".

    Runs without recorded versions are told as `BEFORE`.
    """
    seen = _seen(versions)
    parts = [f"{name} {' and '.join(numbers)}" for name, numbers in seen.items()]
    return BEFORE if seen in ({}, {"world": [BEFORE]}) else ", ".join(parts)


def difference(versions: Iterable[Any]) -> str:
    """Return one sentence on the versions that differ between compared runs, or ""."""
    unlike = {name: each for name, each in _seen(versions).items() if len(each) > 1}
    parts = [f"{name} {' and '.join(numbers)}" for name, numbers in unlike.items()]
    return f"behaviour versions differ between runs: {'; '.join(parts)}" if parts else ""


def _seen(versions: Iterable[Any]) -> dict[str, list[str]]:
    """Return by name all versions that some runs have."""
    seen: dict[str, set[str]] = {}
    for each in versions:
        for name, number in (each or {"world": BEFORE}).items():
            seen.setdefault(name, set()).add("without a version" if number is None else str(number))
    return {name: sorted(numbers) for name, numbers in seen.items()}
