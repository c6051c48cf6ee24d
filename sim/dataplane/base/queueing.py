"""Rules of queues: which request is served first, dropped or shed, and when a batch starts.

Both data planes call these functions, so each rule is written once.
`docs/concepts/data_planes.md` lists every rule and where it is. Times are int64 nanoseconds.
"""

from scenarios.cluster import DISCIPLINES, EDF, PRIORITY
from scenarios.compiled import in_place

BY_DEADLINE, BY_PRIORITY = DISCIPLINES.index(EDF), DISCIPLINES.index(PRIORITY)


@in_place
def rank(discipline: int, entered_ns: int, deadline_ns: int, priority: int) -> int:
    """Return a request's rank in a queue, least first; ``discipline`` indexes ``DISCIPLINES``.

    Requests of equal rank are served by (arrival at the station, query, request, leg).
    """
    if discipline == BY_DEADLINE:
        return deadline_ns
    if discipline == BY_PRIORITY:
        return priority
    return 0


@in_place
def is_late(deadline_ns: int, now_ns: int) -> bool:
    """Return whether a station that sheds late requests drops one that a server would take now."""
    return deadline_ns <= now_ns


@in_place
def batch_ready_ns(first_ns: int, filled_ns: int, max_wait_ns: int) -> int:
    """Return when a free server may start a batch: once full, or after its first member's wait.

    ``filled_ns`` is when the batch was full; ``NEVER`` if it is not.
    """
    return min(filled_ns, first_ns + max_wait_ns)


@in_place
def room(capacity: int, idle_servers: int, max_batch: int) -> int:
    """Return how many requests a bounded queue may hold, including those for idle servers."""
    return capacity + idle_servers * max_batch


@in_place
def steps_to_boundary(began_ns: int, now_ns: int, step_ns: int) -> int:
    """Return after how many steps of a run the next iteration boundary comes, at least one."""
    return max(1, (now_ns - began_ns + step_ns - 1) // step_ns)
