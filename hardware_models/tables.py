"""Load the measured tables, including a user's tables, and check them against their schemas."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, wraps
from importlib.resources import files
from os.path import isfile
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import polars as pl

from hardware_models.accelerators import (
    ANY,
    TABLES,
    Accelerator,
    AcceleratorError,
    read_accelerator,
)
from hardware_models.data_files import content
from hardware_models.errors import TableError, UnknownNameError, pick
from hardware_models.reference import REFERENCE
from hardware_models.schemas import SCHEMAS, Column, Schema

P = ParamSpec("P")
R = TypeVar("R")

FIRST_ROW_LINE = 2  # line 1 of a file is its header

ACCELERATORS = "accelerators"
"""The name by which a user's accelerators, a file or directory, are given among the tables."""

SHIPPED_ACCELERATORS = Path(str(files("hardware_models") / "data" / ACCELERATORS))
"""The directory of the shipped accelerators."""


def _converts(given: pl.DataType, wanted: type[pl.DataType]) -> bool:
    """Return whether a Parquet type can be cast to the wanted one; numbers and texts always can."""
    if given.is_numeric() or given in (pl.String, pl.Null):
        return True
    return wanted == pl.String and (given.is_temporal() or given == pl.Boolean)


def _cast(series: pl.Series, dtype: type[pl.DataType]) -> pl.Series:
    """Cast a column; values that the cast would change become null."""
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if not _converts(series.dtype, dtype):
        return pl.Series(series.name, [None] * len(series), dtype)
    cast = series.cast(dtype, strict=False)
    if series.dtype.is_numeric() and dtype != pl.String:
        return cast.set(cast.cast(series.dtype, strict=False) != series, None)
    return cast


def _complaint(rule: Column) -> str:
    """Return a text that describes the allowed values of a column."""
    if rule.allowed:
        return f"one of {', '.join(rule.allowed)}"
    if rule.pattern:
        return f"text that matches {rule.pattern}"
    if rule.dtype == pl.String:
        return "text"
    noun = "a whole number" if rule.dtype.is_integer() else "a finite number"
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("at least", rule.low), ("at most", rule.high))
        if math.isfinite(bound)
    ]
    return " ".join((noun, " and ".join(bounds))).strip()


def _allowed(series: pl.Series, rule: Column) -> pl.Series:
    """Return a mask of the values that a rule allows; null stays null."""
    if rule.allowed:
        return series.is_in(rule.allowed)
    if rule.pattern:
        return series.str.contains(rule.pattern)
    if rule.dtype == pl.String:
        return series.is_not_null()
    return series.is_finite() & series.is_between(rule.low, rule.high)


def _judged(given: pl.Series, rule: Column) -> tuple[pl.Series, pl.Series]:
    """Return a column cast to its type, and a mask of the values that the rule allows."""
    typed = _cast(given, rule.dtype)
    fine = _allowed(typed, rule).fill_null(False)
    return typed, fine | given.is_null() if rule.nullable else fine


def keeping_rows(frame: pl.DataFrame, columns: Mapping[str, Column]) -> pl.Series:
    """Return a mask of the rows whose values are all allowed; the frame must have all columns."""
    kept = [_judged(frame[name], rule)[1].alias(name) for name, rule in columns.items()]
    return pl.DataFrame(kept).select(pl.all_horizontal(pl.all())).to_series()


def typed_columns(frame: pl.DataFrame, columns: Mapping[str, Column], source: str) -> pl.DataFrame:
    """Check columns, and return them cast to their types.

    Args:
        frame: The table; its columns are either typed or all texts. Columns without a rule are left
            out.
        columns: The rule for each column.
        source: The file that the table was read from. Messages name the file and the line; the
            header is line 1.

    Raises:
        TableError: A column is missing, or a value is missing, of the wrong type or out of range;
            the message names file, row and column.
    """
    _check_columns(frame, columns, source)
    typed = {}
    for name, rule in columns.items():
        given = frame[name]
        typed[name], fine = _judged(given, rule)
        if not fine.all():
            row = (~fine).arg_true()[0]
            raise TableError(
                f"{source}, row {row + FIRST_ROW_LINE}, column {name!r}: "
                f"{given.slice(row, 1).to_list()[0]!r} is not allowed; give {_complaint(rule)}"
            )
    return pl.DataFrame(typed)


def _check_columns(frame: pl.DataFrame, needed: Iterable[str], source: str) -> None:
    """Raise TableError if a table lacks a column."""
    for name in needed:
        if name not in frame.columns:
            raise TableError(
                f"{source}: column {name!r} is missing; it has {', '.join(frame.columns)}"
            )


