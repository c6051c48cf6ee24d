"""Refused queries: which are asked again, and when."""

from types import SimpleNamespace

import numpy as np
import pytest
from worlds import Remembers

from planners.common.orders import give_up
from planners.compass.scheduling.rebidding import MOST_HOPEFUL, remember_refused, retries
from planners.compass.state.pools import Fleet, Market, Pools, ResourceUse, Standing, Uses

PAUSE_S, KNOWN_FOR_S = 10.0, 60.0
POOLS = Pools(
    (("cloud", "cores"), ("cloud", "backhaul")),
    np.array([10.0, 0.8]),
    np.ones(2),
    np.ones(2),
    np.zeros(2),
    0.8,
)
# Stations of one core.
TAKES = ResourceUse(np.array([0, 0]), np.array([1.0, 0.0]), np.array([1.0, 1.0]))
WASTE = 0.5


class Board(Remembers):
    """A context with a memory, queries that wait, and stations of one core.

    Attributes:
        standing: shares that plans in force fill, each of a station with a key of its own.
        fitting: whether a machine has room.
        looks: how often it was asked about that.
    """

    def __init__(self, *waiting):
        self.waiting = [SimpleNamespace(id=number) for number in waiting]
        self.searching = []
        self.now_s, self.trigger = 0.0, "tick"
        self.memory, self.bulk, self.world, self.loading = {}, self, self, {}
        self.standing, self.fitting, self.looks = (), True, 0

    def first_that_fits(self, wanted, beside):
        assert not beside, "nothing was ordered"
        [(query, [plan])] = wanted
        self.looks += 1
        assert plan == f"plan of {query.id}"
        return [0 if self.fitting else None]

    def retries(self, price, busy=()):
        uses = {-1 - at: station(at, share) for at, share in enumerate(self.standing)}
        standing = Standing(Fleet.of(uses), TAKES, POOLS)
        market = Market(POOLS, np.array([price, 0.0]), standing)
        return retries(self, market, lambda _: PAUSE_S, KNOWN_FOR_S, WASTE, busy)

    def asked(self, price, busy=()):
        asked = self.retries(price, busy)
        return [query.id for query in self.waiting if asked.due(query)]

    def refuse(self, most=2.0, backhaul=0.0, **shares):
        """Refuse queries, named q0 and so on, for plans that fill so much of a station each."""
        bids = []
        for name, amounts in shares.items():
            [query] = [each for each in self.waiting if each.id == int(name[1:])]
            give_up(self, query)
            offers = [
                SimpleNamespace(uses=station(0, amount, backhaul), feasible=True)
                for amount in amounts
            ]
            plans = [f"plan of {query.id}"] * len(offers)
            bids.append(SimpleNamespace(query=query, offers=offers, plans=plans))
        remember_refused(self, bids, lambda _: most)


def station(key, filled, backhaul=0.0):
    return Uses(np.array([0]), np.array([key]), np.array([filled]), backhaul)


def test_queries_that_were_never_refused_are_asked():
    assert Board(3, 5).asked(price=100.0) == [3, 5]


# Half of what a new station has to spare counts: 0.8 of it cost 0.9, and 0.2 cost 0.6.
@pytest.mark.parametrize(("price", "asked"), [(3.4, []), (2.3, [1]), (2.2, [0, 1])])
def test_refused_queries_that_can_pay_for_one_of_their_plans_are_asked(price, asked):
    board = Board(0, 1)
    board.refuse(q0=[1.0, 0.8], q1=[0.9, 0.2])
    assert board.asked(price) == asked


@pytest.mark.parametrize("trigger", ["arrival", "departure", "recovery", "refusal"])
def test_refused_queries_are_asked_again_at_ticks_only(trigger):
    board = Board(0, 1)
    board.refuse(q0=[1.0])
    board.now_s, board.trigger = 1.0, trigger
    assert board.asked(price=1.0) == [1]
    board.trigger = "tick"
    assert board.asked(price=1.0) == [0, 1]


def test_each_tick_is_a_chance():
    board = Board(0)
    board.refuse(q0=[1.0])
    for second, price in enumerate([3.0, 1.0, 3.0, 1.0], start=1):
        board.now_s = float(second)
        assert board.asked(price) == ([0] if price < 2.0 else [])


def test_a_query_without_any_plan_is_left_alone_for_a_while():
    board = Board(0)
    give_up(board, board.waiting[0])
    board.now_s = PAUSE_S - 1
    assert board.asked(price=1.0) == []
    board.now_s = PAUSE_S
    assert board.asked(price=1.0) == [0]


def test_queries_that_can_pay_are_hopeful_and_others_refused():
    board = Board(0, 1, 2)
    board.refuse(q0=[1.0], q1=[0.1])
    found = board.retries(price=2.5)
    assert (found.hopeful, found.refused) == ({1}, {0})


