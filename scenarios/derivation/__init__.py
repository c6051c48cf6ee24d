"""Derivations of application tables that combine several sources.

Every module has a function ``derive`` that returns an application's tables by name. The written
tables are in ``scenarios/data``, in a directory with the module's name. ``python -m
scenarios.derivation [NAME ...]`` writes them again. A simulation reads only the written tables.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from pkgutil import iter_modules

import polars as pl

from hardware_models.errors import pick

DATA = Path(str(files("scenarios").joinpath("data")))


def names() -> list[str]:
    """Return the names of the applications that have derived tables."""
    return sorted(one.name for one in iter_modules(__path__) if not one.name.startswith("_"))


def derived(name: str) -> Mapping[str, pl.DataFrame]:
    """Return the derived tables of an application, by name.

    Raises:
        UnknownNameError: no application of that name has derived tables.
    """
    pick("application", name, names())
    tables: Mapping[str, pl.DataFrame] = import_module(f"{__name__}.{name}").derive()
    return tables


def write(chosen: Iterable[str] = (), directory: Path = DATA) -> list[Path]:
    """Write the derived tables of the chosen applications, by default all; return the files.

    Raises:
        UnknownNameError: no application of such a name has derived tables.
    """
    written = []
    for name in list(chosen) or names():
        for table, frame in derived(name).items():
            path = directory / name / f"{table}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.write_csv(path)
            written.append(path)
    return written
