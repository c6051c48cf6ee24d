"""Language models: continuous batching, against an iteration-by-iteration account and by hand."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import one_station, pipeline, recorded, requests

from scenarios.applications.dataset import Tokens
from sim.dataplane.base.interface import COMPLETED, DROPPED, LOST, Iterations, StationSpec
from sim.dataplane.events.plane import EventsPlane

TIMES = Iterations(
    prefill_fixed_ns=100,
    prefill_ns_per_token=10.0,
    prefill_ns_per_token2=0.0,
    decode_ns=(50, 60, 70, 80),
    kv_tokens=100,
)


def spec(engines=1, **changes):
    return StationSpec(0, engines, iterations=Iterations(**{**vars(TIMES), **changes}))


def ends(plane, recording, until_ns=10**9):
    plane.advance(until_ns)
    return recording.ends()


def test_a_lone_request_takes_its_prefill_and_a_decoding_step_for_each_further_token():
    plane, recording = one_station(spec(), [1000], Tokens(4, 3), None)
    assert ends(plane, recording) == [(1000, COMPLETED, 1000 + (100 + 40) + 2 * 50)]
    (record,) = recording.records
    assert (record.queueing_ns, record.compute_ns) == ([0], [240])


def test_a_newcomer_is_admitted_at_the_next_iteration_boundary():
    """At 140 the first token of request 0 is there; request 1 comes during the step that follows.

    It waits until that ends, at 190. The next iteration is its prefill and a step of request 0:
    100 + 40 + 50. Then both decode together, 60 a step, until request 0 has its 5 tokens.
    """
    plane, recording = one_station(spec(), [0, 150], Tokens(4, 5), None)
    first, second = ends(plane, recording)
    assert first == (0, COMPLETED, 190 + 190 + 2 * 60)
    assert second == (150, COMPLETED, 500 + 2 * 50)
    assert [record.queueing_ns for record in recording.records] == [[0], [40]]


def test_an_arrival_at_a_boundary_is_admitted_there():
    plane, recording = one_station(spec(), [0, 190], Tokens(4, 5), None)
    assert ends(plane, recording)[0] == (0, COMPLETED, 190 + 190 + 2 * 60)
    assert all(record.queueing_ns == [0] for record in recording.records)


def test_sequences_of_one_request_share_its_prompt_and_decode_side_by_side():
    plane, recording = one_station(spec(), [0], Tokens(4, 3, sequences=4), None)
    assert ends(plane, recording) == [(0, COMPLETED, 140 + 2 * 80)]


def test_memory_is_reserved_for_the_whole_output_and_admission_is_first_come_first_served():
    """Each takes 40 + 20 of 100 tokens: one at a time, though there are places for four."""
    plane, recording = one_station(spec(), [0, 1, 2], Tokens(40, 20), None)
    alone = 100 + 400 + 19 * 50
    assert [end for *_, end in ends(plane, recording)] == [alone, 2 * alone, 3 * alone]


def test_a_request_that_could_never_fit_is_dropped_and_holds_nobody_up():
    plane, recording = one_station(spec(), [0, 5], Tokens(60, 4), [2.0, 1.0])
    assert [(outcome, end) for _, outcome, end in ends(plane, recording)] == [
        (DROPPED, 0),
        (COMPLETED, 5 + 100 + 600 + 3 * 50),
    ]


def test_more_sequences_than_places_are_dropped():
    plane, recording = one_station(spec(), [0], Tokens(4, 3, sequences=5), None)
    assert [outcome for _, outcome, _ in ends(plane, recording)] == [DROPPED]


def test_requests_go_to_the_engine_with_the_fewest_sequences():
    """The second finds the other engine idle; the third waits for the first prefill to end."""
    plane, recording = one_station(spec(engines=2), [0, 10, 20], Tokens(4, 3), None)
    assert [end for *_, end in ends(plane, recording)] == [140 + 190 + 60, 10 + 240, 330 + 60 + 50]


def test_a_failing_station_loses_what_waits_and_what_is_generated():
    plane, recording = one_station(spec(), [0, 10, 20], Tokens(40, 20), None)
    plane.fail_station(700, 0)
    assert [(outcome, end) for _, outcome, end in ends(plane, recording)] == [(LOST, 700)] * 3


def test_what_waits_can_be_aborted_and_leaves_its_place():
    plane, recording = recorded(EventsPlane)
    plane.add_station(spec())
    for query in (0, 1):
        plane.open_source(0, query, requests([query]))
        plane.route(0, query, pipeline(query, ("station", 0, Tokens(40, 20))))
    plane.abort(500, 1)
    plane.advance(10**9)
    assert recording.ends(1) == [(1, DROPPED, 500)]
    assert recording.ends(0) == [(0, COMPLETED, 1450)]
    assert plane.in_flight(0) == plane.in_flight(1) == 0


def test_a_slowdown_counts_for_iterations_that_begin_later():
    plane, recording = one_station(spec(), [0], Tokens(4, 3), None)
    plane.slow_down(10, 0, 2.0)
    assert ends(plane, recording) == [(0, COMPLETED, 140 + 2 * 100)]
    assert plane.busy_ns(0) == 340


@dataclass
class Slow:
    """An engine of the plain account below: one iteration after the other."""

    active: list = field(default_factory=list)
    joining: list = field(default_factory=list)
    until: int | None = None

    def held(self):
        return [*self.active, *self.joining]


def iteration_by_iteration(times, engines, jobs, sequences):
    """Work out the end of each (arrival, prompt, output), taking every single iteration."""
    park = [Slow() for _ in range(engines)]
    waiting, end = [], {}
    coming = sorted(range(len(jobs)), key=lambda i: (jobs[i][0], i))
    left = {i: job[2] for i, job in enumerate(jobs)}

    def need(i):
        return jobs[i][1] + sequences * jobs[i][2]

    while coming or waiting or any(engine.held() for engine in park):
        moments = [engine.until for engine in park if engine.until is not None]
        moments += [jobs[coming[0]][0]] if coming else []
        now = min(moments)
        for engine in park:
            if engine.until == now:
                engine.until = None
                for i in engine.active:
                    left[i] -= 1
                    if left[i] == 0:
                        end[i] = now
                engine.active = [i for i in engine.active if left[i]]
        while coming and jobs[coming[0]][0] == now:
            waiting.append(coming.pop(0))
        while waiting:
            i = waiting[0]
            able = [
                engine
                for engine in park
                if (len(engine.held()) + 1) * sequences <= len(times.decode_ns)
                and sum(map(need, engine.held())) + need(i) <= times.kv_tokens
            ]
            if not able:
                break
            min(able, key=lambda engine: len(engine.held())).joining.append(waiting.pop(0))
        for engine in park:
            if engine.until is None and engine.held():
                old = len(engine.active) * sequences
                length = times.decode_ns[old - 1] if old else 0
                if engine.joining:
                    length += times.prefill_fixed_ns
                    length += sum(times.prompt_ns(jobs[i][1]) for i in engine.joining)
                engine.active += engine.joining
                engine.joining = []
                engine.until = now + length
    return end


@settings(max_examples=80, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 400), min_size=1, max_size=12),
    sizes=st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=12, max_size=12),
    lengths=st.lists(st.sampled_from([0.2, 1.0, 3.0]), min_size=12, max_size=12),
    engines=st.integers(1, 3),
    sequences=st.sampled_from([1, 2]),
    kv_tokens=st.sampled_from([70, 100, 1000]),
)
def test_runs_end_when_single_iterations_would(gaps, sizes, lengths, engines, sequences, kv_tokens):
    arrivals = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    count = len(arrivals)
    station = spec(engines, kv_tokens=kv_tokens)
    plane, recording = recorded(EventsPlane)
    plane.add_station(station)
    plane.open_source(0, 0, requests(arrivals, sizes[:count], length=lengths[:count]))
    plane.route(0, 0, pipeline(0, ("station", 0, Tokens(10, 5, sequences))))
    plane.advance(10**9)
    jobs = [
        (arrival, round(10 * size), max(1, round(5 * length)))
        for arrival, size, length in zip(arrivals, sizes, lengths, strict=False)
    ]
    expected = iteration_by_iteration(station.iterations, engines, jobs, sequences)
    found = [(record.arrival_ns, record.ended_ns) for record in recording.records]
    assert sorted(found) == sorted((jobs[i][0], end) for i, end in expected.items())
    for record in recording.records:
        assert record.outcome == COMPLETED
        passed = record.queueing_ns[0] + record.compute_ns[0]
        assert record.arrival_ns + passed == record.ended_ns


@given(gaps=st.lists(st.integers(0, 2000), min_size=1, max_size=20))
@settings(deadline=None)
def test_with_one_place_it_is_a_first_come_first_served_queue(gaps):
    arrivals = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    plane, recording = one_station(spec(decode_ns=(50,)), arrivals, Tokens(4, 10), None)
    service_ns = 140 + 9 * 50
    batch, batches = one_station(StationSpec(0), arrivals, float(service_ns), None)
    assert ends(plane, recording) == ends(batch, batches)


def test_many_engines_and_a_long_queue_stay_within_memory():
    """The plane's own account of reserved tokens is checked every 10 ns."""
    plane, recording = recorded(EventsPlane)
    plane.add_station(spec(engines=3))
    station = plane.stations[0]
    plane.open_source(0, 0, requests(list(range(0, 4000, 20)), [0.5, 1.0, 1.5, 2.0] * 50))
    plane.route(0, 0, pipeline(0, ("station", 0, Tokens(20, 10))))
    most = 0
    for cut_ns in range(10, 100_000, 10):
        plane.advance(cut_ns)
        for engine in station.engines:
            assert engine.kv_tokens <= 100
            assert engine.sequences <= 4
            most = max(most, engine.kv_tokens)
    assert most > 80
    assert len(recording.records) == 200
    assert all(engine.reserved == {} for engine in station.engines)
