"""Requests in the order in which a stop takes them: (arrival there, query, number, leg)."""

from scenarios.compiled import in_place
from sim.blocks.tables import Ints
from sim.request_rows import NUMBER, QUERY, VISIT
from sim.work import NEVER

MOVES = 8
"""Moves per request after which sorting by insertion is given up."""
MANY = 2048


@in_place
def before(rows: Ints, time_a: int, a: int, time_b: int, b: int) -> bool:
    """Tell whether row ``a``, which arrives at ``time_a``, comes before row ``b``."""
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

    Args:
        rows: requests.
        keys: times; behind twice as many as rows, there is room for counts.
        slots: rows; the second half of the array is room to work in.
        n: how many.
    """
    descents = 0
    for i in range(1, n):
        descents += keys[i] < keys[i - 1]
    if descents * MOVES > n or _insert(rows, keys, slots, n, MOVES * n) > MOVES * n:
        _radix(keys, slots, n, 11 if n > MANY else 8)
        _insert(rows, keys, slots, n, NEVER)


@in_place
def _insert(rows: Ints, keys: Ints, slots: Ints, n: int, most: int) -> int:
    """Sort by insertion, which is quick where little is out of order; give up after some moves."""
    moves = 0
    for i in range(1, n):
        key, slot = keys[i], slots[i]
        j = i - 1
        while j >= 0 and before(rows, key, slot, keys[j], slots[j]):
            keys[j + 1], slots[j + 1] = keys[j], slots[j]
            j -= 1
        keys[j + 1], slots[j + 1] = key, slot
        moves += i - 1 - j
        if moves > most:
            break
    return moves


@in_place
def _radix(keys: Ints, slots: Ints, n: int, bits: int) -> None:
    """Sort by time alone, keeping the order of equals."""
    half = len(slots) // 2
    least, most = keys[0], keys[0]
    for i in range(1, n):
        least, most = min(least, keys[i]), max(most, keys[i])
    counts = keys[2 * half :]
    source, target, shift = 0, half, 0
    while (most - least) >> shift > 0:
        for digit in range(1 << bits):
            counts[digit] = 0
        for i in range(source, source + n):
            counts[((keys[i] - least) >> shift) & ((1 << bits) - 1)] += 1
        total = 0
        for digit in range(1 << bits):
            counts[digit], total = total, total + counts[digit]
        for i in range(source, source + n):
            digit = ((keys[i] - least) >> shift) & ((1 << bits) - 1)
            j = target + counts[digit]
            counts[digit] += 1
            keys[j], slots[j] = keys[i], slots[i]
        source, target = target, source
        shift += bits
    if source > 0:
        for i in range(n):
            keys[i], slots[i] = keys[half + i], slots[half + i]
