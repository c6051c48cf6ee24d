"""Comparisons: statistics by hand and by scipy, invariances, and what is missing."""

import math
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rows_by_hand import of_seeds
from scipy import stats

from lab import run
from lab.analysis.comparison import compare, from_runs
from lab.analysis.statistics import estimate, holm
from lab.common.errors import InputError
from lab.common.metrics import ANY, SHARE, range_of
from planners import CheapestFeasible

VALUES = st.floats(-1e6, 1e6, allow_subnormal=False)
POSITIVE = st.floats(1e-3, 1e6)


def difference(comparison, metric="x"):
    """The only pair of a comparison of two planners."""
    return comparison.differences.filter(metric=metric).row(0, named=True)


# By hand and by scipy


def test_paired_difference_by_hand():
    # Differences 1, 2, 3: mean 2, s = 1, standard error 1/sqrt(3), t(0.975, 2) = 4.302653.
    row = difference(from_runs("s", of_seeds(a=[2, 4, 6], b=[1, 2, 3])))
    half = 4.302652729911275 / math.sqrt(3)
    assert row["n"] == 3
    assert row["difference"] == pytest.approx(2)
    assert (row["low"], row["high"]) == pytest.approx((2 - half, 2 + half))
    # t = 2 sqrt(3); with two degrees of freedom p = 1 - t / sqrt(t^2 + 2).
    t = 2 * math.sqrt(3)
    assert row["p"] == pytest.approx(1 - t / math.sqrt(t * t + 2))
    # Every value of a is twice b's.
    assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == pytest.approx((2, 2, 2))


def test_estimates_agree_with_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.lognormal(size=9), rng.lognormal(size=9)
    row = difference(from_runs("s", of_seeds(a=a, b=b)))
    known = stats.ttest_rel(a, b)
    interval = known.confidence_interval(0.95)
    assert row["p"] == pytest.approx(known.pvalue)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    logs = stats.ttest_1samp(np.log(a / b), 0).confidence_interval(0.95)
    assert row["ratio"] == pytest.approx(np.exp(np.log(a / b).mean()))
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx(np.exp([logs.low, logs.high]))


def test_means_have_t_intervals():
    comparison = from_runs("s", of_seeds(a=[1.0, 2.0, 4.0], b=[3.0, 3.0, 3.0]))
    a, b = comparison.means.iter_rows(named=True)
    known = stats.ttest_1samp([1.0, 2.0, 4.0], 0).confidence_interval(0.95)
    assert (a["n"], a["mean"]) == (3, pytest.approx(7 / 3))
    assert (a["low"], a["high"]) == pytest.approx((known.low, known.high))
    assert (b["mean"], b["low"], b["high"]) == (3, 3, 3)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
@example([0.0, 5e-324])
@example([0.0, 1e-170])
def test_the_interval_of_a_share_is_what_lies_between_0_and_1(shares):
    whole, shown = estimate(np.array(shares)), estimate(np.array(shares), within=SHARE)
    assert (shown.n, shown.mean, shown.p) == (whole.n, whole.mean, whole.p)
    assert (shown.low, shown.high) == (max(0.0, whole.low), min(1.0, whole.high))


def test_shares_and_their_differences_are_shown_where_they_can_lie():
    values = {"a": [1.0, 0.3], "b": [0.0, 0.4]}
    comparison = from_runs(
        "s",
        [
            {"seed": seed, "planner": planner, "slo_met_fraction": share, "other": share}
            for planner, shares in values.items()
            for seed, share in enumerate(shares)
        ],
    )
    shares = comparison.means.filter(metric="slo_met_fraction")
    assert shares["low"].to_list() == [0, 0]
    assert shares["high"].to_list() == [1, 1]
    others = comparison.means.filter(metric="other")
    assert max(others["low"]) < 0
    assert min(others["high"]) > 1
    row, whole = difference(comparison, "slo_met_fraction"), difference(comparison, "other")
    assert (row["low"], row["high"]) == (-1, 1)
    assert whole["low"] < -1
    assert whole["high"] > 1
    assert (row["difference"], row["p"]) == (whole["difference"], whole["p"])


@pytest.mark.parametrize(
    "name", ["response_time_p50_s", "planning_charged_s", "idle_cost_usd", "false_acceptances"]
)
def test_no_time_money_or_count_is_shown_below_0_though_a_difference_may_be(name):
    times = {"a": [0.0, 1.0], "b": [1.0, 0.0]}
    comparison = from_runs(
        "s",
        [
            {"seed": seed, "planner": planner, name: time_s}
            for planner, times_s in times.items()
            for seed, time_s in enumerate(times_s)
        ],
    )
    means = comparison.means.filter(metric=name)
    assert means["low"].to_list() == [0, 0]
    assert min(means["high"]) > 1
    assert difference(comparison, name)["low"] < 0


