"""Links that messages share equally, in both data planes: by hand, against theory, and exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from worlds import Forgetful, Sojourns, grown_bytes, pipeline, recorded, requests

from scenarios.cluster import FIFO
from scenarios.network import PROCESSOR_SHARING, Network
from scenarios.requests import RequestBlock
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.interface import LinkSpec
from sim.dataplane.base.rate_profile import RateProfile
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

PLANES = pytest.mark.parametrize("kind", [EventsPlane, BlocksPlane])
BYTE_PER_NS = 10**9


def sent(kind, capacity, messages, propagation_ns=0, discipline=PROCESSOR_SHARING, abort=None):
    """Send a message of each (time in ns, bytes) over one link; return all (outcome, end, time)."""
    plane, recording = recorded(kind)
    plane.add_link(LinkSpec(0, capacity, propagation_ns, discipline))
    for query, (at_ns, size_bytes) in enumerate(messages):
        plane.open_source(0, query, requests([at_ns]))
        plane.route(0, query, pipeline(query, ("link", 0, size_bytes)))
    if abort is not None:
        at_ns, query = abort
        plane.abort(at_ns, query)
    for cut_ns in (7, 33, 10**12):
        plane.advance(cut_ns)
    records = sorted(recording.records, key=lambda record: record.query)
    return [(each.outcome, each.ended_ns, each.transfer_ns[0]) for each in records]


def ends(*args, **kwargs):
    """Return when each message of `sent` has arrived."""
    return [end_ns for _, end_ns, _ in sent(*args, **kwargs)]


# By hand


@PLANES
def test_capacity_halves_while_three_messages_share_the_link(kind):
    capacity = RateProfile((0, 40), (BYTE_PER_NS, BYTE_PER_NS // 2))
    # 0-10: one alone, of 30 bytes, has 20 left. 10-20: two; 15 left, and 35 of 40. From 20 on
    # three, at 1/3 byte per ns until 40: 8 1/3, 28 1/3 and 3 1/3 of 10 are left. Then at 1/6: the
    # third ends at 60; 5 and 25 are left. Two at 1/4: the first ends at 80; 20 left, alone at 1/2.
    messages = [(0, 30.0), (10, 40.0), (20, 10.0)]
    assert ends(kind, capacity, messages) == [80, 120, 60]
    assert sent(kind, capacity, messages, propagation_ns=5) == [
        ("completed", 85, 85),
        ("completed", 125, 115),
        ("completed", 65, 45),
    ]
    assert ends(kind, capacity, messages, discipline=FIFO) == [30, 100, 120]


@PLANES
def test_a_link_without_capacity_for_a_while_delays_all_alike(kind):
    capacity = RateProfile((0, 10, 30), (BYTE_PER_NS, 0, BYTE_PER_NS))
    # At 10, 5 of each are left. From 30, three share: the third ends at 36, and 3 of each are left.
    assert ends(kind, capacity, [(0, 10.0), (0, 10.0), (15, 2.0)]) == [42, 42, 36]


@PLANES
def test_a_message_whose_request_is_dropped_keeps_its_share(kind):
    capacity = RateProfile((0,), (BYTE_PER_NS,))
    found = sent(kind, capacity, [(0, 20.0), (0, 30.0)], abort=(10, 0))
    assert found[0][:2] == ("dropped", 10)
    assert found[1] == ("completed", 50, 50)


@PLANES
def test_messages_that_end_together_reach_the_next_stop_by_query(kind):
    plane, recording = recorded(kind)
    plane.add_link(LinkSpec(0, RateProfile((0,), (BYTE_PER_NS,)), 3, PROCESSOR_SHARING))
    plane.add_link(LinkSpec(1, RateProfile((0,), (BYTE_PER_NS,)), 0))
    for query in (2, 0, 1):
        plane.open_source(0, query, requests([1]))
        plane.route(0, query, pipeline(query, ("link", 0, 10.0), ("link", 1, 10.0)))
    plane.advance(10**6)
    found = sorted((each.query, each.ended_ns) for each in recording.records)
    assert found == [(0, 44), (1, 54), (2, 64)]


# Exact shares


@st.composite
def profiles(draw, longest, fastest):
    starts = sorted(draw(st.sets(st.integers(0, longest), min_size=1, max_size=5)))
    rates = [draw(st.integers(0, fastest)) for _ in starts[1:]]
    return RateProfile(tuple(starts), (*rates, draw(st.integers(1, fastest))))


@given(
    profiles(longest=10**10, fastest=10**10),
    st.integers(0, 10**10),
    st.integers(1, 10**18),
    st.integers(1, 10**5),
)
def test_each_sharer_has_its_work_at_that_nanosecond_and_not_before(profile, start, work, sharers):
    end_ns = profile.shared_ns(start, work, sharers)
    assert end_ns > start
    if end_ns < NEVER:
        assert profile.share_of(start, end_ns, sharers) >= work
        assert profile.share_of(start, end_ns - 1, sharers) < work


@given(
    profiles(longest=10**10, fastest=10**10),
    st.integers(0, 10**10),
    st.integers(0, 10**10),
    st.integers(1, 10**5),
)
def test_a_share_is_the_integral_divided_up_to_a_unit_for_each_step(profile, start, span, sharers):
    total, now, end_ns = 0, start, start + span
    for begin, rate in zip((*profile.starts_ns[1:].tolist(), NEVER), profile.rates, strict=True):
        until = max(now, min(begin, end_ns))
        total += int(rate) * (until - now)
        now = until
    more = profile.share_of(start, end_ns, sharers) - Fraction(total, sharers)
    assert 0 <= more < len(profile.rates)


@given(profiles(100, 9), st.integers(0, 120), st.integers(1, 300))
def test_alone_a_message_takes_as_long_as_on_a_fifo_link(profile, start, work):
    assert profile.shared_ns(start, work, 1) == profile.finish_ns(start, work)


def test_shares_of_much_work_do_not_overflow():
    fast = RateProfile((0,), (10**12,))
    assert fast.shared_ns(5, 9 * 10**18, 10**6) == 5 + 9 * 10**12
    assert fast.share_of(5, 5 + 9 * 10**12, 10**6) == 9 * 10**18
    assert RateProfile((0,), (1,)).shared_ns(0, 10**15, 10**5) == NEVER
    later = RateProfile((0, 10), (1, 10**12))
    assert later.shared_ns(0, 10**15, 10**5) == 10 + 10**8
    assert later.shared_ns(3, 0, 2) == 3


def test_planes_agree_where_a_link_is_never_idle_until_its_counter_overflows():
    messages = [(4_000_000_000 * i, 4.1e9) for i in range(12)]
    capacity = RateProfile((0,), (BYTE_PER_NS,))
    found = [ends(kind, capacity, messages) for kind in (EventsPlane, BlocksPlane)]
    assert found[0] == found[1]
    assert max(found[0]) == round(12 * 4.1e9), "49.2 GB of work in units of 1e-9 bytes"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=12))
@settings(max_examples=20)
def test_a_shared_link_works_whenever_it_has_messages(messages):
    """All have been sent when they would on a FIFO link, but for a nanosecond at each end."""
    capacity = RateProfile((0, 50), (BYTE_PER_NS, BYTE_PER_NS // 2))
    arriving = [(at_ns, float(size_bytes)) for at_ns, size_bytes in messages]
    last = max(ends(BlocksPlane, capacity, arriving))
    one_by_one = max(ends(BlocksPlane, capacity, arriving, discipline=FIFO))
    assert one_by_one <= last < one_by_one + len(messages)


def test_dropped_messages_take_no_memory_when_their_link_is_gone():
    plane, every, count = BlocksPlane(Forgetful()), 10_000, 500
    born = [number * every + i for number in range(60) for i in range(1, count + 1)]
    plane.open_source(0, 0, requests(born))

    def send_and_abort(first, last):
        for number in range(first, last):
            begin = number * every
            plane.add_link(LinkSpec(number, RateProfile((0,), (1000,)), 1, PROCESSOR_SHARING))
            plane.route(begin, 0, pipeline(number, ("link", number, 1e6)))
            plane.advance(begin + 2_000)
            plane.route(begin + 2_000, 0, None)
            plane.abort(begin + 3_000, number)
            plane.advance(begin + 4_000)
            plane.remove_link(number)

    grown = grown_bytes(send_and_abort, 0, 10, 60)
    assert grown < 1_000_000, "25,000 rows are five times that"


# Theory


LOAD, SIZE_BYTES, REPLICATIONS, WARM_UP, COUNT = 0.7, 1_000_000.0, 30, 2_000, 30_000
DRAWN = {
    "deterministic": lambda rng: np.ones(COUNT),
    "exponential": lambda rng: rng.exponential(1.0, COUNT),
    # two exponential branches that each bring half of the work; cv^2 = 2
    "hyperexponential": lambda rng: (
        rng.exponential(1.0, COUNT) / (2 * np.where(rng.random(COUNT) < 0.7887, 0.7887, 0.2113))
    ),
}


def means_of(size, discipline):
    """Return the mean sojourns of replications of M/G/1 in mean transmission times."""
    means = []
    for seed in range(REPLICATIONS):
        rng = np.random.default_rng([32, seed])
        gaps = np.maximum(1, rng.exponential(SIZE_BYTES / LOAD, COUNT)).astype(np.int64)
        arrival_ns, sizes = np.cumsum(gaps), DRAWN[size](rng)
        sojourns = Sojourns(int(arrival_ns[WARM_UP]))
        plane = BlocksPlane(sojourns)
        plane.add_link(LinkSpec(0, RateProfile((0,), (BYTE_PER_NS,)), 0, discipline))
        ones = np.ones(COUNT)
        plane.open_source(
            0, 0, iter([RequestBlock(arrival_ns, sizes, ones, ones, np.ones((COUNT, 1)))])
        )
        plane.route(0, 0, pipeline(0, ("link", 0, SIZE_BYTES)))
        plane.advance(int(arrival_ns[-1] + 10_000 * SIZE_BYTES))
        assert len(sojourns.all_ns) == COUNT - WARM_UP
        means.append(np.mean(sojourns.all_ns) / SIZE_BYTES)
    return means


@pytest.mark.parametrize("size", DRAWN)
def test_theory_mean_time_on_a_shared_link_depends_on_the_mean_size_alone(size):
    """M/G/1-PS: the mean sojourn is E[S] / (1 - rho) (Kleinrock, Queueing Systems 2, 4.4)."""
    means = means_of(size, PROCESSOR_SHARING)
    mean, expected = np.mean(means), 1 / (1 - LOAD)
    half = stats.t.ppf(0.9995, REPLICATIONS - 1) * np.std(means, ddof=1) / np.sqrt(REPLICATIONS)
    print(f"{size}: {mean:.3f} +- {half:.3f}, is {expected:.3f}")
    assert abs(mean - expected) <= half
    assert half < 0.03 * expected


# The key


def test_an_unknown_discipline_of_links_is_told_with_the_nearest():
    with pytest.raises(
        ValueError,
        match=r"network\.discipline=processor: no such discipline; choose from fifo, "
        r"processor_sharing; did you mean 'processor_sharing'",
    ):
        Network(discipline="processor")
