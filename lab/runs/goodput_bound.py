"""An upper bound on the goodput of any planner in a run, integrated over time.

A run is divided into periods of whole windows. For each period, the LP bound of the planning model
(`planners.reference.price_bound`) tells how many of the queries that were present could be served
at once, on average over the period. The queries, and what could serve them, are those of this run,
with their true devices, links and content and the machines that worked (`lab.runs.servable`). The
bound sees the whole period at once, plans in no time, knows all, and has no stations that are
partly empty, so it may be far above what any planner can reach. No planner exceeds it, except by
the chance of a few requests in a window.

On request, the *optimum* bounds small runs more tightly: queries share whole cores and GPU
instances, which only serve operators with equal knobs. An integer program
(`planners.reference.optimum`) gives it for each span in which the same queries were present and the
same machines worked. This takes seconds for a run of minutes.

Planners never see the bound, and it draws from streams of its own.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from math import ceil, fsum, inf, prod
from typing import Any

import numpy as np

from hardware_models.tables import using_tables
from lab.runs.fronts import Best
from lab.runs.servable import QUICK, Servable
from planners.reference.optimum import Capacity, FeasiblePlan, Limits, most_served, program
from planners.reference.price_bound import Demands, bound, shares
from scenarios.compiled import working_s
from scenarios.numerics import Bools, Floats, Ints
from scenarios.queries import Query, QueryTruth
from scenarios.scenario import Scenario
from sim.api.gpu_layouts import gpu_layouts
from sim.api.plan import Plan
from sim.controlplane.world import World

MOST_PRESENT = 10
"""If more queries are present at some time, no integer program is solved for the run."""

NODES = 50
"""Largest number of nodes of a branch-and-bound tree; the bound is valid when it stops."""

MOST_PERIODS = 30
"""By default, a run has at most this many periods."""

ROUNDING = 1e-9
"""Relative error that accuracies and costs may have."""


def period_s(scenario: Scenario, every_s: float | None = None) -> float:
    """Return the length of periods in seconds: whole windows, at least ``every_s`` together.

    By default, they are as short as `MOST_PERIODS` allows.
    """
    window_s = scenario.application.window_s
    if every_s is None:
        every_s = scenario.horizon_s / MOST_PERIODS
    return float(window_s * max(1, ceil(every_s / window_s - ROUNDING)))


@dataclass(frozen=True, eq=False)
class _Known:
    """A query, with what the bound needs of its truth."""

    query: Query
    departure_s: float
    speeds: tuple[tuple[float, float], ...]  # times, and the device's speed from then on
    good: tuple[tuple[float, Bools], ...]  # times, and which configurations are accurate enough
    up: Floats  # capacity of the uplink in bytes/s, by windows since the arrival, of shape (n,)
    down: float  # of the downlink, at its best
    rtt_s: float


class GoodputBound:
    """The bound of one run, which watches its world.

    ``every_s`` is that of `period_s`. ``optimum`` asks for the optimum, too. The time until
    ``cut_s``, the warm-up, does not count.
    """

    def __init__(
        self,
        world: World,
        every_s: float | None = None,
        optimum: bool = False,
        cut_s: float = 0.0,
    ) -> None:
        scenario = world.scenario
        self._scenario = scenario
        self._period_s = period_s(scenario, every_s)
        self._cut_s = min(cut_s, scenario.horizon_s)
        self._window_s = scenario.application.window_s
        service = world.planning_service
        self._servable = Servable(scenario, service.nominal, service.plan_space)
        self._known: dict[int, _Known] = {}
        self._plans: set[Plan] = set()
        self._until_s = 0.0  # end of the last period that was evaluated
        self._prices: Floats | None = None
        self._present_s: list[float] = []
        self._served_s: list[float] = []
        self._optimal_s: list[float] | None = [] if optimum else None
        self.wall_s = 0.0
        world.watchers.append(self)

    # Called by the world

    def arrived(self, query: Query, truth: QueryTruth) -> None:
        """Note a query that arrives now."""
        started = working_s()
        with using_tables(self._scenario.tables):
            self._known[query.id] = self._note(query, truth)
        self.wall_s += working_s() - started

    def reserved(self, plan: Plan) -> None:
        """Note a plan whose deployment begins."""
        self._plans.add(plan)

    # Called by the runner

    @property
    def next_s(self) -> float:
        """The time at which `advance` must be called next, in seconds."""
        if self._until_s < self._cut_s:
            return self._cut_s
        return min(self._scenario.horizon_s, self._until_s + self._period_s)

    def advance(self, now_s: float) -> None:
        """Evaluate the period that ends now, if one does."""
        if now_s < self.next_s or now_s <= self._until_s:
            return
        started = working_s()
        with using_tables(self._scenario.tables):
            for plan in self._plans:
                for operator, (place, share) in enumerate(
                    zip(plan.placement, plan.allocation, strict=True)
                ):
                    self._servable.allow(operator, place, share)
            if now_s > self._cut_s:
                self._evaluate(self._until_s, now_s)
        self._until_s = now_s
        self._plans.clear()
        gone = [each for each, known in self._known.items() if known.departure_s <= now_s]
        for each in gone:
            del self._known[each]
        self.wall_s += working_s() - started

    def summary(self, slo_met_fraction: float | None) -> Mapping[str, Any]:
        """Return the values of the summary; the bound and the gap are None before the horizon.

        * ``goodput_bound``: the share of the queries' time in which they could be served at most.
        * ``goodput_gap``: the bound minus the share of time in which the SLO was met.
        * ``goodput_optimum``: the same with whole stations; None unless this was asked for, or if
          more than `MOST_PRESENT` queries were present at some time.
        * ``bound_wall_s``: wall-clock time for this.
        """
        share = gap = optimum = None
        present_s = fsum(self._present_s)
        if self._until_s >= self._scenario.horizon_s and present_s:
            share = min(1.0, fsum(self._served_s) / present_s)
            gap = None if slo_met_fraction is None else share - slo_met_fraction
            if self._optimal_s is not None:
                optimum = min(share, fsum(self._optimal_s) / present_s)
        return {
            "goodput_bound": share,
            "goodput_gap": gap,
            "goodput_optimum": optimum,
            "bound_wall_s": self.wall_s,
        }

    # One query

    def _note(self, query: Query, truth: QueryTruth) -> _Known:
        dataset = self._scenario.application.datasets[query.dataset]
        floor = query.slo.accuracy
        good = []
        for at_s, weights in truth.content:
            accuracy = dataset.expected_accuracy(weights)
            least = -inf if floor is None else floor - ROUNDING * abs(floor)
            good.append((at_s, accuracy >= least))
        speeds = [(query.arrival_s, truth.device_factor)]
        for number, (at_s, _) in enumerate(truth.slowdowns):
            slower = prod(factor for _, factor in truth.slowdowns[: number + 1])
            speeds.append((at_s, truth.device_factor * slower))
        end_s = min(truth.departure_s, self._scenario.horizon_s) - query.arrival_s
        seconds = ceil(end_s) + self._after
        return _Known(
            query,
            truth.departure_s,
            tuple(speeds),
            tuple(good),
            _quick(truth.uplink_bytes_per_s[:seconds], ceil(self._window_s)),
            float(truth.downlink_bytes_per_s[:seconds].max()),
            truth.access_rtt_s,
        )

    @property
    def _after(self) -> int:
        """The number of seconds after a request for which its link may matter."""
        bounds_s = [tier.slo(1.0).latency_s for tier in self._scenario.tiers.values()]
        return ceil(min(self._window_s, max(each or 0.0 for each in bounds_s)))

    # One period

    def _evaluate(self, begin_s: float, end_s: float) -> None:
        """Add the bound of a period to the sums."""
        groups: dict[tuple[str, str], list[_Known]] = {}
        for known in self._known.values():
            key = known.query.dataset, known.query.device.name
            groups.setdefault(key, []).append(known)
        if not groups:
            return
        bests = [(some, self._best(some, begin_s, end_s)) for some in groups.values()]
        found = [
            (some, *self._servable.plans(some[0].query.dataset, some[0].query.device, best))
            for some, best in bests
        ]
        queries = [known for some, _, _ in found for known in some]
        weights = np.array([_present_s(each, begin_s, end_s) for each in queries])
        tiers = list(dict.fromkeys(each.query.tier for each in queries))
        datasets = list(dict.fromkeys(each.query.dataset for each in queries))
        number = [
            tiers.index(each.query.tier) * len(datasets) + datasets.index(each.query.dataset)
            for each in queries
        ]
        counts = np.concatenate([np.diff(begin) for _, begin, _ in found])
        demand = np.concatenate([each for _, _, each in found])
        length_s = end_s - begin_s
        problem = Demands(
            np.concatenate([[0], np.cumsum(counts)]),
            shares(demand, self._capacity(begin_s, end_s)),
            weights / length_s,
            np.unique(number, return_inverse=True)[1].reshape(-1),
        )
        best = bound(problem, self._prices)
        self._prices = best.prices
        self._served_s.append(best.served * length_s)
        self._present_s.append(float(weights.sum()))
        if self._optimal_s is None:
            return
        spans = list(self._spans(begin_s, end_s))
        if any(len(some) > MOST_PRESENT for _, some, _ in spans):
            self._optimal_s = None
            return
        self._optimal_s.append(self._optimum_s(bests, spans))

    def _optimum_s(
        self,
        bests: list[tuple[list[_Known], Best]],
        spans: list[tuple[float, tuple[int, ...], Mapping[str, int]]],
    ) -> float:
        """Return the query-seconds that can be served in some spans of a period."""
        offers: dict[int, list[FeasiblePlan]] = {}
        for some, best in bests:
            its = self._servable.offers(some[0].query.dataset, some[0].query.device, best)
            offers |= zip([each.query.id for each in some], its, strict=True)
        done: dict[Hashable, int] = {}
        served_s = []
        for length_s, present, machines in spans:
            key = present, tuple(machines.values())
            if key not in done:
                capacity = self._whole_machines(machines)
                those = [offers[query] for query in present]
                made = program(those, [True] * len(those), capacity, alone=False)
                done[key] = most_served(made, Limits(nodes=NODES))
            served_s.append(length_s * done[key])
        return fsum(served_s)

    def _spans(
        self, begin_s: float, end_s: float
    ) -> Iterator[tuple[float, tuple[int, ...], Mapping[str, int]]]:
        """Yield the parts of a period between arrivals, departures and failures.

        Each has its length, the queries that are present, and the working machines by node.
        """
        down = self._down()
        times_s = {begin_s, end_s}
        for known in self._known.values():
            times_s |= {known.query.arrival_s, known.departure_s}
        times_s |= set(chain.from_iterable(chain.from_iterable(down.values())))
        inside = sorted(at_s for at_s in times_s if begin_s <= at_s <= end_s)
        for since_s, until_s in pairwise(inside):
            present = [
                query
                for query, known in self._known.items()
                if known.query.arrival_s <= since_s and until_s <= known.departure_s
            ]
            machines = {name: node.count for name, node in self._scenario.cluster.nodes.items()}
            for (node, _), spans in down.items():
                machines[node] -= any(at_s <= since_s < to_s for at_s, to_s in spans)
            yield until_s - since_s, tuple(present), machines

    def _whole_machines(self, machines: Mapping[str, int]) -> Capacity:
        """Return the capacity of some machines of each node, and of the backhaul in bits/s."""
        nodes = self._scenario.cluster.nodes
        return Capacity(
            {name: machines[name] * node.cores for name, node in nodes.items()},
            {name: machines[name] * node.gpus for name, node in nodes.items()},
            {name: gpu_layouts(node) for name, node in nodes.items()},
            {name: node.core_price_usd_per_hour for name, node in nodes.items()},
            {
                (name, profile): node.slice_price_usd_per_hour(profile)
                for name, node in nodes.items()
                for profile in node.gpu_profiles
            },
            self._scenario.cluster.max_utilisation,
            self._scenario.network.backhaul_bps,
        )

    def _best(self, some: list[_Known], begin_s: float, end_s: float) -> Best:
        """Return the properties of queries in a period, at their best."""
        slos = [each.query.slo for each in some]
        since_s, until_s = begin_s - self._window_s, end_s + self._after
        return Best(
            np.array([_any(each.good, since_s, until_s) for each in some]),
            np.array([inf if slo.latency_s is None else slo.latency_s for slo in slos]),
            np.array(
                [inf if slo.cost_usd_per_hour is None else slo.cost_usd_per_hour for slo in slos]
            )
            * (1 + ROUNDING),
            np.array([max(during(each.speeds, since_s, until_s)) for each in some]),
            np.array([self._fastest(each, since_s, until_s) for each in some]),
            np.array([each.down for each in some]),
            np.array([each.rtt_s for each in some]),
        )

    def _fastest(self, known: _Known, since_s: float, until_s: float) -> float:
        """Return the largest capacity of a query's uplink in windows of a period, in bytes/s."""
        length_s, arrival_s = ceil(self._window_s), known.query.arrival_s
        first = max(0, int((since_s - arrival_s) // length_s))
        last = max(first, int((until_s - arrival_s) // length_s))
        windows = known.up[first : last + 1]
        return float(windows.max() if len(windows) else known.up[-1])

    def _capacity(self, begin_s: float, end_s: float) -> Floats:
        """Return the mean capacity of each resource in a period, of shape (R,)."""
        resources, nodes = self._servable.resources, self._scenario.cluster.nodes
        machines = {name: float(node.count) for name, node in nodes.items()}
        for (node, _), spans in self._down().items():
            machines[node] -= _covered_s(spans, begin_s, end_s) / (end_s - begin_s)
        many = [machines.get(name, 1.0) for name, _ in resources.names]
        capacity: Floats = resources.whole * np.array(many)
        return capacity

    def _down(self) -> Mapping[tuple[str, int], list[tuple[float, float]]]:
        """Return the times at which machines are down, by node and number."""
        down: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for event in self._scenario.drift.in_order():
            if event.kind == "machine_failure":
                spans = down.setdefault((str(event.node), event.machine), [])
                spans.append((event.at_s, event.at_s + event.down_s))
        return down


def during(pieces: tuple[tuple[float, Any], ...], since_s: float, until_s: float) -> Iterator[Any]:
    """Yield the values that a step function has in a span; the first one also holds before it."""
    ends = chain((at_s for at_s, _ in pieces[1:]), [inf])
    for number, ((at_s, value), end_s) in enumerate(zip(pieces, ends, strict=True)):
        if (number == 0 or at_s < until_s) and (end_s > since_s):
            yield value


def _any(pieces: tuple[tuple[float, Bools], ...], since_s: float, until_s: float) -> Bools:
    good: Bools = np.logical_or.reduce(list(during(pieces, since_s, until_s)))
    return good


def _present_s(known: _Known, begin_s: float, end_s: float) -> float:
    """Return for how long a query was present in a period, in seconds."""
    return max(0.0, min(end_s, known.departure_s) - max(begin_s, known.query.arrival_s))


def _covered_s(spans: list[tuple[float, float]], begin_s: float, end_s: float) -> float:
    """Return how much of a period some spans cover, which may overlap."""
    covered_s, reached_s = 0.0, begin_s
    for since_s, until_s in sorted(spans):
        last_s = min(end_s, until_s)
        covered_s += max(0.0, last_s - max(reached_s, since_s))
        reached_s = max(reached_s, last_s)
    return covered_s


def _quick(bytes_per_s: Ints, seconds: int) -> Floats:
    """Return the capacity of a link's fastest quarter of seconds, for each window of its life.

    A message that takes many seconds has the mean capacity if this is higher.
    """
    whole = len(bytes_per_s) // seconds
    parts = [bytes_per_s[whole * seconds :]]
    quick = []
    if whole:
        table = np.sort(bytes_per_s[: whole * seconds].reshape(whole, seconds), axis=1)
        quick.append(np.maximum(table[:, int((1 - QUICK) * seconds)], table.mean(axis=1)))
    if len(parts[0]):
        rest = np.sort(parts[0])
        quick.append(np.array([max(rest[int((1 - QUICK) * len(rest))], rest.mean())]))
    return np.concatenate(quick)
