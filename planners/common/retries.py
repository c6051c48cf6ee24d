"""When to search again for a query that an earlier search found nothing for.

Every call offers a planner every waiting query, so the hopeless would be searched at each of them.
"""

from scenarios.queries import Query
from sim import PlanningContext

IN_VAIN = "in vain"
"""When a search for a query found nothing last, by query."""


def due(context: PlanningContext, query: Query, pause_s: float) -> bool:
    """Tell whether a search is worth its charge: it has not failed, or things may have changed.

    Args:
        context: the planning context.
        query: a waiting query.
        pause_s: how long after a search in vain it is left alone, unless room became free.
    """
    failed_s: float | None = context.recall((IN_VAIN, query.id))
    last_release_s = context.world.last_release_s
    return rested(context, query, pause_s) or (
        failed_s is not None and last_release_s is not None and failed_s < last_release_s
    )


def rested(context: PlanningContext, query: Query, pause_s: float) -> bool:
    """Tell whether no search for a query was in vain for so long, whatever became free since."""
    failed_s: float | None = context.recall((IN_VAIN, query.id))
    return failed_s is None or context.now_s >= failed_s + pause_s


def give_up(context: PlanningContext, query: Query) -> None:
    """Note that a search for a query found nothing."""
    context.remember((IN_VAIN, query.id), context.now_s, query)
