"""Recorders next to the monitor: which are notified, and the log of ended requests."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.dataplane.base.recorders import RequestLog, Tee
from sim.dataplane.base.request_rows import ENDED, NUMBER, QUERY, width

OPERATORS = 2


def test_a_tee_tells_all_in_order():
    told = []

    class Noting:
        def __init__(self, name):
            self.name = name

        def record(self, rows, born, ended):
            told.append((self.name, rows.shape, born.tolist(), ended.tolist()))

    rows = np.zeros((3, width(OPERATORS)), np.int64)
    Tee(Noting("a"), Noting("b")).record(rows, np.array([0, 1]), np.array([2]))
    assert told == [(name, rows.shape, [0, 1], [2]) for name in "ab"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 9)), unique=True),
    st.randoms(use_true_random=False),
    st.integers(1, 7),
)
def test_a_log_gives_what_ended_in_order_however_it_was_told(ends, random, share):
    """Rows stand for other requests once their end was told."""
    log = RequestLog(OPERATORS)
    told = random.sample(ends, len(ends))
    rows = np.zeros((share + 1, width(OPERATORS)), np.int64)
    for first in range(0, len(told), share):
        some = told[first : first + share]
        rows[: len(some), [ENDED, QUERY, NUMBER]] = some
        log.record(rows, np.array([], np.int64), np.arange(len(some))[::-1])
    rows[:] = -1
    assert log.count == len(ends)
    taken = log.take()
    assert taken[:, [ENDED, QUERY, NUMBER]].tolist() == [list(end) for end in sorted(ends)]
    assert log.count == len(log.take()) == 0
    assert log.take().shape == (0, width(OPERATORS))
