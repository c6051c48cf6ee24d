"""Fit surfaces to their tables, and test them on rows that were left out of the fit."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import least_squares

from hardware_models.gaussian_process import Array, Kernel, fit_kernel
from hardware_models.surfaces import Coefficients, Surface, learn, stored_kernel

FOLDS = 5
SEEDS = (0, 1, 2)

_RIDGE = 0.03  # pulls undetermined coefficients, in logarithms, to their initial values
_OUTLIER = 0.2  # larger residuals of logarithms count by their size, not their square


def fit_form(surface: Surface, known: pl.DataFrame) -> dict[tuple[str, str], float]:
    """Fit the formula of a surface to measured rows, by least squares of logarithms."""
    start = surface.start(known)
    names, first = list(start), np.array(list(start.values()))
    form, logs = surface.form(known), np.log(known[surface.target].to_numpy())

    def residuals(vector: Array) -> Array:
        missed = form(dict(zip(names, vector.tolist(), strict=True))) - logs
        return np.concatenate([missed, _RIDGE * (vector - first)])

    best = least_squares(residuals, first, loss="soft_l1", f_scale=_OUTLIER)
    return {name: float(f"{value:.6g}") for name, value in zip(names, best.x.tolist(), strict=True)}


def fit_surface(surface: Surface) -> tuple[dict[tuple[str, str], float], Kernel]:
    """Fit the formula of a surface, and the kernel of its correction, to its table."""
    known = surface.measured()
    known = known.filter(surface.trusted(known))
    values = fit_form(surface, known)
    return values, fit_correction(surface, known, values)


def fit_correction(surface: Surface, known: pl.DataFrame, values: Coefficients) -> Kernel:
    """Fit the kernel of a surface's correction to the residuals of its formula at measured rows."""
    left = np.log(known[surface.target].to_numpy()) - surface.form(known)(values)
    return fit_kernel(surface.kernel, surface.coordinates(known), left, surface.rounding(known))


def _folds(units: npt.NDArray[np.intp], seed: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield the mask of each fold's rows; rows with the same unit are in the same fold."""
    order = np.random.default_rng(seed).permutation(units.max() + 1)
    for fold in range(FOLDS):
        yield np.isin(units, order[fold::FOLDS])


def _out_of_fold(surface: Surface, kernel: Kernel, seed: int, together: tuple[str, ...]) -> Array:
    rows = surface.measured()
    trusted = surface.trusted(rows).to_numpy()
    units = rows.select(pl.struct(together).rank("dense")).to_series().to_numpy() - 1
    predicted = np.full(rows.height, np.nan)
    for held in _folds(units.astype(np.intp), seed):
        known = rows.filter(pl.Series(~held & trusted))
        asked = rows.filter(pl.Series(held))
        predicted[held] = learn(surface, known, fit_form(surface, known), kernel)(asked)
    return predicted


def cross_validated(surface: Surface) -> pl.DataFrame:
    """Return the rows of a surface; column ``predicted`` is predicted from the rows of other folds.

    Rows are assigned to 5 folds at random. The formula is fitted for each fold, but the kernel is
    the one fitted to all rows.
    """
    kernel = stored_kernel(surface)
    predicted = _out_of_fold(surface, kernel, SEEDS[0], surface.key)
    return surface.measured().with_columns(predicted=pl.Series(predicted))


def error_rows(
    surface: Surface,
    kernel: Kernel,
    group_by: tuple[str, ...],
    schemes: Iterable[tuple[str, tuple[str, ...]]] = (),
) -> list[dict[str, object]]:
    """Cross-validate a surface, and return its errors as rows of a table.

    The errors at rows that the surface does not trust are reported separately.

    Args:
        surface: The surface.
        kernel: The kernel of its correction, as fitted to all rows.
        group_by: Columns by whose values errors are reported, in addition to the errors of all
            rows.
        schemes: Further ways to hold rows out, each given by its name and columns. Rows with equal
            values in these columns are held out together.
    """
    rows = surface.measured()
    trusted = surface.trusted(rows).to_numpy()
    truth = rows[surface.target].to_numpy()
    result: list[dict[str, object]] = []
    for scheme, together in (("random 5-fold", surface.key), *schemes):
        predicted = np.array([_out_of_fold(surface, kernel, seed, together) for seed in SEEDS])
        errors = np.abs(predicted / truth - 1) * 100
        answered = np.isfinite(errors).all(axis=0)
        labels = rows.select(pl.concat_str(group_by, separator=" ")).to_series()
        wanted = [("all", trusted), ("not trusted", ~trusted)] + [
            (label, (labels == label).to_numpy() & trusted)
            for label in labels.unique().sort().to_list()
        ]
        for label, mask in wanted:
            of = mask & answered
            if not of.any():
                continue
            own, pct = rows.filter(pl.Series(of)), errors[:, of]  # (seeds, rows)
            worst = own.row(int(pct.max(axis=0).argmax()), named=True)
            result.append(
                {
                    "group": f"{surface.name} {label}",
                    "scheme": scheme,
                    "n": own.height,
                    "median_pct": round(float(np.median(pct)), 3),
                    "p90_pct": round(float(np.quantile(pct, 0.9)), 3),
                    "worst_pct": round(float(pct.max()), 3),
                    "worst_cell": " ".join(f"{name}={worst[name]}" for name in surface.key),
                }
            )
    return result


def coefficient_rows(surface: Surface, values: Coefficients, kernel: Kernel) -> pl.DataFrame:
    """Return the fitted coefficients of a surface as rows of a table."""
    rows = [(group, name, value) for (group, name), value in values.items()]
    rows += [
        (surface.kernel_group, name, float(f"{value:.6g}"))
        for name, value in kernel.values().items()
    ]
    return pl.DataFrame(rows, schema=["group", "coefficient", "value"], orient="row")
