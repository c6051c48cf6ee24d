"""Accuracies of single items: how they spread around their mean."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.applications import item_accuracy

SHARES = st.floats(0, 1, allow_subnormal=False)


@given(st.lists(SHARES, min_size=1, max_size=5), st.floats(0, 0.99))
def test_items_of_a_beta_distribution_keep_mean_and_bounds(means, part):
    mean = np.array(means)[:, None]
    sd = part * np.sqrt(mean * (1 - mean))
    grid, values = item_accuracy.beta(mean, sd)
    assert item_accuracy.mean_of((grid, values)) == pytest.approx(mean, abs=1e-9)
    assert values.min() >= -1e-12
    assert values.max() <= 1 + 1e-12
    assert (np.diff(values, axis=-1) >= -1e-9).all()


def test_items_of_a_beta_distribution_have_the_deviation():
    mean, sd = np.array([[0.7], [0.3]]), np.array([[0.1], [0.2]])
    curve = item_accuracy.beta(mean, sd)
    ranks = (np.arange(100_000) + 0.5) / 100_000
    for at in range(2):
        items = np.interp(ranks, curve[0][at, 0], curve[1][at, 0])
        assert items.std() == pytest.approx(sd[at, 0], rel=0.02)


@pytest.mark.parametrize(
    ("sd", "larger"),
    [(0.3, 0.0), (0.1, 0.006), (0.05, 0.03), (0.03, 0.08), (0.02, 0.17), (0.01, 0.56)],
)
def test_small_deviations_are_raised_as_documented(sd, larger):
    grid, values = (one[0, 0] for one in item_accuracy.beta(np.array([[0.8]]), np.array([[sd]])))
    low, high = values[:-1], values[1:]
    squares = np.diff(grid) @ (low**2 + low * high + high**2) / 3
    assert math.sqrt(squares - 0.8**2) / sd - 1 == pytest.approx(larger, abs=0.006)


@given(SHARES)
def test_items_are_right_as_often_as_the_mean_says(share):
    grid, values = item_accuracy.success(np.array([[share]]))
    assert item_accuracy.mean_of((grid, values)) == pytest.approx(share)
    ranks = (np.arange(1000) + 0.5) / 1000
    items = np.interp(ranks, grid[0, 0], values[0, 0])
    assert set(np.unique(items)) <= {0.0, 1.0}
    assert items.mean() == pytest.approx(share, abs=1e-3)
