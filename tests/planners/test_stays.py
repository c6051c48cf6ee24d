"""How long queries are expected to stay, and what a planner's telemetry shows of their service."""

from types import SimpleNamespace

import pytest
from worlds import Remembers

from planners.common.stays import expected_stay_s, note_stays, share_of_stay
from planners.common.windows import forgiven, share_in_time, window_s
from planners.compass.scheduling.repacking import lost_by_moving_s


class Board(Remembers):
    """A context with a memory, at some time, and queries that arrived at given times."""

    def __init__(self, now_s, arrivals_s, memory=None):
        self.now_s, self.waiting, self.searching = now_s, (), ()
        self.running = [SimpleNamespace(id=at, arrival_s=each) for at, each in arrivals_s.items()]
        self.memory, self.bulk = {} if memory is None else memory, self


def test_before_any_query_has_left_all_time_counts():
    board = Board(100.0, {0: 0.0, 1: 40.0})
    assert expected_stay_s(board) == 160.0
    assert share_of_stay(board, 40.0) == 0.25
    assert share_of_stay(board, 500.0) == 1.0
    assert share_of_stay(Board(0.0, {}), 0.0) == 0.0


def test_the_expected_stay_is_the_time_of_all_over_the_number_that_left():
    first = Board(100.0, {0: 0.0, 1: 40.0, 2: 50.0})
    note_stays(first)
    later = Board(200.0, {2: 50.0, 3: 180.0}, first.memory)
    note_stays(later)
    assert expected_stay_s(later) == (100.0 + 60.0 + 150.0 + 20.0) / 2


class Told(Board):
    """A context with telemetry of one query, whose plan serves since some time."""

    def __init__(self, since_s, *good, partitions=True, create_s=43.4):
        super().__init__(600.0, {0: 0.0})
        self.query = self.running[0]
        self.query.slo = SimpleNamespace(latency_quantile=0.95)
        self.reports = tuple(
            SimpleNamespace(end_s=60.0 * (at + 1), born=100, good=each)
            for at, each in enumerate(good)
        )
        profiles = ("1g", "7g") if partitions else ("full",)
        self.world = SimpleNamespace(
            active_since_s=lambda query: since_s,
            cluster=SimpleNamespace(
                tick_s=1.0,
                mig_create_s=create_s,
                mig_destroy_s=0.0,
                nodes={"cloud": SimpleNamespace(gpus=1, gpu_profiles=profiles)},
            ),
        )

    def telemetry(self, query):
        return self.reports


@pytest.mark.parametrize(
    ("since_s", "good", "share"),
    [
        (None, (100, 100), None),  # still loading
        (70.0, (100, 100), None),  # no window was its alone
        (60.0, (0, 100), 2 / 3),
        (60.0, (0, 94), 1 / 3),  # one bad window says that a third of them is good
        (60.0, (0, 94, 95, 96), 3 / 5),
    ],
)
def test_windows_that_a_plan_served_alone_show_how_often_it_is_in_time(since_s, good, share):
    board = Told(since_s, *good)
    assert share_in_time(board, board.query) == share


def test_making_room_costs_a_gpu_instance_and_a_window_unless_the_slo_forgives_it():
    slow = Told(0.0, 100, 100)
    assert window_s(slow) == 60.0
    assert lost_by_moving_s(slow, slow.query) == pytest.approx(1.0 + 43.4 + 60.0)
    whole_cards = Told(0.0, 100, 100, partitions=False)
    assert forgiven(whole_cards, whole_cards.query, 2.9)
    assert not forgiven(whole_cards, whole_cards.query, 3.1)
    assert lost_by_moving_s(whole_cards, whole_cards.query) == 1.0
