"""Surfaces: a measured figure as a physical form times a smooth correction, by table.

The coefficients of the form and the kernel of the correction are fitted beforehand
(`hardware_models.fits.surface`) and read from the tables ``fit_<name>``. The correction follows
the rows of the table in use, including a user's. Rows of the table keep their measured values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from hardware_models.gaussian_process import Array, Coordinates, Kernel, Process
from hardware_models.schemas import SCHEMAS
from hardware_models.tables import load_table, table_cache

NOT_NAMED = "not named"
"""The text for a missing one."""

Coefficients = Mapping[tuple[str, str], float]
"""Values by group and coefficient."""

Form = Callable[[Coefficients], Array]
"""Logarithms of a form at some rows, given its coefficients; nan where it lacks some."""


def _all_rows(frame: pl.DataFrame) -> pl.Series:
    return pl.repeat(True, frame.height, eager=True)


@dataclass(frozen=True)
class Surface:
    """A figure of a table, and the form that it follows.

    Attributes:
        fit: The fit, in tables ``fit_<fit>``, that holds its coefficients.
        name: Its name in that fit, which begins the name of each of its groups; may be empty.
        table: The table.
        target: The column of the figure.
        start: Returns initial coefficients for fitting the form to some rows.
        form: Prepares the form at some rows.
        coordinates: Returns the coordinates of rows.
        kernel: A guess at the kernel of the correction.
        rows: Marks the rows of the table that it covers.
        trusted: Marks those of them that fits and corrections use.
        rounding: Returns the relative rounding error of each figure in its source.
    """

    fit: str
    name: str
    table: str
    target: str
    start: Callable[[pl.DataFrame], dict[tuple[str, str], float]]
    form: Callable[[pl.DataFrame], Form]
    coordinates: Callable[[pl.DataFrame], Coordinates]
    kernel: Kernel
    rows: Callable[[pl.DataFrame], pl.Series] = _all_rows
    trusted: Callable[[pl.DataFrame], pl.Series] = _all_rows
    rounding: Callable[[pl.DataFrame], Array] = lambda frame: np.zeros(frame.height)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row of the table."""
        return SCHEMAS[self.table].key

    @property
    def kernel_group(self) -> str:
        """The group of the kernel's parameters in the fit."""
        return f"{self.name} kernel".lstrip()

    def measured(self) -> pl.DataFrame:
        """The rows of the table in use that the surface covers."""
        table = load_table(self.table)
        return table.filter(self.rows(table))


@table_cache
def coefficients(fit: str) -> Coefficients:
    """Read the coefficients of a fit, by group and coefficient."""
    table = load_table(f"fit_{fit}")
    keys = zip(table["group"], table["coefficient"], strict=True)
    return dict(zip(keys, table["value"], strict=True))


def stored_kernel(surface: Surface) -> Kernel:
    """Read the kernel of a surface's correction."""
    values = coefficients(surface.fit).items()
    return Kernel.from_values(
        {name: value for (of, name), value in values if of == surface.kernel_group}
    )


def _condition(
    surface: Surface, known: pl.DataFrame, values: Coefficients, kernel: Kernel
) -> Process:
    logs = np.log(known[surface.target].to_numpy()) - surface.form(known)(values)
    usable = np.isfinite(logs)
    seen = surface.coordinates(known)[usable]
    return Process.given(kernel, seen, logs[usable], surface.rounding(known)[usable])


def learn(
    surface: Surface, known: pl.DataFrame, values: Coefficients, kernel: Kernel
) -> Callable[[pl.DataFrame], Array]:
    """Condition the correction on measured rows.

    Returns:
        A function from rows to the figures predicted there, nan where the form lacks coefficients.
    """
    process = _condition(surface, known, values, kernel)

    def predict(asked: pl.DataFrame) -> Array:
        if asked.is_empty():
            return np.empty(0)
        correction = process.mean(surface.coordinates(asked))
        return np.asarray(np.exp(surface.form(asked)(values) + correction))

    return predict


@table_cache
def _process(surface: Surface) -> Process:
    known = surface.measured()
    known = known.filter(surface.trusted(known))
    return _condition(surface, known, coefficients(surface.fit), stored_kernel(surface))


def correction(surface: Surface, asked: pl.DataFrame) -> Array:
    """Return logarithms of the correction factors on the physical form, (rows,)."""
    return _process(surface).mean(surface.coordinates(asked))


def predict(surface: Surface, asked: pl.DataFrame) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the figure at each wanted row, and which of them are measured.

    ``asked`` needs the columns of the surface's key. Figures are in the unit of the table, nan
    where the form lacks coefficients.
    """
    known = surface.measured().select(*surface.key, measured=surface.target)
    found = asked.select(surface.key).join(
        known, on=surface.key, how="left", nulls_equal=True, maintain_order="left"
    )
    exact = found["measured"].is_not_null().to_numpy()
    figures = np.where(exact, found["measured"].fill_null(0).to_numpy(), np.nan)
    if not exact.all():
        others = asked.filter(~pl.Series(exact))
        logs = surface.form(others)(coefficients(surface.fit)) + correction(surface, others)
        figures[~exact] = np.exp(logs)
    return figures, exact


def labels(name: str, frame: pl.DataFrame, *columns: str) -> list[str]:
    """Name the group of each row: a prefix, and the texts of some columns."""
    rows = frame.select(pl.col(columns).cast(pl.String).fill_null(NOT_NAMED)).iter_rows()
    return [f"{name} {' '.join(row)}" for row in rows]


def starts(
    groups: Sequence[str], **values: float | Callable[[npt.NDArray[np.bool_]], float]
) -> dict[tuple[str, str], float]:
    """Return initial coefficients of groups.

    Args:
        groups: The group of each row.
        values: By coefficient, a number or a function of the mask of a group's rows.
    """
    of = np.array(groups)
    return {
        (group, name): float(value(of == group) if callable(value) else value)
        for group in sorted(set(groups))
        for name, value in values.items()
    }


def codes(table: str, frame: pl.DataFrame, *columns: str) -> Array:
    """One-hot code columns of texts by the values in a table in use, (rows, all values)."""
    known = load_table(table)
    return np.column_stack(
        [
            features(known[name].fill_null(NOT_NAMED).unique().sort().to_list())(
                frame[name].fill_null(NOT_NAMED)
            )
            for name in columns
        ]
    )


def numbers(frame: pl.DataFrame, *columns: str) -> tuple[Array, ...]:
    """Return columns as arrays of floats."""
    return tuple(frame[column].to_numpy().astype(float) for column in columns)


def lookup(values: Coefficients, groups: Sequence[str], coefficient: str) -> Array:
    """Find a coefficient of the group of each row, (rows,); nan where there is none."""
    return np.array([values.get((group, coefficient), np.nan) for group in groups])


def features(names: Sequence[str]) -> Callable[[pl.Series], Array]:
    """Code names so that any two different ones have distance 1: (rows, names)."""

    def code(series: pl.Series) -> Array:
        same: Array = 0.5 * (series.to_numpy()[:, None] == np.array(names, dtype=object)[None, :])
        return same

    return code


def log_sum(one: Array, other: Array) -> Array:
    """Logarithm of x + y, of the logarithms of x and y; nan where either is."""
    with np.errstate(invalid="ignore"):
        result: Array = np.logaddexp(one, other)
    return result


def smooth_max(one: Array, other: Array, sharpness: float | Array) -> Array:
    """Logarithm of (x^s + y^s)^(1/s), of the logarithms of x and y: about the larger of them."""
    return log_sum(sharpness * one, sharpness * other) / sharpness
