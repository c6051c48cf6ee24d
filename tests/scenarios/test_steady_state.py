"""The cut before the steady state, by the rule MSER-5."""

from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from worlds import scenario

from lab.runs.steady_state import BATCH, cut_s, living_queries, mser5
from scenarios.queries import births
from scenarios.workload import Workload


def batches(*means):
    """Return five observations around each mean, so that each batch has it."""
    spread = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    return np.concatenate([mean + spread for mean in means])


def test_the_rule_by_hand():
    """The squared standard error, times the batches left: variance of 4, 6, 5, 5, 5, 5 is 2 / 6.

    With 6 batches: 2 / 36 = 0.056. Without the first, the mean is 5.2 and the error 0.8 / 25 =
    0.032. Without two, it is 0.
    """
    assert mser5(batches(4, 6, 5, 5, 5, 5)) == 2 * BATCH
    # Without none to four of them: 8.875 / 64, 4.857 / 49 = 0.099, 4 / 36, 2.8 / 25, 2.75 / 16.
    assert mser5(batches(8, 5, 7, 6, 5, 7, 6, 5)) == BATCH
    assert mser5(batches(5, 5, 5, 5)) == 0
    # The last two batches have the least error, 0, but are less than half: 85.3 / 36, 76.8 / 25.
    assert mser5(batches(1, 1, 1, 1, 9, 9)) == 0
    assert mser5(np.append(batches(1, 5, 5, 5), [100.0, 100.0])) == BATCH
    assert mser5(np.array([])) == mser5(np.ones(7)) == 0


@hypothesis.given(st.lists(st.integers(0, 100), min_size=10, max_size=200))
def test_the_rule_is_that_of_its_formula(values):
    found = mser5(np.array(values, dtype=float))
    means = [np.mean(values[i : i + BATCH]) for i in range(0, len(values) - BATCH + 1, BATCH)]
    errors = [
        sum((mean - np.mean(means[cut:])) ** 2 for mean in means[cut:]) / (len(means) - cut) ** 2
        for cut in range(len(means) // 2 + 1)
    ]
    assert found % BATCH == 0
    assert errors[found // BATCH] == pytest.approx(min(errors))


def test_living_queries_are_counted_for_the_part_of_a_sample_in_which_they_live():
    found = living_queries(np.array([5.0, 12.0]), np.array([15.0, 99.0]), 34.0)
    assert found.tolist() == [0.5, 0.5 + 0.8, 1.0]


@pytest.mark.parametrize("seed", range(901, 904))
def test_the_warm_up_ends_when_as_many_queries_leave_as_arrive(seed):
    workload = Workload(rate=0.5, lifetime_mean_s=200.0, lifetime_min_s=60.0)
    made = scenario(3600.0, workload=workload)
    living = living_queries(
        *np.array([(query.arrival_s, truth.departure_s) for query, truth in births(made, seed)]).T,
        made.horizon_s,
    )
    cut = cut_s(replace(made, warm_up_s="auto"), seed)
    assert cut % made.application.window_s == 0
    assert 0 <= cut - 10 * mser5(living) < made.application.window_s
    assert 120 <= cut <= 1800
    # In the steady state, the mean is the rate times the lifetime, 100 (Little).
    assert living[int(cut // 10) :].mean() == pytest.approx(100, rel=0.15)
    assert living[:6].mean() < 40
    assert cut_s(made, seed) == 0
    assert cut_s(replace(made, warm_up_s=61.0), seed) == 2 * made.application.window_s


@pytest.mark.parametrize(
    ("warm_up_s", "reason"),
    [
        (-1.0, "warm_up_s=-1.0: must be 0 s or more"),
        (3600.0, "warm_up_s=3600.0: must leave a window of 40.0 s before horizon_s=3600.0"),
        ("later", "warm_up_s=later: must be a number of seconds, or auto"),
    ],
)
def test_a_warm_up_that_leaves_nothing_is_refused(warm_up_s, reason):
    with pytest.raises(ValueError, match=reason):
        replace(scenario(3600.0), warm_up_s=warm_up_s)
