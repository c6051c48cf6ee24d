"""Rates that vary in time: exact integration, against fractions and step by step."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import finish_step_by_step

from sim.dataplane.base.rate_profile import NOMINAL, RateProfile, constant, stepwise


@st.composite
def profiles(draw, longest=10**12, fastest=10**10):
    starts = draw(st.lists(st.integers(0, longest), min_size=1, max_size=6, unique=True))
    rates = [draw(st.integers(0, fastest)) for _ in starts[1:]]
    return RateProfile(tuple(sorted(starts)), (*rates, draw(st.integers(1, fastest))))


MOMENTS = st.integers(0, 2 * 10**12)
WORKS = st.integers(1, 10**18)


def done(profile, start_ns, until_ns):
    """Integrate the rate from one moment to another."""
    ends = (*profile.starts_ns[1:], until_ns)
    total = Fraction(0)
    for number, (begin, end, rate) in enumerate(
        zip(profile.starts_ns, ends, profile.rates, strict=True)
    ):
        begins = max(start_ns, begin) if number else start_ns
        total += rate * max(0, min(end, until_ns) - begins)
    return total


@given(profile=profiles(), start_ns=MOMENTS, work=WORKS)
def test_finish_is_the_first_nanosecond_by_which_the_work_is_done(profile, start_ns, work):
    end_ns = profile.finish_ns(start_ns, work)
    assert end_ns > start_ns
    assert done(profile, start_ns, end_ns) >= work
    assert end_ns == start_ns + 1 or done(profile, start_ns, end_ns - 1) < work


@given(
    profile=profiles(longest=50, fastest=9), start_ns=st.integers(0, 80), work=st.integers(1, 300)
)
def test_finish_equals_a_walk_step_by_step(profile, start_ns, work):
    assert profile.finish_ns(start_ns, work) == finish_step_by_step(profile, start_ns, work)


@given(profile=profiles(), start_ns=MOMENTS, work=WORKS, more=WORKS, later=MOMENTS)
def test_finish_is_monotone_in_work_and_in_start(profile, start_ns, work, more, later):
    end_ns = profile.finish_ns(start_ns, work)
    assert profile.finish_ns(start_ns, work + more) >= end_ns
    assert profile.finish_ns(start_ns + later, work) >= end_ns


@given(profile=profiles(), start_ns=MOMENTS, a=WORKS, b=WORKS)
def test_finishing_a_then_b_is_finishing_both_up_to_one_rounding(profile, start_ns, a, b):
    """Rounding up wastes less than a nanosecond of the fastest rate between the two."""
    between_ns = profile.finish_ns(start_ns, a)
    split_ns = profile.finish_ns(between_ns, b)
    assert split_ns >= profile.finish_ns(start_ns, a + b)
    fastest = int(profile.rates.max())
    assert split_ns <= max(between_ns + 1, profile.finish_ns(start_ns, a + b + fastest))


@given(rate=st.integers(1, 10**10), start_ns=MOMENTS, a=WORKS, b=WORKS)
def test_under_a_constant_rate_the_rounding_is_at_most_a_nanosecond(rate, start_ns, a, b):
    profile = constant(rate)
    split_ns = profile.finish_ns(profile.finish_ns(start_ns, a), b)
    assert 0 <= split_ns - profile.finish_ns(start_ns, a + b) <= 1


def test_stepwise_multiplies_factors_up_from_nominal():
    profile = stepwise([(10, 0.5), (20, 0.5), (20, 2.0)])
    assert profile.steps.tolist() == [0, 10, 20, NOMINAL, NOMINAL // 2, NOMINAL // 2]
    assert stepwise([(0, 0.25)]).steps.tolist() == [0, NOMINAL // 4]
    assert stepwise([]).steps.tolist() == constant().steps.tolist()


@pytest.mark.parametrize(
    ("starts", "rates", "reason"),
    [
        ((), (), "at least one"),
        ((0, 1), (1,), "as many rates as starts"),
        ((0, 0), (1, 1), "one after another"),
        ((0, 1), (1, 0), "the last one above 0"),
        ((0, 1), (-1, 1), "rates must be 0 or more"),
    ],
)
def test_profiles_that_serve_nothing_are_refused(starts, rates, reason):
    with pytest.raises(ValueError, match=reason):
        RateProfile(starts, rates)
