"""When to search again for a query that an earlier search found nothing for.

Every call offers a planner every waiting query, so the hopeless would be searched at each of them.
"""

from scenarios.queries import Query
from sim import Desk

IN_VAIN = "in vain"
"""When a search for a query found nothing last, by query."""

FREED = ("departure", "recovery")
"""Triggers after which there may be room that there was not."""


def due(desk: Desk, query: Query, pause_s: float) -> bool:
    """Tell whether a search is worth its charge: it has not failed, or things may have changed.

    Args:
        desk: the desk.
        query: a waiting query.
        pause_s: how long after a search in vain it is left alone, unless room became free.
    """
    failed_s: float | None = desk.recall((IN_VAIN, query.id))
    return failed_s is None or desk.trigger in FREED or desk.now_s >= failed_s + pause_s


def give_up(desk: Desk, query: Query) -> None:
    """Note that a search for a query found nothing."""
    desk.remember((IN_VAIN, query.id), desk.now_s, query)