def test_those_whose_plans_are_worth_most_go_first():
    board = Board(*range(MOST_HOPEFUL + 1))
    board.refuse(most=0.5, **{f"q{at}": [0.1] for at in range(MOST_HOPEFUL)})
    board.refuse(most=2.0, **{f"q{MOST_HOPEFUL}": [0.9]})
    asked = board.asked(price=0.5)
    assert len(asked) == MOST_HOPEFUL
    assert MOST_HOPEFUL in asked


def test_room_in_a_station_makes_a_plan_cheaper():
    board = Board(0)
    board.refuse(q0=[0.2])
    assert board.asked(price=4.0) == []
    board.standing = (0.5,)
    assert board.asked(price=4.0) == [0]
    board.standing = (0.9,)
    assert board.asked(price=4.0) == []


def test_queries_that_need_more_than_the_pools_have_left_are_not_asked():
    board = Board(0)
    board.refuse(q0=[0.2])
    board.standing = (0.9,) * 10
    assert board.asked(price=1.0) == []
    assert board.looks == 0
    board.standing = (0.9,) * 9
    assert board.asked(price=1.0) == [0]
    assert board.looks == 1


def test_queries_that_need_more_of_the_backhaul_than_is_free_are_not_asked():
    for share, asked in ((0.94, [0]), (0.96, [])):
        board = Board(0)
        board.refuse(q0=[0.2], backhaul=share)
        assert board.asked(price=1.0) == asked
        assert board.looks == len(asked), "the world is not even asked for room"


def test_queries_without_room_on_a_machine_are_asked_again_much_later():
    board = Board(0)
    board.refuse(q0=[0.2, 0.3])
    board.fitting = False
    assert board.asked(price=1.0) == []
    assert board.looks == 1, "about one plan that needs a new station of this kind"
    board.now_s = KNOWN_FOR_S
    assert board.asked(price=1.0) == [0], "others of its plans may have become cheaper"


def test_of_many_hopeful_queries_those_with_the_cheapest_plans_are_asked():
    board = Board(*range(MOST_HOPEFUL + 2))
    board.refuse(q0=[0.9], **{f"q{1 + at}": [0.1 + 0.01 * at] for at in range(MOST_HOPEFUL + 1)})
    assert board.asked(price=1.0) == list(range(1, MOST_HOPEFUL + 1))
    assert board.asked(price=1.0) == list(range(1, MOST_HOPEFUL + 1)), "the others rest"
    board.waiting = [board.waiting[0], board.waiting[-1]]
    assert board.asked(price=1.0) == [0, MOST_HOPEFUL + 1]


def test_without_a_limit_on_price_all_hopeful_queries_are_asked():
    board = Board(*range(MOST_HOPEFUL + 2))
    board.refuse(most=np.inf, **{f"q{at}": [0.9] for at in range(MOST_HOPEFUL + 2)})
    assert board.asked(price=1.0) == list(range(MOST_HOPEFUL + 2))


def test_a_busy_query_takes_no_place_of_the_most_hopeful():
    board = Board(*range(MOST_HOPEFUL + 1))
    board.refuse(**{f"q{at}": [0.1 + 0.01 * at] for at in range(MOST_HOPEFUL + 1)})
    assert board.asked(1.0, busy={0}) == list(range(1, MOST_HOPEFUL + 1))


def test_a_query_under_search_is_not_forgotten():
    board = Board(0)
    board.refuse(q0=[1.0])
    board.searching, board.waiting = board.waiting, []
    assert board.asked(price=3.0) == []
    board.searching, board.waiting = [], board.searching
    assert board.asked(price=3.0) == []
    assert board.asked(price=1.0) == [0]


def test_the_last_bid_of_a_query_counts():
    board = Board(0, 1)
    board.refuse(q0=[1.0], q1=[1.0])
    board.refuse(q0=[0.2])
    assert board.asked(price=3.0) == [0]


def test_a_query_that_was_served_meanwhile_bids_anew():
    board = Board(0, 1)
    board.refuse(q0=[1.0], q1=[1.0])
    first, second = board.waiting
    board.waiting = [second]
    board.now_s = PAUSE_S
    assert board.asked(price=3.0) == []
    board.waiting = [first, second]
    assert board.asked(price=3.0) == [0]


def test_what_a_plan_may_cost_is_asked_of_each_plan():
    board = Board(0, 1)
    for query, probability in zip(board.waiting, (0.9, 0.1), strict=True):
        offer = SimpleNamespace(uses=station(0, 1.0), probability=probability)
        bid = SimpleNamespace(query=query, offers=[offer], plans=[f"plan of {query.id}"])
        remember_refused(board, [bid], lambda offer: 2.0 * offer.probability)
    assert board.asked(price=1.5) == [0]
