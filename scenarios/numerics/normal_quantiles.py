"""A compiled function for quantiles of the standard normal distribution.

It uses algorithm AS241 of Wichura (1988), "The Percentage Points of the Normal Distribution",
Applied Statistics 37(3), which has three rational approximations: for the middle, the tails and the
far tails. Each is a ratio of two polynomials of degree 7.
"""

import csv
from importlib.resources import files
from math import log, sqrt

from scenarios.compiled import compiled

Polynomial = tuple[float, ...]
"""Coefficients of a polynomial, beginning with the highest power."""

_ROWS = csv.reader((files("scenarios.numerics") / "as241.csv").read_text("utf-8").splitlines()[1:])
_TABLE: list[Polynomial] = [tuple(map(float, row[2:])) for row in _ROWS]
MIDDLE, TAIL, FAR_OUT = ((_TABLE[at], _TABLE[at + 1]) for at in (0, 2, 4))
"""Numerator and denominator for each region, from the tables of the article."""


@compiled
def normal_quantile(probability: float) -> float:
    """Return what ``statistics.NormalDist().inv_cdf`` returns for a probability between 0 and 1."""
    off = probability - 0.5  # The middle is odd in it; the tails depend on the smaller probability.
    if abs(off) <= 0.425:
        at = 0.180625 - off * off
        return _at(at, MIDDLE[0]) * off / _at(at, MIDDLE[1])
    at = sqrt(-log(probability if off <= 0 else 1 - probability))
    if at <= 5:
        found = _at(at - 1.6, TAIL[0]) / _at(at - 1.6, TAIL[1])
    else:
        found = _at(at - 5, FAR_OUT[0]) / _at(at - 5, FAR_OUT[1])
    return -found if off < 0 else found


@compiled
def _at(x: float, polynomial: Polynomial) -> float:
    """Return the value of a polynomial by Horner's rule."""
    value = polynomial[0]
    for coefficient in polynomial[1:]:
        value = value * x + coefficient
    return value
