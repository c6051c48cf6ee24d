"""VideoStorm: its offline profile, its sharing of the node, and what it deploys."""

from math import inf

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Does, plan_in, queries_at, run, scenario, tables_of

from planners import VideoStorm, VideoStormOnline
from planners.baselines.utilities import (
    QueryOption,
    ResourcePool,
    Use,
    Valuation,
    allocate,
    concave_ladder,
)
from planners.common.offline_profiles import demand_s, neighbours, pareto_set
from scenarios.applications.shipped import shipped_application
from scenarios.cluster import Node, Profiling
from scenarios.drift import Drift, DriftEvent
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim import Allocation, Plan, PlanningContext, check_planner

PIPELINE = shipped_application("speech_recognition").pipeline
PLAN = Plan(PIPELINE.configurations[0], ("cloud",) * 4, (Allocation("core"),) * 4)
CROWD = Workload(
    0.5,
    lifetime_mean_s=300.0,
    tiers={"premium": Tier(1.0, 1.5, 0.97), "economy": Tier(1.0, 4.0, 0.8)},
)
OBJECTIVES = ("max_sum", "max_min")


# Ladders and pools


def option(share, utility, kind=None, slot=0.001):
    """Return an option that takes a share of the one resource, in slots of its own or shared."""
    kind = (share, utility) if kind is None else kind
    return QueryOption(PLAN, (Use(kind, 0, share / slot, slot),), utility)


points = st.lists(
    st.tuples(st.integers(1, 400).map(lambda n: n / 1000), st.floats(-1, 3)), max_size=8
)


@given(points)
def test_a_ladder_rises_at_falling_returns_and_misses_nothing(pairs):
    options = [option(*pair) for pair in pairs]
    ladder = concave_ladder(options)
    share, utility, slope = 0.0, 0.0, inf
    for rung in ladder:
        assert rung in options
        assert rung.dominant_share > share
        assert rung.utility > utility
        now = (rung.utility - utility) / (rung.dominant_share - share)
        assert now <= slope * (1 + 1e-6)
        share, utility, slope = rung.dominant_share, rung.utility, now
    best = max((each.utility for each in options), default=0.0)
    assert utility == max(0.0, best)


@given(st.lists(points, max_size=6), st.sampled_from(OBJECTIVES))
def test_no_allocation_exceeds_the_pool(menus, objective):
    ladders = [concave_ladder([option(*pair) for pair in pairs]) for pairs in menus]
    levels = allocate(ladders, objective)
    pool = ResourcePool()
    for ladder, level in zip(ladders, levels, strict=True):
        assert 0 <= level <= len(ladder)
        if level:
            pool.add(ladder[level - 1])
    assert not pool.full


@given(
    st.lists(
        st.lists(st.integers(1, 40), max_size=5).map(lambda all_: sorted(all_, reverse=True)),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 20),
)
def test_with_equal_rungs_each_objective_is_met_best(gains, units):
    ladders = [
        [
            option((i + 1) / units, sum(each[: i + 1]), (query, i), (i + 1) / units)
            for i in range(len(each))
        ]
        for query, each in enumerate(gains)
    ]

    def utilities(objective):
        levels = allocate(ladders, objective)
        return [sum(each[:level]) for each, level in zip(gains, levels, strict=True)]

    greatest_sum = sum(sorted((g for each in gains for g in each), reverse=True)[:units])
    assert sum(utilities("max_sum")) == greatest_sum
    assert sum(utilities("max_min")) <= greatest_sum
    assert min(utilities("max_min")) >= min(utilities("max_sum"))


def test_under_contention_the_objectives_differ_as_they_should():
    # One gains 10, then 9; the other 1, then 1. The pool holds two rungs.
    rich = [option(0.5, 10, "a", 0.5), option(1.0, 19, "b", 1.0)]
    poor = [option(0.5, 1, "c", 0.5), option(1.0, 2, "d", 1.0)]
    assert allocate([rich, poor], "max_sum") == [2, 0]
    assert allocate([rich, poor], "max_min") == [1, 1]


def test_slots_come_whole_and_are_shared_by_those_that_agree():
    small = option(0.1, 1.0, "same", 0.5)
    assert allocate([[small]] * 10, "max_sum") == [1] * 10  # ten tenths in two halves
    others = [[option(0.1, 1.0, name, 0.5)] for name in "abc"]
    assert allocate(others, "max_sum") == [1, 1, 0]  # a half each, though they fill a tenth


def test_a_rung_that_does_not_fit_is_skipped_for_one_on_slots_that_are_open():
    opened = [option(0.3, 9.0, "open", 1.0)]
    climber = [option(0.1, 1.0, "new", 0.5), option(0.3, 1.5, "open", 1.0)]
    assert allocate([opened, climber], "max_sum") == [1, 2]


