"""What plans in force use, carried on from one call of the planner to the next; and orders."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from operator import is_not

from planners.compass.pools import Fleet
from planners.compass.runtime import IN_FORCE, InForce, serving
from sim import Desk, Plan

KEY = "compass fleet"


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a call saw.

    Args:
        plans: the plan of each query.
        fleet: what those use of which a record was found.
    """

    plans: Mapping[int, Plan]
    fleet: Fleet


def fleet_of(desk: Desk) -> Fleet:
    """Return what running and searching queries use, those that run first.

    Only queries whose plan has changed since the last call are looked up.
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
    desk.remember(KEY, _Seen(now, fleet))
    return fleet


def ordered_of(desk: Desk, but: Collection[int]) -> Fleet:
    """Return what plans use that were ordered, and are not in force yet.

    Those that this call has ordered, and those of searches under way. They will take their room
    before anything that is ordered from now on, though neither the desk nor `fleet_of` shows it. A
    plan that was refused or taken back counts once more while its query is searched for anew.

    Args:
        desk: the desk.
        but: queries whose orders do not count, by id.
    """
    searching = {query.id for query in desk.searching}
    uses = {}
    for query in (*desk.waiting, *desk.running, *desk.searching):
        order: InForce | None = desk.recall((IN_FORCE, query.id))
        if query.id in but or order is None or order.plan == desk.plan_of(query):
            continue
        if query.id in searching or order.since_s == desk.now_s:
            uses[query.id] = order.uses
    return Fleet.of(uses)
