"""Views and bulk predictions agree with those of single plans; the truth is guarded."""

from dataclasses import replace
from functools import cache
from itertools import islice, pairwise, product
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import BRANCHED, Does, declared, run, scenario

from scenarios.cluster import DEVICE, FIFO, NOMINAL, Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.network import PROCESSOR_SHARING, Network
from scenarios.scenario import Scenario
from scenarios.workload import Workload
from sim import Choices, Estimate, PlannerError, PlanningContext
from sim.api.plan_view import AT_ONCE, CAPACITY, CROWDED, KEY, LATENCY, SERVERS, STATION
from sim.controlplane.world import World
from sim.dataplane.blocks.plane import BlocksPlane
from sim.planning.call import PlanningCall
from sim.planning.truth import mean_transmission_s

APPLICATIONS = ("speech_recognition", "dense_video_captioning", "live_video_chat", BRANCHED)
WIDE = Choices((100, 50), (1, 4), (1, 2), max_wait_s=0.03, cores=(1, 3))
ELSE = Choices((50,), (4,), (2,), max_wait_s=0.03, cores=(3,))
OTHERS = Choices((25,), (2,), (3,), cores=(5,))
SPACES = [
    *product(APPLICATIONS, (Choices(),)),
    *product(APPLICATIONS[:2], (WIDE,)),
    ("live_video_chat", ELSE),  # whose wide space is very large
]


class ReachedError(Exception):
    """Leaves a world as it is before a call of its planner."""


class StopsBusy(World):
    """A world that stops when four queries run and another one waits, with a context open."""

    kept: PlanningContext

    def call_planner(self, trigger):
        self.kept = self.context(PlanningCall(self.planning_service, self.env.now, 5.0), trigger)
        if len(self.kept.running) >= 4 and self.kept.waiting:
            raise ReachedError
        super().call_planner(trigger)


@cache
def busy_desk(application, drift=False, links=FIFO):
    """Return an open context of a world in which some queries run, and the world."""

    def act(context):
        for query in context.waiting:
            plans = list(context.bulk.view(query).number[::97])
            for index in plans[query.id % 5 :: 7]:
                plan = context.bulk.view(query).space.plan(int(index))
                if context.fits(query, plan):
                    context.deploy(query, plan)
                    break

    made = StopsBusy(
        Scenario(
            declared(application),
            Cluster(
                {
                    "edge": Node("edge", "g2-standard-8", standby=1),
                    "cloud": Node("cloud", "a2-highgpu-1g", count=3),
                },
                **NOMINAL,
            ),
            Network({"4G-LTE": 1.0, "WiFi": 1.0}, discipline=links),
            Workload(rate=0.1, devices={"phone": 1.0, "jetson": 1.0}),
            Drift([DriftEvent("device_slowdown", at_s=1.0)] if drift else []),
            horizon_s=3600.0,
        ),
        Does(act),
        1,
        BlocksPlane,
    )
    with pytest.raises(ReachedError):
        made.run(3600.0)
    return made.kept, made


def few(context):
    """Return a query that waits and two that run; views of all would take long."""
    return context.waiting[0], *context.running[:2]


def drawn(data, context, choices):
    """Return a query of a context, its view, and the numbers of some plans."""
    query = data.draw(st.sampled_from(few(context)))
    view = context.bulk.view(query, choices)
    return query, view, data.draw(st.lists(st.integers(0, len(view) - 1), min_size=1, max_size=6))


