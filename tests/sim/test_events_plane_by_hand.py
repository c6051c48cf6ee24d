"""The event data plane in cases small enough to work out by hand, to the nanosecond."""

from dataclasses import replace

import pytest
from worlds import FAST_LINK, one_station, pipeline, recorded, requests

from sim.dataplane.base.interface import LinkSpec, StationSpec
from sim.dataplane.base.rate_profile import NOMINAL, RateProfile
from sim.dataplane.events.plane import EventsPlane

FOREVER = 10**9


def ends(spec, arrival_ns, service_ns=100.0, size=None):
    """Return when each request of one query ends at one station, by birth."""
    plane, recording = one_station(spec, arrival_ns, service_ns, size)
    plane.advance(FOREVER)
    assert all(outcome == "completed" for _, outcome, _ in recording.ends())
    return [end for _, _, end in recording.ends()]


def several_queries(spec, arrivals, service_ns=100.0):
    """Return {query: end} where each query sends one request to one station."""
    plane, recording = recorded(EventsPlane)
    plane.add_station(spec)
    for query, arrival_ns in arrivals.items():
        plane.open_source(0, query, requests([arrival_ns]))
        plane.route(0, query, pipeline(query, ("station", spec.id, service_ns)))
    plane.advance(FOREVER)
    return {record.query: record.ended_ns for record in recording.records}


# Queues and batches


@pytest.mark.parametrize(
    ("spec", "arrival_ns", "expected"),
    [
        pytest.param(StationSpec(0), [0, 10, 200], [100, 200, 300], id="fifo"),
        pytest.param(StationSpec(0), [0, 100], [100, 200], id="arrival as the server falls free"),
        pytest.param(StationSpec(0, servers=2), [0, 1, 2], [100, 101, 200], id="two servers"),
        pytest.param(
            StationSpec(0, max_batch=2, batch_factor=(1.0, 1.5)),
            [0, 10, 20, 30],
            [100, 250, 250, 350],
            id="batches of what waits",
        ),
        pytest.param(
            StationSpec(0, max_batch=2, max_wait_ns=10, batch_factor=(1.0, 1.5)),
            [0, 5, 6],
            [155, 155, 255],
            id="a full batch starts at once; one that waited while busy does not wait again",
        ),
        pytest.param(
            StationSpec(0, max_batch=3, max_wait_ns=10, batch_factor=(1.0, 1.5, 2.0)),
            [0, 10, 11],
            [160, 160, 260],
            id="who comes as the wait ends is in; who comes after is not",
        ),
        pytest.param(
            StationSpec(0, max_batch=4, max_wait_ns=10, batch_factor=(1.0, 1.0, 1.0, 1.0)),
            [0],
            [110],
            id="a partial batch of one waits its time",
        ),
        pytest.param(
            StationSpec(0, servers=2, max_batch=2, max_wait_ns=50, batch_factor=(1.0, 1.2)),
            [0, 20, 30, 90],
            # 0 and 20 fill a batch at 20. 30 waits until 80 and goes alone. 90 waits until 140,
            # when its wait ends and the first server falls free.
            [140, 140, 180, 240],
            id="two servers with batches",
        ),
    ],
)
def test_departures_worked_out_by_hand(spec, arrival_ns, expected):
    assert ends(spec, arrival_ns) == expected


def test_batch_takes_the_time_of_its_largest_member():
    spec = StationSpec(0, max_batch=2, max_wait_ns=10, batch_factor=(1.0, 1.5))
    assert ends(spec, [0, 1], size=[1, 3]) == [451, 451]


def test_the_fixed_share_of_a_service_does_not_scale_with_size():
    plane, recording = one_station(StationSpec(0, servers=2), [0, 1], 100.0, [3, 0.2])
    route = pipeline(0, ("station", 0, 100.0))
    plane.route(0, 0, replace(route, visits=(replace(route.visits[0], fixed_share=0.25),)))
    plane.advance(FOREVER)
    assert [end for *_, end in recording.ends()] == [250, 41]  # 25 + 225, and 25 + 15


def test_batch_of_code_that_handles_members_in_turn_takes_the_factor_times_their_average():
    spec = StationSpec(
        0, max_batch=2, max_wait_ns=10, batch_factor=(1.0, 1.5), batch_time="average"
    )
    assert ends(spec, [0, 1], size=[1, 3]) == [301, 301]  # 1.5 times 200
    assert ends(spec, [0, 20], size=[1, 3]) == [110, 410]  # alone
    in_turn = replace(spec, batch_factor=(1.0, 2.0))
    assert ends(in_turn, [0, 1], size=[1, 2.01]) == [302, 302]  # 100 and then 201, not 2 x 150


