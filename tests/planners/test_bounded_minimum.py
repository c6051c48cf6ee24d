"""The bounded minimum."""

import numpy as np
import pytest

from planners.common.lbfgsb import minimum


def valley(at):
    """Return Rosenbrock's function and its gradient."""
    x, y = at
    value = (1 - x) ** 2 + 100 * (y - x * x) ** 2
    return value, np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])


def test_it_gets_there():
    found = minimum(valley, np.array([-1.2, 1.0]), np.full(2, -2.0), np.full(2, 2.0), 100)
    np.testing.assert_allclose(found, 1.0, atol=1e-4)


@pytest.mark.parametrize("corrections", [2, 20])
def test_it_keeps_the_bounds(corrections):
    given = valley, np.array([-1.2, 1.0]), np.full(2, -2.0), np.full(2, 0.8), 100, corrections
    np.testing.assert_allclose(minimum(*given), [0.8, 0.64], atol=1e-4)


def test_more_steps_lead_further():
    given = valley, np.array([-1.2, 1.0]), np.full(2, -2.0), np.full(2, np.inf)
    reached = [valley(minimum(*given, steps))[0] for steps in (1, 7, 100)]
    assert reached[0] > reached[1] > reached[2]
