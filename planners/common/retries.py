"""When to search again for a query that an earlier search found nothing for.

Every call offers a planner every waiting query, so the hopeless would be searched at each of them.
"""

from scenarios.queries import Query
from sim import Desk

IN_VAIN = "in vain"
"""When a search for a query found nothing last, by query."""


def due(desk: Desk, query: Query, pause_s: float) -> bool:
    """Tell whether a search is worth its charge: it has not failed, or things may have changed.

    Args:
        desk: the desk.
        query: a waiting query.
        pause_s: how long after a search in vain it is left alone, unless room became free.
    """
    failed_s: float | None = desk.recall((IN_VAIN, query.id))
    freed_s = desk.freed_s
    return rested(desk, query, pause_s) or (
        failed_s is not None and freed_s is not None and failed_s < freed_s
    )


def rested(desk: Desk, query: Query, pause_s: float) -> bool:
    """Tell whether no search for a query was in vain for so long, whatever became free since."""
    failed_s: float | None = desk.recall((IN_VAIN, query.id))
    return failed_s is None or desk.now_s >= failed_s + pause_s


def give_up(desk: Desk, query: Query) -> None:
    """Note that a search for a query found nothing."""
    desk.remember((IN_VAIN, query.id), desk.now_s, query)