def test_causality_stations_order_by_arrival_then_query():
    assert several_queries(StationSpec(0), {2: 5, 0: 5, 1: 5}) == {0: 105, 1: 205, 2: 305}
    assert several_queries(StationSpec(0), {0: 0, 5: 40, 1: 50}) == {0: 100, 5: 200, 1: 300}
    batch = StationSpec(0, max_batch=2, batch_factor=(1.0, 1.0))
    assert several_queries(batch, {2: 5, 0: 5, 1: 5}) == {0: 105, 1: 105, 2: 205}


def test_wait_is_split_into_queueing_and_batching():
    spec = StationSpec(0, max_batch=2, max_wait_ns=30, batch_factor=(1.0, 1.0))
    plane, recording = one_station(spec, [0, 90, 140], 100.0, None)
    plane.advance(FOREVER)
    parts = [(r.queueing_ns, r.batching_ns, r.compute_ns, r.ended_ns) for r in recording.records]
    # The first waits 30 for a second. The next comes while it is served, until 130, has then waited
    # more than 30, and goes alone; the last comes at 140 and is served at 230, after 90.
    assert parts == [([0], [30], [100], 130), ([40], [0], [100], 230), ([90], [0], [100], 330)]


def test_a_server_that_falls_free_within_the_wait_goes_on_waiting():
    spec = StationSpec(0, max_batch=2, max_wait_ns=30, batch_factor=(1.0, 1.0))
    plane, recording = one_station(spec, [0, 120], 100.0, None)
    plane.advance(FOREVER)
    last = recording.records[-1]
    assert (last.queueing_ns, last.batching_ns, last.ended_ns) == ([10], [20], 250)


