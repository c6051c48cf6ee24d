"""Spread of service times that no planner knows: of repeated services, and of cards and cores."""

from itertools import islice

import numpy as np
import pytest
from worlds import declared

from hardware_models.devices import devices
from scenarios.cluster import Cluster, Node
from scenarios.queries import Query
from scenarios.requests import request_blocks
from scenarios.slo import SLO
from sim.api.plan import CORE, Allocation
from sim.cluster.machine import GpuShare, Instance, Machine, Need
from sim.cluster.machines import Station
from sim.controlplane.speeds import HiddenSpeeds
from sim.dataplane.base.interface import Iterations
from sim.planning.profiling_bench import ProfilingBench

CV = 0.3


def factors(name, service_cv):
    """Return the factors of the service times of a query's first requests, by operator."""
    application = declared(name)
    dataset = next(iter(application.datasets))
    query = Query(3, name, dataset, "any", SLO(), devices("phone")[0], "wifi", 10.0, 2.0)
    blocks = islice(request_blocks(application, query, 1, service_cv), 40)
    return np.vstack([block.variability for block in blocks])


def test_repeated_services_vary_by_their_coefficient_around_the_mean():
    drawn = factors("speech_recognition", CV)
    assert len(drawn) > 2_000
    spread = CV / np.sqrt(len(drawn))
    assert drawn.mean(axis=0) == pytest.approx(1.0, abs=4 * spread)
    assert drawn.std(axis=0) == pytest.approx(CV, abs=5 * spread)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(drawn.shape[1])).max() < 5 / np.sqrt(len(drawn))


def test_what_the_application_declares_stays_below_the_spread_and_tokens_have_none():
    before, after = factors("code_generation", 0.0), factors("code_generation", CV)
    kinds = [operator.kind for operator in declared("code_generation").operators]
    for kind, old, new in zip(kinds, before.T, after.T, strict=True):
        assert (old == new).all() == (kind == "llm")


def test_profiling_sees_repeated_services_too():
    application = declared("speech_recognition")
    data = next(iter(application.datasets.values()))
    times = []
    for service_cv in (0.0, CV):
        bench = ProfilingBench(
            application, data, data.stratum_weights, ("query", 0), 0, 0.5, service_cv=service_cv
        )
        found = bench.measure(application.pipeline.configurations[0], np.arange(1000))
        times.append(found.operator_time_s)
    ratios = times[1] / times[0]
    assert ratios.mean(axis=0) == pytest.approx(1.0, abs=0.05)
    assert ratios.std() == pytest.approx(CV, abs=0.03)


# Cards and cores

LOG_SD = 0.2
HIDDEN = Cluster({"cloud": Node("cloud", "a2-highgpu-8g", count=400)}, speed_log_sd=LOG_SD)


def station(machine, *cards):
    """Return a station with a replica on each of a machine's cards, or on a core for None."""
    host = Machine("cloud", HIDDEN.nodes["cloud"], machine)
    instances = [None if card is None else Instance(card, "7g.40gb", 0, 80) for card in cards]
    slots = [GpuShare(host, Need(CORE), instance) for instance in instances]
    return Station(0, (0, (), "cloud", Allocation(CORE)), tuple(slots))


def speed(machine, *cards, seed=1, cluster=HIDDEN):
    return HiddenSpeeds(seed, cluster).of(station(machine, *cards))


def test_speeds_of_cards_are_log_normal_around_nominal():
    logs = np.log([speed(machine, card) for machine in range(400) for card in range(2)])
    assert logs.mean() == pytest.approx(0, abs=4 * LOG_SD / np.sqrt(800))
    assert logs.std() == pytest.approx(LOG_SD, rel=0.15)
    assert len(np.unique(logs)) == 800


def test_invariant_common_randomness_a_speed_depends_on_seed_and_card_alone():
    assert speed(3, 1) == speed(3, 1)
    others = speed(3, 0), speed(2, 1), speed(3, None), speed(3, 1, seed=2)
    assert len({speed(3, 1), *others}) == 5


def test_a_station_has_the_mean_speed_of_its_replicas():
    assert speed(3, 0, 1) == pytest.approx((speed(3, 0) + speed(3, 1)) / 2)


def test_devices_and_clusters_without_spread_have_nominal_speed():
    assert speed(3) == 1.0
    assert speed(3, 1, cluster=Cluster(HIDDEN.nodes, speed_log_sd=0.0)) == 1.0


def test_an_engine_at_half_speed_takes_twice_as_long_for_each_part():
    iterations = Iterations(100, 3.0, 0.5, (10, 15), 1000)
    assert iterations.at_speed(0.5) == Iterations(200, 6.0, 1.0, (20, 30), 1000)
    assert iterations.at_speed(1.0) is iterations
