"""Order of service and shedding at stations: by hand, by theory, in a world."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from scipy import stats
from worlds import (
    Does,
    pipeline,
    plan_in,
    queries_at,
    recorded,
    requests,
    run,
    smooth,
    smooth_network,
)

from scenarios.applications.dataset import Tokens
from scenarios.cluster import DISCIPLINES, EDF, FIFO, NOMINAL, PRIORITY, Cluster, Node
from scenarios.requests import RequestBlock
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.interface import COMPLETED, DROPPED, OUTCOMES, SHED, Iterations, StationSpec
from sim.dataplane.base.request_rows import ARRIVAL, ENDED, OUTCOME, QUERY, QUEUEING, line_of
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

FOREVER = 10**12


@dataclass
class Stream:
    """A query's requests, and what it is promised."""

    births: list[int]
    bound_ns: int = NEVER
    priority: int = 0
    allowance: list[float] | None = None


def served(spec, *streams, mean=100.0):
    """Return, by end and birth, (query, birth, outcome, end) of requests that visit one station.

    Both data planes must agree on it.
    """
    ends = ends_in(EventsPlane, spec, streams, mean)
    assert ends == ends_in(BlocksPlane, spec, streams, mean)
    return ends


def ends_in(kind, spec, streams, mean):
    """Return the same of one data plane."""
    plane, recording = recorded(kind)
    plane.add_station(spec)
    for query, stream in enumerate(streams):
        plane.open_source(0, query, requests(stream.births, allowance=stream.allowance))
        route = pipeline(query, ("station", spec.id, mean))
        plane.route(0, query, replace(route, bound_ns=stream.bound_ns, priority=stream.priority))
    plane.advance(FOREVER)
    return [
        (each.query, each.arrival_ns, each.outcome, each.ended_ns)
        for each in sorted(recording.records, key=lambda each: (each.ended_ns, each.arrival_ns))
    ]


def order(spec, *streams):
    """Return the births of requests by end."""
    return [birth for _, birth, *_ in served(spec, *streams)]


# By hand


def test_each_discipline_has_its_order():
    """All but the first come while it is served, and wait."""
    streams = (
        Stream([10, 11], 1000, priority=2),
        Stream([20, 30], 300, priority=1),
        Stream([50], 250, priority=1),
        Stream([15], priority=0),
    )
    assert order(StationSpec(0, discipline=FIFO), *streams) == [10, 11, 15, 20, 30, 50]
    assert order(StationSpec(0, discipline=EDF), *streams) == [10, 50, 20, 30, 11, 15]
    assert order(StationSpec(0, discipline=PRIORITY), *streams) == [10, 15, 20, 30, 50, 11]


def test_equal_deadlines_are_served_by_arrival_and_then_by_query():
    streams = Stream([0, 20], 150), Stream([40], 130), Stream([20], 150)
    ends = [each[:2] for each in served(StationSpec(0, discipline=EDF), *streams)]
    assert ends == [(0, 0), (0, 20), (2, 20), (1, 40)]


def test_a_deadline_allows_for_what_the_bound_allows():
    stream = Stream([0, 1, 2], 100, allowance=[1.0, 10.0, 1.0])
    assert order(StationSpec(0, discipline=EDF), stream) == [0, 2, 1]


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_nobody_is_interrupted(discipline):
    low, high = Stream([0], 1000, priority=1), Stream([1], 50, priority=0)
    ends = served(StationSpec(0, discipline=discipline), low, high)
    assert ends == [(0, 0, COMPLETED, 100), (1, 1, COMPLETED, 200)]


def test_a_batch_takes_the_first_by_discipline():
    spec = StationSpec(0, max_batch=2, batch_factor=(1.0, 1.0), discipline=PRIORITY)
    ends = served(spec, Stream([0, 10, 20], priority=1), Stream([30]))
    assert [(birth, end) for _, birth, _, end in ends] == [
        (0, 100),
        (10, 200),
        (30, 200),
        (20, 300),
    ]


def test_the_longest_batching_wait_counts_from_who_came_first():
    spec = StationSpec(0, 1, 3, 1000, batch_factor=(1.0, 1.0, 1.0), discipline=PRIORITY)
    ends = served(spec, Stream([7], priority=1), Stream([500]))
    assert [end for *_, end in ends] == [1107, 1107]


