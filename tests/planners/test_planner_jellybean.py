"""JellyBean: its beam over models, its assignment of workers, and what it deploys."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import asked, run, scenario, tables_of

from planners.baselines.jellybean import JellyBean, assign_workers, select_models
from planners.common.offline_profiles import by_deviation, deviations
from planners.common.workers import Labour, crews
from scenarios.applications.pipeline import Knob, Operator, Pipeline
from scenarios.applications.shipped import shipped_application
from scenarios.cluster import Node
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim import Estimate
from sim.api.estimate import Measurement

SPEECH = shipped_application("speech_recognition").pipeline
SMALL = Pipeline(
    "small",
    (
        Operator("first", "cpu", (Knob("a", (2, 1)), Knob("b", (2, 1)))),
        Operator("second", "cpu"),
        Operator("third", "gpu", (Knob("c", (3, 2, 1)),)),
    ),
)
COUNT = len(SMALL.configurations)
PRICES = (1.0, 2.0, 3.0)


def estimate(configuration, accuracy, times_s):
    one = np.ones(1)
    items = np.zeros(1, dtype=np.int64)
    return Estimate(
        Measurement(configuration, items, one * accuracy, np.array([times_s]), one, one)
    )


def profile_of(accuracies, times_s):
    rows = zip(SMALL.configurations, accuracies, times_s, strict=True)
    return [estimate(*row) for row in rows]


profiles = st.builds(
    profile_of,
    st.lists(st.integers(1, 9).map(lambda n: n / 10), min_size=COUNT, max_size=COUNT),
    st.lists(st.tuples(*[st.integers(1, 99)] * 3), min_size=COUNT, max_size=COUNT),
)


def cost(each):
    return float(each.measurement.operator_mean_s @ PRICES)


@given(profiles, st.integers(0, 10))
def test_a_wide_beam_finds_all_that_reach_the_floor_cheapest_first(profile, tenths):
    found = select_models(SMALL, profile, tenths / 10, PRICES, width=COUNT)
    reaching = [each for each in profile if each.accuracy_mean >= tenths / 10]
    assert {id(each) for each in found} == {id(each) for each in reaching}
    assert [cost(each) for each in found] == sorted(cost(each) for each in reaching)


@given(profiles, st.integers(0, 10), st.integers(1, 4))
def test_a_narrow_beam_finds_some_whenever_there_are_any(profile, tenths, width):
    found = select_models(SMALL, profile, tenths / 10, PRICES, width)
    assert all(each.accuracy_mean >= tenths / 10 for each in found)
    assert len(found) <= width
    assert bool(found) == any(each.accuracy_mean >= tenths / 10 for each in profile)


def test_configurations_that_differ_in_fewer_knobs_are_profiled_first():
    order = by_deviation(SPEECH)
    counts = [len(deviations(each, SPEECH.configurations[0])) for each in order]
    assert sorted(each.index for each in order) == list(range(125))
    assert counts == sorted(counts)
    assert counts[:14] == [0] + [1] * 12 + [2]


def at_first_arrival(ask, **changes):
    [answer] = asked(ask, scenario(**changes))
    return answer


@pytest.mark.parametrize("requests_per_s", [0.5, 20.0, 80.0])
def test_workers_keep_up_move_up_and_are_the_cheapest(requests_per_s):
    def ask(context, query):
        known = context.profile(query.dataset, SPEECH.configurations[0], 16)
        crew = crews(context, query, [SPEECH.configurations[0]])[SPEECH.configurations[0]]
        plans = assign_workers(context, known, crew, Labour(context), requests_per_s, 10)
        rates = []
        for _, plan in plans:
            shares = zip(plan.allocation, known.measurement.operator_mean_s, strict=True)
            factors = context.world.capacity_factors(query, plan)
            rates.append(
                [
                    share.replicas * context.world.cluster.max_utilisation / time_s / factor
                    for (share, time_s), factor in zip(shares, factors, strict=True)
                ]
            )
        cluster = context.world.cluster
        prices = [plan.list_price_usd_per_hour(cluster) for _, plan in plans]
        return cluster, plans, rates, prices

    cluster, plans, rates, prices = at_first_arrival(ask)
    assert plans
    nodes = list(cluster.nodes)
    for (price, plan), rate, listed in zip(plans, rates, prices, strict=True):
        order = [nodes.index(node) for node in plan.placement]
        assert order == sorted(order)
        assert min(rate) >= requests_per_s * (1 - 1e-9)
        assert price == pytest.approx(listed)
        fewer = [
            limit * (share.replicas - 1) / share.replicas
            for limit, share in zip(rate, plan.allocation, strict=True)
        ]
        assert max(fewer) < requests_per_s  # One replica less of any would not do.
    assert [price for price, _ in plans] == sorted(price for price, _ in plans)


def test_an_operator_without_workers_leaves_no_plan():
    def ask(context, query):
        known = context.profile(query.dataset, SPEECH.configurations[0], 16)
        crew = list(crews(context, query, [SPEECH.configurations[0]])[SPEECH.configurations[0]])
        crew[2] = ()
        return assign_workers(context, known, tuple(crew), Labour(context), 0.5, 10)

    assert at_first_arrival(ask) == []


# What it deploys


def test_profiling_is_ahead_and_planning_takes_no_time():
    tables = run(scenario(), JellyBean()).tables.take()
    assert tables["profiling"]["query"].is_null().all()
    assert not tables["profiling"].select("dataset", "configuration").is_duplicated().any()
    assert tables["decisions"].height > 3
    assert (tables["decisions"]["charged_s"] < 0.01).all()


def test_it_hires_machines_only_and_never_moves_a_query():
    decisions = run(scenario(), JellyBean()).tables.take()["decisions"]
    assert decisions.height > 3
    assert not decisions["placement"].str.contains("device").any()
    assert not decisions["query"].is_duplicated().any()


def test_only_the_post_check_minds_latency():
    def in_time_and_price(latency_s, slack):
        workload = Workload(0.1, tiers={"one": Tier(latency_s=latency_s, accuracy_of_best=0.9)})
        made = run(scenario(workload=workload), JellyBean(latency_slack=slack))
        tables = made.tables.take()
        assert tables["decisions"].height > 3
        return (
            tables["windows"]["good"].sum(),
            tables["decisions"]["list_price_usd_per_hour"].mean(),
        )

    (late, cheap), (in_time, dear) = (in_time_and_price(0.25, slack) for slack in (None, 1.0))
    assert late < in_time
    assert cheap < dear
    assert in_time_and_price(9.0, None)[1] == in_time_and_price(9.0, 1.0)[1] == cheap


def test_overload_is_skipped_even_without_a_post_check():
    """All share what was cheapest, until it is full; the others get workers that are free."""
    nodes = {"cloud": Node("cloud", "a2-highgpu-1g")}
    workload = Workload(0.5, lifetime_mean_s=300.0, tiers={"any": Tier()})
    tables = tables_of(scenario(100.0, nodes=nodes, workload=workload), JellyBean())
    assert (tables["queries"]["deployments"] > 0).mean() > 0.8
    assert (tables["decisions"]["outcome"] == "deployed").mean() > 0.8


@pytest.mark.parametrize("accuracy_of_best", [0.6, 0.9, 1.5])
def test_models_reach_the_floor_on_the_data_set_or_are_the_best_of_it(accuracy_of_best):
    tier = Tier(latency_s=4.0, accuracy_of_best=accuracy_of_best)
    tables = run(scenario(workload=Workload(0.1, tiers={"one": tier})), JellyBean()).tables.take()
    profiled = tables["profiling"].select(
        "dataset",
        "configuration",
        pl.col("accuracy_mean"),
        pl.col("accuracy_mean").max().over("dataset").alias("best"),
    )
    floors = tables["queries"].select("query", "dataset", "slo_accuracy")
    chosen = tables["decisions"].join(floors, on="query")
    chosen = chosen.join(profiled, on=["dataset", "configuration"])
    assert chosen.height == tables["decisions"].height > 3
    wanted = pl.min_horizontal("slo_accuracy", "best")
    assert chosen.filter(pl.col("accuracy_mean") < wanted - 1e-9).height == 0


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"width": 0}])
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must be a whole number of 1 or more"):
        JellyBean(**wrong)