@pytest.mark.parametrize(("application", "choices"), SPACES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_property_a_view_has_the_figures_of_its_plans(application, choices, data):
    context, _ = busy_desk(application)
    query, view, numbers = drawn(data, context, choices)
    for number in numbers:
        plan = view.plan(number)
        assert view.index_of(plan) == number
        elsewhere = context.bulk.view(query, OTHERS).index_of(plan)
        assert (elsewhere is None) == any(place != DEVICE for place in plan.placement)
        estimate = context.profile(query, plan, 0)
        assert (
            context.world.pipeline.configurations[view.configuration[number]] == plan.configuration
        )
        assert view.latency_factors[number] == pytest.approx(estimate.latency_factors)
        assert view.capacity_factors[number] == pytest.approx(
            context.world.capacity_factors(query, plan)
        )
        assert view.access_s[number] + view.backhaul_s[number] == pytest.approx(estimate.transfer_s)
        assert view.fixed_s[number] == pytest.approx(estimate.fixed_s)
        assert view.cost_usd_per_hour[number] == pytest.approx(estimate.cost_usd_per_hour)
        for operator, station in enumerate(view.station[number].tolist()):
            share, place = plan.allocation[operator], plan.placement[operator]
            assert view.servers[number, operator] == share.servers
            if place == DEVICE:
                assert station == -1
                continue
            kind = view.stations[station]
            assert (kind.operator, kind.node, kind.profile) == (operator, place, share.profile)
            assert (kind.replicas, kind.max_batch) == (share.replicas, share.max_batch)
            assert (kind.servers, kind.thread_percent) == (share.servers, share.thread_percent)


@pytest.mark.parametrize(("application", "choices"), SPACES)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), samples=st.integers(2, 40))
def test_property_predictions_in_bulk_equal_those_of_single_plans(
    application, choices, samples, data
):
    context, _ = busy_desk(application)
    query, view, numbers = drawn(data, context, choices)
    plans = [view.plan(number) for number in numbers]
    bench = context._service.bench(query, 0)  # itself, as no budget would suffice for all examples
    measured = [Estimate(bench.measure(plan.configuration, np.arange(samples))) for plan in plans]
    mean_s, quantile_s = context.bulk.predict_many(
        query,
        view,
        np.array(numbers),
        np.array([each.measurement.operator_mean_s for each in measured]),
        np.array([each.measurement.time_cv for each in measured]),
        normalised=np.array([each.measurement.normalised for each in measured]),
    )
    for number, (plan, estimate) in enumerate(zip(plans, measured, strict=True)):
        one = context.predict(query, plan, estimate)
        assert mean_s[number] == pytest.approx(one.latency_mean_s, rel=1e-9)
        assert quantile_s[number] == pytest.approx(one.latency_quantile_s, rel=1e-9)


