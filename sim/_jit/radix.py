"""Radix sort of integer keys, beginning with the least significant digit (Knuth, TAOCP 3, 5.2.5).

Each pass is a distribution counting sort (Knuth, TAOCP 3, 5.2, algorithm D). The sort allocates no
memory, because compiled code that does not count references cannot allocate any.
``benchmarks/without.py`` compares it with a shell sort.
"""

from scenarios.compiled import in_place, inlined
from scenarios.numerics import Ints
from sim._jit.hints import index

MOST_BITS = 13  # largest number of bits of a digit; each value of a digit needs one count


@inlined
def value_range(keys: Ints, n: int) -> tuple[int, int]:
    """Return the least and the largest key in ``keys[:n]`` in O(n); n must be at least 1."""
    least, most = keys[0], keys[0]
    for i in range(1, n):
        least, most = min(least, keys[i]), max(most, keys[i])
    return least, most


@in_place
def radix_sort(
    keys: Ints, values: Ints, n: int, least: int, most: int, shift: int, bits: int
) -> None:
    """Sort ``keys[:n]`` and the corresponding ``values[:n]`` by ``(key - least) >> shift``.

    The sort is stable. A digit has ``bits`` bits, and sorting by one digit takes O(n + 2**bits).
    ``least`` and ``most`` are the least and the largest key. If h is half the length of ``values``,
    then ``values[h:]`` and ``keys[h:2 * h]`` are the second buffer, and ``keys[2 * h:]`` counts the
    digits.
    """
    # A pass moves all keys to the other buffer. It is stable: it keeps the order by lower digits.
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
    """Move ``n`` keys from one buffer to the other, sorted by one digit in a counting sort."""
    counts, digits = keys[2 * (len(values) // 2) :], 1 << bits
    for digit in range(digits):
        counts[digit] = 0
    for i in range(n):
        counts[index(((keys[index(source + i)] - least) >> shift) & (digits - 1))] += 1
    # Prefix sums turn counts into the place where the keys of each digit begin.
    total = 0
    for digit in range(digits):
        counts[digit], total = total, total + counts[digit]
    for i in range(n):
        key = keys[index(source + i)]
        digit = index(((key - least) >> shift) & (digits - 1))
        j = index(target + counts[digit])
        counts[digit] += 1
        keys[j], values[j] = key, values[index(source + i)]