def test_no_figure_of_a_summary_can_be_below_0():
    summary = run(["experiment=speech_small", "horizon_s=20"], CheapestFeasible()).summary
    numbers = {key for key, value in summary.items() if type(value) in (int, float)} - {"seed"}
    assert len(numbers) > 25
    # by chance, a run can exceed the bound of its goodput in a few windows
    assert {range_of(key)[0] for key in numbers - {"goodput_gap"}} == {0}
    assert range_of("a_strangers") == ANY


def test_the_metric_of_each_pair_is_named_also_if_there_is_only_one():
    tables = from_runs("s", of_seeds(a=[1, 2], b=[2, 4], c=[3, 5])).tables()
    assert sum(line.startswith("x ") for line in tables.splitlines()) == 1 + 3  # means, and pairs


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1 is 0.03, 0.06, 0.04, made monotone.
    assert holm([0.04, 0.01, None, 0.03]) == pytest.approx([0.06, 0.03, None, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_counts_the_pairs_of_one_metric():
    table = of_seeds(a=[1, 2, 3.5], b=[1, 3, 5], c=[0, 5, 1])
    frame = from_runs("s", table).differences
    assert frame.select("planner", "other").rows() == [("a", "b"), ("a", "c"), ("b", "c")]
    assert frame["p_holm"].to_list() == pytest.approx(holm(frame["p"].to_list()))


# Invariances


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2, max_size=8))
def test_swapping_planners_flips_the_sign(pairs):
    a, b = zip(*pairs, strict=True)
    one = difference(from_runs("s", of_seeds(a=a, b=b)))
    other = difference(from_runs("s", of_seeds(b=b, a=a)))
    assert one["difference"] == -other["difference"]
    assert one["low"] == -other["high"]
    assert one["p"] == other["p"]
    assert one["ratio"] * other["ratio"] == pytest.approx(1)


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=2, max_size=8))
def test_what_a_seed_adds_to_both_cancels(triples):
    a, b, added = (np.round(column, 3) for column in np.array(triples).T)
    plain = difference(from_runs("s", of_seeds(a=a, b=b)))
    moved = difference(from_runs("s", of_seeds(a=a + added, b=b + added)))
    tolerance = {"rel": 1e-6, "abs": 1e-7}
    for key in ("difference", "low", "high"):
        assert moved[key] == pytest.approx(plain[key], **tolerance)


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_is_monotone_and_never_below_p(ps):
    adjusted = holm(ps)
    known = sorted((p, q) for p, q in zip(ps, adjusted, strict=True) if p is not None)
    assert [q is None for q in adjusted] == [p is None for p in ps]
    assert all(p <= q <= 1 for p, q in known)
    assert [q for _, q in known] == sorted(q for _, q in known)
    if known:
        assert known[0][1] == pytest.approx(min(1, len(known) * known[0][0]))


# What is missing, or does not vary


def test_missing_values_drop_their_pair_and_n_says_so():
    comparison = from_runs("s", of_seeds(a=[1, None, 3, math.inf], b=[1, 5, None, 2]))
    assert comparison.means["n"].to_list() == [2, 3]
    row = difference(comparison)
    assert (row["n"], row["difference"]) == (1, 0)
    assert row["low"] is row["high"] is row["p"] is row["p_holm"] is row["ratio_low"] is None
    assert row["ratio"] == 1
    assert "-" in str(comparison)


def test_planners_without_common_seeds_can_be_compared():
    row = difference(from_runs("s", of_seeds(a=[1, None], b=[None, 1])))
    assert row["n"] == 0
    assert row["difference"] is row["low"] is row["p"] is row["ratio"] is None


def test_a_metric_that_nobody_reached_stays():
    table = [{"seed": 0, "planner": p, "response_time_p50_s": None} for p in "ab"]
    comparison = from_runs("s", table)
    assert comparison.means["n"].to_list() == [0, 0]
    assert "response_time_p50_s" in str(comparison)


@pytest.mark.parametrize(
    ("offset", "n", "p"), [(0.0, 3, 1.0), (0.1, 2, 0.5), (0.1, 3, 0.25), (-0.1, 6, 0.03125)]
)
def test_differences_that_do_not_vary_are_judged_by_their_sign(offset, n, p):
    a = np.array([1.0, 2.3, 7.7, 0.4, 3.0, 5.1])[:n]
    row = difference(from_runs("s", of_seeds(a=a + offset, b=a)))
    assert row["low"] == row["difference"] == row["high"] == pytest.approx(offset)
    assert row["p"] == row["p_holm"] == p


def test_ratios_are_for_positive_metrics_only():
    row = difference(from_runs("s", of_seeds(a=[1, 2], b=[0, 1])))
    assert row["ratio"] is row["ratio_low"] is None
    assert row["difference"] == 1


def test_estimate_of_nothing():
    assert estimate(np.array([])).n == 0


# Runs


class Recorder:
    """Stands in for ``lab.runs.api.run``."""

    def __init__(self):
        self.calls = []

    def __call__(self, overrides, planner):
        self.calls.append((overrides, planner))
        seed = int(overrides[1].removeprefix("seed="))
        summary = {
            "planner": "as the run calls it",
            "status": "finished",
            "done": True,
            "nested": {"a": 1},
            "service_goodput_mean": 10.0 + seed + planner.samples,
            "response_time_p50_s": None if seed == 0 else 5.0,
            "wall_s": 1.0,
        }
        return SimpleNamespace(summary=summary)


