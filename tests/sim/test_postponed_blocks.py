"""The block data plane postpones blocks until somebody reads; nobody can tell from the results."""

from collections.abc import Iterator

import numpy as np
import pytest

from hardware_models.devices import devices
from scenarios.queries import Query
from scenarios.random_streams import stream
from scenarios.requests import RequestBlock
from scenarios.slo import SLO
from sim.clock import NS_PER_S
from sim.dataplane.base.interface import LinkSpec, Recorder, Route, StationSpec, Visit
from sim.dataplane.base.rate_profile import RateProfile
from sim.dataplane.base.recorders import RequestLog, Tee
from sim.dataplane.blocks import tables
from sim.dataplane.blocks.plane import BlocksPlane
from sim.metrics.goodput import SloMonitor, Verdicts

QUERIES, UNTIL_S, WINDOW_S = 40, 30, 10


def births(query: int) -> Iterator[RequestBlock]:
    """Yield a Poisson source's requests, two per second."""
    rng, last_ns = stream(0, query), 0
    while True:
        arrival_ns = last_ns + np.cumsum(1 + rng.exponential(NS_PER_S / 2, 8).astype(np.int64))
        last_ns = int(arrival_ns[-1])
        size, ones = rng.uniform(0.5, 1.5, 8), np.ones(8)
        yield RequestBlock(arrival_ns, size, ones, ones, np.ones((8, 1)))


def monitored(verdicts: list[Verdicts]) -> SloMonitor:
    """Return a monitor of all queries, each of which has a deployment of its own number."""
    made = SloMonitor(WINDOW_S, 1, verdicts.append, lambda _: None)
    device = devices("phone")[0]
    for number in range(QUERIES):
        slo = SLO(latency_s=1.5, accuracy=0.5)
        made.arrive(Query(number, "any", "any", "any", slo, device, "5G", 0.0, 2.0), 0)
        made.deploy(number, number, 0, [(0, 0.9)])
    return made


def plane_of(recorder: Recorder) -> BlocksPlane:
    """Return a plane in which all queries send over one link to a station for every four."""
    plane = BlocksPlane(recorder)
    plane.add_link(LinkSpec(0, RateProfile((0,), (100_000,)), 1_000_000))
    for station in range(QUERIES // 4):
        plane.add_station(StationSpec(station, servers=2))
    for number in range(QUERIES):
        plane.open_source(0, number, births(number))
        visits = (Visit(0, None, 0, 1_000.0), Visit(0, number // 4, None, 0.2 * NS_PER_S))
        plane.route(0, number, Route(number, visits))
    return plane


def told(verdicts: list[Verdicts]) -> list[list[object]]:
    """Return the counts of judged windows as plain values."""
    columns = ("index", "born", "good", "sojourn_ns", "latencies_s", "parts_ns", "met")
    return [[getattr(each, name).tolist() for name in columns] for each in verdicts]


def test_no_reader_can_tell_that_blocks_are_postponed():
    late, soon = [], []
    patient, prompt = monitored(late), monitored(soon)
    postponing = plane_of(patient)
    moving = plane_of(Tee(prompt, RequestLog(1)))  # a log that does not ask for late reports
    behind_s = 0.0
    for second in range(1, UNTIL_S + 1):
        for plane, monitor in ((postponing, patient), (moving, prompt)):
            if second == 17:
                plane.fail_station(second * NS_PER_S - NS_PER_S // 3, 5)
            plane.advance(second * NS_PER_S)
            monitor.judge(second * NS_PER_S)
        behind_s = max(behind_s, second - postponing.now_ns / NS_PER_S)
        assert moving.now_ns == second * NS_PER_S
        if second % 7 == 0:
            assert patient.outcomes == prompt.outcomes
            assert postponing.now_ns == second * NS_PER_S
        if second % 7 == 2:
            assert patient.served(3) == prompt.served(3)
            assert patient.trial(3) == prompt.trial(3)
        if second % 7 == 4:
            assert postponing.busy_ns(1) == moving.busy_ns(1)
            assert postponing.in_flight(3) == moving.in_flight(3)
    assert 1 < behind_s <= 10
    assert patient.born_total == prompt.born_total > QUERIES * UNTIL_S
    assert told(late) == told(soon)
    assert len(late) > 1


@pytest.mark.parametrize("rows", [1 << 14, 1 << 17])
def test_messages_are_the_same_with_more_rows_than_caches_hold(monkeypatch, rows):
    monkeypatch.setattr(tables, "LEAST", rows)
    log = RequestLog(1)
    plane = plane_of(log)
    for second in range(1, UNTIL_S + 1):
        plane.advance(second * NS_PER_S)
    plane.finish()
    ended = log.take()
    monkeypatch.setattr(tables, "LEAST", 1 << 14)
    again = RequestLog(1)
    plane = plane_of(again)
    plane.advance(UNTIL_S * NS_PER_S)
    plane.finish()
    assert len(ended) > QUERIES * UNTIL_S
    assert np.array_equal(ended, again.take())
