"""Quantities of a declared application: numbers, columns of tables, and products of those.

A table is keyed by those of its columns that are named like a knob, ``dataset`` or ``stratum``. All
other columns are values. A row whose key names a value that nobody can choose is not read, so a
table may be larger than an application.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hardware_models.errors import TableError
from hardware_models.schemas import PROVENANCE, Column
from hardware_models.tables import read_file, typed_columns
from scenarios.application import Knob
from scenarios.nodes import REFERENCE, bounds, choose, refusal

Floats = NDArray[np.float64]
Texts = NDArray[np.object_]

DATASET, STRATUM = "dataset", "stratum"
RESERVED = (DATASET, STRATUM, *PROVENANCE)
"""Names that no knob may have: they mean something else in every table."""

RAW = "raw"  # Directory of what derivations start from, no application's own.


@dataclass(frozen=True)
class Point:
    """Where a quantity is asked for.

    Args:
        dataset: name of the data set.
        strata: labels of its strata.
    """

    dataset: str
    strata: tuple[str, ...] = ("all",)


class Quantities:
    """Looks quantities up for every configuration at once.

    Args:
        tables: name of a directory of tables of ours, or path of another.
        knobs: all knobs of the application, in pipeline order.
        path: key of ``tables`` in the declaration, for messages.

    Raises:
        ValueError: there is no such directory.
    """

    def __init__(self, tables: str, knobs: Sequence[Knob], path: str) -> None:
        self.knobs = tuple(knobs)
        self._files = _tables_of(tables, path)
        self._frames: dict[str, pl.DataFrame] = {}
        self._dense: dict[tuple[Any, ...], NDArray[Any]] = {}

    @cached_property
    def count(self) -> int:
        """Number of configurations."""
        return math.prod(len(knob.choices) for knob in self.knobs)

    @cached_property
    def _positions(self) -> dict[str, NDArray[np.intp]]:
        """Position of each configuration's value among the choices of each knob."""
        shape = tuple(len(knob.choices) for knob in self.knobs)
        grid = np.indices(shape).reshape(len(shape), -1)
        return {knob.name: grid[i] for i, knob in enumerate(self.knobs)}

    def numbers(
        self,
        quantity: object,
        path: str,
        point: Point | None = None,
        knobs: Sequence[str] | None = None,
        low: float = 0.0,
        high: float = math.inf,
    ) -> Floats:
        """Return a numerical quantity for every configuration.

        Args:
            quantity: a number, ``table.column``, or a list of those, which stands for their
                product.
            path: where it stands in the declaration, for messages.
            point: the data set and its strata; None for what may not depend on them.
            knobs: names of the knobs that it may depend on; None for all.
            low: least allowed value.
            high: greatest allowed value.

        Returns:
            Values, shape (configurations, strata of the point); one stratum without a point.

        Raises:
            ValueError: the quantity is none, depends on what it may not, is not in its table for
                every configuration, or is out of bounds.
        """
        shape = self.count, 1 if point is None else len(point.strata)
        product = np.ones(shape)
        for term in self._terms(quantity, path):
            product = product * self._term(term, path, point, knobs)
        if not ((product >= low) & (product <= high)).all():
            worst = product[~((product >= low) & (product <= high))].flat[0]
            raise refusal(path, quantity, f"is {worst:g}; must be a number {bounds(low, high)}")
        return product

    def texts(self, quantity: object, path: str, knobs: Sequence[str] | None = None) -> Texts:
        """Return a text for every configuration: a column of a table, or one and the same text.

        Returns:
            Texts, shape (configurations,).

        Raises:
            ValueError: as for `numbers`.
        """
        if not isinstance(quantity, str) or not quantity:
            raise refusal(path, quantity, "must be a text, or table.column")
        if not REFERENCE.fullmatch(quantity):
            return np.full(self.count, quantity, dtype=object)
        return self._column(quantity, path, None, knobs, Column())[:, 0]

    def labels(self, quantity: object, path: str, dataset: str) -> tuple[tuple[str, ...], Floats]:
        """Return the strata of a data set and their shares, from a column of a table.

        Returns:
            Labels in the table's order, and their weights, which sum to 1.

        Raises:
            ValueError: the table is not keyed by strata, or has none of this data set.
        """
        name, frame, column = self._named(quantity, path)
        keys = self._keys(frame)
        if STRATUM not in keys or not set(keys) <= {DATASET, STRATUM}:
            reason = f"must name a table keyed by {DATASET} and {STRATUM}, not by "
            raise refusal(path, quantity, reason + (", ".join(keys) or "nothing"))
        values = self._typed(name, frame, column, Column(pl.Float64, low=0), path, quantity)
        here = np.ones(frame.height, bool)
        if DATASET in keys:
            here = (_as_text(frame[DATASET]) == dataset).to_numpy()
        labels = tuple(_as_text(frame[STRATUM]).to_numpy()[here])
        weights: Floats = values.to_numpy()[here]
        if not labels or len(set(labels)) < len(labels) or math.fsum(weights) <= 0:
            raise refusal(
                path,
                quantity,
                f"table {name!r} must give data set {dataset!r} one row for each stratum, "
                "with weights that do not sum to 0",
            )
        return labels, weights / math.fsum(weights)

    def _terms(self, quantity: object, path: str) -> list[object]:
        terms = list(quantity) if isinstance(quantity, list | tuple) else [quantity]
        for term in terms:
            column = isinstance(term, str) and REFERENCE.fullmatch(term)
            plain = isinstance(term, int | float) and not isinstance(term, bool)
            if not column and not (plain and math.isfinite(term)):  # type: ignore[arg-type]
                raise refusal(
                    path,
                    quantity,
                    "must be a number, table.column, or a list of those (their product)",
                )
        if not terms:
            raise refusal(path, quantity, "must not be empty")
        return terms

    def _term(
        self, term: object, path: str, point: Point | None, knobs: Sequence[str] | None
    ) -> Floats:
        if isinstance(term, str):
            return self._column(term, path, point, knobs, Column(pl.Float64))
        return np.full((1, 1), float(term))  # type: ignore[arg-type]

    def _column(
        self,
        reference: str,
        path: str,
        point: Point | None,
        knobs: Sequence[str] | None,
        rule: Column,
    ) -> NDArray[Any]:
        """Return a column's values by configuration and stratum, from its table's rows."""
        name, frame, column = self._named(reference, path)
        keys = self._keys(frame)
        self._check_dependence(reference, path, name, keys, point, knobs)
        known = (reference, point if {DATASET, STRATUM} & set(keys) else None, rule)
        if known not in self._dense:
            values = self._typed(name, frame, column, rule, path, reference)
            self._dense[known] = self._by_key(reference, path, name, frame, keys, values, point)
        dense = self._dense[known]
        at = tuple(self._positions[key] for key in keys if key in self._positions)
        values_at = dense[at] if at else dense[None]
        by_stratum = values_at if STRATUM in keys else values_at[..., None]
        return np.broadcast_to(by_stratum, (self.count, 1 if point is None else len(point.strata)))

    def _by_key(
        self,
        reference: str,
        path: str,
        name: str,
        frame: pl.DataFrame,
        keys: Sequence[str],
        values: pl.Series,
        point: Point | None,
    ) -> NDArray[Any]:
        """Arrange a column's values in an array with one axis a key, the stratum last."""
        chosen: dict[str, list[str]] = {
            knob.name: [str(choice) for choice in knob.choices]
            for knob in self.knobs
            if knob.name in keys
        }
        if point is not None and STRATUM in keys:
            chosen[STRATUM] = list(point.strata)
        wanted = np.ones(frame.height, bool)
        if point is not None and DATASET in keys:
            wanted = (_as_text(frame[DATASET]) == point.dataset).to_numpy()
        codes = {}
        for key, options in chosen.items():
            codes[key] = (
                _as_text(frame[key])
                .replace_strict(options, list(range(len(options))), default=-1)
                .to_numpy()
            )
            wanted = wanted & (codes[key] >= 0)
        shape = tuple(len(options) for options in chosen.values())
        at = tuple(code[wanted] for code in codes.values())
        rows = np.zeros(shape, int)
        np.add.at(rows, at, 1 if shape else np.count_nonzero(wanted))
        if not (rows == 1).all():
            spot = np.argwhere(rows != 1)[0]
            missing = {one: chosen[one][i] for one, i in zip(chosen, spot, strict=True)}
            if point is not None and DATASET in keys:
                missing = {DATASET: point.dataset, **missing}
            text = ", ".join(f"{one}={value}" for one, value in missing.items()) or "it"
            how = "has no row for" if not rows[tuple(spot)] else "has several rows for"
            raise refusal(path, reference, f"table {name!r} {how} {text}{_near(frame, missing)}")
        dense = np.empty(shape, object if values.dtype == pl.String else float)
        dense[at] = values.to_numpy()[wanted] if shape else values.to_numpy()[wanted][0]
        return dense

    def _named(self, reference: object, path: str) -> tuple[str, pl.DataFrame, str]:
        """Return the name of a table, the table, and the column that a reference names."""
        if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
            raise refusal(path, reference, "must be a table.column")
        name, _, column = reference.partition(".")
        if name not in self._files:
            raise refusal(path, reference, f"no table {name!r}; {choose(name, self._files)}")
        if name not in self._frames:
            try:
                self._frames[name] = read_file(self._files[name])
            except TableError as error:
                raise refusal(path, reference, str(error)) from None
        frame = self._frames[name]
        if column not in frame.columns:
            known = [one for one in frame.columns if one not in PROVENANCE]
            reason = f"table {name!r} has no column {column!r}; {choose(column, known)}"
            raise refusal(path, reference, reason)
        return name, frame, column

    def _keys(self, frame: pl.DataFrame) -> list[str]:
        names = [*(knob.name for knob in self.knobs), DATASET, STRATUM]
        return [name for name in names if name in frame.columns]

    def _typed(
        self,
        name: str,
        frame: pl.DataFrame,
        column: str,
        rule: Column,
        path: str,
        reference: object,
    ) -> pl.Series:
        if rule.dtype == pl.String:
            frame = frame.with_columns(_as_text(frame[column]))
        try:
            return typed_columns(frame, {column: rule}, self._files[name].name)[column]
        except TableError as error:
            raise refusal(path, reference, str(error)) from None

    def _check_dependence(
        self,
        reference: str,
        path: str,
        name: str,
        keys: Sequence[str],
        point: Point | None,
        knobs: Sequence[str] | None,
    ) -> None:
        allowed = [knob.name for knob in self.knobs] if knobs is None else list(knobs)
        content = [] if point is None else [DATASET, *([STRATUM] if knobs is None else [])]
        for key in keys:
            if key not in (*allowed, *content):
                may = ", ".join((*allowed, *content)) or "nothing"
                raise refusal(
                    path,
                    reference,
                    f"table {name!r} is keyed by {key!r}, but this may depend on {may} alone",
                )


