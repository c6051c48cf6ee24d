"""Compares two data planes in the same scenario up to the first difference.

Two simulations advance tick by tick. Results are discarded once they are compared, so the use of
memory is constant.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from lab.common.errors import InputError, one_line
from lab.config.compose import Setup
from lab.runs.runner import single_threaded
from lab.runs.steady_state import cut_s
from lab.runs.summary import Tally, summarise
from scenarios.applications.pipeline import ANSWER
from scenarios.compiled import working_s
from scenarios.numerics import Ints
from sim.api.planner import Planner
from sim.controlplane.world import World
from sim.dataplane.base.interface import COMPLETED, OUTCOMES, DataPlane, Recorder
from sim.dataplane.base.recorders import RequestLog
from sim.dataplane.base.request_rows import (
    ENDED,
    NUMBER,
    OUTCOME,
    QUERY,
    VISIT,
    RequestRecord,
    part_columns,
    records,
)
from sim.dataplane.events.plane import EventsPlane

Values = Mapping[str, tuple[Any, Any]]

KEYS = ("query", "window", "operator", "triggered_s", "at_s")
"""Columns that identify a row of a table."""

WALL = ("wall_s", "planning_wall_s", "bound_wall_s")
"""Values of a summary in wall-clock time, which are not compared."""


@dataclass(frozen=True)
class Difference:
    """The first difference between two data planes."""

    what: str  # the request, or the row of a table
    by_s: float  # simulated time of the tick (requests) or flush (rows) that found it
    values: Values  # values of the reference and of the other plane, by column


@dataclass(frozen=True)
class Agreement:
    """The result of a comparison of two data planes."""

    requests: int  # number of equal requests
    rows: int  # number of equal rows of tables
    wall_s: tuple[float, float]  # wall-clock time of each world, without planning and compiling
    difference: Difference | None


class DataPlaneError(Exception):
    """A simulation raised an exception on a data plane; the message is one sentence."""


def data_plane_name(setup: Setup) -> str:
    """Return the class name of a setup's data plane; raise InputError if it is the reference."""
    target = str(setup.config.data_plane._target_)
    if target == f"{EventsPlane.__module__}.{EventsPlane.__qualname__}":
        raise InputError(
            f"data_plane._target_={target}: is the reference itself; leave it out to compare "
            "data_plane=blocks, or name another data plane"
        )
    return target.rpartition(".")[2]


@single_threaded()
def agree(
    setup: Setup, planner: Planner, progress: Callable[[float], None] = lambda _: None
) -> Agreement:
    """Run a scenario on the reference and on the setup's data plane, and compare their results.

    Each request that ended is compared to the nanosecond; the parts of its latency are compared
    only if it was completed. Each row of each table is compared, and so is the summary except its
    wall-clock times. `progress` is called with the simulated time in seconds. Raises DataPlaneError
    if a simulation raises an exception.
    """
    sides = _Side(setup, planner, EventsPlane), _Side(setup, planner, setup.data_plane)
    scenario = sides[0].world.scenario
    operators = [operator.name for operator in scenario.application.operators]
    horizon_s, tick_s = scenario.horizon_s, scenario.cluster.tick_s
    requests, rows = 0, Counter[str]()
    next_tables_s, until_s, ticks = setup.flush_every_s, 0.0, 0

    def ended(difference: Difference | None) -> Agreement:
        wall_s = sides[0].wall_s, sides[1].wall_s
        return Agreement(requests, rows.total(), wall_s, difference)

    while until_s < horizon_s:
        ticks += 1
        until_s = min(ticks * tick_s, horizon_s)
        ends, others = (side.run(until_s) for side in sides)
        if found := compare_requests(ends, others, operators):
            return ended(Difference(found[0], until_s, found[1]))
        requests += len(ends)
        if until_s >= next_tables_s or until_s == horizon_s:
            next_tables_s += setup.flush_every_s
            tables, other_tables = (side.take() for side in sides)
            for name, table in tables.items():
                if found := compare_tables(name, table, other_tables[name], rows[name]):
                    return ended(Difference(found[0], until_s, found[1]))
                rows[name] += table.height
        progress(until_s)
    one, other = (side.summary() for side in sides)
    unlike = {key: (one[key], other[key]) for key in one if one[key] != other[key]}
    return ended(Difference("the summary", horizon_s, unlike) if unlike else None)


