"""Validates the hardware models with measured rows: predictions and errors, row by row."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import polars as pl

from hardware_models.errors import TableError
from hardware_models.predictors import Predictor
from hardware_models.schemas import PROVENANCE, SCHEMAS
from hardware_models.tables import keeping_rows, load_table, read_file, typed_columns
from lab.common.errors import InputError, choices
from lab.hardware_tools.unpredicted import reason, unpredicted_table

TOGETHER = "all"
COMPARISON = ("target", "group", "measured", "predicted", "ape_pct")
PERCENTS = ("median_pct", "p90_pct", "worst_pct")
_ROW = "row number"


@dataclass(frozen=True)
class Validation:
    """Measured rows with their predictions and errors."""

    table: str  # table of the rows
    # The given rows, once for each target in which they are compared, with the columns of
    # `COMPARISON`: `target`, `group`, `measured`, `predicted` (null where the models cannot predict
    # the row) and `ape_pct`, the absolute error in percent of the measured value.
    rows: pl.DataFrame
    groups: pl.DataFrame  # the errors of each target by group, as `error_table` returns them
    overall: pl.DataFrame  # the errors of each target over all rows; the group is `all`
    # Number of values that are also in the tables in use, with the same keys. Their errors do not
    # show how well new rows are predicted.
    known: int
    unpredicted: int  # number of rows without a prediction, or without a value to compare
    invalid: int = 0  # number of rows with a value that the table does not allow
    first_invalid: str = ""  # the error in the first invalid row

    @property
    def refused(self) -> pl.DataFrame:
        """The rows that the models cannot predict."""
        return self.rows.filter(pl.col("predicted").is_null())

    def worst(self, count: int) -> pl.DataFrame:
        """Return the rows with the largest errors, the largest first."""
        predicted = self.rows.drop_nulls("ape_pct")
        return predicted.sort("ape_pct", descending=True, maintain_order=True).head(count)

    def within(self, median_pct: float = math.inf, p90_pct: float = math.inf) -> bool:
        """Return whether all targets were predicted with errors within the limits."""
        kept = (pl.col("median_pct") <= median_pct) & (pl.col("p90_pct") <= p90_pct)
        return bool(self.overall.select(kept.fill_null(False).all()).item())


def validate_rows(
    path: str | Path, predictors: Sequence[Predictor], table: str | None = None
) -> Validation:
    """Predict the measured rows of a file from the tables in use, and compute the errors.

    The CSV or Parquet file has the key columns of a table, the columns that group its errors, and a
    measured target; other columns are kept. The table is inferred from the columns unless it is
    given. Raises InputError unless the file fits exactly one table. Raises TableError if the file
    cannot be read, if a measured value is not allowed, or if no row is valid.
    """
    frame = read_file(path)
    usable = _usable(path, frame, predictors, table)
    table = usable[0].table
    schema = SCHEMAS[table]
    rules = {name: rule for name, rule in schema.columns.items() if name not in PROVENANCE}
    given = {name: rule for name, rule in rules.items() if name in frame.columns}
    targets = {one.target for one in usable}
    typed_columns(frame, {name: given[name] for name in targets}, str(path))
    kept = frame.filter(keeping_rows(frame, given))
    first_invalid = ""
    if kept.height < frame.height:
        try:
            typed_columns(frame, given, str(path))
        except TableError as error:
            if kept.is_empty():
                raise
            first_invalid = str(error)
    typed = typed_columns(kept, given, str(path)).with_row_index(_ROW)
    absent = [pl.lit(None, rule.dtype).alias(name) for name, rule in rules.items() - given.items()]
    typed = typed.with_columns(absent)
    parts = [(one, part) for one in usable if (part := _compared(one, typed)).height]
    if not parts:
        raise InputError(f"{path}: none of its rows can be predicted for table {table}")
    rows = pl.concat(part for _, part in parts)
    carried = kept.select(name for name in kept.columns if name not in rows.columns)
    rows_with_all = rows.drop(set(rules) - set(given)).join(
        carried.with_row_index(_ROW), on=_ROW, how="left", maintain_order="left"
    )
    return Validation(
        table,
        rows_with_all.drop(_ROW),
        pl.concat(error_table(part, schema.key) for _, part in parts),
        pl.concat(
            error_table(part.with_columns(group=pl.lit(TOGETHER)), schema.key)
            for part in rows.partition_by("target", maintain_order=True)
        ),
        sum(_known(part, one) for one, part in parts),
        kept.height - rows[_ROW].n_unique(),
        frame.height - kept.height,
        first_invalid,
    )


def compare(
    rows: pl.DataFrame, target: str, predicted: pl.Series, group_by: Sequence[str]
) -> pl.DataFrame:
    """Return the rows whose measured target is positive, with the columns of `COMPARISON`.

    ``predicted`` can contain nan and null. If ``group_by`` is empty, all rows are one group.
    """
    labels = [pl.col(name).cast(pl.String).fill_null("none") for name in group_by]
    both = rows.with_columns(
        pl.lit(target).alias("target"),
        (pl.concat_str(labels, separator=", ") if labels else pl.lit(TOGETHER)).alias("group"),
        pl.col(target).cast(pl.Float64).alias("measured"),
        predicted.cast(pl.Float64).fill_nan(None).alias("predicted"),
    ).filter(pl.col("measured") > 0)
    off = (pl.col("predicted") - pl.col("measured")).abs() / pl.col("measured")
    return both.with_columns((100 * off).alias("ape_pct"))


def error_table(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Return the errors of one target by group; the columns `key` identify the worst row.

    Each returned row has ``target`` and ``group``, the number ``n`` of rows that were predicted,
    and the number ``refused`` of those that were not. ``median_pct``, ``p90_pct`` and ``worst_pct``
    are absolute errors in percent, and ``worst_cell`` names the worst row. These four are null if
    no row was predicted.
    """
    sums = [
        {"target": part["target"][0], "group": part["group"][0], **_errors(part, key)}
        for part in rows.partition_by("group", maintain_order=True)
    ]
    percents = dict.fromkeys(PERCENTS, pl.Float64)
    return pl.DataFrame(sums, schema_overrides={**percents, "worst_cell": pl.String})