def _tables_of(tables: str, path: str) -> Mapping[str, Path]:
    ours = Path(str(files("scenarios").joinpath("data")))
    names = sorted(one.name for one in ours.iterdir() if one.is_dir() and one.name != RAW)
    directory = ours / tables if tables in names else Path(tables)
    if not directory.is_dir():
        raise refusal(
            path,
            tables,
            "no such directory; give the path of a directory of CSV or Parquet tables, from the "
            f"current directory, or {choose(tables, names)}",
        )
    found = sorted(one for one in directory.iterdir() if one.suffix in (".csv", ".parquet"))
    return {one.stem: one for one in found}


def _as_text(series: pl.Series) -> pl.Series:
    """Return values as the declaration writes them; whole numbers of a Parquet file without .0."""
    if series.dtype.is_float() and (series.drop_nulls() % 1 == 0).all():
        series = series.cast(pl.Int64)
    return series.cast(pl.String)


def _near(frame: pl.DataFrame, key: Mapping[str, str]) -> str:
    """Say which part of a key a table lacks altogether, and what it has instead."""
    for name, value in key.items():
        known = _as_text(frame[name]).drop_nulls().unique(maintain_order=True).to_list()
        if value not in known:
            return f"; of {name}, {choose(value, known)}"
    return ""
