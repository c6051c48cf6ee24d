"""The app's answers: the figures of the shell's run, and never an older one after a newer one."""

import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from lab import run
from lab.app.answers import Answers
from lab.app.controls import SCENARIOS
from lab.app.forecast import QueryTime, expected_s, forecast_s, query_time_of
from lab.app.pool import CONTEXT
from lab.app.runs import Figures, Message, Task
from lab.app.runs import run as run_task
from lab.app.scenario import State
from lab.app.workers import PAGES, Compiled, Workers, now_s

WORDS = ("experiment=speech_small", "planner=greedy", "horizon_s=240", "switching=free")


@pytest.fixture(scope="module")
def from_shell():
    return run([*WORDS, "seed=0"])


def made(words=WORDS, newest=7, asked_s=0.0, **parts):
    said = []
    run_task(Task(0, 7, 1, 0, tuple(words), asked_s, **parts), [newest], said.append)
    return said


def test_a_run_has_the_figures_of_the_same_run_from_the_shell(from_shell):
    *early, last = made()
    wall = ("wall_s", "planning_wall_s", "bound_wall_s")
    for name, value in from_shell.summary.items():
        if name not in wall:
            assert last.figures.numbers[name] == value, name
    assert last.figures.scene["queries"][0]["id"] == 0
    assert early
    assert all(one.figures.query_time is None for one in early)


def test_active_queries_are_known_before_the_run(from_shell):
    expected = expected_s(from_shell.scenario, 0)
    course = query_time_of(from_shell.windows, len(expected))
    assert course.active_s == pytest.approx(expected, abs=1e-6)


