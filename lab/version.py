"""The version of this package, and of the packages that determine its results."""

from collections.abc import Mapping
from functools import cache
from typing import Any

__version__ = "0.1.0"

DECISIVE = ("numpy", "scipy", "scikit-learn", "numba", "polars")
"""Packages whose numbers, machine code or file formats can change the bytes of results."""


@cache
def versions() -> Mapping[str, str]:
    """Return the versions that results depend on; equal versions give byte-identical results."""
    import sys
    from importlib.metadata import version

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    ours = {"compass-sim": __version__, "python": python}
    return ours | {name: version(name) for name in DECISIVE}


def version_mismatch(recorded: Any) -> str:
    """Return why results of the recorded versions cannot be resumed; empty if they can be.

    A version that was not recorded is not compared, except the version of compass-sim.
    """
    theirs = recorded if isinstance(recorded, Mapping) else {}
    theirs = {"compass-sim": "unknown", **theirs}
    different = [
        f"{name} {theirs[name]}, not {here}"
        for name, here in versions().items()
        if theirs.get(name, here) != here
    ]
    return f"another version wrote it ({'; '.join(different)}); start again" if different else ""
