"""Routes that fork and join, in both data planes: by hand, against theory, and as a property."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from worlds import FAST_LINK, graph, pipeline, recorded, requests

from scenarios.requests import RequestBlock
from sim.dataplane.base.interface import COMPLETED, LinkSpec, StationSpec
from sim.dataplane.base.request_rows import ARRIVAL, ENDED
from sim.dataplane.blocks import tables
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

A, B, C, D = range(4)
FOREVER = 10**9

both_planes = pytest.mark.parametrize("kind", [EventsPlane, BlocksPlane])


def diamond(b_ns=20.0, c_ns=50.0):
    """Lay out a fork after A into B and C, which join before D."""
    return graph(
        0, [(A, 10.0, {}), (B, b_ns, {A: ()}), (C, c_ns, {A: ()}), (D, 5.0, {B: (), C: ()})]
    )


def plane_of(kind, route, births, **stations):
    """Return a plane with one query on a route, and what is told of it.

    Args:
        kind: the data plane.
        route: the route.
        births: when requests are born.
        stations: what of stations ``a``, ``b``, ``c`` and ``d`` differs from a plain queue.
    """
    plane, recording = recorded(kind)
    for number, name in enumerate("abcd"):
        plane.add_station(StationSpec(number, **stations.get(name, {})))
    plane.add_link(LinkSpec(0, FAST_LINK, 0))
    plane.open_source(0, 0, requests(births, operators=4))
    plane.route(0, 0, route)
    return plane, recording


@both_planes
def test_a_join_awaits_the_last_of_its_branches(kind):
    plane, recording = plane_of(kind, diamond(), [1, 11])
    plane.advance(FOREVER)
    first, second = sorted(recording.records, key=lambda record: record.number)
    # A until 11 and 21; B until 31 and 51; C until 61 and 111; then D.
    assert recording.ends() == [(1, COMPLETED, 66), (11, COMPLETED, 116)]
    assert first.compute_ns == second.compute_ns == [10, 20, 50, 5]
    assert first.queueing_ns == [0, 0, 0, 0]
    assert second.queueing_ns == [0, 10, 40, 0]


@both_planes
def test_every_message_to_a_join_crosses_its_links_and_counts(kind):
    """From A to D, 30 bytes from 11 to 41; from B to D as many from 31 on, so from 41 to 71."""
    route = graph(
        0, [(A, 10.0, {}), (B, 20.0, {A: ()}), (D, 5.0, {A: [(0, 30.0)], B: [(0, 30.0)]})]
    )
    plane, recording = plane_of(kind, route, [1])
    plane.advance(FOREVER)
    assert recording.ends() == [(1, COMPLETED, 76)]
    assert recording.records[0].transfer_ns == [0, 0, 30 + 40, 0, 0]


@both_planes
@pytest.mark.parametrize(("b_bytes", "c_bytes"), [(30.0, 4.0), (4.0, 30.0)])
def test_branches_that_reach_a_link_at_one_moment_cross_it_in_order_of_the_route(
    kind, b_bytes, c_bytes
):
    ways = {"b": [(0, b_bytes)], "c": [(0, c_bytes)]}
    route = graph(
        0,
        [
            (A, 10.0, {}),
            (B, 20.0, {A: ways["b"]}),
            (C, 50.0, {A: ways["c"]}),
            (D, 5.0, {B: (), C: ()}),
        ],
    )
    plane, recording = plane_of(kind, route, [1])
    plane.advance(FOREVER)
    assert recording.records[0].transfer_ns == [0, int(b_bytes), int(b_bytes + c_bytes), 0, 0]


@both_planes
@pytest.mark.parametrize(("b_bytes", "c_bytes"), [(30.0, 4.0), (4.0, 30.0)])
def test_branches_from_different_stations_cross_a_link_in_route_order(kind, b_bytes, c_bytes):
    operators = [(A, 10.0, {}), (B, 20.0, {A: ()}), (C, 20.0, {A: ()})]
    operators.append((D, 5.0, {B: [(0, b_bytes)], C: [(0, c_bytes)]}))
    plane, recording = plane_of(kind, graph(0, operators), [1])
    plane.advance(FOREVER)
    assert recording.records[0].transfer_ns == [0, 0, 0, int(b_bytes + b_bytes + c_bytes), 0]


@both_planes
@pytest.mark.parametrize(("b_ns", "end_ns"), [(20.0, 61), (100.0, 211)])
def test_a_request_that_fails_on_a_branch_ends_once_the_others_are_done(kind, b_ns, end_ns):
    """The second is to be done by 56, when C would take it at 61: it sheds it. B serves it."""
    route = replace(diamond(b_ns), bound_ns=45)
    plane, recording = plane_of(kind, route, [1, 11], c={"shed_late": True})
    plane.advance(61)
    assert plane.in_flight(0) == 2
    plane.advance(FOREVER)
    assert recording.ends()[1] == (11, "shed", end_ns)
    assert plane.in_flight(0) == 0
    # C served one, D one, and B both.
    busy_ns = [plane.busy_ns(station) for station in (A, B, C, D)]
    assert busy_ns == [20, int(2 * b_ns), 50, 5]


@both_planes
def test_of_several_failures_the_worst_is_how_a_request_ends(kind):
    """B drops the second at 21; C fails at 30, with both of them; B goes on with the first."""
    plane, recording = plane_of(kind, diamond(b_ns=100.0), [1, 11], b={"capacity": 0})
    plane.fail_station(30, C)
    plane.advance(FOREVER)
    assert recording.ends() == [(1, "lost", 111), (11, "lost", 30)]


@both_planes
def test_a_failed_branch_does_not_fork_any_more(kind):
    """Two diamonds in a row; A has failed, so that all is over at once."""
    operators = [(A, 10.0, {}), (B, 20.0, {A: ()}), (C, 50.0, {A: ()}), (D, 5.0, {B: (), C: ()})]
    plane, recording = plane_of(kind, graph(0, operators), [1, 11])
    plane.fail_station(5, A)
    plane.advance(FOREVER)
    assert recording.ends() == [(1, "lost", 5), (11, "lost", 11)]
    assert [plane.busy_ns(station) for station in (B, C, D)] == [0, 0, 0]


@both_planes
@pytest.mark.parametrize("at_ns", [5, 15, 40, 63])
def test_an_abort_ends_all_branches_at_once_and_servers_go_on(kind, at_ns):
    plane, recording = plane_of(kind, diamond(), [1])
    plane.open_source(0, 1, requests([64], operators=4))
    plane.route(0, 1, pipeline(1, ("station", C, 1.0)))
    plane.abort(at_ns, 0)
    plane.advance(50)
    plane.advance(FOREVER)
    assert recording.ends() == [(1, "dropped", at_ns)]
    assert recording.ends(query=1) == [(64, COMPLETED, 65)]
    assert plane.in_flight(0) == 0
    assert plane.busy_ns(C) == (51 if at_ns > 11 else 1)


@both_planes
def test_at_the_horizon_a_forked_request_is_in_flight_once(kind):
    plane, recording = plane_of(kind, diamond(), [1, 11])
    plane.advance(40)
    plane.finish()
    assert recording.ends() == [(1, "in_flight", 40), (11, "in_flight", 40)]


def test_more_branches_than_there_are_rows_at_first(monkeypatch):
    monkeypatch.setattr(tables, "LEAST", 256)

    def told(kind):
        wide = [
            (A, 1.0, {}),
            *((at, 50.0, {A: ()}) for at in (B, C)),
            (D, 1.0, {B: (), C: (), A: ()}),
        ]
        plane, recording = plane_of(kind, graph(0, wide), list(range(1, 401)))
        plane.advance(390)
        plane.advance(FOREVER)
        return plane, recording.ends()

    plane, blocks = told(BlocksPlane)
    assert len(plane._pool.rows) > 512, "they grew more than once"
    assert len(blocks) == 400
    assert blocks == told(EventsPlane)[1]


def test_gates_of_routes_that_are_over_are_used_again():
    """A plan that changes often must not make the plane ever larger."""
    plane, recording = plane_of(BlocksPlane, diamond(), list(range(1, 200_000, 1000)))
    for deployment in range(1, 200):
        plane.route(1000 * deployment, 0, replace(diamond(), deployment=deployment))
        plane.advance(1000 * deployment + 1)
    plane.advance(FOREVER)
    assert len(recording.ends()) == 200
    assert plane._stops.count < 20


# Theory


@pytest.mark.parametrize(
    ("kind", "replications", "count", "limit"),
    [(EventsPlane, 10, 2_000, 0.08), (BlocksPlane, 40, 20_000, 0.01)],
)
def test_theory_mean_sojourn_of_two_exponential_queues_between_fork_and_join(
    kind, replications, count, limit
):
    """(12 - load) / 8 times that of M/M/1 (Nelson and Tantawi 1988, after Flatto and Hahn 1984)."""
    load, service_ns, warm_up = 0.5, 1e6, 500
    means = []
    for seed in range(replications):
        rng = np.random.default_rng([1984, seed])
        gaps = np.rint(rng.exponential(service_ns / load, count)).astype(np.int64)
        arrivals = np.cumsum(np.maximum(1, gaps))
        factors = np.ones((count, 4))
        factors[:, [B, C]] = rng.exponential(1.0, (count, 2))
        sojourns = []

        class Ends:
            def record(self, rows, born, ended, sojourns=sojourns, after_ns=arrivals[warm_up]):
                late = rows[ended][rows[ended, ARRIVAL] >= after_ns]
                sojourns.append(late[:, ENDED] - late[:, ARRIVAL])

        plane = kind(Ends())
        for station in (A, B, C, D):
            plane.add_station(StationSpec(station))
        plane.open_source(0, 0, iter([RequestBlock(arrivals, *np.ones((3, count)), factors)]))
        operators = [(A, 1.0, {}), (B, service_ns, {A: ()}), (C, service_ns, {A: ()})]
        plane.route(0, 0, graph(0, [*operators, (D, 1.0, {B: (), C: ()})]))
        plane.advance(int(arrivals[-1] + 10_000 * service_ns))
        sojourn_ns = np.concatenate(sojourns)
        assert len(sojourn_ns) == count - warm_up
        means.append(sojourn_ns.mean() / service_ns)
    expected = (12 - load) / 8 / (1 - load)
    half = stats.t.ppf(0.9995, replications - 1) * np.std(means, ddof=1) / replications**0.5
    assert abs(np.mean(means) - expected) <= half
    assert half < 3 * limit * expected


# A property


@st.composite
def graphs(draw):
    """Draw what each operator follows, so that the last joins all that nothing follows yet."""
    follows, loose = [set()], {0}
    for at in range(1, draw(st.integers(2, 5))):
        follows.append(draw(st.sets(st.integers(0, at - 1), min_size=1)))
        loose = (loose - follows[-1]) | {at}
    last = len(follows)
    follows.append(loose | draw(st.sets(st.integers(0, last - 1))))
    return follows


@both_planes
@given(
    follows=graphs(),
    births=st.lists(st.integers(0, 250), min_size=1, max_size=20, unique=True).map(sorted),
    servers=st.integers(1, 2),
    max_batch=st.integers(1, 2),
    data=st.data(),
)
def test_property_along_the_slowest_way_the_parts_add_up_to_the_sojourn(
    kind, follows, births, servers, max_batch, data
):
    plane, recording = recorded(kind)
    operators = []
    for at, some in enumerate(follows):
        plane.add_station(StationSpec(at, servers, max_batch, 7, (1.0, 1.3)[:max_batch]))
        mean_ns = data.draw(st.sampled_from((1.0, 10.0, 33.0)))
        operators.append((at, mean_ns, dict.fromkeys(sorted(some), ())))
    plane.open_source(0, 0, requests(births, operators=len(follows)))
    plane.route(0, 0, graph(0, operators))
    plane.advance(FOREVER)
    assert sorted(record.arrival_ns for record in recording.records) == births
    for record in recording.records:
        done = []
        for at, some in enumerate(follows):
            here = record.queueing_ns[at] + record.batching_ns[at] + record.compute_ns[at]
            done.append(max((done[each] for each in some), default=record.arrival_ns) + here)
        assert done[-1] == record.ended_ns
