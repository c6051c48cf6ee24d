"""Compass: selective profiling, constrained Bayesian optimisation, matching, and monitoring."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from planners.common.orders import give_up
from planners.common.ranges import BelowOne, InRange, NonNegative, Positive
from planners.common.stays import note_stays, part_of_stay_s
from planners.compass.runtime.audits import AUDITS
from planners.compass.runtime.fleet import recover_lost, standing_of
from planners.compass.runtime.orders import (
    Wanted,
    backhaul_room,
    first_that_fits,
    order,
    orders_of,
    release,
)
from planners.compass.runtime.watch import Runtime, Watch, active_record, serving
from planners.compass.scheduling.rebidding import Retries, remember_refused, retries
from planners.compass.scheduling.repacking import REPACK, to_order, under_way
from planners.compass.scheduling.scheduler import Award, Bid, PriceMatching, Scheduler
from planners.compass.search.search import CmboSearch, Search
from planners.compass.state.pools import Market, Pools, takes_of
from planners.compass.state.records import (
    QUERY_RECORDS,
    Offer,
    SearchState,
    search_state,
    seen_search_state,
    seen_search_states,
    service_state,
    update_service,
)
from scenarios.queries import Query
from sim import Planner, PlanningContext

LOOKED_S = "compass looked"
"""Key of the record of the time of the last check of deployments."""

LIKELY = 0.25
"""The least probability of meeting the SLO at which a plan beyond the headroom is deployed.
"""


@dataclass(eq=False, repr=False)
class Compass(InRange, Planner):
    """Find each query's plans by selective profiling and search, and choose among them by matching.

    This is a reconstruction of Compass (Liu et al., arXiv 2504.16397; "Circinus" in its first
    version). For a new query, surrogates propose configurations (`CmboSearch`), which are profiled
    on few items (`StratifiedProfiler`). The first plan believed to meet the SLO is the response.
    The prices of resource pools rise with load. The scheduler (`PriceMatching`) deploys a plan for
    a query only if the plan's price is at most what serving the query is worth. Every
    ``watch_every_s`` seconds, active plans are confirmed by more profiling, and searches continue
    in the background. If the runtime (`Watch`) finds that a query has drifted, that query is
    planned again, at first alone. If a drifted or waiting query finds no room, all queries are
    matched again on whole stations (`ShareStations`), and queries that cost more than they are
    worth are moved or released.

    The paper confirms the search, the scheduler, the runtime and their tasks. It also confirms the
    decomposition into single-query planning and matching, and the response at the first feasible
    plan. In the paper, too, queries are replanned in isolation and then globally. The docstring of
    each part says what it reconstructs. This planner departs from the paper in two ways: active
    plans are profiled further, and running queries are matched together with waiting ones.

    Defaults decide at the accuracy floor by the paper's t-test, like ``planner=compass_t_test``.
    The file of ``planner=compass`` accepts configurations by a stated probability instead
    (`planners.compass.profiling.decisions.Certain`).

    Args:
        search: finds plans for one query.
        scheduler: decides which query gets which plan.
        runtime: monitors deployments for drift.
        budget_s: planning seconds that all searches for a query can use until it drifts. The last
            profiling step can exceed it, and so can the search for a poorly served query.
        improve_s: planning seconds of a query's background search at each check; 0 turns it off.
        pause_s: seconds after which a query that has no plan or was released is planned again.
        known_for_s: seconds for which the last bid of a refused query is reused.
        known_for: the same as a share of its expected stay; the longer time counts. A query without
            a plan worth deploying whose search is over pauses for this share, at least ``pause_s``.
        watch_every_s: seconds between two checks of all deployments.
        replan_every_s: seconds between two ticks, at which waiting queries can get free resources.
    """

    behaviour = 1
    """1: versions begin."""

    query_records = (*QUERY_RECORDS, AUDITS)

    search: Search = field(default_factory=CmboSearch)
    scheduler: Scheduler = field(default_factory=PriceMatching)
    runtime: Runtime = field(default_factory=Watch)
    budget_s: NonNegative = 5.0
    improve_s: NonNegative = 1.0
    pause_s: NonNegative = 10.0
    known_for_s: NonNegative = 60.0
    known_for: BelowOne = 0.1
    watch_every_s: Positive = 5.0
    replan_every_s: Positive = 1.0

    def plan(self, context: PlanningContext) -> None:
        """Serve waiting queries, and every ``watch_every_s`` seconds also check running ones."""
        if not context.waiting and not context.running:
            return
        if context.trigger == "departure":
            return  # nothing is free until a later tick, when machines are drained
        look = context.trigger == "tick" and self._look_due(context)
        if not look and not context.waiting and under_way(context) is None:
            return
        if look:
            note_stays(context)
        market = self._market(context)
        busy, held_up = self._carry_out(context, market)
        if held_up and context.trigger == "tick" and not look:
            return  # freed room is reserved for queries that move
        part_s = part_of_stay_s(context, self.known_for)
        pause_s = self._pauses(context, max(self.pause_s, part_s))
        known_for_s = max(self.known_for_s, part_s)
        asking = retries(context, market, pause_s, known_for_s, self.search.model.waste, busy)
        further = self._to_search_further(context, asking) if look and self.improve_s else ()
        new = self._serve(context, market, busy, asking, further)
        if look:
            context.remember(LOOKED_S, context.now_s)
            busy |= {*orders_of(context), *context.world.loading}
            busy |= self._look_after(context, market, busy, held_up)
            if self.improve_s and not new:
                self._improve(context, market, busy)

    def _look_due(self, context: PlanningContext) -> bool:
        """Return whether the check of running queries every ``watch_every_s`` seconds is due."""
        last_s: float = context.recall(LOOKED_S) or 0.0
        return context.now_s // self.watch_every_s > last_s // self.watch_every_s

    def _market(self, context: PlanningContext) -> Market:
        pools = Pools.of(context)
        example = (context.waiting or context.running)[0]
        view = context.bulk.view(example, self.search.model.choices)
        standing = standing_of(context, takes_of(context, pools, view), pools)
        prices = self.scheduler.prices(pools, standing)
        return Market(pools, prices, standing, self.scheduler.worth)

    # Waiting queries

    def _pauses(self, context: PlanningContext, longer_s: float) -> Callable[[Query], float]:
        """Return a function that returns a query's pause.

        It is ``longer_s`` if the query's search is over and found no plan worth deploying: only
        what is learned from others, or a better link, can help it then.
        """

        def pause_s(query: Query) -> float:
            found = seen_search_state(context, query.id)
            if found is None or not found.over(self.budget_s):
                return self.pause_s
            return self.pause_s if _may_do(found.offers) else longer_s

        return pause_s

    def _serve(
        self,
        context: PlanningContext,
        market: Market,
        busy: Collection[int],
        asking: Retries,
        further: Collection[int],
    ) -> bool:
        """Search for waiting queries, and deploy the plans that the scheduler awards them.

        ``asking`` selects the queries. The search also continues for the refused queries in
        ``further``. Returns whether a query without a known bid could need a profiling lane.
        """
        bids, new = [], False
        passed_over = {*asking.refused, *busy} - {*further}
        for query in [each for each in context.waiting if each.id not in passed_over]:
            if query.id in further or asking.due(query):
                new |= query.id not in further and query.id not in asking.hopeful
                offers = self._offers(context, market, query, query.id in further)
                if offers:
                    bids.append(self._bid(context, query, offers))
                else:
                    give_up(context, query)
        awards = self.scheduler.award(context, market, bids)
        for award in awards:
            self._deploy(context, market, award)
        served = {award.bid.query.id for award in awards}
        refused = [bid for bid in bids if bid.query.id not in served]
        for bid in refused:
            self._refuse(context, market, bid)
            give_up(context, bid.query)
        remember_refused(context, refused, self.scheduler.most)
        return new

    def _offers(
        self, context: PlanningContext, market: Market, query: Query, further: bool
    ) -> Sequence[Offer]:
        """Return a query's plans; search first if no known plan is feasible, or if ``further``."""
        found = search_state(context, query)
        offers = found.offers
        left_s = max(0.0, self.budget_s - found.spent_s)
        if not offers or not offers[0].feasible:
            return self.search.run(context, query, market, left_s, improve=False)
        seconds = min(self.improve_s, left_s) if further else 0.0
        return self.search.run(context, query, market, seconds, improve=True)

    def _to_search_further(self, context: PlanningContext, asking: Retries) -> set[int]:
        """Return the first refused queries that have budget left, one for each profiling lane."""
        refused = [query.id for query in context.waiting if query.id in asking.refused]
        # Recalling a query's own records would begin a search for each.
        every = (known or SearchState() for known in seen_search_states(context, refused))
        left = (
            number
            for number, found in zip(refused, every, strict=True)
            if not found.over(self.budget_s)
        )
        return set(islice(left, context.world.cluster.profiling.searches))

    # Running queries

    def _look_after(
        self, context: PlanningContext, market: Market, busy: Collection[int], held_up: bool
    ) -> set[int]:
        """Replan drifted queries one by one; if queries lack room, replan all queries together.

        ``held_up`` says whether queries still wait for room that the last regrouping will free.
        Returns the ids of the affected queries.
        """
        busy = {*busy, *recover_lost(context, market, self.search, busy)}
        drifted, stuck = self._replan_drifted(context, market, busy)
        busy |= drifted
        # another regrouping would forget queries that were released and have to return
        if not held_up and self.scheduler.regrouping.due(context):
            busy |= self._repack(context, market, self._wanting(context, busy))
        if stuck or self._some_lack_room(context):
            busy |= self._rebalance(context, market, busy)
        return busy

    def _replan_drifted(
        self, context: PlanningContext, market: Market, busy: Collection[int]
    ) -> tuple[set[int], bool]:
        """Plan drifted queries again, one by one.

        Returns the ids of the queries that were searched for, and whether a poorly served one among
        them found a feasible plan but no room for it.
        """
        stuck = False
        drifted = self.runtime.drifted(context, busy)
        for query in drifted:
            found = seen_search_state(context, query.id) or SearchState()
            seconds = self.budget_s if context.world.background_lanes else 0.0
            offers: Sequence[Offer] = self.search.run(
                context, query, market, seconds, improve=False
            )
            now = self._now(context, market, query)
            served = self._note_service(context, query, now)
            if not found.profiled:  # its content has changed; its active plan may still do
                offers = self.scheduler.better(market, query, offers, now)
            if offers and offers[0].feasible:
                moved = self._move(context, market, query, offers)
                stuck |= not moved and not served
        return {query.id for query in drifted}, stuck

    # All queries together

    def _wanting(self, context: PlanningContext, busy: Collection[int]) -> list[Query]:
        """Return the waiting and the poorly served queries for which plans are known."""
        found = []
        for query in (*context.waiting, *context.running):
            waits = context.plan_of(query) is None
            asks = query.id not in busy and (waits or self._poor(context, query))
            if asks and _may_do(search_state(context, query).offers):
                found.append(query)
        return found

    def _some_lack_room(self, context: PlanningContext) -> bool:
        """Return whether a waiting query with a plan worth deploying found no room in this call."""
        orders = orders_of(context)
        queries = (query.id for query in context.waiting if query.id not in orders)
        return any(
            found and _may_do(found.offers) for found in seen_search_states(context, queries)
        )

    def _repack(
        self, context: PlanningContext, market: Market, wanting: Sequence[Query]
    ) -> set[int]:
        """Regroup queries on stations that serve more of them; return ids of queries to move."""
        found = self.scheduler.regrouping.repack(context, market, self.search, wanting)
        if found is None:
            return set()
        context.remember(REPACK, found)
        busy, _ = self._carry_out(context, market)
        return busy

    def _carry_out(self, context: PlanningContext, market: Market) -> tuple[set[int], bool]:
        """Order those plans of the last regrouping that fit now.

        A query that moves needs room in addition to its present plan. If a poorly served query
        finds no room, the moving queries are released first and deployed again once machines are
        drained. Returns the ids of the moving queries, and whether some still wait for room.
        """
        last = under_way(context)
        if last is None:
            return set(), False
        missing = to_order(context, last, self.search.model.choices)
        wanted = [Wanted(query, [plan], [offer.uses.backhaul]) for query, offer, plan in missing]
        places = first_that_fits(context, market, wanted)
        to_go = {query for query, offer in last.offers.items() if offer is None}
        leaving = to_go.intersection(context.bulk.running_by_id)
        unplaced = set()
        for (query, offer, plan), place in zip(missing, places, strict=True):
            if place is not None:
                self._deploy(context, market, Award(Bid(query, [offer], [plan]), 0))
            else:
                unplaced.add(query.id)
        if unplaced & {*(query.id for query in context.waiting), *last.wanting}:
            for query in context.running:
                if query.id in unplaced | leaving:
                    release(context, query)
                if query.id in leaving:
                    give_up(context, query)
        ordered = {query.id for query in context.bulk.searching} | set(orders_of(context))
        busy = {query.id for query, _, _ in missing} | leaving | (ordered & set(last.offers))
        return busy, bool(unplaced)

    def _rebalance(
        self, context: PlanningContext, market: Market, busy: Collection[int]
    ) -> set[int]:
        """Move or release queries that cost more than they are worth; return their ids.

        This is called only if other queries lack room; otherwise no query needs the freed machines.
        """
        touched = set()
        for query in self.scheduler.overpaying(context, market):
            if query.id in busy:
                continue
            touched.add(query.id)
            now = self._now(context, market, query)
            offers = self.search.run(context, query, market, 0.0, improve=False)
            if self._move(
                context, market, query, self.scheduler.better(market, query, offers, now)
            ):
                continue
            if self.scheduler.evicts(market, query):
                release(context, query)
                give_up(context, query)
        return touched | self._thin(context, market, {*busy, *touched})

    def _thin(self, context: PlanningContext, market: Market, busy: Collection[int]) -> set[int]:
        """Move queries to plans that use the backhaul less, if others lack room on it.

        The queries that use it most are considered first, until enough room becomes free for the
        plans of the others that need least. Returns the ids of the queries considered.
        """
        lacking = self._lacking_backhaul(context, market)
        users = sorted(
            (-market.standing.backhaul(number), number, query)
            for number, query in context.bulk.running_by_id.items()
            if lacking > 0 and number not in busy and market.standing.backhaul(number) > 0
        )
        touched = set()
        for negative, _, query in users[: self.scheduler.most_moves]:
            if lacking <= 0:
                break
            touched.add(query.id)
            now = self._now(context, market, query)
            offers = self.search.run(context, query, market, 0.0, improve=False)
            offers = self.scheduler.thinner(market, query, offers, now)
            if self._move(context, market, query, offers):
                lacking += negative + orders_of(context)[query.id].uses.backhaul
        return touched

    def _lacking_backhaul(self, context: PlanningContext, market: Market) -> float:
        """Return the share of the backhaul that waiting queries lack for their thinnest plans.

        Plans that do not use the backhaul lack machines.
        """
        orders, least = orders_of(context), 0.0
        queries = [query.id for query in context.waiting if query.id not in orders]
        for found in seen_search_states(context, queries):
            if found and _may_do(found.offers):
                least += found.thinnest
        return least - max(0.0, backhaul_room(context, market)) if least else 0.0

    def _improve(self, context: PlanningContext, market: Market, busy: Collection[int]) -> None:
        """Confirm active plans, continue searches, and move queries to better plans.

        Searches stay within the queries' budgets, except the search for a poorly served query. It
        continues beyond the budget until a feasible plan is known or no configuration promises one.
        """
        lanes = context.world.background_lanes
        for query in context.running:
            if lanes == 0:
                return
            found = seen_search_state(context, query.id)
            known = serving(context, query)
            if query.id in busy or found is None or known is None:
                continue
            poor = self._poor(context, query)
            index = known.plan.configuration.index
            items = found.items
            confirmed = index in found.profiled and self.search.confirm(
                context, query, market, index
            )
            spent = found.over(self.budget_s)
            if spent and not confirmed and not poor:
                continue
            now = self.search.judge(context, query, market, known.number)
            served = self._note_service(context, query, now)
            found = search_state(context, query)
            left_s = max(0.0, self.budget_s - found.spent_s) if served else self.budget_s
            seconds = 0.0 if found.exhausted else min(left_s, self.improve_s)
            offers = self.search.run(context, query, market, seconds, improve=served)
            lanes -= search_state(context, query).items > items
            self._move(context, market, query, self.scheduler.better(market, query, offers, now))

    def _poor(self, context: PlanningContext, query: Query) -> bool:
        """Return whether the active plan was infeasible when it was last judged."""
        poor = service_state(context, query.id).poor
        return poor is not None and poor == context.plan_of(query)

    def _note_service(self, context: PlanningContext, query: Query, now: Offer | None) -> bool:
        """Record and return whether a running query is believed to be served well."""
        served = now is None or now.feasible
        poor = None if served else context.plan_of(query)
        if poor != service_state(context, query.id).poor:
            update_service(context, query.id, poor=poor)
        return served

    def _move(
        self, context: PlanningContext, market: Market, query: Query, offers: Sequence[Offer]
    ) -> bool:
        """Move a query to a plan that fits in addition to its own; return whether it moved."""
        bid = self._bid(context, query, offers)
        if not offers or context.plan_of(query) == bid.plans[0]:
            return False
        for award in self.scheduler.award(context, market, [bid]):
            if award.plan != context.plan_of(query):
                self._deploy(context, market, award)
                return True
        return False

    def _now(self, context: PlanningContext, market: Market, query: Query) -> Offer | None:
        """Return the present beliefs about a query's active plan, or None."""
        known = serving(context, query)
        return None if known is None else self.search.judge(context, query, market, known.number)

    # Orders

    def _bid(self, context: PlanningContext, query: Query, offers: Sequence[Offer]) -> Bid:
        view = context.bulk.view(query, self.search.model.choices)
        return Bid(query, offers, [view.plan(offer.number) for offer in offers])

    def _refuse(self, context: PlanningContext, market: Market, bid: Bid) -> None:
        """Log the first plan of a refused bid, and the reason for the refusal."""
        offer = bid.offers[0]
        price = float(offer.demand @ market.prices)
        most = self.scheduler.most(offer)
        reason = "no machine has room for any plan that it could pay for"
        if price > most:
            reason = f"its price of {price:.3g} is above {most:.3g}, what serving it is worth"
        context.bulk.log_candidate(
            bid.query, bid.plans[0], "refused", offer.latency_s, offer.accuracy, price, reason
        )

    def _deploy(self, context: PlanningContext, market: Market, award: Award) -> None:
        query, offer = award.bid.query, award.offer
        found = search_state(context, query)
        view = context.bulk.view(query, self.search.model.choices)
        load = self.search.model.load
        record = active_record(
            context, query, market.pools, view, offer.number, award.plan, found, load
        )
        before = serving(context, query)
        if before is not None:
            record = replace(record, before=replace(before, before=None))
        order(context, query, record)
        for number, (each, plan) in enumerate(zip(award.bid.offers, award.bid.plans, strict=True)):
            role = "feasible" if each.feasible else "best effort"
            if number == award.chosen:
                role = "chosen" if each.feasible else "chosen as best effort"
            price = float(each.demand @ market.prices)
            context.bulk.log_candidate(query, plan, role, each.latency_s, each.accuracy, price)


def _may_do(offers: Sequence[Offer]) -> bool:
    """Return whether the best of a query's plans, if any, is good enough to be deployed."""
    return bool(offers) and (offers[0].feasible or offers[0].probability >= LIKELY)
