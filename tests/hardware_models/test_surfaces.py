"""Gaussian processes on the residuals of a form: they interpolate, forget, and borrow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_models.gaussian_process import Coordinates, Kernel, Process, fit_kernel
from hardware_models.surfaces import log_sum, smooth_max

KERNEL = Kernel((1.0,), shared_sd=0.05, group_sd=0.3, likeness=0.5, noise_sd=1e-4)


def at(points, groups=None):
    points = np.asarray(points, float)[:, None]
    groups = np.zeros((len(points), 1)) if groups is None else np.asarray(groups, float)[:, None]
    return Coordinates(points, groups)


@given(st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=6))
def test_a_process_returns_seen_residuals_and_0_far_from_them(residuals):
    seen = at(range(len(residuals)))
    process = Process.given(KERNEL, seen, np.array(residuals), np.zeros(len(residuals)))
    assert process.mean(seen) == pytest.approx(residuals, abs=1e-3)
    assert process.mean(at([100.0])) == pytest.approx([0], abs=1e-6)


def test_groups_borrow_from_each_other_the_less_the_more_they_differ():
    process = Process.given(KERNEL, at([0.0], [0.0]), np.array([0.2]), np.zeros(1))
    own, near, far = process.mean(at([0.0, 0.0, 0.0], [0.0, 1.0, 5.0]))
    assert own > near > far > 0


def test_noisy_rows_count_less():
    seen, residuals = at([0.0]), np.array([0.2])
    firm = Process.given(KERNEL, seen, residuals, np.zeros(1)).mean(seen)[0]
    loose = Process.given(KERNEL, seen, residuals, np.array([0.3])).mean(seen)[0]
    assert firm == pytest.approx(0.2, rel=1e-3)
    assert 0 < loose < 0.6 * firm


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_a_kernel_is_found_again_from_what_it_drew(seed):
    points = at(np.linspace(0, 12, 80))
    covariance = KERNEL.covariance(points, points) + 1e-8 * np.eye(80)
    drawn = np.random.default_rng(seed).multivariate_normal(np.zeros(80), covariance)
    guess = Kernel((3.0,), 0.05, 0.1, 0.5, 1e-3)
    found = fit_kernel(guess, points, drawn, np.zeros(80), trust=0.1)
    assert 0.4 < found.lengths[0] < 2.5
    assert Kernel.from_values(found.values()) == found


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(1, 8))
def test_a_smooth_maximum_lies_between_the_maximum_and_the_sum(one, other, sharpness):
    x, y = np.array([one]), np.array([other])
    assert max(one, other) - 1e-9 <= smooth_max(x, y, sharpness)[0] <= log_sum(x, y)[0] + 1e-9