def test_service_speed_that_changes_is_integrated():
    halved = RateProfile((0, 50), (NOMINAL, NOMINAL // 2))
    assert ends(StationSpec(0, speed=halved), [0, 200]) == [150, 400]


def test_service_takes_at_least_a_nanosecond():
    assert ends(StationSpec(0), [0, 1], service_ns=0.0) == [1, 2]


# Links


def crossing(link, *arrival_ns, size_bytes=100.0, queries=1):
    """Return the records of one-byte-per-nanosecond requests over a link and a 1 ns station."""
    plane, recording = recorded(EventsPlane)
    plane.add_link(link)
    plane.add_station(StationSpec(0, servers=9))
    for query in range(queries):
        plane.open_source(0, query, requests(arrival_ns))
        route = pipeline(query, ("link", link.id, size_bytes), ("station", 0, 1.0))
        plane.route(0, query, route)
    plane.advance(FOREVER)
    return recording.records


def test_link_sends_one_message_after_the_other_and_then_propagates():
    records = crossing(LinkSpec(3, FAST_LINK, 7), 0, 10, 400)
    assert [record.transfer_ns for record in records] == [[107, 0], [197, 0], [107, 0]]
    assert [record.ended_ns for record in records] == [108, 208, 508]


def test_link_capacity_that_varies_is_integrated():
    # 50 bytes until 50 ns, none until 80 ns, then half a byte per nanosecond.
    capacity = RateProfile((0, 50, 80), (10**9, 0, 5 * 10**8))
    records = crossing(LinkSpec(0, capacity, 0), 0, 1)
    assert [record.transfer_ns[0] for record in records] == [180, 379]


def test_link_rounds_a_transmission_up_to_the_next_nanosecond():
    (record,) = crossing(LinkSpec(0, RateProfile((0,), (3 * 10**8,)), 0), 0, size_bytes=1.0)
    assert record.transfer_ns[0] == 4  # 3.33 ns


def test_messages_are_whole_bytes_and_at_least_one():
    assert [r.transfer_ns[0] for r in crossing(LinkSpec(0, FAST_LINK, 0), 0, size_bytes=0.2)] == [1]
    assert [r.transfer_ns[0] for r in crossing(LinkSpec(0, FAST_LINK, 0), 0, size_bytes=2.5)] == [2]


def test_causality_link_orders_messages_of_one_moment_by_query():
    records = crossing(LinkSpec(0, FAST_LINK, 0), 5, queries=3)
    assert {record.query: record.ended_ns for record in records} == {0: 106, 1: 206, 2: 306}


def test_pipeline_splits_the_sojourn_by_operator_and_the_way_back():
    plane, recording = recorded(EventsPlane)
    plane.add_link(LinkSpec(0, FAST_LINK, 5))
    plane.add_link(LinkSpec(1, FAST_LINK, 6))
    plane.add_station(StationSpec(0))
    plane.add_station(StationSpec(1))
    plane.open_source(0, 0, requests([10], operators=2))
    stops = (("link", 0, 100.0), ("station", 0, 40.0), ("station", 1, 30.0), ("link", 1, 20.0))
    plane.route(0, 0, pipeline(7, *stops))
    plane.advance(FOREVER)
    (record,) = recording.records
    assert (record.arrival_ns, record.ended_ns, record.deployment) == (10, 211, 7)
    assert (record.compute_ns, record.transfer_ns) == ([40, 30], [105, 0, 26])
    assert record.queueing_ns == record.batching_ns == [0, 0]


# Full buffers, faults, aborts, routes


def test_conservation_full_buffer_drops_who_comes_last():
    plane, recording = one_station(StationSpec(0, capacity=1), [0, 10, 20, 30, 150], 100.0, None)
    plane.advance(FOREVER)
    assert recording.ends() == [
        (0, "completed", 100),
        (10, "completed", 200),
        (20, "dropped", 20),
        (30, "dropped", 30),
        (150, "completed", 300),
    ]


def test_conservation_full_buffer_of_none_serves_who_finds_a_server_free():
    plane, recording = one_station(StationSpec(0, capacity=0), [0, 10, 100], 100.0, None)
    plane.advance(FOREVER)
    assert recording.ends() == [(0, "completed", 100), (10, "dropped", 10), (100, "completed", 200)]


@pytest.mark.parametrize("fault_ns", [50, 100])
def test_conservation_fault_loses_what_is_served_and_what_waits(fault_ns):
    """At one moment the fault comes first, so that what would end at 100 is lost then."""
    plane, recording = one_station(StationSpec(0), [0, 10, 300], 100.0, None)
    plane.fail_station(fault_ns, 0)
    plane.advance(FOREVER)
    assert recording.ends() == [
        (0, "lost", fault_ns),
        (10, "lost", fault_ns),
        (300, "lost", 300),
    ]


def test_conservation_what_reaches_a_failed_station_is_lost_on_arrival():
    plane, recording = recorded(EventsPlane)
    plane.add_link(LinkSpec(0, FAST_LINK, 0))
    plane.add_station(StationSpec(0))
    plane.open_source(0, 0, requests([0, 10]))
    plane.route(0, 0, pipeline(0, ("link", 0, 100.0), ("station", 0, 10.0)))
    plane.fail_station(150, 0)
    plane.advance(FOREVER)
    assert recording.ends() == [(0, "completed", 110), (10, "lost", 200)]
    assert plane.in_flight(0) == 0


def test_conservation_abort_drops_a_deployment_and_leaves_others_at_the_station():
    plane, recording = recorded(EventsPlane)
    plane.add_station(StationSpec(0))
    for query, arrivals in enumerate(([0, 20], [10])):
        plane.open_source(0, query, requests(arrivals))
        plane.route(0, query, pipeline(query, ("station", 0, 100.0)))
    plane.abort(50, 0)
    plane.advance(FOREVER)
    assert recording.ends(0) == [(0, "dropped", 50), (20, "dropped", 50)]
    # The server does not stop what it has begun.
    assert recording.ends(1) == [(10, "completed", 200)]


def test_conservation_fault_after_abort_ends_nobody_twice():
    plane, recording = one_station(StationSpec(0), [0, 10], 100.0, None)
    plane.abort(40, 0)
    plane.fail_station(50, 0)
    plane.advance(FOREVER)
    assert recording.ends() == [(0, "dropped", 40), (10, "dropped", 40)]


def test_conservation_fault_and_abort_at_one_moment_end_nobody_twice():
    plane, recording = one_station(StationSpec(0), [0, 10], 100.0, None)
    plane.fail_station(50, 0)
    plane.abort(50, 0)
    plane.advance(FOREVER)
    assert recording.ends() == [(0, "lost", 50), (10, "lost", 50)]


def test_requests_keep_the_route_of_their_birth_and_orders_come_before_births():
    plane, recording = recorded(EventsPlane)
    for station in (0, 1):
        plane.add_station(StationSpec(station))
    plane.open_source(0, 0, requests([0, 10, 20, 30, 40]))
    plane.route(10, 0, pipeline(0, ("station", 0, 100.0)))
    plane.route(20, 0, pipeline(1, ("station", 1, 5.0)))
    plane.route(30, 0, None)
    plane.close_source(40, 0)
    plane.advance(15)
    assert (plane.in_flight(0), plane.in_flight(1)) == (1, 0)
    plane.advance(FOREVER)
    assert recording.births == [(0, 0), (0, 10), (0, 20), (0, 30)]
    assert recording.ends() == [
        (0, "unserved", 0),
        (10, "completed", 110),
        (20, "completed", 25),
        (30, "unserved", 30),
    ]


def test_source_that_has_run_dry_can_be_closed():
    plane, recording = one_station(StationSpec(0), [0], 100.0, None)
    plane.advance(500)
    plane.close_source(600, 0)
    plane.advance(FOREVER)
    assert recording.ends() == [(0, "completed", 100)]


def test_conservation_what_is_under_way_at_the_horizon_is_in_flight():
    plane, recording = one_station(StationSpec(0), [0, 10, 100], 100.0, None)
    plane.advance(100)
    plane.finish()
    assert recording.ends() == [(0, "in_flight", 100), (10, "in_flight", 100)]
    assert recording.births == [(0, 0), (0, 10)]