def test_a_full_buffer_drops_the_last_by_discipline():
    spec = StationSpec(0, capacity=1, discipline=PRIORITY)
    low, high = Stream([0, 10], priority=1), Stream([20, 30])
    assert served(spec, low, high) == [
        (0, 10, DROPPED, 20),
        (1, 30, DROPPED, 30),
        (0, 0, COMPLETED, 100),
        (1, 20, COMPLETED, 200),
    ]


def generating(places, kv_tokens):
    times = Iterations(100, 10.0, 0.0, (50,) * places, kv_tokens)
    return StationSpec(0, iterations=times, discipline=PRIORITY)


def test_a_language_model_admits_by_discipline():
    """There is memory for one at a time, though places for four."""
    ends = served(generating(4, 100), Stream([0, 1], priority=1), Stream([2]), mean=Tokens(40, 20))
    assert [birth for _, birth, *_ in ends] == [0, 2, 1]


def test_a_language_model_keeps_a_place_that_it_has_promised():
    """At 10, the second place is promised for the boundary at 140; at 20 there is none left."""
    ends = served(generating(2, 1000), Stream([0, 10], priority=1), Stream([20]), mean=Tokens(4, 9))
    assert [birth for _, birth, *_ in ends] == [0, 10, 20]


def test_what_is_late_is_shed_when_a_server_would_take_it():
    """At 100 the deadline of who came at 10 has just come; who came at 11 has a nanosecond left."""
    spec = StationSpec(0, shed_late=True)
    assert served(spec, Stream([0, 10, 11], 90), Stream([150])) == [
        (0, 0, COMPLETED, 100),
        (0, 10, SHED, 100),
        (0, 11, COMPLETED, 200),
        (1, 150, COMPLETED, 300),
    ]


def test_a_batch_is_filled_with_those_that_are_not_late():
    spec = StationSpec(0, max_batch=2, batch_factor=(1.0, 1.0), shed_late=True)
    assert served(spec, Stream([0, 10, 11, 20], 90), Stream([30])) == [
        (0, 0, COMPLETED, 100),
        (0, 10, SHED, 100),
        (0, 11, COMPLETED, 200),
        (0, 20, COMPLETED, 200),
        (1, 30, COMPLETED, 300),
    ]


def test_late_requests_are_not_shed_in_service_or_before_their_batch_starts():
    assert served(StationSpec(0, shed_late=True), Stream([0], 50)) == [(0, 0, COMPLETED, 100)]
    filling = StationSpec(0, 1, 3, 70, (1.0, 1.0, 1.0), shed_late=True)
    assert served(filling, Stream([0], 50), Stream([30])) == [
        (0, 0, SHED, 70),
        (1, 30, COMPLETED, 170),
    ]


def test_a_language_model_sheds_requests_that_it_would_admit_too_late():
    """The second finds no memory until 1450, and its deadline has come then."""
    spec = replace(generating(4, 100), shed_late=True)
    ends = served(spec, Stream([0, 1], 1449), Stream([2]), mean=Tokens(40, 20))
    assert [(birth, outcome, end) for _, birth, outcome, end in ends] == [
        (0, COMPLETED, 1450),
        (1, SHED, 1450),
        (2, COMPLETED, 2900),
    ]


@pytest.mark.parametrize("kind", [EventsPlane, BlocksPlane])
def test_a_place_that_an_abort_frees_is_given_away_at_the_boundary(kind):
    """The request of query 1 leaves at 30 the place that it was promised for the boundary at 140.

    What comes at 50 could never fit, and is not queued; so the queue is not looked at before 140,
    when the deadline of query 2 has passed.
    """
    plane, recording = recorded(kind)
    plane.add_station(replace(generating(2, 1000), shed_late=True))
    for query, (birth, sequences) in enumerate([(0, 1), (10, 1), (20, 1), (50, 3)]):
        plane.open_source(0, query, requests([birth]))
        route = pipeline(query, ("station", 0, Tokens(4, 9, sequences)))
        plane.route(0, query, replace(route, bound_ns=80 if query == 2 else NEVER))
    plane.abort(30, 1)
    plane.advance(FOREVER)
    ends = [recording.ends(query) for query in range(4)]
    assert ends == [
        [(0, COMPLETED, 140 + 8 * 50)],
        [(10, DROPPED, 30)],
        [(20, SHED, 140)],
        [(50, DROPPED, 50)],
    ]


