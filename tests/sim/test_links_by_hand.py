"""Links worked out by hand: changing capacity, a narrow backhaul, and what planners see of both."""

import numpy as np
import pytest
from world_by_hand import ARRIVAL_S, NODES, SEED, SERVICE_S, ByHand, completed, serve
from worlds import Does

from scenarios.cluster import Node
from scenarios.random_streams import stream
from sim.dataplane.base.interface import COMPLETED
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane


@pytest.fixture(params=[BlocksPlane, EventsPlane])
def plane(request):
    return request.param


def test_a_link_carries_what_its_capacity_is_at_the_time(tmp_path, plane):
    """Capacity falls at 12 s, the eleventh second of the query's life, in both directions."""
    world = ByHand(
        tmp_path,
        births_s=(3.5, 11.75, 17.25),
        message=500_000,
        answer=100_000,
        up=[1_000_000] * 10 + [250_000] * 50,
        down=[1_000_000] * 10 + [500_000] * 50,
    ).run(plane)
    assert world.ends() == completed(
        # 0.5 up, 0.05, 0.1 of work, 0.1 down, 0.05
        (3.5, 3.5 + 0.5 + 0.05 + 0.1 + 0.1 + 0.05),
        # 250,000 bytes until 12, the others at a quarter of the rate until 13; at work until
        # 13.15; the answer takes 0.2 and 0.05
        (11.75, 13.4),
        # 2.0 up, 0.05, 0.1, 0.2 down, 0.05
        (17.25, 17.25 + 2.4),
    )
    (decision,) = world.tables["decisions"].to_dicts()
    assert decision["in_force_s"] == ARRIVAL_S  # classical code has no weights to load
    first, crossing, last = (each.transfer_ns for each in world.recording.records)
    assert first == [550_000_000, 150_000_000]
    assert crossing == [1_300_000_000, 250_000_000]
    assert last == [2_050_000_000, 250_000_000]


def test_telemetry_reports_a_window_once_its_latency_bound_has_passed(tmp_path):
    """The world of above: three requests are born in the window that ends at 20 s."""
    seen = {}

    def act(context):
        serve(context, "edge")
        for query in context.running:
            seen[context.now_s] = context.telemetry(query)

    planner = Does(act, replan_every_s=5.0)
    ByHand(
        tmp_path,
        births_s=(3.5, 11.75, 17.25, 22.0),
        message=500_000,
        answer=100_000,
        up=[1_000_000] * 10 + [250_000] * 50,
        down=[1_000_000] * 10 + [500_000] * 50,
    ).run(BlocksPlane, planner)
    assert seen[25.0] == ()
    (report,) = seen[30.0]
    assert (report.end_s, report.born, report.good, report.completed) == (20.0, 3, 3, 3)
    assert report.latency_mean_s == pytest.approx((0.8 + 1.65 + 2.4) / 3)
    assert report.latency_quantile_s == pytest.approx(2.4)
    assert report.waiting_s == (0.0,)
    assert report.compute_s == pytest.approx((0.1,))
    assert report.transfer_s == pytest.approx(((0.55 + 1.3 + 2.05) / 3, (0.15 + 0.25 + 0.25) / 3))
    assert [each.end_s for each in seen[50.0]] == [20.0, 40.0]
    assert seen[50.0][1].born == 1


def test_messages_wait_for_a_slow_link_and_go_on_as_it_recovers(tmp_path, plane):
    """The uplink almost stops for two seconds, from 5 to 7; what waits goes in order."""
    world = ByHand(
        tmp_path,
        births_s=(4.5, 5.5, 6.0),
        message=1_000_000,
        up=[1_000_000] * 3 + [1, 1] + [2_000_000] * 55,
    ).run(plane)
    assert world.ends() == completed(
        # half a megabyte until 5, 2 bytes until 7, and then 499,998 at 2 MB/s; no answer's bytes
        # but its delay, and at least one byte
        (4.5, 7 + 0.249_999 + 0.05 + 0.1 + 0.05 + 1e-8),
        (5.5, 7 + 0.749_999 + 0.05 + 0.1 + 0.05 + 1e-8),
        (6.0, 7 + 1.249_999 + 0.05 + 0.1 + 0.05 + 1e-8),
    )


