"""Linked lists of requests (``PlaneTables.chain``), sorting of requests, and their ends.

A stop handles requests in the order of (arrival there, query, number, leg). All lists are singly
linked by one shared array of next rows (Knuth, TAOCP 1, 2.2.3), so no memory is allocated when a
request moves.
"""

from scenarios.compiled import in_place, inlined
from scenarios.numerics import Ints
from sim._jit.hints import AHEAD, index, prefetch, prefetch_item
from sim._jit.radix import MOST_BITS, radix_sort, value_range
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.request_rows import DEPLOYMENT, ENDED, NUMBER, OUTCOME, QUERY, VISIT
from sim.dataplane.blocks import tables as tb
from sim.dataplane.blocks.tables import NONE, PlaneTables

MOVES = 8  # moves per request after which insertion sort stops
DIGIT_BITS = 8  # bits of each digit if the leading digit is not enough


@inlined
def push(t: PlaneTables, stop: int, row: int, at_ns: int) -> None:
    """Append a request that arrives at ``at_ns`` to a stop's arrivals; update ``in_order``."""
    stops, times, chain = t.stops, t.times, t.chain
    times[row] = at_ns
    chain[row] = NONE
    tail = stops[stop].arriving_last
    if tail == NONE:
        stops[stop].arriving_first = row
        stops[stop].in_order = 1
    else:
        tail = index(tail)
        if stops[stop].in_order and before(t.rows, at_ns, row, times[tail], tail):
            stops[stop].in_order = 0
        chain[tail] = row
    stops[stop].arriving_last = row


@inlined
def wait(t: PlaneTables, stop: int, row: int) -> None:
    """Append a request to a station's queue."""
    stops, chain = t.stops, t.chain
    chain[row] = NONE
    tail = stops[stop].waiting_last
    if tail == NONE:
        stops[stop].waiting_first = row
    else:
        chain[index(tail)] = row
    stops[stop].waiting_last = row
    stops[stop].waiting += 1


@inlined
def stay(t: PlaneTables, stop: int, row: int) -> None:
    """Append a request to those in service at the sync point, which depart at their ``times``."""
    stops, chain = t.stops, t.chain
    chain[row] = NONE
    tail = stops[stop].serving_last
    if tail == NONE:
        stops[stop].serving_first = row
    else:
        chain[index(tail)] = row
    stops[stop].serving_last = row


@inlined
def end(t: PlaneTables, row: int, outcome: int, at_ns: int) -> None:
    """End a request: set its outcome and time, and queue its row to be reported."""
    rows, counts = t.rows, t.counts
    rows[row, OUTCOME] = outcome
    rows[row, ENDED] = at_ns
    t.flights[index(rows[row, DEPLOYMENT])] -= 1
    t.ended[index(counts[tb.ENDED_COUNT])] = row
    counts[tb.ENDED_COUNT] += 1