def test_an_unknown_objective_is_refused():
    with pytest.raises(ValueError, match="max_sum or max_min"):
        VideoStorm(objective="fair")


# The offline profile


def test_neighbours_differ_in_one_knob():
    for configuration in PIPELINE.configurations[::17]:
        around = list(neighbours(PIPELINE, configuration))
        assert len(around) == len(set(around)) == 12
        for other in around:
            same = [a == b for a, b in zip(other.values, configuration.values, strict=True)]
            assert same.count(False) == 1


class Spying(VideoStorm):
    """Leaves in memory what each call saw of the Pareto sets."""

    def plan(self, context: PlanningContext) -> None:
        super().plan(context)
        for query in context.waiting:
            context.remember(("seen", query.dataset), self.profile_of(context, query.dataset))


def test_a_pareto_set_has_no_dominated_member_and_lacks_none():
    world = run(scenario(rate=0.3), Spying(budget_s=15.0))
    visited = world.tables.take()["profiling"]
    for dataset in world.scenario.application.datasets:
        kept = world.planning_service.memory.read(("seen", dataset), world.env.now, 0)
        assert kept
        figures = [(demand_s(each), each.accuracy_mean) for each in kept]
        assert figures == sorted(figures)
        assert [quality for _, quality in figures] == sorted({quality for _, quality in figures})
        assert pareto_set(kept) == kept
        best = visited.filter((pl.col("dataset") == dataset) & (pl.col("samples") >= 50))
        assert figures[-1][1] == best["accuracy_mean"].max()


def test_each_data_set_is_profiled_once_ahead_within_the_budget_and_at_no_response_time():
    world = run(scenario(rate=0.3), VideoStorm())
    tables = world.tables.take()
    profiling, decisions = tables["profiling"], tables["decisions"]
    assert profiling["query"].is_null().all()
    assert not profiling.select("dataset", "configuration").is_duplicated().any()
    spent = profiling.group_by("dataset").agg(pl.col("charged_s").sum())
    assert spent.height == 3
    assert (spent["charged_s"] <= 5.0).all()
    assert world.planning_service.profiling_device_s == pytest.approx(profiling["device_s"].sum())
    assert world.planning_service.profiling_device_s > 0
    assert tables["queries"]["profiling_device_s"].sum() == 0
    assert (decisions["charged_s"] < 0.1).all()
    first = decisions.filter(pl.col("query") == 0).row(0, named=True)
    assert first["decided_s"] - first["triggered_s"] < 0.1


def online(drift=None, ahead=False, **cluster):
    """Return the profiling runs and the decisions for two queries of one data set."""
    world = scenario(80.0, drift=drift, workload=queries_at(10.0, 40.0), **cluster)
    tables = tables_of(world, VideoStorm() if ahead else VideoStormOnline())
    return tables["profiling"], tables["decisions"]


def test_without_profiles_ahead_the_first_query_of_a_data_set_waits_for_the_profile():
    profiling, decisions = online()
    end_s = profiling["at_s"].max()
    assert profiling["query"].is_null().all()
    assert profiling["at_s"].min() > 10.0
    begun_s = end_s - profiling["charged_s"].sum()
    assert 10.0 <= begun_s <= 11.0  # at the first tick
    first, second = (decisions.filter(query=each)["triggered_s"].min() for each in (0, 1))
    assert end_s <= first <= end_s + 1.0
    assert second <= 41.0


def test_when_it_is_profiled_changes_neither_its_results_nor_its_cost():
    columns = ["configuration", "samples", "charged_s", "device_s", "accuracy_mean"]
    (late, _), (soon, _) = online(), online(ahead=True)
    assert late[columns].equals(soon[columns])


def test_a_profile_that_a_crash_lost_is_made_again_before_queries_are_planned():
    crash = Drift([DriftEvent("planner_crash", at_s=13.0, duration_s=4.0)])
    profiling, decisions = online(crash, profiling=Profiling(checkpoint_every_s=1.0))
    later = profiling.filter(pl.col("at_s") > 17.0)
    assert 0 < later.height < profiling.height
    assert not later.select("configuration").is_duplicated().any()
    assert decisions["triggered_s"].min() >= later["at_s"].max()


def test_more_planning_profiles_more():
    heights = [
        run(scenario(), VideoStorm(budget_s=budget_s)).tables.take()["profiling"].height
        for budget_s in (5.0, 15.0)
    ]
    assert heights[0] < heights[1]


# What it deploys


@pytest.mark.usefixtures("short_worlds")
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_keeps_the_contract_without_a_budget(objective):
    check_planner(VideoStorm(objective, budget_s=0.0), other_process=False)


