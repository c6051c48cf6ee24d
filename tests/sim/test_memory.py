"""Memory of planners: how long it lasts, and what a crash leaves of it."""

import pytest
from worlds import Does, run, scenario

from scenarios.drift import Drift, DriftEvent
from scenarios.workload import Workload
from sim.cluster import queries as query_board
from sim.planning.memory import Memory

SHORT = Workload(rate=0.5, lifetime_mean_s=8.0, lifetime_min_s=2.0)


@pytest.mark.parametrize("crash", [False, True], ids=["", "with a crash"])
def test_records_of_single_queries_last_until_departed_lists_them_no_longer(crash, monkeypatch):
    monkeypatch.setattr(query_board, "LISTED", 4)
    arrived, long_gone, listed = set(), [], []

    def note(context):
        for query in (*context.waiting, *context.running):
            if query.id not in arrived:
                context.remember(("noted", query.id), query.id + 1)
                context.remember(("other", query.id), query.id + 1)
                arrived.add(query.id)
        there = {each.id for each in (*context.waiting, *context.bulk.last_departed())}
        for number in arrived - there:
            assert context.recall(("noted", number)) is None
            assert context.recall(("other", number)) in {number + 1, None if crash else number + 1}
            long_gone.append(number)
        for query in context.bulk.last_departed():
            if not crash:
                assert context.recall(("noted", query.id)) == query.id + 1
            listed.append(query.id)

    planner = Does(note)
    planner.query_records = ("noted",)
    drift = Drift((DriftEvent("planner_crash", 40.0, duration_s=5.0),) if crash else ())
    world = run(scenario(80.0, workload=SHORT, drift=drift), planner)
    assert world.planner_errors == []
    assert world.planner_crashes == crash
    assert len(set(long_gone)) > 10
    assert len(set(listed)) > 10


def test_what_is_forgotten_is_as_if_it_had_never_been_written():
    memory = Memory()
    for key in ("a", "b"):
        memory.write(key, 1, at_ns=5, author=1, now_ns=5)
    memory.checkpoint(6)
    memory.write("a", 2, at_ns=9, author=2, now_ns=7)
    memory.forget(["a", "never written"])
    memory.fall_back()
    assert list(memory.read_each(["a", "b"], 10)) == [None, 1]
    assert memory.settled(["a", "b"], 10) == [True, True]


def test_the_latest_learned_counts_whichever_was_written_first():
    memory = Memory()
    memory.write("a", "late", at_ns=14, author=1, now_ns=10)
    memory.write("a", "early", at_ns=12, author=2, now_ns=11)
    assert [memory.read("a", at, author=3) for at in (11, 12, 13, 14, 15)] == [
        *(None, "early", "early", "late", "late")
    ]
    assert memory.read("a", 11, author=1) == "late", "it has learned that itself"
    assert memory.settled(["a"], 13) == [False]
    memory.write("a", "last", at_ns=14, author=2, now_ns=14)
    assert list(memory.read_each(["a"], 14)) == ["last"], "of one time, what was written last"
