"""Orders: plans that were ordered and are not in force yet, which the desk does not show."""

from collections.abc import Mapping

from planners.compass.runtime import IN_FORCE, InForce
from scenarios.queries import Query
from sim import Desk

DUE = "compass order due"
"""When the last order of a query that was carried out was made, in seconds."""

LOADING_S = 15.0
"""How long a running query's order counts after it was made: its models may be loading. Whether it
was refused, nobody says."""


def order(desk: Desk, query: Query, record: InForce) -> None:
    """Order a plan for a query, and remember what is predicted of it."""
    desk.deploy(query, record.plan)
    desk.remember((IN_FORCE, query.id), record)
    # Others see it when the search's clock is reached, which is when the order is carried out.
    desk.remember((DUE, query.id), record.since_s, query)


def orders_of(desk: Desk) -> Mapping[int, InForce]:
    """Return the orders of plans that are not in force yet, by query.

    Those of this call and of searches under way, which will take their room before anything that is
    ordered from now on; and those of running queries whose models are being loaded.
    """
    searching = {query.id for query in desk.searching}
    found = {}
    for query in (*desk.waiting, *desk.running, *desk.searching):
        last: InForce | None = desk.recall((IN_FORCE, query.id))
        now = desk.plan_of(query)
        if last is None or last.plan == now:
            continue
        if desk.recall((DUE, query.id)) != last.since_s:
            under_way = query.id in searching or last.since_s == desk.now_s
        else:
            under_way = now is not None and desk.now_s < last.since_s + LOADING_S
        if under_way:
            found[query.id] = last
    return found
