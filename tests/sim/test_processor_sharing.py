"""Stations that share a host's cores, against queueing theory and worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from worlds import Recording, Sojourns, flat, pipeline, recorded, requests

from scenarios.requests import RequestBlock
from sim.dataplane.base.interface import Iterations, Processor, StationSpec
from sim.dataplane.base.rate_profile import NOMINAL, RateProfile, constant
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

FOREVER = 10**9
MANY = 200
"""Servers of a station whose requests never wait: at most as many share the core."""


def served(stations, arrivals):
    """Return a plane that has served a request at each (time, station, time alone), in ns."""
    plane, recording = recorded(EventsPlane)
    for spec in stations:
        plane.add_station(spec)
    for query, (at_ns, station, work_ns) in enumerate(arrivals):
        plane.open_source(0, query, requests([at_ns]))
        plane.route(0, query, pipeline(query, ("station", station, work_ns)))
    plane.advance(FOREVER)
    records = sorted(recording.records, key=lambda record: record.query)
    assert all(record.outcome == "completed" for record in records)
    return plane, records


def ends(stations, arrivals):
    """Return when each request of `served` ends."""
    return [record.ended_ns for record in served(stations, arrivals)[1]]


# By hand


def test_two_stations_share_one_core():
    core = Processor(0, 1)
    stations = [StationSpec(0, processor=core), StationSpec(1, processor=core)]
    # Alone until 20; half speed until the second has done its 30 at 80; then alone for the last 50.
    plane, (one, other) = served(stations, [(0, 0, 100.0), (20, 1, 30.0)])
    assert (one.ended_ns, other.ended_ns) == (130, 80)
    assert (one.compute_ns, other.compute_ns) == ([130], [60])
    assert (plane.busy_ns(0), plane.busy_ns(1)) == (130, 60)


def test_two_cores_with_two_stations_of_two_servers():
    cores = Processor(0, 2)
    stations = [StationSpec(number, servers=2, processor=cores) for number in range(2)]
    # 0-10 one alone; 10-20 two on two cores; from 20 three on two cores, so at speed 2/3. The
    # second has done 10 of 20 by then, and ends at 35; the first has then done 30 of 60. Two are
    # left, and work at full speed until the third, which has done 10 of 40, ends at 65.
    arrivals = [(0, 0, 60.0), (10, 1, 20.0), (20, 0, 40.0)]
    assert ends(stations, arrivals) == [65, 35, 65]


def test_a_request_that_waits_for_a_server_takes_no_share():
    core = Processor(0, 1)
    stations = [StationSpec(0, processor=core), StationSpec(1, processor=core)]
    # The third waits behind the first, which shares the core with the second until 40.
    arrivals = [(0, 0, 20.0), (0, 1, 30.0), (5, 0, 20.0)]
    _, records = served(stations, arrivals)
    assert [record.ended_ns for record in records] == [40, 60, 70]
    assert records[2].queueing_ns == [35]


def test_slowdown_by_busy_servers_multiplies_the_share():
    cores = Processor(0, 2, (1.0, 1.25))
    stations = [StationSpec(0, servers=3, processor=cores)]
    # Two on two cores work at 1 / 1.25; three at 2/3 of that, and the last slowdown still holds.
    assert ends(stations, [(0, 0, 100.0), (0, 0, 100.0)]) == [125, 125]
    assert ends(stations, [(0, 0, 100.0)] * 3) == [188, 188, 188]  # 187.5


def test_batches_share_as_single_requests_do():
    core = Processor(0, 1)
    batching = {"max_batch": 2, "batch_factor": (1.0, 1.5)}
    stations = [StationSpec(0, processor=core, **batching), StationSpec(1, processor=core)]
    # A batch of 150 and a request of 50: half speed until 100, then alone.
    assert ends(stations, [(0, 0, 100.0), (0, 0, 100.0), (0, 1, 50.0)]) == [200, 200, 100]


def test_equal_services_that_start_together_end_together():
    stations = [StationSpec(0, servers=7, processor=Processor(0, 3))]
    assert ends(stations, [(5, 0, 90.0)] * 7) == [215] * 7


def test_hosts_do_not_share_with_each_other():
    stations = [
        StationSpec(0, processor=Processor(0, 1)),
        StationSpec(1, processor=Processor(1, 1)),
    ]
    assert ends(stations, [(0, 0, 100.0), (0, 1, 100.0)]) == [100, 100]


def test_constant_speed_of_a_station_scales_its_work():
    slow = StationSpec(0, speed=constant(NOMINAL // 2), processor=Processor(0, 1))
    assert ends([slow], [(0, 0, 100.0)]) == [200]


def test_requests_lost_in_service_keep_the_core_busy():
    core = Processor(0, 1)
    plane, recording = recorded(EventsPlane)
    for number in range(2):
        plane.add_station(StationSpec(number, processor=core))
        plane.open_source(0, number, requests([0]))
        plane.route(0, number, pipeline(number, ("station", number, 50.0)))
    plane.fail_station(20, 0)
    plane.advance(FOREVER)
    found = sorted((each.query, each.outcome, each.ended_ns) for each in recording.records)
    assert found == [(0, "lost", 20), (1, "completed", 100)]


# Where nothing is shared, nothing changes


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from((0.4, 5.0, 33.3, 70.0))),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 3),
    st.integers(1, 3),
)
@settings(max_examples=25)
def test_enough_cores_give_what_stations_of_their_own_give(arrivals, servers, max_batch):
    spec = {
        "servers": servers,
        "max_batch": max_batch,
        "max_wait_ns": 9,
        "batch_factor": (1.0, 1.3, 1.7),
    }
    asked = [(at_ns, 0, work_ns) for at_ns, work_ns in arrivals]
    own, one = served([StationSpec(0, **spec)], asked)
    shared, other = served([StationSpec(0, **spec, processor=Processor(0, servers))], asked)
    assert [flat(each) for each in one] == [flat(each) for each in other]
    assert own.busy_ns(0) == shared.busy_ns(0)


# Theory


LOAD, SERVICE_NS, REPLICATIONS, WARM_UP, COUNT = 0.4, 1_000_000.0, 20, 100, 1_000
DRAWN = {
    "deterministic": lambda rng: np.ones(COUNT),
    "exponential": lambda rng: rng.exponential(1.0, COUNT),
    # two exponential branches that each bring half of the work; cv^2 = 2
    "hyperexponential": lambda rng: (
        rng.exponential(1.0, COUNT) / (2 * np.where(rng.random(COUNT) < 0.7887, 0.7887, 0.2113))
    ),
}


@pytest.mark.parametrize("service", DRAWN)
def test_theory_mean_sojourn_of_processor_sharing_depends_on_mean_service_alone(service):
    """M/G/1-PS: the mean sojourn is E[S] / (1 - rho) (Kleinrock, Queueing Systems 2, 4.4)."""
    means = []
    for seed in range(REPLICATIONS):
        rng = np.random.default_rng([31, seed])
        arrival_ns = np.cumsum(rng.exponential(SERVICE_NS / LOAD, COUNT)).astype(np.int64)
        factors = DRAWN[service](rng)
        sojourns = Sojourns(int(arrival_ns[WARM_UP]))
        plane = EventsPlane(sojourns)
        plane.add_station(StationSpec(0, MANY, processor=Processor(0, 1)))
        block = RequestBlock(arrival_ns, *np.ones((3, COUNT)), factors[:, None])
        plane.open_source(0, 0, iter([block]))
        plane.route(0, 0, pipeline(0, ("station", 0, SERVICE_NS)))
        plane.advance(int(arrival_ns[-1] + 1_000 * SERVICE_NS))
        assert len(sojourns.all_ns) == COUNT - WARM_UP
        means.append(np.mean(sojourns.all_ns) / SERVICE_NS)
    mean, expected = np.mean(means), 1 / (1 - LOAD)
    half = stats.t.ppf(0.9995, REPLICATIONS - 1) * np.std(means, ddof=1) / np.sqrt(REPLICATIONS)
    print(f"{service}: {mean:.3f} +- {half:.3f}, is {expected:.3f}")
    assert abs(mean - expected) <= half
    assert half < 0.1 * expected


# What is refused


def test_blocks_name_the_data_plane_that_shares_processors():
    with pytest.raises(ValueError, match="only data_plane=events simulates"):
        BlocksPlane(Recording()).add_station(StationSpec(0, processor=Processor(0, 1)))


@pytest.mark.parametrize(
    ("cores", "slowdown", "said"),
    [(0, (1.0,), "cores=0"), (1, (), "slowdown="), (1, (0.0,), "slowdown=")],
)
def test_a_processor_needs_cores_and_speeds(cores, slowdown, said):
    with pytest.raises(ValueError, match=said):
        Processor(0, cores, slowdown)


@pytest.mark.parametrize(
    "station",
    [
        {"speed": RateProfile((0, 9), (NOMINAL, 1))},
        {"iterations": Iterations(0, 1.0, 0.0, (1,), 10)},
    ],
)
def test_a_shared_station_has_one_speed_and_serves_batches(station):
    with pytest.raises(ValueError, match="shared processor"):
        StationSpec(0, processor=Processor(0, 1), **station)