# Theory, in the block data plane, which gives the event data plane's departures and is quicker

SERVICE_NS = 1_000_000
COUNT, WARM_UP, REPLICATIONS = 20_000, 2_000, 20


class ByQuery:
    """A recorder that keeps birth, end, wait and outcome of each query's requests."""

    def __init__(self):
        self.ends = {}

    def record(self, rows, born, ended):
        for row in rows[ended]:
            wait_ns = row[line_of(0) + QUEUEING]
            end = row[ARRIVAL], row[ENDED], wait_ns, row[OUTCOME]
            self.ends.setdefault(int(row[QUERY]), []).append(end)

    def of(self, query):
        """Return births, ends and waits after the warm-up, in mean service times; and outcomes."""
        *times, outcomes = np.array(sorted(self.ends[query]))[WARM_UP:].T
        return *(each / SERVICE_NS for each in times), outcomes


def replicate(seed, spec, loads, bounds=None):
    """Return what became of Poisson streams with exponential service at one server."""
    told = ByQuery()
    plane = BlocksPlane(told)
    plane.add_station(spec)
    rng = np.random.default_rng([314, seed])
    last_ns = 0
    for query, load in enumerate(loads):
        gaps = np.maximum(1, np.rint(rng.exponential(SERVICE_NS / load, COUNT))).astype(np.int64)
        births = np.cumsum(gaps)
        ones, factors = np.ones((3, COUNT)), rng.exponential(1.0, (COUNT, 1))
        plane.open_source(0, query, iter([RequestBlock(births, *ones, factors)]))
        bound_ns = NEVER if bounds is None else bounds[query] * SERVICE_NS
        route = pipeline(query, ("station", 0, float(SERVICE_NS)))
        plane.route(0, query, replace(route, bound_ns=bound_ns, priority=query))
        last_ns = max(last_ns, int(births[-1]))
    plane.advance(last_ns + 10_000 * SERVICE_NS)
    return told


def check(values, expected, limit):
    """Check that the 99.9 % t-interval of the mean holds what is expected, and is narrow."""
    half = stats.t.ppf(0.9995, REPLICATIONS - 1) * values.std(0, ddof=1) / np.sqrt(REPLICATIONS)
    print(values.mean(0), half, expected)
    assert (np.abs(values.mean(0) - expected) <= half).all()
    assert (half < limit * expected).all()


def test_theory_waits_of_two_priority_classes_are_those_of_cobham():
    """M/M/1, non-preemptive: W_k = rho s / ((1 - rho_1 - .. - rho_{k-1}) (1 - rho_1 - .. - rho_k)).

    A. Cobham, "Priority assignment in waiting line problems", Operations Research 2(1), 1954.
    """
    spec, loads = StationSpec(0, discipline=PRIORITY), (0.35, 0.35)
    rho = sum(loads)
    expected = rho / (1 - loads[0]), rho / ((1 - loads[0]) * (1 - rho))
    waits = np.array(
        [
            [told.of(query)[2].mean() for query in range(2)]
            for told in (replicate(seed, spec, loads) for seed in range(REPLICATIONS))
        ]
    )
    check(waits, np.array(expected), 0.05)


@pytest.mark.parametrize("load", [pytest.param(0.8, marks=pytest.mark.slow), 1.2])
def test_theory_share_that_is_shed_is_that_of_barrer(load):
    """M/M/1, FIFO, shed after a wait of tau: rho E (1 - rho) / (1 - rho^2 E), E = e^(-(1-rho) tau).

    D. Y. Barrer, "Queuing with impatient customers and ordered service", Operations Research 5(5),
    1957. There they leave as soon as they have waited so long, which is the same to the server.
    """
    bound = 3
    decay = np.exp(-(1 - load) * bound)
    expected = load * decay * (1 - load) / (1 - load**2 * decay)
    shares = []
    for seed in range(REPLICATIONS):
        told = replicate(seed, StationSpec(0, shed_late=True), (load,), (bound,))
        _, _, waits, outcomes = told.of(0)
        shares.append((outcomes == OUTCOMES.index(SHED)).mean())
        assert waits[outcomes == OUTCOMES.index(COMPLETED)].max() < bound
    check(np.array(shares), expected, 0.05)