@pytest.mark.parametrize("application", [APPLICATIONS[0], BRANCHED])
def test_predictions_in_bulk_equal_those_of_single_plans_where_messages_share_links(application):
    context, _ = busy_desk(application, links=PROCESSOR_SHARING)
    query, bench = context.waiting[0], context._service.bench(context.waiting[0], 0)
    view = context.bulk.view(query)
    numbers = range(0, len(view), len(view) // 30)
    plans = [view.plan(number) for number in numbers]
    measured = [Estimate(bench.measure(plan.configuration, np.arange(9))) for plan in plans]
    many = context.bulk.predict_many(
        query,
        view,
        np.array(numbers),
        np.array([each.measurement.operator_mean_s for each in measured]),
        np.array([each.measurement.time_cv for each in measured]),
        normalised=np.array([each.measurement.normalised for each in measured]),
    )
    ones = [context.predict(query, *each) for each in zip(plans, measured, strict=True)]
    assert any(0 < each.latency_mean_s < inf for each in ones)
    np.testing.assert_allclose(many[0], [each.latency_mean_s for each in ones], rtol=1e-9)
    np.testing.assert_allclose(many[1], [each.latency_quantile_s for each in ones], rtol=1e-9)


def test_latency_without_queueing_is_that_of_the_slowest_way():
    context, world = busy_desk(BRANCHED)
    query = context.waiting[0]
    view, nominal = context.bulk.view(query), world.planning_service.nominal
    slowest = set()
    for number in range(0, len(view), len(view) // 50):
        plan = view.plan(number)
        crossings = list(nominal.crossings(query, plan))
        estimate = context.profile(query, plan, 16)
        times_s = estimate.measurement.operator_time_s * estimate.latency_factors
        ways_s = []
        for path in context.world.pipeline.paths:
            met = [crossing for crossing in crossings if crossing.edge in path.edges]
            moved_s = sum(
                8 * crossing.mean_bytes / nominal.capacity_bps(query, crossing) for crossing in met
            )
            fixed_s = sum(nominal.propagation_s(query, crossing) for crossing in met)
            served_s = times_s[:, list(path.operators)].sum(axis=1)
            ways_s.append(fixed_s + served_s + moved_s * estimate.measurement.size)
        assert estimate.latency_s == pytest.approx(np.max(ways_s, axis=0))
        slowest.update(np.argmax(ways_s, axis=0).tolist())
    assert slowest == {0, 1}


def test_branches_may_part_on_their_way_up_and_no_message_may_move_down():
    context, _ = busy_desk(BRANCHED)
    query = context.waiting[0]
    view, places = context.bulk.view(query), ("device", "edge", "cloud")
    seen = {view.plan(number).placement for number in range(0, len(view), 37)}
    ranks = {tuple(map(places.index, placement)) for placement in seen}
    assert all(a <= b <= c <= e and a <= d <= e for a, b, c, d, e in ranks)
    assert any(c > d for _, _, c, d, _ in ranks)
    plan = next(
        view.plan(number)
        for number in range(len(view))
        if view.plan(number).placement[2:] == ("cloud", "edge", "cloud")
    )
    back = replace(
        plan,
        placement=(*plan.placement[:4], "edge"),
        allocation=(*plan.allocation[:4], plan.allocation[3]),
    )
    with pytest.raises(PlannerError, match="data move up only"):
        context.fits(query, back)


def test_plans_may_be_named_by_any_sequence_and_times_by_one_row():
    context, _ = busy_desk(APPLICATIONS[0])
    query = context.waiting[0]
    view = context.bulk.view(query)
    row = np.full(view.station.shape[1], 0.1)
    expected = context.bulk.predict_many(
        query, view, np.arange(9), np.tile(row, (9, 1)), np.full(9, 0.5)
    )
    for indices in (range(9), list(range(9))):
        given = context.bulk.predict_many(
            query, view, indices, row.tolist(), 0.5, normalised=(1, 1)
        )
        assert [each.tolist() for each in given] == [each.tolist() for each in expected]


@pytest.mark.parametrize("load", ["present", 0.5])
def test_plans_may_share_rows_and_be_slower_on_the_device_or_elsewhere(load):
    context, _ = busy_desk(APPLICATIONS[0])
    query = context.waiting[0]
    view = context.bulk.view(query)
    rng = np.random.default_rng(5)
    times_s, cv = rng.uniform(0.01, 0.2, (3, view.station.shape[1])), rng.uniform(0.1, 1.0, 3)
    factors, row = rng.uniform(0.5, 2.0, (3, 2)), rng.integers(3, size=len(view))
    slower = np.where(view.station < 0, 2.0, 3.0)
    every = np.arange(len(view))
    expected = context.bulk.predict_many(
        query, view, every, slower * times_s[row], cv[row], load, factors[row]
    )
    given = context.bulk.predict_many(
        query, view, every, times_s, cv, load, factors, row=row, slower=(2.0, 3.0)
    )
    assert [each.tolist() for each in given] == [each.tolist() for each in expected]


@pytest.mark.parametrize(("links", "share"), [(FIFO, 0.5), (PROCESSOR_SHARING, 1.0)])
def test_links_may_be_slower_in_transmission_propagation_and_as_a_queue(links, share):
    """As on an uplink of a third of the bandwidth, with messages that delay each other.

    Equal messages that share a link delay each other twice as much as if they wait (M/G/1).
    """
    context, _ = busy_desk(APPLICATIONS[0], links=links)
    query = context.waiting[0]
    view = context.bulk.view(query)
    every = np.arange(len(view))
    times_s = np.full((len(view), view.station.shape[1]), 1e-9)
    usual_s, slow_s = (
        context.bulk.predict_many(query, view, every, times_s, 0.0, 0.0, links_slower=slower)[0]
        for slower in (1.0, 3.0)
    )
    sent = query.requests_per_s * view.access_s
    used = sent > 0
    wait_s = share * view.access_s * sent / (1 - sent)
    slow_wait_s = share * 3 * view.access_s * 3 * sent / (1 - 3 * sent)
    assert used.any()
    assert (3 * sent[used] < 1).all()
    links_s = view.access_s + view.backhaul_s + view.fixed_s
    more_s = 2 * links_s + slow_wait_s - wait_s
    rtol = 1e-6 if links == FIFO else 1e-4  # Others slow the query's own messages on the backhaul.
    np.testing.assert_allclose((slow_s - usual_s)[used], more_s[used], rtol=rtol)
    np.testing.assert_array_equal(slow_s[~used & (links_s == 0)], usual_s[~used & (links_s == 0)])
    jammed = context.bulk.predict_many(
        query, view, every, times_s, 0.0, 0.0, links_slower=1.01 / sent[used].min()
    )[0]
    assert np.isinf(jammed[used]).all()


@pytest.mark.parametrize("application", APPLICATIONS)
def test_load_of_other_queries_slows_predictions_for_shared_stations(application):
    """Without it, the equality above could hold for an idle cluster only."""
    context, world = busy_desk(application)
    query = context.waiting[0]
    view = context.bulk.view(query)
    times_s = world.scenario.application.datasets[query.dataset].service_time_s[view.configuration]
    everything = np.arange(len(view))
    now, _ = context.bulk.predict_many(query, view, everything, times_s, 0.5)
    alone, _ = context.bulk.predict_many(query, view, everything, times_s, 0.5, load=0.0)
    shared = [context.bulk.view(query).plan(int(number)) for number in np.flatnonzero(now != alone)]
    keys = {key for key in world.machines.stations if key[2] != DEVICE}
    assert shared
    for plan in shared[:50]:
        stations = {
            (
                at,
                context.world.pipeline.operator_key(at, plan.configuration),
                place,
                plan.allocation[at],
            )
            for at, place in enumerate(plan.placement)
        }
        assert stations & keys


def test_operator_keys_and_kinds_agree_between_views_where_plans_can_share():
    context, _ = busy_desk("speech_recognition")
    first, other = context.waiting[0], context.running[0]
    rng = np.random.default_rng(3)
    one, two = context.bulk.view(first), context.bulk.view(other)
    shared = 0
    for a, b in zip(
        rng.integers(len(one), size=400), rng.integers(len(two), size=400), strict=True
    ):
        for operator in range(one.station.shape[1]):
            plans = one.plan(int(a)), two.plan(int(b))
            keys = [
                (
                    context.world.pipeline.operator_key(operator, plan.configuration),
                    plan.placement[operator],
                    plan.allocation[operator],
                )
                for plan in plans
            ]
            if DEVICE in (keys[0][1], keys[1][1]):
                continue
            same = (
                one.stations[one.station[a, operator]] == two.stations[two.station[b, operator]]
                and one.operator_key[a, operator] == two.operator_key[b, operator]
            )
            assert same == (keys[0] == keys[1])
            shared += same
    assert shared


def test_a_view_has_the_candidates_and_choices_add_to_them():
    context, _ = busy_desk("speech_recognition")
    query = context.waiting[0]
    view = context.bulk.view(query)
    plans = [view.plan(number) for number in range(len(view))]
    assert plans == list(context.candidates(query, "enumeration"))
    wide = context.bulk.view(query, WIDE)
    assert set(plans) < {wide.plan(number) for number in range(len(wide))}
    assert view.latency_factors.flags.writeable is False


@pytest.mark.parametrize(("application", "choices"), SPACES)
def test_records_are_the_figures_in_order_of_configurations(application, choices):
    context, _ = busy_desk(application)
    view = context.bulk.view(context.waiting[0], choices)
    records = view.records
    assert records.order[records.place].tolist() == list(range(len(view)))
    for index, (begin, end) in enumerate(pairwise(records.ends.tolist())):
        assert (view.configuration[records.order[begin:end]] == index).all()
    assert records.ends[-1] == len(view)
    for each in (view, view.at_speed(np.full(view.station.shape, 2.0))):
        figures = {
            STATION: each.station,
            KEY: each.operator_key,
            SERVERS: each.servers,
            AT_ONCE: each.at_once,
            LATENCY: each.latency_factors,
            CAPACITY: each.capacity_factors,
            CROWDED: each.crowded_factors,
        }
        for column, figure in figures.items():
            np.testing.assert_array_equal(each.records.served[records.place, :, column], figure)
        for number, way in enumerate((each, *each.ways)):
            links = (way.access_s, way.backhaul_s, way.backhaul_up_s, way.fixed_s)
            np.testing.assert_array_equal(
                each.records.met[records.place, number], np.column_stack(links)
            )


@pytest.mark.parametrize(
    "wrong",
    [
        {"thread_percents": (0,)},
        {"thread_percents": (101,)},
        {"max_batches": ()},
        {"replicas": (1, 1)},
        {"replicas": (1.5,)},
        {"max_wait_s": -1.0},
    ],
)
def test_choices_that_no_machine_offers_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Choices(**wrong)


def test_choices_given_as_lists_are_those_given_as_tuples():
    assert Choices([100, 50]) == Choices((100, 50))
    assert hash(Choices([100, 50])) == hash(Choices((100, 50)))


def test_a_design_load_is_slower_than_none_and_never_below_the_own_load():
    context, world = busy_desk("speech_recognition")
    query = context.waiting[0]
    view = context.bulk.view(query)
    times_s = world.scenario.application.datasets[query.dataset].service_time_s[view.configuration]
    everything = np.arange(len(view))
    light, _ = context.bulk.predict_many(query, view, everything, times_s, 0.5, load=0.0)
    heavy, tail = context.bulk.predict_many(query, view, everything, times_s, 0.5, load=0.7)
    finite = np.isfinite(light)
    off_device = (view.station >= 0).any(axis=1)
    assert np.isfinite(heavy[finite]).all()
    assert (heavy[finite & off_device] > light[finite & off_device]).all()
    assert heavy[~off_device] == pytest.approx(light[~off_device], nan_ok=True)
    assert (tail[finite] > heavy[finite]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"load": 1.0},
        {"load": "average"},
        {"operator_time_s": np.ones(3)},
        {"time_cv": np.ones(5)},
        {"operator_time_s": np.ones((2, 4)), "row": np.zeros(6, dtype=np.int64)},
    ],
)
def test_predictions_of_what_does_not_fit_together_are_refused(wrong):
    context, _ = busy_desk("speech_recognition")
    query = context.waiting[0]
    usual = {"operator_time_s": np.ones(4), "time_cv": 0.5}
    with pytest.raises(PlannerError):
        context.bulk.predict_many(query, context.bulk.view(query), np.arange(7), **usual | wrong)


