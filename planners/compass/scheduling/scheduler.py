"""The multi-query scheduler: chooses the plan of each query when queries compete for machines."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from planners.common.ranges import InRange, NonNegative, Share, WholeNumber
from planners.common.stays import share_of_stay
from planners.compass.runtime.orders import Wanted, backhaul_room, first_that_fits
from planners.compass.scheduling.repacking import Regrouping, ShareStations, StayAsTheyAre
from planners.compass.state.pools import Market, Pools, Standing
from planners.compass.state.records import Offer
from planners.matching import Demand, Problem, Supply, match
from scenarios.numerics import Floats
from scenarios.queries import Query
from sim import Plan, PlanningContext

FREE_PRICE = 0.05
"""Price of a whole pool while nobody uses it; above 0, so that smaller plans are cheaper."""

SURER = 0.01
"""A query leaves a plan that costs nothing only if the probability of service rises by this."""

MOVE = 0.1
"""Cost of moving a running query, relative to serving one; see ``ShareStations.switch``."""

LATER = 0.01
"""In the matching, each plan on a query's list is worth less than the last one by this share."""


@dataclass(frozen=True)
class Bid:
    """A query and the plans that could serve it, beginning with the best for this query."""

    query: Query
    offers: Sequence[Offer]
    plans: Sequence[Plan]  # the plan of each offer


@dataclass(frozen=True)
class Award:
    """The choice of one plan of a bid for deployment."""

    bid: Bid
    chosen: int  # index of the plan in the bid

    @property
    def offer(self) -> Offer:
        """The beliefs about the chosen plan."""
        return self.bid.offers[self.chosen]

    @property
    def plan(self) -> Plan:
        """The chosen plan."""
        return self.bid.plans[self.chosen]


class Scheduler(ABC):
    """Base of schedulers, which divide the machines among queries.

    Attributes:
        regrouping: matches running queries together with those that find no room.
        most_moves: largest number of running queries that one call considers for moves in favour of
            others.
    """

    regrouping: Regrouping = StayAsTheyAre()
    most_moves: int = 0

    @abstractmethod
    def award(self, context: PlanningContext, market: Market, bids: Sequence[Bid]) -> list[Award]:
        """Return the plans to deploy, at most one for each bid; all of them fit together."""

    def prices(self, pools: Pools, standing: Standing) -> Floats:
        """Return each pool's price per unit, of shape (R,); by default, a whole pool costs 1."""
        return pools.scarcity

    def most(self, offer: Offer) -> float:
        """Return the highest price at which a plan can be deployed."""
        return inf

    @property
    def worth(self) -> float:
        """The worth of serving a query with certainty, in the unit of prices; see `Market`."""
        return 0.0

    def overpaying(self, context: PlanningContext, market: Market) -> list[Query]:
        """Return the running queries that cost more than they are worth, the most costly first."""
        return []

    def better(
        self, market: Market, query: Query, offers: Sequence[Offer], now: Offer | None
    ) -> list[Offer]:
        """Return the plans to which a running query should move, the best first.

        ``now`` has the beliefs about the active plan, or None.
        """
        return []

    def evicts(self, market: Market, query: Query) -> bool:
        """Return whether an overpaying query is released if it cannot move to another plan."""
        return False

    def thinner(
        self, market: Market, query: Query, offers: Sequence[Offer], now: Offer | None
    ) -> list[Offer]:
        """Return the plans to which a query should move for others that need the backhaul.

        The arguments and the order are those of `better`.
        """
        return []


def first_that_fit(
    context: PlanningContext, market: Market, ranked: Sequence[tuple[Bid, Sequence[int]]]
) -> list[Award]:
    """Return each bid's first plan that fits in addition to orders and the bids before it."""
    if not ranked:
        return []
    wanted = [
        Wanted(
            bid.query,
            [bid.plans[number] for number in order],
            [bid.offers[number].uses.backhaul for number in order],
        )
        for bid, order in ranked
    ]
    places = first_that_fits(context, market, wanted)
    return [
        Award(bid, order[place])
        for (bid, order), place in zip(ranked, places, strict=True)
        if place is not None
    ]


@dataclass(frozen=True)
class FirstComeFirstServed(Scheduler):
    """Gives each query, in order of arrival, the cheapest plan that fits; an ablation.

    Prices are constant. A running query moves only if audits find that its content has changed.
    """

    def award(self, context: PlanningContext, market: Market, bids: Sequence[Bid]) -> list[Award]:
        """Return the first plan of each bid that fits."""
        ranked = [(bid, range(len(bid.offers))) for bid in bids]
        return first_that_fit(context, market, ranked)


