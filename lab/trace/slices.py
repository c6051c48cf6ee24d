"""The requests of a run as slices of time, on lanes where none overlap."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path

import polars as pl

from lab.errors import InputError
from lab.run_directory import planner_directories
from scenarios.application import ANSWER
from sim.request_table import PARTS, REQUESTS

ORDER = ("transfer_s", "queueing_s", "batching_s", "compute_s")
"""The parts of a request's time at an operator, as they follow each other."""


@dataclass(frozen=True)
class Slice:
    """A stretch of a request's time.

    Args:
        name: operator and part, such as ``detect compute``.
        operator: name of the operator, or `ANSWER`.
        part: what the time went into, such as ``compute``.
        start_s: its begin in simulated seconds.
        end_s: its end.
    """

    name: str
    operator: str
    part: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class TracedRequest:
    """A request that ended.

    Args:
        query: number of its query.
        number: its number within the query.
        lane: lane of the query on which it overlaps no other.
        start_s: its birth.
        end_s: its end.
        outcome: how it ended.
        slices: where its time went, one after the other; none unless it was completed.
    """

    query: int
    number: int
    lane: int
    start_s: float
    end_s: float
    outcome: str
    slices: tuple[Slice, ...]


def run_of(directory: Path, planner: str | None) -> Path:
    """Return the directory of one planner's run.

    Args:
        directory: directory of a run, or of a comparison.
        planner: name of a planner of the comparison; None where there is one only.

    Raises:
        InputError: there is no such run, or several.
    """
    if not directory.is_dir():
        raise InputError(f"DIR={directory}: no such directory")
    runs = planner_directories(directory)
    names = [path.name for path in runs.values()]
    if not runs:
        raise InputError(f"DIR={directory}: holds no results; name the directory of a run")
    if planner is not None:
        from lab.errors import choices

        if planner not in names:
            raise InputError(f"--planner {planner}: not in {directory}; {choices(planner, names)}")
        return next(path for path in runs.values() if path.name == planner)
    if len(runs) > 1:
        raise InputError(
            f"DIR={directory}: holds several runs; name one by --planner: {', '.join(names)}"
        )
    return next(iter(runs.values()))


def requests_of(
    run: Path, start_s: float, end_s: float, queries: list[int], most: int
) -> pl.DataFrame:
    """Return the requests of a run that were under way in a stretch of time, by query and birth.

    Args:
        run: directory of the run.
        start_s: begin of the stretch.
        end_s: end of the stretch.
        queries: numbers of the queries that are wanted; all if empty.
        most: requests that a trace may have.

    Raises:
        InputError: the run kept no requests, none are in the stretch, or more than allowed.
    """
    parts = run / REQUESTS
    if not parts.is_dir():
        raise InputError(
            f"DIR={run}: kept no requests; simulate it with requests=true to trace them"
        )
    rows = pl.scan_parquet(parts / "part-*.parquet").filter(
        pl.col("ended_s") >= start_s, pl.col("arrival_s") < end_s
    )
    if queries:
        known = pl.scan_parquet(run / "queries" / "part-*.parquet").select("query").collect()
        for query in queries:
            if query not in known["query"]:
                raise InputError(
                    f"--query {query}: there is no such query; choose 0 to {known.height - 1}"
                )
        rows = rows.filter(pl.col("query").is_in(queries))
    count = int(rows.select(pl.len()).collect().item())
    if not count:
        raise InputError(f"--from {start_s:g} --to {end_s:g}: no requests were under way then")
    if count > most:
        raise InputError(
            f"--from {start_s:g} --to {end_s:g}: {count:,} requests; a trace takes {most:,} or "
            "fewer, narrow it by --from, --to or --query"
        )
    return rows.sort("query", "arrival_s", "number").collect()


def traced(rows: pl.DataFrame) -> Iterator[TracedRequest]:
    """Yield requests, each on the first lane of its query that is free at its birth.

    Args:
        rows: as `requests_of` returns them.
    """
    operators = [
        name.removesuffix("_compute_s") for name in rows.columns if name.endswith("_compute_s")
    ]
    query, busy, free, lanes = -1, list[tuple[float, int]](), list[int](), 0
    for row in rows.iter_rows(named=True):
        if row["query"] != query:
            query, busy, free, lanes = row["query"], [], [], 0
        start_s, end_s = row["arrival_s"], row["ended_s"]
        while busy and busy[0][0] <= start_s:
            heappush(free, heappop(busy)[1])
        if free:
            lane = heappop(free)
        else:
            lane, lanes = lanes, lanes + 1
        heappush(busy, (end_s, lane))
        slices = tuple(_slices(row, operators))
        yield TracedRequest(query, row["number"], lane, start_s, end_s, row["outcome"], slices)


def _slices(row: dict[str, float | None], operators: list[str]) -> Iterator[Slice]:
    """Yield where the time of a completed request went; parts that took no time left out."""
    at_s = row["arrival_s"]
    assert at_s is not None
    steps = [(operator, part) for operator in operators for part in ORDER]
    assert sorted(ORDER) == sorted(PARTS)
    for operator, part in (*steps, (ANSWER, "transfer_s")):
        took_s = row[f"{operator}_{part}"]
        if took_s:
            name = part.removesuffix("_s")
            yield Slice(f"{operator} {name}", operator, name, at_s, at_s + took_s)
            at_s += took_s
