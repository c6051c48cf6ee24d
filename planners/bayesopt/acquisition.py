"""Acquisition functions; all arguments are numbers or arrays that broadcast against each other."""

import numpy as np
import scipy  # submodules load at first use
from numpy.typing import ArrayLike

from scenarios.numerics import Floats


def probability_below(bound: ArrayLike | None, mean: ArrayLike, sd: ArrayLike) -> Floats:
    """Return the probability that a normally distributed value is at most a bound.

    For a log-normal value, pass the logarithms of its bound and median, and the standard deviation
    of its logarithm.

    A ``bound`` of None stands for no bound. If ``sd`` is 0, the value equals its mean.
    """
    if bound is None:
        return np.ones(np.broadcast_shapes(np.shape(mean), np.shape(sd)))
    return _normal_cdf(np.subtract(bound, mean), np.asarray(sd, dtype=np.float64))


def probability_above(bound: ArrayLike | None, mean: ArrayLike, sd: ArrayLike) -> Floats:
    """Return the probability that a normally distributed value is at least a bound.

    See `probability_below`.
    """
    if bound is None:
        return np.ones(np.broadcast_shapes(np.shape(mean), np.shape(sd)))
    return _normal_cdf(np.subtract(mean, bound), np.asarray(sd, dtype=np.float64))


def feasible_saving(
    reference: float, cost: ArrayLike, accurate: ArrayLike, fast: ArrayLike
) -> Floats:
    """Return the feasibility-weighted saving, ``(reference - cost) Pr[accurate] Pr[fast]``.

    This acquisition function of Compass's prototype is that of constrained Bayesian optimisation
    (Gardner et al. 2014), but with a linear saving in place of the expected improvement, because
    costs are known.

    Args:
        reference: cost of the best feasible plan so far; more costly candidates save 0.
        cost: cost of each candidate, in the same unit.
        accurate: probability of meeting the accuracy part of the SLO.
        fast: probability of meeting the latency part of the SLO.
    """
    saving = np.maximum(np.subtract(reference, cost), 0.0)
    return np.asarray(saving * np.asarray(accurate) * np.asarray(fast), dtype=np.float64)


def expected_improvement(
    best: float | None, mean: ArrayLike, sd: ArrayLike, feasible: ArrayLike = 1.0
) -> Floats:
    """Return the expected decrease below the best value so far, times the probability ``feasible``.

    This is constrained expected improvement for minimisation (Gardner et al. 2014, eq. 6), as
    CherryPick uses it (Alipourfard et al. 2017, section 3.3).

    Without a ``best`` value, this is the probability of feasibility, as Gardner et al. advise.
    """
    if best is None:
        shape = np.broadcast_shapes(np.shape(mean), np.shape(sd), np.shape(feasible))
        return np.broadcast_to(np.asarray(feasible, dtype=np.float64), shape).copy()
    gap, sd = np.subtract(best, mean), np.asarray(sd, dtype=np.float64)
    steps = gap / np.where(sd > 0, sd, 1.0)
    density = np.exp(-0.5 * steps**2) / np.sqrt(2 * np.pi)
    improvement = gap * _normal_cdf(gap, sd) + sd * density
    return np.asarray(np.maximum(improvement, 0.0) * feasible)


def _normal_cdf(gap: Floats, sd: Floats) -> Floats:
    """Return the normal distribution function at ``gap / sd``, or a step at 0 if ``sd`` is 0."""
    certain = sd <= 0
    if not np.count_nonzero(certain):
        return np.asarray(scipy.special.ndtr(gap / sd))
    steps = gap / np.where(certain, 1.0, sd)
    return np.asarray(np.where(certain, gap >= 0, scipy.special.ndtr(steps)), dtype=np.float64)
