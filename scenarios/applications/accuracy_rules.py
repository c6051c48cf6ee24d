"""Named rules by which an application's accuracy follows from what was measured of its parts.

A rule is a pure function of arrays that broadcast, shape (configurations, strata). Its parameters
are what a declaration gives under ``accuracy``, each as a number, a column or a product of those.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from scenarios.applications.best_of import best_of

Floats = NDArray[np.float64]


def product(factors: Floats) -> Floats:
    """Return the product of an accuracy and of relative losses, as it was worked out already.

    That losses of one knob do not depend on the other knobs is an assumption, the usual one where
    each knob was measured alone.

    Args:
        factors: the product of all factors.
    """
    return factors


RULES: Mapping[str, Callable[..., Floats]] = {"product": product, "best_of": best_of}
"""All rules, by the name that a declaration uses."""
