"""Profiling lanes: which one a search is granted, and how long it waits for it."""

from hypothesis import given
from hypothesis import strategies as st

from sim.clock import NS_PER_S, ns
from sim.planning.search_clock import Lanes, SearchClock

BUDGET_NS = 1000 * NS_PER_S
CHARGES = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.5, 1.0, 2.0])), min_size=1, max_size=40
)


@given(st.integers(1, 4), CHARGES)
def test_property_a_search_is_granted_the_lane_that_is_free_first_and_keeps_it(count, charges):
    lanes, free_ns = Lanes(count), [0] * count
    searches = [SearchClock(number, number * NS_PER_S // 2, BUDGET_NS, 0) for number in range(6)]
    for number, duration_s in charges:
        search = searches[number]
        before_ns, held = search.clock_ns, search.lane
        lanes.charge(search, duration_s)
        assert search.lane == (free_ns.index(min(free_ns)) if held is None else held)
        assert search.clock_ns == max(before_ns, free_ns[search.lane]) + ns(duration_s)
        free_ns[search.lane] = search.clock_ns