class ByPrice(Scheduler):
    """Base of schedulers that match queries and plans at prices of resource pools.

    Queries that compete are matched with plans (`planners.matching`) so that as many queries as
    possible are served, each by a plan early in its list. Then each query gets its first plan that
    fits. The matching treats GPUs as divisible, but the planning context checks the partitions.
    Running queries are moved to other plans one at a time.

    Attributes:
        gain: a running query moves only if that saves this share of what it pays, from 0 to 1.
    """

    gain: float

    def award(self, context: PlanningContext, market: Market, bids: Sequence[Bid]) -> list[Award]:
        """Return a plan that fits for each bid that can afford one, beginning with matched bids.

        A feasible plan of a waiting query counts only for the share of the query's expected stay in
        which it would be ready.
        """
        payable = []
        for bid in bids:
            context.charge(bid.query, "step", len(bid.offers))
            prices = [float(offer.demand @ market.prices) for offer in bid.offers]
            order = [
                number
                for number, offer in enumerate(bid.offers)
                if prices[number] <= self.most(offer)
            ]
            # Infeasible plans stay sorted by how far they miss the SLO, which matters more.
            if bid.offers[0].feasible:
                served = _served(context, market, bid)
                losses = [
                    market.loss(price, offer.probability * share)
                    for price, offer, share in zip(prices, bid.offers, served, strict=True)
                ]
                order.sort(key=losses.__getitem__)
            if order:
                payable.append((prices[order[0]], bid.query.id, bid, order))
        payable.sort(key=lambda each: each[:2])
        ranked = [each[2:] for each in payable]
        asking = {bid.query.id for bid, _ in ranked}
        room = backhaul_room(context, market, asking)
        return first_that_fit(context, market, matched(market, ranked, room))

    def better(
        self, market: Market, query: Query, offers: Sequence[Offer], now: Offer | None
    ) -> list[Offer]:
        """Return the feasible plans with a loss so low that a move is worthwhile.

        If the active plan is not feasible, all feasible plans are returned. If the active plan
        costs nothing, a move must raise the probability of service by `SURER`. Such a move is
        considered only if service has a worth.
        """
        if now is not None and not now.feasible:
            return [offer for offer in offers if offer.feasible]
        price = float(market.standing.share(query.id) @ market.prices)
        least_gain = self.gain * price if price > 0 else SURER * market.value
        if not least_gain and not price:
            return []  # nothing is cheaper
        return _cheaper(market, offers, now, price, least_gain)

    def thinner(
        self, market: Market, query: Query, offers: Sequence[Offer], now: Offer | None
    ) -> list[Offer]:
        """Return the feasible plans that use the backhaul less, if they pay for a move.

        While nobody else needs the link, a move only saves a price, so it must save ``gain``. If
        others wait for room on the link, the share that becomes free serves them. So a move must
        only save what it costs, which is `MOVE`.
        """
        used = market.standing.backhaul(query.id)
        less = [offer for offer in offers if offer.uses.backhaul < used]
        price = float(market.standing.share(query.id) @ market.prices)
        return _cheaper(market, less, now, price, MOVE * market.value)


def _served(context: PlanningContext, market: Market, bid: Bid) -> list[float]:
    """Return the share of the query's expected stay in which each plan would be ready to serve.

    A plan that has to wait for a machine to boot, for a GPU instance or for its models serves
    later. A running query is served by its present plan meanwhile.
    """
    if not market.value or context.plan_of(bid.query) is not None:
        return [1.0] * len(bid.plans)
    ready = [context.ready_s(bid.query, plan) for plan in bid.plans]
    return [1.0 if wait_s is None else 1 - share_of_stay(context, wait_s) for wait_s in ready]


def _cheaper(
    market: Market, offers: Sequence[Offer], now: Offer | None, price: float, least_gain: float
) -> list[Offer]:
    """Return the feasible plans whose loss is lower than that of the active plan by a given gain.

    ``now`` has the beliefs about the active plan, and ``price`` is what the query pays for it.
    """
    probability = 1.0 if now is None else now.probability
    most = market.loss(price, probability) - least_gain
    return [offer for offer in offers if offer.feasible and offer.loss(market) <= most]


