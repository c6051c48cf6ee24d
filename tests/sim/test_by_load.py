"""Stations by load: the index finds the same station as a look at each of them."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from sim.cluster.machines import ByLoad

works = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7]), st.floats(0.0, 1.0))
steps = st.lists(st.tuples(st.integers(0, 5), works, st.booleans()), max_size=40)


@given(steps, works, works)
def test_the_fullest_with_room_is_found_and_of_equals_the_oldest(steps, more, most):
    alike, there = ByLoad(), {}
    for number, work, goes in steps:
        if goes:
            alike.drop(there.pop(number, SimpleNamespace(id=number)))
        else:
            station = there.setdefault(number, SimpleNamespace(id=number))
            station.load = SimpleNamespace(work=work)
            alike.put(station)
        assert len(alike) == len(there)
    fitting = [each for each in there.values() if each.load.work + more <= most]
    best = max(fitting, key=lambda each: (each.load.work, -each.id), default=None)
    assert alike.fullest(more, most) is best
