"""Writes the requests of a run as a trace for Perfetto and as a picture.

Each request is on a lane of its query; requests on a lane do not overlap. If operators run in
parallel, a lane has several tracks, and a track's operators run one after the other. The picture
has one row for all tracks of a request.

The file has the JSON format of Chrome's tracing (ui.perfetto.dev). A query is a process, and a lane
is a thread. The slice of a request contains the slices of its operators; further tracks are threads
below it. The number of queries that meet their SLO is a counter. Planning decisions are instant
events of a separate process. Times are simulated microseconds.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import fsum, inf
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from lab.analysis.run_data import PARTS, operators_of
from lab.common.atomic_write import written_aside
from lab.common.errors import InputError, choices
from lab.common.formatting import count
from lab.reporting.plotting.style import GREY, WIDTH_IN, part_looks, save, style
from lab.runs.run_directory import (
    SUMMARY,
    TRACE,
    TRACE_PICTURE,
    only_run,
    planner_directories,
    read_run_summary,
    scan,
    scan_parts,
)
from scenarios.applications.pipeline import ANSWER
from sim.metrics.request_table import REQUESTS

MOST = 500_000
"""Largest number of requests in a trace; with more requests, Perfetto becomes slow."""

DRAWN = 60
"""Largest number of requests in a picture."""

ROW_IN = 0.11
HEIGHT = 0.8
"""Height of a request as a share of the height of its row."""

US_PER_S = 1e6
PLANNER = 0
"""Number of the planner's process in the trace; the queries' processes have larger numbers."""

Event = dict[str, Any]
Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]
"""The tables of queries, windows and decisions."""

ORDER = ("transfer_s", "queueing_s", "batching_s", "compute_s")
"""The parts of a request's time at an operator, in temporal order."""


@dataclass(frozen=True)
class Slice:
    """A time span that a request spends in one part of its latency at one operator."""

    name: str  # operator and part, such as `detect compute`
    operator: str  # name of the operator, or `ANSWER`
    part: str  # kind of the time, such as `compute`
    start_s: float  # simulated
    end_s: float
    track: int = 0  # number of its track in the lane, from 0


@dataclass(frozen=True)
class TracedRequest:
    """A request that ended."""

    query: int
    number: int  # number of the request within its query
    lane: int  # lane of the query on which it does not overlap another request
    tracks: int  # number of tracks in the lane
    start_s: float
    end_s: float
    outcome: str
    # The parts of its time, in sequence on each track; empty unless it was completed.
    slices: tuple[Slice, ...]


def run_of(directory: Path, planner: str | None) -> Path:
    """Return the directory of the only run, or of the planner's only run; else raise InputError."""
    given, runs = f"DIR={directory}", list(planner_directories(directory).values())
    if runs and planner is not None:
        # In a sweep, directories are not named after planners.
        of: dict[str, list[Path]] = {}
        for run in runs:
            of.setdefault(_planner_of(run), []).append(run)
        if planner not in of:
            raise InputError(f"--planner {planner}: not in {directory}; {choices(planner, of)}")
        return only_run(given, of[planner], f" of {planner}")
    compared = all(run.parent == directory for run in runs) and (directory / SUMMARY).is_file()
    if len(runs) > 1 and compared:
        names = ", ".join(run.name for run in runs)
        raise InputError(f"{given}: has several runs; name one by --planner: {names}")
    return only_run(given, runs)


def _planner_of(run: Path) -> str:
    return str(read_run_summary(run)["planner"])


def read_trace(
    run: Path, start_s: float, end_s: float, queries: list[int]
) -> tuple[list[TracedRequest], int, Tables]:
    """Return the requests between two times, the number of their queries, and the run's tables.

    Raises InputError if the interval ends before it begins, if no requests were recorded, or if the
    interval has no requests or more than `MOST`.
    """
    rows = _requests(run, start_s, end_s, queries)
    requests = list(traced(rows, after_of(run)))

    def table(name: str) -> pl.DataFrame:
        scanned = scan(run, name)
        if queries:
            scanned = scanned.filter(pl.col("query").is_in(queries))
        return scanned.collect()

    windows = table("windows").filter(pl.col("end_s") > start_s, pl.col("start_s") < end_s)
    decided = table("decisions").filter(pl.col("decided_s").is_between(start_s, end_s))
    return requests, rows["query"].n_unique(), (table("queries"), windows, decided)


