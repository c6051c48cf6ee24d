"""Rules of queues: who is served first, when a batch starts, who is dropped or shed.

Both data planes call these functions, so that a rule is written once.
`docs/concepts/data_planes.md` lists every rule and where it is. Times are int64 nanoseconds.
"""

from scenarios.cluster import DISCIPLINES, EDF, PRIORITY
from scenarios.compiled import in_place

BY_DEADLINE, BY_PRIORITY = DISCIPLINES.index(EDF), DISCIPLINES.index(PRIORITY)


@in_place
def rank(discipline: int, entered_ns: int, deadline_ns: int, priority: int) -> int:
    """Return what a queue is ordered by, the least first; ``discipline`` indexes ``DISCIPLINES``.

    Requests of one rank are served by (arrival at the station, query, request, leg).
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
    """Return from when on a free server may start a batch: full, or its first member waited enough.

    ``filled_ns`` is when the batch was full; ``NEVER`` if it is not.
    """
    return min(filled_ns, first_ns + max_wait_ns)


@in_place
def room(capacity: int, idle_servers: int, max_batch: int) -> int:
    """Return how many requests a bounded queue may hold, with those that idle servers will take."""
    return capacity + idle_servers * max_batch


@in_place
def steps_to_boundary(began_ns: int, now_ns: int, step_ns: int) -> int:
    """Return after how many steps of a run its next iteration boundary comes, at least one."""
    return max(1, (now_ns - began_ns + step_ns - 1) // step_ns)
