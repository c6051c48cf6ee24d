"""The teaching planners: greedy, random, static, and one that keeps spare machines."""

import polars as pl
import pytest
from worlds import declared, run, scenario, tables_of

from planners.reference.greedy import Greedy, promising
from planners.reference.random_feasible import RandomFeasible
from planners.reference.spare_machines import SpareMachines
from planners.teaching.static_plan import StaticPlan
from scenarios.applications.shipped import shipped_application
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim import check_planner

PIPELINE = shipped_application("speech_recognition").pipeline


@pytest.mark.usefixtures("short_worlds")
def test_a_plan_over_several_places_keeps_the_contract():
    plan = StaticPlan(placement=("device", "device", "edge", "edge"), replicas=2)
    check_planner(plan, other_process=False)


@pytest.mark.parametrize(
    ("placement", "sentence"),
    [
        (("claud", "cloud", "cloud", "cloud"), "there is no 'claud'"),
        (("cloud", "device", "cloud", "cloud"), "data move up only, in the order device"),
    ],
)
def test_a_placement_that_cannot_be_is_refused_by_name(placement, sentence):
    world = run(scenario(), StaticPlan(placement=placement))
    assert sentence in world.planner_errors[0]


@pytest.mark.parametrize("kind", [Greedy, RandomFeasible])
def test_nobody_is_served_when_nothing_is_feasible(kind):
    workload = Workload(0.1, tiers={"hard": Tier(latency_s=1e-6)})
    tables = run(scenario(workload=workload), kind()).tables.take()
    assert tables["queries"].height > 3
    assert tables["decisions"].height == 0


@pytest.mark.parametrize("kind", [Greedy, RandomFeasible])
def test_a_ceiling_on_cost_is_kept(kind):
    workload = Workload(0.1, tiers={"cheap": Tier(latency_s=4.0, cost_usd_per_hour=0.7)})
    decisions = run(scenario(workload=workload), kind()).tables.take()["decisions"]
    assert decisions.height > 3
    assert (decisions["list_price_usd_per_hour"] <= 0.7).all()


@pytest.mark.parametrize("kind", [Greedy, RandomFeasible])
@pytest.mark.parametrize("samples", [0, 1.5])
def test_samples_that_are_no_count_are_refused(kind, samples):
    with pytest.raises(ValueError, match="must be a whole number of 1 or more"):
        kind(samples=samples)


# Greedy


class Replayed(Greedy):
    """Notes which plan of the richest accurate configuration is fastest, by a full look."""

    def plan(self, context):
        before = tuple(context.waiting)
        super().plan(context)
        for query in before:
            if context.recall(("in vain", query.id), query) is None:
                context.remember(("best", query.id), str(self._by_hand(context, query)))

    def _by_hand(self, context, query):
        found = []
        for plan in context.candidates(query, order="enumeration"):
            estimate = context.profile(query, plan.configuration, self.samples)
            if not estimate.accurate_enough(query.slo) or not context.fits(query, plan):
                continue
            prediction = context.predict(query, plan)
            latency_s = prediction.latency_quantile_s
            if latency_s <= self.headroom * query.slo.latency_s and prediction.meets(query.slo):
                rank = plan.configuration.index, latency_s, prediction.cost_usd_per_hour
                found.append((*rank, plan))
        return min(found, key=lambda each: each[:3])[-1]


def test_greedy_takes_the_fastest_plan_of_the_richest_configuration():
    world = run(scenario(), Replayed())
    decisions = world.tables.take()["decisions"].filter(pl.col("outcome") == "deployed")
    assert not world.planner_errors
    assert decisions.height > 3
    for query, plan in decisions.select("query", "plan").iter_rows():
        assert world.planning_service.memory.read(("best", query), world.env.now, 0) == plan


# Random


def chosen(seed):
    decisions = run(scenario(), RandomFeasible(seed=seed)).tables.take()["decisions"]
    return decisions.select("query", "plan").rows()


def test_chance_decides_by_seed_and_query_alone():
    assert chosen(0) == chosen(0)
    assert chosen(0) != chosen(1)


class Sworn(RandomFeasible):
    """Notes whether what was chosen is promising."""

    def find(self, context, query, orders):
        plan = super().find(context, query, orders)
        if plan is not None:
            view = context.bulk.view(query)
            estimate = context.profile(query, plan.configuration, self.samples)
            good = promising(context, query, view, estimate, self.headroom)
            context.remember(
                ("sworn", query.id), any(view.plan(number) == plan for number in good.tolist())
            )
        return plan


