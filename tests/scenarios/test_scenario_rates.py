"""Drift of the rate of arrivals: surges, ramps, cycles."""

import hypothesis
import numpy as np
import pytest
from drawn_queries import TIERS
from hypothesis import strategies as st
from worlds import scenario

from scenarios.arrivals import ArrivalProcess, Poisson
from scenarios.drift import Drift, DriftEvent
from scenarios.queries import arrival_times_s
from scenarios.workload import Workload


class At(ArrivalProcess):
    """Arrivals at given times of a process of rate 1."""

    def __init__(self, *times_s):
        self.times = np.array(times_s)

    def times_s(self, rate, horizon_s, rng):
        return self.times[self.times < horizon_s]


def arrivals(*events, horizon_s=60.0, process=None, rate=1.0, seed=1):
    workload = Workload(rate=rate, tiers=TIERS, arrivals=process or Poisson())
    made = scenario(horizon_s, workload=workload, drift=Drift(list(events)))
    return arrival_times_s(made, seed)


def test_a_surge_compresses_the_time_of_arrivals():
    surge = DriftEvent("rate_change", at_s=10.0, factor=3.0, duration_s=10.0)
    process = At(5.0, 16.0, 40.0, 41.0, 79.0, 81.0)
    # From 10 to 20 s, 30 s of the process pass; until 60 s, 80 s.
    assert arrivals(surge, process=process).tolist() == [5.0, 12.0, 20.0, 21.0, 59.0]
    slump = DriftEvent("rate_change", at_s=10.0, factor=0.5)
    assert arrivals(slump, process=process).tolist() == [5.0, 22.0]
    assert arrivals(surge, slump, process=process, horizon_s=20.0).tolist() == [5.0, 14.0]


def test_a_ramp_of_arrivals_has_the_area_of_its_steps():
    ramp = DriftEvent("rate_change", at_s=10.0, factor=3.0, ramp_s=20.0)
    # The steps of 1 s from 11 s on have the levels 1 / 20, 2 / 20, ...; by 21 s, 10 of them passed.
    passed_s = 21 + 2 * sum(range(1, 11)) / 20
    found = arrivals(ramp, process=At(passed_s, passed_s + 2.1))
    assert found.tolist() == pytest.approx([21.0, 22.0])


@hypothesis.given(
    at_s=st.floats(0, 500),
    factor=st.floats(0.1, 5),
    shape=st.sampled_from(
        [
            {},
            {"duration_s": 100.0},
            {"ramp_s": 50.0},
            {"ramp_s": 50.0, "duration_s": 80.0},
            {"period_s": 200.0},
            {"period_s": 200.0, "duration_s": 300.0},
        ]
    ),
)
def test_changes_of_the_rate_leave_earlier_arrivals_alone(at_s, factor, shape):
    calm = arrivals(horizon_s=600.0)
    changed = arrivals(
        DriftEvent("rate_change", at_s=at_s, factor=factor, **shape), horizon_s=600.0
    )
    assert np.array_equal(changed[changed <= at_s], calm[calm <= at_s])
    assert (np.diff(changed) >= 0).all() and changed.max() < 600  # noqa: PT018


def test_a_cycle_of_the_rate_has_its_trough_at_its_start_and_its_peak_in_its_middle():
    cycle = DriftEvent("rate_change", factor=3.0, period_s=1200.0)
    counts, _ = np.histogram(
        np.concatenate([arrivals(cycle, horizon_s=2400.0, seed=seed) for seed in range(20)]),
        bins=np.arange(0, 2401, 100),
    )
    each = (counts[:12] + counts[12:]) / 2 / 20 / 100
    middle_s = np.arange(50, 1200, 100)
    expected = 1 + 2 * (1 - np.cos(2 * np.pi * middle_s / 1200)) / 2
    assert each == pytest.approx(expected, abs=0.3)
    assert each.mean() == pytest.approx(2, abs=0.05)


def test_a_surge_of_too_many_queries_and_too_many_periods_are_refused():
    with pytest.raises(ValueError, match=r"workload.rate=1000.0: of horizon_s=100000.0 that makes"):
        arrivals(DriftEvent("rate_change", factor=3.0), rate=1000.0, horizon_s=1e5)
    with pytest.raises(ValueError, match=r"drift.events.0.period_s=60.0: horizon_s=1000000.0 may"):
        arrivals(DriftEvent("rate_change", period_s=60.0), horizon_s=1e6)
