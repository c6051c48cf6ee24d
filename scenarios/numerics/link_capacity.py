"""The capacity of an access link over time, drawn from a published distribution."""

import math

import numpy as np

from hardware_models.links.technologies import Marginal, between_link_share, process_correlation
from scenarios.compiled import compiled
from scenarios.numerics import Floats


def capacity_series_bps(marginal: Marginal, normals: Floats, autocorrelation: float) -> Floats:
    """Return a link's capacity in each of n seconds, in bits per second.

    A Gaussian process is transformed into capacity by `Marginal.at` (a Gaussian copula), so that
    capacity over links and times has the published percentiles. The process is the sum of a
    constant level per link and a stationary AR(1) process. The level has the share
    `between_link_share` of the variance, and the AR(1) process has the rest.

    Args:
        marginal: The distribution of capacity over links and times, in bits per second.
        normals: n + 1 independent standard normals: one for the link's level, then one per second.
        autocorrelation: Correlation of capacity at successive seconds within a link, at least 0 and
            below 1.

    Raises:
        ValueError: A number is out of range, or ``normals`` has fewer than two numbers.
    """
    if not 0 <= autocorrelation < 1:
        raise ValueError(
            f"autocorrelation is {autocorrelation!r}: give a number of at least 0 and below 1"
        )
    if normals.ndim != 1 or normals.size < 2:
        raise ValueError(f"normals has shape {normals.shape}: give one row of at least 2 numbers")
    share = between_link_share()
    coefficient = process_correlation(marginal, autocorrelation)
    shocks = normals[1:] * math.sqrt(1 - coefficient**2)
    shocks[0] = normals[1]  # Start in the stationary distribution, not at its mean.
    within = _autoregressive(shocks, coefficient)
    return marginal.at(math.sqrt(share) * normals[0] + math.sqrt(1 - share) * within)


@compiled
def _autoregressive(shocks: Floats, coefficient: float) -> Floats:
    """Return an AR(1) process: each value is ``coefficient`` times the last one plus a shock."""
    values, value = np.empty_like(shocks), 0.0
    for at in range(len(shocks)):
        value = shocks[at] + coefficient * value
        values[at] = value
    return values
