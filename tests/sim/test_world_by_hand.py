"""Whole worlds worked out by hand: links that change, a narrow backhaul, failures, trials.

Both data planes follow routes that the same code lays, so comparing them cannot show that a route
is wrong. Each expected time is therefore derived here step by step from the rules of
``docs/concepts/world.md``. Times are in seconds, sizes in bytes and rates in bytes per second; one
operator takes 0.1 s on a core of every machine, and each way of a link of the device takes 0.05 s.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from worlds import At, Does, overhear

from scenarios.applications.application import Application
from scenarios.applications.dataset import Dataset
from scenarios.applications.pipeline import Knob, Operator, Pipeline
from scenarios.cluster import DEVICE, NOMINAL, Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.link_traces import LinkTrace
from scenarios.network import Network
from scenarios.numerics.distributions import Constant, Variability
from scenarios.random_streams import stream
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim.api.choices import Choices
from sim.controlplane.world import World
from sim.dataplane.base.interface import COMPLETED, LOST, UNSERVED
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

SEED, ARRIVAL_S, WINDOW_S, SERVICE_S, ACCESS_RTT_S, NEVER_S = 1, 2.0, 20.0, 0.1, 0.1, 1e5
FAST = [10**8]
NODES = {
    "edge": Node("edge", "n1-standard-8", standby=1),
    "cloud": Node("cloud", "n1-standard-8", standby=1),
}


@dataclass(frozen=True)
class Gaps(Variability):
    """Gaps between births, in multiples of the mean, and then none for long."""

    gaps: tuple[float, ...]

    cv = 1.0

    def draw(self, rng, count):
        return np.array([*self.gaps, *[NEVER_S] * (count - len(self.gaps))])


def application(births_s, message_bytes, answer_bytes):
    """Return an application of one operator, whose query 0 has requests of these times.

    A request is expected each second. The first gap begins at a random phase before the arrival.
    """
    phase = stream(SEED, "query", 0, "request", "phase").random()
    gaps = births_s[0] - ARRIVAL_S + phase, *(b - a for a, b in pairwise(births_s))
    half = np.array([[[0.0, 1.0]]])
    return Application(
        Pipeline("by_hand", (Operator("work", "cpu", (Knob("size", (1,)),)),)),
        {
            "data": Dataset(
                "data",
                service_time_s=np.array([[SERVICE_S]]),
                message_bytes=np.array([[float(message_bytes)]]),
                stratum_weights=np.ones(1),
                accuracy=np.array([[0.5]]),
                accuracy_quantiles=half,
                quantile_grid=half,
                request_size=Constant(),
            )
        },
        requests_per_s=1.0,
        interarrival=Gaps(gaps),
        answer_bytes=answer_bytes,
        window_s=WINDOW_S,
    )


class ByHand:
    """A world of one or more queries whose requests have given births and sizes, ready to run."""

    def __init__(self, directory, births_s, message=0, answer=0, up=FAST, down=FAST, **others):
        self.arrivals_s = others.pop("arrivals_s", (ARRIVAL_S,))
        self.node = others.pop("node", "edge")
        self.latency_s = others.pop("latency_s", 10.0)
        events = others.pop("events", ())
        horizon_s, nodes = others.pop("horizon_s", 60.0), others.pop("nodes", NODES)
        self.scenario = Scenario(
            application(births_s, message, answer),
            Cluster(nodes, load_bytes_per_s=1e3, **NOMINAL),
            Network(
                {"mine": 1.0},
                traces={"mine": self._trace(directory, up, down)},
                backhaul_rtt_s=0.2,
                **others,
            ),
            Workload(
                arrivals=At(self.arrivals_s),
                lifetime_mean_s=1001.0,
                lifetime_min_s=1000.0,
                tiers={"any": Tier(latency_s=self.latency_s)},
            ),
            Drift([DriftEvent(kind, **values) for kind, values in events]),
            horizon_s=horizon_s,
        )

    @staticmethod
    def _trace(directory, up, down):
        """Write a recorded link whose replay for query 0 begins with these rates, one a second."""
        length = max(len(up), len(down), 2)
        first = int(stream(SEED, "query", 0, "trace offset").random() * length)
        files = {}
        for name, rates in (("uplink", up), ("downlink", down)):
            replayed = [*rates, *[rates[-1]] * (length - len(rates))]
            rows = [f"{at},{8 * rate}" for at, rate in enumerate(np.roll(replayed, first))]
            files[name] = str(directory / f"{name}.csv")
            (directory / f"{name}.csv").write_text("\n".join(rows))
        return LinkTrace(**files, rtt_s=ACCESS_RTT_S)

    def run(self, plane, planner=None):
        """Run to the horizon; by default, each query is served on one node from its arrival on."""
        planner = planner or Does(lambda context: serve(context, self.node))
        made = World(self.scenario, planner, SEED, plane)
        self.recording = overhear(made)
        made.run(self.scenario.horizon_s)
        self.tables = made.tables.take()
        assert made.planner_errors == []
        return self

    def ends(self, query=0):
        """Return (birth, outcome, end) of the requests of a query, in seconds."""
        return [
            (birth / 1e9, outcome, pytest.approx(end / 1e9, abs=5e-9))
            for birth, outcome, end in self.recording.ends(query)
        ]


def serve(context, node):
    """Deploy a plan on a node for each waiting query."""
    for query in context.waiting:
        plans = context.candidates(query)
        context.deploy(query, next(each for each in plans if each.placement[0] == node))


@pytest.fixture(params=[BlocksPlane, EventsPlane])
def plane(request):
    return request.param


def completed(*times):
    return [(birth, COMPLETED, end) for birth, end in times]


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