def test_there_is_no_estimate_before_a_window_with_queries_is_judged(from_shell, monkeypatch):
    monkeypatch.setattr("lab.app.runs.AGAIN_S", 0.0)
    *early, _ = made()
    first_s = from_shell.queries["arrival_s"].min()
    window_s = from_shell.scenario.application.window_s
    judged_s = (first_s // window_s + 1) * window_s
    assert early[0].figures.simulated_s >= judged_s > 0


def test_the_estimate_after_the_last_window_is_the_goodput(from_shell):
    expected = expected_s(from_shell.scenario, 0)
    course = query_time_of(from_shell.windows, len(expected))
    earlier = QueryTime(expected, 0.9 * expected)
    goodput = forecast_s(course, expected, earlier) / 240
    assert goodput == pytest.approx(from_shell.summary["service_goodput_mean"])


def test_an_estimate_learns_from_an_earlier_run_and_from_the_windows_so_far():
    expected = np.array([600.0, 1200.0, 1200.0, 1200.0])
    earlier = QueryTime(expected, np.array([0.0, 600.0, 900.0, 900.0]))
    nothing = QueryTime(np.zeros(4), np.zeros(4))
    assert forecast_s(nothing, expected, earlier) == 2400.0
    as_before = QueryTime(np.array([600.0, 1200.0, 0, 0]), np.array([0.0, 600.0, 0, 0]))
    assert forecast_s(as_before, expected, earlier) == 2400.0
    better = QueryTime(np.array([600.0, 1200.0, 0, 0]), np.array([0.0, 900.0, 0, 0]))
    # 900 s so far, and (900 + 1200) / (600 + 1200) of the earlier 1800 s to come
    assert forecast_s(better, expected, earlier) == pytest.approx(900 + 1800 * 7 / 6)
    assert forecast_s(nothing, expected, None) == 2100.0  # half of the time


def test_a_superseded_run_says_nothing():
    assert made(newest=8) == []


def test_bad_input_is_refused_in_one_sentence():
    [said] = made([*WORDS, "cluster.nodes.cloud.standby=4"])
    assert (
        said.refused == "cluster.nodes.cloud.standby=4: must lie between 0 and the node's count, 2"
    )


class Recorded(Workers):
    """Workers that make no runs, so that a test says what they answer, and when."""

    def __init__(self):
        self.tasks, self.number = [], 0

    def page(self, take):
        self.take = take
        return 3

    def move(self, slot):
        self.number += 1
        return self.number

    def leave(self, slot, take):
        self.left = slot

    def ask(self, task):
        self.tasks.append(task)

    def tell(self, number, side, seed=0, goodput=1.0, course=True, **parts):
        numbers = {"service_goodput_mean": goodput}
        figures = Figures(numbers, 60.0, QueryTime(np.ones(2), np.ones(2)) if course else None)
        parts = parts or {"figures": figures}
        self.take(Message(3, number, side, seed, **parts))


@pytest.fixture
def page():
    workers, shown = Recorded(), []
    return Answers(workers, shown.append, seeds=3), workers, shown


def test_both_planners_get_the_same_seeds_and_the_first_seed_comes_first(page):
    answers, workers, _ = page
    answers.ask(State())
    assert [(one.seed, one.side) for one in workers.tasks] == [
        (seed, side) for seed in range(3) for side in (0, 1)
    ]
    assert {one.overrides[1] for one in workers.tasks} == {"planner=compass", "planner=videostorm"}


def test_an_older_answer_is_never_shown_after_a_newer_move(page):
    answers, workers, shown = page
    first = answers.ask(State())
    second = answers.ask(State().moved("workload.rate", 0.025))
    workers.tell(first, 0)
    workers.tell(first, 1, course=False)
    assert shown == []
    workers.tell(second, 0, goodput=2.0)
    workers.tell(first, 0, goodput=3.0)
    assert [one.number for one in shown] == [second]
    answers.close()
    workers.tell(second, 1)
    assert len(shown) == 1
    assert workers.left == 3


def test_an_answer_is_preliminary_until_the_first_seed_has_ended(page):
    answers, workers, shown = page
    number = answers.ask(State())
    workers.tell(number, 0, goodput=1.5, course=False)
    workers.tell(number, 0, goodput=2.0)
    workers.tell(number, 0, goodput=9.0, course=False)  # a late estimate
    assert [one.preliminary for one in shown] == [True, False, False]
    assert [one.figures.numbers["service_goodput_mean"] for one in shown] == [1.5, 2.0, 2.0]


def test_both_planners_are_shown_over_the_seeds_that_both_have(page):
    answers, workers, shown = page
    number = answers.ask(State())

    def newest():
        last = {one.side: one.interval("service_goodput_mean") for one in shown}
        return [(last[side].n, last[side].mean) for side in (0, 1)]

    for seed, goodput in ((0, 2.0), (1, 4.0), (2, 9.0)):
        workers.tell(number, 0, seed=seed, goodput=goodput)
    workers.tell(number, 1, goodput=1.0)
    assert newest() == [(1, 2.0), (1, 1.0)]
    workers.tell(number, 1, seed=1, goodput=3.0)
    assert newest() == [(2, 3.0), (2, 2.0)]
    workers.tell(number, 1, seed=2, goodput=5.0)
    assert newest() == [(3, 5.0), (3, 3.0)]


def test_there_are_intervals_from_three_seeds_on(page):
    answers, workers, shown = page
    number = answers.ask(State())
    found = []
    for seed in range(3):
        for side in (0, 1):
            workers.tell(number, side, seed=seed, goodput=2.0 * seed)
        interval = shown[-1].interval("service_goodput_mean")
        found.append((interval.n, interval.low, interval.high))
    assert found[:2] == [(1, None, None), (2, None, None)]
    assert found[2] == (3, 0.0, pytest.approx(2 + 4.303 * 2 / 3**0.5, rel=1e-3))


def test_a_move_keeps_the_values_before_it_and_pairs_differences_by_seed(page):
    answers, workers, shown = page
    name = "service_goodput_mean"
    number = answers.ask(State())
    for seed, goodput in enumerate((2.0, 4.0)):
        for side in (0, 1):
            workers.tell(number, side, seed=seed, goodput=goodput)
    unfinished = State().moved("workload.rate", 0.075)
    answers.ask(unfinished)
    moved = State().moved("workload.rate", 0.025)
    waiting = answers.waiting(moved, 0)
    assert (waiting.earlier(name).mean, waiting.difference(name).mean) == (3.0, None)
    assert waiting.before.state.apart(moved, 0) == ["workload.rate=0.05"]
    number = answers.ask(moved)
    for seed, goodput in enumerate((3.0, 9.0, 50.0)):
        for side in (0, 1):
            workers.tell(number, side, seed=seed, goodput=goodput)
        last = shown[-1]
        assert (last.earlier(name).mean, last.difference(name).mean) == [
            (2.0, 1.0),
            (3.0, 3.0),
            (3.0, 3.0),
        ][seed]
    assert last.difference(name).low is None  # two seeds
    assert last.paired == [0, 1]


def test_no_earlier_answer_is_shown_for_another_scenario_or_an_unchanged_side(page):
    answers, workers, _ = page
    number = answers.ask(State())
    for side in (0, 1):
        workers.tell(number, side)
    assert answers.waiting(State(), 0).before is None
    assert answers.waiting(State("chat_small", SCENARIOS["chat_small"]), 0).before is None
    other = State(planners=("greedy", "videostorm"))
    before, unchanged = (answers.waiting(other, side).before for side in (0, 1))
    assert unchanged is None
    assert before.state.apart(other, 0) == ["planner=compass"]


def test_the_next_move_learns_from_the_last_finished_run_of_the_planner(page):
    answers, workers, _ = page
    number = answers.ask(State())
    assert {one.earlier for one in workers.tasks} == {None}
    workers.tell(number, 1)
    workers.tasks.clear()
    answers.ask(State().moved("network", "wifi"))
    learns = [(one.side, one.seed) for one in workers.tasks if one.earlier is not None]
    assert learns == [(1, 0)]
    workers.tasks.clear()
    answers.ask(State("chat_small", SCENARIOS["chat_small"]))
    assert {one.earlier for one in workers.tasks} == {None}


def test_pages_that_wait_hear_how_many_functions_are_compiled(page):
    answers, workers, shown = page
    number = answers.ask(State())
    assert answers.waiting(State(), 0).compiled is None
    workers.tell(number, 0, compiled=5)
    assert (shown[-1].compiled, shown[-1].figures) == (5, None)
    workers.compiled = 6
    assert answers.waiting(State(), 0).compiled == 6
    workers.tell(number, 0)
    assert not shown[-1].preliminary


def test_a_refusal_is_shown_and_the_page_goes_on(page):
    answers, workers, shown = page
    workers.tell(answers.ask(State()), 0, refused="a=1: must be 2")
    workers.tell(answers.ask(State()), 0)
    assert [one.refused for one in shown] == ["a=1: must be 2", ""]


def wait_for(condition, most_s=120.0):
    until_s = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.02)