class _Side:
    """One of the two simulations."""

    def __init__(
        self, setup: Setup, planner: Planner, data_plane: Callable[[Recorder], DataPlane]
    ) -> None:
        scenario = setup.scenario()
        self.name = getattr(data_plane, "func", data_plane).__name__
        self.log = RequestLog(len(scenario.application.operators))
        self.world = World(
            scenario, deepcopy(planner), setup.seed, data_plane, listeners=[self.log]
        )
        self.tally = Tally(cut_s(scenario, setup.seed))
        self.wall_s = 0.0

    def run(self, until_s: float) -> Ints:
        """Advance to a time; return the requests that ended."""
        started, planning_s = working_s(), self.world.planning_wall_s
        try:
            self.world.run(until_s)
        except Exception as error:
            raise DataPlaneError(
                f"{self.name} failed between {self.world.now_s:g} and {until_s:g} s: "
                f"{type(error).__name__}: {one_line(error)}"
            ) from error
        self.wall_s += working_s() - started - (self.world.planning_wall_s - planning_s)
        return self.log.take()

    def take(self) -> dict[str, pl.DataFrame]:
        """Return the new rows of all tables."""
        frames = self.world.tables.take()
        self.tally.add(frames)
        return frames

    def summary(self) -> dict[str, Any]:
        """Return the summary, without wall-clock times."""
        summary = summarise(self.world, self.tally, "", None, "finished", 0.0)
        return {key: value for key, value in summary.items() if key not in WALL}


def compare_requests(one: Ints, other: Ints, operators: Sequence[str]) -> tuple[str, Values] | None:
    """Return the first request that differs, with the differing values, or None.

    Both arrays have the columns of ``sim.dataplane.base.request_rows`` and the requests that ended
    in the same time span, sorted by end, query and number.
    """
    for rows in (one, other):  # Private columns and unfinished requests' parts can differ.
        rows[:, VISIT] = 0
        unfinished = rows[:, OUTCOME] != OUTCOMES.index(COMPLETED)
        rows[np.ix_(unfinished, part_columns(len(operators)))] = 0
    if np.array_equal(one, other):
        return None
    n = min(len(one), len(other))
    unlike = np.flatnonzero((one[:n] != other[:n]).any(axis=1))
    at = int(unlike[0]) if len(unlike) else n
    # The request of this row that ended first is missing on one side, or differs there.
    _, query, number = min(
        (int(row[ENDED]), int(row[QUERY]), int(row[NUMBER]))
        for rows in (one, other)
        for row in rows[at : at + 1]
    )
    found = []
    for rows in (one, other):
        which = np.flatnonzero((rows[:, QUERY] == query) & (rows[:, NUMBER] == number))
        found.append([_known(each, operators) for each in records(rows, which)])
    what = f"request {number} of query {query}"
    if len(found[0]) == len(found[1]) == 1:
        [first], [second] = found
        return what, {key: (first[key], second[key]) for key in first if first[key] != second[key]}
    ends = tuple(
        " and ".join(f"{each['outcome']} at {each['ended_ns']} ns" for each in side) or "not yet"
        for side in found
    )
    return what, {"end": (ends[0], ends[1])}


def _known(record: RequestRecord, operators: Sequence[str]) -> dict[str, Any]:
    """Return the values of a request by column, in the order in which they were determined."""
    values = asdict(record)
    known = {name: values[name] for name in ("arrival_ns", "deployment", "size", "length")}
    known["allowance"] = record.allowance
    for at, operator in enumerate((*operators, ANSWER)):
        for part in ("variability", "transfer_ns", "queueing_ns", "batching_ns", "compute_ns"):
            if at < len(values[part]):
                known[f"{operator}_{part}"] = values[part][at]
    return known | {"outcome": record.outcome, "ended_ns": record.ended_ns}


def compare_tables(
    name: str, one: pl.DataFrame, other: pl.DataFrame, before: int = 0
) -> tuple[str, Values] | None:
    """Return the first row that differs, with the differing values, or None.

    Rows are numbered from `before`, the number of rows compared earlier.
    """
    if one.equals(other):
        return None
    n = min(one.height, other.height)
    masks = {key: one[key].head(n).ne_missing(other[key].head(n)) for key in one.columns}
    firsts = [mask.arg_true().head(1) for mask in masks.values()]
    at = min((first.item() for first in firsts if len(first)), default=n)
    rows = [frame.row(at, named=True) if at < frame.height else None for frame in (one, other)]
    row = rows[0] or rows[1] or {}
    which = ", ".join(f"{key} {row[key]}" for key in KEYS if row.get(key) is not None)
    what = f"row {before + at} of table {name} ({which})"
    if rows[0] is None or rows[1] is None:
        return what, {"rows": (before + one.height, before + other.height)}
    return what, {key: (rows[0][key], rows[1][key]) for key, mask in masks.items() if mask[at]}
