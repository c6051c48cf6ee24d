"""How long queries stay, which decides whether a costly change pays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import fsum
from operator import attrgetter

from planners.common.weak_cache import KEPT
from scenarios.queries import Query
from sim import PlanningContext

STAYS = "stays"
"""Key of the `Stays` among a planner's records, and of the expected stay in `KEPT`."""


@dataclass(frozen=True)
class Stays:
    """The queries that left, as far as a planner saw them."""

    departed: int = 0  # number of queries that left
    lived_s: float = 0.0  # sum of the times for which they stayed
    seen_s: float = 0.0  # time of the last look
    living: Mapping[int, float] = field(default_factory=dict)  # arrival by query id, at that time


def note_stays(context: PlanningContext) -> None:
    """Record which queries have left since the last look; they count as having stayed until it."""
    before: Stays = context.recall(STAYS) or Stays()
    living = dict(map(attrgetter("id", "arrival_s"), _living(context)))
    gone = [at_s for query, at_s in before.living.items() if query not in living]
    lived_s = before.lived_s + fsum(before.seen_s - at_s for at_s in gone)
    stays = Stays(before.departed + len(gone), lived_s, context.now_s, living)
    context.remember(STAYS, stays)


def expected_stay_s(context: PlanningContext) -> float:
    """Return the time for which a query is expected to stay from now on, in seconds.

    Planners do not know when queries leave. If lifetimes are exponential, a query's remaining life
    does not depend on its age, and its maximum-likelihood estimate is the time for which all
    queries stayed so far, divided by the number of those that left (Epstein and Sobel, "Life
    testing", 1953, for lives that are partly still going on). Before a query has left, this number
    counts as 1.
    """

    def estimated_s() -> float:
        seen: Stays = context.recall(STAYS) or Stays()
        living = _living(context)
        lived_s = len(living) * context.now_s - fsum(map(attrgetter("arrival_s"), living))
        return (seen.lived_s + lived_s) / max(1, seen.departed)

    return KEPT.of(context, STAYS, estimated_s)


def part_of_stay_s(context: PlanningContext, share: float) -> float:
    """Return a share of a query's expected stay, in seconds.

    While nobody has left, the expected stay grows with the number of queries, so it counts as at
    most the time so far.
    """
    return share * min(expected_stay_s(context), context.now_s)


def share_of_stay(context: PlanningContext, seconds: float) -> float:
    """Return which share of its expected stay a query loses in so many seconds, at most 1."""
    return min(1.0, seconds / max(expected_stay_s(context), seconds)) if seconds > 0 else 0.0


def _living(context: PlanningContext) -> tuple[Query, ...]:
    """Return all living queries."""
    return *context.waiting, *context.bulk.searching, *context.running
