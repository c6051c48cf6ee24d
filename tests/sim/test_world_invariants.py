"""The invariants of the design on whole worlds, each test by its invariant's name."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from capacity import check_capacity
from worlds import At, Does, Restless, overhear, run, scenario

from planners import CheapestFeasible
from scenarios.drift import Drift, DriftEvent
from scenarios.queries import births
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim.api.planner import Planner
from sim.controlplane.world import World
from sim.dataplane.base.interface import COMPLETED, LOST, OUTCOMES
from sim.dataplane.events.plane import EventsPlane

FAILURES = Drift(
    [
        DriftEvent("machine_failure", at_s=20, node="cloud", machine=0, duration_s=30),
        DriftEvent("machine_failure", at_s=35, node="edge", machine=0, duration_s=20),
        DriftEvent("machine_failure", at_s=70, node="cloud", machine=1, duration_s=1000),
        DriftEvent("device_slowdown", at_s=40, factor=0.3),
        DriftEvent("link_degradation", at_s=50, factor=0.2, share=0.5),
        DriftEvent("content_shift", at_s=60, factor=0.5),
        DriftEvent("mps_fault", at_s=65, node="cloud", machine=0),
    ]
)
PLANNERS = {"cheapest": CheapestFeasible(), "restless": Restless()}
DRIFTS = {"calm": Drift(), "failures": FAILURES}
QUEUES = {"calm": {}, "failures": {"discipline": "edf", "shed_late": True}}


def workload(*times, **changes):
    values = {"lifetime_mean_s": 30.0, "lifetime_min_s": 10.0, "tiers": {"any": Tier(latency_s=2)}}
    return Workload(arrivals=At(times), **(values | changes))


class Witness(World):
    """A world that keeps all records, and checks machines at every change."""

    def __init__(self, *args):
        super().__init__(*args)
        self.recording, self.changes = overhear(self), 0
        for name in ("join", "leave", "fail", "fail_instance"):
            self._check_after(name)

    def _check_after(self, name):
        change = getattr(self.machines, name)

        def checked(*args):
            result = change(*args)
            if self.changes >= 0:
                self.changes += 1
                check_capacity(self.machines)
            return result

        setattr(self.machines, name, checked)


@pytest.fixture(scope="module", params=[(p, d) for p in PLANNERS for d in DRIFTS], ids="-".join)
def world(request):
    """Return a world that ran to its end, for each planner and drift."""
    planner, drift = request.param
    changing = scenario(150, rate=0.15, drift=DRIFTS[drift], **QUEUES[drift])
    made = run(changing, PLANNERS[planner], world=Witness)
    made.frames = made.tables.take()
    made.drifts = drift
    return made


def test_worlds_of_these_tests_are_not_idle(world):
    assert world.planner_errors == []
    assert len(world.recording.births) > 300
    assert world.changes > 20
    assert world.monitor.outcomes[COMPLETED] > 100


def test_invariant_conservation_every_request_ends_exactly_once(world):
    ended = [(record.query, record.arrival_ns) for record in world.recording.records]
    assert sorted(ended) == sorted(world.recording.births)
    assert len(set(ended)) == len(ended)
    assert world.monitor.born_total == len(ended) == sum(world.monitor.outcomes.values())
    queries = world.frames["queries"]
    assert queries["requests"].sum() == len(ended)
    assert queries.select(pl.sum_horizontal(OUTCOMES)).to_series().equals(queries["requests"])
    assert world.frames["windows"]["requests"].sum() == len(ended)
    if world.drifts == "calm":
        assert world.monitor.outcomes[LOST] == 0


def test_invariant_conservation_a_failing_machine_loses_requests():
    made = run(scenario(150, rate=0.15, drift=FAILURES), Restless(), world=Witness)
    assert made.monitor.outcomes[LOST] > 0


def test_invariant_causality_parts_of_every_sojourn_add_up(world):
    for record in world.recording.records:
        parts = (record.queueing_ns, record.batching_ns, record.compute_ns, record.transfer_ns)
        assert min(min(part) for part in parts) >= 0
        sojourn_ns = record.ended_ns - record.arrival_ns
        assert sojourn_ns >= 0
        if record.outcome == COMPLETED:
            assert sum(map(sum, parts)) == sojourn_ns
            assert min(record.compute_ns) >= 1


def test_invariant_causality_plans_come_into_force_after_they_were_decided(world):
    decisions = world.frames["decisions"]
    assert (decisions["decided_s"] >= decisions["triggered_s"]).all()
    queries = world.frames["queries"].drop_nulls("first_deployed_s")
    assert (queries["first_deployed_s"] >= queries["arrival_s"]).all()
    deployed = decisions.filter(pl.col("outcome") == "deployed")
    assert (deployed["in_force_s"] >= deployed["decided_s"]).all()
    spent = decisions.filter(pl.col("charged_s").is_not_null()).select(
        pl.col("decided_s") - pl.col("triggered_s") - pl.col("charged_s") - pl.col("waited_s")
    )
    assert spent.to_series().abs().max() < 1e-6


def test_invariant_capacity_holds_at_every_change(world):
    """Checked by the witness after each change; here once more at the end."""
    check_capacity(world.machines)
    held = {
        station
        for state in world.registry.living.values()
        for deployment in (state.active, state.loading)
        if deployment is not None
        for station in deployment.stations
        if station.slots
    }
    in_use = set(world.machines.holders.values())
    assert held <= in_use


@pytest.mark.parametrize("drift", DRIFTS)
def test_invariant_capacity_all_is_given_back_when_all_have_gone(drift):
    made = run(scenario(150, workload=workload(1.0, 5.0, 18.0, 30.0), drift=DRIFTS[drift]),
               Restless(), world=Witness, plane=EventsPlane)  # fmt: skip
    assert made.tables.take()["queries"]["departure_s"].max() < 120
    assert made.machines.stations == {}
    for machine in made.machines.all():
        assert machine.slots == {}
        assert machine.free_cores == machine.node.cores
        assert all(not instance.slots for instance in machine.instances)
        assert machine.rented or machine.instances == []
    assert made.data.stations == {}
    assert len(made.data.links) == 2, "the backhaul"


def test_invariant_money_attributed_cost_plus_idle_cost_is_the_bill(world):
    billing = world.billing
    total = billing.idle_usd + sum(billing.attributed_usd.values())
    assert total == pytest.approx(billing.bill_usd, rel=1e-9)
    assert billing.bill_usd > 0
    assert billing.idle_usd >= 0
    windows = world.frames["windows"].group_by("query").agg(pl.col("cost_usd").sum()).rows()
    for query, usd in windows:
        assert usd <= billing.attributed_usd.get(query, 0.0) * (1 + 1e-9) + 1e-12


# Determinism


def tables(*args, **kwargs):
    return run(*args, **kwargs).tables.take()


def same(first, second):
    assert first.keys() == second.keys()
    for name, frame in first.items():
        assert frame.equals(second[name]), name
        assert frame.write_ndjson() == second[name].write_ndjson(), name


@pytest.mark.parametrize("planner", PLANNERS)
def test_invariant_determinism_a_run_gives_the_same_tables_again(planner):
    made = scenario(100, rate=0.15, drift=FAILURES)
    first = tables(made, PLANNERS[planner])
    run(scenario(30, rate=0.5), Restless(seed=9), seed=5)  # another run in between
    same(first, tables(scenario(100, rate=0.15, drift=FAILURES), PLANNERS[planner]))


def test_invariant_determinism_two_worlds_in_step_do_not_touch_each_other():
    alone = tables(scenario(80, rate=0.15, drift=FAILURES), Restless())
    pair = [
        World(scenario(80, rate=0.15, drift=FAILURES), Restless(), 1, EventsPlane) for _ in "ab"
    ]
    for until_s in (0.5, 7.0, 20.0, 20.0, 63.21, 80.0, 90.0):
        for each in pair:
            each.run(until_s)
    for each in pair:
        same(alone, each.tables.take())


def digest():
    frames = tables(scenario(60, rate=0.15, drift=FAILURES), Restless())
    text = "".join(frame.write_ndjson() for frame in frames.values())
    return sha256(text.encode()).hexdigest()


def test_invariant_determinism_in_any_process():
    """Hash seeds differ between the processes, so no order may come from a set of strings."""
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent), *sys.path])
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", "import test_world_invariants as t; print(t.digest())"],
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest()


# Common randomness

TRUTH = (
    *("query", "tier", "dataset", "device", "technology", "arrival_s", "departure_s"),
    *("slo_latency_s", "slo_accuracy", "slo_cost_usd_per_hour"),
    *("true_device_factor", "true_access_rtt_s", "true_uplink_mean_bps", "true_best_accuracy"),
    "requests",
)


def draws(made):
    """Return what chance decided for each request: its birth, size and factors."""
    return {
        (record.query, record.arrival_ns): (record.size, tuple(record.variability))
        for record in made.recording.records
    }


def test_invariant_common_randomness_another_planner_faces_the_same_world():
    worlds = [
        run(scenario(100, rate=0.15, drift=FAILURES), planner, world=Witness)
        for planner in (*PLANNERS.values(), Restless(seed=3), Does(lambda context: None))
    ]
    first = worlds[0].tables.take()["queries"].select(TRUTH).sort("query")
    assert first.height > 5
    for other in worlds[1:]:
        assert other.tables.take()["queries"].select(TRUTH).sort("query").equals(first)
        assert draws(other) == draws(worlds[0])


def test_invariant_common_randomness_another_query_shifts_nobodys_draws():
    alone = run(scenario(60, workload=workload(5.0, 20.0)), CheapestFeasible(), world=Witness)
    crowd = run(scenario(60, workload=workload(5.0, 20.0, 20.5, 30.0)), Restless(), world=Witness)
    before, after = draws(alone), draws(crowd)
    assert len(before) > 10
    assert before == {key: value for key, value in after.items() if key[0] < 2}
    known = alone.tables.take()["queries"].select(TRUTH).sort("query")
    assert crowd.tables.take()["queries"].select(TRUTH).sort("query").head(2).equals(known)


def test_invariant_common_randomness_a_dropped_query_leaves_others_properties_alone():
    """A query is known by its number: of those that arrive, the first is 0, whenever it comes."""
    one, two = (
        list(births(scenario(60, workload=workload(*times)), 1)) for times in ((5.0,), (3.0, 9.0))
    )
    ours, theirs = one[0], two[0]
    for name in ("dataset", "tier", "device", "technology"):
        assert getattr(ours[0], name) == getattr(theirs[0], name)
    assert ours[1].device_factor == theirs[1].device_factor
    assert (ours[1].uplink_bytes_per_s == theirs[1].uplink_bytes_per_s).all()
    assert ours[1].departure_s - 5.0 == pytest.approx(theirs[1].departure_s - 3.0)


def test_invariant_common_randomness_drift_shifts_no_other_draws():
    calm = list(births(scenario(100, rate=0.2), 4))
    drifting = list(births(scenario(100, rate=0.2, drift=FAILURES), 4))
    shift_s = min(event.at_s for event in FAILURES.events if event.kind == "content_shift")
    for (query, before), (other, after) in zip(calm, drifting, strict=True):
        if query.arrival_s >= shift_s:  # Its content, and so its floor, are of after the shift.
            assert query._replace(slo=other.slo) == other
            continue
        assert query == other
        assert before.device_factor == after.device_factor
        assert before.departure_s == after.departure_s
        assert (before.content[0][1] == after.content[0][1]).all()


def test_another_seed_is_another_world():
    one, other = (run(scenario(60, rate=0.2), CheapestFeasible(), seed) for seed in (1, 2))
    assert not one.tables.take()["queries"].equals(other.tables.take()["queries"])


# Money of whole worlds


class Fixed(Planner):
    """Deploys one plan for each query at once.

    Args:
        placement: node of each operator.
        profile: GPU profile.
    """

    def __init__(self, placement, profile="7g.40gb"):
        self.placement = placement
        self.profile = profile

    def plan(self, context):
        for query in context.waiting:
            for plan in context.candidates(query):
                if plan.placement == self.placement and self.profile in (
                    plan.allocation[2].profile,
                    None,
                ):
                    context.deploy(query, plan)
                    break


def usd(machine, seconds):
    return machine.node.price_usd_per_hour * seconds / 3600


def test_invariant_money_standby_machines_are_billed_for_all_the_time_they_are_up():
    failure = DriftEvent("machine_failure", at_s=33, node="edge", duration_s=30)
    for events, up_s in (([], 120), ([failure], 90)):
        made = run(scenario(120, rate=0.0, drift=Drift(events)), CheapestFeasible())
        (edge,) = made.machines.pools["edge"]
        assert made.billing.bill_usd == pytest.approx(usd(edge, up_s), rel=1e-9)
        assert made.billing.idle_usd == pytest.approx(made.billing.bill_usd, rel=1e-9)
        assert made.billing.attributed_usd == {}


def test_invariant_money_devices_cost_nothing():
    everything = workload(5.0, 10.0, lifetime_mean_s=1000.0)
    made = run(scenario(60, workload=everything), Fixed(("device",) * 4, "device"))
    assert made.tables.take()["decisions"]["outcome"].to_list() == ["deployed"] * 2
    assert made.billing.attributed_usd == {}
    (edge,) = made.machines.pools["edge"]
    assert made.billing.bill_usd == pytest.approx(usd(edge, 60))


def test_invariant_money_a_used_machine_is_billed_whole_from_reservation_to_release():
    """The query leaves at its departure, plus draining up to the next tick."""
    made = run(
        scenario(200, workload=workload(5.0)),
        Fixed(("cloud",) * 4),
    )
    frames = made.tables.take()
    (departure_s,) = frames["queries"]["departure_s"]
    assert departure_s < 150
    first, second = made.machines.pools["cloud"]
    (edge,) = made.machines.pools["edge"]
    answers = made.scenario.application.answer_bytes * made.monitor.outcomes["completed"]
    egress = answers * first.node.egress_usd_per_byte
    assert egress > 0
    rented_s = (made.billing.bill_usd - egress - usd(edge, 200)) / usd(first, 1)
    assert departure_s - 5.0 < rented_s < departure_s - 5.0 + 5.0
    slots = 3 * first.node.core_price_usd_per_hour + first.node.slice_price_usd_per_hour("7g.40gb")
    assert made.billing.attributed_usd == {0: pytest.approx(slots * rented_s / 3600 + egress)}
    assert not second.rented
    assert not first.rented


@pytest.mark.parametrize("departure_s", [99.2, 120.0, 120.6, 139.0])
def test_invariant_accounting_a_window_bears_no_cost_of_what_drains_after_a_query(departure_s):
    """Alone on its instance, a query costs the same in every second of its life, not more."""
    workload = Workload(
        arrivals=At((10.0,)),
        lifetime_min_s=departure_s - 10.0,
        lifetime_mean_s=departure_s - 10.0 + 1e-9,
        tiers={"any": Tier(latency_s=20.0)},
    )
    frames = run(scenario(200.0, workload=workload), Fixed(("cloud",) * 4)).tables.take()
    assert frames["queries"]["departure_s"].item() == pytest.approx(departure_s, abs=1e-6)
    windows = frames["windows"].filter(pl.col("deployed_s") == pl.col("active_s"))
    rates = windows["cost_usd"] / windows["active_s"]
    assert rates.len() >= 2
    # Egress of answers comes in lumps.
    assert rates.to_list() == pytest.approx([rates[0]] * rates.len(), rel=1e-2)
