"""Traces in the JSON format of Chrome's tracing, for Perfetto (ui.perfetto.dev).

A query is a process, and a lane of requests that do not overlap a thread. A request is a slice that
holds those of its operators; parallel operators are on threads below it. Queries served well are a
counter, and planning decisions are instants of a process of their own. Times are simulated us.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import polars as pl

from lab.reporting.trace.slices import TracedRequest

US_PER_S = 1e6
PLANNER = 0
"""Process of the planner; those of queries follow it."""

Event = dict[str, Any]


def events(
    requests: Iterable[TracedRequest],
    queries: pl.DataFrame,
    windows: pl.DataFrame,
    decisions: pl.DataFrame,
) -> Iterator[Event]:
    """Yield the events of a trace from requests and tables of queries, windows and decisions."""
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
            if (about := described.get(request.query)) is not None:  # Those that live have no row.
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


def write(found: Iterable[Event], file: TextIO) -> int:
    """Write events to a file, one a line; return how many there were."""
    count = 0
    file.write('{"displayTimeUnit": "ms", "traceEvents": [\n')
    for count, event in enumerate(found, start=1):
        file.write(",\n" if count > 1 else "")
        file.write(json.dumps(event))
    file.write("\n]}\n")
    return count


def _decided(decisions: pl.DataFrame) -> Iterator[Event]:
    for row in decisions.iter_rows(named=True):
        told = ("trigger", "reason", "configuration", "placement")
        yield {
            "name": f"query {row['query']}: {row['outcome']}",
            "ph": "i",
            "s": "p",
            "ts": US_PER_S * row["decided_s"],
            "pid": PLANNER,
            "tid": 0,
            "args": {key: row[key] for key in told if row[key]},
        }


def _goodput(windows: pl.DataFrame) -> Iterator[Event]:
    """Yield the number of queries whose window meets the SLO, whenever it changes."""
    met = windows.filter("met", pl.col("deployed_s") > 0)
    changes = pl.concat(
        [met.select(at_s="start_s", change=pl.lit(1)), met.select(at_s="end_s", change=pl.lit(-1))]
    )
    steps = changes.group_by("at_s").agg(pl.col("change").sum()).sort("at_s")
    total = 0
    for at_s, change in steps.iter_rows():
        total += change
        yield {
            "name": "queries served well",
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
