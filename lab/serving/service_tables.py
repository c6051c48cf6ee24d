"""Measured tables of a served pipeline: service times, engine overhead, and shared cores."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from lab.common.errors import InputError
from lab.serving.observation import Observation

TIMES, FACTORS, ENGINE, CORES = "service_times", "service_factors", "engine", "cores"
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
        "quantile": pl.Float64,
        "factor": pl.Float64,
    },
    ENGINE: {
        "operator": pl.String,
        "path_s": pl.Float64,
        "occupied_per_batch_s": pl.Float64,
        "occupied_per_request_s": pl.Float64,
        "answer_path_s": pl.Float64,
    },
    CORES: {"busy": pl.Int64, "slowdown": pl.Float64, "batches": pl.Int64},
}
"""The columns of each table.

``service_times``: an operator's execution time by setting of its knobs and by batch size, alone on
the host. ``service_factors``: quantiles of the ratio of a batch's time to the mean at its size.
``engine``: the serving engine's overhead, which is spent before the operator without occupying its
servers (``path_s``), after the last operator (``answer_path_s``), or on its servers. ``cores``: the
factor by which execution is slower with a number of busy servers on the host.
"""


@dataclass(frozen=True)
class Served:
    """How an operator was served in an observation.

    Args:
        replicas: processes that served it.
        max_batch: most requests in one batch.
        max_wait_s: longest time for which the first request of a batch waited for others.
        setting: its knobs and their values, as one text.
    """

    replicas: int
    max_batch: int
    max_wait_s: float
    setting: str


def served_operators(observation: Observation) -> dict[str, Served]:
    """Return how each operator of an observed pipeline was served, by its name.

    Raises InputError if the observation does not say so, because it observed an endpoint of which
    no pipeline is known.
    """
    found = {}
    for each in observation.description["pipeline"]["operators"]:
        if "replicas" not in each:
            raise InputError(
                f"{each['name']}: the observation does not say how it was served; name its "
                "pipeline to compass-lab observe"
            )
        knobs = each["knobs"]
        setting = ", ".join(f"{key}={knobs[key]}" for key in sorted(knobs))
        found[each["name"]] = Served(
            each["replicas"], each["max_batch"], each["max_wait_s"], setting
        )
    return found


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
        tables = {}
        for name, schema in SCHEMAS.items():
            path = directory / f"{name}.csv"
            if not path.is_file():
                raise InputError(f"{path}: no such file; compass-lab calibrate --served writes it")
            try:
                table = pl.read_csv(path, schema_overrides=schema)
            except (pl.exceptions.PolarsError, OSError) as error:
                raise InputError(f"{path}: not readable as CSV ({error})") from None
            if missing := schema.keys() - set(table.columns):
                raise InputError(f"{path}: column {min(missing)} is missing")
            tables[name] = table.select(*schema)
        return cls(tables)

    def times_s(self, operator: str, setting: str, batches: int) -> list[float]:
        """Return the mean time of a batch of 1, 2, ... requests, alone on the host.

        Sizes that were not measured are interpolated linearly; beyond the largest one, the time of
        each further request is that of the last measured step. Raises InputError if the operator
        was not measured with this setting.
        """
        rows = self[TIMES].filter(operator=operator, setting=setting).sort("batch")
        if rows.is_empty():
            known = self[TIMES].filter(operator=operator)["setting"].unique().sort()
            raise InputError(
                f"{operator} with {setting or 'no knobs'}: was not measured; measured are "
                f"{', '.join(known) or 'no settings'}"
            )
        sizes, means = rows["batch"].to_numpy(), rows["mean_s"].to_numpy()
        step = (means[-1] - means[-2]) / (sizes[-1] - sizes[-2]) if len(sizes) > 1 else means[-1]
        wanted = np.arange(1, batches + 1)
        beyond = np.maximum(wanted - sizes[-1], 0) * step
        return [float(each) for each in np.interp(wanted, sizes, means) + beyond]