@inlined
def fetch_next(t: PlaneTables, row_ids: Ints, i: int, n: int) -> None:
    """Prefetch the data of rows after the ``i``-th of ``n`` rows, as software pipelining does."""
    if i + AHEAD < n:
        prefetch(t.rows, index(row_ids[i + AHEAD]), VISIT)
    if i + AHEAD // 2 < n:  # By now, the visit, which gives the operator's columns, is cached.
        row = index(row_ids[i + AHEAD // 2])
        prefetch(t.rows, row, index(t.visits[index(t.rows[row, VISIT])].column))


@inlined
def fetch_stops(t: PlaneTables, row: int) -> None:
    """Prefetch a row's columns for its visit, which must be cached, and this and the next stop."""
    visit = index(t.rows[row, VISIT])
    prefetch(t.rows, row, index(t.visits[visit].column))
    for at in range(visit, visit + 2):
        if t.visits[at].stop == NONE:
            break
        prefetch_item(t.stops, index(t.visits[at].stop))


@inlined
def gather(t: PlaneTables, stop: int, until_ns: int) -> int:
    """Move a stop's arrivals before the sync point to ``row_ids``, sorted; return their number."""
    stops, times, chain, keys, row_ids = t.stops, t.times, t.chain, t.keys, t.row_ids
    n, row = 0, stops[stop].arriving_first
    if stops[stop].in_order:
        while row != NONE and times[index(row)] < until_ns:
            row_ids[n] = row
            n += 1
            row = chain[index(row)]
        stops[stop].arriving_first = row
        if row == NONE:
            stops[stop].arriving_last = NONE
        return n
    stops[stop].arriving_first = stops[stop].arriving_last = NONE
    stops[stop].in_order = 1
    while row != NONE:
        row = index(row)
        following, at_ns = chain[row], times[row]
        if at_ns < until_ns:
            keys[n], row_ids[n] = at_ns, row
            n += 1
        else:
            push(t, stop, row, at_ns)
        row = following
    sort_rows(t.rows, keys, row_ids, n)
    return n


@inlined
def lose_arrivals(t: PlaneTables, n: int) -> None:
    """Lose the first ``n`` requests of ``row_ids`` when they arrive at a failed station."""
    for i in range(n):
        row = t.row_ids[i]
        end(t, row, tb.IS_LOST, t.times[row])


@inlined
def drop_behind(t: PlaneTables, station: int, room: int, now_ns: int) -> None:
    """Drop all but the first ``room`` requests of a queue that is a list (drop tail)."""
    stops = t.stops
    if stops[station].waiting > room:
        row, last = stops[station].waiting_first, NONE
        for _ in range(room):
            last, row = row, t.chain[row]
        stops[station].waiting, stops[station].waiting_last = room, last
        if last == NONE:
            stops[station].waiting_first = NONE
        else:
            t.chain[last] = NONE
        while row != NONE:
            following = t.chain[row]
            end(t, row, tb.IS_DROPPED, now_ns)
            row = following


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
def sort_rows(rows: Ints, keys: Ints, row_ids: Ints, n: int) -> None:
    """Sort ``row_ids[:n]`` by the times ``keys[:n]`` in ns, then by query, number and leg.

    Insertion sort (Knuth, TAOCP 3, 5.2.1, algorithm S) takes O(n) if few elements are out of order.
    If it needs too many moves, it stops and is repeated after a radix sort by the leading digit. If
    it stops again, it is repeated after a radix sort by all digits. The second half of ``row_ids``
    and as many elements of ``keys`` are scratch space. In ``keys``, it is followed by the counts of
    digits.
    """
    descents = 0
    for i in range(1, n):
        descents += keys[i] < keys[i - 1]
    if descents * MOVES > n or _insert(rows, keys, row_ids, n, MOVES * n) > MOVES * n:
        # About log2(n) bits from the top: about one key to a value if times are even.
        least, most = value_range(keys, n)
        bits, shift = 1, 0
        while n >> bits > 0:
            bits += 1
        while (most - least) >> shift >> bits > 0:
            shift += 1
        radix_sort(keys, row_ids, n, least, most, shift, _digit(bits))
        if _insert(rows, keys, row_ids, n, MOVES * n) > MOVES * n:
            radix_sort(keys, row_ids, n, least, most, 0, DIGIT_BITS)
            _insert(rows, keys, row_ids, n, NEVER)


@in_place
def sort_by_key(keys: Ints, row_ids: Ints, n: int) -> None:
    """Sort ``row_ids[:n]`` by the integers ``keys[:n]``; rows of equal keys keep their order."""
    if n > 0:
        least, most = value_range(keys, n)
        bits = 1
        while (most - least) >> bits > 0:
            bits += 1
        radix_sort(keys, row_ids, n, least, most, 0, _digit(bits))


@inlined
def _digit(bits: int) -> int:
    """Return the number of bits of each digit, if keys with ``bits`` bits have few digits."""
    digits = (bits + MOST_BITS - 1) // MOST_BITS
    return (bits + digits - 1) // digits


@in_place
def _insert(rows: Ints, keys: Ints, row_ids: Ints, n: int, most: int) -> int:
    """Sort by insertion until more than ``most`` moves were made; return the number of moves."""
    moves = 0
    for i in range(1, n):
        key = keys[i]
        if keys[i - 1] < key:
            continue
        row, j = index(row_ids[i]), i - 1
        while j >= 0 and before(rows, key, row, keys[index(j)], index(row_ids[index(j)])):
            keys[index(j + 1)], row_ids[index(j + 1)] = keys[index(j)], row_ids[index(j)]
            j -= 1
        keys[index(j + 1)], row_ids[index(j + 1)] = key, row
        moves += i - 1 - j
        if moves > most:
            break
    return moves
