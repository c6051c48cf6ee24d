"""Compares observed and predicted requests: percentiles, throughput and goodput, with errors.

Two observations of a cell have the same arrivals. Their relative difference is the *floor*: reality
does not repeat itself more closely than that, so no prediction can be shown to be better.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

import polars as pl

QUANTILES = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}
WORST = "p95_s"
"""The figure by whose error cells are sorted."""


@dataclass(frozen=True)
class Figures:
    """What is compared of a table of requests.

    Args:
        values: latency percentiles in seconds, ``throughput_per_s`` (completed requests per second,
            from the first arrival to the last end), and ``goodput`` (the share of all requests that
            completed within the latency bound).
    """

    values: dict[str, float]

    @classmethod
    def of(cls, requests: pl.DataFrame, bound_s: float) -> "Figures":
        """Return the figures of a table of requests; percentiles are those of completed ones."""
        completed = requests.filter(pl.col("outcome") == "completed")
        latency_s = completed["latency_s"]
        values = {
            name: float(latency_s.quantile(at, "linear") or float("nan"))
            for name, at in QUANTILES.items()
        }
        last_s = float(completed["ended_s"].max() or 0.0)  # type: ignore[arg-type]
        first_s = float(requests["arrival_s"].min() or 0.0)  # type: ignore[arg-type]
        span_s = last_s - first_s
        values["throughput_per_s"] = completed.height / span_s if span_s > 0 else 0.0
        values["goodput"] = float((latency_s <= bound_s).sum()) / requests.height
        return cls(values)

    @classmethod
    def mean(cls, several: Iterable["Figures"]) -> "Figures":
        """Return the means of several tables' figures."""
        each = [one.values for one in several]
        return cls({name: fsum(one[name] for one in each) / len(each) for name in each[0]})


def cell_rows(
    cell: str, observed: Sequence[Figures], predicted: Figures
) -> list[dict[str, str | float]]:
    """Return one row per figure: observed mean, floor, prediction and error.

    Errors and floors are relative to the observed mean, but in goodput they are differences.
    """
    rows: list[dict[str, str | float]] = []
    means = Figures.mean(observed).values
    for name, mean in means.items():
        seen = [one.values[name] for one in observed]
        unit = 1.0 if name == "goodput" else mean
        rows.append(
            {
                "cell": cell,
                "figure": name,
                "observed": mean,
                "predicted": predicted.values[name],
                "error": (predicted.values[name] - mean) / unit,
                "floor": (max(seen) - min(seen)) / unit,
            }
        )
    return rows


def worst_first(rows: Iterable[dict[str, str | float]]) -> pl.DataFrame:
    """Return the rows of all cells as a table, the cell with the largest error first."""
    table = pl.DataFrame(list(rows))
    worst = pl.col("error").abs().filter(pl.col("figure") == WORST).max().over("cell")
    return (
        table.with_columns(_worst=worst)
        .sort("_worst", "cell", descending=[True, False], maintain_order=True)
        .drop("_worst")
    )


def summary(table: pl.DataFrame) -> pl.DataFrame:
    """Return the median and the largest absolute error of each figure, with the floors."""
    error, floor = pl.col("error").abs(), pl.col("floor")
    return table.group_by("figure", maintain_order=True).agg(
        cells=pl.len(),
        error_median=error.median(),
        error_largest=error.max(),
        floor_median=floor.median(),
        floor_largest=floor.max(),
    )