@pytest.mark.parametrize("wrong", [{"indices": [-1]}, {"indices": [10**9]}, {"row": [2]}])
def test_predictions_of_plans_or_rows_that_are_not_there_are_refused(wrong):
    context, _ = busy_desk("speech_recognition")
    query = context.waiting[0]
    usual = {"indices": [0], "operator_time_s": np.ones((2, 4)), "time_cv": 0.5, "load": 0.0}
    with pytest.raises(IndexError, match="no such plan, or no such row"):
        context.bulk.predict_many(query, context.bulk.view(query), **usual | {"row": [1]} | wrong)


def test_predictions_in_bulk_are_charged_by_the_thousand():
    charged = []

    def act(context):
        for query in islice(context.waiting, 1):
            view = context.bulk.view(query)
            for many in (1, 1000, 1001):
                before = context.remaining(query)
                context.bulk.predict_many(query, view, np.arange(many), np.ones(4), 0.5)
                charged.append(before - context.remaining(query))

    run(scenario(horizon_s=30.0), Does(act))
    assert charged[:3] == pytest.approx([20e-6, 20e-6, 40e-6])


class Seer(Does):
    sees_truth = True


def test_only_planners_that_declare_sees_truth_may_see_it():
    seen, refused = [], []

    def act(context):
        for query in context.waiting:
            try:
                seen.append(context.bulk.truth(query))
            except PlannerError as error:
                refused.append(str(error))

    run(scenario(horizon_s=30.0), Does(act))
    assert refused
    assert not seen
    assert "sees_truth" in refused[0]
    refused.clear()
    run(scenario(horizon_s=30.0), Seer(act))
    assert seen
    assert not refused


