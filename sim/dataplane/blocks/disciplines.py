"""Queues by deadline or priority, bounded queues and queues that shed, simulated event by event.

The request with the least *rank* is first in a queue; equal ranks are sorted by (arrival, query,
number). A queue is a pairing heap of rows (Fredman, Sedgewick, Sleator and Tarjan, "The pairing
heap: a new form of self-adjusting heap", 1986). Insertion takes O(1), and removal of the first row
takes amortised O(log n). Each row refers to its first child, and the children of a row form a
chain. The heap is kept between sync points.
"""

from scenarios.compiled import in_place, inlined
from sim.dataplane.base.durations import NEVER, deadline_ns
from sim.dataplane.base.queueing import batch_ready_ns, is_late, rank, room
from sim.dataplane.base.request_rows import ALLOWANCE, ARRIVAL, DEPLOYMENT, ENDED, OUTCOME
from sim.dataplane.blocks.lists import before, end, gather, lose_arrivals, push, stay, wait
from sim.dataplane.blocks.stops import release, serve_batch
from sim.dataplane.blocks.tables import (
    FREE,
    GHOST,
    IS_DROPPED,
    IS_SHED,
    NONE,
    RANKED,
    SHARED_LINK,
    PlaneTables,
)


@inlined
def deadline_of(t: PlaneTables, row: int) -> int:
    """Return the deadline of a request."""
    terms = t.terms[t.rows[row, DEPLOYMENT]]
    return int(deadline_ns(t.rows[row, ARRIVAL], terms.bound_ns, t.rows_f[row, ALLOWANCE]))


@inlined
def rank_of(t: PlaneTables, station: int, row: int) -> int:
    """Return the rank of a request that waits at a station; ``t.times`` has its arrival there.

    The rank of a message on a shared link is the work that is left of it.
    """
    if t.stops[station].kind == SHARED_LINK:
        return int(t.jobs[row].left - t.stops[station].busy_ns)
    priority = t.terms[t.rows[row, DEPLOYMENT]].priority
    return rank(t.stops[station].discipline, t.times[row], deadline_of(t, row), priority)


@inlined
def sheds(t: PlaneTables, station: int, row: int, now_ns: int) -> bool:
    """Return whether a station sheds a request that it would otherwise serve now."""
    return bool(t.stops[station].shed_late) and is_late(deadline_of(t, row), now_ns)


@inlined
def goes_first(t: PlaneTables, station: int, a: int, b: int) -> bool:
    """Return whether row ``a`` is served before row ``b``."""
    rank_a, rank_b = rank_of(t, station, a), rank_of(t, station, b)
    if rank_a != rank_b:
        return bool(rank_a < rank_b)
    return bool(before(t.rows, t.times[a], a, t.times[b], b))


# Sorted queues, for stations of language models, which get few requests


@in_place
def wait_by_rank(t: PlaneTables, station: int, row: int) -> None:
    """Insert a new request into a station's sorted list of waiting requests; O(n)."""
    stops = t.stops
    rank, last = rank_of(t, station, row), stops[station].waiting_last
    if last == NONE or rank_of(t, station, last) <= rank:
        wait(t, station, row)
        return
    ahead, following = NONE, stops[station].waiting_first
    while rank_of(t, station, following) <= rank:
        ahead, following = following, t.chain[following]
    t.chain[row] = following
    if ahead == NONE:
        stops[station].waiting_first = row
    else:
        t.chain[ahead] = row
    stops[station].waiting += 1


# Heaps, for all other stations


