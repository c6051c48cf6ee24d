"""Choose which refused queries bid again in a call.

If there are too few machines, hundreds of queries wait. At each tick, the plans of their last bids
are priced at present prices and stations, and compared with the free part of the pools. For
affordable plans, the planning context checks whether a machine has room. A few queries with the
cheapest plans that have room bid again. A query whose bid is older than ``known_for_s`` always bids
again, because other plans for it could be cheaper now.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import filterfalse

import numpy as np

from planners.common.orders import rested
from planners.compass.runtime.orders import Wanted, backhaul_room, first_that_fits
from planners.compass.scheduling.scheduler import Bid
from planners.compass.state.pools import Market, opens, room_in, share_taken
from planners.compass.state.records import (
    Offer,
    service_state,
    update_service,
)
from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints
from scenarios.queries import Query
from sim import PlanningContext

REFUSED = "compass refused"
"""Key of the record of refused bids, a `Refused` for each call; the last with a query counts."""

MOST_HOPEFUL = 4
"""Largest number of refused queries that are hopeful at one tick."""


@dataclass(frozen=True, eq=False)
class Refused:
    """The refused bids of W queries, with M plans of N operators; fields are as in ``Uses``."""

    asked: Ints  # ids of the queries, of shape (W,)
    judged_s: Floats  # time at which the plans of each query were judged, of shape (W,)
    many: Ints  # number of plans of each query, of shape (W,)
    station: Ints  # kinds and operator keys, of shape (M, 2, N)
    filled: Floats  # of shape (M, N)
    backhaul: Floats  # of shape (M,)
    most: Floats  # the highest price allowed for each plan, of shape (M,)

    @classmethod
    def of(cls, bids: Sequence[Bid], most: Callable[[Offer], float], now_s: float) -> "Refused":
        """Return the record of these bids, refused at ``now_s``; ``most`` is `Scheduler.most`."""
        offers = [offer for bid in bids for offer in bid.offers]
        uses = [offer.uses for offer in offers]
        station = [each for one in uses for each in (one.station, one.operator_key)]
        return cls(
            np.array([bid.query.id for bid in bids]),
            np.full(len(bids), now_s),
            np.array([len(bid.offers) for bid in bids]),
            np.concatenate(station).reshape(len(uses), 2, -1),
            np.concatenate([one.filled for one in uses]).reshape(len(uses), -1),
            np.array([one.backhaul for one in uses]),
            np.array([most(offer) for offer in offers]),
        )

    @cached_property
    def ids(self) -> frozenset[int]:
        """The ids of the queries."""
        return frozenset(self.asked.tolist())

    def only(self, kept: Bools) -> "Refused":
        """Return the bids of those queries that are marked in ``kept``, of shape (W,)."""
        if kept.all():
            return self
        rows, plans = np.flatnonzero(kept), np.flatnonzero(kept.repeat(self.many))
        return Refused(
            self.asked[rows],
            self.judged_s[rows],
            self.many[rows],
            *(getattr(self, name).take(plans, axis=0) for name in OF_PLANS),
        )

    @classmethod
    def joined(cls, parts: Sequence["Refused"]) -> "Refused":
        """Concatenate parts; a query can occur in several of them."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls))
        )

    def hopeful(
        self,
        context: PlanningContext,
        market: Market,
        waste: float,
        rows: Bools,
        waiting: Mapping[int, Query],
    ) -> Bools:
        """Mark the queries that have an affordable plan for which there is room, of shape (W,).

        At most ``MOST_HOPEFUL`` queries are marked: those that can pay most and, among equals,
        those with the cheapest plan. If payments have no bound, all such queries are marked. Once a
        plan finds no room, other plans that open or join the same stations are skipped, although
        one could fit.

        ``rows`` marks the queries to consider, of shape (W,); ``waiting`` maps ids to queries.
        """
        standing, pools = market.standing, market.pools
        free = pools.capacity - standing.taken
        free[-1] = max(0.0, backhaul_room(context, market))
        needs, price = _needs(
            self.station,
            self.filled,
            self.backhaul,
            self.most,
            standing.left,
            standing.takes.pool,
            standing.takes.units,
            market.prices,
            free,
            waste,
        )
        found = np.zeros(len(rows), dtype=bool)
        query = np.arange(len(rows)).repeat(self.many)
        plans = np.flatnonzero((needs != HOPELESS) & rows[query])
        plans = plans[np.lexsort((price[plans], -self.most[plans]))]
        left = MOST_HOPEFUL if np.isfinite(self.most).any() else len(found)
        while left and len(plans):
            row, need = int(query[plans[0]]), needs[plans[0]]
            number = int(plans[0] - np.searchsorted(query, row))
            asked = int(self.asked[row])
            bid, share = service_state(context, asked).refused, float(self.backhaul[plans[0]])
            one = Wanted(waiting[asked], [bid[number]], [share])
            if first_that_fits(context, market, [one]) == [0]:
                found[row] = True
                left -= 1
                plans = plans[query[plans] != row]
            else:
                plans = plans[needs[plans] != need]
        return found


OF_PLANS = "station", "filled", "backhaul", "most"

HOPELESS = -1
"""The hash of a plan that is too costly or too large."""

MIX = 1_000_003
"""Multiplier of the polynomial hash, a prime number."""


