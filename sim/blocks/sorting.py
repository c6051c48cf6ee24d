"""Requests in the order in which a stop takes them: (arrival there, query, number)."""

import numpy as np

from sim.blocks.tables import Ints
from sim.compiled import compiled
from sim.request_rows import NUMBER, QUERY

FEW = 48
DIGIT = 11
DIGITS = 1 << DIGIT


@compiled
def before(rows: Ints, time_a: int, a: int, time_b: int, b: int) -> bool:
    """Tell whether row ``a``, which arrives at ``time_a``, comes before row ``b``."""
    if time_a != time_b:
        return time_a < time_b
    if rows[a, QUERY] != rows[b, QUERY]:
        return rows[a, QUERY] < rows[b, QUERY]
    return rows[a, NUMBER] < rows[b, NUMBER]


@compiled
def sort_slots(rows: Ints, keys: Ints, slots: Ints, n: int) -> None:
    """Sort ``slots[:n]`` by their times ``keys[:n]``, and those of one time by query and number.

    Args:
        rows: requests.
        keys: times; the second half of the array is room to work in.
        slots: rows; the second half of the array is room to work in.
        n: how many.
    """
    if n > FEW:
        _radix(keys, slots, n)
    for i in range(1, n):
        key, slot = keys[i], slots[i]
        j = i - 1
        while j >= 0 and before(rows, key, slot, keys[j], slots[j]):
            keys[j + 1], slots[j + 1] = keys[j], slots[j]
            j -= 1
        keys[j + 1], slots[j + 1] = key, slot


@compiled
def _radix(keys: Ints, slots: Ints, n: int) -> None:
    """Sort by time alone, keeping the order of equals."""
    half = len(keys) // 2
    least, most = keys[0], keys[0]
    for i in range(1, n):
        least, most = min(least, keys[i]), max(most, keys[i])
    counts = np.empty(DIGITS, dtype=np.int64)
    source, target, shift = 0, half, 0
    while (most - least) >> shift > 0:
        counts[:] = 0
        for i in range(source, source + n):
            counts[((keys[i] - least) >> shift) & (DIGITS - 1)] += 1
        total = 0
        for digit in range(DIGITS):
            counts[digit], total = total, total + counts[digit]
        for i in range(source, source + n):
            digit = ((keys[i] - least) >> shift) & (DIGITS - 1)
            j = target + counts[digit]
            counts[digit] += 1
            keys[j], slots[j] = keys[i], slots[i]
        source, target = target, source
        shift += DIGIT
    if source > 0:
        for i in range(n):
            keys[i], slots[i] = keys[half + i], slots[half + i]
