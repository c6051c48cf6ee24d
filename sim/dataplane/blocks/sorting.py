"""Requests in the order in which a stop takes them: (arrival there, query, number, leg)."""

from scenarios.compiled import in_place, inlined
from sim._jit.hints import index
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.request_rows import NUMBER, QUERY, VISIT
from sim.dataplane.blocks.tables import Ints

MOVES = 8  # moves per request after which sorting by insertion is given up
MOST_BITS = 13
"""Most bits of the first digit, by which rows are put near their places: as many digits as rows."""
RADIX_BITS = 8  # bits of each digit where that is not enough


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
    """Sort ``slots[:n]`` by their times ``keys[:n]``, and those of one time by query and number.

    ``keys`` has room for counts behind twice as many as rows, ``slots`` to work in its second half.
    """
    descents = 0
    for i in range(1, n):
        descents += keys[i] < keys[i - 1]
    if descents * MOVES > n or _insert(rows, keys, slots, n, MOVES * n) > MOVES * n:
        least, most = _range(keys, n)
        bits, shift = 1, 0
        while n >> bits > 0 and bits < MOST_BITS:
            bits += 1
        while (most - least) >> shift >> bits > 0:
            shift += 1
        _radix(keys, slots, n, least, most, shift, bits)
        if _insert(rows, keys, slots, n, MOVES * n) > MOVES * n:
            _radix(keys, slots, n, least, most, 0, RADIX_BITS)
            _insert(rows, keys, slots, n, NEVER)


@in_place
def _insert(rows: Ints, keys: Ints, slots: Ints, n: int, most: int) -> int:
    """Sort by insertion, which is quick where little is out of order; give up after some moves."""
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


@inlined
def _range(keys: Ints, n: int) -> tuple[int, int]:
    least, most = keys[0], keys[0]
    for i in range(1, n):
        least, most = min(least, keys[i]), max(most, keys[i])
    return least, most


@in_place
def _radix(keys: Ints, slots: Ints, n: int, least: int, most: int, shift: int, bits: int) -> None:
    """Sort by time alone, without its last ``shift`` bits, keeping the order of equals."""
    half = len(slots) // 2
    source, target = 0, half
    while (most - least) >> shift > 0:
        _move_by_digit(keys, slots, n, source, target, least, shift, bits)
        source, target = target, source
        shift += bits
    if source > 0:
        for i in range(n):
            keys[i], slots[i] = keys[half + i], slots[half + i]


@inlined
def _move_by_digit(
    keys: Ints, slots: Ints, n: int, source: int, target: int, least: int, shift: int, bits: int
) -> None:
    """Move ``n`` rows from one place to another, in the order of one digit of their times."""
    counts, digits = keys[2 * (len(slots) // 2) :], 1 << bits
    for digit in range(digits):
        counts[digit] = 0
    for i in range(n):
        counts[index(((keys[index(source + i)] - least) >> shift) & (digits - 1))] += 1
    total = 0
    for digit in range(digits):
        counts[digit], total = total, total + counts[digit]
    for i in range(n):
        key = keys[index(source + i)]
        digit = index(((key - least) >> shift) & (digits - 1))
        j = index(target + counts[digit])
        counts[digit] += 1
        keys[j], slots[j] = key, slots[index(source + i)]
