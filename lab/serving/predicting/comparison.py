"""Compares observed and predicted requests: percentiles, throughput and goodput, with errors.

Two observations of a cell have the same arrivals. Their relative difference is the *floor*: reality
does not repeat itself more closely than that, so no prediction can be shown to be better.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, nan
from typing import Any

import polars as pl

from lab.common.errors import InputError
from lab.serving.observation import NEEDED, Observation
from lab.serving.predicting.prediction import SEED, Prediction
from sim.dataplane.base.interface import COMPLETED

QUANTILES = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}
WORST = "p95_s"
"""The figure by whose error cells are sorted."""
THROUGHPUT, GOODPUT = "throughput_per_s", "goodput"
SAME_S = 1e-6
"""Arrivals that differ by less are equal."""


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
        """Return the figures of a table of requests; percentiles are those of completed ones.

        Several seeds of a prediction are pooled; their throughput is the mean.
        """
        completed = requests.filter(outcome=COMPLETED)
        latency_s = completed["latency_s"]
        values = {}
        for name, at in QUANTILES.items():
            found = latency_s.quantile(at, "linear")
            values[name] = nan if found is None else float(found)
        seeds = requests.partition_by(SEED) if SEED in requests.columns else [requests]
        values[THROUGHPUT] = fsum(map(_throughput, seeds)) / len(seeds)
        values[GOODPUT] = float((latency_s <= bound_s).sum()) / requests.height
        return cls(values)

    @classmethod
    def mean(cls, several: Iterable["Figures"]) -> "Figures":
        """Return the means of several tables' figures."""
        each = [one.values for one in several]
        return cls({name: fsum(one[name] for one in each) / len(each) for name in each[0]})


def _throughput(requests: pl.DataFrame) -> float:
    done = requests.filter(outcome=COMPLETED)
    if done.is_empty():
        return 0.0
    span_s = float(done["ended_s"].max()) - float(requests["arrival_s"].min())  # type: ignore[arg-type]
    return done.height / span_s


def cell_rows(
    cell: str, observed: Sequence[Figures], predicted: Figures
) -> list[dict[str, str | float | None]]:
    """Return one row per figure: observed mean, prediction, error, and floor.

    Errors and floors are relative to the observed mean, but in goodput they are differences. The
    floor is None if there is one observation only.
    """
    rows: list[dict[str, str | float | None]] = []
    for name, mean in Figures.mean(observed).values.items():
        seen = [one.values[name] for one in observed]
        unit = 1.0 if name == GOODPUT else mean
        rows.append(
            {
                "cell": cell,
                "figure": name,
                "observed": mean,
                "predicted": predicted.values[name],
                "error": (predicted.values[name] - mean) / unit if unit else nan,
                "floor": (max(seen) - min(seen)) / unit if len(seen) > 1 and unit else None,
            }
        )
    return rows


def worst_first(rows: Iterable[Mapping[str, str | float | None]]) -> pl.DataFrame:
    """Return the rows of all cells as a table, the cell with the largest error first."""
    types = {"cell": pl.String, "figure": pl.String}
    numbers = dict.fromkeys(("observed", "predicted", "error", "floor"), pl.Float64)
    table = pl.DataFrame(list(rows), {**types, **numbers})
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


def key_of(description: Mapping[str, Any]) -> str:
    """Return what two observations of a cell have in common: how it was served, and the load."""
    return json.dumps([description[key] for key in NEEDED], sort_keys=True)


def cells(observations: Mapping[str, Observation]) -> dict[str, list[Observation]]:
    """Return the observations of each cell by the name of its first one.

    Raises InputError if two observations of a cell have different arrivals, because a trace of one
    name has changed.
    """
    found: dict[str, list[Observation]] = {}
    names: dict[str, str] = {}
    for name, each in observations.items():
        cell = names.setdefault(key_of(each.description), name)
        found.setdefault(cell, []).append(each)
        first, its = found[cell][0].requests["arrival_s"], each.requests["arrival_s"]
        if len(first) != len(its) or ((first - its).abs() > SAME_S).any():
            raise InputError(f"{name}: has other arrivals than {cell}, in spite of an equal load")
    return found


def check_predicted(prediction: Prediction, observation: Observation, name: str) -> None:
    """Raise InputError unless a prediction is one of this observation's cell."""
    if prediction.description["load_factor"] != 1:
        raise InputError("--predicted: has a --load-factor other than 1, so nothing was observed")
    if key_of(prediction.description) != key_of(observation.description):
        raise InputError(f"--predicted: is not a prediction of {name}: its load or service differs")
