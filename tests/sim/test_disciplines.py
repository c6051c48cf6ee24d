"""In which order stations serve what waits: by hand, by theory, and in a world."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from scipy import stats
from worlds import At, Does, Recording, declared, pipeline, requests, run

from scenarios.application import Tokens
from scenarios.cluster import DISCIPLINES, EDF, FIFO, PRIORITY, Cluster, Node
from scenarios.requests import RequestBlock
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim.blocks.plane import BlocksPlane
from sim.data_plane import COMPLETED, DROPPED, Iterations, StationSpec
from sim.events_plane import EventsPlane
from sim.request_rows import ARRIVAL, ENDED, QUERY, batching_at, queueing_at
from sim.work import NEVER

FOREVER = 10**12


@dataclass
class Stream:
    """A query's requests, and what it is promised."""

    births: list[int]
    bound_ns: int = NEVER
    priority: int = 0
    allowance: list[float] | None = None


def served(spec, *streams, mean=100.0):
    """Return, by end and birth, (query, birth, outcome, end) of requests that visit one station."""
    recording = Recording()
    plane = EventsPlane(recording)
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


# Theory, in the block data plane, which gives the event data plane's departures and is quicker

SERVICE_NS = 1_000_000
COUNT, WARM_UP, REPLICATIONS = 20_000, 2_000, 20


class ByQuery:
    """A recorder that keeps birth, end, and wait of each query's requests."""

    def __init__(self):
        self.ends = {}

    def record(self, rows, born, ended):
        for row in rows[ended]:
            wait_ns = row[queueing_at(1) : batching_at(1)].sum()
            self.ends.setdefault(int(row[QUERY]), []).append((row[ARRIVAL], row[ENDED], wait_ns))

    def of(self, query):
        """Return births, ends and waits after the warm-up, in mean service times."""
        times = np.array(sorted(self.ends[query]), float) / SERVICE_NS
        return times[WARM_UP:].T


def replicate(seed, discipline, loads, bounds=None):
    """Return what became of Poisson streams with exponential service at one server."""
    told = ByQuery()
    plane = BlocksPlane(told)
    plane.add_station(StationSpec(0, discipline=discipline))
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


def test_theory_waits_of_two_priority_classes_are_those_of_cobham():
    """M/M/1, non-preemptive: W_k = rho s / ((1 - rho_1 - .. - rho_{k-1}) (1 - rho_1 - .. - rho_k)).

    A. Cobham, "Priority assignment in waiting line problems", Operations Research 2(1), 1954.
    """
    loads = 0.35, 0.35
    rho = sum(loads)
    expected = rho / (1 - loads[0]), rho / ((1 - loads[0]) * (1 - rho))
    waits = np.array(
        [
            [told.of(query)[2].mean() for query in range(2)]
            for told in (replicate(seed, PRIORITY, loads) for seed in range(REPLICATIONS))
        ]
    )
    half = stats.t.ppf(0.9995, REPLICATIONS - 1) * waits.std(0, ddof=1) / np.sqrt(REPLICATIONS)
    print(waits.mean(0), half, expected)
    assert (np.abs(waits.mean(0) - expected) <= half).all()
    assert (half < 0.1 * np.array(expected)).all()


def test_by_deadline_fewer_are_late_than_by_arrival():
    """The same requests at 0.85 of capacity; half of them have a tight bound, half a wide one."""
    bounds = 4, 40

    def late(seed, discipline):
        told = replicate(seed, discipline, (0.425, 0.425), bounds)
        shares = []
        for query, bound in enumerate(bounds):
            births, ends, _ = told.of(query)
            shares.append((ends - births > bound).mean())
        return np.mean(shares)

    shares = np.array([[late(seed, EDF), late(seed, FIFO)] for seed in range(5)])
    print(shares)
    assert (shares[:, 0] < 0.6 * shares[:, 1]).all()


# A world

TIERS = {"premium": Tier(latency_s=1.0), "economy": Tier(latency_s=4.0)}


def in_the_cloud(desk):
    """Let all queries share the stations of one plan."""
    for query in desk.waiting:
        plans = desk.candidates(query)
        desk.deploy(
            query,
            next(
                plan
                for plan in plans
                if set(plan.placement) == {"cloud"} and plan.configuration.index == 4
            ),
        )


def crowded(tiers=tuple(TIERS), **cluster):
    """Return, by class of service, what became of twelve queries that fill their stations."""
    made = run(
        Scenario(
            declared("speech_recognition", window_s=40.0, requests_per_s=3.0),
            Cluster(
                {"cloud": Node("cloud", "a2-highgpu-1g", standby=1)},
                max_utilisation=0.99,
                **cluster,
            ),
            workload=Workload(
                arrivals=At(tuple(float(number) for number in range(1, 13))),
                lifetime_mean_s=1000.0,
                lifetime_min_s=999.0,
                tiers={name: TIERS[name] for name in tiers},
                datasets={"LibriSpeech": 1.0},
            ),
            horizon_s=300.0,
        ),
        Does(in_the_cloud),
    )
    assert made.planner_errors == []
    assert len(made.machines.stations) == 4, "all share one station for each operator"
    windows = made.tables.take()["windows"].filter(pl.col("completed") > 0)
    return {
        tier: rows.select(
            good=pl.col("good").sum() / pl.col("requests").sum(),
            latency_s=pl.col("latency_mean_s").mean(),
        ).row(0, named=True)
        for (tier,), rows in windows.group_by("tier")
    }


def test_a_world_gives_its_stations_deadlines_and_the_order_of_its_tiers():
    fifo, edf, priority = (crowded(discipline=each) for each in DISCIPLINES)
    reverse = crowded(("economy", "premium"), discipline=PRIORITY)
    for urgent in (edf, priority):
        assert urgent["premium"]["good"] > 1.02 * fifo["premium"]["good"]
        assert urgent["premium"]["latency_s"] < 0.9 * fifo["premium"]["latency_s"]
        assert urgent["economy"]["good"] > 0.99
    assert reverse["premium"]["latency_s"] > 1.1 * fifo["premium"]["latency_s"]
    assert reverse["economy"]["latency_s"] < 0.9 * fifo["economy"]["latency_s"]


def test_an_unknown_discipline_is_told_with_the_nearest():
    with pytest.raises(ValueError, match=r"cluster.discipline=prior: .* \(nearest: priority\)"):
        Cluster({"cloud": Node()}, discipline="prior")
