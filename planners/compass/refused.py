"""Queries that were refused and wait: which of them still cannot pay for any of their plans.

Where machines are short, hundreds wait, and prices are what keeps most of them out. To look for
those that can pay by now, all are priced at once; the others are left alone, at no cost to them.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planners.compass.pools import Market
from planners.compass.scheduler import Bid
from sim import Desk

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KEY = "compass refused"


@dataclass(frozen=True, eq=False)
class Refused:
    """What queries bid that were refused, M plans of R pools.

    Args:
        query: the query of each plan, those of a query together, shape (M,).
        demand: what the plan takes of each pool, shape (M, R).
        most: the most that it may cost, shape (M,).
    """

    query: Integers
    demand: Floats
    most: Floats

    @cached_property
    def queries(self) -> frozenset[int]:
        """The queries."""
        return frozenset(self.query.tolist())

    def without(self, queries: Collection[int]) -> "Refused":
        """Return what is left without some queries."""
        if not queries:
            return self
        kept = ~np.isin(self.query, list(queries))
        return Refused(self.query[kept], self.demand[kept], self.most[kept])

    def priced_out(self, prices: Floats) -> set[int]:
        """Return the queries that can pay for none of their plans."""
        # A little more is let pass, as sums depend on how many are worked out together.
        pays = self.demand @ prices <= self.most * (1 + 1e-9)
        return set(self.queries) - set(self.query[pays].tolist())


def priced_out(desk: Desk, market: Market) -> set[int]:
    """Return the waiting queries that were refused and still cannot pay for any of their plans."""
    known: Refused | None = desk.recall(KEY)
    if known is None:
        return set()
    gone = known.queries.difference(query.id for query in desk.waiting)
    if gone:
        known = known.without(gone)
        desk.remember(KEY, known)
    return known.priced_out(market.prices)


def remember_refused(desk: Desk, bids: Sequence[Bid], most: Callable[[bool], float]) -> None:
    """Remember bids that were refused, in place of earlier ones of the same queries.

    Args:
        desk: the desk.
        bids: bids whose plans are all that the queries will bid as long as they wait.
        most: the most that serving a query may cost; see `Scheduler.most`.
    """
    if not bids:
        return
    again = {bid.query.id for bid in bids}
    plans = [(bid.query.id, offer) for bid in bids for offer in bid.offers]
    query = np.array([query for query, _ in plans], dtype=np.int64)
    demand = np.array([offer.demand for _, offer in plans])
    limit = np.array([most(offer.feasible) for _, offer in plans])
    known: Refused | None = desk.recall(KEY)
    if known is not None:
        known = known.without(again & known.queries)
        query = np.concatenate([known.query, query])
        demand = np.concatenate([known.demand, demand])
        limit = np.concatenate([known.most, limit])
    desk.remember(KEY, Refused(query, demand, limit))
