"""The multi-query scheduler: the plan of each query when queries compete for machines."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from planners.common.ranges import InRange, NonNegative, Share, WholeNumber
from planners.compass.runtime.orders import first_that_fits
from planners.compass.scheduling.repacking import Regrouping, ShareStations, StayAsTheyAre
from planners.compass.state.pools import Market, Pools, Standing
from planners.compass.state.records import Offer
from planners.matching import Demand, Problem, Supply, match
from scenarios.numerics import Floats
from scenarios.queries import Query
from sim import Plan, PlanningContext

FREE_PRICE = 0.05
"""Price of all of an idle pool; above 0, so that a plan that takes less is cheaper."""

SURER = 0.01
"""Least gain in probability for a move from a plan that costs nothing."""

LATER = 0.01
"""Difference in worth of successive plans of a query, over the worth of serving it."""


@dataclass(frozen=True)
class Bid:
    """A query and the plans that could serve it, the best for itself first."""

    query: Query
    offers: Sequence[Offer]
    plans: Sequence[Plan]  # of the offers


@dataclass(frozen=True)
class Award:
    """The plan that a query gets."""

    bid: Bid
    chosen: int  # number of the plan in the bid

    @property
    def offer(self) -> Offer:
        """The plan as offered."""
        return self.bid.offers[self.chosen]

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.bid.plans[self.chosen]


class Scheduler(ABC):
    """Shares the machines among queries.

    Attributes:
        regrouping: how running queries are matched again with those that find no room.
    """

    regrouping: Regrouping = StayAsTheyAre()

    @abstractmethod
    def award(self, context: PlanningContext, market: Market, bids: Sequence[Bid]) -> list[Award]:
        """Return the plans to deploy, at most one for each bid; all of them fit together."""

    def prices(self, pools: Pools, standing: Standing) -> Floats:
        """Return the price of a unit of each pool, (R,); by default all of any pool costs 1."""
        return pools.scarcity

    def most(self, offer: Offer) -> float:
        """Return the highest cost of a plan at the prices of the pools."""
        return inf

    @property
    def worth(self) -> float:
        """Worth of certain service of a query at these prices; see `Market`."""
        return 0.0

    def overpaying(self, context: PlanningContext, market: Market) -> list[Query]:
        """Return running queries whose machines others need more, the worst first."""
        return []

    def better(
        self, market: Market, query: Query, offers: Sequence[Offer], now: Offer | None
    ) -> list[Offer]:
        """Return plans that a running query should move to, the best first.

        ``now`` has the beliefs about the active plan, or None.
        """
        return []

    def evicts(self, market: Market, query: Query) -> bool:
        """Return whether an overpaying query that cannot move is released."""
        return False


def first_that_fit(
    context: PlanningContext, ranked: Sequence[tuple[Bid, Sequence[int]]]
) -> list[Award]:
    """Return for each bid its first plan that fits with earlier bids and orders."""
    if not ranked:
        return []
    wanted = [(bid.query, [bid.plans[number] for number in order]) for bid, order in ranked]
    return [
        Award(bid, order[place])
        for (bid, order), place in zip(ranked, first_that_fits(context, wanted), strict=True)
        if place is not None
    ]


@dataclass(frozen=True)
class FirstComeFirstServed(Scheduler):
    """Serves queries in order of arrival by the cheapest plan that fits; an ablation.

    Prices are constant, and running queries move only if audits find their content changed.
    """

    def award(self, context: PlanningContext, market: Market, bids: Sequence[Bid]) -> list[Award]:
        """Return the first plan of each bid that fits."""
        return first_that_fit(context, [(bid, range(len(bid.offers))) for bid in bids])


class ByPrice(Scheduler):
    """Matches queries and plans at prices of the pools.

    Queries that compete are matched (`planners.matching`) to serve as many as possible, each by a
    plan high on its list; then each gets its first plan that fits. The matching treats GPUs as
    divisible; the planning context checks the partitions. Running queries move one at a time.

    Attributes:
        gain: part of its price that a move must save, from 0 to 1.
    """

    gain: float

    def award(self, context: PlanningContext, market: Market, bids: Sequence[Bid]) -> list[Award]:
        """Return a plan that fits of each bid that can pay, those of the matching first."""
        payable = []
        for bid in bids:
            context.charge(bid.query, "step", len(bid.offers))
            prices = [float(offer.demand @ market.prices) for offer in bid.offers]
            order = [
                number
                for number, offer in enumerate(bid.offers)
                if prices[number] <= self.most(offer)
            ]
            # Infeasible plans are in order of how little they miss, which matters more.
            if bid.offers[0].feasible:
                losses = [
                    market.loss(price, offer.probability)
                    for price, offer in zip(prices, bid.offers, strict=True)
                ]
                order.sort(key=losses.__getitem__)
            if order:
                payable.append((prices[order[0]], bid.query.id, bid, order))
        payable.sort(key=lambda each: each[:2])
        return first_that_fit(context, matched(market, [each[2:] for each in payable]))

    def better(
        self, market: Market, query: Query, offers: Sequence[Offer], now: Offer | None
    ) -> list[Offer]:
        """Return the feasible plans whose loss is low enough for a move to pay.

        All of them if the active plan is not feasible. If it costs nothing, a move must raise the
        probability by `SURER`, and only counts if that has a worth.
        """
        if now is not None and not now.feasible:
            return [offer for offer in offers if offer.feasible]
        price = float(market.standing.share(query.id) @ market.prices)
        least_gain = self.gain * price if price > 0 else SURER * market.value
        if not least_gain and not price:
            return []  # nothing is cheaper
        probability = 1.0 if now is None else now.probability
        most = market.loss(price, probability) - least_gain
        return [offer for offer in offers if offer.feasible and offer.loss(market) <= most]


def matched(
    market: Market, ranked: Sequence[tuple[Bid, Sequence[int]]]
) -> list[tuple[Bid, Sequence[int]]]:
    """Order bids, and the plans of each, so that as many as possible are served at once.

    ``ranked`` has bids and the numbers of their plans, the best first. Bids served in the matching
    come first, each with its matched plan first. An infeasible plan counts half.
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
    """Matches queries and plans by prices of the pools that rise with congestion.

    A unit of pool j costs u_j^steepness q_j / t_j + `FREE_PRICE` / c_j, where t_j of it is taken, a
    share u_j of all c_j, and q_j queries use it. So a unit of a full pool costs its worth, the
    number of queries that it serves on average. Machines refuse plans without room. The backhaul
    does not, so its price rises beyond its capacity: at the default parameters no query pays for an
    average share once 1.19 of the pool is taken, 0.95 of its time.

    Args:
        steepness: exponent of the rise of prices with load; 1 is proportional.
        value: the most that a query may pay to be admitted, in queries.
        best_effort: the least such bound where no plan is believed feasible.
        gain: part of its price that a move must save, from 0 to 1.
        evict_above: price above which a query that cannot move is released.
        most_moves: running queries looked at in one call.
        regrouping: how running queries are matched again with those that find no room.
    """

    steepness: NonNegative = 4.0
    value: NonNegative = 2.0
    best_effort: NonNegative = 0.5
    gain: Share = 0.5
    evict_above: NonNegative = 4.0
    most_moves: WholeNumber = 8
    regrouping: Regrouping = field(default_factory=ShareStations)

    def most(self, offer: Offer) -> float:
        """Return the value of a query, in queries, scaled by the probability of serving it."""
        if offer.feasible:
            return self.value
        return max(self.best_effort, self.value * offer.probability)

    @property
    def worth(self) -> float:
        """One query."""
        return 1.0

    def prices(self, pools: Pools, standing: Standing) -> Floats:
        """Return the worth of a unit of each pool in queries, shape (R,)."""
        busy = standing.taken / np.maximum(pools.capacity, 1e-9)
        served = standing.queries / np.maximum(standing.taken, 1e-9)
        return np.asarray(busy**self.steepness * served + FREE_PRICE * pools.scarcity)

    def overpaying(self, context: PlanningContext, market: Market) -> list[Query]:
        """Return the running queries that pay most above the value, the worst first."""
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
