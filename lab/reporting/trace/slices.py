"""The requests of a run as slices of time, on lanes without overlap.

Where operators fork and join, a lane has several tracks, each of operators in sequence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from omegaconf import OmegaConf

from lab.common.errors import InputError, choices
from lab.runs.frames import scan, scan_parts
from lab.runs.run_directory import (
    CONFIG,
    SUMMARY,
    load_config,
    planner_directories,
    read_summary,
    too_many,
)
from scenarios.applications.pipeline import ANSWER
from sim.metrics.request_table import PARTS, REQUESTS

ORDER = ("transfer_s", "queueing_s", "batching_s", "compute_s")
"""The parts of a request's time at an operator, as they follow each other."""


@dataclass(frozen=True)
class Slice:
    """A stretch of a request's time."""

    name: str  # operator and part, such as `detect compute`
    operator: str  # name of the operator, or `ANSWER`
    part: str  # what the time went into, such as `compute`
    start_s: float  # simulated
    end_s: float
    track: int = 0  # track of the lane, from 0


@dataclass(frozen=True)
class TracedRequest:
    """A request that ended."""

    query: int
    number: int  # within the query
    lane: int  # lane of the query on which it overlaps no other
    tracks: int  # tracks that the lane has
    start_s: float
    end_s: float
    outcome: str
    # Where its time went, one after the other on a track; none unless it was completed.
    slices: tuple[Slice, ...]


def run_of(directory: Path, planner: str | None) -> Path:
    """Return the directory of the run, or of one planner's run; InputError for none or several."""
    runs = list(planner_directories(directory).values())
    if not runs:
        raise InputError(f"DIR={directory}: holds no results; name the directory of a run")
    if planner is not None:
        # Only those of a comparison are in directories named after their planners.
        of: dict[str, list[Path]] = {}
        for run in runs:
            of.setdefault(_planner_of(run), []).append(run)
        if planner not in of:
            raise InputError(f"--planner {planner}: not in {directory}; {choices(planner, of)}")
        if len(of[planner]) > 1:
            raise too_many(f"DIR={directory}", of[planner], f" of {planner}")
        return of[planner][0]
    if len(runs) > 1:
        if all(run.parent == directory for run in runs) and (directory / SUMMARY).is_file():
            names = ", ".join(run.name for run in runs)
            raise InputError(f"DIR={directory}: holds several runs; name one by --planner: {names}")
        raise too_many(f"DIR={directory}", runs)
    return runs[0]


def _planner_of(run: Path) -> str:
    """Return the name of a run's planner; InputError if its summary does not say."""
    try:
        return str(read_summary(run)["planner"])
    except (KeyError, TypeError, ValueError, OSError):
        raise InputError(f"DIR={run}: its {SUMMARY} cannot be read") from None


def requests_of(
    run: Path, start_s: float, end_s: float, queries: list[int], most: int
) -> pl.DataFrame:
    """Return the requests under way from ``start_s`` to ``end_s``, by query and birth.

    Raises:
        InputError: the stretch ends before it begins, no requests were kept, or are in the stretch,
            or there are more than ``most``.
    """
    given = {"--from": start_s or None, "--to": end_s if end_s < inf else None}
    stretch = " ".join(f"{key} {at_s:g}" for key, at_s in given.items() if at_s is not None)
    named = stretch or f"DIR={run}"
    if end_s < start_s:
        raise InputError(f"{named}: --to precedes --from")
    parts = run / REQUESTS
    if not parts.is_dir():
        raise InputError(
            f"DIR={run}: kept no requests; simulate it with requests=true to trace them"
        )
    every = scan_parts(sorted(parts.glob("part-*.parquet")))
    if queries:  # Those that live yet have requests, but no row of their own.
        known = pl.concat([each.select("query") for each in (every, scan(run, "queries"))])
        numbers = known.unique().collect()["query"].sort()
        for query in queries:
            if query not in numbers:
                there_are = (
                    f"choose {numbers[0]} to {numbers[-1]}" if len(numbers) else "it has none"
                )
                raise InputError(f"--query {query}: there is no such query; {there_are}")
    rows = every.filter(pl.col("ended_s") >= start_s, pl.col("arrival_s") < end_s)
    if queries:
        rows = rows.filter(pl.col("query").is_in(queries))
    count = int(rows.select(pl.len()).collect().item())
    if not count:
        raise InputError(f"{named}: no requests were under way then{_under_way(every, queries)}")
    if count > most:
        raise InputError(
            f"{named}: {count:,} requests; a trace takes {most:,} or fewer, narrow it by --from, "
            "--to or --query"
        )
    return rows.sort("query", "arrival_s", "number").collect()