def matched(
    market: Market, ranked: Sequence[tuple[Bid, Sequence[int]]], backhaul: float
) -> list[tuple[Bid, Sequence[int]]]:
    """Sort bids and the plans of each bid, so that as many bids as possible are served.

    ``ranked`` has the bids and the indices of each bid's plans, best first. ``backhaul`` is the
    room on the backhaul; see `backhaul_room`. In the result, matched bids come first, each with its
    matched plan first. Service by an infeasible plan is worth half.
    """
    if len(ranked) < 2:
        return list(ranked)
    plans = [(at, place) for at, (_, order) in enumerate(ranked) for place in range(len(order))]
    offers = [ranked[at][0].offers[ranked[at][1][place]] for at, place in plans]
    weight = [
        (1.0 if offer.feasible else 0.5) - LATER * place
        for offer, (_, place) in zip(offers, plans, strict=True)
    ]
    left = np.maximum(0.0, market.pools.capacity - market.standing.taken)
    left[-1] = max(0.0, backhaul)
    problem = Problem(
        np.array([at for at, _ in plans]),
        np.array(weight),
        Demand.of(np.array([offer.demand for offer in offers])),
        Supply(left),
    )
    chosen = match(problem).chosen.tolist()
    first, others = [], []
    for (bid, order), row in zip(ranked, chosen, strict=True):
        if row < 0:
            others.append((bid, order))
            continue
        number = order[plans[row][1]]
        first.append((bid, [number, *(each for each in order if each != number)]))
    return first + others


@dataclass(frozen=True)
class PriceMatching(InRange, ByPrice):
    """Matches queries and plans at prices of resource pools that rise with utilisation.

    A unit of pool j costs u_j^steepness q_j / t_j + `FREE_PRICE` / c_j, where c_j is the pool's
    capacity, t_j the amount in use, u_j = t_j / c_j, and q_j the number of queries that use it. So
    a unit of a full pool costs as much as the queries that a unit serves on average. Machines
    refuse plans that do not fit. The backhaul refuses none, so its price rises further beyond its
    capacity. At the default parameters, no query can afford an average share once 1.19 times this
    capacity is in use. This keeps the link busy for 0.95 of the time; no plan is awarded that would
    keep it busy for longer (`planners.compass.state.pools.MOST_BACKHAUL`).

    Args:
        steepness: exponent of utilisation in prices; at 1, prices are proportional to utilisation.
        value: the highest price that a query can pay for service with certainty, in served queries.
        best_effort: a lower bound of this highest price for queries without a feasible plan.
        gain: a running query moves only if that saves this share of what it pays, from 0 to 1.
        evict_above: a query that pays more than this and cannot move is released.
        most_moves: largest number of overpaying queries that are considered in one call.
        regrouping: matches running queries together with those that find no room.
    """

    steepness: NonNegative = 4.0
    value: NonNegative = 2.0
    best_effort: NonNegative = 0.5
    gain: Share = 0.5
    evict_above: NonNegative = 4.0
    most_moves: WholeNumber = 8
    regrouping: Regrouping = field(default_factory=ShareStations)

    def most(self, offer: Offer) -> float:
        """Return ``value`` times the probability that the plan serves the query."""
        if offer.feasible:
            return self.value
        return max(self.best_effort, self.value * offer.probability)

    @property
    def worth(self) -> float:
        """The worth is 1, because prices are in units of one served query."""
        return 1.0

    def prices(self, pools: Pools, standing: Standing) -> Floats:
        """Return the price of a unit of each pool, in served queries, of shape (R,)."""
        busy = standing.taken / np.maximum(pools.capacity, 1e-9)
        served = standing.queries / np.maximum(standing.taken, 1e-9)
        return np.asarray(busy**self.steepness * served + FREE_PRICE * pools.scarcity)

    def overpaying(self, context: PlanningContext, market: Market) -> list[Query]:
        """Return the running queries that pay more than ``value``, the highest payments first."""
        queries = context.bulk.running_by_id
        paying = [
            (-price, number, queries[number])
            for number, price in market.standing.dearer(self.value, market.prices)
            if number in queries
        ]
        paying.sort(key=lambda each: each[:2])
        return [query for _, _, query in paying[: self.most_moves]]

    def evicts(self, market: Market, query: Query) -> bool:
        """Return whether a query pays more than ``evict_above``."""
        return float(market.standing.share(query.id) @ market.prices) > self.evict_above
