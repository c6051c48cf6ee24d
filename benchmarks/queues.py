"""Customers per second through M/M/c and tandem queues: both data planes, plain SimPy, and Ciw.

Each program draws its own exponential times and records only the time that each customer spends in
the system. The program in plain SimPy has a process for each customer and a ``Resource`` for each
station. Ciw is measured if it is installed (``pip install ciw``). The mean times are compared with
queueing theory, because a comparison of speeds is fair only between programs with the same results.
Times are processor seconds of a single thread.
"""

from collections.abc import Callable, Generator, Iterator
from math import factorial
from time import thread_time
from typing import Any

import numpy as np
import simpy

from scenarios.numerics import Ints
from scenarios.requests import RequestBlock
from sim.dataplane.base.interface import DataPlane, Recorder, Route, StationSpec, Visit
from sim.dataplane.base.request_rows import ARRIVAL, ENDED
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

LOAD = 0.8
MEAN_NS = 1_000_000.0
QUEUES = {"M/M/1": (1,), "M/M/4": (4,), "M/M/16": (16,), "three in tandem": (1, 1, 1)}
CUSTOMERS = {"blocks": 5_000_000, "events": 100_000, "SimPy": 100_000, "Ciw": 20_000}
PORTION = 4096


class Sojourns:
    """A recorder that sums sojourn times."""

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        del born
        self.count += len(ended)
        self.total_ns += int((rows[ended, ENDED] - rows[ended, ARRIVAL]).sum())


def gap_ns(servers: tuple[int, ...]) -> float:
    return MEAN_NS / (LOAD * min(servers))


def births(servers: tuple[int, ...]) -> Iterator[RequestBlock]:
    """Yield Poisson arrivals with exponential service times."""
    rng, last_ns, ones = np.random.default_rng(0), 0, np.ones(PORTION)
    while True:
        gaps = np.maximum(1, np.rint(rng.exponential(gap_ns(servers), PORTION)))
        arrival_ns = last_ns + np.cumsum(gaps.astype(np.int64))
        last_ns = int(arrival_ns[-1])
        times = rng.standard_exponential((PORTION, len(servers)))
        yield RequestBlock(arrival_ns, ones, ones, ones, times)


def on_plane(
    kind: Callable[[Recorder], DataPlane], servers: tuple[int, ...], customers: int
) -> tuple[float, float]:
    """Return customers per second, and the mean sojourn time over the mean service time."""
    recorder = Sojourns()
    plane = kind(recorder)
    for station, count in enumerate(servers):
        plane.add_station(StationSpec(station, count))
    visits = tuple(Visit(i, i, None, MEAN_NS) for i in range(len(servers)))
    plane.open_source(0, 0, births(servers))
    plane.route(0, 0, Route(0, visits))
    plane.advance(round(gap_ns(servers)))  # compiles
    started = thread_time()
    plane.advance(round(customers * gap_ns(servers)))
    spent_s = thread_time() - started
    return recorder.count / spent_s, recorder.total_ns / recorder.count / MEAN_NS


def on_simpy(servers: tuple[int, ...], customers: int) -> tuple[float, float]:
    """Return the same for plain SimPy."""
    rng, env = np.random.default_rng(0), simpy.Environment()
    stations = [simpy.Resource(env, count) for count in servers]
    gaps = rng.exponential(gap_ns(servers), customers).tolist()
    times = rng.exponential(MEAN_NS, (customers, len(servers))).tolist()
    sojourns = []

    def customer(its: list[float]) -> Generator[simpy.Event, Any, None]:
        began = env.now
        for station, time in zip(stations, its, strict=True):
            with station.request() as request:
                yield request
                yield env.timeout(time)
        sojourns.append(env.now - began)

    def arrivals() -> Generator[simpy.Event, Any, None]:
        for gap, its in zip(gaps, times, strict=True):
            yield env.timeout(gap)
            env.process(customer(its))

    env.process(arrivals())
    started = thread_time()
    env.run()
    return customers / (thread_time() - started), float(np.mean(sojourns)) / MEAN_NS


def on_ciw(servers: tuple[int, ...], customers: int) -> tuple[float, float] | None:
    """Return the same for Ciw; None if it is not installed."""
    try:
        import ciw
    except ImportError:
        return None
    stations = len(servers)
    ciw.seed(0)
    network = ciw.create_network(
        arrival_distributions=[
            ciw.dists.Exponential(1 / (gap_ns(servers) / MEAN_NS)) if i == 0 else None
            for i in range(stations)
        ],
        service_distributions=[ciw.dists.Exponential(1.0) for _ in servers],
        routing=[[float(j == i + 1) for j in range(stations)] for i in range(stations)],
        number_of_servers=list(servers),
    )
    simulation = ciw.Simulation(network)
    started = thread_time()
    simulation.simulate_until_max_customers(customers)
    spent_s = thread_time() - started
    sojourns: dict[int, float] = {}
    for each in simulation.get_all_records():
        sojourn = each.exit_date - each.arrival_date
        sojourns[each.id_number] = sojourns.get(each.id_number, 0.0) + sojourn
    return customers / spent_s, float(np.mean(list(sojourns.values())))


def theory(servers: tuple[int, ...]) -> float:
    """Return the mean sojourn over the mean service time, by Erlang's C and Burke's theorem."""
    total = 0.0
    for count in servers:
        offered = LOAD * min(servers)
        busy = offered / count
        top = offered**count / factorial(count) / (1 - busy)
        waits = top / (sum(offered**k / factorial(k) for k in range(count)) + top)
        total += 1 + waits / (count - offered)
    return total


def measure() -> dict[str, Any]:
    """Return the figures."""
    figures: dict[str, Any] = {"benchmark": "queues"}
    for name, servers in QUEUES.items():
        found = {
            "blocks": on_plane(BlocksPlane, servers, CUSTOMERS["blocks"]),
            "events": on_plane(EventsPlane, servers, CUSTOMERS["events"]),
            "SimPy": on_simpy(servers, CUSTOMERS["SimPy"]),
            "Ciw": on_ciw(servers, CUSTOMERS["Ciw"]),
        }
        expected = theory(servers)
        for program, result in found.items():
            if result is None:
                print(f"{name}, {program}: is not installed", flush=True)
                continue
            rate, sojourn = result
            print(
                f"{name}, {program}: {rate:,.0f} customers/s; "
                f"mean sojourn {sojourn:.2f} service times, in theory {expected:.2f}",
                flush=True,
            )
            figures.setdefault(name, {})[program] = round(rate)
    return figures
