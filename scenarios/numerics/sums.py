"""Sums in compiled functions, equal to NumPy's to the last bit: pairwise summation.

NumPy adds up to 128 numbers in eight parallel sums, and splits more in halves, so rounding errors
grow with the logarithm of the number (Higham, "The accuracy of floating point summation", 1993).
Calling it for a few dozen numbers takes far longer than adding them.
"""

import numpy as np

from scenarios.compiled import compiled
from scenarios.numerics import Floats

SIDE_BY_SIDE, AT_ONCE = 8, 128


@compiled
def total(values: Floats) -> float:
    """Return the ``numpy.sum`` of values, shape (n,), in O(n)."""
    count = len(values)
    if count <= AT_ONCE:
        return _total_at_once(values)
    half = count // 2
    half -= half % SIDE_BY_SIDE
    return total(values[:half]) + total(values[half:])


@compiled
def _total_at_once(values: Floats) -> float:
    """Return the sum of values that are too few to be halved."""
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
    """Return mean and variance of values, shape (n,), as NumPy does; nan for too few values.

    Two passes, mean before deviations, which is stable (Chan, Golub and LeVeque, "Algorithms for
    computing the sample variance", 1983). The variance loses ``lost`` degrees of freedom (ddof).
    """
    count = len(values)
    if not count:
        return np.nan, np.nan
    mean = total(values) / count
    if count <= lost:
        return mean, np.nan
    deviations = values - mean
    return mean, total(deviations * deviations) / (count - lost)
