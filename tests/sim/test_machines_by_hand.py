"""Machines worked out by hand: their true speed, shared cores, batches, failures, trials."""

from dataclasses import replace

import numpy as np
import pytest
from world_by_hand import SEED, SERVICE_S, ByHand, completed
from worlds import Does

from scenarios.applications.pipeline import Pipeline
from scenarios.cluster import DEVICE, Node
from scenarios.random_streams import stream
from sim.api.choices import Choices
from sim.dataplane.base.interface import COMPLETED, LOST, UNSERVED
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane


@pytest.fixture(params=[BlocksPlane, EventsPlane])
def plane(request):
    return request.param


def test_a_request_takes_its_time_at_the_true_speed_of_its_machine(tmp_path, plane):
    world = ByHand(tmp_path, births_s=(3.5,))
    hidden = replace(world.scenario.cluster, speed_log_sd=0.2)
    world.scenario = replace(world.scenario, cluster=hidden)
    world.run(plane)
    true_speed = np.exp(0.2 * stream(SEED, "node", "edge", 0, "cores", "speed").standard_normal())
    assert abs(true_speed - 1) > 0.01
    assert world.ends() == completed((3.5, 3.5 + 0.05 + SERVICE_S / true_speed + 0.05 + 2e-8))


def two_replicas(context):
    """Deploy two replicas on cores of the edge machine for each waiting query."""
    for query in context.waiting:
        plan = next(each for each in context.candidates(query) if each.placement == ("edge",))
        more = plan.allocation[0]._replace(replicas=2)
        context.deploy(query, replace(plan, allocation=(more,)))


def test_replicas_share_the_core_of_a_small_machine(tmp_path):
    small = {"machine": "n1-standard-1", "standby": 1, "replicas_per_core": 2}
    births_s = (3.5, 3.55)
    world = ByHand(tmp_path, births_s, nodes={"edge": Node("edge", **small)})
    world.run(EventsPlane, Does(two_replicas))
    # Both are at work from 3.6, when the first has 0.05 left, which takes it 0.1 until 3.7; then
    # the second has 0.05 left and the core for itself.
    assert world.ends() == completed((3.5, 3.7 + 0.05 + 2e-8), (3.55, 3.75 + 0.05 + 2e-8))
    slowed = Node("edge", **small, core_slowdown=(1.0, 1.25))
    world = ByHand(tmp_path, births_s, nodes={"edge": slowed})
    world.run(EventsPlane, Does(two_replicas))
    # At 0.4 of the speed of a core, the first ends at 3.725, when the second has 0.05 left.
    assert world.ends() == completed((3.5, 3.725 + 0.05 + 2e-8), (3.55, 3.775 + 0.05 + 2e-8))


def in_pairs(world, planned=2, **work):
    """Let a world's operator run on one core in batches of two, with these data on its batches."""
    operator = replace(world.scenario.application.operators[0], **work)
    pipeline = Pipeline("by_hand", (operator,))
    factors = {("work", (1,)): (1.0, 1.25)}
    changed = replace(world.scenario.application, pipeline=pipeline, batch_factors=factors)
    world.scenario = replace(world.scenario, application=changed)

    def act(context):
        for query in context.waiting:
            view = context.bulk.view(query, Choices(max_batches=(1, planned), max_wait_s=0.5))
            plans = [view.plan(number) for number in range(len(view))]
            batching = [each for each in plans if each.allocation[0].max_batch == planned]
            context.deploy(query, next(each for each in batching if each.placement[0] == "edge"))

    return Does(act)


def test_measured_batches_of_classical_code_can_be_planned(tmp_path, plane):
    world = ByHand(tmp_path, births_s=(3.5, 3.6, 17.25))
    world.run(plane, in_pairs(world))
    # Two messages of a byte, 10 ns, reach the core at 3.55 and 3.65, and take 0.125 together. Their
    # answers leave one after the other. The third waits for a second in vain, for 0.5 s.
    assert world.ends() == completed(
        (3.5, 3.825 + 2e-8), (3.6, 3.825 + 3e-8), (17.25, 17.25 + 0.1 + 0.5 + 0.1 + 2e-8)
    )


def test_batches_of_code_that_were_not_measured_are_no_candidates_and_refused(tmp_path):
    world = ByHand(tmp_path, births_s=(3.5,))
    with pytest.raises(AssertionError, match="StopIteration"):
        world.run(EventsPlane, in_pairs(world, planned=3))

    def act(context):
        for query in context.waiting:
            plan = next(each for each in context.candidates(query) if each.placement == ("edge",))
            more = plan.allocation[0]._replace(max_batch=3)
            context.deploy(query, replace(plan, allocation=(more,)))

    with pytest.raises(AssertionError, match="max_batch=3 is above 2, the largest batch of which"):
        world.run(EventsPlane, Does(act))


