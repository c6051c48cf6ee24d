"""Predicts an observation: the simulator serves the requests that were sent, from the tables.

Each operator is a station of Ray Serve (`lab.serving.ray_plane`), all on one host. The engine's
overhead before it is a link of unlimited capacity. The arrivals are those of the observation.
Execution times are drawn from the measured distribution, in a random stream of each operator.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl

from lab.serving.observation import Observation
from lab.serving.ray_plane import RayPlane
from lab.serving.service_tables import CORES, ENGINE, FACTORS, ServiceTables, served_operators
from scenarios.applications.pipeline import AVERAGE
from scenarios.numerics import Floats, Ints
from scenarios.random_streams import stream
from scenarios.requests import RequestBlock
from sim.clock import NS_PER_S, ns
from sim.dataplane.base.interface import LinkSpec, Processor, Route, StationSpec, Visit
from sim.dataplane.base.rate_profile import RateProfile
from sim.dataplane.base.recorders import RequestLog
from sim.metrics.request_table import request_frame

UNLIMITED = RateProfile((0,), (10**12,))
DRAINED_S = 600.0
"""Simulated seconds after the last arrival. A request that has not ended by then is in flight."""


def predict(observation: Observation, tables: ServiceTables, seed: int) -> pl.DataFrame:
    """Return the predicted table of requests for the arrivals of an observation.

    Its columns are those of the table ``requests`` of a run. Raises InputError if the tables lack a
    setting of an operator.
    """
    operators = served_operators(observation)
    log = RequestLog(len(operators))
    plane = RayPlane(log)
    slowdown = tables[CORES].sort("busy")["slowdown"].to_list()
    host = Processor(0, observation.description["host"]["cores"], tuple(slowdown))
    arrival_ns = _arrivals_ns(observation)
    visits: list[Visit] = []
    variability: list[Floats] = []
    path_s = 0.0
    for number, (name, operator) in enumerate(operators.items()):
        [engine] = tables[ENGINE].filter(operator=name).rows(named=True)
        overhead_s = [
            engine["occupied_per_batch_s"] + size * engine["occupied_per_request_s"]
            for size in range(1, operator.max_batch + 1)
        ]
        execution_s = tables.times_s(name, operator.setting, operator.max_batch)
        times_s = np.add(execution_s, overhead_s)
        plane.add_link(LinkSpec(number, UNLIMITED, ns(engine["path_s"])))
        plane.add_station(
            StationSpec(
                number,
                operator.replicas,
                operator.max_batch,
                ns(operator.max_wait_s),
                tuple(times_s / times_s[0]),
                batch_time=AVERAGE,
                processor=host,
            )
        )
        visits += [Visit(number, None, number, 1.0), Visit(number, number, None, times_s[0] * 1e9)]
        factors = _factors(tables, name, operator.setting, len(arrival_ns), seed)
        variability.append((execution_s[0] * factors + overhead_s[0]) / times_s[0])
        path_s = engine["answer_path_s"]
    plane.add_link(LinkSpec(len(operators), UNLIMITED, ns(path_s)))
    visits.append(Visit(len(operators), None, len(operators), 1.0))
    plane.open_source(0, 0, _blocks(arrival_ns, np.column_stack(variability)))
    plane.route(0, 0, Route(0, tuple(visits)))
    plane.advance(int(arrival_ns[-1]) + ns(DRAINED_S))
    plane.finish()
    return request_frame(log.take(), list(operators))


def _arrivals_ns(observation: Observation) -> Ints:
    """Return the times at which requests were due, in ns and strictly increasing."""
    due_ns = np.rint(np.sort(observation.requests["arrival_s"].to_numpy()) * NS_PER_S)
    steps = np.arange(len(due_ns))
    arrival_ns: Ints = (np.maximum.accumulate(due_ns - steps) + steps).astype(np.int64)
    return arrival_ns


def _factors(tables: ServiceTables, operator: str, setting: str, count: int, seed: int) -> Floats:
    """Draw the ratios of requests' execution times to the mean from the measured distribution."""
    rows = tables[FACTORS].filter(operator=operator, setting=setting).sort("quantile")
    if rows.is_empty():
        return np.ones(count)
    drawn = stream(seed, "served", operator, "execution").random(count)
    factors: Floats = np.interp(drawn, rows["quantile"].to_numpy(), rows["factor"].to_numpy())
    return factors


def _blocks(arrival_ns: Ints, variability: Floats) -> Iterator[RequestBlock]:
    size, length, allowance = np.ones((3, len(arrival_ns)))
    yield RequestBlock(arrival_ns, size, length, allowance, variability)
