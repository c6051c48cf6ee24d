"""Measured tables of a served pipeline: service times, engine overhead, shared cores, accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import nnls

from lab.common.errors import InputError, no_directory, one_line
from lab.serving.observation import Observation
from lab.serving.predicting.contention import LEAST_BATCHES
from scenarios.numerics import Floats

TIMES, FACTORS, ENGINE = "service_times", "service_factors", "engine"
PATHS, CORES, HOST, ACCURACY = "paths", "cores", "host", "accuracy"
QUANTILES = np.linspace(0, 1, 101)
"""The quantiles that tables of factors and paths have."""
SCHEMAS: Mapping[str, Mapping[str, type[pl.DataType]]] = {
    TIMES: {
        "operator": pl.String,
        "setting": pl.String,
        "batch": pl.Int64,
        "mean_s": pl.Float64,
        "cv": pl.Float64,
        "batches": pl.Int64,
    },
    FACTORS: {
        "operator": pl.String,
        "setting": pl.String,
        "batch": pl.Int64,
        "quantile": pl.Float64,
        "factor": pl.Float64,
    },
    ENGINE: {
        "operator": pl.String,
        "handoff_s": pl.Float64,
        "occupied_per_batch_s": pl.Float64,
        "occupied_per_request_s": pl.Float64,
    },
    PATHS: {
        "operator": pl.String,
        "queued": pl.Boolean,
        "jobs": pl.Int64,
        "quantile": pl.Float64,
        "path_s": pl.Float64,
    },
    CORES: {"jobs": pl.Int64, "slowdown": pl.Float64, "batches": pl.Int64},
    HOST: {"cpu": pl.String, "cores": pl.Int64, "stolen": pl.Float64},
    ACCURACY: {
        "settings": pl.String,
        "accuracy": pl.Float64,
        "accuracy_sd": pl.Float64,
        "requests": pl.Int64,
    },
}
"""The columns of each table.

