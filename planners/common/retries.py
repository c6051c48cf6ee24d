"""When to search again for a query that an earlier search found nothing for."""

from scenarios.queries import Query
from sim import PlanningContext

IN_VAIN = "in vain"
"""When a search for a query found nothing last, by query."""


def due(context: PlanningContext, query: Query, pause_s: float) -> bool:
    """Return whether to search: no search failed, the pause is over, or room was freed since."""
    failed_s: float | None = context.recall((IN_VAIN, query.id))
    last_release_s = context.world.last_release_s
    return rested(context, query, pause_s) or (
        failed_s is not None and last_release_s is not None and failed_s < last_release_s
    )


def rested(context: PlanningContext, query: Query, pause_s: float) -> bool:
    """Return whether the last failed search for a query, if any, is at least ``pause_s`` ago."""
    failed_s: float | None = context.recall((IN_VAIN, query.id))
    return failed_s is None or context.now_s >= failed_s + pause_s


def give_up(context: PlanningContext, query: Query) -> None:
    """Note that a search for a query found nothing."""
    context.remember((IN_VAIN, query.id), context.now_s, query)
