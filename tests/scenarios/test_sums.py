"""Sums and moments: those of NumPy, bit for bit."""

import numpy as np
import pytest

from scenarios.numerics.sums import moments, total

COUNTS = (1, 2, 7, 8, 9, 15, 16, 96, 127, 128, 129, 136, 255, 256, 257, 1000, 1024, 5000)


@pytest.mark.parametrize("count", COUNTS)
def test_sums_are_those_of_numpy_to_the_last_bit(count):
    rng = np.random.default_rng(count)
    for _ in range(50):
        values = rng.random(count) * 10.0 ** rng.integers(-8, 8, count)
        assert total(values) == values.sum()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("lost", [0, 1])
def test_moments_are_those_of_numpy_to_the_last_bit(count, lost):
    rng = np.random.default_rng(count)
    for _ in range(50):
        values = rng.random(count)
        mean, variance = moments(values, lost)
        assert mean == values.mean()
        if count > lost:
            assert variance == values.var(ddof=lost)


def test_too_few_values_have_no_moments():
    assert np.isnan(moments(np.zeros(0), 1)).all()
    assert np.isnan(moments(np.zeros(1), 1)[1])
