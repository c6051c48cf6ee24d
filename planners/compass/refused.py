"""Queries that were refused and wait: which of them are not to be asked for a bid in a call.

Where machines are short, hundreds wait, and prices are what keeps most of them out. They are priced
all at once. Those that still cannot pay are refused without a word: nothing is charged or put on
record, but for when that was.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planners.compass.known import Offer
from planners.compass.pools import Market
from planners.compass.scheduler import Bid
from planners.retries import FREED, due
from scenarios.queries import Query
from sim import Desk

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

KEY = "compass refused"


@dataclass(frozen=True, eq=False)
class Refused:
    """What W queries bid that were refused, M plans of R pools.

    Args:
        number: row of each query, by id.
        failed_s: when each was refused last, shape (W,).
        query: row of the query of each plan, shape (M,).
        demand: what the plan takes of each pool, shape (M, R).
        most: the most that it may cost, shape (M,).
    """

    number: dict[int, int]
    failed_s: Floats
    query: Integers
    demand: Floats
    most: Floats

    @classmethod
    def of(cls, bids: Sequence[Bid], most: Callable[[Offer], float], now_s: float) -> "Refused":
        """Return bids that are refused now; see `remember_refused`."""
        offers = [offer for bid in bids for offer in bid.offers]
        return cls(
            {bid.query.id: row for row, bid in enumerate(bids)},
            np.full(len(bids), now_s),
            np.repeat(np.arange(len(bids)), [len(bid.offers) for bid in bids]),
            np.array([offer.demand for offer in offers]),
            np.array([most(offer) for offer in offers]),
        )

    def without(self, queries: Collection[int]) -> "Refused":
        """Return what is left without some queries."""
        if not queries:
            return self
        kept = np.ones(len(self.number), dtype=bool)
        kept[[self.number[query] for query in queries]] = False
        plans = kept[self.query]
        left = [query for query, row in self.number.items() if kept[row]]
        return Refused(
            {query: row for row, query in enumerate(left)},
            self.failed_s[kept],
            (np.cumsum(kept) - 1)[self.query[plans]],
            self.demand[plans],
            self.most[plans],
        )

    def and_also(self, other: "Refused") -> "Refused":
        """Return both, which have no query in common."""
        first = len(self.number)
        return Refused(
            self.number | {query: first + row for query, row in other.number.items()},
            np.concatenate([self.failed_s, other.failed_s]),
            np.concatenate([self.query, first + other.query]),
            np.concatenate([self.demand, other.demand]),
            np.concatenate([self.most, other.most]),
        )

    def which(self, chosen: Booleans) -> set[int]:
        """Return the queries of some rows, marked in an array of shape (W,)."""
        marks = chosen.tolist()
        return {query for query, row in self.number.items() if marks[row]}

    def pay(self, prices: Floats) -> Booleans:
        """Tell which queries can pay for one of their plans, shape (W,)."""
        # A little more is let pass, as sums depend on how many are worked out together.
        affordable = self.demand @ prices <= self.most * (1 + 1e-9)
        return np.bincount(self.query[affordable], minlength=len(self.number)) > 0


@dataclass(frozen=True)
class Retries:
    """Which waiting queries to ask for a bid in a call.

    Args:
        desk: the desk.
        pause_s: how long a query is left alone after it was refused, unless room became free.
        refused: queries that are known to bid what was refused before, and are not to be asked: as
            it is too early, or as they cannot pay for any of their plans.
    """

    desk: Desk
    pause_s: float
    refused: Collection[int]

    def due(self, query: Query) -> bool:
        """Tell whether it is time to ask a query for a bid; see `planners.retries`."""
        return query.id not in self.refused and due(self.desk, query, self.pause_s)


def retries(desk: Desk, market: Market, pause_s: float) -> Retries:
    """Return whom to ask in a call; those that are due and cannot pay are refused once more."""
    known: Refused | None = desk.recall(KEY)
    if known is None:
        return Retries(desk, pause_s, ())
    before = known
    known = known.without(known.number.keys() - {query.id for query in desk.waiting})
    early = (desk.now_s < known.failed_s + pause_s) & (desk.trigger not in FREED)
    poor = ~early & ~known.pay(market.prices)
    if poor.any():
        known = replace(known, failed_s=np.where(poor, desk.now_s, known.failed_s))
    if known is not before:
        desk.remember(KEY, known)
    return Retries(desk, pause_s, known.which(early | poor))


def remember_refused(desk: Desk, bids: Sequence[Bid], most: Callable[[Offer], float]) -> None:
    """Remember bids that are refused, in place of earlier ones of the same queries.

    Args:
        desk: the desk.
        bids: bids whose plans are all that the queries will bid as long as they wait.
        most: the most that a plan may cost; see `Scheduler.most`.
    """
    if not bids:
        return
    refused = Refused.of(bids, most, desk.now_s)
    known: Refused | None = desk.recall(KEY)
    if known is not None:
        refused = known.without(refused.number.keys() & known.number.keys()).and_also(refused)
    desk.remember(KEY, refused)