def validate(frame: pl.DataFrame, schema: Schema, source: str) -> pl.DataFrame:
    """Check a table against its schema, and return the table cast to the schema's types.

    The columns of ``frame`` are either typed or all texts. Columns that are not in the schema are
    left out. ``source`` is the file that messages name.

    Raises:
        TableError: For the reasons of `typed_columns`, or because a key occurs twice.
    """
    table = typed_columns(frame, schema.columns, source)
    repeated = ~table.select(pl.struct(schema.key).is_first_distinct()).to_series()
    if repeated.any():
        row = repeated.arg_true()[0]
        key = ", ".join(f"{name}={table[name][row]!r}" for name in schema.key)
        raise TableError(
            f"{source}, row {row + FIRST_ROW_LINE}, column {schema.key[-1]!r}: the key {key} "
            f"occurs in an earlier row; keys must be unique"
        )
    return table


@dataclass(frozen=True, slots=True)
class UserTable:
    """A user's table; it has the columns of a shipped table.

    Attributes:
        path: The CSV or Parquet file; for `ACCELERATORS`, a TOML file or a directory of TOML files.
        how: ``"merge"`` adds the user's rows to the shipped rows, and replaces shipped rows with
            the same key; ``"replace"`` uses only the user's rows.
    """

    path: str
    how: str = "merge"

    def __post_init__(self) -> None:
        if self.how not in ("merge", "replace"):
            raise ValueError(f"how={self.how!r}: choose merge or replace")


