"""Every cost follows from the tables of a run: rentals, allocations, and the egress of queries."""

from dataclasses import replace
from functools import cache

import polars as pl
import pytest
from money import attributed_usd, bill_usd, idle_usd
from worlds import Does, Restless, queries_at, run, scenario

from planners import CheapestFeasible
from scenarios.cluster import DEVICE, Node
from scenarios.drift import Drift, DriftEvent
from sim.api.plan import CORE, Plan
from sim.dataplane.base.interface import COMPLETED

FAILURES = Drift(
    [
        DriftEvent("machine_failure", at_s=20, node="cloud", machine=0, duration_s=30),
        DriftEvent("machine_failure", at_s=35, node="edge", machine=0, duration_s=20),
        DriftEvent("mps_fault", at_s=45, node="cloud", machine=1),
        DriftEvent("machine_failure", at_s=70, node="cloud", machine=1, duration_s=1000),
        DriftEvent("mps_fault", at_s=80, node="cloud", machine=0),
    ]
)
STANDBY = {
    "edge": Node("edge", "g2-standard-8", count=2, standby=2),
    "cloud": Node("cloud", "a2-highgpu-1g", count=3, standby=1, boot_s=12.0),
}


class Halves(Restless):
    """As `Restless`, but operators on GPUs take half of their instance, with two processes."""

    def draw(self, context, query, rng):
        plan = super().draw(context, query, rng)
        shares = (
            share if share.profile in (DEVICE, CORE) else replace(share, thread_percent=50)
            for share in plan.allocation
        )
        return Plan(plan.configuration, plan.placement, tuple(shares))


WORLDS = {
    "one plan each": (CheapestFeasible(), {}),
    "replans": (Restless(), {}),
    "replans, failures": (Restless(), {"drift": FAILURES}),
    "shared instances, failures": (Halves(), {"drift": FAILURES}),
    "standby, boots": (Restless(replan_every_s=20.0), {"nodes": STANDBY, "rate": 0.3}),
    "slow loading": (Restless(), {"load_bytes_per_s": 2e7, "drift": FAILURES}),
    "nobody": (CheapestFeasible(), {"rate": 0.0, "drift": FAILURES}),
}


@cache
def made(name):
    planner, changes = WORLDS[name]
    world = run(scenario(**{"horizon_s": 100.0, "rate": 0.15} | changes), planner)
    world.frames = world.tables.take()
    return world


@pytest.fixture(params=WORLDS)
def world(request):
    return made(request.param)


def test_invariant_money_every_cost_follows_from_the_tables_alone(world, tmp_path):
    for name, frame in world.frames.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    tables = {name: pl.read_parquet(tmp_path / f"{name}.parquet") for name in world.frames}
    billing = world.billing
    assert bill_usd(tables) == pytest.approx(billing.bill_usd, rel=1e-12)
    assert idle_usd(tables) == pytest.approx(billing.idle_usd, rel=1e-10)
    assert attributed_usd(tables) == pytest.approx(billing.attributed_usd, rel=1e-10)
    total = idle_usd(tables) + sum(attributed_usd(tables).values())
    assert total == pytest.approx(bill_usd(tables), rel=1e-12)


def test_invariant_money_egress_of_a_query_is_that_of_its_answers(world):
    """All machines of the cloud are in one region."""
    per_answer = world.scenario.application.answer_bytes * (
        world.scenario.cluster.nodes["cloud"].egress_usd_per_byte
    )
    queries = world.frames["queries"]
    answers = (queries["egress_usd"] / per_answer).to_list()
    assert answers == pytest.approx([round(each) for each in answers], abs=1e-6)
    assert (queries["egress_usd"] <= queries[COMPLETED] * per_answer * (1 + 1e-9)).all()


def test_rentals_of_a_machine_do_not_overlap_and_hold_what_is_on_it(world):
    rentals = world.frames["machines"].sort("node", "machine", "from_s", "to_s")
    after = rentals.with_columns(next_s=pl.col("from_s").shift(-1).over("node", "machine"))
    assert (after["to_s"] <= after["next_s"]).drop_nulls().all()
    held = world.frames["allocations"]
    around = held.join(rentals, on=["node", "machine"], suffix="_of_rental").filter(
        pl.col("from_s") >= pl.col("from_s_of_rental"), pl.col("to_s") <= pl.col("to_s_of_rental")
    )
    keys = ["deployment", "operator", "replica"]
    assert around.select(keys).unique().height == held.height
    cores = around.filter(profile=CORE)
    assert (cores["price_usd_per_hour"] == cores["core_price_usd_per_hour"]).all()
    assert rentals["ended"].is_in(["released", "failed", "horizon"]).all()
    assert not rentals.filter("standby")["ended"].is_in(["released"]).any()


