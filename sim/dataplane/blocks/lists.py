"""Chained lists of requests (``PlaneTables.chain``), their order, and the ends of requests.

A stop takes requests by (arrival there, query, number, leg).
"""

from scenarios.compiled import in_place, inlined
from scenarios.numerics import Ints
from sim._jit.hints import AHEAD, index, prefetch
from sim._jit.radix import MOST_BITS, radix_sort, value_range
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.request_rows import DEPLOYMENT, ENDED, NUMBER, OUTCOME, QUERY, VISIT
from sim.dataplane.blocks import tables as tb
from sim.dataplane.blocks.tables import NONE, PlaneTables

MOVES = 8  # moves per request after which insertion sort gives up
DIGIT_BITS = 8  # bits of each digit if the leading digit is not enough


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
    """Keep a request in service beyond the sync point; ``times`` already has its departure."""
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
    t.ended[index(counts[tb.ENDED_COUNT])] = slot
    counts[tb.ENDED_COUNT] += 1


@inlined
def fetch_next(t: PlaneTables, slots: Ints, i: int, n: int) -> None:
    """Prefetch the parts of rows that stops will read soon, from the ``i``-th of ``n`` on."""
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
        end(t, slot, tb.IS_LOST, t.times[slot])


@inlined
def drop_behind(t: PlaneTables, station: int, room: int, now_ns: int) -> None:
    """Drop the last requests of a queue until the rest has room."""
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
            end(t, slot, tb.IS_DROPPED, now_ns)
            slot = following


# The order of requests


@in_place
def before(rows: Ints, time_a: int, a: int, time_b: int, b: int) -> bool:
    """Return whether row ``a``, which arrives at ``time_a``, comes before row ``b``."""
    if time_a != time_b:
        return time_a < time_b
    if rows[a, QUERY] != rows[b, QUERY]:
        return bool(rows[a, QUERY] < rows[b, QUERY])
    if rows[a, NUMBER] != rows[b, NUMBER]:
        return bool(rows[a, NUMBER] < rows[b, NUMBER])
    return bool(rows[a, VISIT] < rows[b, VISIT])  # Visits of a route are numbered leg by leg.


@in_place
def sort_slots(rows: Ints, keys: Ints, slots: Ints, n: int) -> None:
    """Sort ``slots[:n]`` by their times ``keys[:n]``, equal times by query and number.

    Half of ``slots`` and as many keys are scratch space; counts follow behind in ``keys``.
    """
    descents = 0
    for i in range(1, n):
        descents += keys[i] < keys[i - 1]
    if descents * MOVES > n or _insert(rows, keys, slots, n, MOVES * n) > MOVES * n:
        least, most = value_range(keys, n)
        bits, shift = 1, 0
        while n >> bits > 0 and bits < MOST_BITS:
            bits += 1
        while (most - least) >> shift >> bits > 0:
            shift += 1
        radix_sort(keys, slots, n, least, most, shift, bits)
        if _insert(rows, keys, slots, n, MOVES * n) > MOVES * n:
            radix_sort(keys, slots, n, least, most, 0, DIGIT_BITS)
            _insert(rows, keys, slots, n, NEVER)


@in_place
def _insert(rows: Ints, keys: Ints, slots: Ints, n: int, most: int) -> int:
    """Sort by insertion, which is fast if little is out of order; give up after some moves."""
    moves = 0
    for i in range(1, n):
        key = keys[i]
        if keys[i - 1] < key:
            continue
        slot, j = index(slots[i]), i - 1
        while j >= 0 and before(rows, key, slot, keys[index(j)], index(slots[index(j)])):
            keys[index(j + 1)], slots[index(j + 1)] = keys[index(j)], slots[index(j)]
            j -= 1
        keys[index(j + 1)], slots[index(j + 1)] = key, slot
        moves += i - 1 - j
        if moves > most:
            break
    return moves
