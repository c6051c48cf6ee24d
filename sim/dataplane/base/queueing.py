"""Queueing rules: when batches start, and which requests are served first, dropped or shed.

Both data planes call these functions, so that each rule is implemented once.
`docs/concepts/data_planes.md` lists the rules and their functions. Times are int64 nanoseconds.
"""

from scenarios.cluster import DISCIPLINES, EDF, PRIORITY
from scenarios.compiled import in_place

BY_DEADLINE, BY_PRIORITY = DISCIPLINES.index(EDF), DISCIPLINES.index(PRIORITY)


@in_place
def rank(discipline: int, entered_ns: int, deadline_ns: int, priority: int) -> int:
    """Return a request's rank in a queue; ``discipline`` is an index into ``DISCIPLINES``.

    The request with the least rank is served first. Requests of equal rank are sorted by (arrival
    at the station, query, request, leg).
    """
    if discipline == BY_DEADLINE:
        return deadline_ns
    if discipline == BY_PRIORITY:
        return priority
    return 0


@in_place
def is_late(deadline_ns: int, now_ns: int) -> bool:
    """Return whether a request is late now; if so, a station that sheds drops it unserved."""
    return deadline_ns <= now_ns


@in_place
def batch_ready_ns(first_ns: int, filled_ns: int, max_wait_ns: int) -> int:
    """Return the time at which a free server can start a batch, which is full or has waited.

    The first member, which arrived at ``first_ns``, waits for at most ``max_wait_ns``.
    ``filled_ns`` is the time at which the batch became full, or ``NEVER``.
    """
    return min(filled_ns, first_ns + max_wait_ns)


@in_place
def room(capacity: int, idle_servers: int, max_batch: int) -> int:
    """Return a queue's greatest allowed length, including what idle servers take at once."""
    return capacity + idle_servers * max_batch


@in_place
def steps_to_boundary(began_ns: int, now_ns: int, step_ns: int) -> int:
    """Return how many steps, at least 1, a run will have completed when its current step ends."""
    return max(1, (now_ns - began_ns + step_ns - 1) // step_ns)