def _under_way(every: pl.LazyFrame, queries: list[int]) -> str:
    """Say when the requests of queries were under way, each of which is known; of all, if none."""
    found = every.filter(pl.col("query").is_in(queries)) if queries else every
    first_s, last_s = (
        found.select(pl.col("arrival_s").min(), pl.col("ended_s").max()).collect().row(0)
    )
    named = f"query {' or '.join(map(str, queries))}" if queries else "the run"
    if first_s is None:
        return f"; {named} had none at all"
    return f"; those of {named} were from {first_s:.4g} to {last_s:.4g} s"


def after_of(run: Path) -> Mapping[str, Sequence[str]]:
    """Return the operators that each operator of a run awaits, where that is declared."""
    declared = OmegaConf.select(load_config(run / CONFIG), "application.operators") or {}
    return {name: each["after"] for name, each in declared.items() if each.get("after") is not None}


def traced(
    rows: pl.DataFrame, after: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Iterator[TracedRequest]:
    """Yield rows of `requests_of`, each on the first lane of its query that is free at its birth.

    ``after`` has the operators that each awaits; by default the one before it.
    """
    operators = [
        name.removesuffix("_compute_s") for name in rows.columns if name.endswith("_compute_s")
    ]
    awaited = {
        operator: tuple(after.get(operator, operators[max(0, at - 1) : at]))
        for at, operator in enumerate(operators)
    }
    track_of = _tracks(awaited)
    tracks = 1 + max(track_of.values())
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
        slices = () if row["latency_s"] is None else tuple(_slices(row, awaited, track_of))
        outcome = row["outcome"]
        yield TracedRequest(query, row["number"], lane, tracks, start_s, end_s, outcome, slices)


def _tracks(awaited: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Return a track for each operator: that of the first that it awaits, unless it is taken."""
    tracks: dict[str, int] = {}
    going_on = set()
    for operator, some in awaited.items():
        if some and some[0] not in going_on:
            tracks[operator] = tracks[some[0]]
            going_on.add(some[0])
        else:
            tracks[operator] = len(set(tracks.values()))
    return tracks


def _slices(
    row: dict[str, Any], awaited: Mapping[str, tuple[str, ...]], track_of: Mapping[str, int]
) -> Iterator[Slice]:
    """Yield the slices of a completed request, without parts of no time.

    The transfer to a join begins when the last predecessor is done. Only the sum of the messages'
    times is known; the latest arrival follows from what comes after it.
    """
    assert sorted(ORDER) == sorted(PARTS)
    sent_part, *parts = ORDER
    latest_s = _latest(row, awaited)
    done_s: dict[str, float] = {}
    for operator, some in awaited.items():
        sent_s = max((done_s[each] for each in some), default=row["arrival_s"])
        at_s = sent_s + row[f"{operator}_{sent_part}"]
        if len(some) > 1:
            at_s = max(sent_s, min(at_s, latest_s[operator]))
        times_s = [at_s - sent_s, *(row[f"{operator}_{part}"] for part in parts)]
        yield from _in_turn(operator, ORDER, times_s, sent_s, track_of[operator])
        done_s[operator] = sent_s + sum(times_s)
    *_, last = awaited
    yield from _in_turn(
        ANSWER, [sent_part], [row[f"{ANSWER}_{sent_part}"]], done_s[last], track_of[last]
    )


def _latest(row: dict[str, Any], awaited: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Return by when a request must have come to each operator, to be completed when it was."""
    sent_part, *parts = ORDER
    by_s = dict.fromkeys(awaited, row["ended_s"] - row[f"{ANSWER}_{sent_part}"])
    for operator in reversed(list(awaited)):
        by_s[operator] -= sum(row[f"{operator}_{part}"] for part in parts)
        some = awaited[operator]
        sent_s = row[f"{operator}_{sent_part}"] if len(some) == 1 else 0.0
        for each in some:
            by_s[each] = min(by_s[each], by_s[operator] - sent_s)
    return by_s


def _in_turn(
    operator: str, parts: Sequence[str], times_s: Sequence[float], at_s: float, track: int
) -> Iterator[Slice]:
    for part, took_s in zip(parts, times_s, strict=True):
        if took_s:
            name = part.removesuffix("_s")
            yield Slice(f"{operator} {name}", operator, name, at_s, at_s + took_s, track)
            at_s += took_s
