"""Radix sort of integer keys, least significant digit first (Knuth, TAOCP 3, 5.2.5, algorithm R).

It needs no memory of its own, which compiled code without reference counts cannot allocate. With a
shell sort in its place, the data plane alone takes 1.6 times as long (see
``benchmarks/without.py``).
"""

from scenarios.compiled import in_place, inlined
from scenarios.numerics import Ints
from sim._jit.hints import index

MOST_BITS = 13  # most bits of a digit; each value of a digit needs one count


@inlined
def value_range(keys: Ints, n: int) -> tuple[int, int]:
    """Return the least and the largest of ``keys[:n]``."""
    least, most = keys[0], keys[0]
    for i in range(1, n):
        least, most = min(least, keys[i]), max(most, keys[i])
    return least, most


@in_place
def radix_sort(
    keys: Ints, values: Ints, n: int, least: int, most: int, shift: int, bits: int
) -> None:
    """Sort ``keys[:n]``, with ``values[:n]``, by all but the last ``shift`` bits of the keys.

    The sort is stable. Half of ``values`` and as many keys are scratch space; counts of digits
    follow behind in ``keys``.
    """
    half = len(values) // 2
    source, target = 0, half
    while (most - least) >> shift > 0:
        _move_by_digit(keys, values, n, source, target, least, shift, bits)
        source, target = target, source
        shift += bits
    if source > 0:
        for i in range(n):
            keys[i], values[i] = keys[half + i], values[half + i]


@inlined
def _move_by_digit(
    keys: Ints, values: Ints, n: int, source: int, target: int, least: int, shift: int, bits: int
) -> None:
    """Move ``n`` keys from one place to another in order of one digit: a counting sort."""
    counts, digits = keys[2 * (len(values) // 2) :], 1 << bits
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
        keys[j], values[j] = key, values[index(source + i)]