def test_a_degraded_link_slows_from_the_next_second_of_the_query_on(tmp_path, plane):
    """The drift of 9.3 s begins at 10, since the query lives since 2; the second halves again."""
    world = ByHand(
        tmp_path,
        births_s=(9.5, 15.0),
        message=1_000_000,
        answer=250_000,
        up=[1_000_000],
        down=[1_000_000],
        events=[
            ("link_degradation", {"at_s": 9.3, "factor": 0.5}),
            ("link_degradation", {"at_s": 14.0, "factor": 0.5}),
        ],
    ).run(plane)
    assert world.ends() == completed(
        # half until 10, half at half the rate until 11; 0.15; the answer 0.5 and 0.05
        (9.5, 11 + 0.15 + 0.5 + 0.05),
        # 4 up at a quarter, 0.15, 1 down, 0.05
        (15.0, 15 + 4 + 0.15 + 1 + 0.05),
    )


def test_a_link_recovers_after_its_duration(tmp_path, plane):
    """The drift holds from 10, the next second of the query, to 14."""
    world = ByHand(
        tmp_path,
        births_s=(9.5, 15.0),
        message=1_000_000,
        answer=250_000,
        up=[1_000_000],
        down=[1_000_000],
        events=[("link_degradation", {"at_s": 9.3, "factor": 0.5, "duration_s": 4.7})],
    ).run(plane)
    assert world.ends() == completed(
        (9.5, 11 + 0.15 + 0.5 + 0.05),
        (15.0, 15 + 1 + 0.15 + 0.25 + 0.05),
    )


def test_a_link_worsens_and_recovers_in_twenty_steps(tmp_path, plane):
    """From 11 to 30 s, capacity falls by a fortieth each second, and it rises from 41 to 60 s."""
    world = ByHand(
        tmp_path,
        births_s=(15.0, 35.0, 45.0),
        message=1_000_000,
        up=[1_000_000],
        down=[1_000_000],
        events=[
            ("link_degradation", {"at_s": 10.0, "factor": 0.5, "ramp_s": 20.0, "duration_s": 30.0})
        ],
    ).run(plane)
    ends_s = [each.ended_ns / 1e9 for each in world.recording.records]
    sent_s = [
        16 + 0.125 / 0.85,  # 0.875 MB in the second of 15, the rest at 0.85 MB/s
        37,
        46 + 0.375 / 0.65,  # 0.625 MB in the second of 45, the rest at 0.65 MB/s
    ]
    # Whole bytes are sent in each second, so that one may be left for the next.
    assert ends_s == pytest.approx([each + 0.05 + SERVICE_S + 0.05 for each in sent_s], abs=3e-6)


def test_two_queries_share_a_narrow_backhaul(tmp_path, plane):
    """Requests go one after the other through a backhaul of 1 MB/s, and so do the answers.

    Query 1 arrives so that its first request is born 0.1 s after that of query 0.
    """
    first, other = (stream(SEED, "query", each, "request", "phase").random() for each in (0, 1))
    world = ByHand(
        tmp_path,
        births_s=(5.0, 30.0),
        message=500_000,
        answer=1_000_000,
        node="cloud",
        arrivals_s=(ARRIVAL_S, ARRIVAL_S + 0.1 + other - first),
        backhaul_bps=8e6,
    ).run(plane)
    # Up the access link of 100 MB/s: 0.005 + 0.05. Through the backhaul 0.5, and 0.1 of delay.
    # Query 0 works from 5.655 to 5.755. Its answer takes the backhaul until 6.755, arrives at
    # 6.855 and is at the device 0.01 + 0.05 later. Query 1 has the backhaul from 5.555 to 6.055,
    # works until 6.255, and its answer waits for that of query 0 until 6.755.
    assert world.ends() == completed((5.0, 6.915), (30.0, 31.915))
    (birth, outcome, end), (later, *_) = world.ends(1)
    assert (round(birth, 6), outcome, round(later, 6)) == (5.1, COMPLETED, 30.1)
    assert end == 7.915
    one, two = sorted(world.recording.records[:2], key=lambda each: each.query)
    assert np.array(one.transfer_ns) / 1e9 == pytest.approx([0.655, 1.160], abs=5e-9)
    assert np.array(two.transfer_ns) / 1e9 == pytest.approx([1.055, 1.660], abs=5e-9)


