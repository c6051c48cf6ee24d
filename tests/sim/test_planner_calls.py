"""What a call of the planner sees, and what is refused or contained in it."""

import re

import numpy as np
import pytest
from planned_once import CONFIGURATIONS, plan_once, workload
from worlds import Does, plan_in, queries_at, run, scenario, tables_of

from sim import Planner, PlannerError


def test_query_is_searching_until_its_clock_and_can_wait_for_it():
    seen = []

    def act(context):
        seen.append(
            (context.now_s, [q.id for q in context.waiting], [q.id for q in context.bulk.searching])
        )
        for query in context.waiting:
            context.charge(query, count=2_000_000)
            context.deploy(query, plan_in(context, query, "device"))

    made = run(scenario(20, workload=workload(1.0, 2.0, 4.5)), Does(act))
    assert made.planner_errors == []
    assert seen == [(1.0, [0], []), (2.0, [1], [0]), (4.5, [2], [])]


def test_a_search_that_goes_on_after_its_order_is_one_search_still():
    """The order is carried out, and the query waits or runs again, when the search is over."""

    def act(context):
        for query in context.waiting:
            context.deploy(query, plan_in(context, query, "device"))
            context.charge(query, count=2_500_000)

    planner = Does(act, replan_every_s=1.0)
    made = run(scenario(20, workload=workload(1.0)), planner)
    (row,) = made.tables.take()["decisions"].rows(named=True)
    assert (row["triggered_s"], row["decided_s"], row["charged_s"]) == (1.0, 3.5, 2.5)


def test_search_that_orders_nothing_keeps_its_query_searching_too():
    seen = []

    def act(context):
        seen.append([query.id for query in context.bulk.searching])
        for query in context.waiting:
            context.charge(query, count=2_000_000)

    run(scenario(20, workload=workload(1.0, 2.0, 3.5)), Does(act))
    assert seen == [[], [0], [1]]


def test_two_calls_at_one_tick_see_the_searches_of_each_other():
    """A refusal and the period fall on one tick; the second call must leave the query alone."""
    calls = []

    def act(context):
        ids = [query.id for query in context.waiting]
        calls.append(
            (context.trigger, context.now_s, ids, [query.id for query in context.bulk.searching])
        )
        for query in context.waiting:
            full = [p for p in context.candidates(query) if p.allocation[2].profile == "7g.40gb"]
            context.charge(query, count=10_000)
            context.deploy(query, full[query.id])

    planner = Does(act, replan_every_s=1.0)
    # Two A100s for three queries whose configurations differ: the third is refused for ever.
    made = run(scenario(5.0, workload=workload(1.25, 1.26, 1.27)), planner)
    assert made.planner_errors == []
    assert [call for call in calls if call[1] == 2.0] == [
        ("refusal", 2.0, [2], []),
        ("tick", 2.0, [], [2]),
    ]


def offered(context, query, **said):
    plan = said.pop("plan", None) or plan_in(context, query, "device")
    context.bulk.log_candidate(
        query, plan, **{"role": "chosen", "latency_s": 0.1, "accuracy": 0.9} | said
    )


def test_what_numpy_gives_can_be_said_of_an_offer():
    def act(context):
        for query in context.waiting:
            offered(context, query, latency_s=np.float32(0.5), accuracy=np.int64(1))

    made = run(scenario(5.0, workload=workload(1.0)), Does(act))
    assert made.tables.take()["offers"].select("latency_s", "accuracy").row(0) == (0.5, 1.0)


def test_a_planner_must_not_return_its_plans():
    class Returning(Planner):
        def plan(self, context):
            return [plan_in(context, query, "device") for query in context.waiting]

    made = run(scenario(5.0, workload=workload(1.0)), Returning())
    (error,) = made.planner_errors
    assert "plan must return None and order with context.deploy" in error
    assert error.endswith("it returned a value of type list")


def test_world_contains_a_planner_that_raises():
    def act(context):
        if context.trigger == "arrival" and context.now_s == 2.0:
            raise ValueError("of no\nimportance")
        for query in context.waiting:
            context.deploy(query, plan_in(context, query, "device"))

    made = run(scenario(20, workload=workload(1.0, 2.0, 3.0)), Does(act))
    (error,) = made.planner_errors
    assert re.fullmatch(
        r"at 2.000 s, on arrival: ValueError in test_planner_calls.py:\d+: of no importance", error
    )
    decisions = made.tables.take()["decisions"]
    assert decisions["outcome"].to_list() == ["deployed", "error", "deployed", "deployed"]