@in_place
def take_ranked(t: PlaneTables, station: int, until_ns: int) -> None:
    """Simulate a station that ranks, drops or sheds requests, up to the sync point."""
    stops = t.stops
    release(t, station, until_ns)
    n = gather(t, station, until_ns)
    if stops[station].failed:
        lose_arrivals(t, n)
        return
    i, now_ns = 0, 0
    while True:
        start_ns = max(now_ns, _next_start_ns(t, station))
        if i < n and t.times[t.row_ids[i]] <= start_ns:
            now_ns = t.times[t.row_ids[i]]
            while i < n and t.times[t.row_ids[i]] == now_ns:
                put(t, station, t.row_ids[i])
                i += 1
            if stops[station].capacity != NONE:
                _drop_last(t, station, _room_at(t, station, now_ns), now_ns)
        elif start_ns < until_ns:
            now_ns = start_ns
            _serve_first(t, station, start_ns, until_ns)
        else:
            break


@in_place
def _next_start_ns(t: PlaneTables, station: int) -> int:
    """Return the time at which a server can take a batch of the waiting requests, or NEVER."""
    stops = t.stops
    if stops[station].waiting == 0:
        return NEVER
    freed_ns = stops[station].free_ns
    if stops[station].servers > 1:
        freed_ns = t.servers[stops[station].servers_at]
    if stops[station].waiting >= stops[station].max_batch:
        return int(freed_ns)
    # Look for the longest wait in the whole heap, which is ordered by rank: O(waiting).
    first_ns, at = NEVER, _spread(t, station)
    for i in range(at, at + stops[station].waiting):
        first_ns = min(first_ns, t.times[t.row_ids[i]])
    return int(max(freed_ns, batch_ready_ns(first_ns, NEVER, stops[station].max_wait_ns)))


@in_place
def _serve_first(t: PlaneTables, station: int, start_ns: int, until_ns: int) -> None:
    """Let the server that has been free longest take the first requests that are not shed."""
    stops, at, n = t.stops, len(t.row_ids) // 2, 0
    while stops[station].waiting > 0 and n < stops[station].max_batch:
        row = take_first(t, station)
        if sheds(t, station, row, start_ns):
            end(t, row, IS_SHED, start_ns)
        else:
            t.row_ids[at + n] = row
            n += 1
    if n > 0:
        serve_batch(t, station, at, n, start_ns, until_ns)


@inlined
def _room_at(t: PlaneTables, station: int, now_ns: int) -> int:
    """Return a queue's greatest allowed length, including what idle servers take at once."""
    stops = t.stops
    several, at = stops[station].servers, stops[station].servers_at
    idle = 0
    if several == 1:
        idle = 1 if stops[station].free_ns <= now_ns else 0
    else:
        for i in range(at, at + several):
            idle += t.servers[i] <= now_ns
    return int(room(stops[station].capacity, idle, stops[station].max_batch))


@in_place
def _drop_last(t: PlaneTables, station: int, most: int, now_ns: int) -> None:
    """Drop a queue's last requests until ``most`` are left, in O(waiting) per dropped request."""
    row_ids, left = t.row_ids, t.stops[station].waiting
    if left <= most:
        return
    at = _spread(t, station)
    while left > most:
        left -= 1
        for i in range(at, at + left):
            if goes_first(t, station, row_ids[at + left], row_ids[i]):
                row_ids[i], row_ids[at + left] = row_ids[at + left], row_ids[i]
        end(t, row_ids[at + left], IS_DROPPED, now_ns)
    t.stops[station].waiting, t.stops[station].waiting_first = 0, NONE
    for i in range(at, at + left):
        put(t, station, row_ids[i])


# The heap

BELOW = ENDED
"""Column of a request's first child in a heap. The column ``ENDED`` is otherwise unused until the
request ends."""


@in_place
def put(t: PlaneTables, station: int, row: int) -> None:
    """Insert a request into a station's heap in O(1)."""
    rows, stops = t.rows, t.stops
    rows[row, BELOW] = NONE
    first = _joined(t, station, stops[station].waiting_first, row)
    t.chain[first] = NONE
    stops[station].waiting_first = first
    stops[station].waiting += 1


@in_place
def lay_out(t: PlaneTables, station: int) -> None:
    """Turn a station's heap into an unsorted list of waiting requests."""
    stops, at = t.stops, _spread(t, station)
    count = stops[station].waiting
    stops[station].waiting_first = stops[station].waiting_last = NONE
    stops[station].waiting = 0
    for i in range(at, at + count):
        wait(t, station, t.row_ids[i])


