"""Regrouping, which chooses anew the stations that running and waiting queries share.

Early queries use stations of the configurations that are best for these queries alone. Later
queries can then find no room, although all could share stations of another configuration. In that
case, moving one query at a time does not help. So running and waiting queries are matched together
on whole stations (`planners.matching.stations`). Before that, each query profiles the
configurations that it has not profiled yet but other queries want.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from planners.common.ranges import BelowOne, Count, InRange, NonNegative
from planners.common.stays import part_of_stay_s, share_of_stay
from planners.common.windows import forgiven, window_s
from planners.compass.runtime.orders import orders_of
from planners.compass.scheduling.station_table import StationTable
from planners.compass.search.search import Search
from planners.compass.state.pools import Fleet, Market
from planners.compass.state.records import Offer, search_state
from scenarios.numerics import Ints
from scenarios.queries import Query
from sim import Choices, Plan, PlanningContext

REPACK, REPACKED = "compass repack", "compass repacked"
"""Keys of the records of the regrouping under way, and of the last `Attempt`."""

LEAST_HOPE = 0.05
"""The least probability of meeting the floor at which an unprofiled configuration is tried.
"""


@dataclass(frozen=True)
class PendingRepack:
    """The last regrouping; its moves are ordered in several calls, as machines become free."""

    since_s: float  # time at which it was found
    offers: Mapping[int, Offer | None]  # new plan of each query that moves; None to release it
    wanting: frozenset[int]  # queries that were not served well


class Attempt(NamedTuple):
    """The last attempt to find a regrouping."""

    at_s: float
    wait_s: float  # least time from then to the next attempt
    machines_up: int  # at that time


class Regrouping(ABC):
    """Base of classes that look for stations by which more queries would be served than now."""

    @abstractmethod
    def repack(
        self, context: PlanningContext, market: Market, search: Search, wanting: Sequence[Query]
    ) -> PendingRepack | None:
        """Return plans by which more queries are served than now, or None.

        ``wanting`` has the waiting and poorly served queries whose known plans find no room.
        """

    def due(self, context: PlanningContext) -> bool:
        """Return whether to look for a regrouping now; the base class returns True."""
        return True


@dataclass(frozen=True)
class StayAsTheyAre(Regrouping):
    """Never looks for a regrouping."""

    def due(self, context: PlanningContext) -> bool:
        """Return False."""
        return False

    def repack(
        self, context: PlanningContext, market: Market, search: Search, wanting: Sequence[Query]
    ) -> PendingRepack | None:
        """Return None."""
        return None


@dataclass(frozen=True)
class ShareStations(InRange, Regrouping):
    """Matches running queries and queries without room together on whole stations.

    This departs from the paper, which describes only the matching of queries and plans.

    Args:
        every_s: shortest time between two attempts, in seconds. It doubles after each attempt in
            vain, up to ``longest``, until a machine is added or returns.
        longest: longest time between two attempts, as a share of the expected stay of queries.
        most_queries: largest number of queries in one attempt. The running queries among them are
            those that pay most.
        most_configurations: number of configurations among which shared stations are chosen.
        switch: least cost of moving a running query, relative to the worth of serving it.
        gain: least total gain of a regrouping, in units of the worth of serving one query.
    """

    every_s: NonNegative = 10.0
    longest: BelowOne = 0.1
    most_queries: Count = 32
    most_configurations: Count = 12
    switch: NonNegative = 0.1
    gain: NonNegative = 0.25

    def due(self, context: PlanningContext) -> bool:
        """Return whether it is time for the next attempt."""
        last: Attempt | None = context.recall(REPACKED)
        if last is None:
            return True
        more_machines = _machines_up(context) > last.machines_up
        wait_s = self.every_s if more_machines else self._wait_s(context, last.wait_s)
        return context.now_s >= last.at_s + wait_s

    def _wait_s(self, context: PlanningContext, wanted_s: float) -> float:
        """Return a time between two attempts that is within the limits."""
        return max(self.every_s, min(wanted_s, part_of_stay_s(context, self.longest)))

    def repack(
        self, context: PlanningContext, market: Market, search: Search, wanting: Sequence[Query]
    ) -> PendingRepack | None:
        """Match queries with profiled and promising plans, profile the chosen ones, and rematch."""
        orders = orders_of(context)
        if not wanting:
            return None
        last: Attempt | None = context.recall(REPACKED)
        wait_s = self._wait_s(context, 2 * (self.every_s if last is None else last.wait_s))
        context.remember(REPACKED, Attempt(context.now_s, wait_s, _machines_up(context)))
        ordered = Fleet.of({query: order.uses for query, order in orders.items()})
        looked_at = self._looked_at(context, market, wanting, {*orders, *context.world.loading})
        switch = np.array([self._moving(context, query) for query in looked_at])
        table = StationTable(context, market, search, looked_at, ordered, switch)
        context.charge(wanting[0], "history", len(table.queries))
        table.look_at(self._configurations(context, table, wanting), LEAST_HOPE)
        chosen = table.matched()
        if not self._pays(table, chosen):
            return None
        if table.profile(chosen):
            chosen = table.matched()
            if not self._pays(table, chosen):
                return None
        context.remember(REPACKED, Attempt(context.now_s, self.every_s, _machines_up(context)))
        return PendingRepack(
            context.now_s, table.changes(chosen), frozenset(query.id for query in wanting)
        )

    def _moving(self, context: PlanningContext, query: Query) -> float:
        """Return the cost of moving a query, relative to the worth of serving it.

        It is at least ``switch``, and at least the share of the query's expected stay that is lost.
        """
        return max(self.switch, share_of_stay(context, lost_by_moving_s(context, query)))

    def _pays(self, table: StationTable, chosen: Ints) -> bool:
        """Return whether the chosen plans are worth at least ``gain`` more than the active ones."""
        return table.worth(chosen) >= table.worth(table.current) + self.gain

    def _looked_at(
        self,
        context: PlanningContext,
        market: Market,
        wanting: Sequence[Query],
        moving: Collection[int],
    ) -> list[Query]:
        """Return the queries to match: those without room, and the running ones that pay most.

        Queries in ``moving``, from an earlier regrouping, are left out.
        """
        some = list(wanting[: max(1, self.most_queries // 2)])
        known = {query.id for query in some} | set(moving)
        running = context.bulk.running_by_id
        held = [each for each in running if each in market.standing and each not in known]
        paid = market.standing.paid(held, market.prices)
        holding = sorted(zip([-each for each in paid], held, strict=True))
        return [*some, *(running[each] for _, each in holding[: self.most_queries - len(some)])]

    def _configurations(
        self, context: PlanningContext, table: StationTable, wanting: Sequence[Query]
    ) -> list[int]:
        """Return configurations whose stations many queries could share.

        They are the configurations that could serve the most queries, those in offers to queries
        without room, and those of active plans.
        """
        found: dict[int, None] = dict.fromkeys(table.agreeable(self.most_configurations // 2))
        for query in wanting:
            offers = search_state(context, query).offers
            found.update(dict.fromkeys(offer.configuration for offer in offers if offer.feasible))
        for query in table.queries:
            plan = context.plan_of(query)
            if plan is not None:
                found[plan.configuration.index] = None
        return list(found)[: self.most_configurations]


def _machines_up(context: PlanningContext) -> int:
    """Return the number of machines at all sites that have not failed."""
    return sum(context.world.machines_up(name) for name in context.world.cluster.nodes)


def lost_by_moving_s(context: PlanningContext, query: Query) -> float:
    """Return the seconds of good service that a running query loses if it has to make room.

    The query is released, its machines are drained by the next tick, and a GPU instance is created.
    Unless the SLO forgives this, the whole window is lost as well.
    """
    cluster = context.world.cluster
    away_s = cluster.tick_s
    if any(len(node.gpu_profiles) > 1 for node in cluster.nodes.values() if node.gpus):
        away_s += cluster.mig_destroy_s + cluster.mig_create_s
    return away_s if forgiven(context, query, away_s) else away_s + window_s(context)


def under_way(context: PlanningContext) -> PendingRepack | None:
    """Return the last regrouping, or None once it is so old that all its machines are drained."""
    last: PendingRepack | None = context.recall(REPACK)
    if last is None or not last.offers:
        return None
    return last if context.now_s <= last.since_s + context.world.cluster.drain_timeout_s else None


def to_order(
    context: PlanningContext, last: PendingRepack, choices: Choices
) -> list[tuple[Query, Offer, Plan]]:
    """Return the moves of a regrouping that are not ordered yet, waiting queries first.

    This also removes queries from the record: those that have moved or departed and, once all
    others have moved, those that must be released. The indices in offers refer to plan views with
    the given ``choices``.
    """
    left = dict(last.offers)
    missing = []
    orders = orders_of(context)
    here = {query.id for query in (*context.waiting, *context.running, *context.bulk.searching)}
    gave_way = {query.id for query in context.waiting if left.get(query.id) is None}
    for query in (*context.waiting, *context.running):
        offer = left.get(query.id)
        if offer is not None:
            if offer.configuration not in search_state(context, query).profiled:
                del left[query.id]  # a crash of the planner lost its profiles
                continue
            plan = context.bulk.view(query, choices).plan(offer.number)
            if context.plan_of(query) == plan:
                del left[query.id]
            elif query.id not in orders or orders[query.id].plan != plan:
                missing.append((query, offer, plan))
    here -= gave_way
    left = {query: offer for query, offer in left.items() if query in here}
    if all(offer is None for offer in left.values()):
        left = {}
    if len(left) < len(last.offers):
        context.remember(REPACK, replace(last, offers=left))
    return missing
