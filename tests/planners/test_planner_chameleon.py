"""Chameleon-style: independent knobs, leaders and followers, windows."""

from math import inf, prod

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import queries_at, run, scenario

from planners.baselines.chameleon import Chameleon, KnobProfile
from scenarios.applications.pipeline import Knob, Operator, Pipeline
from scenarios.cluster import Profiling
from scenarios.drift import Drift, DriftEvent
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim import Estimate
from sim.api.estimate import Measurement

SMALL = Pipeline(
    "small",
    (
        Operator("first", "cpu", (Knob("a", ("x", "y", "z")), Knob("b", (2, 1)))),
        Operator("second", "gpu", (Knob("c", (3, 2, 1)),)),
    ),
)
SETTINGS = [(knob, value) for knob, each in enumerate(SMALL.knobs) for value in each.choices[1:]]
RICHEST = SMALL.configurations[0]


def settings_of(configuration):
    pairs = enumerate(zip(configuration.values, RICHEST.values, strict=True))
    return [(knob, value) for knob, (value, richest) in pairs if value != richest]


def shown(configuration, effects, accuracy=0.9):
    """Return what profiling shows if settings multiply accuracy and demand."""
    factors = [effects[each] for each in settings_of(configuration)]
    one = np.ones(1)
    return Estimate(
        Measurement(
            configuration,
            np.zeros(1, dtype=np.int64),
            one * accuracy * prod(each[0] for each in factors),
            np.array([[0.25, 0.75]]) * prod(each[1] for each in factors),
            one,
            one,
        )
    )


tables = st.lists(
    st.tuples(st.floats(0.1, 1.1), st.floats(0.1, 1.0)),
    min_size=len(SETTINGS),
    max_size=len(SETTINGS),
).map(lambda effects: dict(zip(SETTINGS, effects, strict=True)))


@given(tables)
def test_where_knobs_are_independent_their_product_is_the_truth(effects):
    known = KnobProfile(0.0, 0.9)
    looked_at = list(known.missing(SMALL))
    assert len(looked_at) == len(SETTINGS)
    for configuration in looked_at:
        known = known.with_effect(shown(configuration, effects), shown(RICHEST, effects))
    assert not list(known.missing(SMALL))
    for configuration in SMALL.configurations:
        effect = known.composed(SMALL, configuration)
        truth = shown(configuration, effects)
        assert 0.9 * effect.accuracy == pytest.approx(truth.accuracy_mean)
        assert effect.demand == pytest.approx(truth.measurement.operator_mean_s.sum())


@given(tables, st.floats(0.1, 1.0))
def test_the_cheapest_that_should_reach_the_floor_come_first(effects, floor):
    known = KnobProfile(0.0, 0.9)
    for configuration in known.missing(SMALL):
        known = known.with_effect(shown(configuration, effects), shown(RICHEST, effects))
    ranked = known.ranked(SMALL, floor)
    assert sorted(each.index for each in ranked) == list(range(len(SMALL.configurations)))
    believed = [known.composed(SMALL, each) for each in ranked]
    reach = [0.9 * each.accuracy >= floor for each in believed]
    assert reach == sorted(reach, reverse=True)
    demands = [each.demand for each, reaches in zip(believed, reach, strict=True) if reaches]
    assert demands == pytest.approx(sorted(demands))
    accuracies = [
        each.accuracy for each, reaches in zip(believed, reach, strict=True) if not reaches
    ]
    assert accuracies == pytest.approx(sorted(accuracies, reverse=True))


def test_configurations_with_unmeasured_settings_are_not_ranked():
    known = KnobProfile(0.0, 0.9)
    assert known.ranked(SMALL, 0.5) == [RICHEST]
    first = next(iter(known.missing(SMALL)))
    assert settings_of(first) == [(2, 2)]  # The last operator's: all upstream is reused.


# What it profiles, and when


STEADY = Workload(
    0.05, lifetime_mean_s=400.0, lifetime_min_s=300.0, tiers={"one": Tier(4.0, 4.0, 0.9)}
)


def test_followers_profile_less_than_leaders():
    profiling = run(scenario(rate=0.3), Chameleon(budget_s=60.0)).tables.take()["profiling"]
    counts = (
        profiling.group_by("query", "dataset", maintain_order=True)
        .agg(pl.col("configuration").n_unique())
        .group_by("dataset", maintain_order=True)
        .agg(pl.col("configuration"))
    )
    assert counts.height == 3
    for leader, *followers in counts["configuration"].to_list():
        assert leader >= 13
        assert followers
        assert min(followers) <= 4


def test_each_query_profiles_again_when_its_window_is_over():
    profiling = run(scenario(200.0, workload=STEADY), Chameleon(window_s=50.0)).tables.take()[
        "profiling"
    ]
    first = profiling.group_by("query").agg(pl.col("at_s").min().alias("first_s"))
    later = profiling.join(first, on="query").with_columns(
        (pl.col("at_s") - pl.col("first_s")).alias("after_s")
    )
    assert later.filter(pl.col("after_s") > 150.0)["query"].n_unique() >= 1
    between = later.filter((pl.col("after_s") > 10.0) & (pl.col("after_s") < 40.0))
    assert between.height == 0


def test_after_a_shift_of_content_only_windows_bring_accuracy_back():
    drift = Drift([DriftEvent("content_shift", at_s=100.0, factor=0.4)])
    tier = Tier(latency_s=4.0, accuracy_of_best=0.8)
    workload = Workload(0.05, lifetime_mean_s=4000.0, lifetime_min_s=3000.0, tiers={"one": tier})

    def share_accurate(window_s):
        planner = Chameleon(window_s=window_s, budget_s=15.0)
        windows = run(scenario(400.0, workload=workload, drift=drift), planner).tables.take()
        late = windows["windows"].filter(pl.col("start_s") >= 200.0)
        return late["accuracy_met"].mean()

    assert share_accurate(40.0) > share_accurate(inf) + 0.1


def test_a_query_whose_records_a_crash_took_has_windows_again():
    drift = Drift([DriftEvent("planner_crash", at_s=30.0, duration_s=5.0)])
    world = scenario(
        200.0,
        workload=queries_at(1.0),
        drift=drift,
        profiling=Profiling(checkpoint_every_s=1000.0),
    )
    made = run(world, Chameleon(window_s=50.0))
    assert made.planner_crashes == 1
    profiled_s = made.tables.take()["profiling"]["at_s"]
    assert (profiled_s < 30.0).any()
    assert (profiled_s > 150.0).any()


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"top": 0}])
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must be a whole number of 1 or more"):
        Chameleon(**wrong)
