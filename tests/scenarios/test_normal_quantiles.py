"""Quantiles of the normal distribution: those of Python's own, bit for bit."""

from statistics import NormalDist

import numpy as np
import pytest

from scenarios.numerics.normal_quantiles import normal_quantile

INSIDE = 0.5 - 0.425
FAR = float(np.exp(-25.0))  # sqrt(-log p) = 5


@pytest.mark.parametrize(
    "probabilities",
    [
        np.random.default_rng(0).random(20_000),
        10.0 ** -np.random.default_rng(1).uniform(0.3, 300, 20_000),
        1 - 10.0 ** -np.random.default_rng(2).uniform(0.3, 15, 20_000),
        np.array([1e-9, 1 - 1e-9, 0.5, 5e-324, 1 - 2**-53]),
        np.nextafter(INSIDE, [0, INSIDE, 1]),
        np.nextafter(1 - INSIDE, [0, 1 - INSIDE, 1]),
        np.nextafter(FAR, [0, FAR, 1]),
    ],
)
def test_quantiles_are_those_of_python_to_the_last_bit(probabilities):
    for probability in probabilities.tolist():
        assert normal_quantile(probability) == NormalDist().inv_cdf(probability)
