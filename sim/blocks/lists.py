"""Lists of requests, chained through their rows, and their ends."""

from scenarios.compiled import inlined
from sim.blocks.sorting import before, sort_slots
from sim.blocks.tables import ENDED_COUNT, IS_DROPPED, IS_LOST, NONE, Ints, Records, Tables
from sim.request_rows import AT, DEPLOYMENT, ENDED, NEXT, OUTCOME


@inlined
def push(rows: Ints, stops: Records, stop: int, slot: int, at_ns: int) -> None:
    """Let a request arrive at a stop, now or later."""
    rows[slot, AT] = at_ns
    rows[slot, NEXT] = NONE
    tail = stops[stop].arriving_last
    if tail == NONE:
        stops[stop].arriving_first = slot
        stops[stop].in_order = 1
    else:
        if before(rows, at_ns, slot, rows[tail, AT], tail):
            stops[stop].in_order = 0
        rows[tail, NEXT] = slot
    stops[stop].arriving_last = slot


@inlined
def wait(rows: Ints, stops: Records, stop: int, slot: int) -> None:
    """Put a request at the end of a station's queue."""
    rows[slot, NEXT] = NONE
    tail = stops[stop].waiting_last
    if tail == NONE:
        stops[stop].waiting_first = slot
    else:
        rows[tail, NEXT] = slot
    stops[stop].waiting_last = slot
    stops[stop].waiting += 1


@inlined
def stay(rows: Ints, stops: Records, stop: int, slot: int) -> None:
    """Keep a request in service beyond the cut; ``AT`` is when it leaves."""
    rows[slot, NEXT] = NONE
    tail = stops[stop].serving_last
    if tail == NONE:
        stops[stop].serving_first = slot
    else:
        rows[tail, NEXT] = slot
    stops[stop].serving_last = slot


@inlined
def end(
    rows: Ints, flights: Ints, ended: Ints, counts: Ints, slot: int, outcome: int, at_ns: int
) -> None:
    """End a request."""
    rows[slot, OUTCOME] = outcome
    rows[slot, ENDED] = at_ns
    flights[rows[slot, DEPLOYMENT]] -= 1
    ended[counts[ENDED_COUNT]] = slot
    counts[ENDED_COUNT] += 1


@inlined
def gather(rows: Ints, stops: Records, keys: Ints, slots: Ints, stop: int, until_ns: int) -> int:
    """Move a stop's arrivals before a cut into ``slots``, in order; return how many."""
    n, slot = 0, stops[stop].arriving_first
    if stops[stop].in_order:
        while slot != NONE and rows[slot, AT] < until_ns:
            slots[n] = slot
            n += 1
            slot = rows[slot, NEXT]
        stops[stop].arriving_first = slot
        if slot == NONE:
            stops[stop].arriving_last = NONE
        return n
    stops[stop].arriving_first = stops[stop].arriving_last = NONE
    stops[stop].in_order = 1
    while slot != NONE:
        following = rows[slot, NEXT]
        if rows[slot, AT] < until_ns:
            keys[n], slots[n] = rows[slot, AT], slot
            n += 1
        else:
            push(rows, stops, stop, slot, rows[slot, AT])
        slot = following
    sort_slots(rows, keys, slots, n)
    return n


@inlined
def lose_arrivals(t: Tables, n: int) -> None:
    """Lose the first ``n`` of ``slots``, each as it arrives at a station that has failed."""
    for i in range(n):
        slot = t.slots[i]
        end(t.rows, t.flights, t.ended, t.counts, slot, IS_LOST, t.rows[slot, AT])


@inlined
def drop_behind(t: Tables, station: int, room: int, now_ns: int) -> None:
    """Drop the last of a queue, all but as many as there is room for."""
    rows, stops = t.rows, t.stops
    if stops[station].waiting > room:
        slot, last = stops[station].waiting_first, NONE
        for _ in range(room):
            last, slot = slot, rows[slot, NEXT]
        stops[station].waiting, stops[station].waiting_last = room, last
        if last == NONE:
            stops[station].waiting_first = NONE
        else:
            rows[last, NEXT] = NONE
        while slot != NONE:
            following = rows[slot, NEXT]
            end(rows, t.flights, t.ended, t.counts, slot, IS_DROPPED, now_ns)
            slot = following
