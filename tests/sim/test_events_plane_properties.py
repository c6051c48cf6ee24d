"""What must hold in every data-plane world: random small ones, with drift, faults and aborts."""

from dataclasses import dataclass, replace
from heapq import heappop, heappush

from hypothesis import given
from hypothesis import strategies as st
from worlds import finish_step_by_step, flat, pipeline, recorded, requests

from scenarios.cluster import DISCIPLINES, EDF, PRIORITY
from sim.dataplane.base.interface import (
    COMPLETED,
    DROPPED,
    IN_FLIGHT,
    LOST,
    OUTCOMES,
    SHED,
    UNSERVED,
    LinkSpec,
    StationSpec,
)
from sim.dataplane.base.rate_profile import NOMINAL, RateProfile
from sim.dataplane.events.plane import EventsPlane

OPERATORS = 3
END = 100_000


@st.composite
def profiles(draw, rates):
    """Draw a step function of one to three steps."""
    starts = sorted({0, *draw(st.lists(st.integers(1, 200), max_size=2))})
    middle = [draw(st.sampled_from((0, *rates))) for _ in starts[1:]]
    return RateProfile(tuple(starts), (*middle, draw(st.sampled_from(rates))))


@st.composite
def stations(draw, number=0, capacities=(None,)):
    max_batch = draw(st.integers(1, 3))
    return StationSpec(
        number,
        servers=draw(st.integers(1, 3)),
        max_batch=max_batch,
        max_wait_ns=draw(st.sampled_from((0, 7, 40))),
        batch_factor=(1.0, 1.3, 1.7)[:max_batch],
        speed=draw(profiles((NOMINAL, NOMINAL // 2, 333_333))),
        capacity=draw(st.sampled_from(capacities)),
        discipline=draw(st.sampled_from(DISCIPLINES)),
        shed_late=draw(st.booleans()),
    )


ARRIVALS = st.lists(st.integers(0, 250), min_size=1, max_size=20, unique=True).map(sorted)
SIZES = st.sampled_from((0.1, 1.0, 1.0, 2.5))
PROMISES = st.fixed_dictionaries(
    {"bound_ns": st.sampled_from((40, 90, 300)), "priority": st.integers(0, 2)}
)


# One station, against a second implementation


def rank_of(discipline, birth_ns, bound_ns, priority):
    """Return what comes before arrival in a queue's order."""
    if discipline == PRIORITY:
        return priority
    return birth_ns + bound_ns if discipline == EDF else 0


def reference(spec, arrivals, mean_ns):
    """Serve (rank, arrival, query, number, deadline, size) at one station; return (start, end).

    Written from the definition: at each moment at which something may begin, free servers take the
    first of those that are there, if they make a full batch or one has waited long enough. What is
    shed ends when it would have started.
    """
    free, times = [0] * spec.servers, {}
    moments = sorted({each[1] for each in arrivals})
    while moments:
        now = heappop(moments)
        while min(free) <= now:
            queue = sorted(each for each in arrivals if each[1] <= now and each[2:4] not in times)
            due_ns = min((each[1] + spec.max_wait_ns for each in queue), default=END)
            if len(queue) < spec.max_batch and now < due_ns:
                if queue:
                    heappush(moments, due_ns)
                break
            batch = []
            while queue and len(batch) < spec.max_batch:
                each = queue.pop(0)
                if spec.shed_late and each[4] <= now:
                    times[each[2:4]] = now, now
                else:
                    batch.append(each)
            if not batch:
                continue
            work_ns = max(max(1, round(mean_ns * each[5])) for each in batch)
            work_ns = round(work_ns * spec.batch_factor[len(batch) - 1])
            end_ns = finish_step_by_step(spec.speed, now, work_ns * NOMINAL)
            free[free.index(min(free))] = end_ns
            heappush(moments, end_ns)
            times |= {each[2:4]: (now, end_ns) for each in batch}
    return times


@given(data=st.data(), spec=stations(), mean_ns=st.sampled_from((1.0, 10.0, 33.0)))
def test_invariant_work_conservation_departures_equal_a_second_implementation(data, spec, mean_ns):
    plane, recording = recorded(EventsPlane)
    plane.add_station(spec)
    arrivals = []
    for query in range(data.draw(st.integers(1, 3))):
        births = data.draw(ARRIVALS)
        sizes = [data.draw(SIZES) for _ in births]
        promised = data.draw(PROMISES)
        plane.open_source(0, query, requests(births, sizes))
        plane.route(0, query, replace(pipeline(query, ("station", 0, mean_ns)), **promised))
        arrivals += [
            (
                rank_of(spec.discipline, at_ns, **promised),
                *(at_ns, query, number, at_ns + promised["bound_ns"], size),
            )
            for number, (at_ns, size) in enumerate(zip(births, sizes, strict=True))
        ]
    plane.advance(END)
    expected = reference(spec, arrivals, mean_ns)
    assert len(recording.records) == len(expected)
    for record in recording.records:
        start_ns = record.ended_ns - record.compute_ns[0]
        assert (start_ns, record.ended_ns) == expected[record.query, record.number]
        assert record.outcome == (SHED if start_ns == record.ended_ns else COMPLETED)


@given(births=ARRIVALS, servers=st.integers(1, 3), mean_ns=st.sampled_from((10.0, 33.0, 80.0)))
def test_invariant_work_conservation_nobody_queues_while_a_server_is_free(births, servers, mean_ns):
    plane, recording = recorded(EventsPlane)
    plane.add_station(StationSpec(0, servers))
    plane.open_source(0, 0, requests(births))
    plane.route(0, 0, pipeline(0, ("station", 0, mean_ns)))
    plane.advance(END)
    served = [(each.ended_ns - each.compute_ns[0], each.ended_ns) for each in recording.records]
    for record in recording.records:
        start_ns = record.ended_ns - record.compute_ns[0]
        assert start_ns == record.arrival_ns + record.queueing_ns[0]
        for moment in range(record.arrival_ns, start_ns):
            assert sum(begin <= moment < end for begin, end in served) == servers


# Networks with faults, aborts and changes of route


@dataclass
class Network:
    """The parts of a random world, so that it can be made twice."""

    stations: list[StationSpec]
    links: list[LinkSpec]
    sources: list[tuple[list[int], list[float]]]
    orders: list[tuple]
    routes: dict[int, tuple]
    promises: list[dict]

    def plane(self):
        plane, recording = recorded(EventsPlane)
        for spec in self.stations:
            plane.add_station(spec)
        for link in self.links:
            plane.add_link(link)
        for query, (births, sizes) in enumerate(self.sources):
            plane.open_source(0, query, requests(births, sizes, OPERATORS))
        for at_ns, kind, *what in self.orders:
            if kind == "route":
                query, deployment = what
                stops = self.routes.get(deployment)
                route = None if stops is None else pipeline(deployment, *stops)
                plane.route(at_ns, query, route and replace(route, **self.promises[query]))
            else:
                getattr(plane, kind)(at_ns, *what)
        return plane, recording


@st.composite
def networks(draw):
    specs = [
        draw(stations(number, capacities=(None, None, 0, 2)))
        for number in range(draw(st.integers(1, OPERATORS)))
    ]
    links = [
        LinkSpec(number, draw(profiles((10**9, 10**8))), draw(st.sampled_from((0, 15))))
        for number in range(2)
    ]
    sources, orders, routes, promises = [], [], {}, []
    for query in range(draw(st.integers(1, 3))):
        births = draw(ARRIVALS)
        sources.append((births, [draw(SIZES) for _ in births]))
        promises.append(draw(PROMISES))
        for at_ns in (0, *draw(st.lists(st.integers(0, 300), max_size=2))):
            deployment = len(routes)
            stops = []
            for spec in specs:
                if draw(st.booleans()):
                    stops += [("link", draw(st.integers(0, 1)), 20.0)] * draw(st.integers(0, 1))
                    stops.append(("station", spec.id, draw(st.sampled_from((5.0, 30.0)))))
            if stops:
                routes[deployment] = (*stops, *[("link", 1, 3.0)] * draw(st.integers(0, 1)))
            orders.append((at_ns, "route", query, deployment))
        if draw(st.integers(0, 3)) == 0:
            orders.append((draw(st.integers(1, 300)), "close_source", query))
    for _ in range(draw(st.integers(0, 2))):
        orders.append((draw(st.integers(1, 300)), "abort", draw(st.integers(0, len(routes)))))
    if draw(st.booleans()):
        orders.append((draw(st.integers(1, 300)), "fail_station", 0))
    orders.sort(key=lambda order: order[0])
    return Network(specs, links, sources, orders, routes, promises)


@given(network=networks(), horizon_ns=st.sampled_from((120, 350, END)))
def test_invariant_conservation_every_request_ends_exactly_once(network, horizon_ns):
    plane, recording = network.plane()
    plane.advance(horizon_ns)
    under_way = len(recording.births) - len(recording.records)
    assert under_way == sum(plane.in_flight(deployment) for deployment in network.routes)
    plane.finish()
    ended = [(record.query, record.arrival_ns) for record in recording.records]
    assert sorted(ended) == sorted(recording.births)
    assert len(set(ended)) == len(ended)
    assert {record.outcome for record in recording.records} <= set(OUTCOMES)
    closed = {what[0]: at_ns for at_ns, kind, *what in network.orders if kind == "close_source"}
    for query, (births, _) in enumerate(network.sources):
        until_ns = min(horizon_ns, closed.get(query, horizon_ns))
        assert [at for q, at in recording.births if q == query] == [
            at for at in births if at < until_ns
        ]
    if horizon_ns == END:
        assert not any(record.outcome == IN_FLIGHT for record in recording.records)
    kinds = {kind for _, kind, *_ in network.orders}
    outcomes = {record.outcome for record in recording.records}
    if "fail_station" not in kinds:
        assert LOST not in outcomes
    if not any(spec.shed_late for spec in network.stations):
        assert SHED not in outcomes
    if "abort" not in kinds and all(spec.capacity is None for spec in network.stations):
        assert DROPPED not in outcomes


@given(network=networks())
def test_invariant_causality_nothing_ends_before_its_birth_and_service(network):
    plane, recording = network.plane()
    plane.advance(END)
    sizes = {
        (query, at_ns): size
        for query, source in enumerate(network.sources)
        for at_ns, size in zip(*source, strict=True)
    }
    clock = 0
    for record in recording.records:
        assert clock <= record.ended_ns, "reports come in the order of time"
        clock = record.ended_ns
        parts = (record.queueing_ns, record.batching_ns, record.compute_ns, record.transfer_ns)
        assert min(min(part) for part in parts) >= 0
        sojourn_ns = record.ended_ns - record.arrival_ns
        assert sojourn_ns >= 0
        if record.outcome == UNSERVED:
            assert (sojourn_ns, record.deployment) == (0, None)
        if record.outcome != COMPLETED:
            continue
        assert sum(map(sum, parts)) == sojourn_ns
        size = sizes[record.query, record.arrival_ns]
        operator = 0
        for kind, number, mean in network.routes[record.deployment]:
            if kind == "station":
                assert record.compute_ns[operator] >= max(1, round(mean * size))
                operator += 1
            else:
                least_ns = max(1, round(mean * size)) + network.links[number].propagation_ns
                assert record.transfer_ns[operator] >= least_ns


@given(network=networks(), cuts=st.lists(st.integers(1, 400), max_size=8))
def test_invariant_determinism_advance_cut_into_pieces_gives_the_same_records(network, cuts):
    whole, first = network.plane()
    whole.advance(END)
    pieces, second = network.plane()
    for cut in sorted(cuts):
        pieces.advance(cut)
    pieces.advance(END)
    assert first.births == second.births
    assert list(map(flat, first.records)) == list(map(flat, second.records))