def test_world_contains_an_exception_that_cannot_say_what_it_is():
    class SpeechlessError(Exception):
        def __str__(self):
            raise ValueError("no text")

    def act(context):
        raise SpeechlessError

    made = run(scenario(5.0, workload=workload(1.0)), Does(act))
    assert made.planner_errors
    assert all(error.endswith(": no message") for error in made.planner_errors)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (
            lambda context, query: context.charge(query, "dream"),
            r"charge\('dream'\): choose one of",
        ),
        (
            lambda context, query: context.deploy(query, "plan"),
            r"deploy\(query, plan\): must get Query and Plan, not Query and str",
        ),
        (lambda context, query: context.deploy(query, {}), "not Query and dict"),
        (
            lambda context, query: context.deploy(plan_in(context, query, "device"), query),
            "Plan and Query",
        ),
        (
            lambda context, query: context.deploi(query),
            ": the planning context has no 'deploi'; .* mean 'deploy'",
        ),
        (
            lambda context, query: context.triger,
            ": the planning context has no 'triger'; did you mean 'trigger'",
        ),
        (lambda context, query: query.plan, ": 'Query' object has no attribute 'plan'"),
        (lambda context, query: context.profile(query, "x", 3), "'x'"),
        (
            lambda context, query: context.predict(query, plan_in(context, query, "device")),
            "profile .* first",
        ),
        (
            lambda context, query: [context.remaining(query) for _ in iter(int, 1)],
            "50,000 calls of the planning context",
        ),
        (
            lambda context, query: [context.recall(1) for _ in iter(int, 1)],
            "1,000,000 calls of the planning context",
        ),
        (lambda context, query: context.profile(query, CONFIGURATIONS[0], -5), "samples=-5"),
        (lambda context, query: context.profile("x", CONFIGURATIONS[0], 3), "data set 'x'"),
        (lambda context, query: offered(context, query, plan="x"), "'x' is no Plan"),
        (lambda context, query: offered(context, query, role=3), "role=3 must be a text"),
        (lambda context, query: offered(context, query, reason=("a",)), "reason=.* must be a text"),
        (lambda context, query: offered(context, query, latency_s=np.ones(1)), "latency_s=array"),
        (
            lambda context, query: offered(context, query, accuracy="0.9"),
            "accuracy='0.9' must be a num",
        ),
        (lambda context, query: offered(context, query, price="1"), "price='1' must be a number"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(act, reason):
    """One call of the planner, and one sentence; the run goes on."""

    def plan(context):
        for query in context.waiting:
            act(context, query)

    made = run(scenario(5.0, workload=workload(1.0)), Does(plan))
    (error,) = made.planner_errors
    assert "\n" not in error
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(error)


def test_memory_shows_a_record_from_the_clock_at_which_it_was_learned():
    seen, each, settled = [], [], []

    def act(context):
        seen.append((context.now_s, context.recall("lesson")))
        each.append(list(context.bulk.recall_each(["another", "lesson", "lesson"])))
        settled.append(context.bulk.settled(["another", "lesson"]))
        for query in context.waiting:
            context.charge(query, count=2_000_000)
            context.remember("lesson", query.id, query)
            context.deploy(query, plan_in(context, query, "device"))

    run(scenario(20, workload=workload(1.0, 2.0, 3.5, 6.0)), Does(act))
    assert seen == [(1.0, None), (2.0, None), (3.5, 0), (6.0, 2)]
    assert each == [[None, lesson, lesson] for _, lesson in seen], "many at once show the same"
    assert settled == [[True, True], [True, False], [True, False], [True, True]]


def test_a_planning_context_must_not_be_kept_after_its_call():
    kept = []

    def keep(context):
        if kept:
            kept[0].remaining(context.waiting[0])
        kept.append(context)

    made = run(scenario(5, workload=workload(1.0, 2.0)), Does(keep))
    (error,) = made.planner_errors
    assert "must not keep the planning context" in error


def test_the_plans_of_all_queries_are_shown_as_they_are_one_by_one():
    shown = []

    def act(context, query):
        every = (*context.waiting, *context.bulk.searching, *context.running)
        one_by_one = {each.id: context.plan_of(each) for each in every}
        assert dict(context.world.plans) == {key: plan for key, plan in one_by_one.items() if plan}
        shown.append(len(context.world.plans))
        with pytest.raises(TypeError):
            context.world.plans[query.id] = None
        context.deploy(query, plan_in(context, query, "device"))

    plan_once(act, 1.0, 2.0, 3.0)
    assert shown == [0, 1, 2]


def test_a_plan_that_is_being_loaded_is_shown_until_it_is_in_force():
    shown = []

    def act(context):
        for query in context.waiting:
            context.deploy(query, plan_in(context, query, "device"))
        for query in context.running:
            shown.append((context.now_s, dict(context.world.loading), context.plan_of(query)))
            if len(shown) == 1:
                plans = context.candidates(query)
                context.deploy(query, next(each for each in plans if "cloud:7g" in str(each)))
        if shown:
            with pytest.raises(TypeError):
                context.world.loading[0] = None

    planner = Does(act, replan_every_s=1.0)
    tables = tables_of(scenario(20.0, workload=workload(1.0), load_bytes_per_s=4e8), planner)
    here, there = tables["decisions"].rows(named=True)
    assert there["in_force_s"] > there["decided_s"] + 2
    for now_s, loading, plan in shown[1:]:
        is_loading = now_s < there["in_force_s"]
        assert {key: str(each) for key, each in loading.items()} == (
            {0: there["plan"]} if is_loading else {}
        )
        assert str(plan) == (here if is_loading else there)["plan"]
    assert shown[0][1] == {}
    assert any(loading for _, loading, _ in shown)


def test_questions_about_a_plan_are_refused_once_the_call_is_over():
    kept = []

    def act(context):
        query = context.waiting[0]
        kept.append((context, query, next(context.candidates(query))))

    assert run(scenario(2.0, workload=queries_at(1.0)), Does(act)).planner_errors == []
    [(context, query, plan)] = kept
    for ask in (
        lambda: context.plan_of(query),
        lambda: context.bulk.view(query),
        lambda: context.world.plans,
        lambda: context.world.refusal(query, plan),
        lambda: context.world.capacity_factors(query, plan),
    ):
        with pytest.raises(PlannerError, match="call is over"):
            ask()


def test_counts_may_be_numpys():
    def act(context):
        for query in context.waiting:
            context.charge(query, count=np.int64(3))
            assert (
                context.profile(query, context.world.pipeline.configurations[0], np.int64(3)).count
                == 3
            )

    assert run(scenario(2.0, workload=queries_at(1.0)), Does(act)).planner_errors == []
