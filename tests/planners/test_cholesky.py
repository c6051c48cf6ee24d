"""The factor of a few observations' covariance, against the textbook's formulas."""

import numpy as np
import pytest

from planners.bayesopt.cholesky import FEW, Factor
from scenarios.random_streams import stream

POINTS = 2 * stream(0, "points").random((300, 2))
SIGNAL, CONSTANT = 1.2, 0.8
DISTANCE = np.sqrt(5 * ((POINTS[:, None] - POINTS) ** 2).sum(axis=2))
KERNEL = CONSTANT + SIGNAL * (1 + DISTANCE + DISTANCE**2 / 3) * np.exp(-DISTANCE)
CENTRE, SCALE, VARIANCE = 0.3, 2.0, SIGNAL + CONSTANT


def observed(count):
    """Return points, noise, and values."""
    rng = stream(1, "observed")
    points = rng.permutation(len(POINTS))[:count]
    return points.tolist(), rng.uniform(0.01, 0.1, count), rng.normal(size=count)


def textbook(points, noise, values):
    """Return Rasmussen and Williams 2006, eq. 2.25 and 2.26, at all points."""
    inverse = np.linalg.inv(KERNEL[np.ix_(points, points)] + np.diag(noise))
    gain = KERNEL[points].T @ inverse
    sd = np.sqrt(VARIANCE - np.einsum("cn,nc->c", gain, KERNEL[points]))
    return CENTRE + SCALE * (gain @ ((values - CENTRE) / SCALE)), SCALE * sd


@pytest.mark.parametrize("at_a_time", [1, 7, 80])
def test_it_believes_what_the_textbook_says_however_rows_are_added(at_a_time):
    points, noise, values = observed(80)
    factor = Factor(POINTS, SIGNAL, CONSTANT)
    for start in range(0, 80, at_a_time):
        part = slice(start, start + at_a_time)
        factor.extend(start, points[part], noise[part])
    # By 7, the first blocks are added in compiled loops, and the last ones by a library.
    assert 7 * 7 * len(POINTS) < FEW < 77 * 7 * len(POINTS)
    found, expected = factor.predict(values, CENTRE, SCALE), textbook(*observed(80))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6, atol=1e-9)


def test_rows_are_replaced_from_a_given_start():
    points, noise, values = observed(12)
    factor = Factor(POINTS, SIGNAL, CONSTANT)
    factor.extend(0, points, noise)
    factor.extend(5, points[5:], 2 * noise[5:])
    changed = np.concatenate([noise[:5], 2 * noise[5:]])
    found = factor.predict(values, CENTRE, SCALE)
    np.testing.assert_allclose(found[0], textbook(points, changed, values)[0], rtol=1e-8)


def test_before_anything_is_observed_all_is_as_believed_beforehand():
    mean, sd = Factor(POINTS, SIGNAL, CONSTANT).predict(np.empty(0), CENTRE, SCALE)
    np.testing.assert_array_equal(mean, np.full(len(POINTS), CENTRE))
    np.testing.assert_allclose(sd, np.full(len(POINTS), SCALE * np.sqrt(VARIANCE)))


def test_leaving_one_out_predicts_it_from_the_others():
    points, noise, values = observed(15)
    residual = (values - CENTRE) / SCALE
    factor = Factor(POINTS, SIGNAL, CONSTANT)
    factor.extend(0, points, noise)
    mean, sd = factor.leave_one_out(residual[:, None])
    others = np.arange(15) != 4
    rows = np.array(points)[others]
    inverse = np.linalg.inv(KERNEL[np.ix_(rows, rows)] + np.diag(noise[others]))
    weights = KERNEL[points[4], rows] @ inverse
    np.testing.assert_allclose(mean[4], weights @ residual[others], rtol=1e-8)
    expected = VARIANCE + noise[4] - weights @ KERNEL[rows, points[4]]
    assert sd[4] ** 2 == pytest.approx(expected, rel=1e-8)
