"""Minimise a smooth, cheap function within bounds by scipy's L-BFGS-B.

For a cheap function, the overhead of ``scipy.optimize.minimize`` is ten times the function's own
time. So this module calls scipy's compiled step directly, as ``minimize`` does. That step is not
part of scipy's public interface. If its signature differs from the known one, ``minimize`` is
called instead, with the same result.
"""

from collections.abc import Callable
from sys import float_info

import numpy as np
import scipy  # submodules load at first use

from scenarios.numerics import Floats

Function = Callable[[Floats], tuple[float, Floats]]

CORRECTIONS = 10
LEAST_DECREASE = 2.220446049250313e-09
LEAST_GRADIENT = 1e-5
LINE_STEPS = 20
"""These four values are the defaults of ``minimize``."""

EVALUATE, ITERATED, STOP = 3, 1, 5
STEPS_MADE = 504
LOWER_BOUND, BOTH_BOUNDS = 1, 2

SIGNATURE = "setulb(m,x,l,u,nbd,f,g,factr,pgtol,wa,iwa,task,lsave,isave,dsave,maxls,ln_task)"


def minimum(
    function: Function,
    start: Floats,
    low: Floats,
    high: Floats,
    steps: int,
    corrections: int = CORRECTIONS,
) -> Floats:
    """Return the point with the lowest value found in at most ``steps`` steps, of shape (n,).

    Args:
        function: returns value and gradient at a point.
        start: the point at which to begin, of shape (n,).
        low: lower bounds, finite, of shape (n,).
        high: upper bounds, of shape (n,); infinity means no bound.
        steps: largest number of steps.
        corrections: number of earlier steps from which the curvature is estimated.
    """
    step = _step()
    if step is None:
        return wrapped(function, start, low, high, steps, corrections)
    count = len(start)
    found = np.minimum(np.maximum(start, low), high)
    bounds = np.where(np.isinf(high), LOWER_BOUND, BOTH_BOUNDS).astype(np.int32)
    value, gradient = 0.0, np.zeros(count)
    numbers = np.zeros(2 * corrections * count + 5 * count + 11 * corrections**2 + 8 * corrections)
    whole = np.zeros(3 * count, dtype=np.int32)
    task, line_task = np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.int32)
    saved = np.zeros(4, np.int32), np.zeros(44, np.int32), np.zeros(29)
    decrease = LEAST_DECREASE / float_info.epsilon
    given = corrections, found, low, high, bounds
    kept = decrease, LEAST_GRADIENT, numbers, whole, task, *saved, LINE_STEPS, line_task
    made = 0
    while True:
        step(*given, value, gradient, *kept)
        if task[0] == EVALUATE:
            value, gradient = function(found)
        elif task[0] == ITERATED:
            made += 1
            if made >= steps:
                task[:] = STOP, STEPS_MADE
        else:
            return found


def wrapped(
    function: Function,
    start: Floats,
    low: Floats,
    high: Floats,
    steps: int,
    corrections: int = CORRECTIONS,
) -> Floats:
    """Return the result of `minimum`, computed by ``scipy.optimize.minimize``."""
    found = scipy.optimize.minimize(
        function,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low.tolist(), high.tolist(), strict=True)),
        options={"maxiter": steps, "maxcor": corrections},
    )
    return np.asarray(found.x)


def _step() -> Callable[..., None] | None:
    """Return scipy's compiled step, or None if its signature differs from the known one."""
    step = getattr(getattr(scipy.optimize, "_lbfgsb", None), "setulb", None)
    return step if (getattr(step, "__doc__", None) or "").strip() == SIGNATURE else None
