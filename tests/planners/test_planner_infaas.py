"""INFaaS-style: variants of single operators, the split of the SLO, the autoscaler."""

from dataclasses import replace
from math import inf, nan

import polars as pl
import pytest
from worlds import asked, declared, run, scenario, tables_of

from planners.baselines.infaas import (
    Goal,
    INFaaS,
    VariantMarket,
    assembled,
    offers,
    registered,
    scaled,
    variants,
)
from planners.common.offline_profiles import deviations, profile_ahead
from planners.common.workers import Labour, crews
from scenarios.applications.shipped import shipped_application
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim import WindowReport

SPEECH = shipped_application("speech_recognition").pipeline
LAX = (Goal(inf, 0.0),) * 4
WAVE_TO_TEXT = 2


@pytest.mark.parametrize(("name", "count"), [("speech_recognition", 13), ("visual_tracking", 29)])
def test_each_operators_variants_are_registered_apart(name, count):
    pipeline = shipped_application(name).pipeline
    found = registered(pipeline)
    assert len(set(found)) == len(found) == count
    assert found[0] == pipeline.configurations[0]
    owner = [number for number, each in enumerate(pipeline.operators) for _ in each.knobs]
    for each in found[1:]:
        assert len({owner[knob] for knob in deviations(each, found[0])}) == 1


def with_market(ask, goals=LAX, nodes=None):
    """Return what a question on the first query's market is answered with."""

    def on_market(context, query):
        profile = profile_ahead(context, query.dataset, registered(context.world.pipeline), 16)
        choices = variants(context.world.pipeline, profile)
        crew = crews(context, query, [each.measurement.configuration for each in profile])
        limit = context.world.cluster.max_utilisation
        found = tuple(offers(each, crew, query.requests_per_s, limit) for each in choices)
        return ask(context, query, VariantMarket(tuple(goals), found), Labour(context))

    [answer] = asked(on_market, scenario(nodes=nodes), budget_s=600.0)
    return answer


def test_quality_is_that_of_the_pipeline_with_one_operator_changed():
    def ask(context, query, market, labour):
        return [
            (each.variant, context.profile(query.dataset, each.variant.configuration, 16))
            for offered in market.offers
            for each in offered
        ], context.profile(query.dataset, SPEECH.configurations[0], 16)

    found, richest = with_market(ask)
    assert {variant.operator for variant, _ in found} == {0, 1, 2, 3}
    for variant, estimate in found:
        assert variant.quality == pytest.approx(estimate.accuracy_mean / richest.accuracy_mean)
        time_s = estimate.measurement.operator_mean_s[variant.operator]
        assert variant.time_s == pytest.approx(time_s)


