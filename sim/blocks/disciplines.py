"""Queues by deadline or by class, and those that shed, taken through a block event by event.

A request's *rank* is what its queue's discipline goes by, the least first; requests of one rank
are ordered by (arrival, query, number). Between two cuts such a queue is a binary heap, whose rows
are in the second half of ``slots`` and whose ranks are in ``keys``; at a cut it is kept as the list
of those that wait, in the order of the heap.
"""

from scenarios.cluster import DISCIPLINES, EDF, PRIORITY
from scenarios.compiled import in_place, inlined
from sim.blocks.lists import end, gather, lose_arrivals, wait
from sim.blocks.sorting import before
from sim.blocks.stops import release, room_at, serve_batch
from sim.blocks.tables import IS_DROPPED, IS_SHED, NONE, Tables
from sim.request_rows import ALLOWANCE, ARRIVAL, AT, DEPLOYMENT, NEXT
from sim.work import NEVER, deadline_ns

BY_DEADLINE, BY_PRIORITY = DISCIPLINES.index(EDF), DISCIPLINES.index(PRIORITY)


@inlined
def deadline_of(t: Tables, slot: int) -> int:
    """Return by when a request is to be done."""
    terms = t.terms[t.rows[slot, DEPLOYMENT]]
    return int(deadline_ns(t.rows[slot, ARRIVAL], terms.bound_ns, t.rows_f[slot, ALLOWANCE]))


@inlined
def rank_of(t: Tables, station: int, slot: int) -> int:
    """Return what the order of a request in a station's queue goes by."""
    discipline = t.stops[station].discipline
    rank = 0
    if discipline == BY_DEADLINE:
        rank = deadline_of(t, slot)
    elif discipline == BY_PRIORITY:
        rank = t.terms[t.rows[slot, DEPLOYMENT]].priority
    return rank


@inlined
def sheds(t: Tables, station: int, slot: int, now_ns: int) -> bool:
    """Tell whether a station sheds a request that a server would take now."""
    return bool(t.stops[station].shed_late) and deadline_of(t, slot) <= now_ns


@inlined
def goes_first(t: Tables, rank_a: int, a: int, rank_b: int, b: int) -> bool:
    """Tell whether row ``a``, of a rank, is served before row ``b``."""
    if rank_a != rank_b:
        return rank_a < rank_b
    return bool(before(t.rows, t.rows[a, AT], a, t.rows[b, AT], b))


# Queues kept in order, for stations of language models, to which few requests come


@in_place
def wait_by_rank(t: Tables, station: int, slot: int) -> None:
    """Put a request, which arrives last, in its place in a station's queue."""
    rows, stops = t.rows, t.stops
    rank, last = rank_of(t, station, slot), stops[station].waiting_last
    if last == NONE or rank_of(t, station, last) <= rank:
        wait(rows, stops, station, slot)
        return
    ahead, following = NONE, stops[station].waiting_first
    while rank_of(t, station, following) <= rank:
        ahead, following = following, rows[following, NEXT]
    rows[slot, NEXT] = following
    if ahead == NONE:
        stops[station].waiting_first = slot
    else:
        rows[ahead, NEXT] = slot
    stops[station].waiting += 1


# Queues as heaps, for all others


@in_place
def take_ranked(t: Tables, station: int, until_ns: int) -> None:
    """Let a station whose queue is by deadline or by class, or sheds, serve up to the cut."""
    rows, stops = t.rows, t.stops
    release(t, station, until_ns)
    n = gather(rows, stops, t.keys, t.slots, station, until_ns)
    if stops[station].failed:
        lose_arrivals(t, n)
        return
    if n == 0 and stops[station].waiting == 0:
        return
    _take_up(t, station)
    i, now_ns = 0, 0
    while True:
        start_ns = max(now_ns, _next_start_ns(t, station))
        if i < n and rows[t.slots[i], AT] <= start_ns:
            now_ns = rows[t.slots[i], AT]
            while i < n and rows[t.slots[i], AT] == now_ns:
                _push(t, station, t.slots[i])
                i += 1
            if stops[station].capacity != NONE:
                room = room_at(t, station, now_ns)
                while stops[station].waiting > room:
                    slot = _take_last(t, station)
                    end(rows, t.flights, t.ended, t.counts, slot, IS_DROPPED, now_ns)
        elif start_ns < until_ns:
            now_ns = start_ns
            _serve_first(t, station, start_ns, until_ns)
        else:
            break
    _put_down(t, station)