@pytest.mark.parametrize("application", APPLICATIONS)
def test_the_truth_is_what_the_world_knows(application):
    context, world = busy_desk(application, drift=True)
    context._call.sees_truth = True
    assert context.now_s > 1.0
    for query in few(context):
        view, truth = context.bulk.view(query), context.bulk.truth(query)
        hidden = world.registry.living[query.id].truth
        here = view.station < 0
        slower = view.latency_factors / (0.5 * hidden.device_factor)
        assert truth.view.latency_factors[here] == pytest.approx(slower[here])
        assert truth.view.latency_factors[~here] == pytest.approx(view.latency_factors[~here])
        dataset = world.scenario.application.datasets[query.dataset]
        assert truth.accuracy == pytest.approx(dataset.expected_accuracy(hidden.content[-1][1]))
        assert truth.operator_time_s == pytest.approx(dataset.service_time_s, rel=0.05)
        nominal_s = world.scenario.network.link(query.technology).rtt_s
        for true_way, way in zip(truth.view.ways, view.ways, strict=True):
            rtt_s = true_way.fixed_s - way.fixed_s
            assert rtt_s[here.all(axis=1)] == pytest.approx(0.0)
            assert rtt_s[~here.all(axis=1)] == pytest.approx(hidden.access_rtt_s - nominal_s)