``service_times``: an operator's execution time by setting of its knobs and by batch size, alone on
the host. ``service_factors``: quantiles of the ratio of a batch's time to the mean at its size.
``engine``: the serving engine's overhead at a replica: from a batch's closing to its start if the
replica is free (``handoff_s``), and from the end of a batch to the start of one that waits for it.
``paths``: quantiles of the engine's time for passing one request to an operator, or an answer to
the client, by the number of jobs on the host when it begins, itself included, and by whether it
had to wait for the request before. Jobs are batches in service, and paths on which a request is
passed. ``cores``: the factor by which execution is slower
with a number of jobs on the host than equal shares of the cores say.
``host``: its processor, and the factor by which stolen time stretched what ran. ``accuracy``: mean
and standard deviation of an answer's accuracy, by the settings of all operators.
"""


def line(sizes: Floats, values: Floats, counts: Floats | None = None) -> tuple[float, float]:
    """Return the constant and the slope, both at least 0, of values over batch sizes.

    Args:
        sizes: two or more batch sizes, shape (n,).
        values: a value for each size, shape (n,).
        counts: how many measurements each value is the average of, shape (n,); equal by default.
    """
    weights = np.ones(len(sizes)) if counts is None else np.sqrt(counts)
    design = np.column_stack([np.ones(len(sizes)), sizes])
    (constant, slope), _ = nnls(design * weights[:, None], values * weights)
    return float(constant), float(slope)


def knobs_text(knobs: Mapping[str, object]) -> str:
    """Return knobs and their values as one text."""
    return ", ".join(f"{key}={knobs[key]}" for key in sorted(knobs))


@dataclass(frozen=True)
class Served:
    """How an operator was served in an observation.

    Args:
        replicas: processes that served it.
        max_batch: most requests in one batch.
        max_wait_s: longest time for which the first request of a batch waited for others.
        knobs: its knobs and their values.
    """

    replicas: int
    max_batch: int
    max_wait_s: float
    knobs: Mapping[str, Any]

    @property
    def setting(self) -> str:
        """The knobs and their values, as one text."""
        return knobs_text(self.knobs)


HOW = tuple(each.name for each in fields(Served))
"""Keys of a description that say how an operator was served."""


def served_operators(observation: Observation) -> dict[str, Served]:
    """Return how each operator of an observed pipeline was served, by its name.

    Raises InputError if the observation does not say so, because it observed an endpoint of which
    no pipeline is known.
    """
    found = {}
    for each in observation.description["pipeline"]["operators"]:
        if not set(HOW) <= set(each):
            raise InputError(
                f"{each['name']}: the observation does not say how it was served; name its "
                "pipeline to compass-lab observe"
            )
        found[each["name"]] = Served(*(each[key] for key in HOW))
    if not found:
        raise InputError("the observation tells no operator, so nothing can be said of any")
    return found


def setting_of_all(operators: Mapping[str, Served]) -> str:
    """Return the settings of all operators as one text."""
    return "; ".join(f"{name}: {each.setting or '-'}" for name, each in operators.items())


@dataclass(frozen=True)
class ServiceTables:
    """The tables of one host and serving engine, by name; see `SCHEMAS`."""

    tables: Mapping[str, pl.DataFrame]

    def __getitem__(self, name: str) -> pl.DataFrame:
        """Return a table."""
        return self.tables[name]

    def write(self, directory: Path) -> None:
        """Write each table as a CSV file."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            table.write_csv(directory / f"{name}.csv", float_precision=9)

    @classmethod
    def read(cls, directory: Path) -> "ServiceTables":
        """Read a directory's tables; raise InputError if one is missing or has other columns."""
        if not directory.is_dir():
            raise InputError(f"{directory}: {no_directory(directory)}")
        tables = {}
        for name, schema in SCHEMAS.items():
            path = directory / f"{name}.csv"
            if not path.is_file():
                raise InputError(
                    f"{path}: no such file; compass-lab calibrate --observations writes it"
                )
            try:
                table = pl.read_csv(path, schema_overrides=schema)
            except (pl.exceptions.PolarsError, OSError) as error:
                raise InputError(f"{path}: not readable as CSV ({one_line(error)})") from None
            if missing := schema.keys() - set(table.columns):
                raise InputError(f"{path}: column {min(missing)} is missing")
            tables[name] = table.select(*schema)
        return cls(tables)

    def largest_batch(self, operator: str, setting: str) -> int:
        """Return the size of the largest batch that was measured, 0 if none was."""
        rows = self[TIMES].filter(operator=operator, setting=setting)
        return int(rows["batch"].max() or 0)  # type: ignore[arg-type]

    def times_s(self, operator: str, setting: str, batches: int) -> list[float]:
        """Return the mean time of a batch of 1, 2, ... requests, alone on the host.

        A size that was measured in few batches, or in none, is on the straight line through all
        sizes, weighted by their batches. If only one size was measured, the line is through 0.
        Raises InputError if the operator was not measured with this setting.
        """
        # Other tools do not say how many batches they timed.
        counted = self[TIMES].with_columns(pl.col("batches").fill_null(LEAST_BATCHES))
        rows = counted.filter(operator=operator, setting=setting).sort("batch")
        if rows.is_empty():
            known = self[TIMES].filter(operator=operator)["setting"].unique().sort()
            raise InputError(
                f"{operator} with {setting or 'no knobs'}: was not measured; measured are "
                f"{'; '.join(known) or 'no settings'}"
            )
        sizes, means = rows["batch"].to_numpy().astype(float), rows["mean_s"].to_numpy()
        if len(sizes) > 1:
            fixed_s, each_s = line(sizes, means, rows["batches"].to_numpy())
        else:
            fixed_s, each_s = 0.0, means[0] / sizes[0]
        times = fixed_s + each_s * np.arange(1, batches + 1)
        for row in rows.filter(pl.col("batches") >= LEAST_BATCHES).iter_rows(named=True):
            if row["batch"] <= batches:
                times[row["batch"] - 1] = row["mean_s"]
        return [float(each) for each in times]