@pytest.mark.slow
def test_processes_answer_moves_and_a_move_back_at_once():
    shown = []
    workers = Workers(1)
    try:
        answers = Answers(workers, shown.append, seeds=1)
        base = State(planners=("greedy", "cheapest_feasible")).moved("horizon_s", 300)
        for state in (base.moved("workload.rate", 0.075), base.moved("workload.rate", 0.025), base):
            number = answers.ask(state)
        wait_for(lambda: sum(not one.preliminary for one in shown) == 2)
        assert {one.number for one in shown} == {number}
        shown.clear()
        answers.ask(base)
        assert [one.preliminary for one in shown] == [False, False]
    finally:
        workers.close()


def test_a_page_that_leaves_does_not_take_the_slot_of_another():
    workers = Workers(1)
    try:
        pages = [object() for _ in range(PAGES)]
        takes = [lambda _, page=page: page for page in pages]
        slots = [workers.page(take) for take in takes]
        assert sorted(slots) == list(range(PAGES))
        workers.leave(slots[5], takes[5])
        newer = workers.page(takes[0])
        assert newer == slots[5]
        workers.leave(newer, takes[5])  # the page that had the slot before
        assert workers.page(takes[1]) != newer
    finally:
        workers.close()


KILLED = """
import os, signal
from lab.app.workers import _shared
from planners import CheapestFeasible

class Killed(CheapestFeasible):
    def plan(self, context):
        _shared["lock"].acquire()  # as in the middle of a message
        os.kill(os.getpid(), signal.SIGKILL)
"""


COMPILES = """
from planners import CheapestFeasible
from scenarios.compiled import compiled

NEW = %d  # so that no earlier run of this test has stored the machine code

@compiled
def half(number):
    return number / 2 + NEW

class Compiles(CheapestFeasible):
    def plan(self, context):
        half(2)
        return super().plan(context)
"""


@pytest.mark.slow
def test_a_page_hears_of_compilation_in_a_process_and_of_its_end(tmp_path, monkeypatch):
    (tmp_path / "compiling_planner.py").write_text(COMPILES % time.time_ns())
    monkeypatch.syspath_prepend(tmp_path)
    said, workers = [], Workers(1)
    try:
        slot = workers.page(said.append)
        words = (WORDS[0], "planner._target_=compiling_planner.Compiles", "horizon_s=60")
        workers.ask(Task(slot, workers.move(slot), 0, 0, words, now_s()))
        wait_for(lambda: any(one.figures or one.refused for one in said))
        wait_for(lambda: workers.compiled is None)
    finally:
        workers.close()
    heard = [one.compiled for one in said if one.compiled is not None]
    assert heard == sorted(heard)
    assert heard[-1] > 0
    assert said[-1].compiled is None
    assert not any(one.refused for one in said)


