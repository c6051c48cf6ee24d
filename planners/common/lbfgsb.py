"""The minimum of a smooth function within bounds, by SciPy's L-BFGS-B."""

from collections.abc import Callable

import numpy as np
import scipy  # Its parts are loaded when they are first used.
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CORRECTIONS = 10
"""The default of ``scipy.optimize.minimize``."""


def minimum(
    function: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    low: Floats,
    high: Floats,
    steps: int,
    corrections: int = CORRECTIONS,
) -> Floats:
    """Return where a function is least, as far as some steps lead, shape (n,).

    Args:
        function: returns its value and gradient.
        start: where to begin, shape (n,).
        low: lower bounds, finite, shape (n,).
        high: upper bounds, infinite where there is none, shape (n,).
        steps: most steps.
        corrections: earlier steps from which the curvature is taken.
    """
    found = scipy.optimize.minimize(
        function,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low.tolist(), high.tolist(), strict=True)),
        options={"maxiter": steps, "maxcor": corrections},
    )
    return np.asarray(found.x)