@pytest.mark.parametrize("application", APPLICATIONS)
def test_profiling_much_comes_near_the_truth(application):
    context, _ = busy_desk(application)
    context._call.sees_truth = True
    query = context.running[-1]  # of which no other test measured a few items, again and again
    assert query not in few(context)
    truth = context.bulk.truth(query)
    for configuration in context.world.pipeline.configurations[::40]:
        measured = context._service.bench(query, 0).measure(configuration, np.arange(1024))
        at = configuration.index
        assert measured.operator_mean_s == pytest.approx(truth.operator_time_s[at], rel=0.2)
        assert measured.time_cv == pytest.approx(truth.time_cv[at], rel=0.3, abs=0.02)
        assert measured.normalised == pytest.approx(truth.normalised[at], rel=0.2)
        assert measured.accuracy_mean == pytest.approx(truth.accuracy[at], abs=0.06)


def test_messages_on_a_constant_link_take_their_size_over_its_capacity():
    sizes = np.array([1.0, 50.0, 5000.0])
    assert mean_transmission_s(np.full(20, 100), sizes) == pytest.approx(sizes / 100)


def test_an_outage_delays_the_messages_that_meet_it():
    """10 bytes at 10 bytes/s take 1 s; those that start in the outage of 1 s wait it out."""
    link = np.array([10, 1, 10, 10])
    expected = (1 + (1 + 0.9) + 1 + 1) / 4
    assert mean_transmission_s(link, np.array([10.0])) == pytest.approx(expected)
