"""Load the measured tables and hold them to their declared schemas."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import polars as pl

from hardware_models.errors import TableError, pick

KINDS = ("measured", "published", "derived", "assumption")
"""How firm a row is: run by someone, a specification or price, computed, or merely declared."""

_FIRST_ROW_LINE = 2  # Line 1 of a file is its header.


@dataclass(frozen=True, slots=True)
class Column:
    """What one column may hold.

    Attributes:
        dtype: The Polars type of the column.
        low: Smallest allowed number.
        high: Largest allowed number.
        allowed: The only allowed values; empty allows any.
        pattern: Regular expression that a text must match; empty allows any.
        nullable: Whether a value may be missing.
    """

    dtype: type[pl.DataType] = pl.String
    low: float = -math.inf
    high: float = math.inf
    allowed: tuple[str, ...] = ()
    pattern: str = ""
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a table and the ones that together identify a row."""

    columns: Mapping[str, Column]
    key: tuple[str, ...]


_TEXT = Column()
_POSITIVE = Column(pl.Float64, low=1e-9)
_COUNT = Column(pl.Int64, low=1)
_PROVENANCE = {
    "unit": _TEXT,
    "kind": Column(allowed=KINDS),
    "source": _TEXT,
    "source_url": Column(pattern="^https://"),
    "note": Column(nullable=True),
}


def _schema(key: tuple[str, ...], **columns: Column) -> Schema:
    return Schema({**dict.fromkeys(key, _TEXT), **columns, **_PROVENANCE}, key)


SCHEMAS: Mapping[str, Schema] = {
    "gpu_partitions": _schema(
        ("board", "profile"),
        compute_slices=_COUNT,
        memory_slices=_COUNT,
        memory_gb=Column(pl.Float64, low=1, high=1e3),
        start_indexes=Column(pattern=r"^\d+( \d+)*$"),
        size_memory_slices=_COUNT,
        max_instances=_COUNT,
    ),
    "mig_layouts_a100": _schema(
        ("config_id",),
        config_id=_COUNT,
        layout=_TEXT,
        multiset=_TEXT,
        n_instances=Column(pl.Int64, low=1, high=7),
        compute_slices_used=Column(pl.Int64, low=1, high=7),
        memory_slices_used=Column(pl.Int64, low=1, high=8),
    ),
    "compute_ratios": _schema(("quantity", "item"), value=_POSITIVE),
    "asr_encode_latency": _schema(
        ("model", "hardware"),
        engine=_TEXT,
        precision=_TEXT,
        threads=_COUNT,
        encode_window_ms=_POSITIVE,
    ),
    "batch_latency": _schema(
        ("batch",),
        model=_TEXT,
        gpu=_TEXT,
        mig_gpcs=_COUNT,
        batch=_COUNT,
        mps_procs=_COUNT,
        batch_latency_ms=_POSITIVE,
    ),
    "model_sizes": _schema(("model",), parameters=_COUNT, weight_bytes=_COUNT),
    "device_speeds": _schema(
        ("name",),
        group=Column(allowed=("phone", "rk3588", "board")),
        device=_TEXT,
        relative_speed=Column(pl.Float64, low=1e-3, high=1e3),
        n_models=_COUNT,
    ),
    "links": _schema(
        ("dataset", "technology", "metric"),
        n=_COUNT,
        **dict.fromkeys(("mean", "cv", "p5", "p10", "p25", "p50", "p75", "p90", "p95"), _POSITIVE),
    ),
    "prices": _schema(
        ("item", "purchase", "region"),
        date=_TEXT,
        gpu=Column(nullable=True),
        gpus=Column(pl.Int64, low=0),
        vcpus=Column(pl.Int64, low=0),
        ram_gb=Column(pl.Float64, low=0, nullable=True),
        price_usd_per_hour=Column(pl.Float64, low=1e-3, high=1e3),
    ),
}
"""The schema of every table in ``data``."""


def _cast(series: pl.Series, dtype: type[pl.DataType]) -> pl.Series:
    """Cast, with null wherever the value would not survive."""
    cast = series.cast(dtype, strict=False)
    if series.dtype.is_numeric() and dtype != pl.String:
        return cast.set(cast.cast(series.dtype, strict=False) != series, None)
    return cast


def _complaint(rule: Column) -> str:
    """Say what a column allows."""
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
    """Mark the values that a rule allows; null stays null."""
    if rule.allowed:
        return series.is_in(rule.allowed)
    if rule.pattern:
        return series.str.contains(rule.pattern)
    if rule.dtype == pl.String:
        return series.is_not_null()
    return series.is_finite() & series.is_between(rule.low, rule.high)


def validate(frame: pl.DataFrame, schema: Schema, source: str) -> pl.DataFrame:
    """Check a table against its schema and give its columns their types.

    Args:
        frame: The table, typed or all text. Columns that the schema lacks are left out.
        schema: What the table must hold.
        source: The file it came from, for messages. Row numbers in them are line numbers of that
            file, its header being line 1.

    Returns:
        The table with the columns of the schema, in its order and types.

    Raises:
        TableError: A column is missing, a value is missing, of the wrong type or out of range, or
            a key occurs twice; the message names file, row and column.
    """
    typed = {}
    for name, rule in schema.columns.items():
        if name not in frame.columns:
            raise TableError(f"{source}: column {name!r} is missing; it has {frame.columns}")
        given = frame[name]
        typed[name] = _cast(given, rule.dtype)
        fine = _allowed(typed[name], rule).fill_null(False)
        if rule.nullable:
            fine |= given.is_null()
        if not fine.all():
            row = (~fine).arg_true()[0]
            raise TableError(
                f"{source}, row {row + _FIRST_ROW_LINE}, column {name!r}: "
                f"{given[row]!r} is not allowed; give {_complaint(rule)}"
            )
    table = pl.DataFrame(typed)
    repeated = ~table.select(pl.struct(schema.key).is_first_distinct()).to_series()
    if repeated.any():
        row = repeated.arg_true()[0]
        key = ", ".join(f"{name}={table[name][row]!r}" for name in schema.key)
        raise TableError(
            f"{source}, row {row + _FIRST_ROW_LINE}, column {schema.key[-1]!r}: the key {key} "
            f"occurs in an earlier row; keys must be unique"
        )
    return table


@cache
def load_table(name: str) -> pl.DataFrame:
    """Read and validate one of the tables that come with the package.

    Args:
        name: A name in `SCHEMAS`, such as ``"links"``.

    Returns:
        The validated table; it is read once and shared, so do not change it in place.

    Raises:
        UnknownNameError: There is no such table.
        TableError: The file does not keep to its schema.
    """
    pick("table", name, SCHEMAS)
    file = f"{name}.csv"
    # Read as text: the schema alone decides types, so a bad value is reported with its row.
    frame = pl.read_csv((files("hardware_models") / "data" / file).read_bytes(), infer_schema=False)
    return validate(frame, SCHEMAS[name], file)