def test_a_machine_fails_while_messages_are_on_their_way(tmp_path, plane):
    """The machine is away from 10 to 20 s; its planner deploys again as soon as it is back."""
    world = ByHand(
        tmp_path,
        births_s=(8.8, 9.6, 9.7, 12.0, 21.0),
        message=500_000,
        answer=1_000_000,
        up=[10**6],
        down=[10**6],
        events=[("machine_failure", {"at_s": 10.0, "node": "edge", "duration_s": 10.0})],
    ).run(plane)
    assert world.ends() == [
        # works until 9.45, its answer goes on though its machine fails, until 10.5
        (8.8, COMPLETED, 10.5),
        # sent by 10.1, at the machine at 10.15, which is no more
        (9.6, LOST, 10.15),
        # waits for the link until 10.1, sent by 10.6
        (9.7, LOST, 10.65),
        (12.0, UNSERVED, 12.0),
        (21.0, COMPLETED, 21 + 0.5 + 0.05 + 0.1 + 1 + 0.05),
    ]
    (row,) = world.tables["queries"].to_dicts()
    assert (row["completed"], row["lost"], row["unserved"], row["deployments"]) == (2, 2, 1, 2)


def test_a_machine_fails_while_it_works(tmp_path, plane):
    world = ByHand(
        tmp_path,
        births_s=(9.8, 9.9),
        events=[("machine_failure", {"at_s": 9.9, "node": "edge", "duration_s": 10.0})],
    ).run(plane)
    assert world.ends()[0] == (9.8, LOST, 9.9)  # it worked from 9.85 on
    assert world.ends()[1] == (9.9, UNSERVED, 9.9)


@pytest.mark.parametrize(
    ("fails_s", "latency_s", "response_s", "false_acceptances"),
    [
        (21.99, 10.0, None, 0),  # cut short
        (22.0, 10.0, 0.0, 0),  # over, and met
        (30.0, 10.0, 0.0, 0),
        (21.99, 0.1, None, 0),
        (22.0, 0.1, None, 1),  # over, and failed
        (30.0, 0.1, None, 1),
    ],
)
def test_a_trial_is_void_only_if_its_machine_fails_before_it_is_over(
    tmp_path, fails_s, latency_s, response_s, false_acceptances
):
    """The trial of a deployment of 2 s is over at 22 s; requests take 0.2 s. Nothing is lost."""
    world = ByHand(
        tmp_path,
        births_s=(5.0, 10.0, 20.0),
        latency_s=latency_s,
        events=[("machine_failure", {"at_s": fails_s, "node": "edge", "duration_s": 1000.0})],
    ).run(BlocksPlane)
    (row,) = world.tables["queries"].to_dicts()
    assert row["completed"] == 3
    assert row["response_time_s"] == response_s
    assert row["false_acceptances"] == false_acceptances


def test_a_device_that_slows_down_in_the_midst_of_a_request(tmp_path, plane):
    """From 10 s on, the device works at half its speed, and from 20 s on at a quarter."""
    (alone,) = ByHand(tmp_path, births_s=(5.0,), node=DEVICE).run(plane).recording.records
    full_s = alone.compute_ns[0] / 1e9
    assert alone.ended_ns / 1e9 == pytest.approx(5.0 + full_s)
    slowed = ByHand(
        tmp_path,
        births_s=(10.0 - full_s / 2, 15.0, 25.0),
        node=DEVICE,
        events=[
            ("device_slowdown", {"at_s": 20.0, "factor": 0.5}),
            ("device_slowdown", {"at_s": 10.0, "factor": 0.5}),
        ],
    ).run(plane)
    took_s = [each.compute_ns[0] / 1e9 for each in slowed.recording.records]
    assert took_s == pytest.approx([full_s / 2 + full_s, 2 * full_s, 4 * full_s], abs=1e-8)


def test_a_device_slows_down_in_steps_or_recovers_in_the_midst_of_a_request(tmp_path, plane):
    """From 13 s on, its speed falls by a fortieth every three seconds; or it halves until 40 s."""

    def took_s(births_s, *events):
        world = ByHand(tmp_path, births_s=births_s, node=DEVICE, events=events).run(plane)
        return [each.compute_ns[0] / 1e9 for each in world.recording.records]

    (full_s,) = took_s((5.0,))
    assert full_s < 2.4  # so that it ends within a step
    ramp = ("device_slowdown", {"at_s": 10.0, "factor": 0.5, "ramp_s": 60.0})
    expected_s = pytest.approx([full_s / 0.975, full_s / 0.85], abs=1e-7)
    assert took_s((13.0, 28.0), ramp) == expected_s
    step = ("device_slowdown", {"at_s": 30.0, "factor": 0.5, "duration_s": 10.0})
    expected_s = pytest.approx([1.5 * full_s, full_s], abs=1e-7)
    assert took_s((40.0 - full_s, 45.0), step) == expected_s
