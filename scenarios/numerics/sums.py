"""Pairwise summation in compiled functions, with results equal to NumPy's to the last bit.

NumPy adds up to 128 numbers in eight parallel sums, and splits longer arrays in halves. So rounding
errors grow with the logarithm of the length (Higham, "The accuracy of floating point summation",
1993). For a few dozen numbers, a call of NumPy takes far longer than the additions.
"""

import numpy as np

from scenarios.compiled import compiled
from scenarios.numerics import Floats

SIDE_BY_SIDE, AT_ONCE = 8, 128


@compiled
def total(values: Floats) -> float:
    """Return the result of ``numpy.sum`` for values of shape (n,), in O(n) time."""
    count = len(values)
    if count <= AT_ONCE:
        return _total_at_once(values)
    half = count // 2
    half -= half % SIDE_BY_SIDE
    return total(values[:half]) + total(values[half:])


@compiled
def _total_at_once(values: Floats) -> float:
    """Return the sum of at most 128 values, which are not split in halves."""
    whole = len(values) - len(values) % SIDE_BY_SIDE
    found = 0.0
    if whole:
        a, b, c, d, e, f, g, h = values[:SIDE_BY_SIDE]
        for at in range(SIDE_BY_SIDE, whole, SIDE_BY_SIDE):
            a += values[at]
            b += values[at + 1]
            c += values[at + 2]
            d += values[at + 3]
            e += values[at + 4]
            f += values[at + 5]
            g += values[at + 6]
            h += values[at + 7]
        found = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for at in range(whole, len(values)):
        found += values[at]
    return found


@compiled
def moments(values: Floats, lost: int) -> tuple[float, float]:
    """Return NumPy's mean and variance of n values; nan if n is too small.

    A first pass computes the mean and a second one the deviations, which is stable (Chan, Golub and
    LeVeque, "Algorithms for computing the sample variance", 1983). The divisor of the variance is n
    - ``lost`` (NumPy's ``ddof``).
    """
    count = len(values)
    if not count:
        return np.nan, np.nan
    mean = total(values) / count
    if count <= lost:
        return mean, np.nan
    deviations = values - mean
    return mean, total(deviations * deviations) / (count - lost)
