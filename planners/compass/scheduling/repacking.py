"""Regrouping: which stations all queries should share, running ones included.

Early queries hold stations of the configurations that are best for them. Later ones may find no
room although all could share another configuration, and no single move helps. So running and
waiting queries are matched together on whole stations (`planners.matching.stations`). Queries first
profile unknown configurations that others want.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from planners.common.ranges import Count, InRange, NonNegative
from planners.compass.runtime.orders import orders_of
from planners.compass.scheduling.station_table import StationTable
from planners.compass.search.search import Search
from planners.compass.state.pools import Fleet, Market
from planners.compass.state.records import Offer, search_state, shared, update_shared
from scenarios.numerics import Ints
from scenarios.queries import Query
from sim import Choices, Plan, PlanningContext

LEAST_HOPE = 0.05
"""Least probability for trying a configuration that was not profiled for a query."""


@dataclass(frozen=True)
class PendingRepack:
    """The last regrouping, carried out over some calls as machines are drained."""

    since_s: float  # when it was found
    offers: Mapping[int, Offer | None]  # new plan of each query that moves; None to release it
    wanting: frozenset[int]  # queries that were not served well


class Regrouping(ABC):
    """Finds stations that serve more queries than the present ones."""

    @abstractmethod
    def repack(
        self, context: PlanningContext, market: Market, search: Search, wanting: Sequence[Query]
    ) -> PendingRepack | None:
        """Return plans by which more queries are served, or None if none were found.

        ``wanting`` are waiting or poorly served queries that know plans but have no room.
        """

    def due(self, context: PlanningContext) -> bool:
        """Return whether to look for some now; by default always."""
        return True


@dataclass(frozen=True)
class StayAsTheyAre(Regrouping):
    """Never regroups."""

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
    """Matches running and wanting queries together on whole stations.

    A departure: for Compass, only the matching of queries and plans is known.

    Args:
        every_s: least time between two attempts.
        most_queries: queries in one attempt, running ones that pay most first.
        most_configurations: configurations that queries may be asked to agree on.
        switch: least gain of moving a running query, in queries.
        gain: least total gain, in queries.
    """

    every_s: NonNegative = 10.0
    most_queries: Count = 32
    most_configurations: Count = 12
    switch: NonNegative = 0.1
    gain: NonNegative = 0.25

    def due(self, context: PlanningContext) -> bool:
        """Return whether ``every_s`` has passed since the last attempt."""
        last_s = shared(context).repacked_s
        return last_s is None or context.now_s >= last_s + self.every_s

    def repack(
        self, context: PlanningContext, market: Market, search: Search, wanting: Sequence[Query]
    ) -> PendingRepack | None:
        """Match known and hoped-for plans; profile the hoped-for ones; match the known ones."""
        orders = orders_of(context)
        if not wanting:
            return None
        update_shared(context, repacked_s=context.now_s)
        ordered = Fleet.of({query: order.uses for query, order in orders.items()})
        looked_at = self._looked_at(context, market, wanting, {*orders, *context.world.loading})
        table = StationTable(context, market, search, looked_at, ordered, self.switch)
        context.charge(wanting[0], "history", len(table.queries))
        table.look_at(self._configurations(context, table, wanting), LEAST_HOPE)
        chosen = table.matched()
        if not self._pays(table, chosen):
            return None
        if table.profile(chosen):
            chosen = table.matched()
            if not self._pays(table, chosen):
                return None
        return PendingRepack(
            context.now_s, table.changes(chosen), frozenset(query.id for query in wanting)
        )

    def _pays(self, table: StationTable, chosen: Ints) -> bool:
        """Return whether a choice is worth ``gain`` more than the active plans."""
        return table.worth(chosen) >= table.worth(table.current) + self.gain

    def _looked_at(
        self,
        context: PlanningContext,
        market: Market,
        wanting: Sequence[Query],
        moving: Collection[int],
    ) -> list[Query]:
        """Return the queries to match: wanting ones, and those that pay most.

        Queries in ``moving`` are left out.
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
        """Return configurations that many may agree on.

        They may serve most queries, were offered to wanting queries, or are active.
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


def under_way(context: PlanningContext) -> PendingRepack | None:
    """Return the last regrouping, for as long as machines may take to drain."""
    last = shared(context).repack
    if last is None or not last.offers:
        return None
    return last if context.now_s <= last.since_s + context.world.cluster.drain_timeout_s else None


def to_order(
    context: PlanningContext, last: PendingRepack, choices: Choices
) -> list[tuple[Query, Offer, Plan]]:
    """Return the remaining orders of a regrouping, waiting queries first.

    Removes finished and departed queries from the record, and those to be released once all
    others are done. ``choices`` are those of the views that offers are numbered in.
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
    left = {query: offer for query, offer in left.items() if query in here - gave_way}
    if all(offer is None for offer in left.values()):
        left = {}
    if len(left) < len(last.offers):
        update_shared(context, repack=replace(last, offers=left))
    return missing
