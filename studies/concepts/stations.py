"""A few requests at stations: the order of the queue, and the order in which they are computed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lab.reporting.plotting.canvas import canvas, save
from scenarios.cluster import EDF, FIFO, PRIORITY
from scenarios.numerics import Ints
from scenarios.requests import RequestBlock
from sim.dataplane.base.interface import SHED, LinkSpec, Route, StationSpec, Visit
from sim.dataplane.base.rate_profile import RateProfile
from sim.dataplane.base.request_rows import RequestRecord, records
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane
from studies.concepts.boxes import (
    FAINT,
    INK,
    SMALL,
    STRONG_BLUE,
    STRONG_GREEN,
    STRONG_ORANGE,
    STRONG_RED,
    legend,
)

S = 1_000_000_000
"""Nanoseconds of a second."""


@dataclass(frozen=True)
class Stream:
    """The requests of one query: when they are created, in seconds, and their relative sizes."""

    name: str
    born_s: Sequence[float]
    color: Any
    size: Sequence[float] = ()
    bound_s: float = 1e6
    priority: int = 0


class _Kept:
    """A recorder that keeps every request that has ended."""

    def __init__(self) -> None:
        self.all: list[RequestRecord] = []

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        """Keep what has ended."""
        self.all += records(rows, ended)


def _source(stream: Stream, operators: int) -> Iterator[RequestBlock]:
    born = np.rint(np.array(stream.born_s) * S).astype(np.int64)
    ones, size = np.ones(len(born)), np.array(stream.size or [1.0] * len(born))
    return iter([RequestBlock(born, size, ones, ones, np.ones((len(born), operators)))])


def played(
    plane: type[EventsPlane] | type[BlocksPlane],
    streams: Sequence[Stream],
    routes: Sequence[Route],
    stations: Sequence[StationSpec],
    links: Sequence[LinkSpec] = (),
) -> list[RequestRecord]:
    """Return the requests of the streams, each of which takes its route, by query and number."""
    kept = _Kept()
    data = plane(kept)
    for station in stations:
        data.add_station(station)
    for link in links:
        data.add_link(link)
    for query, (stream, route) in enumerate(zip(streams, routes, strict=True)):
        data.open_source(0, query, _source(stream, len(stations)))
        bound_ns = round(stream.bound_s * S)
        data.route(0, query, replace(route, bound_ns=bound_ns, priority=stream.priority))
    data.advance(1000 * S)
    return sorted(kept.all, key=lambda each: (each.query, each.number))


WAITING = (
    Stream("premium", (0.6, 1.2), STRONG_BLUE, bound_s=5.0, priority=0),
    Stream("standard", (0.4, 0.8), STRONG_ORANGE, bound_s=3.0, priority=1),
    Stream("economy", (0.0, 0.2), STRONG_GREEN, bound_s=9.0, priority=2),
)
RULES: dict[str, dict[str, Any]] = {
    "cluster.discipline=fifo": {"discipline": FIFO},
    "cluster.discipline=edf": {"discipline": EDF},
    "cluster.discipline=priority": {"discipline": PRIORITY},
    "fifo with cluster.shed_late=true": {"discipline": FIFO, "shed_late": True},
}


def waiting(rule: Mapping[str, Any]) -> list[RequestRecord]:
    """Return the requests of `WAITING`, in order of creation, which a server takes by the rule."""
    routes = [Route(query, (Visit(0, 0, None, float(S)),)) for query in range(len(WAITING))]
    found = played(EventsPlane, WAITING, routes, [StationSpec(0, **rule)])
    return sorted(found, key=lambda each: each.arrival_ns)


def queues(path: Path) -> Path:
    """Draw how one server serves the requests of `WAITING` under each rule; return the path."""
    figure, panels = canvas(2, 2, 2.4, sharex=True, sharey=True)
    for axes, (name, rule) in zip([*panels[0], *panels[1]], RULES.items(), strict=True):
        _gantt(axes, waiting(rule), name)
    for axes in panels[1]:
        axes.set_xlabel("time (s)", fontsize=9)
    legend(figure, panels[1][1], 5)
    return save(figure, path)


def _gantt(axes: Axes, found: Sequence[RequestRecord], name: str) -> None:
    number: dict[int, int] = {}
    ticks = []
    late = shed = 0
    for row, each in enumerate(found):
        stream = WAITING[each.query]
        number[each.query] = number.get(each.query, 0) + 1
        ticks.append(f"{stream.name} {number[each.query]}")
        born, end = each.arrival_ns / S, each.ended_ns / S
        deadline = born + stream.bound_s
        start = end if each.outcome == SHED else end - each.compute_ns[0] / S
        axes.barh(row, start - born, left=born, height=0.16, color="0.7")
        if each.outcome == SHED:
            shed += 1
            axes.plot(end, row, marker="X", ms=9, color=STRONG_RED, mec="white")
        else:
            late += end > deadline
            edge = {"ec": STRONG_RED, "hatch": "////", "lw": 1.5} if end > deadline else {}
            axes.barh(row, end - start, left=start, height=0.66, color=stream.color, **edge)
        if deadline < 7:
            axes.plot([deadline] * 2, [row - 0.42, row + 0.42], color=INK, lw=1.6)
    words = [f"{count} {what}" for count, what in ((late, "late"), (shed, "shed")) if count]
    axes.set_title(f"{name}: {', '.join(words) or 'none late'}", fontsize=9)
    axes.set(yticks=range(len(found)), ylim=(len(found) - 0.45, -0.55), xlim=(-0.1, 6.7))
    axes.set_yticklabels(ticks, fontsize=SMALL)
    axes.grid(axis="y", visible=False)
    # What the legend explains, drawn outside the axes' limits.
    axes.barh(99, 1, height=0.1, color="0.7", label="waits")
    axes.barh(99, 1, color="0.45", label="served")
    look = {"ec": STRONG_RED, "hatch": "////", "lw": 1.5}
    axes.barh(99, 1, color="0.8", label="served, late", **look)
    axes.plot([], [], marker="|", ls="", ms=10, mew=1.6, color=INK, label="deadline")
    axes.plot([], [], marker="X", ls="", ms=8, color=STRONG_RED, mec="white", label="shed")


MOVING = (
    Stream("query 0", (0.0, 0.5, 2.2), STRONG_BLUE, size=(1.0, 1.2, 0.8)),
    Stream("query 1", (0.3, 1.1, 1.9), STRONG_ORANGE, size=(0.8, 1.0, 1.1)),
)
BYTES, BYTES_PER_S = 600.0, 1000
MEAN_S = (0.7, 0.4)
"""Mean service times of the two stations."""
PLACES = ("link of query 0", "link of query 1", "first station", "second station")


def data_planes(path: Path) -> Path:
    """Draw in which order each data plane computes the same services; return the path.

    Raises RuntimeError if the data planes do not agree.
    """
    capacity = RateProfile((0,), (BYTES_PER_S,))
    links = [LinkSpec(query, capacity, 0) for query in range(len(MOVING))]
    routes = [
        Route(
            query,
            (
                Visit(0, None, query, BYTES),
                Visit(0, 0, None, MEAN_S[0] * S),
                Visit(1, 1, None, MEAN_S[1] * S),
            ),
        )
        for query in range(len(MOVING))
    ]
    stations = [StationSpec(0), StationSpec(1)]
    found = played(EventsPlane, MOVING, routes, stations, links)
    others = played(BlocksPlane, MOVING, routes, stations, links)
    if [*map(asdict, found)] != [*map(asdict, others)]:
        raise RuntimeError("the data planes do not agree on the requests of the picture")
    boxes = [box for each in found for box in _services(each)]
    figure, panels = canvas(2, 1, 2.25, sharex=True)
    by_time = sorted(boxes, key=lambda box: (box[1], box[0]))
    by_stop = sorted(boxes, key=lambda box: (box[0], box[1]))
    _order(panels[0][0], by_time, "events: one event after the other, in order of time")
    _order(panels[1][0], by_stop, "blocks: one stop after the other, each as arrays of requests")
    panels[1][0].set_xlabel("simulated time (s)", fontsize=9)
    return save(figure, path)


Box = tuple[int, float, float, int, int]
"""A service: the row of its stop, its start and end in seconds, the query and the request."""


def _services(each: RequestRecord) -> Iterator[Box]:
    """Yield the services of a request at its link and at both stations."""
    at_s = (each.arrival_ns + each.transfer_ns[0]) / S
    yield each.query, at_s - BYTES * each.size / BYTES_PER_S, at_s, each.query, each.number
    for station in range(len(MEAN_S)):
        at_s += each.queueing_ns[station] / S
        end_s = at_s + each.compute_ns[station] / S
        yield len(MOVING) + station, at_s, end_s, each.query, each.number
        at_s = end_s


def _order(axes: Axes, boxes: Sequence[Box], title: str) -> None:
    """Draw services as bars, numbered in the given order, with a line through the numbers."""
    middles = [(start + min(end - start, 0.5) / 2, row) for row, start, end, *_ in boxes]
    for number, ((x, _), (row, start, end, query, _)) in enumerate(
        zip(middles, boxes, strict=True), 1
    ):
        color = MOVING[query].color
        axes.barh(row, end - start, left=start, height=0.62, color=color, ec="white", alpha=0.75)
        axes.text(x, row, str(number), ha="center", va="center", size=9, weight="bold", zorder=5)
    for (x, y), (to_x, to_y) in pairwise(middles):
        look = {"arrowstyle": "-|>", "color": INK, "lw": 0.8, "shrinkA": 6, "shrinkB": 6}
        axes.annotate("", (to_x, to_y), (x, y), arrowprops=look, zorder=4)
    axes.set(yticks=range(len(PLACES)), ylim=(len(PLACES) - 0.5, -0.5))
    axes.set_yticklabels(PLACES, fontsize=SMALL + 0.5)
    axes.set_title(title, fontsize=10)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_color(FAINT)
