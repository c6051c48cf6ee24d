"""The multi-query scheduler: which of its plans each query gets, when they compete for machines."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray

from planners.common.ranges import at_least, whole, within
from planners.compass.runtime.orders import first_that_fits
from planners.compass.scheduling.repacking import Regrouping, ShareStations, StayAsTheyAre
from planners.compass.state.known import Offer
from planners.compass.state.pools import Market, Pools, Standing
from planners.matching import Demand, Problem, Supply, match
from scenarios.queries import Query
from sim import Plan, PlanningContext

Floats = NDArray[np.float64]

FREE_PRICE = 0.05
"""Price of all of an idle pool; above 0, so that a plan that takes less is cheaper."""

SURER = 0.01
"""Probability by which a plan has to be surer for a move from one that costs nothing."""

LATER = 0.01
"""What a query's next plan is worth less than the one before, over what serving it is worth."""


@dataclass(frozen=True)
class Bid:
    """A query and the plans that it could be served by, the best for itself first.

    Args:
        query: the query.
        offers: its plans.
        plans: the same, as plans.
    """

    query: Query
    offers: Sequence[Offer]
    plans: Sequence[Plan]


@dataclass(frozen=True)
class Award:
    """What a query is to get.

    Args:
        bid: its bid.
        chosen: number of the plan.
    """

    bid: Bid
    chosen: int

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
        regrouping: how queries that run are matched anew, together with those that find no room.
    """

    regrouping: Regrouping = StayAsTheyAre()

    @abstractmethod
    def award(self, context: PlanningContext, market: Market, bids: Sequence[Bid]) -> list[Award]:
        """Return the plans to deploy, at most one of each bid; all of them fit together."""

    def prices(self, pools: Pools, standing: Standing) -> Floats:
        """Return the price of a unit of each pool, by which searches weigh plans, shape (R,).

        By default all of any pool costs the same, whatever is taken of it.
        """
        return pools.scarcity

    def most(self, offer: Offer) -> float:
        """Return the most that a plan may cost at the prices of the pools."""
        return inf

    @property
    def worth(self) -> float:
        """What serving a query surely is worth at these prices; see `Market`."""
        return 0.0

    def overpaying(self, context: PlanningContext, market: Market) -> list[Query]:
        """Return running queries that others should have the machines of, the worst first."""
        return []

    def better(
        self, market: Market, query: Query, offers: Sequence[Offer], now: Offer | None
    ) -> list[Offer]:
        """Return the plans that a running query should rather be served by, the best first.

        ``now`` is what is believed of the plan in force; None if nothing is.
        """
        return []

    def evicts(self, market: Market, query: Query) -> bool:
        """Tell whether an overpaying query that cannot move has to go."""
        return False


def first_that_fit(
    context: PlanningContext, ranked: Sequence[tuple[Bid, Sequence[int]]]
) -> list[Award]:
    """Return for each bid the first of its plans that fits beside those of the bids before it.

    And beside what was ordered already, see `planners.compass.runtime.orders`.
    """
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
    """Serves queries in the order of their arrival by the cheapest plan that fits; an ablation.

    Its prices never change, it admits whatever fits, and what runs stays where it is, unless audits
    find that its content is not what was profiled.
    """

    def award(self, context: PlanningContext, market: Market, bids: Sequence[Bid]) -> list[Award]:
        """Return the first plan of each bid that fits."""
        return first_that_fit(context, [(bid, range(len(bid.offers))) for bid in bids])


class ByPrice(Scheduler):
    """Matches queries and plans at prices of the pools.

    A query may be served by the plans that it can pay. Where several compete for what is left, they
    are matched (`planners.matching`), so that as many as possible are served, and those by plans
    as high on their lists as can be; then each gets the first of its plans that fits. In the
    matching a GPU is a pool of shares, as queries share stations; whether cards can be cut so, the
    context says. Queries that run take no part in it: they move one at a time.

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
        """Return the feasible plans of so much less loss that a move pays.

        All of them where the plan in force is not believed to be feasible. Where that costs
        nothing, a move can only make the query surer, by `SURER` and if that is worth anything.
        """
        if now is not None and not now.feasible:
            return [offer for offer in offers if offer.feasible]
        price = float(market.standing.share(query.id) @ market.prices)
        least_gain = self.gain * price if price > 0 else SURER * market.value
        if not least_gain and not price:
            return []  # Nothing is cheaper.
        probability = 1.0 if now is None else now.probability
        most = market.loss(price, probability) - least_gain
        return [offer for offer in offers if offer.feasible and offer.loss(market) <= most]


def matched(
    market: Market, ranked: Sequence[tuple[Bid, Sequence[int]]]
) -> list[tuple[Bid, Sequence[int]]]:
    """Order bids, and the plans of each, so that as many as possible are served at once.

    ``ranked`` has bids and the numbers of their plans, the best first.

    Returns:
        First the bids that are served in the matching, each with its plan there first; the others
        after them, as they were. A plan that is not believed to be feasible is worth half.
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
class PriceMatching(ByPrice):
    """Matches queries and plans by prices of the pools that rise with congestion.

    A unit of pool j costs u_j^steepness q_j / t_j + `FREE_PRICE` / c_j, where t_j of it is taken, a
    share u_j of all c_j, and q_j queries use it. So when a pool is full, its price is what a unit
    is worth: the queries that it serves on average. Machines refuse what they have no room for; the
    backhaul takes more than it can carry, and then serves nobody in time, so that its price goes on
    rising: at the usual parameters nobody pays for an average share once 1.19 of the pool is taken,
    which is 0.95 of its time. A query is admitted by the plan of least price, and only if that is
    at most ``value``: nobody gets the machines of many others. A running query that pays more than
    that moves to a plan that saves ``gain`` of its price, and has to give way if there is none and
    it pays more than ``evict_above``.

    Args:
        steepness: how late prices rise. At 1 in proportion to load; the higher, the more an idle
            pool is used without second thoughts.
        value: the most that serving a query is worth, in queries. Above 1 it pays for prices that
            lag behind the load.
        best_effort: the same, at the least, of a query for which no plan is believed to be
            feasible; more if one is likely to be nevertheless.
        gain: part of its price that a move must save, from 0 to 1.
        evict_above: price above which a query that cannot move is released.
        most_moves: running queries that are looked at in one call.
        regrouping: how queries that run are matched anew, together with those that find no room.

    Raises:
        ValueError: a parameter is out of range.
    """

    steepness: float = 4.0
    value: float = 2.0
    best_effort: float = 0.5
    gain: float = 0.5
    evict_above: float = 4.0
    most_moves: int = 8
    regrouping: Regrouping = field(default_factory=ShareStations)

    def __post_init__(self) -> None:
        at_least(
            0,
            steepness=self.steepness,
            value=self.value,
            best_effort=self.best_effort,
            evict_above=self.evict_above,
        )
        within(0, 1, gain=self.gain)
        whole(0, most_moves=self.most_moves)

    def most(self, offer: Offer) -> float:
        """Return the value of a query, in queries, as far as a plan is likely to serve it."""
        if offer.feasible:
            return self.value
        return max(self.best_effort, self.value * offer.probability)

    @property
    def worth(self) -> float:
        """One query."""
        return 1.0

    def prices(self, pools: Pools, standing: Standing) -> Floats:
        """Return what a unit of each pool is worth in queries: less with room, more if overfull."""
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
        """Tell whether a query costs so many others their service that it has to go."""
        return float(market.standing.share(query.id) @ market.prices) > self.evict_above
