"""Running sums: equal to the last bit to a new sum of all present numbers."""

from math import fsum

from hypothesis import given
from hypothesis import strategies as st

from sim.cluster.members import plus

NUMBERS = st.floats(-1e100, 1e100, allow_nan=False)


@given(st.lists(st.tuples(NUMBERS, st.booleans())))
def test_a_sum_is_that_of_the_numbers_that_are_left(steps):
    parts, left = (), []
    for number, goes in steps:
        left.append(number)
        parts = plus(parts, number)
        assert fsum(parts) == fsum(left)
        if goes:
            parts = plus(parts, -left.pop(0))
            assert fsum(parts) == fsum(left)
    for number in left:
        parts = plus(parts, -number)
    assert parts == (), "nothing piles up"