def test_inaccurate_variants_rank_below_late_ones_and_late_below_expensive_ones():
    def ask(context, query, market, labour):
        return market.on("cloud", labour)[WAVE_TO_TEXT]

    offered = with_market(ask)
    qualities = sorted({each.variant.quality for each in offered})
    times_s = sorted(each.time_s for each in offered)
    for floor in (0.0, qualities[len(qualities) // 2], 2 * qualities[-1]):
        for bound_s in (0.0, times_s[len(times_s) // 3], inf):
            goal = Goal(bound_s, floor)
            best = min(offered, key=goal.shortfall)
            accurate = [each for each in offered if each.variant.quality >= floor]
            if not accurate:
                assert best.variant.quality == qualities[-1]
                continue
            assert best in accurate
            in_time = [each for each in accurate if each.time_s <= bound_s]
            if in_time:
                cheapest = min(each.worker.price_usd_per_hour for each in in_time)
                assert best in in_time
                assert best.worker.price_usd_per_hour == cheapest
            else:
                assert best.time_s == min(each.time_s for each in accurate)


# The autoscaler


def late(waiting_s, compute_s):
    total_s = sum(waiting_s) + sum(compute_s)
    return WindowReport(60.0, 30, 10, 30, total_s, total_s, waiting_s, compute_s, (0.0,) * 5, 0.1)


def scalings(report, goals, nodes=None):
    def ask(context, query, market, labour):
        smallest = [
            min(offered, key=lambda each: (each.worker.price_usd_per_hour, -each.variant.quality))
            for offered in market.on("cloud", labour)
        ]
        plan = assembled(context.world.pipeline, smallest)
        found = list(scaled(context.world.pipeline, plan, report, market, labour))
        factors = [
            context.profile(query, each, 0).latency_factors[WAVE_TO_TEXT] for each in (plan, *found)
        ]
        return plan, found, factors

    return with_market(ask, goals, nodes)


def test_what_mostly_waits_is_replicated():
    plan, found, _ = scalings(late((0, 0, 5.0, 0), (0.1,) * 4), [Goal(1.0, 0.9)] * 4)
    share = plan.allocation[WAVE_TO_TEXT]
    more = replace(share, replicas=share.replicas + 1)
    assert [each.allocation[WAVE_TO_TEXT] for each in found] == [more]
    assert found[0].configuration == plan.configuration


def test_an_operator_that_mostly_computes_is_upgraded_cheapest_first_then_replicated():
    goals = [Goal(1.0, 0.0)] * 4
    plan, found, factors = scalings(late((0.1,) * 4, (0, 0, 5.0, 0)), goals)
    *upgrades, replicated = found
    assert upgrades
    assert replicated.allocation[WAVE_TO_TEXT].replicas == 2
    for each in upgrades:
        differ = [a != b for a, b in zip(each.allocation, plan.allocation, strict=True)]
        assert differ in ([False] * 4, [False, False, True, False])
        assert each != plan
    same_model = [
        factor
        for each, factor in zip(found[:-1], factors[1:-1], strict=True)
        if each.configuration == plan.configuration
    ]
    assert same_model
    assert max(same_model) < factors[0]


def test_an_upgrade_does_not_give_up_the_accuracy_that_is_needed():
    goals = [Goal(1.0, 1.0)] * 4
    plan, found, _ = scalings(late((0.1,) * 4, (0, 0, 5.0, 0)), goals)
    models = {each.configuration.values[2] for each in found}
    assert plan.configuration.values[2] in models
    weak = {"wav2vec2-large-10m", "wav2vec2-base"}
    assert not models & (weak - {plan.configuration.values[2]})


def test_nothing_is_scaled_when_operators_keep_their_goals():
    """Then the time is lost on the network, where it does not look."""
    assert scalings(late((0.1,) * 4, (0.1,) * 4), [Goal(1.0, 0.9)] * 4)[1] == []
    endless = replace(late((0.1,) * 4, (0.0,) * 4), latency_quantile_s=inf, latency_mean_s=nan)
    assert scalings(endless, LAX)[1] == []


def test_late_queries_are_scaled_at_ticks_once_their_windows_count():
    tier = Tier(latency_s=0.45)
    workload = Workload(0.05, lifetime_mean_s=300.0, lifetime_min_s=200.0, tiers={"hasty": tier})
    decisions = tables_of(scenario(300.0, workload=workload), INFaaS())["decisions"]
    scaled_ = decisions.filter(pl.col("trigger") == "tick")
    assert scaled_.height > 0
    first = decisions.filter(pl.col("trigger") == "arrival").select(
        "query", pl.col("decided_s").alias("first_s"), pl.col("plan").alias("first_plan")
    )
    both = scaled_.join(first, on="query")
    assert (both["decided_s"] >= both["first_s"] + 30.0).all()
    assert (both["plan"] != both["first_plan"]).all()


# What it deploys


def test_each_query_runs_on_one_node_the_cheapest_that_works():
    nodes = {
        "edge": Node("edge", "g2-standard-8", standby=1),
        "cloud": Node("cloud", "a2-highgpu-1g"),
    }
    failure = DriftEvent("machine_failure", at_s=60.0, node="cloud", duration_s=100.0)
    made = run(scenario(120.0, rate=0.3, nodes=nodes, drift=Drift([failure])), INFaaS())
    decisions = made.tables.take()["decisions"].filter(pl.col("outcome") == "deployed")
    before = pl.col("triggered_s") < 60.0
    for part, node in ((decisions.filter(before), "cloud"), (decisions.filter(~before), "edge")):
        assert part.height > 1
        assert part["placement"].unique().to_list() == [" > ".join([node] * 4)]


@pytest.mark.parametrize("name", ["code_generation", "dense_video_captioning"])
def test_variants_that_no_machine_can_run_do_not_keep_others_from_being_used(name):
    """The richest language model fits no GPU here; the other operators know no better."""
    workload = Workload(0.01, lifetime_mean_s=300.0, tiers={"any": Tier(accuracy_of_best=0.5)})
    cloud = Cluster({"cloud": Node("cloud", "a2-highgpu-1g", count=2)}, **NOMINAL)
    world = Scenario(declared(name), cloud, workload=workload, horizon_s=300.0)
    assert tables_of(world, INFaaS(samples=16))["decisions"].height > 0


def test_a_ceiling_on_cost_is_kept():
    workload = Workload(0.1, tiers={"cheap": Tier(latency_s=4.0, cost_usd_per_hour=0.7)})
    decisions = run(scenario(workload=workload), INFaaS()).tables.take()["decisions"]
    assert decisions.height > 3
    assert (decisions["list_price_usd_per_hour"] <= 0.7).all()