def write_trace(run: Path, requests: Sequence[TracedRequest], of: int, tables: Tables) -> list[str]:
    """Write the trace and the picture of a run; return lines that name the files."""
    path, image = run / TRACE, run / TRACE_PICTURE
    with written_aside(path) as aside, aside.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit": "ms", "traceEvents": [\n')
        for at, event in enumerate(_events(requests, *tables)):
            file.write(",\n" * (at > 0) + json.dumps(event))
        file.write("\n]}\n")
    counted = f"{count(len(requests), 'request')} of {count(of, 'query', 'queries')}"
    first = f"{counted}: {path} (open it at ui.perfetto.dev)"
    completed = [each for each in requests if each.slices]
    if not completed:
        image.unlink(missing_ok=True)  # It belongs to an earlier trace.
        return [first, "no picture: none of these requests was completed"]
    save(picture(completed), image)
    return [first, f"picture: {image}"]


def _requests(run: Path, start_s: float, end_s: float, queries: list[int]) -> pl.DataFrame:
    """Return the requests in progress between two times, sorted by query and arrival."""
    given = {"--from": start_s or None, "--to": end_s if end_s < inf else None}
    interval = " ".join(f"{key} {at_s:g}" for key, at_s in given.items() if at_s is not None)
    named = interval or f"DIR={run}"
    if end_s < start_s:
        raise InputError(f"{named}: --to is before --from")
    parts = sorted((run / REQUESTS).glob("part-*.parquet"))
    if not parts:
        raise InputError(
            f"DIR={run}: has no table of requests; simulate the run with requests=true"
        )
    every = scan_parts(parts)
    if queries:  # Open queries have requests, but no row in the table of queries.
        known = pl.concat([each.select("query") for each in (every, scan(run, "queries"))])
        numbers = known.unique().collect()["query"].sort()
        for query in queries:
            if query not in numbers:
                known_ones = (
                    f"choose {numbers[0]} to {numbers[-1]}" if len(numbers) else "the run has none"
                )
                raise InputError(f"--query {query}: there is no such query; {known_ones}")
    rows = every.filter(pl.col("ended_s") >= start_s, pl.col("arrival_s") < end_s)
    if queries:
        rows = rows.filter(pl.col("query").is_in(queries))
    found = int(rows.select(pl.len()).collect().item())
    if not found:
        raise InputError(f"{named}: there were no requests then{_when_requests(every, queries)}")
    if found > MOST:
        raise InputError(
            f"{named}: {found:,} requests are too many for a trace, which has at most {MOST:,}; "
            "narrow it by --from, --to or --query"
        )
    return rows.sort("query", "arrival_s", "number").collect()


def _when_requests(every: pl.LazyFrame, queries: list[int]) -> str:
    """Return a clause on when the given queries had requests; all queries if none are given."""
    found = every.filter(pl.col("query").is_in(queries)) if queries else every
    first_s, last_s = (
        found.select(pl.col("arrival_s").min(), pl.col("ended_s").max()).collect().row(0)
    )
    named = f"query {' or '.join(map(str, queries))}" if queries else "the run"
    if first_s is None:
        return f"; {named} had none at any time"
    return f"; those of {named} were from {first_s:.4g} to {last_s:.4g} s"


def after_of(run: Path) -> Mapping[str, Sequence[str]]:
    """Return the declared predecessors of a run's operators, by operator."""
    declared = operators_of(run)
    return {name: each["after"] for name, each in declared.items() if each.get("after") is not None}


