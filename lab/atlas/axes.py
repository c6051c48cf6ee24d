"""The axes of the atlas, and the scene that a point on them denotes.

A point has one coordinate for each axis, between 0 and 1. `Cell.of` turns it into a scene: values
of the axes, and the overrides of a run. Ordered axes have a logarithmic scale, so equal steps are
equal ratios.

The number of queries follows from the load and the machines (`lab.analysis.sizing`). The load is
the GPU time per second that living queries need at the least, over the capacity of the cluster.
Machines are chosen among the sets of `MACHINES` for which the load means between `LEAST_QUERIES`
and `MOST_QUERIES` queries: results of fewer queries are mostly noise, and more take long.

So that short runs are like a part of a long one, queries arrive faster at first (`FILLING`), until
as many live as later on, and what drifts comes and goes with a period.

Applications whose items take seconds to profile need minutes of planning for a query, and pay only
for queries that stay for hours. So each application has its own `Pace`: all times of a run and the
planners' budgets follow from it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log
from typing import Any

from scipy.stats import qmc

from lab.analysis.sizing import demand_in, reference_gpus
from lab.common.formatting import number
from lab.config.compose import compose, set_up
from scenarios.scenario import Scenario


@dataclass(frozen=True)
class Pace:
    """The times of an application's runs.

    Args:
        lifetime_s: mean lifetime of queries.
        budget_s: least planning budget of a query. Planners whose own budget is larger keep it.
        tick_s: time between two calls of a planner without an event.
    """

    lifetime_s: float
    budget_s: float
    tick_s: float = 1.0


PACES: Mapping[str, Pace] = {
    "speech_recognition": Pace(300.0, 5.0),
    "visual_tracking": Pace(300.0, 15.0),
    "live_video_chat": Pace(300.0, 15.0),
    "dense_video_captioning": Pace(3600.0, 600.0, 60.0),
    "code_generation": Pace(3600.0, 600.0, 60.0),
}
"""The budgets are those of the experiments ``speech_small``, ``tracking_small``, ``chat_small``,
``captioning_hours`` and ``coding_hours``; lifetimes are short, so that short runs see enough
queries. Where queries stay for an hour, planners are called every minute, so that Compass looks at
running queries about 60 times in a mean lifetime, as elsewhere."""

LEAST_QUERIES, MOST_QUERIES = 3.0, 12.0

FILLING = 4.0
"""How many times faster queries arrive at first."""

FILLED = -log(1 - 1 / FILLING)
"""Mean lifetimes after which the mean number of living queries is that of later times, if lifetimes
are exponential."""

PERIOD = 2.0
"""Period of what drifts, in mean lifetimes. The time that counts is a multiple of it in short and
long runs, so they have as much drift."""

MACHINES: Mapping[str, tuple[str, int, int]] = {
    "1 T4": ("n1-standard-4+T4", 1, 0),
    "1 L4": ("g2-standard-8", 1, 0),
    "1 A100": ("", 0, 1),
    "1 L4, 2 A100": ("g2-standard-8", 1, 2),
    "1 L4, 4 A100": ("g2-standard-8", 1, 4),
    "8 A100": ("", 0, 8),
}
"""Sets of machines: the machine of the edge site, how many of it, and how many A100s in the cloud.
One machine is always rented, the others while in use, as in ``cluster=small``."""


CLOUD_MACHINE = "a2-highgpu-1g"


@dataclass(frozen=True)
class Ordered:
    """An axis of numbers between two ends, on a logarithmic scale."""

    name: str
    words: str  # completes "where ... is above 3"
    unit: str
    low: float
    high: float

    def at(self, coordinate: float) -> float:
        """Return the value at a coordinate, with three digits."""
        value = exp(log(self.low) + coordinate * (log(self.high) - log(self.low)))
        return float(f"{value:.3g}")

    def coordinate(self, value: float) -> float:
        """Return the coordinate of a value; it lies outside of 0 to 1 beyond the ends."""
        return (log(value) - log(self.low)) / (log(self.high) - log(self.low))

    def shown(self, value: float) -> str:
        """Return a value as text, with its unit."""
        return f"{number(value)} {self.unit}".strip()


@dataclass(frozen=True)
class Categories:
    """An axis of names without an order."""

    name: str
    words: str  # completes "where ... is visual_tracking"
    values: tuple[str, ...]

    def at(self, coordinate: float) -> str:
        """Return the name at a coordinate; all names have equal parts of the axis."""
        return self.values[min(int(coordinate * len(self.values)), len(self.values) - 1)]


APPLICATION = Categories(
    "application",
    "the application",
    tuple(PACES),
)
LOAD = Ordered("load", "the load", "of capacity", 0.25, 2.5)
MACHINE = Categories("machines", "the cluster", tuple(MACHINES))
NETWORK = Categories("network", "the access network", ("lte", "mobile", "home", "wired"))
BACKHAUL = Ordered("backhaul_mbps", "the backhaul of a query", "Mbit/s", 1.0, 60.0)
CONTENT = Ordered(
    "content_concentration", "the likeness of users' content (concentration)", "", 0.3, 30.0
)
SLO_SCALE = Ordered("slo_scale", "the latency bound", "times the application's", 0.8, 4.0)
BOARDS = Ordered("profiling_boards", "the number of profiling boards", "", 1.0, 16.0)
PRICE = Ordered("profiling_price", "the price of profiling", "times the list price", 0.1, 4.0)
DRIFTING: Mapping[str, str] = {
    "nothing": "",
    "arrivals": "kind:rate_change,factor:3.0",
    "links": "kind:link_degradation,factor:0.33,share:0.5",
    "content": "kind:content_shift,factor:0.5,share:0.5",
    "devices": "kind:device_slowdown,factor:0.5,share:0.5",
}
"""What drifts, and the change at its height, as an event of ``drift.events``."""

DRIFT = Categories("drift", "what drifts", tuple(DRIFTING))

AXES: tuple[Ordered | Categories, ...] = (
    APPLICATION,
    LOAD,
    MACHINE,
    NETWORK,
    BACKHAUL,
    CONTENT,
    SLO_SCALE,
    BOARDS,
    PRICE,
    DRIFT,
)
ORDERED = tuple(axis for axis in AXES if isinstance(axis, Ordered))
CATEGORIES = tuple(axis for axis in AXES if isinstance(axis, Categories))

DEFAULT: Mapping[str, Any] = {
    "application": "speech_recognition",
    "load": 0.28,
    "machines": "1 L4, 2 A100",
    "network": "mobile",
    "backhaul_mbps": 60.0,
    "content_concentration": 0.9,
    "slo_scale": 1.0,
    "profiling_boards": 4.0,
    "profiling_price": 1.0,
    "drift": "nothing",
}
"""The default configuration as a point on the axes, with queries that stay for a shorter time."""


@dataclass(frozen=True)
class Cell:
    """A scene of the atlas: a value for each axis."""

    values: Mapping[str, Any]

    @classmethod
    def of(cls, point: Sequence[float]) -> "Cell":
        """Return the cell at a point with a coordinate for each of `AXES`."""
        at = dict(zip((axis.name for axis in AXES), point, strict=True))
        values: dict[str, Any] = {axis.name: axis.at(at[axis.name]) for axis in AXES}
        values[BOARDS.name] = float(round(values[BOARDS.name]))
        fitting = _fitting(values[APPLICATION.name], values[LOAD.name])
        chosen = min(int(at[MACHINE.name] * len(fitting)), len(fitting) - 1)
        return cls({**values, MACHINE.name: fitting[chosen]})

    @property
    def queries(self) -> float:
        """The mean number of living queries."""
        application = str(self.values[APPLICATION.name])
        return _queries(application, str(self.values[MACHINE.name]), self.values[LOAD.name])

    @property
    def pace(self) -> Pace:
        """The times of its runs."""
        return PACES[str(self.values[APPLICATION.name])]

    def overrides(self, horizon_s: float) -> tuple[str, ...]:
        """Return the overrides of a run of this cell, apart from planner and seed."""
        value, lifetime_s = self.values, self.pace.lifetime_s
        machine, edge, cloud = MACHINES[value[MACHINE.name]]
        boards = round(value[BOARDS.name])
        return (
            f"application={value[APPLICATION.name]}",
            *_cluster(machine, edge, cloud),
            f"network={value[NETWORK.name]}",
            f"drift.events=[{','.join(_events(value[DRIFT.name], lifetime_s))}]",
            f"horizon_s={horizon_s:g}",
            f"cluster.tick_s={self.pace.tick_s:g}",
            f"workload.rate={self.queries / lifetime_s:.4g}",
            f"workload.lifetime_mean_s={lifetime_s:g}",
            f"workload.content_concentration={value[CONTENT.name]:g}",
            f"network.backhaul_bps={value[BACKHAUL.name] * 1e6 * self.queries:.4g}",
            f"workload.slo_scale={value[SLO_SCALE.name]:g}",
            f"cluster.profiling.count={boards}",
            f"cluster.profiling.workers={boards}",
        )


def design(count: int, seed: int) -> list[Cell]:
    """Return cells that fill the axes evenly: the first points of a scrambled Sobol sequence.

    A longer design with the same seed begins with the cells of a shorter one.
    """
    points = qmc.Sobol(len(AXES), scramble=True, seed=seed).random_base2((count - 1).bit_length())
    return [Cell.of(point.tolist()) for point in points[:count]]


def _events(drifting: str, lifetime_s: float) -> Iterator[str]:
    """Yield the events of a run as overrides: faster arrivals at first, and what drifts."""
    yield f"{{kind:rate_change,factor:{FILLING},at_s:0.0,duration_s:{FILLED * lifetime_s:.1f}}}"
    if change := DRIFTING[drifting]:
        yield f"{{{change},at_s:{lifetime_s:g},period_s:{PERIOD * lifetime_s:g}}}"


def _cluster(machine: str, edge: int, cloud: int) -> list[str]:
    """Return the overrides for a set of `MACHINES`."""
    file = "small" if edge and cloud else "edge_only" if edge else "cloud_only"
    parts = [f"cluster={file}"]
    if edge:
        parts.append(f"cluster.nodes.edge.machine={machine}")
    for node, count in (("edge", edge), ("cloud", cloud)):
        if count:
            first = node == "edge" or not edge
            parts.append(f"cluster.nodes.{node}.count={count}")
            parts.append(f"cluster.nodes.{node}.standby={int(first)}")
    return parts


def _queries(application: str, machines: str, load: float) -> float:
    machine, edge, cloud = MACHINES[machines]
    capacity = edge * _gpus(application, machine) + cloud * _gpus(application, CLOUD_MACHINE)
    return load * capacity / _demand(application)


@cache
def _scenario(application: str) -> Scenario:
    given = [f"application={application}", "planner=cheapest_feasible"]
    return set_up(compose(given), given).scenario()


@cache
def _demand(application: str) -> float:
    return demand_in(_scenario(application)).least_gpus


@cache
def _gpus(application: str, machine: str) -> float:
    return reference_gpus(_scenario(application).application, machine) if machine else 0.0


def _fitting(application: str, load: float) -> list[str]:
    """Return the sets of machines with a suitable number of queries, or else the nearest one."""
    queries = {each: _queries(application, each, load) for each in MACHINES}
    queries = {each: many for each, many in queries.items() if many > 0}
    fitting = [each for each, many in queries.items() if LEAST_QUERIES <= many <= MOST_QUERIES]
    middle = (LEAST_QUERIES * MOST_QUERIES) ** 0.5
    return fitting or [min(queries, key=lambda each: abs(log(queries[each] / middle)))]
