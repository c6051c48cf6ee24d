"""IdPool: numbers in use keep their slots, in a table that is no longer than needed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim._jit.id_pool import IdPool, grown, row_of


@given(st.lists(st.tuples(st.booleans(), st.integers(-50, 400)), max_size=60))
def test_every_number_in_use_has_a_row_of_its_own(steps):
    pool, used = IdPool(), {}
    for come, number in steps:
        if come and number not in used:
            used[number] = pool.add(number)
        elif not come and number in used:
            assert pool.remove(number) == used.pop(number)
        assert len(set(used.values())) == len(used)
        assert max(used.values(), default=0) < len(steps)
        for each in range(-60, 410, 10):
            assert pool.find(each) == used.get(each, -1)
        for each, row in used.items():
            assert (pool.find(each), row_of(pool.table, each)) == (row, row)


def test_rising_numbers_need_room_only_for_those_in_use():
    pool = IdPool()
    for number in range(10_000):
        assert pool.add(number) < 11
        if number >= 10:
            pool.remove(number - 10)
    assert len(pool.table) < 100


@pytest.mark.parametrize("number", [-1, 4, 6, 10**9])
def test_compiled_code_refuses_a_number_without_a_row(number):
    pool = IdPool()
    pool.add(5)
    with pytest.raises(KeyError):
        row_of(pool.table, number)


def test_an_array_grows_by_doubling_and_keeps_what_it_holds():
    array = np.arange(6).reshape(3, 2)
    assert grown(array, 3) is array
    longer = grown(array, 4)
    assert longer.shape == (6, 2)
    assert (longer[:3] == array).all()
    assert (longer[3:] == 0).all()
