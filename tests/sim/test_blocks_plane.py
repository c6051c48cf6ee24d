"""The block data plane against the event data plane, its specification: identical requests."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import Forgetful, Recording, flat, graph, grown_bytes, pipeline, recorded, requests

from scenarios.applications.dataset import Tokens
from scenarios.applications.pipeline import BATCH_TIMES
from scenarios.cluster import DISCIPLINES, EDF, FIFO, PRIORITY
from scenarios.network import LINK_DISCIPLINES
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.interface import COMPLETED, Iterations, LinkSpec, Route, StationSpec, Visit
from sim.dataplane.base.rate_profile import NOMINAL, RateProfile
from sim.dataplane.blocks import tables
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

OPERATORS = 4
END = 100_000
LATE = {"discipline": EDF, "shed_late": True}
PRIVATE = 100
"""Number of the first of the links of a query; those below are shared."""

BURSTS = st.lists(st.integers(0, 250), min_size=1, max_size=25, unique=True).map(sorted)
SIZES = st.sampled_from((0.1, 1.0, 1.0, 2.5))
BOUNDS_NS = st.sampled_from((40, 90, 300, NEVER))
SHEDDING = st.sampled_from((False, False, True))
QUEUES = st.sampled_from((FIFO, *DISCIPLINES))


@st.composite
def profiles(draw, rates):
    starts = sorted({0, *draw(st.lists(st.integers(1, 200), max_size=2))})
    middle = [draw(st.sampled_from((0, *rates))) for _ in starts[1:]]
    return RateProfile(tuple(starts), (*middle, draw(st.sampled_from(rates))))


@st.composite
def batching(draw, number):
    max_batch = draw(st.sampled_from((1, 1, 2, 3)))
    return StationSpec(
        number,
        servers=draw(st.sampled_from((1, 1, 2, 3))),
        max_batch=max_batch,
        max_wait_ns=draw(st.sampled_from((0, 7, 40))),
        batch_factor=(1.0, 1.3, 1.7)[:max_batch],
        batch_time=draw(st.sampled_from(BATCH_TIMES)),
        speed=draw(profiles((NOMINAL, NOMINAL // 2, 333_333))),
        capacity=draw(st.sampled_from((None, None, 0, 2))),
        discipline=draw(QUEUES),
        shed_late=draw(SHEDDING),
    )


@st.composite
def generating(draw, number):
    step_ns, more_ns = draw(st.integers(1, 6)), draw(st.integers(0, 1))
    return StationSpec(
        number,
        servers=draw(st.integers(1, 3)),
        capacity=draw(st.sampled_from((None, None, 0, 2))),
        iterations=Iterations(
            draw(st.integers(0, 10)),
            draw(st.sampled_from((0.3, 1.0))),
            draw(st.sampled_from((0.0, 0.01))),
            tuple(step_ns + more_ns * active for active in range(draw(st.integers(1, 5)))),
            draw(st.sampled_from((15, 40, 200))),
        ),
        discipline=draw(QUEUES),
        shed_late=draw(SHEDDING),
    )


@st.composite
def routes(draw, deployment, stations, links):
    def crossed(number, mean):
        return [(draw(st.sampled_from(links)) + number, mean)] if draw(st.booleans()) else []

    visited = [spec for spec in stations if draw(st.integers(0, 3))]
    graphs = draw(st.integers(0, 2)) > 0
    operators, loose = [], set()
    for at, spec in enumerate(visited):
        mean = draw(st.sampled_from((5.0, 30.0)))
        if spec.iterations is not None:
            mean = Tokens(mean / 5, mean / 3, draw(st.sampled_from((1, 1, 2))))
        follows = {at - 1} if at else set()
        if graphs and at:
            follows = draw(st.sets(st.integers(0, at - 1), min_size=1))
        if at == len(visited) - 1:
            follows |= loose
        loose = (loose - follows) | {at}
        ways = {each: crossed(spec.id, 20.0) for each in sorted(follows)}
        operators.append((spec.id, mean, ways))
    return graph(deployment, operators, crossed(OPERATORS, 3.0)) if operators else None


@st.composite
def networks(draw):
    """Draw stations and links, and what the control plane orders, in order.

    Links and stations are met in one order by all, so that routes lead forward; links 0 to 3 and
    all stations are shared, the other links are private to a query. Some routes fork and join.
    """
    stations = [
        draw(st.one_of(batching(number), batching(number), generating(number)))
        for number in range(draw(st.integers(1, OPERATORS)))
    ]
    queries = range(draw(st.integers(1, 4)))
    links = [
        LinkSpec(
            number,
            draw(profiles((10**9, 10**8))),
            draw(st.sampled_from((0, 15))),
            draw(st.sampled_from(LINK_DISCIPLINES)),
        )
        for first in (0, *(PRIVATE + 10 * query for query in queries))
        for number in range(first, first + OPERATORS + 1)
    ]
    orders, deployments = [], 0
    for query in queries:
        births = draw(BURSTS)
        sizes = [draw(SIZES) for _ in births]
        lengths = [draw(SIZES) for _ in births]
        allowances = [draw(SIZES) for _ in births]
        # What varies of a later query may be what varies of none before it.
        factors = draw(st.none() | st.lists(SIZES, min_size=OPERATORS, max_size=OPERATORS))
        varying = factors and [factors[i % OPERATORS :] + factors[: i % OPERATORS] for i in births]
        orders.append((0, "open_source", query, (births, sizes, lengths, allowances, varying)))
        promised = {"bound_ns": draw(BOUNDS_NS), "priority": draw(st.integers(0, 2))}
        for at_ns in (0, *draw(st.lists(st.integers(0, 300), max_size=2))):
            route = draw(routes(deployments, stations, (0, PRIVATE + 10 * query)))
            fixed = draw(st.sampled_from((0.0, 0.0, 0.3, 1.0)))
            visits = route and tuple(replace(each, fixed_share=fixed) for each in route.visits)
            route = route and replace(route, visits=visits, **promised)
            orders.append((at_ns, "route", query, route))
            deployments += 1
        if draw(st.integers(0, 3)) == 0:
            orders.append((draw(st.integers(1, 300)), "close_source", query))
    for _ in range(draw(st.integers(0, 2))):
        orders.append((draw(st.integers(1, 300)), "abort", draw(st.integers(0, deployments))))
    if draw(st.integers(0, 2)) == 0:
        orders.append((draw(st.integers(1, 300)), "fail_station", 0))
    for _ in range(draw(st.integers(0, 2))):
        station = draw(st.sampled_from(stations)).id
        factor = draw(st.sampled_from((1.0, 1.5, 2.25)))
        orders.append((draw(st.integers(1, 300)), "slow_down", station, factor))
    orders.sort(key=lambda order: order[0])
    return stations, links, orders, deployments


def built(kind, network):
    stations, links, orders, _ = network
    plane, recording = recorded(kind)
    for spec in stations:
        plane.add_station(spec)
    for spec in links:
        plane.add_link(spec)
    for at_ns, order, *what in orders:
        if order == "open_source":
            query, (births, sizes, *factors) = what
            source = requests(births, sizes, OPERATORS, *factors)
            plane.open_source(at_ns, query, source)
        else:
            getattr(plane, order)(at_ns, *what)
    return plane, recording


def known(recording):
    """List all that was told of births, and of ends; of those not completed, not the parts."""
    ends = [
        flat(each) if each.outcome == COMPLETED else flat(each)[:5] for each in recording.records
    ]
    return sorted(recording.births), sorted(ends, key=str)


random_runs = given(
    network=networks(),
    cuts=st.lists(st.integers(1, 400), max_size=6),
    horizon_ns=st.sampled_from((120, 350, END)),
)


@random_runs
@settings(max_examples=40)
def test_invariant_agreement_of_planes_on_random_networks(network, cuts, horizon_ns):
    check_agreement(network, cuts, horizon_ns)


@pytest.mark.slow
@random_runs
@settings(max_examples=3000)
def test_invariant_agreement_of_planes_on_very_many_random_networks(network, cuts, horizon_ns):
    check_agreement(network, cuts, horizon_ns)


def check_agreement(network, cuts, horizon_ns):
    """Check that both planes tell the same at every cut."""
    stations, _, _, deployments = network
    (blocks, one), (events, other) = built(BlocksPlane, network), built(EventsPlane, network)
    for cut_ns in sorted({*(cut for cut in cuts if cut < horizon_ns), horizon_ns}):
        blocks.advance(cut_ns)
        events.advance(cut_ns)
        assert known(one) == known(other)
        for spec in stations:
            assert blocks.busy_ns(spec.id) == events.busy_ns(spec.id)
        for deployment in range(deployments):
            assert blocks.in_flight(deployment) == events.in_flight(deployment)
    blocks.finish()
    events.finish()
    assert known(one) == known(other)
    assert sorted(one.births) == sorted((each.query, each.arrival_ns) for each in one.records)


def crowd(kind, queries, births, servers=1, max_batch=1, **queue):
    """Return what becomes of many queries that meet at one station, at the same moments."""
    plane, recording = recorded(kind)
    plane.add_link(LinkSpec(0, RateProfile((0,), (10**9,)), 50))
    plane.add_station(
        StationSpec(
            0,
            servers,
            max_batch,
            max_wait_ns=500,
            batch_factor=tuple(1 + 0.3 * i for i in range(max_batch)),
            **queue,
        )
    )
    for query in range(queries):
        plane.open_source(0, query, requests([1000 * (i + 1) for i in range(births)]))
        route = pipeline(query, ("link", 0, 7.0), ("station", 0, 10.0))
        bound_ns, priority = 700 * (1 + query % 7), query % 3
        plane.route(0, query, replace(route, bound_ns=bound_ns, priority=priority))
    for at_ns in (5_000, 12_345):
        plane.advance(at_ns)
    plane.abort(12_500, 7)
    plane.advance(10**9)
    return known(recording)


@pytest.mark.parametrize(("servers", "max_batch"), [(1, 1), (5, 1), (1, 7), (3, 4)])
@pytest.mark.parametrize("queue", [{}, {"discipline": EDF}, {"discipline": PRIORITY}, LATE])
def test_planes_agree_where_many_queries_tie(servers, max_batch, queue):
    crowds = [
        crowd(kind, 120, 14, servers, max_batch, **queue) for kind in (BlocksPlane, EventsPlane)
    ]
    assert len(crowds[0][1]) == 1680
    assert crowds[0] == crowds[1]


def test_rows_grow_while_language_models_generate(monkeypatch):
    """More requests than there is room for at first, all of them under way at once."""
    monkeypatch.setattr(tables, "LEAST", 256)

    def generated(kind):
        plane, recording = recorded(kind)
        model = Iterations(5, 0.5, 0.0, (7,) * 2000, 10**9)
        plane.add_station(StationSpec(0, iterations=model))
        plane.open_source(0, 0, requests(list(range(1, 1201))))
        visit = Visit(0, 0, None, Tokens(3.0, 400.0))
        plane.route(0, 0, Route(0, (visit,)))
        plane.advance(600)
        plane.advance(10**7)
        return plane, known(recording)

    plane, blocks = generated(BlocksPlane)
    assert len(plane._pool.rows) > 1024, "they grew more than once"
    assert len(blocks[1]) == 1200
    assert blocks == generated(EventsPlane)[1]


def test_routes_that_lead_back_are_refused():
    plane = BlocksPlane(Recording())
    plane.add_station(StationSpec(0))
    plane.add_station(StationSpec(1))
    for query in range(2):
        plane.open_source(0, query, requests([1], operators=2))
        there, back = (0, 1) if query else (1, 0)
        plane.route(0, query, pipeline(query, ("station", there, 1.0), ("station", back, 1.0)))
    with pytest.raises(ValueError, match="routes go round in a circle"):
        plane.advance(10)


def test_routes_that_were_replaced_take_no_memory():
    every, count = 10, 3_000
    plane = BlocksPlane(Recording())
    plane.add_station(StationSpec(0))
    plane.open_source(0, 0, requests([5, count * every]))

    def reroute(first, last):
        for number in range(first, last):
            plane.advance(number * every)
            plane.route(number * every, 0, pipeline(number, ("station", 0, 1.0)))

    grown = grown_bytes(reroute, 1, 1000, count)
    assert grown < 120_000, "visits alone would be 128,000"


def test_an_engine_is_free_of_aborted_requests_once_its_station_is_gone():
    """Their places were taken by rows of nobody until the last token, which never comes."""
    plane, every, count = BlocksPlane(Forgetful()), 10_000, 500
    born = [number * every + i for number in range(60) for i in range(1, count + 1)]
    plane.open_source(0, 0, requests(born))

    def serve_and_abort(first, last):
        for number in range(first, last):
            begin = number * every
            model = Iterations(1, 0.0, 0.0, (50,) * count, 10**9)
            plane.add_station(StationSpec(number, iterations=model))
            visit = Visit(0, number, None, Tokens(1.0, 400.0))
            plane.route(begin, 0, Route(number, (visit,)))
            plane.advance(begin + 2_000)
            plane.route(begin + 2_000, 0, None)
            plane.abort(begin + 3_000, number)
            plane.advance(begin + 4_000)
            plane.remove_station(number)

    grown = grown_bytes(serve_and_abort, 0, 10, 60)
    assert grown < 1_000_000, "25,000 rows are five times that"