@in_place
def _joined(t: PlaneTables, station: int, a: int, b: int) -> int:
    """Merge two heaps, the first of which can be NONE; return the root, which is served first."""
    if a == NONE:
        return b
    if goes_first(t, station, b, a):
        a, b = b, a
    t.chain[b] = t.rows[a, BELOW]
    t.rows[a, BELOW] = b
    return a


@in_place
def take_first(t: PlaneTables, station: int) -> int:
    """Remove and return the first request of a heap, in amortised O(log n).

    The children of the root are merged in two passes: first in pairs of neighbours, and then the
    results one by one, from last to first.
    """
    rows, stops = t.rows, t.stops
    taken = int(stops[station].waiting_first)
    pairs, row = NONE, rows[taken, BELOW]
    while row != NONE:
        pair, following = row, t.chain[row]
        if following != NONE:
            other, following = following, t.chain[following]
            pair = _joined(t, station, row, other)
        t.chain[pair] = pairs
        pairs, row = pair, following
    first = NONE
    while pairs != NONE:
        following = t.chain[pairs]
        first = _joined(t, station, first, pairs)
        pairs = following
    if first != NONE:
        t.chain[first] = NONE
    stops[station].waiting_first = first
    stops[station].waiting -= 1
    return taken


@in_place
def _spread(t: PlaneTables, station: int) -> int:
    """Copy a heap to the second half of ``row_ids``, breadth first; return the copy's index."""
    rows, row_ids, at = t.rows, t.row_ids, len(t.row_ids) // 2
    if t.stops[station].waiting > 0:
        row_ids[at] = t.stops[station].waiting_first
        count, i = 1, 0
        while i < count:
            row = rows[row_ids[at + i], BELOW]
            while row != NONE:
                row_ids[at + count] = row
                count += 1
                row = t.chain[row]
            i += 1
    return at


# Requests that the control plane removes from stops


@in_place
def take_off(t: PlaneTables, stop: int, deployment: int, outcome: int, at_ns: int) -> None:
    """End a deployment's requests at a stop, or all requests there if ``deployment`` is NONE.

    The servers stay busy until the planned ends of the requests that they were serving. Ghosts
    replace messages on a shared link, which keep their shares of it.
    """
    stops, shared = t.stops, t.stops[stop].kind == SHARED_LINK
    ranked = shared or t.stops[stop].kind == RANKED
    if ranked:
        lay_out(t, stop)
    arriving = NONE
    if deployment != NONE:
        arriving = stops[stop].arriving_first
        stops[stop].arriving_first = stops[stop].arriving_last = NONE
    lists = (arriving, stops[stop].waiting_first, stops[stop].serving_first)
    stops[stop].waiting_first = stops[stop].waiting_last = NONE
    stops[stop].serving_first = stops[stop].serving_last = NONE
    stops[stop].waiting = 0
    for i in range(3):
        row = lists[i]
        while row != NONE:
            following = t.chain[row]
            if deployment in (NONE, t.rows[row, DEPLOYMENT]):
                if shared and i == 1:
                    _leave_ghost(t, stop, row)
                end(t, row, outcome, at_ns)
            elif i == 0:
                push(t, stop, row, t.times[row])
            elif i == 1 and ranked:
                put(t, stop, row)
            elif i == 1:
                wait(t, stop, row)
            else:
                stay(t, stop, row)
            row = following


@inlined
def _leave_ghost(t: PlaneTables, link: int, row: int) -> None:
    """Put a free row in place of a message that a shared link still sends."""
    t.counts[FREE] -= 1
    ghost = t.free[t.counts[FREE]]
    t.rows[ghost, OUTCOME], t.rows[ghost, DEPLOYMENT] = GHOST, NONE
    t.jobs[ghost].left, t.times[ghost] = t.jobs[row].left, t.times[row]
    put(t, link, ghost)
