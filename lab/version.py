"""Version of the distribution, and of what else decides the bytes of results."""

from collections.abc import Mapping
from functools import cache
from typing import Any

__version__ = "0.1.0"

DECISIVE = ("numpy", "scipy", "scikit-learn", "numba", "polars")
"""Packages whose numbers, machine code or files results are made of."""


@cache
def versions() -> Mapping[str, str]:
    """Return the versions for one set of which byte equality of results is promised."""
    import sys
    from importlib.metadata import version

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    ours = {"compass-sim": __version__, "python": python}
    return ours | {name: version(name) for name in DECISIVE}


def not_ours(noted: Any) -> str:
    """Say that results, by their noted versions, cannot go on with the installed ones, or nothing.

    What was not noted is not compared, but for our own.
    """
    theirs = noted if isinstance(noted, Mapping) else {}
    theirs = {"compass-sim": "unknown", **theirs}
    unlike = [
        f"{name} {theirs[name]}, not {here}"
        for name, here in versions().items()
        if theirs.get(name, here) != here
    ]
    return f"it is not of this version ({'; '.join(unlike)}); start anew" if unlike else ""
