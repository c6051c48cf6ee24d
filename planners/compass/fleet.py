"""What the plans in force use, carried on from one call of the planner to the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter, is_not

from planners.compass.pools import Fleet
from planners.compass.runtime import serving
from sim import Desk, Plan

KEY = "compass fleet"

id_of = attrgetter("id")


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
    plans, running, searching = desk.plans, desk.running, desk.searching
    order = [*map(id_of, running), *filter(plans.__contains__, map(id_of, searching))]
    now = dict(zip(order, map(plans.__getitem__, order), strict=True))
    moved = list(compress(order, map(is_not, now.values(), map(before.plans.get, order))))
    if not moved and order == list(before.plans):
        return before.fleet
    queries = {query.id: query for query in (*running, *searching)} if moved else {}
    found = {query: serving(desk, queries[query]) for query in moved}
    uses = {query: record.uses for query, record in found.items() if record is not None}
    if len(uses) < len(found):
        now = {query: plan for query, plan in now.items() if query in uses or query not in found}
    fleet = before.fleet.changed(list(now), uses)
    desk.remember(KEY, _Seen(now, fleet))
    return fleet
