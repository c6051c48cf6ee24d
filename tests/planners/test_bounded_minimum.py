"""The bounded minimum: what scipy's own wrapper finds, to the last bit."""

import numpy as np
import pytest

from planners.common import lbfgsb as bounded_minimum
from planners.common.lbfgsb import minimum, wrapped


def valley(at):
    """Return Rosenbrock's function and its gradient."""
    x, y = at
    value = (1 - x) ** 2 + 100 * (y - x * x) ** 2
    return value, np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])


@pytest.mark.parametrize("high", [2.0, 0.8, np.inf])
@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize("corrections", [2, 20])
def test_it_takes_the_steps_that_minimize_takes(high, steps, corrections):
    given = valley, np.array([-1.2, 1.0]), np.full(2, -2.0), np.full(2, high), steps, corrections
    assert minimum(*given).tolist() == wrapped(*given).tolist()


def test_it_finds_the_minimum_of_a_curved_valley():
    found = minimum(valley, np.array([-1.2, 1.0]), np.full(2, -2.0), np.full(2, 2.0), 100)
    np.testing.assert_allclose(found, 1.0, atol=1e-4)


def test_the_public_minimize_is_used_where_the_private_function_is_missing(monkeypatch):
    monkeypatch.setattr(bounded_minimum, "_step", lambda: None)
    given = valley, np.array([-1.2, 1.0]), np.full(2, -2.0), np.full(2, 2.0), 100
    assert minimum(*given).tolist() == wrapped(*given).tolist()