def test_the_edge_is_reached_without_the_backhaul(tmp_path, plane):
    narrow = ByHand(tmp_path, births_s=(5.0,), message=500_000, answer=10**6, backhaul_bps=8.0)
    assert narrow.run(plane).ends() == completed((5.0, 5 + 0.055 + 0.1 + 0.06))


def test_an_oracle_sees_what_is_true_from_now_on(tmp_path):
    """From 12 s on, messages of 500,000 bytes take 2 s up, and answers of 100,000 take 0.4 s."""
    seen = {}

    def look(context):
        serve(context, "edge")
        if context.trigger != "tick" or not context.running:
            return
        truth = context.bulk.truth(context.running[0])
        (device,) = np.flatnonzero(truth.view.station[:, 0] < 0)
        edge = next(at for at in range(len(truth.view)) if "edge" in truth.view.plan(at).placement)
        factors = truth.view.latency_factors[[device, edge], 0].tolist()
        links = truth.view.access_s, truth.view.backhaul_s, truth.view.fixed_s
        seen[round(context.now_s)] = [*(each[edge] for each in links), *factors]

    oracle = Does(look, replan_every_s=10.0)
    oracle.sees_truth = True
    ByHand(
        tmp_path,
        births_s=(5.0,),
        message=500_000,
        answer=100_000,
        up=[1_000_000] * 10 + [250_000] * 2000,
        down=[1_000_000] * 10 + [500_000] * 2000,
        events=[("device_slowdown", {"at_s": 25.0, "factor": 0.5})],
    ).run(BlocksPlane, oracle)
    assert sorted(seen) == [10, 20, 30, 40, 50]
    device = seen[20][3]
    for now_s in (20, 30, 40, 50):
        slowed = 1 if now_s < 25 else 2
        # Every way down counts as backhaul.
        assert seen[now_s] == pytest.approx([2.0, 0.2, 0.1, slowed * device, 1.0])
    assert seen[10][:2] < [2.0, 0.2]


def test_a_prediction_counts_what_others_send_through_the_backhaul(tmp_path):
    """The second query meets the load of the first on the backhaul and on the shared core.

    A core of the cloud works at half the speed of the reference, so that a request takes 0.2 s.
    """
    reference = NODES["cloud"].cpu_relative_speed
    slow = Node("cloud", "n1-standard-8", standby=1, cpu_relative_speed=reference / 2)
    found = []

    def act(context):
        for query in context.waiting:
            plan = next(each for each in context.candidates(query) if each.placement[0] == "cloud")
            context.profile(query, plan, 16)
            found.append(context.predict(query, plan))
            context.deploy(query, plan)

    ByHand(
        tmp_path,
        births_s=(50.0,),
        message=250_000,
        answer=100_000,
        arrivals_s=(2.0, 5.0),
        backhaul_bps=8e6,
        horizon_s=10.0,
        nodes={"edge": NODES["edge"], "cloud": slow},
    ).run(BlocksPlane, Does(act))

    def wait_s(service_s, load):
        """Return the mean wait of an M/D/1 queue."""
        return service_s / 2 * load / (1 - load)

    # Up 0.0025 and 0.25, at work 0.2, down 0.1 and 0.001; there and back 0.1 and 0.2.
    alone_s = 0.0025 + 0.25 + 0.2 + 0.1 + 0.001 + 0.1 + 0.2
    access_s = wait_s(0.0025, 0.0025)
    one, other = found
    assert one.latency_mean_s == pytest.approx(
        alone_s + access_s + wait_s(0.25, 0.25) + wait_s(0.2, 0.2)
    )
    assert one.utilisation == pytest.approx((0.2,))
    assert other.latency_mean_s == pytest.approx(
        alone_s + access_s + wait_s(0.25, 0.5) + wait_s(0.2, 0.4)
    )
    assert other.utilisation == pytest.approx((0.4,))
