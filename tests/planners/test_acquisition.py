"""Acquisition functions against plain sampling, and at their edges."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.bayesopt.acquisition import (
    expected_improvement,
    feasible_saving,
    probability_above,
    probability_below,
)

NORMAL = np.random.default_rng(0).standard_normal(200_000)
reals = st.floats(-10, 10)
deviations = st.one_of(st.just(0.0), st.floats(1e-3, 10))


@given(reals, reals, deviations)
def test_probabilities_of_above_and_below_add_up_to_1(bound, mean, sd):
    below = float(probability_below(bound, mean, sd))
    above = float(probability_above(bound, mean, sd))
    assert 0 <= below <= 1
    if sd > 0:
        assert below + above == pytest.approx(1)
    else:
        assert below == (mean <= bound)
        assert above == (mean >= bound)


def test_probabilities_are_those_of_samples():
    mean, sd = np.array([0.0, 1.0, -2.0]), np.array([1.0, 0.5, 3.0])
    sampled = (mean[:, None] + sd[:, None] * NORMAL <= 0.3).mean(axis=1)
    np.testing.assert_allclose(probability_below(0.3, mean, sd), sampled, atol=0.005)


def test_without_a_bound_or_at_infinity_probabilities_are_0_or_1():
    mean, sd = np.array([1.0, 5.0]), np.array([0.0, 2.0])
    assert probability_below(None, mean, sd).tolist() == [1.0, 1.0]
    assert probability_above(None, mean, sd).tolist() == [1.0, 1.0]
    assert probability_below(inf, mean, sd).tolist() == [1.0, 1.0]
    assert probability_above(inf, mean, sd).tolist() == [0.0, 0.0]


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 1), st.floats(0, 1))
def test_nothing_is_saved_above_the_reference(reference, cost, accurate, fast):
    saving = float(feasible_saving(reference, cost, accurate, fast))
    assert saving == pytest.approx(max(0.0, reference - cost) * accurate * fast)


def test_expected_improvement_is_that_of_samples():
    mean, sd = np.array([0.0, 1.0, -2.0, 0.2]), np.array([1.0, 0.5, 3.0, 0.0])
    sampled = np.maximum(0.5 - (mean[:, None] + sd[:, None] * NORMAL), 0).mean(axis=1)
    found = expected_improvement(0.5, mean, sd)
    np.testing.assert_allclose(found, sampled, atol=0.02)
    assert found[3] == pytest.approx(0.3)
    np.testing.assert_allclose(expected_improvement(0.5, mean, sd, 0.5), 0.5 * found)


def test_without_a_feasible_candidate_feasibility_counts_alone():
    found = expected_improvement(None, np.array([3.0, 4.0]), np.array([1.0, 1.0]), [0.2, 0.7])
    assert found.tolist() == [0.2, 0.7]


@given(reals, reals, deviations)
def test_improvement_is_never_negative(best, mean, sd):
    assert float(expected_improvement(best, mean, sd)) >= max(0.0, best - mean) - 1e-9