@pytest.mark.slow
def test_a_process_killed_while_it_speaks_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "killed_planner.py").write_text(KILLED)
    monkeypatch.syspath_prepend(tmp_path)
    said, workers = [], Workers(1)
    try:
        slot = workers.page(said.append)

        def ask(planner):
            words = ("experiment=speech_small", planner, "horizon_s=60")
            workers.ask(Task(slot, workers.move(slot), 0, 0, words, now_s()))

        ask("planner._target_=killed_planner.Killed")
        wait_for(lambda: said and said[-1].refused)
        assert "was killed, perhaps because memory ran out" in said[-1].refused
        ask("planner=greedy")
        wait_for(lambda: said[-1].figures and said[-1].figures.scene)
        assert said[-1].figures.directory.is_dir()
    finally:
        workers.close()


@pytest.fixture
def heard(tmp_path):
    """Return workers, a page of theirs that records, and what lets them hear of finished runs."""
    said, workers = [], Workers(1)
    slot = workers.page(said.append)

    def hear(*seeds, page=slot):
        reader, writer = CONTEXT.Pipe(duplex=False)
        for number, seed in enumerate(seeds):
            directory = Path(mkdtemp(prefix=f"{seed}-{number}-", dir=tmp_path))
            course = QueryTime(np.ones(1), np.ones(1))
            figures = Figures({}, 1.0, course, directory=directory)
            writer.send(Message(page, 7, 0, seed, figures, overrides=WORDS))
        writer.close()
        workers._listen(reader)
        return sorted(path.name[:3] for path in tmp_path.iterdir())

    yield workers, said, hear
    workers.close()
    assert not Path(workers._folder.name).exists()


def test_results_are_kept_for_as_long_as_their_run_is_remembered(heard, monkeypatch):
    workers, said, hear = heard
    monkeypatch.setattr("lab.app.workers.REMEMBERED", 2)
    assert hear(0, 1) == ["0-0", "1-1"]
    number = workers.move(said[0].slot)
    workers.ask(Task(said[0].slot, number, 1, 0, WORDS, now_s()))  # which remembers it for longer
    assert said[-1] == replace(said[0], number=number, side=1)
    assert hear(2) == ["0-0", "2-0"]


def test_a_run_that_was_made_twice_is_kept_once(heard):
    _, said, hear = heard
    assert hear(0, 0) == ["0-0"]
    assert [one.figures.directory.name[:3] for one in said] == ["0-0", "0-0"]


def test_a_page_at_fault_does_not_end_the_answers_of_others(heard, capsys):
    workers, said, hear = heard
    broken = workers.page(lambda _: 1 / 0)
    hear(0, page=broken)
    assert "ZeroDivisionError" in capsys.readouterr().err
    hear(0, 1, page=broken)
    assert capsys.readouterr().err.count("ZeroDivisionError: ") == 2
    hear(0)
    assert len(said) == 1


def test_all_pages_hear_of_the_process_that_has_compiled_most(heard):
    workers, said, _ = heard
    other = []
    workers.page(other.append)
    reader, writer = CONTEXT.Pipe(duplex=False)
    for one in (Compiled(1, 5), Compiled(2, 3), Compiled(1, 9), Compiled(1), Compiled(2)):
        writer.send(one)
    writer.close()
    workers._listen(reader)
    assert [one.compiled for one in said] == [5, 5, 9, 9, 3, 3, None, None]
    assert [one.side for one in said[:2]] == [0, 1]
    assert [one.compiled for one in other] == [5, 5, 9, 9, 3, 3, None, None]
    assert workers.compiled is None


def test_a_newer_question_or_move_ends_the_examination_of_decisions(heard, monkeypatch, tmp_path):
    workers, *_ = heard
    ended, others = workers.page(lambda _: None), workers.page(lambda _: None)
    asked = []

    def submit(_, slot, number, *words):
        asked.append(lambda: workers._asked[slot] == number)
        return Future()

    monkeypatch.setattr(workers._examiners, "submit", submit)
    for slot in (others, ended, ended):
        workers.regrets(slot, tmp_path, 0, lambda _: None)
    assert [wanted() for wanted in asked] == [True, False, True]
    workers.move(ended)
    assert [wanted() for wanted in asked] == [True, False, False]
