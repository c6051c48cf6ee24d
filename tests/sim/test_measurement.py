"""What measurements show: the moments that NumPy finds, bit for bit."""

import numpy as np
import pytest

from scenarios.applications.pipeline import Configuration
from sim.api.estimate import Estimate, Measurement


def measured(count, operators, rng):
    return Measurement(
        Configuration(0, ()),
        np.arange(count),
        rng.random(count),
        rng.lognormal(size=(count, operators)),
        np.ones(count),
        rng.lognormal(size=count),
    )


@pytest.mark.parametrize("operators", [1, 3, 7])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 16, 48, 96, 200])
def test_moments_are_those_of_numpy_to_the_last_bit(count, operators):
    rng = np.random.default_rng(count)
    for _ in range(20):
        shown = measured(count, operators, rng)
        totals = shown.operator_time_s.sum(axis=1)
        normalised = totals / shown.allowance
        assert shown.accuracy_mean == shown.accuracy.mean()
        assert count == 1 or shown.accuracy_variance == shown.accuracy.var(ddof=1)
        assert (shown.operator_mean_s == shown.operator_time_s.mean(axis=0)).all()
        assert shown.time_cv == normalised.std() / normalised.mean()
        assert shown.normalised == (
            normalised.mean() / totals.mean(),
            (1 / shown.allowance).mean(),
        )


def test_a_measurement_of_no_items_has_no_means():
    shown = measured(0, 3, np.random.default_rng(0))
    assert np.isnan([shown.accuracy_mean, shown.accuracy_variance, *shown.operator_mean_s]).all()
    assert shown.time_cv == 0.0
    assert shown.normalised == (1.0, 1.0)
    assert np.isnan(measured(1, 3, np.random.default_rng(0)).accuracy_variance)
    estimate = Estimate(shown, latency_factors=(1.0, 1.0, 1.0))
    assert np.isnan([estimate.latency_mean_s, estimate.latency_quantile_s]).all()
    with pytest.raises(ValueError, match="a configuration alone has no latency"):
        _ = Estimate(shown).latency_mean_s
