"""The truth is what the world knows, and only planners that declare it may see it."""

import numpy as np
import pytest
from busy_desk import APPLICATIONS, busy_desk, few
from worlds import Does, run, scenario

from sim import PlannerError
from sim.planning.truth import mean_transmission_s


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
