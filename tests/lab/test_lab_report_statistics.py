"""The statistics of reports, on numbers with known answers."""

import numpy as np
import pytest
from rows_by_hand import of_seeds

from lab.analysis.comparison import from_runs
from lab.analysis.statistics import bootstrap_interval
from lab.analysis.sweep_analysis import against, dominators


def test_a_constant_difference_has_a_bootstrap_interval_of_no_width():
    frame = from_runs("s", of_seeds(a=[1.5, 7.5, 3.5], b=[1, 7, 3])).differences
    assert frame.select("difference", "boot_low", "boot_high").row(0) == (0.5, 0.5, 0.5)


def test_the_bootstrap_interval_of_two_values_is_their_range_and_always_the_same():
    assert bootstrap_interval(np.array([1.0, 3.0]), 0.95) == (1, 3)
    values = np.arange(20.0)
    low, high = bootstrap_interval(values, 0.95)
    assert (low, high) == bootstrap_interval(values, 0.95)
    # By the central limit theorem: 1.96 standard errors to either side.
    half = 1.96 * values.std() / np.sqrt(20)
    assert (low, high) == pytest.approx((9.5 - half, 9.5 + half), abs=0.3)


@pytest.mark.slow
def test_the_bootstrap_covers_as_often_as_its_docstring_says():
    rng = np.random.default_rng(1)
    for n, share in ((3, 0.75), (5, 0.85), (10, 0.91)):
        ends = [bootstrap_interval(rng.normal(size=n), 0.95) for _ in range(1000)]
        assert np.mean([low <= 0 <= high for low, high in ends]) == pytest.approx(share, abs=0.03)


def test_differences_against_a_planner_are_turned_round():
    frame = from_runs("s", of_seeds(a=[1, 2, 4], b=[2, 4, 7])).differences
    there, back = against(frame, "a").row(0, named=True), against(frame, "b").row(0, named=True)
    assert (back["planner"], back["other"]) == ("b", "a")
    assert back["difference"] == -there["difference"]
    assert (back["boot_low"], back["boot_high"]) == (-there["boot_high"], -there["boot_low"])
    assert back["ratio_low"] == pytest.approx(1 / there["ratio_high"])


def test_dominated_points():
    inf = float("inf")
    points = [(1, 5, 2), (2, 5, 2), (0, 9, 9), (1, 5, 2), (1, 4, inf), (2, 4, inf)]
    assert dominators(points) == [[], [0, 3], [], [], [], [4]]
