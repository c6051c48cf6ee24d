"""Compass: profile selectively, search by constrained Bayesian optimisation, match, and watch."""

from collections.abc import Sequence
from dataclasses import replace

from planners.compass.beliefs import Found, Offer
from planners.compass.fleet import fleet_of
from planners.compass.pools import Market, Pools, Standing, takes_of
from planners.compass.refused import Retries, remember_refused, retries
from planners.compass.runtime import IN_FORCE, Runtime, Watch, in_force, serving
from planners.compass.scheduler import Award, Bid, PriceMatching, Scheduler
from planners.compass.search import FOUND, OFFERS, CmboSearch, Search
from planners.retries import give_up
from scenarios.queries import Query
from sim import Desk, Planner


class Compass(Planner):
    """Plan each query by selective profiling and search, and all of them by matching.

    A reconstruction of Compass (Wu et al., arXiv 2504.16397; "Circinus" in its first version). A
    query that arrives is searched for (`CmboSearch`): configurations are proposed by surrogates,
    profiled on few items (`StratifiedProfiler`), and the first plan that is believed to meet the
    SLO is the response. The scheduler (`PriceMatching`) gives queries the plans that they can pay
    for at the prices of the pools. At ticks, searches go on in the background for plans that take
    less. What the runtime (`Watch`) finds to have drifted is planned anew, the query alone first;
    where that, or a query that waits, finds no room, queries that cost more than they are worth are
    moved, or give way.

    Confirmed by the paper: these three components and their tasks, the decomposition into
    single-query planning and matching, the response at the first feasible plan, replanning in
    isolation and then globally. What each part reconstructs, its own docstring says. Each is a
    parameter, so that an ablation is another part.

    Choose it where queries differ in content, devices and links, and machines are short: it serves
    each as cheaply as its own SLO allows. Where one configuration suits all and machines abound,
    VideoStorm does as well for less planning.

    Args:
        search: how plans of one query are found.
        scheduler: how queries share the machines.
        runtime: how deployments are watched.
        budget_s: planning seconds of one search, and of all searches for a query before drift.
        improve_s: planning seconds that a search in the background may take at a tick; its last
            profiling may exceed it. More finds better plans sooner, and keeps profiling lanes from
            new queries for so long.
        pause_s: how long a query that found no room is left alone, unless a query departs.
        replan_every_s: time between two ticks at which deployments are looked after.

    Raises:
        ValueError: a time is negative.
    """

    def __init__(
        self,
        search: Search = CmboSearch(),  # noqa: B008 -- parts never change
        scheduler: Scheduler = PriceMatching(),  # noqa: B008
        runtime: Runtime = Watch(),  # noqa: B008
        budget_s: float = 5.0,
        improve_s: float = 1.0,
        pause_s: float = 10.0,
        replan_every_s: float = 5.0,
    ) -> None:
        for name, value in (
            ("improve_s", improve_s),
            ("budget_s", budget_s),
            ("pause_s", pause_s),
        ):
            if value < 0:
                raise ValueError(f"{name}={value}: must be 0 s or more")
        if not replan_every_s > 0:
            raise ValueError(f"replan_every_s={replan_every_s}: must be above 0 s")
        self.search = search
        self.scheduler = scheduler
        self.runtime = runtime
        self.budget_s = budget_s
        self.improve_s = improve_s
        self.pause_s = pause_s
        self.replan_every_s = replan_every_s

    def plan(self, desk: Desk) -> None:
        """Serve waiting queries; at ticks, look after those that run."""
        if not desk.waiting and (desk.trigger != "tick" or not desk.running):
            return
        market = self._market(desk)
        waiting = retries(desk, market, self.pause_s)
        self._serve(desk, market, waiting)
        if desk.trigger == "tick":
            busy, stuck = self._replan_drifted(desk, market)
            if desk.waiting or stuck:
                busy |= self._rebalance(desk, market)
            self._improve(desk, market, busy, waiting)

    def _market(self, desk: Desk) -> Market:
        pools = Pools.of(desk)
        example = (*desk.waiting, *desk.running)[0]
        view = desk.view(example, self.search.model.choices)
        takes = takes_of(desk, pools, view)
        standing = Standing(fleet_of(desk), takes, pools)
        return Market(pools, self.scheduler.prices(pools, standing), standing)

    # Queries that wait

    def _serve(self, desk: Desk, market: Market, waiting: Retries) -> None:
        bids = []
        for query in desk.waiting:
            if waiting.asks(query):
                offers = self._offers(desk, market, query)
                if offers:
                    bids.append(self._bid(desk, query, offers))
                else:
                    give_up(desk, query)
        awards = self.scheduler.award(desk, market, bids)
        for award in awards:
            self._deploy(desk, market, award)
        served = {award.bid.query.id for award in awards}
        refused = [bid for bid in bids if bid.query.id not in served]
        for bid in refused:
            self._refuse(desk, market, bid)
            give_up(desk, bid.query)
        settled = [bid for bid in refused if self._settled(desk, bid.query, bid.offers)]
        remember_refused(desk, settled, self.scheduler.most)

    def _offers(self, desk: Desk, market: Market, query: Query) -> Sequence[Offer]:
        """Return what was found for a query; search for it if there is still something to gain."""
        found: Found = desk.recall((FOUND, query.id), query) or Found()
        offers: Sequence[Offer] | None = desk.recall((OFFERS, query.id), query)
        if offers and self._settled(desk, query, offers):
            return offers
        left_s = max(0.0, self.budget_s - found.spent_s)
        return self.search.run(desk, query, market, left_s, improve=False)

    def _settled(self, desk: Desk, query: Query, offers: Sequence[Offer]) -> bool:
        """Tell whether a query that waits will bid the same as long as it does."""
        found: Found = desk.recall((FOUND, query.id), query) or Found()
        return offers[0].feasible or found.exhausted or found.spent_s >= self.budget_s

    # Queries that run

    def _replan_drifted(self, desk: Desk, market: Market) -> tuple[set[int], bool]:
        """Plan anew what has drifted, each query alone.

        Returns:
            The queries that were searched for, and whether one found a plan but no room for it.
        """
        stuck = False
        drifted = self.runtime.drifted(desk)
        for query in drifted:
            offers = self.search.run(desk, query, market, self.budget_s, improve=False)
            if offers and offers[0].feasible:
                stuck |= not self._move(desk, market, query, offers)
        return {query.id for query in drifted}, stuck

    def _rebalance(self, desk: Desk, market: Market) -> set[int]:
        """Move queries that cost more than they are worth, or let them go; return them.

        To be done only where others lack room: otherwise nobody has a better use for what they
        hold.
        """
        touched = set()
        for query in self.scheduler.overpaying(desk, market):
            touched.add(query.id)
            offers = self.search.run(desk, query, market, 0.0, improve=False)
            if self._move(desk, market, query, self.scheduler.better(market, query, offers)):
                continue
            if self.scheduler.evicts(market, query):
                desk.release(query)
                give_up(desk, query)
        return touched

    def _improve(self, desk: Desk, market: Market, busy: set[int], waiting: Retries) -> None:
        """Search on for some queries that still have a budget, and move those that gain."""
        lanes = desk.cluster.profiling.lanes
        if not self.improve_s or any(map(waiting.due, desk.waiting)):
            return
        for query in desk.running:
            if lanes == 0:
                return
            found: Found | None = desk.recall((FOUND, query.id))
            if query.id in busy or found is None or found.exhausted:
                continue
            left_s = self.budget_s - found.spent_s
            if left_s <= 0 or query.id not in market.standing:
                continue
            lanes -= 1
            seconds = min(left_s, self.improve_s)
            offers = self.search.run(desk, query, market, seconds, improve=True)
            self._move(desk, market, query, self.scheduler.better(market, query, offers))

    def _move(self, desk: Desk, market: Market, query: Query, offers: Sequence[Offer]) -> bool:
        """Move a running query to the first of some plans that fits beside its own; tell if so."""
        bid = self._bid(desk, query, offers)
        if not offers or desk.plan_of(query) == bid.plans[0]:
            return False
        for award in self.scheduler.award(desk, market, [bid]):
            if award.plan != desk.plan_of(query):
                self._deploy(desk, market, award)
                return True
        return False

    # Orders

    def _bid(self, desk: Desk, query: Query, offers: Sequence[Offer]) -> Bid:
        view = desk.view(query, self.search.model.choices)
        return Bid(query, offers, [view.plan(offer.number) for offer in offers])

    def _refuse(self, desk: Desk, market: Market, bid: Bid) -> None:
        """Put on record why a bid got nothing: what became of its first plan."""
        offer = bid.offers[0]
        price = float(offer.demand @ market.prices)
        most = self.scheduler.most(offer.feasible)
        reason = "no machine has room for any of its plans"
        if price > most:
            reason = f"its price of {price:.3g} is above {most:.3g}, what serving it is worth"
        desk.offer(
            bid.query, bid.plans[0], "refused", offer.latency_s, offer.accuracy, price, reason
        )

    def _deploy(self, desk: Desk, market: Market, award: Award) -> None:
        query, offer = award.bid.query, award.offer
        found: Found = desk.recall((FOUND, query.id), query) or Found()
        view = desk.view(query, self.search.model.choices)
        load = self.search.model.load
        record = in_force(desk, query, market.pools, view, offer.number, award.plan, found, load)
        before = serving(desk, query)
        if before is not None:
            record = replace(record, before=replace(before, before=None))
        desk.deploy(query, award.plan)
        desk.remember((IN_FORCE, query.id), record)
        for number, (each, plan) in enumerate(zip(award.bid.offers, award.bid.plans, strict=True)):
            role = "feasible" if each.feasible else "best effort"
            if number == award.chosen:
                role = "chosen" if each.feasible else "chosen as best effort"
            price = float(each.demand @ market.prices)
            desk.offer(query, plan, role, each.latency_s, each.accuracy, price)