@compiled
def _needs(
    station: Ints,
    filled: Floats,
    backhaul: Floats,
    most: Floats,
    left: Floats,
    pool: Ints,
    units: Floats,
    prices: Floats,
    free: Floats,
    waste: float,
) -> tuple[Ints, Floats]:
    """Return a hash of each plan's stations, and each plan's price, both of shape (M,).

    The hash covers the kinds of the new stations that the plan needs or, if none are new, the
    stations that it joins. It is HOPELESS if the plan is too costly or takes more of a pool than is
    free. ``free``, of shape (R,), has each pool's free part. The other arrays are fields of
    `Refused`, ``Standing`` and ``ResourceUse``.
    """
    needs = np.zeros(len(station), dtype=np.int64)
    price, needed = np.empty(len(station)), np.zeros(len(prices))
    for plan in range(len(station)):
        price[plan] = backhaul[plan] * prices[-1]
        needed[:] = 0.0
        new, joined = 0, 0
        for operator in range(station.shape[2]):
            kind, key = station[plan, 0, operator], station[plan, 1, operator]
            part = filled[plan, operator]
            if kind < 0 or part <= 0:
                continue
            room = room_in(left, kind, key)
            if opens(part, room):
                needed[pool[kind]] += np.ceil(part) * units[kind]
                new = new * MIX + kind + 1  # a polynomial hash, by Horner's rule
            else:
                joined = (joined * MIX + kind + 1) * MIX + key
            taken = share_taken(part, room, waste)
            price[plan] += taken * units[kind] * prices[pool[kind]]
        # The hash is doubled, and made odd if no station is new, to distinguish both cases.
        needs[plan] = abs(2 * new) if new else abs(2 * joined + 1)
        # Prices have a tolerance, because sums depend on the order of their terms.
        if not price[plan] <= most[plan] * (1 + 1e-9):
            needs[plan] = HOPELESS
        needed[-1] = backhaul[plan]
        for number in range(len(prices)):
            if needed[number] > 0 and needed[number] > free[number] + 1e-9:
                needs[plan] = HOPELESS
    return needs, price


@dataclass(frozen=True)
class Retries:
    """Decides which waiting queries bid in a call."""

    context: PlanningContext
    pause_s: Callable[[Query], float]  # pause of a query that was released or has no plan
    hopeful: Collection[int] = ()  # refused queries with an affordable plan that has room
    refused: Collection[int] = ()  # other refused queries, which do not bid

    def due(self, query: Query) -> bool:
        """Return whether a query bids: it is hopeful, or it was not refused and need not pause."""
        if query.id in self.hopeful:
            return True
        if query.id in self.refused:
            return False
        return self.context.trigger == "recovery" or rested(
            self.context, query, self.pause_s(query)
        )


def retries(
    context: PlanningContext,
    market: Market,
    pause_s: Callable[[Query], float],
    known_for_s: float,
    waste: float,
    busy: Collection[int],
) -> Retries:
    """Return which waiting queries bid; refused ones are reconsidered only at ticks.

    The plans of a refused bid are reused for ``known_for_s``.
    """
    parts: Sequence[Refused] = context.recall(REFUSED) or ()
    if not parts:
        return Retries(context, pause_s)
    if context.trigger != "tick":
        return Retries(context, pause_s, refused=frozenset().union(*(part.ids for part in parts)))
    waiting = {query.id: query for query in context.waiting}
    ids = np.fromiter(waiting, np.int64, len(waiting))
    # While a query's plan is checked for room, the query does not count as waiting.
    searching = np.array([query.id for query in context.bulk.searching], dtype=np.int64)
    known = Refused.joined(parts)
    still = known.only(_last_named(known.asked, np.sort(np.concatenate([ids, searching]))))
    if still is not parts[0]:
        context.remember(REFUSED, (still,))
    recent = context.now_s < still.judged_s + known_for_s
    free = np.fromiter(filterfalse({*busy}.__contains__, waiting), np.int64)
    rows = recent & _last_named(still.asked, np.sort(free))
    hopeful = still.hopeful(context, market, waste, rows, waiting)
    return Retries(
        context,
        pause_s,
        set(still.asked[hopeful].tolist()),
        set(still.asked[rows & ~hopeful].tolist()),
    )


@compiled
def _last_named(asked: Ints, queries: Ints) -> Bools:
    """Mark, for each of k ascending ids, its last entry in ``asked``, in O(W log k)."""
    last, named = np.zeros(len(asked), dtype=np.bool_), np.zeros(len(queries), dtype=np.bool_)
    for row in range(len(asked) - 1, -1, -1):
        at = np.searchsorted(queries, asked[row])
        if at < len(queries) and queries[at] == asked[row] and not named[at]:
            last[row] = named[at] = True
    return last


def remember_refused(
    context: PlanningContext, bids: Sequence[Bid], most: Callable[[Offer], float]
) -> None:
    """Record refused bids in place of earlier ones; ``most`` is `Scheduler.most`."""
    if bids:
        parts: Sequence[Refused] = context.recall(REFUSED) or ()
        context.remember(REFUSED, (*parts, Refused.of(bids, most, context.now_s)))
        for bid in bids:
            update_service(context, bid.query.id, refused=bid.plans)
