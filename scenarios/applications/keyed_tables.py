"""Tables of an application, looked up by key: knobs, data sets and strata.

A table or directory that lacks something, or has something unknown, raises a TableError.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from importlib.resources import files
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
    """A table with key columns; all other columns, except provenance, are values.

    All rows are checked. A table may have rows that an application does not use.

    Args:
        file: CSV or Parquet file; read when it is first needed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._typed: dict[tuple[str, Column], pl.Series] = {}
        self._arranged: dict[Any, NDArray[Any]] = {}

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All rows, as they are in the file."""
        return read_file(self.file)

    def keys(self, names: Iterable[str]) -> list[str]:
        """Return the names that are columns."""
        return [name for name in names if name in self.frame.columns]

    def check_column(self, column: str) -> None:
        """Check that there is a column."""
        if column not in self.frame.columns:
            known = [one for one in self.frame.columns if one not in PROVENANCE]
            raise TableError(
                f"table {self.file.stem!r} has no column {column!r}; {choose(column, known)}"
            )

    def typed(self, column: str, rule: Column) -> pl.Series:
        """Return a column's values, checked."""
        if (column, rule) not in self._typed:
            self.check_column(column)
            frame = self.frame
            if rule.dtype == pl.String:
                frame = frame.with_columns(self.texts(column))
            typed = typed_columns(frame, {column: rule}, self.file.name)
            self._typed[column, rule] = typed[column]
        return self._typed[column, rule]

    def texts(self, column: str) -> pl.Series:
        """Return a column's values as a declaration writes them: whole numbers without ``.0``."""
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
        """Return a column's values in an array, one axis per key, one row per combination.

        Args:
            column: the column.
            rule: what its values must be.
            axes: the wanted values of each key, in the order of the axes.
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
        """Return a key's texts, with ``10`` for ``10.0`` unless ``10.0`` is wanted.

        So programs write whole numbers into CSV files.
        """
        texts = self.texts(key)
        given = texts.is_in(list(asked)).fill_null(False)
        return texts.str.replace(WHOLE_NUMBER, "$1").zip_with(~given, texts)

    def _positions(self, key: str, asked: Sequence[str]) -> NDArray[np.int64]:
        """Return the index of each row's key among the wanted ones, -1 if it is not wanted."""
        numbers = list(range(len(asked)))
        texts = self._as_asked(key, asked)
        return texts.replace_strict(list(asked), numbers, default=-1).to_numpy()

    def _complaint(self, key: Mapping[str, str], rows: int) -> str:
        """Describe a key without exactly one row, and what the table has instead."""
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
    if not directory.is_dir():
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
    """Return a table that is read once per process, unless its file changes."""
    return KeyedTable(file)
