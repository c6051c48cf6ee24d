"""Predicts an observation: the simulator serves the requests that were sent, from the tables.

Each operator is a station of Ray Serve (`lab.serving.predicting.ray_plane`), all on one host. The
arrivals are those of the observation. Execution times and the engine's delays are drawn from the
measured distributions, in random streams of each operator; only these differ between seeds.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lab.common.atomic_write import written_aside
from lab.common.errors import InputError
from lab.runs.run_directory import write_aside
from lab.serving.observation import (
    NEEDED,
    TABLE,
    WHOLE,
    Observation,
    read_description,
    read_table,
)
from lab.serving.predicting.ray_plane import RayPlane
from lab.serving.predicting.service_tables import (
    CORES,
    ENGINE,
    FACTORS,
    HOST,
    PATHS,
    Served,
    ServiceTables,
    served_operators,
)
from scenarios.applications.pipeline import ANSWER, AVERAGE
from scenarios.numerics import Floats, Ints
from scenarios.random_streams import stream
from scenarios.requests import RequestBlock
from sim.clock import NS_PER_S, ns
from sim.dataplane.base.interface import Processor, Route, StationSpec, Visit
from sim.dataplane.base.recorders import RequestLog
from sim.metrics.request_table import request_frame

DESCRIPTION = "prediction.json"
SEED = "seed"
"""The column that tells the seeds of a prediction apart."""
DRAINED_S = 600.0
"""Simulated seconds after the last arrival. A request that has not ended by then is in flight."""


@dataclass(frozen=True)
class Prediction:
    """What was predicted.

    Args:
        description: what of the observation's description tells its arrivals and how it was served,
            and the ``seeds`` and the ``load_factor`` of the prediction.
        requests: the table of requests of all seeds, with the further column ``seed``.
    """

    description: Mapping[str, Any]
    requests: pl.DataFrame

    def write(self, directory: Path) -> None:
        """Write the directory, its description last."""
        directory.mkdir(parents=True, exist_ok=True)
        with written_aside(directory / TABLE) as aside:
            self.requests.write_parquet(aside)
        write_aside(directory / DESCRIPTION, f"{json.dumps(self.description, indent=2)}\n")

    @classmethod
    def read(cls, directory: Path) -> "Prediction":
        """Read a prediction; raise InputError if there is none or it is damaged."""
        path = directory / DESCRIPTION
        description = read_description(path, "; compass-lab predict writes it")
        if not isinstance(description, dict) or not {*NEEDED, "load_factor"} <= set(description):
            raise InputError(f"{path}: describes no prediction")
        columns = {**WHOLE, **dict.fromkeys((SEED, "arrival_s", "ended_s", "outcome", "latency_s"))}
        return cls(description, read_table(directory / TABLE, columns))


def predict(
    observation: Observation, tables: ServiceTables, seeds: int, load_factor: float = 1.0
) -> Prediction:
    """Predict an observation with several seeds of the execution times.

    Args:
        observation: what is predicted; of its requests, only the arrivals are used.
        tables: what was measured of the operators, the engine and the host.
        seeds: number of seeds, from 0.
        load_factor: the arrivals come so many times as fast.

    Raises:
        InputError: the tables lack a setting of an operator, or an operator.
    """
    parts = [predicted_requests(observation, tables, seed, load_factor) for seed in range(seeds)]
    requests = pl.concat(
        each.with_columns(pl.lit(seed, pl.Int64).alias(SEED)) for seed, each in enumerate(parts)
    )
    kept = {key: observation.description[key] for key in NEEDED}
    return Prediction({**kept, "seeds": seeds, "load_factor": load_factor}, requests)


def predicted_requests(
    observation: Observation, tables: ServiceTables, seed: int, load_factor: float = 1.0
) -> pl.DataFrame:
    """Return the predicted table of requests, with the columns of the table of a run."""
    operators = served_operators(observation)
    log = RequestLog(len(operators))
    plane = RayPlane(log)
    [host] = tables[HOST].rows(named=True)
    slowdown = tables[CORES].sort("jobs")["slowdown"] * host["stolen"]
    processor = Processor(0, host["cores"], tuple(slowdown))
    arrival_ns = _arrivals_ns(observation, load_factor)
    count = len(arrival_ns)
    visits: list[Visit] = []
    for number, (name, operator) in enumerate(operators.items()):
        engine = tables[ENGINE].filter(operator=name).row(0, named=True)
        times_s = np.array(tables.times_s(name, operator.setting, operator.max_batch))
        # Handing a batch to a free replica delays it; a replica that is busy does so meanwhile.
        handoff_ns = ns(engine["handoff_s"])
        plane.add_path(number, processor, _paths_ns(tables, name, count, seed), handoff_ns)
        spec = StationSpec(
            number,
            operator.replicas,
            operator.max_batch,
            ns(operator.max_wait_s),
            tuple(times_s / times_s[0]),
            batch_time=AVERAGE,
            processor=processor,
        )
        factors = execution_factors(tables, name, operator, count, seed)
        plane.add_station(spec, _after_ns(engine, operator), factors)
        visits += [Visit(number, None, number, 1.0), Visit(number, number, None, times_s[0] * 1e9)]
    plane.add_path(len(operators), processor, _paths_ns(tables, ANSWER, count, seed))
    visits.append(Visit(len(operators), None, len(operators), 1.0))
    plane.open_source(0, 0, _blocks(arrival_ns, len(operators)))
    plane.route(0, 0, Route(0, tuple(visits)))
    plane.advance(int(arrival_ns[-1]) + ns(DRAINED_S))
    plane.finish()
    return request_frame(log.take(), list(operators))


def _arrivals_ns(observation: Observation, load_factor: float) -> Ints:
    """Return the times at which requests are due, in ns and strictly increasing."""
    due_s = np.sort(observation.requests["arrival_s"].to_numpy()) / load_factor
    steps = np.arange(len(due_s))
    due_ns = np.rint(due_s * NS_PER_S)
    arrival_ns: Ints = (np.maximum.accumulate(due_ns - steps) + steps).astype(np.int64)
    return arrival_ns


def execution_factors(
    tables: ServiceTables, operator: str, served: Served, count: int, seed: int
) -> list[list[float]]:
    """Draw the ratio of a batch's time to the mean at its size, by size from 1.

    The second index is the number of the batch's first request. A size of which no distribution was
    measured has that of the nearest one.
    """
    drawn = stream(seed, "served", operator, "execution").random(count)
    rows = tables[FACTORS].filter(operator=operator, setting=served.setting)
    known = sorted(rows["batch"].unique())
    if not known:
        return [[1.0] * count] * served.max_batch
    of_size = {size: _at(rows.filter(batch=size), "factor", drawn).tolist() for size in known}
    sizes = range(1, served.max_batch + 1)
    return [of_size[min(known, key=lambda each: abs(each - size))] for size in sizes]


def _paths_ns(tables: ServiceTables, operator: str, count: int, seed: int) -> list[list[list[int]]]:
    """Draw the engine's times for passing requests to an operator, or answers to the client.

    The first index tells whether a request was queued, the second one less than the number of jobs,
    and the third is the number of the request, which has the same place among the times of each
    number of jobs. A number that was not measured has the times of the one below, or of the lowest.
    """
    drawn = stream(seed, "served", operator, "path").random(count)
    rows = tables[PATHS].filter(operator=operator)
    found = []
    for queued in (False, True):
        its = rows.filter(queued=queued)
        by_jobs = _by_jobs(rows if its.is_empty() else its, drawn)
        found.append([[ns(each) for each in times_s.tolist()] for times_s in by_jobs])
    return found


def _by_jobs(rows: pl.DataFrame, drawn: Floats) -> list[Floats]:
    known = sorted(rows["jobs"].unique())
    if not known:
        return [np.zeros(len(drawn))]
    times_s = {jobs: _at(rows.filter(jobs=jobs), "path_s", drawn) for jobs in known}
    numbers = range(1, known[-1] + 1)
    return [times_s[max((n for n in known if n <= jobs), default=known[0])] for jobs in numbers]


def _at(rows: pl.DataFrame, name: str, drawn: Floats) -> Floats:
    rows = rows.sort("quantile")
    found: Floats = np.interp(drawn, rows["quantile"].to_numpy(), rows[name].to_numpy())
    return found


def _after_ns(engine: Mapping[str, float], operator: Served) -> list[int]:
    """Return for how long a batch of 1, 2, ... occupies a replica after its end."""
    per_batch_s, per_request_s = engine["occupied_per_batch_s"], engine["occupied_per_request_s"]
    return [ns(per_batch_s + size * per_request_s) for size in range(1, operator.max_batch + 1)]


def _blocks(arrival_ns: Ints, operators: int) -> Iterator[RequestBlock]:
    size, length, allowance = np.ones((3, len(arrival_ns)))
    yield RequestBlock(arrival_ns, size, length, allowance, np.ones((len(arrival_ns), operators)))