def test_all_operators_run_on_the_highest_node():
    decisions = run(scenario(), VideoStorm()).tables.take()["decisions"]
    assert decisions.height > 3
    assert (decisions["placement"].drop_nulls() == " > ".join(["cloud"] * 4)).all()
    nodes = {"edge": Node("edge", "g2-standard-8", standby=1)}
    decisions = run(scenario(nodes=nodes), VideoStorm()).tables.take()["decisions"]
    assert decisions.height > 3
    assert (decisions["placement"].drop_nulls() == " > ".join(["edge"] * 4)).all()


def test_it_serves_queries_that_have_no_slo_at_all():
    workload = Workload(0.1, tiers={"free": Tier()})
    queries = run(scenario(workload=workload), VideoStorm()).tables.take()["queries"]
    assert queries.height > 3
    assert (queries["deployments"] > 0).all()


def test_a_ceiling_on_cost_keeps_dearer_plans_off_the_menu():
    workload = Workload(0.1, tiers={"cheap": Tier(latency_s=4.0, cost_usd_per_hour=0.7)})
    decisions = run(scenario(workload=workload), VideoStorm()).tables.take()["decisions"]
    assert decisions.height > 3
    assert (decisions["list_price_usd_per_hour"].drop_nulls() <= 0.7).all()


def test_in_a_crowd_either_objective_serves_most():
    nodes = {"cloud": Node("cloud", "a2-highgpu-1g")}
    small = scenario(horizon_s=100.0, nodes=nodes, workload=CROWD)
    for objective in OBJECTIVES:
        queries = tables_of(small, VideoStorm(objective))["queries"]
        assert queries.filter(pl.col("deployments") > 0).height > queries.height / 2


def test_it_replans_when_told_to_and_rests_when_nothing_changed():
    calls, rounds = [], []

    class Counted(VideoStorm):
        def plan(self, context: PlanningContext) -> None:
            calls.append(context.trigger)
            super().plan(context)

        def _targets(self, context, value):
            rounds.append(context.trigger)
            return super()._targets(context, value)

    workload = Workload(0.02, lifetime_mean_s=2000.0, tiers={"standard": Tier(latency_s=4.0)})
    run(scenario(horizon_s=400.0, workload=workload), Counted())
    assert calls.count("tick") >= 399
    assert rounds.count("tick") < 60


def test_when_a_machine_fails_the_others_take_its_queries_on():
    """Even if a whole card is held by few: what is held beyond a target is given back."""
    failure = DriftEvent("machine_failure", at_s=80.0, node="cloud", duration_s=120.0)
    made = run(scenario(200.0, rate=0.3, drift=Drift([failure])), VideoStorm())
    windows = made.tables.take()["windows"].filter(pl.col("start_s") >= 120.0)
    assert windows["deployed_s"].sum() > 0.9 * windows["active_s"].sum()
    assert made.machines.pools["cloud"][1].slots


def cloud_away(at_s, duration_s):
    """Return a failure of both machines of the cloud."""
    return Drift(
        [
            DriftEvent("machine_failure", at_s, node="cloud", machine=each, duration_s=duration_s)
            for each in (0, 1)
        ]
    )


@pytest.mark.parametrize("machine", ["g2-standard-8", "a2-highgpu-1g"])
def test_queries_return_to_a_node_when_it_recovers(machine):
    """Whether or not the node that they fled to has partitions of the same names."""
    nodes = {
        "edge": Node("edge", machine, standby=1),
        "cloud": Node("cloud", "a2-highgpu-1g", count=2),
    }
    world = scenario(
        200.0, nodes=nodes, workload=queries_at(1.0, 2.0), drift=cloud_away(60.0, 40.0)
    )
    decisions = tables_of(world, VideoStorm())["decisions"].filter(pl.col("outcome") == "deployed")
    for (_,), each in decisions.group_by("query"):
        nodes_used = each.sort("decided_s")["placement"].str.slice(0, 5).to_list()
        assert nodes_used == ["cloud", "edge ", "cloud"]


def test_a_plan_on_another_node_takes_nothing_of_this_one():
    taken = {}

    def act(context):
        for query in context.waiting:
            home = "edge" if query.id else "cloud"
            context.deploy(query, plan_in(context, query, home))
        if len(context.running) == 2:
            for query in context.running:
                shown = context.profile(query, context.plan_of(query).configuration, 16)
                profiles = {query.dataset: (shown,)}
                value = Valuation(context, "cloud", profiles, 1.0, 1.0, 1.0, 1.0)
                taken[query.id] = value.current(query)

    nodes = {name: Node(name, "a2-highgpu-1g", count=2) for name in ("edge", "cloud")}
    planner = Does(act, replan_every_s=1.0)
    run(scenario(30.0, nodes=nodes, workload=queries_at(1.0, 2.0)), planner)
    assert taken[0].uses
    assert not taken[1].uses
    assert taken[1].utility > 0