def traced(
    rows: pl.DataFrame, after: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Iterator[TracedRequest]:
    """Yield each request on the first free lane of its query; `after` has the predecessors."""
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
    """Return each operator's track: that of its first predecessor if free, or else a new one."""
    tracks: dict[str, int] = {}
    continued = set()
    for operator, some in awaited.items():
        if some and some[0] not in continued:
            tracks[operator] = tracks[some[0]]
            continued.add(some[0])
        else:
            tracks[operator] = len(set(tracks.values()))
    return tracks


def _slices(
    row: dict[str, Any], awaited: Mapping[str, tuple[str, ...]], track_of: Mapping[str, int]
) -> Iterator[Slice]:
    """Yield the slices of a completed request that are longer than 0 s.

    The transfer to an operator with several predecessors begins when the last of them is done. Only
    the sum of its messages' times is known, so the end of the transfer is limited to what the later
    parts allow.
    """
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
        done_s[operator] = sent_s + fsum(times_s)
    *_, last = awaited
    yield from _in_turn(
        ANSWER, [sent_part], [row[f"{ANSWER}_{sent_part}"]], done_s[last], track_of[last]
    )


def _latest(row: dict[str, Any], awaited: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Return the latest possible arrival at each operator, given the end of the request."""
    sent_part, *parts = ORDER
    by_s = dict.fromkeys(awaited, row["ended_s"] - row[f"{ANSWER}_{sent_part}"])
    for operator in reversed(list(awaited)):
        by_s[operator] -= fsum(row[f"{operator}_{part}"] for part in parts)
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


def _events(
    requests: Iterable[TracedRequest],
    queries: pl.DataFrame,
    windows: pl.DataFrame,
    decisions: pl.DataFrame,
) -> Iterator[Event]:
    yield _named("process_name", PLANNER, 0, "planner and service")
    yield from _decided(decisions)
    yield from _goodput(windows)
    described = {row["query"]: row for row in queries.iter_rows(named=True)}
    seen: set[tuple[int, int]] = set()
    for request in requests:
        process, thread = request.query + 1, request.lane * request.tracks + 1
        if (process, 0) not in seen:
            seen.add((process, 0))
            words = f"query {request.query}"
            if (about := described.get(request.query)) is not None:  # Open queries have no row.
                words += f": {about['tier']}, {about['device']}"
            yield _named("process_name", process, 0, words)
        if (process, thread) not in seen:
            seen.add((process, thread))
            for track in range(request.tracks):
                name = f"requests {request.lane + 1}" + f", branch {track + 1}" * (track > 0)
                yield _named("thread_name", process, thread + track, name)
        yield {
            **_slice(f"request {request.number}", process, thread, request.start_s, request.end_s),
            "args": {"outcome": request.outcome},
        }
        for each in request.slices:
            yield _slice(each.name, process, thread + each.track, each.start_s, each.end_s)


def _decided(decisions: pl.DataFrame) -> Iterator[Event]:
    for row in decisions.iter_rows(named=True):
        keys = ("trigger", "reason", "configuration", "placement")
        yield {
            "name": f"query {row['query']}: {row['outcome']}",
            "ph": "i",
            "s": "p",
            "ts": US_PER_S * row["decided_s"],
            "pid": PLANNER,
            "tid": 0,
            "args": {key: row[key] for key in keys if row[key]},
        }


def _goodput(windows: pl.DataFrame) -> Iterator[Event]:
    """Yield the number of queries whose current window meets the SLO, whenever it changes."""
    met = windows.filter("met", pl.col("deployed_s") > 0)
    changes = pl.concat(
        [met.select(at_s="start_s", change=pl.lit(1)), met.select(at_s="end_s", change=pl.lit(-1))]
    )
    steps = changes.group_by("at_s").agg(pl.col("change").sum()).sort("at_s")
    total = 0
    for at_s, change in steps.iter_rows():
        total += change
        yield {
            "name": "queries that meet their SLO",
            "ph": "C",
            "ts": US_PER_S * at_s,
            "pid": PLANNER,
            "args": {"queries": total},
        }


def _slice(name: str, process: int, thread: int, start_s: float, end_s: float) -> Event:
    return {
        "name": name,
        "ph": "X",
        "ts": US_PER_S * start_s,
        "dur": US_PER_S * (end_s - start_s),
        "pid": process,
        "tid": thread,
    }


def _named(kind: str, process: int, thread: int, name: str) -> Event:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}


def picture(requests: Sequence[TracedRequest]) -> Figure:
    """Return a figure of the first `DRAWN` completed requests, sorted by their start."""
    shown = sorted(requests, key=lambda each: (each.start_s, each.query))[:DRAWN]
    looks = part_looks()
    with style():
        figure = Figure((WIDTH_IN, 1.6 + ROW_IN * len(shown)), layout="constrained")
        axes = figure.subplots()
    for row, request in enumerate(shown):
        axes.plot([request.start_s, request.end_s], [row, row], color=GREY, lw=0.5, zorder=1)
        height = HEIGHT / request.tracks
        for each in request.slices:
            axes.barh(
                row + (each.track - (request.tracks - 1) / 2) * height,
                each.end_s - each.start_s,
                left=each.start_s,
                height=height,
                lw=0.3,
                zorder=2,
                **looks[each.part],
            )
    for part in PARTS:
        axes.bar(0, 0, label=part, **looks[part])
    marks = range(0, len(shown), max(1, len(shown) // 12))
    axes.set(
        yticks=list(marks),
        yticklabels=[f"query {shown[row].query}, request {shown[row].number}" for row in marks],
        xlabel="simulated time (s)",
        xlim=(min(each.start_s for each in shown), max(each.end_s for each in shown)),
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=len(PARTS), frameon=False)
    return figure
