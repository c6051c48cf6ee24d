"""Queries that were refused: who is asked again, and when."""

from types import SimpleNamespace

import numpy as np
import pytest

from planners.compass.refused import remember_refused, retries
from planners.retries import give_up

PAUSE_S = 10.0


class Board:
    """A desk with a memory, and queries that wait."""

    def __init__(self, *waiting):
        self.waiting = [SimpleNamespace(id=number) for number in waiting]
        self.now_s, self.trigger = 0.0, "tick"
        self.memory = {}

    def remember(self, key, value, query=None):
        self.memory[key] = value

    def recall(self, key, query=None):
        return self.memory.get(key)

    def asked(self, price):
        market = SimpleNamespace(prices=np.array([price, 0.0]))
        asked = retries(self, market, PAUSE_S)
        return [query.id for query in self.waiting if asked.due(query)]

    def refuse(self, **demands):
        """Refuse queries, named q0 and so on, for plans of these demands of the first pool."""
        bids = []
        for name, amounts in demands.items():
            [query] = [each for each in self.waiting if each.id == int(name[1:])]
            give_up(self, query)
            offers = [
                SimpleNamespace(demand=np.array([amount, 0.0]), feasible=True) for amount in amounts
            ]
            bids.append(SimpleNamespace(query=query, offers=offers))
        remember_refused(self, bids, lambda offer: 2.0 if offer.feasible else 0.5)


def test_those_that_were_never_refused_are_asked():
    assert Board(3, 5).asked(price=100.0) == [3, 5]


@pytest.mark.parametrize(("price", "asked"), [(3.0, []), (2.0, [1]), (0.5, [0, 1])])
def test_those_that_can_pay_for_one_of_their_plans_are_asked(price, asked):
    board = Board(0, 1)
    board.refuse(q0=[4.0, 3.0], q1=[2.0, 1.0])
    board.now_s = PAUSE_S
    assert board.asked(price) == asked


def test_it_is_early_until_the_pause_is_over_or_something_became_free():
    board = Board(0)
    board.refuse(q0=[1.0])
    board.now_s = PAUSE_S - 1
    assert board.asked(price=1.0) == []
    board.trigger = "departure"
    assert board.asked(price=1.0) == [0]


def test_the_pause_begins_anew_when_a_query_that_is_due_cannot_pay():
    board = Board(0)
    board.refuse(q0=[1.0])
    board.now_s = PAUSE_S
    assert board.asked(price=3.0) == []
    board.now_s = PAUSE_S + 1
    assert board.asked(price=1.0) == []
    board.now_s = 2 * PAUSE_S
    assert board.asked(price=1.0) == [0]


def test_what_a_query_bids_last_counts():
    board = Board(0, 1)
    board.refuse(q0=[4.0], q1=[4.0])
    board.refuse(q0=[1.0])
    board.now_s = PAUSE_S
    assert board.asked(price=1.0) == [0]


def test_a_query_that_was_served_meanwhile_bids_anew():
    board = Board(0, 1)
    board.refuse(q0=[4.0], q1=[4.0])
    first, second = board.waiting
    board.waiting = [second]
    board.now_s = PAUSE_S
    assert board.asked(price=1.0) == []
    board.waiting = [first, second]
    assert board.asked(price=1.0) == [0]


def test_what_a_plan_may_cost_is_asked_of_each_plan():
    board = Board(0, 1)
    for query, probability in zip(board.waiting, (0.9, 0.1), strict=True):
        offer = SimpleNamespace(demand=np.array([1.0, 0.0]), probability=probability)
        bid = SimpleNamespace(query=query, offers=[offer])
        remember_refused(board, [bid], lambda offer: 2.0 * offer.probability)
    board.now_s = PAUSE_S
    assert board.asked(price=1.5) == [0]