@in_place
def _next_start_ns(t: Tables, station: int) -> int:
    """Return from when on a server can take a batch of those that wait; NEVER if none wait.

    A batch that is not full begins when the one that came first has waited long enough.
    """
    stops, half = t.stops, len(t.slots) // 2
    waiting = stops[station].waiting
    if waiting == 0:
        return NEVER
    freed_ns = stops[station].free_ns
    if stops[station].servers > 1:
        freed_ns = t.servers[stops[station].servers_at]
    if waiting >= stops[station].max_batch:
        return int(freed_ns)
    first_ns = NEVER
    for i in range(half, half + waiting):
        first_ns = min(first_ns, t.rows[t.slots[i], AT])
    return int(max(freed_ns, first_ns + stops[station].max_wait_ns))


@in_place
def _serve_first(t: Tables, station: int, start_ns: int, until_ns: int) -> None:
    """Let the server that has been free longest take the first of the queue that are not shed."""
    stops = t.stops
    # Each that is taken leaves a place at the end of the heap: there the batch grows downwards.
    first = last = len(t.slots) // 2 + stops[station].waiting
    while stops[station].waiting > 0 and last - first < stops[station].max_batch:
        slot = _take_first(t, station)
        if sheds(t, station, slot, start_ns):
            end(t.rows, t.flights, t.ended, t.counts, slot, IS_SHED, start_ns)
        else:
            first -= 1
            t.slots[first] = slot
    if first < last:
        serve_batch(t, station, first, last - first, start_ns, until_ns)


# The heap


@in_place
def _take_up(t: Tables, station: int) -> None:
    """Make the list of those that wait a heap."""
    slot = t.stops[station].waiting_first
    t.stops[station].waiting = 0
    while slot != NONE:
        _push(t, station, slot)
        slot = t.rows[slot, NEXT]


@in_place
def _put_down(t: Tables, station: int) -> None:
    """Make the heap the list of those that wait."""
    stops, half = t.stops, len(t.slots) // 2
    count = stops[station].waiting
    stops[station].waiting_first = stops[station].waiting_last = NONE
    stops[station].waiting = 0
    for i in range(half, half + count):
        wait(t.rows, stops, station, t.slots[i])


@in_place
def _push(t: Tables, station: int, slot: int) -> None:
    """Put a request into the heap."""
    at = t.stops[station].waiting
    t.stops[station].waiting += 1
    _rise(t, at, rank_of(t, station, slot), slot)


@in_place
def _rise(t: Tables, at: int, rank: int, slot: int) -> None:
    """Put a request at a place of the heap that is empty, or above it."""
    ranks, slots, half = t.keys, t.slots, len(t.slots) // 2
    while at > 0:
        above = (at - 1) // 2
        if not goes_first(t, rank, slot, ranks[above], slots[half + above]):
            break
        ranks[at], slots[half + at] = ranks[above], slots[half + above]
        at = above
    ranks[at], slots[half + at] = rank, slot


@in_place
def _take_first(t: Tables, station: int) -> int:
    """Take the request out of the heap that is served first."""
    ranks, slots, half = t.keys, t.slots, len(t.slots) // 2
    first = int(slots[half])
    t.stops[station].waiting -= 1
    count = t.stops[station].waiting
    rank, slot = ranks[count], slots[half + count]
    at = 0
    while 2 * at + 1 < count:
        below = 2 * at + 1
        if below + 1 < count and goes_first(
            t, ranks[below + 1], slots[half + below + 1], ranks[below], slots[half + below]
        ):
            below += 1
        if not goes_first(t, ranks[below], slots[half + below], rank, slot):
            break
        ranks[at], slots[half + at] = ranks[below], slots[half + below]
        at = below
    ranks[at], slots[half + at] = rank, slot
    return first


@in_place
def _take_last(t: Tables, station: int) -> int:
    """Take the request out of the heap that would be served last."""
    ranks, slots, half = t.keys, t.slots, len(t.slots) // 2
    t.stops[station].waiting -= 1
    count = t.stops[station].waiting
    worst = 0
    for i in range(1, count + 1):
        if goes_first(t, ranks[worst], slots[half + worst], ranks[i], slots[half + i]):
            worst = i
    slot = int(slots[half + worst])
    if worst < count:  # It has nothing below it, so that what takes its place can only rise.
        _rise(t, worst, ranks[count], slots[half + count])
    return slot
