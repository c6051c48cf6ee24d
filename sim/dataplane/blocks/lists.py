"""Lists of requests, chained by ``PlaneTables.chain``, and their ends."""

from scenarios.compiled import inlined
from sim._jit.hints import AHEAD, index, prefetch
from sim.dataplane.base.request_rows import DEPLOYMENT, ENDED, OUTCOME, VISIT
from sim.dataplane.blocks.sorting import before, sort_slots
from sim.dataplane.blocks.tables import ENDED_COUNT, IS_DROPPED, IS_LOST, NONE, Ints, PlaneTables


@inlined
def push(t: PlaneTables, stop: int, slot: int, at_ns: int) -> None:
    """Let a request arrive at a stop, now or later."""
    stops, times, chain = t.stops, t.times, t.chain
    times[slot] = at_ns
    chain[slot] = NONE
    tail = stops[stop].arriving_last
    if tail == NONE:
        stops[stop].arriving_first = slot
        stops[stop].in_order = 1
    else:
        tail = index(tail)
        if stops[stop].in_order and before(t.rows, at_ns, slot, times[tail], tail):
            stops[stop].in_order = 0
        chain[tail] = slot
    stops[stop].arriving_last = slot


@inlined
def wait(t: PlaneTables, stop: int, slot: int) -> None:
    """Put a request at the end of a station's queue."""
    stops, chain = t.stops, t.chain
    chain[slot] = NONE
    tail = stops[stop].waiting_last
    if tail == NONE:
        stops[stop].waiting_first = slot
    else:
        chain[index(tail)] = slot
    stops[stop].waiting_last = slot
    stops[stop].waiting += 1


@inlined
def stay(t: PlaneTables, stop: int, slot: int) -> None:
    """Keep a request in service beyond the sync point; ``times`` says already when it leaves."""
    stops, chain = t.stops, t.chain
    chain[slot] = NONE
    tail = stops[stop].serving_last
    if tail == NONE:
        stops[stop].serving_first = slot
    else:
        chain[index(tail)] = slot
    stops[stop].serving_last = slot


@inlined
def end(t: PlaneTables, slot: int, outcome: int, at_ns: int) -> None:
    """End a request."""
    rows, counts = t.rows, t.counts
    rows[slot, OUTCOME] = outcome
    rows[slot, ENDED] = at_ns
    t.flights[index(rows[slot, DEPLOYMENT])] -= 1
    t.ended[index(counts[ENDED_COUNT])] = slot
    counts[ENDED_COUNT] += 1


@inlined
def fetch_next(t: PlaneTables, slots: Ints, i: int, n: int) -> None:
    """Begin to fetch what stops will read of rows soon, from the ``i``-th on of ``n``."""
    if i + AHEAD < n:
        prefetch(t.rows, index(slots[i + AHEAD]), VISIT)
    if i + AHEAD // 2 < n:
        slot = index(slots[i + AHEAD // 2])
        prefetch(t.rows, slot, index(t.visits[index(t.rows[slot, VISIT])].column))


@inlined
def gather(t: PlaneTables, stop: int, until_ns: int) -> int:
    """Move a stop's arrivals before a sync point into ``slots``, in order; return how many."""
    stops, times, chain, keys, slots = t.stops, t.times, t.chain, t.keys, t.slots
    n, slot = 0, stops[stop].arriving_first
    if stops[stop].in_order:
        while slot != NONE and times[index(slot)] < until_ns:
            slots[n] = slot
            n += 1
            slot = chain[index(slot)]
        stops[stop].arriving_first = slot
        if slot == NONE:
            stops[stop].arriving_last = NONE
        return n
    stops[stop].arriving_first = stops[stop].arriving_last = NONE
    stops[stop].in_order = 1
    while slot != NONE:
        slot = index(slot)
        following, at_ns = chain[slot], times[slot]
        if at_ns < until_ns:
            keys[n], slots[n] = at_ns, slot
            n += 1
        else:
            push(t, stop, slot, at_ns)
        slot = following
    sort_slots(t.rows, keys, slots, n)
    return n


@inlined
def lose_arrivals(t: PlaneTables, n: int) -> None:
    """Lose the first ``n`` of ``slots``, each as it arrives at a station that has failed."""
    for i in range(n):
        slot = t.slots[i]
        end(t, slot, IS_LOST, t.times[slot])


@inlined
def drop_behind(t: PlaneTables, station: int, room: int, now_ns: int) -> None:
    """Drop the last of a queue, all but as many as there is room for."""
    stops = t.stops
    if stops[station].waiting > room:
        slot, last = stops[station].waiting_first, NONE
        for _ in range(room):
            last, slot = slot, t.chain[slot]
        stops[station].waiting, stops[station].waiting_last = room, last
        if last == NONE:
            stops[station].waiting_first = NONE
        else:
            t.chain[last] = NONE
        while slot != NONE:
            following = t.chain[slot]
            end(t, slot, IS_DROPPED, now_ns)
            slot = following
