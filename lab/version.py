"""The version of this package, and of the packages that determine its results."""

from collections.abc import Mapping
from functools import cache
from typing import Any

__version__ = "0.1.0"

DECISIVE = ("numpy", "scipy", "scikit-learn", "numba", "polars")
"""Packages whose numbers, machine code or file formats can change the bytes of results."""


BLAS = "blas"
"""The key of the kernels of linear algebra, which depend on the processor."""


@cache
def versions() -> Mapping[str, str]:
    """Return what results depend on: versions, and kernels; equal ones give byte-identical results.

    The kernels are under `BLAS`.
    """
    import sys
    from importlib.metadata import version

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    ours = {"compass-sim": __version__, "python": python}
    return ours | {name: version(name) for name in DECISIVE} | {BLAS: _kernels()}


def _kernels() -> str:
    """Return the kernels that NumPy's and SciPy's OpenBLAS chose, such as "Haswell".

    They change the last bits of sums. They follow the processor and ``OPENBLAS_CORETYPE``. Other
    libraries do not name theirs, so that the type of the processor stands for these.
    """
    import platform
    from pathlib import Path

    import numpy as np  # noqa: F401 -- only libraries already loaded are found
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    # A planner may load further libraries, which do not compute for the simulator.
    chosen = {
        str(library["architecture"])
        for library in threadpool_info()
        if library["user_api"] == "blas" and "architecture" in library
        if any(part.startswith(("numpy", "scipy")) for part in Path(library["filepath"]).parts)
    }
    return ", ".join(sorted(chosen)) or platform.machine()


def version_mismatch(recorded: Any, finished: bool = False) -> str:
    """Return why results of the recorded versions cannot be resumed; empty if they can be.

    A version that was not recorded is not compared, except the version of compass-sim. Kernels are
    not compared for a `finished` run: nothing is added to it, and a sweep may use many machines.
    """
    theirs = recorded if isinstance(recorded, Mapping) else {}
    theirs = {"compass-sim": "unknown", **theirs}
    different = {
        name: f"{name} {theirs[name]}, not {here}"
        for name, here in versions().items()
        if theirs.get(name, here) != here and not (finished and name == BLAS)
    }
    if not different:
        return ""
    writer = "another processor" if set(different) == {BLAS} else "another version"
    return f"{writer} wrote it ({'; '.join(different.values())}); start again"