def test_compare_runs_every_planner_on_every_seed():
    run = Recorder()
    planners = [CheapestFeasible(samples=5), CheapestFeasible()]
    comparison = compare(planners, "tiny", seeds=[3, 0], overrides=["horizon_s=60"], run=run)
    assert [overrides for overrides, _ in run.calls] == [
        ["experiment=tiny", f"seed={seed}", "horizon_s=60"] for seed in (3, 3, 0, 0)
    ]
    assert [planner for _, planner in run.calls] == planners * 2
    names = ["CheapestFeasible(samples=5)", "CheapestFeasible(samples=50)"]
    assert comparison.runs["planner"].to_list() == names * 2
    assert comparison.runs["seed"].to_list() == [3, 3, 0, 0]
    assert comparison.runs.columns == [
        "seed",
        "planner",
        "service_goodput_mean",
        "response_time_p50_s",
        "wall_s",
    ]
    assert difference(comparison, "service_goodput_mean")["difference"] == -45
    assert difference(comparison, "response_time_p50_s")["n"] == 1


def test_names_of_planners():
    class Other(CheapestFeasible):
        pass

    def names(planners):
        return compare(planners, seeds=1, run=Recorder()).runs["planner"].to_list()

    assert names([CheapestFeasible(), Other()]) == ["CheapestFeasible", "Other"]
    assert names([Other(), Other()]) == ["Other", "Other #2"]
    assert names({"mine": Other(), "yours": Other()}) == ["mine", "yours"]
    assert names([Other(5), Other(5, budget_s=9.0), CheapestFeasible()]) == [
        "Other(budget_s=5.0)",
        "Other(budget_s=9.0)",
        "CheapestFeasible",
    ]


def test_one_planner_alone_has_no_differences():
    comparison = compare([CheapestFeasible()], seeds=2, run=Recorder())
    assert comparison.differences.height == 0
    assert comparison.differences.schema["p"] == pl.Float64
    assert "speech_small: 1 planner, 2 seeds" in str(comparison)


@pytest.mark.parametrize("seeds", [0, [], [1, 1], 2.5, True, [0, -1], [0.5], "3"])
def test_seeds_that_cannot_be(seeds):
    with pytest.raises(ValueError, match="seeds="):
        compare([CheapestFeasible()], seeds=seeds, run=Recorder())


@pytest.mark.parametrize(
    "planners", [[], {}, "x", ["cheapest_feasible"], {"a": 3}, CheapestFeasible(), [Recorder]]
)
def test_planners_that_cannot_be(planners):
    with pytest.raises(InputError, match=r"^planners"):
        compare(planners, run=Recorder())


@pytest.mark.parametrize(
    ("override", "argument"),
    [
        ("seed=3", "seeds"),
        ("planner=videostorm", "planners"),
        ("+planner.samples=3", "planners"),
        ("experiment=speech_hour", "scenario"),
    ],
)
def test_overrides_of_what_a_comparison_sets_itself(override, argument):
    with pytest.raises(InputError, match=f"the argument {argument} of compare instead$"):
        compare([CheapestFeasible()], overrides=[override], run=Recorder())


def test_overrides_are_a_list():
    with pytest.raises(InputError, match="must be a list"):
        compare([CheapestFeasible()], overrides="horizon_s=60", run=Recorder())


def test_planners_that_raised_are_named():
    table = [
        {"seed": seed, "planner": planner, "planner_errors": errors}
        for planner, both in (("a", (0, 0)), ("b", (2, 0)), ("c", (0, 1)))
        for seed, errors in enumerate(both)
    ]
    text = str(from_runs("s", table))
    assert "Planner a" not in text
    assert "Planner b raised 2 times, on 1 of 2 seeds." in text
    assert "Planner c raised once, on 1 of 2 seeds." in text


def test_report_reads_as_a_table():
    table = [
        {"seed": s, "planner": p, "service_goodput_mean": v + s % 2, "other": 1.0}
        for p, v in (("Compass", 20.0), ("Vulcan", 16.0))
        for s in range(4)
    ]
    assert str(from_runs("tiny", table)).splitlines() == [
        "tiny: 2 planners, 4 seeds, means with 95 % t-intervals",
        "",
        "metric                planner  n  mean   95 % interval",
        "--------------------  -------  -  ----  --------------",
        "service_goodput_mean  Compass  4  20.5  [19.58, 21.42]",
        "                      Vulcan   4  16.5  [15.58, 17.42]",
        "",
        "Paired differences over seeds (first minus second; p by paired t, Holm-adjusted)",
        "",
        "Compass - Vulcan",
        "metric                n  difference  95 % interval      p  ratio   95 % interval",
        "--------------------  -  ----------  -------------  -----  -----  --------------",
        "service_goodput_mean  4           4         [4, 4]  0.125  1.243  [1.229, 1.256]",
        "",
        "Also in .means and .differences: other",
    ]
