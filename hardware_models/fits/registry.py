"""Fit the hardware models to the tables, and write the results to data files.

A simulation fits nothing and reads the coefficients from tables ``fit_<name>``. Tables
``fit_<name>_errors`` have each fit's errors on rows that were left out of the fit.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast

import polars as pl
import polars.selectors as cs
from threadpoolctl import threadpool_limits

from hardware_models.errors import pick

_DIGITS = 6  # more digits would differ between machines


@dataclass(frozen=True, slots=True)
class Fit:
    """The result of fitting one table.

    Attributes:
        coefficients: Columns ``group``, ``coefficient``, ``value``.
        errors: Columns ``group``, ``scheme`` (how rows were held out), ``n`` (rows predicted),
            ``median_pct``, ``p90_pct``, ``worst_pct`` (absolute errors, in percent of the measured
            value) and ``worst_cell`` (the row with the largest error).
    """

    coefficients: pl.DataFrame
    errors: pl.DataFrame


def _fit(module: str, *arguments: str) -> Fit:
    """Run a fit; its module is imported only here, because the dependencies load slowly."""
    return cast("Fit", import_module(f"hardware_models.fits.{module}").fit(*arguments))


FITS: Mapping[str, Callable[[], Fit]] = {
    "gpu_latency": partial(_fit, "gpu_latency"),
    "mps": partial(_fit, "mps"),
    "llm_iteration": partial(_fit, "surface_fits", "llm_iteration"),
    "llm_layers": partial(_fit, "surface_fits", "llm_layers"),
    "llm": partial(_fit, "llm"),
    "whisper": partial(_fit, "surface_fits", "whisper"),
    "detection": partial(_fit, "surface_fits", "detection"),
    "links": partial(_fit, "links"),
}
"""Every fit, by name."""


def error_rows(frame: pl.DataFrame, scheme: str, group_by: str, target: str) -> pl.DataFrame:
    """Return rows of `Fit.errors`: one for all rows of the frame, and one for each group.

    Args:
        frame: A table with columns ``predicted`` and ``cell`` (a name for the row), and those of
            the group and the target.
        scheme: How rows were held out.
        group_by: The column that names the group.
        target: The measured column.
    """
    error = 100 * (pl.col("predicted") / pl.col(target) - 1).abs()
    with_error = frame.select(group=pl.col(group_by), cell="cell", error=error)
    return (
        pl.concat([with_error.with_columns(group=pl.lit("all")), with_error])
        .group_by("group", maintain_order=True)
        .agg(
            scheme=pl.lit(scheme),
            n=pl.len().cast(pl.Int64),
            median_pct=pl.col("error").median(),
            p90_pct=pl.col("error").quantile(0.9, "linear"),
            worst_pct=pl.col("error").max(),
            worst_cell=pl.col("cell").get(pl.col("error").arg_max()),
        )
    )


def write_fits(directory: Path, names: Iterable[str] = ()) -> list[Path]:
    """Fit models, and write ``fit_<name>.csv`` and ``fit_<name>_errors.csv`` into a directory.

    Returns:
        The paths of the files, in the order of ``names`` (by default, the names of all fits).

    Raises:
        UnknownNameError: One of the names is not that of a fit.
    """
    chosen = tuple(names) or tuple(FITS)
    for name in chosen:
        pick("fit", name, FITS)
    directory.mkdir(parents=True, exist_ok=True)
    provenance = tomllib.loads((Path(__file__).parent / "provenance.toml").read_text("utf-8"))
    written = []
    for name in chosen:
        with threadpool_limits(1):  # Sums in several threads differ in the last digits.
            fit = FITS[name]()
        said = provenance[name]
        for path, frame, unit, remarks in (
            (directory / f"fit_{name}.csv", fit.coefficients, "as the name says", {}),
            (directory / f"fit_{name}_errors.csv", fit.errors, "percent", said.get("remarks", {})),
        ):
            rounded = frame.with_columns(cs.float().round_sig_figs(_DIGITS))
            rounded.with_columns(
                unit=pl.lit(unit),
                kind=pl.lit("derived"),
                source=pl.lit(said["source"]),
                source_url=pl.lit(said["source_url"]),
                note=pl.col("group").replace_strict(
                    remarks, default=f"written by `compass-lab fit {name}`", return_dtype=pl.String
                ),
            ).write_csv(path)
            written.append(path)
    return written