def test_these_worlds_have_all_that_they_should_have():
    seen = {name: made(name).frames for name in WORLDS}
    everything = pl.concat(each["allocations"] for each in seen.values())
    assert set(everything["ended"]) == {"released", "failed", "horizon"}
    rentals = pl.concat(each["machines"] for each in seen.values())
    assert set(rentals["ended"]) == {"released", "failed", "horizon"}
    assert everything["drained_from_s"].is_not_null().any()
    assert everything.filter(pl.col("ready_s") > pl.col("to_s")).height, "some never load"
    assert (everything["replica"] > 0).any()
    assert (seen["shared instances, failures"]["allocations"]["thread_percent"] == 50).any()
    shared = everything.group_by("station", "replica").agg(pl.col("query").n_unique())
    assert (shared["query"] > 1).any()
    assert seen["nobody"]["allocations"].is_empty()
    assert sum(each["queries"]["egress_usd"].sum() for each in seen.values()) > 0


def test_rentals_and_allocations_of_a_world_worked_out_by_hand():
    """The edge fails from 30.5 to 40.5 s; the cloud is used from 1 s until then."""
    deployed = []

    def act(context):
        for query in context.waiting:
            if not deployed:
                plans = (
                    each
                    for each in context.candidates(query)
                    if set(each.placement) == {"cloud"} and each.allocation[2].profile == "7g.40gb"
                )
                context.deploy(query, next(plans))
                deployed.append(query)
        if context.trigger == "failure":
            context.release(deployed[0])

    nodes = {
        "edge": Node("edge", "g2-standard-8", standby=1, boot_s=5.0),
        "cloud": Node("cloud", "a2-highgpu-1g", boot_s=20.0),
    }
    failure = DriftEvent("machine_failure", at_s=30.5, node="edge", duration_s=10.0)
    a_scenario = scenario(
        60.0, nodes=nodes, workload=queries_at(1.0), drift=Drift([failure]), mig_create_s=2.0
    )
    tables = run(a_scenario, Does(act)).tables.take()
    near = {"rel": 0, "abs": 1e-2}  # Planning takes less.
    rentals = tables["machines"].sort("node", "from_s")
    assert rentals["node"].to_list() == ["cloud", "edge", "edge"]
    assert rentals["ended"].to_list() == ["released", "failed", "horizon"]
    assert rentals["from_s"].to_list() == pytest.approx([1.0, 0.0, 40.5], **near)
    assert rentals["ready_s"].to_list() == pytest.approx([21.0, 0.0, 45.5], **near)
    assert rentals["to_s"].to_list() == pytest.approx([31.0, 30.5, 60.0], **near)
    assert rentals["used_until_s"].fill_null(-1.0).to_list() == pytest.approx(
        [30.5, -1, -1], **near
    )
    assert rentals["standby"].to_list() == [False, True, True]
    assert rentals["gpu_model"].to_list() == ["A100-40GB", "L4", "L4"]
    held = tables["allocations"]
    assert held["profile"].to_list() == [CORE, CORE, "7g.40gb", CORE]
    assert held["operator"].to_list() == [
        operator.name for operator in a_scenario.application.operators
    ]
    assert held["from_s"].to_list() == pytest.approx([1.0] * 4, **near)
    assert held["ready_s"].to_list()[:2] == pytest.approx([21.0] * 2, **near)
    assert held["ready_s"][2] > 23.0
    assert held["drained_from_s"].to_list() == pytest.approx([30.5] * 4, **near)
    assert held["to_s"].to_list() == [31.0] * 4
    assert set(held["ended"]) == {"released"}
    cloud = a_scenario.cluster.nodes["cloud"]
    assert held["price_usd_per_hour"][2] == cloud.slice_price_usd_per_hour("7g.40gb")
