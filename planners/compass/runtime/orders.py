"""Orders: plans that were ordered and do not serve yet.

Until a query's search is over, its order holds no room, and the desk does not know of it: who asks
what fits has to ask beside what was promised.
"""

from collections.abc import Collection, Mapping, Sequence

from planners.compass.runtime.watch import IN_FORCE, InForce
from scenarios.queries import Query
from sim import Desk, Plan

DUE = "compass order due"
"""When the last order of a query that was carried out was made, in seconds."""

PROMISED = "compass promised"
"""On the desk's scratch: orders that hold no room yet, each with its query."""


def order(desk: Desk, query: Query, record: InForce) -> None:
    """Order a plan for a query, and remember what is predicted of it."""
    desk.deploy(query, record.plan)
    _promised(desk)[query.id] = query, record
    desk.remember((IN_FORCE, query.id), record)
    # Others see it when the search's clock is reached, which is when the order is carried out.
    desk.remember((DUE, query.id), record.since_s, query)


def release(desk: Desk, query: Query) -> None:
    """Order that a running query gives up what it has."""
    desk.release(query)
    _promised(desk).pop(query.id, None)


def orders_of(desk: Desk) -> Mapping[int, InForce]:
    """Return the orders that the desk's plans do not show, by query.

    Those of this call and of searches under way; and those of queries that are served by another
    plan while the models of this one are being loaded.
    """
    found = {number: record for number, (_, record) in _promised(desk).items()}
    for number, plan in desk.coming.items():
        last: InForce | None = desk.recall((IN_FORCE, number))
        if number not in found and last is not None and last.plan == plan != desk.plans[number]:
            found[number] = last
    return found


def fit(desk: Desk, wanted: Sequence[tuple[Query, Plan]]) -> list[bool]:
    """Tell which plans fit, one after the other, beside what was ordered and holds no room yet."""
    asking = {query.id for query, _ in wanted}
    return desk.fits_all(wanted, _promised_others(desk, asking))


def first_that_fits(desk: Desk, wanted: Sequence[tuple[Query, Sequence[Plan]]]) -> list[int | None]:
    """Return for each query the number of the first of its plans that fits, or None; see `fit`."""
    asking = {query.id for query, _ in wanted}
    return desk.first_that_fits(wanted, _promised_others(desk, asking))


def _promised_others(desk: Desk, asking: Collection[int]) -> list[tuple[Query, Plan]]:
    """Return what was ordered and holds no room yet, but for what those that ask would replace."""
    return [
        (query, record.plan) for query, record in _promised(desk).values() if query.id not in asking
    ]


def _promised(desk: Desk) -> dict[int, tuple[Query, InForce]]:
    """Return the orders of searches under way and of this call, which `order` adds to."""
    if PROMISED not in desk.scratch:
        found = {}
        for query in desk.searching:
            last: InForce | None = desk.recall((IN_FORCE, query.id))
            if last is None or desk.recall((DUE, query.id)) == last.since_s:
                continue  # What it ordered last was carried out; this search ordered nothing.
            if last.plan == desk.plan_of(query):
                continue  # It was, and a crash of the planner has lost the note of it.
            found[query.id] = query, last
        desk.scratch[PROMISED] = found
    promised: dict[int, tuple[Query, InForce]] = desk.scratch[PROMISED]
    return promised
