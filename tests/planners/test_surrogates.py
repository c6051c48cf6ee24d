"""Gaussian processes: against scikit-learn, and against themselves from scratch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from planners.bayesopt.gaussian_process import GaussianProcess
from planners.bayesopt.hyperparameters import Hyperparameters

POINTS = np.random.default_rng(0).random((40, 3))
TYPICAL = np.sqrt(2 * POINTS.var(axis=0).sum())
TYPICAL_EACH = np.sqrt(2 * POINTS.var(axis=0))
FIXED = Hyperparameters((0.7,), signal_variance=1.3, noise_floor=1e-4, constant_variance=0.6)


def sklearn_says(points, values, noise, lengths):
    """Return what scikit-learn believes of POINTS with the kernel of FIXED."""
    kernel = ConstantKernel(0.6) + ConstantKernel(1.3) * Matern(lengths, nu=2.5)
    regressor = GaussianProcessRegressor(kernel, alpha=noise + 1.3e-4, optimizer=None)
    return regressor.fit(points, values).predict(POINTS, return_std=True)


def observed(indices, values, noise, **options):
    """Return a process that took observations one by one, its hyper-parameters fixed."""
    process = GaussianProcess(
        POINTS, **{"refit_at": (), "prior": FIXED, "centre": 0.0, "scale": 1.0} | options
    )
    for index, value, error in zip(indices, values, noise, strict=True):
        process.observe(int(index), value, error)
    return process


def test_it_believes_what_scikit_learn_believes():
    rng = np.random.default_rng(1)
    indices = rng.permutation(40)[:25]
    values, noise = rng.normal(size=25), rng.uniform(0, 0.1, 25)
    mean, sd = observed(indices, values, noise).predict()
    expected_mean, expected_sd = sklearn_says(
        POINTS[indices], values, noise, np.full(3, 0.7 * TYPICAL)
    )
    np.testing.assert_allclose(mean[:, 0], expected_mean, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(sd[:, 0], expected_sd, rtol=1e-6, atol=1e-9)


def test_each_block_has_a_length_scale_of_its_own():
    rng = np.random.default_rng(2)
    indices, values = rng.permutation(40)[:15], rng.normal(size=15)
    noise, lengths = rng.uniform(0, 0.1, 15), (0.5, 1.0, 2.0)
    prior = Hyperparameters(lengths, 1.3, 1e-4, 0.6)
    mean, sd = observed(indices, values, noise, prior=prior, blocks=(1, 1, 1)).predict()
    expected = sklearn_says(POINTS[indices], values, noise, TYPICAL_EACH * lengths)
    np.testing.assert_allclose(mean[:, 0], expected[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(sd[:, 0], expected[1], rtol=1e-6, atol=1e-9)


observations = st.lists(
    st.tuples(
        st.integers(0, 39),
        st.floats(-3, 3),
        st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    ),
    min_size=1,
    max_size=20,
)


@settings(deadline=None)
@given(observations)
def test_only_the_last_value_of_each_point_counts_in_whatever_order(steps):
    process = observed(*zip(*steps, strict=True))
    last = {index: (value, noise) for index, value, noise in steps}
    assert set(process.observed) == set(last)
    again = [(index, *last[index]) for index in sorted(last)]
    scratch = observed(*zip(*again, strict=True))
    for found, expected in zip(process.predict(), scratch.predict(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(observations, st.integers(0, 20))
def test_many_taken_at_once_are_as_if_taken_one_by_one(steps, at):
    indices, values, noise = zip(*steps, strict=True)
    process = observed(indices[:at], values[:at], noise[:at]) if at else observed((), (), ())
    rest = (np.array(each[at:]).reshape(-1, 1) for each in (values, noise))
    process.observe_all(indices[at:], *rest)
    one_by_one = observed(indices, values, noise)
    assert process.observed == one_by_one.observed
    for found, expected in zip(process.predict(), one_by_one.predict(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_many_taken_at_once_are_fitted_as_often():
    rng = np.random.default_rng(5)
    indices, values = rng.permutation(40)[:20].tolist(), rng.normal(size=20)
    options = {"refit_at": (4, 8, 16), "prior": None, "centre": None, "scale": None}
    one_by_one = observed(indices, values, np.full(20, 0.01), **options)
    at_once = observed((), values[:0], (), **options)
    at_once.observe_all(indices, values[:, None], 0.01)
    assert at_once.hyperparameters == one_by_one.hyperparameters != FIXED
    for found, expected in zip(at_once.predict(), one_by_one.predict(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("indices", "values", "noise", "error", "named"),
    [
        ([0, 40], [1.0, 2.0], 0.0, IndexError, 40),
        ([0, 1], [1.0, np.nan], 0.0, ValueError, 1),
        ([0, 1], [1.0, 2.0], -0.1, ValueError, 0),
    ],
)
def test_a_wrong_observation_among_many_is_named(indices, values, noise, error, named):
    process = observed((), np.zeros(0), ())
    with pytest.raises(error, match=f"point {named}:"):
        process.observe_all(indices, np.array(values)[:, None], noise)
    assert len(process) == 0


@settings(deadline=None, max_examples=30)
@given(observations, st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_units_of_the_values_do_not_matter(steps, shift, unit):
    indices, values, noise = zip(*steps, strict=True)
    values, noise = np.array(values), np.array(noise)
    options = {"prior": None, "centre": None, "scale": None, "refit_at": (4, 8)}
    mean, sd = observed(indices, values, noise, **options).predict()
    moved = observed(indices, shift + unit * values, unit**2 * noise, **options)
    last = np.array(list(dict(zip(indices, values.tolist(), strict=True)).values()))
    if np.ptp(last) < 1e-3:
        return  # Values all alike show no unit.
    moved_mean, moved_sd = moved.predict()
    spread = np.abs(values).max() * unit
    np.testing.assert_allclose(moved_mean, shift + unit * mean, atol=0.05 * spread + 1e-6)
    np.testing.assert_allclose(moved_sd, unit * sd, rtol=0.05, atol=0.05 * spread + 1e-6)


def test_a_fit_tells_what_matters_from_what_does_not():
    rng = np.random.default_rng(3)
    points = rng.random((60, 2))
    process = GaussianProcess(points, blocks=(1, 1), refit_at=(40,))
    for index in range(40):
        process.observe(index, np.sin(6 * points[index, 0]))
    relevant, irrelevant = process.hyperparameters.lengths
    assert irrelevant > 3 * relevant
    mean, _ = process.predict()
    assert np.abs(mean[40:, 0] - np.sin(6 * points[40:, 0])).max() < 0.05


def test_a_fit_recovers_noise():
    rng = np.random.default_rng(4)
    points = rng.random((200, 1))
    process = GaussianProcess(points, refit_at=(128,), centre=0.0, scale=1.0)
    for index in range(128):
        process.observe(index, np.sin(6 * points[index, 0]) + rng.normal(0, 0.3))
    found = process.hyperparameters
    assert found.signal_variance * found.noise_floor == pytest.approx(0.09, rel=0.4)


def test_what_it_believes_is_as_uncertain_as_it_says():
    inside, count = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points = rng.random((60, 2))
        truth = np.sin(4 * points[:, 0] + rng.uniform(0, 6)) + np.cos(3 * points[:, 1])
        noise = rng.uniform(0.0, 0.05, 60)
        process = GaussianProcess(points, blocks=(1, 1))
        for index in range(20):
            process.observe(index, truth[index] + rng.normal(0, noise[index]), noise[index] ** 2)
        mean, sd = process.predict()
        inside += int((np.abs(mean[20:, 0] - truth[20:]) < 1.96 * sd[20:, 0]).sum())
        count += 40
    assert 0.85 < inside / count <= 0.995


def test_equal_points_and_certain_values_are_safe():
    process = GaussianProcess(np.zeros((20, 2)))
    for index in range(20):
        process.observe(index, float(index % 2))
    mean, sd = process.predict()
    np.testing.assert_allclose(mean, 0.5, atol=1e-3)
    assert (sd < 0.3).all()
    smooth = observed(range(40), POINTS.sum(axis=1), np.zeros(40))
    mean, sd = smooth.predict()
    np.testing.assert_allclose(mean[:, 0], POINTS.sum(axis=1), atol=0.02)
    assert (sd < 0.02).all()


def test_points_without_features_share_one_value():
    process = GaussianProcess(np.empty((3, 0)), blocks=())
    process.observe(1, 4.0)
    mean, _ = process.predict()
    np.testing.assert_allclose(mean, 4.0)


def test_before_any_observation_there_is_the_prior():
    process = GaussianProcess(POINTS, centre=2.0, scale=3.0, prior=FIXED)
    mean, sd = process.predict()
    np.testing.assert_allclose(mean, np.full((40, 1), 2.0))
    np.testing.assert_allclose(sd, np.full((40, 1), 3.0 * np.sqrt(1.9)))
    assert len(process) == 0


def test_leaving_one_out_is_what_the_others_say():
    rng = np.random.default_rng(5)
    indices, values = rng.permutation(40)[:8], rng.normal(size=8)
    noise = rng.uniform(0.01, 0.1, 8)
    mean, sd = observed(indices, values, noise).leave_one_out()
    for row, index in enumerate(indices):
        others = np.arange(8) != row
        rest = observed(indices[others], values[others], noise[others])
        rest_mean, rest_sd = (each[index] for each in rest.predict())
        np.testing.assert_allclose(mean[row], rest_mean, rtol=1e-6)
        total = np.sqrt(rest_sd**2 + noise[row] + 1.3e-4)
        np.testing.assert_allclose(sd[row], total, rtol=1e-6)


def test_it_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="blocks"):
        GaussianProcess(POINTS, blocks=(1, 1))
    with pytest.raises(ValueError, match="scale"):
        GaussianProcess(POINTS, scale=0.0)
    with pytest.raises(ValueError, match="prior"):
        GaussianProcess(POINTS, blocks=(1, 2), prior=FIXED)
    process = GaussianProcess(POINTS)
    with pytest.raises(IndexError):
        process.observe(40, 1.0)
    for value, noise in ((np.nan, 0.0), (1.0, -1.0), (1.0, np.inf)):
        with pytest.raises(ValueError, match="point 3"):
            process.observe(3, value, noise)
    assert len(process) == 0
