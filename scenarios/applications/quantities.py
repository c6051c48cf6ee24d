"""Quantities of a declared application: numbers, columns of tables, and products of these.

The key of a table consists of its columns that are named like a knob, ``dataset`` or ``stratum``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hardware_models.errors import TableError
from hardware_models.schemas import PROVENANCE, Column
from hardware_models.tables import FIRST_ROW_LINE
from scenarios.applications.keyed_tables import KeyedTable, application_tables
from scenarios.applications.nodes import REFERENCE, bounds, choose, refusal
from scenarios.applications.pipeline import MOST_BATCH, Knob
from scenarios.numerics import Floats

Texts = NDArray[np.object_]

DATASET, STRATUM, BATCH = "dataset", "stratum", "batch"
RESERVED = (DATASET, STRATUM, *PROVENANCE)
"""Names that are forbidden for knobs, because they mean something else in tables."""


@dataclass(frozen=True)
class Point:
    """The data set and strata for which a quantity is looked up.

    Args:
        dataset: name of the data set.
        strata: labels of its strata.
    """

    dataset: str
    strata: tuple[str, ...] = ("all",)


class Quantities:
    """Looks up quantities for all configurations at once.

    Args:
        tables: name of a shipped directory of tables, or a path.
        knobs: all knobs of the application, in pipeline order.
        path: key of ``tables`` in the declaration, for error messages.
    """

    def __init__(self, tables: str, knobs: Sequence[Knob], path: str) -> None:
        self.knobs = tuple(knobs)
        try:
            self._tables = application_tables(tables)
        except TableError as error:
            raise refusal(path, tables, str(error)) from None

    @cached_property
    def count(self) -> int:
        """Number of configurations."""
        return math.prod(len(knob.choices) for knob in self.knobs)

    @cached_property
    def _positions(self) -> dict[str, NDArray[np.intp]]:
        """For each knob, the index of each configuration's value among the knob's choices."""
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
        """Return a numerical quantity, shape (configurations, strata of the point).

        Args:
            quantity: a number, ``table.column``, or a list of these, which are multiplied.
            path: key of the quantity in the declaration, for error messages.
            point: the data set and its strata; None if the quantity must not depend on them.
            knobs: names of the knobs on which the quantity is allowed to depend; if they are given,
                the quantity must not depend on strata. None allows all knobs and strata.
            low: least allowed value.
            high: greatest allowed value.
        """
        terms = list(quantity) if isinstance(quantity, list | tuple) else [quantity]
        if not terms:
            raise refusal(path, quantity, "must not be empty")
        product = np.ones((self.count, 1 if point is None else len(point.strata)))
        for term in terms:
            factor: Floats | np.float64
            if isinstance(term, str) and REFERENCE.fullmatch(term):
                factor = self._column(term, path, point, knobs, Column(pl.Float64))
            elif _is_number(term):
                factor = np.float64(term)
            else:
                reason = "must be a number, table.column, or a list of those (their product)"
                raise refusal(path, quantity, reason)
            with np.errstate(over="ignore", invalid="ignore"):
                product = product * factor
        outside = product[~(np.isfinite(product) & (product >= low) & (product <= high))]
        if outside.size:
            kind = "number" if math.isfinite(outside[0]) else "finite number"
            reason = f"is {outside[0]:g}; must be a {kind} {bounds(low, high)}".rstrip()
            raise refusal(path, quantity, f"{reason}{self.culprit(terms, low, high)}")
        return product

    def culprit(self, quantity: object, low: float, high: float) -> str:
        """Return a clause for messages that names the row with a value out of bounds, or ""."""
        for term in quantity if isinstance(quantity, list | tuple) else [quantity]:
            if not isinstance(term, str):
                continue
            table, _, column = term.partition(".")
            values = self._tables[table].typed(column, Column(pl.Float64))
            outside = ((values < low) | (values > high)).arg_true()
            if len(outside):
                file, row = self._tables[table].file.name, outside[0] + FIRST_ROW_LINE
                return f"; {file}, row {row}, column {column!r} is {values[outside[0]]:g}"
        return ""

    def texts(self, quantity: object, path: str, knobs: Sequence[str] | None = None) -> Texts:
        """Return a text for every configuration, from a column of a table or a constant text."""
        if not isinstance(quantity, str) or not quantity:
            raise refusal(path, quantity, "must be a text, or table.column")
        if not REFERENCE.fullmatch(quantity):
            return np.full(self.count, quantity, dtype=object)
        return self._column(quantity, path, None, knobs, Column())[:, 0]

    def strata(self, quantity: object, path: str, dataset: str) -> tuple[tuple[str, ...], Floats]:
        """Return the labels of a data set's strata in table order, and their shares (of sum 1)."""
        table, column = self._named(quantity, path)
        keys = self._keys(table)
        if STRATUM not in keys or not set(keys) <= {DATASET, STRATUM}:
            by = ", ".join(keys) or "nothing"
            reason = f"must name a table keyed by {DATASET} and {STRATUM}, not by {by}"
            raise refusal(path, quantity, reason)
        try:
            weights = table.typed(column, Column(pl.Float64, low=0)).to_numpy()
            strata = np.array(table.texts(STRATUM).to_list())
            datasets = np.array(table.texts(DATASET).to_list()) if DATASET in keys else None
        except TableError as error:
            raise refusal(path, quantity, str(error)) from None
        here = np.ones(len(weights), bool) if datasets is None else datasets == dataset
        labels = tuple(strata[here].tolist())
        total = math.fsum(weights[here])
        if not labels or None in labels or len(set(labels)) < len(labels) or total <= 0:
            raise refusal(
                path,
                quantity,
                f"table {table.file.stem!r} must give data set {dataset!r} one row for each "
                "stratum, with weights that do not sum to 0",
            )
        return labels, weights[here] / total

    def _column(
        self,
        reference: str,
        path: str,
        point: Point | None,
        knobs: Sequence[str] | None,
        rule: Column,
    ) -> NDArray[Any]:
        """Return a column's values, shape (configurations, strata)."""
        table, column = self._named(reference, path)
        allowed = [knob.name for knob in self.knobs] if knobs is None else list(knobs)
        if point is not None:
            allowed += [DATASET, STRATUM] if knobs is None else [DATASET]
        keys = self._allowed_keys(table, reference, path, allowed)
        axes = self._axes
        if point is not None:
            axes = axes | {DATASET: [point.dataset], STRATUM: list(point.strata)}
        try:
            values = table.arranged(column, rule, {key: axes[key] for key in keys})
        except TableError as error:
            raise refusal(path, reference, str(error)) from None
        at = tuple(self._positions[key] for key in keys if key in self._positions)
        values = values[at] if at else values[None]
        if DATASET in keys:
            values = values[:, 0]
        if STRATUM not in keys:
            values = values[:, None]
        return np.broadcast_to(values, (self.count, 1 if point is None else len(point.strata)))

    def _named(self, reference: object, path: str) -> tuple[KeyedTable, str]:
        """Return the table and the column that a reference ``table.column`` names."""
        if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
            raise refusal(path, reference, "must be a table.column")
        name, _, column = reference.partition(".")
        if name not in self._tables:
            raise refusal(path, reference, f"no table {name!r}; {choose(name, self._tables)}")
        try:
            self._tables[name].check_column(column)
        except TableError as error:
            raise refusal(path, reference, str(error)) from None
        return self._tables[name], column

    def by_batch(
        self, quantity: object, path: str, knobs: Sequence[str]
    ) -> tuple[list[int], Floats]:
        """Return batch sizes, ascending, and a number for each: shape (configurations, sizes).

        Args:
            quantity: a mapping from sizes to quantities, or a ``table.column`` of a table with a
                column ``batch``.
            path: key of the quantity in the declaration, for error messages.
            knobs: names of the knobs on which the numbers are allowed to depend.
        """
        if isinstance(quantity, Mapping):
            parts = {_size(one, path, quantity): each for one, each in quantity.items()}
            columns = [
                self.numbers(parts[size], f"{path}.{size}", None, knobs)[:, 0]
                for size in sorted(parts)
            ]
            return sorted(parts), np.column_stack(columns) if columns else np.empty((self.count, 0))
        table, column = self._named(quantity, path)
        reference = str(quantity)
        if BATCH not in table.frame.columns:
            reason = f"table {table.file.stem!r} has no column {BATCH!r} with the sizes of batches"
            raise refusal(path, reference, reason)
        sizes = sorted({_size(one, path, reference) for one in table.texts(BATCH).to_list()})
        keys = self._allowed_keys(table, reference, path, knobs)
        axes = {key: self._axes[key] for key in keys} | {BATCH: [str(size) for size in sizes]}
        try:
            values = table.arranged(column, Column(pl.Float64, low=0), axes)
        except TableError as error:
            raise refusal(path, reference, str(error)) from None
        at = tuple(self._positions[key] for key in keys)
        return sizes, np.broadcast_to(values[at] if at else values, (self.count, len(sizes)))

    @cached_property
    def _axes(self) -> dict[str, list[str]]:
        return {knob.name: [str(one) for one in knob.choices] for knob in self.knobs}

    def _allowed_keys(
        self, table: KeyedTable, reference: str, path: str, allowed: Sequence[str]
    ) -> list[str]:
        """Return the keys of a table, all of which must be among the allowed ones."""
        keys = self._keys(table)
        for key in keys:
            if key not in allowed:
                reason = f"table {table.file.stem!r} is keyed by {key!r}, but this may depend on "
                raise refusal(path, reference, f"{reason}{', '.join(allowed) or 'nothing'} alone")
        return keys

    def _keys(self, table: KeyedTable) -> list[str]:
        return table.keys([*(knob.name for knob in self.knobs), DATASET, STRATUM])


def _size(text: object, path: str, quantity: object) -> int:
    """Return a batch size, which must be a whole number from 1 to `MOST_BATCH`."""
    size = int(str(text)) if str(text).isdecimal() else 0
    if not 1 <= size <= MOST_BATCH:
        reason = f"{text} is no size of a batch; must be a whole number from 1 to {MOST_BATCH}"
        raise refusal(path, quantity, reason)
    return size


def _is_number(term: object) -> TypeGuard[float]:
    plain = isinstance(term, int | float) and not isinstance(term, bool)
    return plain and math.isfinite(term)  # type: ignore[arg-type]