def test_shedding_bounds_sojourns_where_load_exceeds_capacity():
    """Sojourns are below the bound plus the own service, at any load; without shedding, at none."""
    bound, seed, load = 5, 1, 1.5
    sojourns = {}
    for shed_late in (True, False):
        told = replicate(seed, StationSpec(0, shed_late=shed_late), (load,), (bound,))
        births, ends, _, outcomes = told.of(0)
        sojourns[shed_late] = (ends - births)[outcomes == OUTCOMES.index(COMPLETED)]
        assert len(sojourns[shed_late]) > 0.5 * len(births)
    assert sojourns[True].max() < bound + 20
    assert sojourns[False].min() > 100 * bound


@pytest.mark.slow
def test_by_deadline_fewer_are_late_than_by_arrival():
    """The same requests at 0.85 of capacity; half of them have a tight bound, half a wide one."""
    bounds = 4, 40

    def late(seed, discipline):
        told = replicate(seed, StationSpec(0, discipline=discipline), (0.425, 0.425), bounds)
        shares = []
        for query, bound in enumerate(bounds):
            births, ends, *_ = told.of(query)
            shares.append((ends - births > bound).mean())
        return np.mean(shares)

    shares = np.array([[late(seed, EDF), late(seed, FIFO)] for seed in range(2)])
    print(shares)
    assert (shares[:, 0] < 0.6 * shares[:, 1]).all()


# A world

TIERS = {"premium": Tier(latency_s=1.0), "economy": Tier(latency_s=4.0)}


def in_the_cloud(context):
    """Let all queries share the stations of one plan."""
    for query in context.waiting:
        context.deploy(query, plan_in(context, query, "cloud", 4))


def crowded(tiers=tuple(TIERS), **cluster):
    """Return, by class of service, what became of twelve queries that fill their stations."""
    made = run(
        Scenario(
            smooth("speech_recognition", window_s=40.0, requests_per_s=3.0),
            Cluster(
                {"cloud": Node("cloud", "a2-highgpu-1g", standby=1)},
                max_utilisation=0.99,
                **NOMINAL,
                **cluster,
            ),
            smooth_network(),
            queries_at(
                *(float(number) for number in range(1, 13)),
                tiers={name: TIERS[name] for name in tiers},
            ),
            horizon_s=300.0,
        ),
        Does(in_the_cloud),
    )
    assert made.planner_errors == []
    assert len(made.machines.stations) == 4, "all share one station for each operator"
    frames = made.tables.take()
    assert frames["queries"]["shed"].sum() == made.monitor.outcomes[SHED]
    windows = frames["windows"].filter(pl.col("completed") > 0)
    return {
        tier: rows.select(
            good=pl.col("good").sum() / pl.col("requests").sum(),
            latency_s=pl.col("latency_mean_s").mean(),
            shed=pl.col("shed").sum(),
        ).row(0, named=True)
        for (tier,), rows in windows.group_by("tier")
    }


def test_a_world_gives_its_stations_deadlines_and_the_order_of_its_tiers():
    fifo, edf, priority = (crowded(discipline=each) for each in (FIFO, EDF, PRIORITY))
    reverse = crowded(("economy", "premium"), discipline=PRIORITY)
    for urgent in (edf, priority):
        assert urgent["premium"]["good"] > 1.02 * fifo["premium"]["good"]
        assert urgent["premium"]["latency_s"] < 0.9 * fifo["premium"]["latency_s"]
        assert urgent["economy"]["good"] > 0.99
    assert reverse["premium"]["latency_s"] > 1.1 * fifo["premium"]["latency_s"]
    assert reverse["economy"]["latency_s"] < 0.9 * fifo["economy"]["latency_s"]


def test_a_world_sheds_what_is_late_and_counts_it():
    kept, shedding = crowded(), crowded(shed_late=True)
    assert kept["premium"]["shed"] == 0
    assert shedding["premium"]["shed"] > 0
    assert shedding["premium"]["good"] > 1.01 * kept["premium"]["good"]


def test_an_unknown_discipline_is_told_with_the_nearest():
    with pytest.raises(ValueError, match=r"cluster.discipline=prior: .* did you mean 'priority'"):
        Cluster({"cloud": Node()}, discipline="prior")
