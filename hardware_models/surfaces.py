"""Surfaces: a measured column of a table, modelled as a physical formula times a correction.

The coefficients of the formula and the kernel of the correction are fitted beforehand
(`hardware_models.fits.surface`) and read from the tables ``fit_<name>``. The correction is a smooth
function that is computed from the rows of the table in use, including a user's rows. The prediction
for a row that is in the table is its measured value.
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
"""The text that replaces a missing one."""

Coefficients = Mapping[tuple[str, str], float]
"""Values by group and coefficient."""

Form = Callable[[Coefficients], Array]
"""Maps coefficients to a formula's logarithms at some rows; nan where a coefficient is missing."""


def _all_rows(frame: pl.DataFrame) -> pl.Series:
    return pl.repeat(True, frame.height, eager=True)


@dataclass(frozen=True)
class Surface:
    """A measured column of a table, and the formula that models it.

    Attributes:
        fit: The name of the fit; its coefficients are in table ``fit_<fit>``.
        name: The name of the surface in that fit, which is a prefix of the names of its groups; it
            can be empty.
        table: The table.
        target: The measured column.
        start: Returns initial coefficients for fitting the formula to some rows.
        form: Returns the formula at some rows, as a function of the coefficients.
        coordinates: Returns the coordinates of rows.
        kernel: An initial guess of the kernel of the correction.
        rows: Returns a mask of the rows of the table that the surface models.
        trusted: Returns a mask of the rows that fits and corrections use.
        rounding: Returns the relative rounding error of each measured value.
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
        """The name of the group of the kernel's parameters in the fit."""
        return f"{self.name} kernel".lstrip()

    def measured(self) -> pl.DataFrame:
        """Return the rows of the table in use that the surface models."""
        table = load_table(self.table)
        return table.filter(self.rows(table))


@table_cache
def coefficients(fit: str) -> Coefficients:
    """Return the stored coefficients of a fit, by the names of group and coefficient."""
    table = load_table(f"fit_{fit}")
    keys = zip(table["group"], table["coefficient"], strict=True)
    return dict(zip(keys, table["value"], strict=True))


def stored_kernel(surface: Surface) -> Kernel:
    """Return the stored covariance kernel of the Gaussian process that corrects a surface."""
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
    """Return a predictor whose correction is computed from measured rows.

    Returns:
        A function that predicts the values at rows. A value is nan if the formula has no
        coefficients for the row.
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
    """Return the logarithm of the formula's correction factor at each row."""
    return _process(surface).mean(surface.coordinates(asked))


def predict(surface: Surface, asked: pl.DataFrame) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the value at each requested row, and a mask of the measured values.

    ``asked`` must have the columns of the surface's key. Values are in the table's unit. A value is
    nan if the formula has no coefficients for the row.
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
    """Return the group name of each row: a prefix, followed by the texts of some columns."""
    rows = frame.select(pl.col(columns).cast(pl.String).fill_null(NOT_NAMED)).iter_rows()
    return [f"{name} {' '.join(row)}" for row in rows]


def starts(
    groups: Sequence[str], **values: float | Callable[[npt.NDArray[np.bool_]], float]
) -> dict[tuple[str, str], float]:
    """Return initial coefficients of groups, by group and coefficient.

    Args:
        groups: The group of each row.
        values: For each coefficient, a number, or a function that computes it from the mask of a
            group's rows.
    """
    of = np.array(groups)
    return {
        (group, name): float(value(of == group) if callable(value) else value)
        for group in sorted(set(groups))
        for name, value in values.items()
    }


def codes(table: str, frame: pl.DataFrame, *columns: str) -> Array:
    """One-hot encode text columns by a table's values; the result has shape (rows, values)."""
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
    """Return the value of a coefficient for each row's group, or nan if the group lacks it."""
    return np.array([values.get((group, coefficient), np.nan) for group in groups])


def features(names: Sequence[str]) -> Callable[[pl.Series], Array]:
    """Return an encoder of names as features, in which two different names have distance 1."""

    def code(series: pl.Series) -> Array:
        same: Array = 0.5 * (series.to_numpy()[:, None] == np.array(names, dtype=object)[None, :])
        return same

    return code


def log_sum(one: Array, other: Array) -> Array:
    """Return log(x + y) from the logarithms of x and y, or nan if either is nan."""
    with np.errstate(invalid="ignore"):
        result: Array = np.logaddexp(one, other)
    return result


def smooth_max(one: Array, other: Array, sharpness: float | Array) -> Array:
    """Return the log of (x^s + y^s)^(1/s), close to max(x, y), from the logs of x and y."""
    return log_sum(sharpness * one, sharpness * other) / sharpness
