"""What the plans in force use, carried on from one call of the planner to the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import is_not

from planners.compass.pools import Fleet
from planners.compass.runtime import serving
from sim import Desk, Plan

KEY = "compass fleet"


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a call saw.

    Args:
        plans: the plan of each query of which a record was found.
        fleet: what those use.
    """

    plans: Mapping[int, Plan]
    fleet: Fleet


def fleet_of(desk: Desk) -> Fleet:
    """Return what running and searching queries use, those that run first.

    Only queries whose plan has changed since the last call, or was on no record, are looked up.
    """
    before: _Seen = desk.recall(KEY) or _Seen({}, Fleet.of({}))
    plans = desk.plans
    order = [query.id for query in (*desk.running, *desk.searching) if query.id in plans]
    now = {query: plans[query] for query in order}
    moved = [
        query
        for query, differs in zip(
            order, map(is_not, now.values(), map(before.plans.get, order)), strict=True
        )
        if differs
    ]
    if not moved and order == list(before.plans):
        return before.fleet
    queries = {query.id: query for query in (*desk.running, *desk.searching)} if moved else {}
    found = {query: serving(desk, queries[query]) for query in moved}
    uses = {query: record.uses for query, record in found.items() if record is not None}
    known = before.fleet.row
    with_record = [
        query for query in order if query in uses or (query in known and query not in found)
    ]
    fleet = before.fleet.changed(with_record, uses)
    desk.remember(KEY, _Seen({query: now[query] for query in with_record}, fleet))
    return fleet