@dataclass(frozen=True, eq=False)
class TableSet:
    """The tables in use: the shipped tables, as changed by the user's tables.

    Results that are computed from the tables are cached in this object; see `table_cache`.

    Attributes:
        user: The user's tables, by the names of the shipped tables.
    """

    user: Mapping[str, UserTable] = field(default_factory=dict)
    _worked_out: dict[object, Callable[..., object]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for name in self.user:
            pick("table", name, (*SCHEMAS, ACCELERATORS))


SHIPPED = TableSet()
"""Only the shipped tables; their cached results serve every run of a process."""

_in_use: ContextVar[TableSet] = ContextVar("tables in use", default=SHIPPED)


def tables_in_use() -> TableSet:
    """Return the tables in use."""
    return _in_use.get()


@contextmanager
def using_tables(tables: TableSet) -> Iterator[None]:
    """Use a set of tables within a ``with`` block, in this thread or asynchronous task only.

    All tables of the user are read and checked when the block is entered.

    Raises:
        TableError: A file cannot be read, violates its schema, or removes a required row.
    """
    token = _in_use.set(tables)
    try:
        for name in tables.user:
            try:
                _check(name)
            except ValueError as error:
                error.add_note(f"tables.{name}")  # the key that names the file
                raise
        yield
    finally:
        _in_use.reset(token)


def table_cache(function: Callable[P, R]) -> Callable[P, R]:
    """Cache, for each table set, a function that reads tables; its arguments must be hashable."""

    @wraps(function)
    def cached(*args: P.args, **kwargs: P.kwargs) -> R:
        worked_out = _in_use.get()._worked_out
        known = worked_out.get(function)
        if known is None:
            known = worked_out[function] = cache(function)
        return known(*args, **kwargs)  # type: ignore[arg-type, return-value]

    return cached


@table_cache
def load_table(name: str) -> pl.DataFrame:
    """Return the validated shipped table, including the changes that a user's table makes.

    The table is read once and shared, so do not change it in place.

    Raises:
        UnknownNameError: There is no such table.
        TableError: A file cannot be read or violates the schema.
    """
    pick("table", name, SCHEMAS)
    schema, user = SCHEMAS[name], _in_use.get().user.get(name)
    theirs = None if user is None else user_table(read_file(user.path), name, user.path)
    if user is not None and theirs is not None and user.how == "replace":
        return theirs
    ours = _shipped_table(name)
    declared = [row for one in accelerators().values() for row in one.rows(name)]
    if declared:
        if "board" in ours.columns:
            ours = ours.filter(~pl.col("board").is_in([*accelerators()]))
        frame = pl.DataFrame(declared, infer_schema_length=None)
        ours = _merged(ours, user_table(frame, name, ACCELERATORS), schema)
    return ours if theirs is None else _merged(ours, theirs, schema)


def _merged(ours: pl.DataFrame, theirs: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    return pl.concat([ours.join(theirs, on=schema.key, how="anti", nulls_equal=True), theirs])


@table_cache
def accelerators() -> Mapping[str, Accelerator]:
    """Return the declared accelerators by board; a user's file replaces the shipped one.

    Raises:
        AcceleratorError: A file is not a valid declaration of an accelerator.
    """
    user = _in_use.get().user.get(ACCELERATORS)
    if user is None:
        return _shipped_accelerators()
    ours = {} if user.how == "replace" else _shipped_accelerators()
    return {**ours, **{one.board: one for one in _accelerators_at(Path(user.path)).values()}}


@cache
def _shipped_accelerators() -> Mapping[str, Accelerator]:
    return {one.board: one for one in _accelerators_at(SHIPPED_ACCELERATORS).values()}


def _accelerators_at(path: Path) -> dict[Path, Accelerator]:
    paths = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not paths:
        raise AcceleratorError([f"{path}: holds no TOML file; declare an accelerator in one"])
    return {path: read_accelerator(path) for path in paths}


def _check(name: str) -> None:
    """Check a user's table, or the user's accelerators and the tables to which they add rows."""
    if name == ACCELERATORS:
        _check_speeds(Path(tables_in_use().user[name].path))
    for table in TABLES if name == ACCELERATORS else (name,):
        load_table(table)
        for row in SCHEMAS[table].needed:
            required_row(table, **row)
        if "coefficient" in SCHEMAS[table].columns:
            _check_kernels(table)


def _check_kernels(name: str) -> None:
    """Check that the kernels in a table of coefficients have the parameters of the shipped ones."""
    keys = ("group", "coefficient")
    kernels = pl.col("group").str.ends_with("kernel")
    ours, theirs = (
        frame.filter(kernels).select(keys) for frame in (_shipped_table(name), load_table(name))
    )
    for group, coefficient in ours.join(theirs, on=keys, how="anti").iter_rows():
        required_row(name, group=group, coefficient=coefficient)
    for group, coefficient in theirs.join(ours, on=keys, how="anti").iter_rows():
        raise TableError(f"{name}: {group!r} has no coefficient {coefficient!r}")


def _check_speeds(path: Path) -> None:
    """Check the names of boards and benchmarks in the speed sections of a user's accelerators."""
    speeds = load_table("accelerator_relative_speed")
    measured = load_table("accelerator_systems")["board"]
    known = {
        "board": [*dict.fromkeys([REFERENCE, *measured])],
        "benchmark": [*speeds["benchmark"].unique().sort(), ANY],
    }
    wrong = []
    for file, one in _accelerators_at(path).items():
        for number, section in enumerate(one.speed):
            names = [("over", "board", section.over)]
            names += [("speedup", "benchmark", name) for name in section.speedup]
            for key, kind, name in names:
                try:
                    pick(kind, name, known[kind])
                except UnknownNameError as error:
                    wrong.append(f"{file}: speed.{number}.{key}: {error}")
    if wrong:
        raise AcceleratorError(wrong)


def required_row(name: str, **where: str) -> dict[str, Any]:
    """Return the one row of a table that has these values in these columns.

    Raises:
        TableError: There is no such row, or more than one.
    """
    rows = load_table(name).filter(**where)
    if rows.height == 1:
        return rows.row(0, named=True)
    told = " and ".join(f"{column} {value!r}" for column, value in where.items())
    has = f"has {rows.height} rows" if rows.height else "lacks a row"
    raise TableError(f"{name}: {has} of {told}; one is needed")


@cache
def _shipped_table(name: str) -> pl.DataFrame:
    file = f"{name}.csv"
    # All is read as text: the schema decides types, and a bad value is reported with its row.
    frame = pl.read_csv((files("hardware_models") / "data" / file).read_bytes(), infer_schema=False)
    return validate(frame, SCHEMAS[name], file)


def user_table(frame: pl.DataFrame, name: str, source: str | Path) -> pl.DataFrame:
    """Validate a user's table, from file ``source``, against the schema of a shipped table.

    Nullable columns and the columns of provenance can be left out. By default, a row has no unit
    and no web address, its basis is measured, and its source is the name of the file.

    Raises:
        TableError: The table violates the schema.
    """
    schema = SCHEMAS[name]
    address = replace(schema.columns["source_url"], nullable=True)
    theirs = Schema({**schema.columns, "source_url": address}, schema.key)
    silent = {"unit": "", "kind": "measured", "source": Path(source).name}
    needed = [name for name, rule in theirs.columns.items() if not rule.nullable]
    # This precedes the filling of other columns, so that the message lists the file's columns.
    _check_columns(frame, [name for name in needed if name not in silent], str(source))
    for column, rule in theirs.columns.items():
        if column not in frame.columns and (rule.nullable or column in silent):
            frame = frame.with_columns(pl.lit(None, pl.String).alias(column))
        if column in silent and _converts(frame.schema[column], pl.String):
            frame = frame.with_columns(pl.col(column).cast(pl.String).fill_null(silent[column]))
    return validate(frame, theirs, str(source))


def read_file(path: str | Path) -> pl.DataFrame:
    """Read a CSV (all columns as text) or Parquet file.

    Raises:
        TableError: There is no such file, or it is neither CSV nor Parquet.
    """
    path = Path(path)
    if not isfile(path):
        raise TableError(f"{path}: no such file; name a CSV or Parquet file")
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(content(path))
        return pl.read_csv(content(path), infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).split())
        raise TableError(f"{path}: is no CSV or Parquet file ({reason})") from None