def cell(row: Mapping[str, object], key: Sequence[str]) -> str:
    """Return the values of a row's key columns as text."""
    return ", ".join(f"{name}={row[name]}" for name in key)


def _errors(rows: pl.DataFrame, key: Sequence[str]) -> dict[str, object]:
    predicted = rows.drop_nulls("ape_pct")
    count = {"n": predicted.height, "refused": rows.height - predicted.height}
    if not predicted.height:
        return {**count, **dict.fromkeys((*PERCENTS, "worst_cell"))}
    median, p90 = np.percentile(predicted["ape_pct"].to_numpy(), (50, 90))
    worst = predicted.row(predicted["ape_pct"].arg_max() or 0, named=True)
    return {
        **count,
        "median_pct": float(median),
        "p90_pct": float(p90),
        "worst_pct": worst["ape_pct"],
        "worst_cell": cell(worst, key),
    }


def _compared(predictor: Predictor, typed: pl.DataFrame) -> pl.DataFrame:
    """Predict and compare the rows that a predictor applies to."""
    rows = typed if predictor.rows is None else typed.filter(predictor.rows(typed))
    predicted = pl.Series(predictor.predict(rows), dtype=pl.Float64)
    return compare(rows, predictor.target, predicted, predictor.group_by)


def _known(part: pl.DataFrame, predictor: Predictor) -> int:
    """Return how many of the compared rows are also in the table in use."""
    shared = [*SCHEMAS[predictor.table].key, predictor.target]
    return part.join(load_table(predictor.table), on=shared, how="semi", nulls_equal=True).height


def _needed(predictor: Predictor) -> set[str]:
    return {*SCHEMAS[predictor.table].key, *predictor.group_by, predictor.target}


def _usable(
    path: str | Path, frame: pl.DataFrame, predictors: Sequence[Predictor], table: str | None
) -> list[Predictor]:
    """Return the predictors of the table that fits a file; raise InputError if no table fits."""
    tables = list(dict.fromkeys(one.table for one in predictors))
    if table is not None:
        if table not in tables:
            if why := reason(table):
                raise InputError(f"--table={table}: nothing predicts it; {why}")
            raise InputError(f"--table={table}: nothing predicts it; {choices(table, tables)}")
        tables, predictors = [table], [one for one in predictors if one.table == table]
    usable = [one for one in predictors if _needed(one) <= {*frame.columns}]
    if not usable:
        other = unpredicted_table(Path(path).stem, frame.columns) if table is None else None
        if other is not None:
            raise InputError(f"{path}: nothing predicts table {other}; {reason(other)}")
        raise InputError(f"{path}: {_lacking(frame.columns, predictors, table is not None)}")
    # The table with the most columns in the file is taken.
    used = {
        name: len({*frame.columns} & SCHEMAS[name].columns.keys() - PROVENANCE.keys())
        for name in dict.fromkeys(one.table for one in usable)
    }
    likeliest = [name for name, count in used.items() if count == max(used.values())]
    if len(likeliest) > 1:
        raise InputError(
            f"{path}: its columns fit tables {', '.join(likeliest)}; choose one by --table"
        )
    return [one for one in usable if one.table == likeliest[0]]


def _lacking(columns: Sequence[str], predictors: Sequence[Predictor], only: bool) -> str:
    """Return a clause on the columns that a file lacks for the likeliest table."""
    if not predictors:
        return "there are no predictions to compare it with"

    def lacks(predictor: Predictor) -> list[str]:
        return sorted(_needed(predictor) - {*columns})

    best = min(predictors, key=lambda one: len(lacks(one)) / len(_needed(one)))
    spare = [name for name in columns if name not in _needed(best)]
    words = []
    for name in lacks(best):
        near = get_close_matches(name, spare, 1)
        words.append(f"{name!r}" + (f" (it has {near[0]!r})" if near else ""))
    lead = "" if only else "its columns fit no table; "
    return f"{lead}for table {best.table}, it lacks {', '.join(words)}"
