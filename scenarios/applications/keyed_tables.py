"""Tables of an application, keyed by knobs, data sets and strata.

If a table or directory lacks something, or contains something unknown, a TableError is raised.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from importlib.resources import files
from os.path import isdir
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hardware_models.errors import TableError
from hardware_models.schemas import PROVENANCE, Column
from hardware_models.tables import read_file, typed_columns
from scenarios.applications.nodes import choose

RAW = "raw"  # inputs of derivations; belongs to no application
WHOLE_NUMBER = r"^([+-]?\d+)\.0*$"
SUFFIXES = (".csv", ".parquet")


class KeyedTable:
    """A table with key columns; all other columns, except for provenance, contain values.

    All rows are checked, including those that an application does not use.

    Args:
        file: CSV or Parquet file, which is read when it is first needed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._typed: dict[tuple[str, Column], pl.Series] = {}
        self._arranged: dict[Any, NDArray[Any]] = {}

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All rows, unchanged from the file."""
        return read_file(self.file)

    def keys(self, names: Iterable[str]) -> list[str]:
        """Return those of the given names that are columns of the table."""
        return [name for name in names if name in self.frame.columns]

    def check_column(self, column: str) -> None:
        """Check that the table has a column of this name."""
        if column not in self.frame.columns:
            known = [one for one in self.frame.columns if one not in PROVENANCE]
            raise TableError(
                f"table {self.file.stem!r} has no column {column!r}; {choose(column, known)}"
            )

    def typed(self, column: str, rule: Column) -> pl.Series:
        """Return a column's values after checking them against a rule."""
        if (column, rule) not in self._typed:
            self.check_column(column)
            frame = self.frame
            if rule.dtype == pl.String:
                frame = frame.with_columns(self.texts(column))
            typed = typed_columns(frame, {column: rule}, self.file.name)
            self._typed[column, rule] = typed[column]
        return self._typed[column, rule]

    def texts(self, column: str) -> pl.Series:
        """Return a column's values as text, as in a declaration: whole numbers without ``.0``."""
        series = self.frame[column]
        if series.dtype.is_float():
            finite = series.drop_nulls().filter(series.drop_nulls().is_finite())
            if (finite % 1 == 0).all():
                whole = series.cast(pl.Int64, strict=False).cast(pl.String)
                series = whole.fill_null(series.cast(pl.String))
        rule = Column(nullable=True)
        return typed_columns(series.to_frame(), {column: rule}, self.file.name)[column]

    def arranged(
        self, column: str, rule: Column, axes: Mapping[str, Sequence[str]]
    ) -> NDArray[Any]:
        """Return a column's values as an array with one axis per key.

        Args:
            column: the column.
            rule: the condition that the values must meet.
            axes: the values of each key along its axis; each combination must have exactly one row.
        """
        known = column, rule, tuple((key, tuple(values)) for key, values in axes.items())
        if known not in self._arranged:
            self._arranged[known] = self._arrange(column, rule, axes)
        return self._arranged[known]

    def _arrange(
        self, column: str, rule: Column, axes: Mapping[str, Sequence[str]]
    ) -> NDArray[Any]:
        values = self.typed(column, rule).to_numpy()
        positions = {key: self._positions(key, asked) for key, asked in axes.items()}
        wanted = np.ones(len(values), bool)
        for at in positions.values():
            wanted &= at >= 0
        shape = tuple(len(asked) for asked in axes.values())
        cells = np.zeros(len(values), int)
        if axes:
            cells = np.ravel_multi_index([at[wanted] for at in positions.values()], shape)
        rows = np.bincount(cells, minlength=int(np.prod(shape)))
        if not (rows == 1).all():
            wrong = int(np.argmax(rows != 1))
            spot = np.unravel_index(wrong, shape)
            key = {one: asked[int(i)] for (one, asked), i in zip(axes.items(), spot, strict=True)}
            raise TableError(self._complaint(key, int(rows[wrong])))
        arranged = np.empty(len(rows), values.dtype)
        arranged[cells] = values[wanted]
        return arranged.reshape(shape)

    def _as_asked(self, key: str, asked: Sequence[str]) -> pl.Series:
        """Return a key column as texts; ``10.0`` becomes ``10`` unless ``asked`` has ``10.0``.

        Some programs write whole numbers as ``10.0`` into CSV files.
        """
        texts = self.texts(key)
        given = texts.is_in(list(asked)).fill_null(False)
        return texts.str.replace(WHOLE_NUMBER, "$1").zip_with(~given, texts)

    def _positions(self, key: str, asked: Sequence[str]) -> NDArray[np.int64]:
        """Return the index of each row's key in ``asked``, or -1 if the key is not in it."""
        numbers = list(range(len(asked)))
        texts = self._as_asked(key, asked)
        return texts.replace_strict(list(asked), numbers, default=-1).to_numpy()

    def _complaint(self, key: Mapping[str, str], rows: int) -> str:
        """Return a message that names a key with no row or several, and the existing rows."""
        name = self.file.stem
        if not key:
            return f"table {name!r} is keyed by nothing, so it must have 1 row, not {rows}"
        text = ", ".join(f"{one}={value}" for one, value in key.items())
        if rows:
            return f"table {name!r} has {rows} rows for {text}; it must have one"
        message = f"table {name!r} has no row for {text}"
        for one, value in key.items():
            texts = self._as_asked(one, [value])
            known = texts.drop_nulls().unique(maintain_order=True).to_list()
            if value not in known:
                return f"{message}; of {one}, {choose(value, known)}"
        return message


def application_tables(where: str) -> dict[str, KeyedTable]:
    """Return the tables in a directory, by name.

    Args:
        where: the name of a shipped directory, or a path from the current directory.
    """
    ours = Path(str(files("scenarios").joinpath("data")))
    names = sorted(one.name for one in ours.iterdir() if one.is_dir() and one.name != RAW)
    directory = ours / where if where in names else Path(where)
    if not isdir(directory):
        raise TableError(
            "no such directory; give the path of a directory of CSV or Parquet tables, from the "
            f"current directory, or {choose(where, names)}"
        )
    tables: dict[str, KeyedTable] = {}
    for file in sorted(one for one in directory.iterdir() if one.suffix.lower() in SUFFIXES):
        if file.stem in tables:
            raise TableError(
                f"{tables[file.stem].file.name} and {file.name} both hold a table {file.stem!r}"
            )
        state = file.stat()
        tables[file.stem] = _keyed_table(file, file.absolute(), state.st_mtime_ns, state.st_size)
    return tables


@lru_cache(maxsize=256)
def _keyed_table(file: Path, absolute: Path, changed_ns: int, size: int) -> KeyedTable:
    """Return a table; each version of a file is read only once per process."""
    return KeyedTable(file)