def test_random_feasible_picks_plans_that_are_predicted_to_meet_the_slo():
    world = run(scenario(), Sworn())
    queries = world.tables.take()["decisions"]["query"].unique()
    assert len(queries) > 3
    assert all(
        world.planning_service.memory.read(("sworn", each), world.env.now, 0) for each in queries
    )


# Static


def plans_of(planner, **changes):
    tables = tables_of(scenario(**changes), planner)
    return tables["decisions"].filter(pl.col("outcome") == "deployed")


def test_all_queries_get_the_one_plan():
    decisions = plans_of(
        StaticPlan(
            {"sample_rate_hz": 12000, "freq_mask_hz": 2000, "model": "hubert-large"},
            ("device", "edge", "cloud", "cloud"),
            profile="2g.10gb",
            replicas=2,
        )
    )
    assert decisions.height > 3
    assert decisions["plan"].n_unique() == 1
    assert decisions["placement"][0] == "device > edge > cloud > cloud"
    assert decisions["configuration"][0] == "12000/2000/hubert-large"
    assert "2g.10gb x2" in decisions["plan"][0]


def test_by_default_it_is_the_richest_on_a_whole_gpu_of_the_highest_node():
    decisions = plans_of(StaticPlan())
    assert decisions["plan"].n_unique() == 1
    assert decisions["placement"][0] == " > ".join(["cloud"] * 4)
    assert "7g.40gb" in decisions["plan"][0]
    richest = "/".join(map(str, PIPELINE.configurations[0].values))
    assert decisions["configuration"][0] == richest


def test_by_default_what_cannot_be_run_gives_way_to_the_next_richest():
    """No machine of this cluster holds the richest language model."""
    application = declared("dense_video_captioning")
    workload = Workload(0.01, lifetime_mean_s=300.0, tiers={"any": Tier()})
    cloud = Cluster({"cloud": Node("cloud", "a2-highgpu-1g", count=2)}, **NOMINAL)
    tables = tables_of(
        Scenario(application, cloud, workload=workload, horizon_s=300.0), StaticPlan()
    )
    decisions = tables["decisions"]
    assert decisions.height > 0
    first = application.pipeline.configurations[0]
    assert decisions["configuration"][0] != "/".join(map(str, first.values))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"configuration": {"model": "hubert-large"}}, "configuration"),
        ({"placement": ("cloud",)}, "name a place for each of the 4 operators"),
        ({"placement": ("device", "device", "moon", "moon")}, "moon"),
        ({"placement": ("edge",) * 4, "profile": "1g.5gb"}, "edge offers full"),
        ({"processes": 9}, "has processes=9; it can be a whole number from 1 to 5"),
    ],
)
def test_a_plan_that_cannot_be_is_one_clear_line(wrong, message):
    world = run(scenario(), StaticPlan(**wrong))
    assert world.planner_errors
    assert message in world.planner_errors[0]


def test_a_language_model_has_its_instance_to_itself():
    workload = Workload(0.01, lifetime_mean_s=300.0, tiers={"any": Tier()})
    cloud = Cluster({"cloud": Node("cloud", "a2-highgpu-1g", count=2)}, **NOMINAL)
    chat = Scenario(declared("live_video_chat"), cloud, workload=workload, horizon_s=300.0)
    tables = tables_of(chat, StaticPlan(processes=2, thread_percent=50))
    deployed = tables["decisions"].filter(pl.col("outcome") == "deployed")
    assert deployed.height > 0
    _, encode, respond = deployed["plan"][0].rpartition("@")[2].split(" > ")
    assert "2 processes 50 %" in encode
    assert "processes" not in respond
    assert "%" not in respond


@pytest.mark.parametrize(
    "wrong", [{"replicas": 0}, {"cores": 0}, {"processes": 0}, {"thread_percent": 101}]
)
def test_what_no_operator_can_get_is_refused(wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        StaticPlan(**wrong)


def test_processes_of_an_operator_share_its_instances_and_cores_are_counted_apart():
    decisions = plans_of(StaticPlan(cores=3, processes=2, thread_percent=50))
    assert decisions["plan"].n_unique() == 1
    assert "7g.40gb 2 processes 50 %" in decisions["plan"][0]
    assert "core x3" in decisions["plan"][0]


def test_spare_machines_are_rented_beside_those_in_use():
    """They are on standby while the queries are served, as far as the nodes have so many."""
    world = run(scenario(), SpareMachines(spare=1))
    rows = world.tables.take()["decisions"].filter(outcome="standby")
    assert rows["reason"].to_list()[0] == "1 of cloud"
    assert "2 of cloud" in rows["reason"]
    assert not any("of edge" in each for each in rows["reason"]), "it has one, which is on standby"
