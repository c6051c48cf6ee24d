"""Planning is charged, bounded, and contained."""

import re
from functools import partial

import numpy as np
import polars as pl
import pytest
from worlds import Does, plan_in, queries_at, run, scenario, tables_of

from scenarios.applications.shipped import shipped_application
from scenarios.cluster import Profiling
from sim import Planner, PlannerError
from sim.api.charges import CHARGES_S

APPLICATION = shipped_application("speech_recognition")
CONFIGURATIONS = APPLICATION.pipeline.configurations
workload = partial(queries_at, dataset="VOiCES")


def plan_once(action, *times, budget_s=5.0, horizon_s=60.0, **cluster):
    """Run a world in which ``action(context, query)`` plans each waiting query; return it."""

    def act(context):
        for query in context.waiting:
            action(context, query)

    made = run(scenario(horizon_s, workload=workload(*times), **cluster), Does(act, budget_s))
    assert made.planner_errors == []
    made.frames = made.tables.take()
    return made


def spent(context, query, act):
    """Return what an act takes of the budget, in seconds."""
    before = context.remaining(query)
    result = act()
    return before - context.remaining(query), result


def rounds_s(configuration, samples, workers, first=0):
    """Return ceil(n / w) times the time of one sample, from one operator on."""
    times = APPLICATION.datasets["VOiCES"].service_time_s[configuration.index, first:]
    return -(-samples // workers) * float(times.sum())


# Charging


def test_invariant_planning_is_charged_and_plans_take_effect_at_the_clock_of_the_search():
    def act(context, query):
        context.profile(query, CONFIGURATIONS[0], 20)
        context.charge(query, count=500_000)
        context.deploy(query, plan_in(context, query, "device"))

    made = plan_once(act, 5.0)
    (row,) = made.frames["decisions"].rows(named=True)
    charged_s = CHARGES_S["profile"] + rounds_s(CONFIGURATIONS[0], 20, 16) + 0.5
    assert row["charged_s"] == pytest.approx(charged_s, abs=1e-8)
    assert row["decided_s"] == pytest.approx(5.0 + charged_s, abs=1e-8)
    assert row["in_force_s"] == row["decided_s"]
    (query,) = made.frames["queries"].rows(named=True)
    assert query["first_deployed_s"] == row["in_force_s"]
    assert query["planning_s"] == pytest.approx(charged_s, abs=1e-8)
    # Requests before that moment are unserved, and none after it.
    window = made.frames["windows"].filter(pl.col("window") == 0).rows(named=True)[0]
    assert window["deployed_s"] == pytest.approx(40 - row["in_force_s"])
    assert made.monitor.outcomes["unserved"] == query["unserved"]


def test_queries_tell_what_their_planning_time_went_into():
    def act(context, query):
        context.profile(query, CONFIGURATIONS[0], 20)
        context.charge(query, "search_step", 2)
        context.charge(query, "history", 3)
        context.charge(query, "step", 1000)

    (query,) = plan_once(act, 5.0).frames["queries"].rows(named=True)
    profiling_s = CHARGES_S["profile"] + rounds_s(CONFIGURATIONS[0], 20, 16)
    surrogates_s = 2 * CHARGES_S["search_step"] + 3 * CHARGES_S["history"]
    assert query["profiling_s"] == pytest.approx(profiling_s, abs=1e-8)
    assert query["surrogates_s"] == pytest.approx(surrogates_s, abs=1e-8)
    assert query["planning_s"] == pytest.approx(profiling_s + surrogates_s + 1e-3, abs=1e-8)


def test_what_planning_time_went_into_ends_with_the_budget():
    def act(context, query):
        context.charge(query, "search_step", 100)

    (query,) = plan_once(act, 5.0, budget_s=1.0).frames["queries"].rows(named=True)
    assert query["surrogates_s"] == query["planning_s"] == pytest.approx(1.0)


@pytest.mark.parametrize(("samples", "workers"), [(1, 16), (16, 16), (17, 16), (50, 4), (5, 1)])
def test_invariant_planning_samples_on_workers_take_rounds(samples, workers):
    charges = []

    def act(context, query):
        charges.append(
            spent(context, query, lambda: context.profile(query, CONFIGURATIONS[7], samples))
        )
        context.deploy(query, plan_in(context, query, "device"))

    made = plan_once(act, 1.0, budget_s=1e3, profiling=Profiling(workers=workers))
    ((charged_s, estimate),) = charges
    expected_s = rounds_s(CONFIGURATIONS[7], samples, workers)
    assert charged_s == pytest.approx(CHARGES_S["profile"] + expected_s, abs=1e-7)
    assert estimate.count == samples
    device_s = made.frames["profiling"]["device_s"].item()
    assert device_s == pytest.approx(samples * rounds_s(CONFIGURATIONS[7], 1, 1))


def test_invariant_planning_a_reused_prefix_is_not_charged_again():
    """Configurations 0 and 1 differ in the model, the knob of the third operator, alone."""
    charges = []

    def act(context, query):
        for configuration in (CONFIGURATIONS[0], CONFIGURATIONS[0], CONFIGURATIONS[1]):
            charges.append(
                spent(context, query, lambda c=configuration: context.profile(query, c, 10))
            )
        # More items of a known configuration: only the new ones run.
        charges.append(spent(context, query, lambda: context.profile(query, CONFIGURATIONS[0], 16)))
        charges.append(spent(context, query, lambda: context.profile(query, CONFIGURATIONS[0], 12)))
        context.deploy(query, plan_in(context, query, "device"))

    plan_once(act, 1.0, profiling=Profiling(workers=2))
    (first, again, other, more, known) = charges
    assert first[0] == pytest.approx(1e-3 + rounds_s(CONFIGURATIONS[0], 10, 2), abs=1e-7)
    assert first[1].prefix_reused == 0
    assert again[0] == 0.0
    assert again[1].prefix_reused == 4
    assert other[0] == pytest.approx(1e-3 + rounds_s(CONFIGURATIONS[1], 10, 2, first=2), abs=1e-7)
    assert other[1].prefix_reused == 2
    assert more[0] == pytest.approx(1e-3 + rounds_s(CONFIGURATIONS[0], 6, 2), abs=1e-7)
    assert (known[0], known[1].count) == (0.0, 16)


def test_a_plan_that_is_profiled_again_reuses_everything():
    found = []

    def act(context, query):
        plan = plan_in(context, query, "device")
        found.extend(context.profile(query, plan, 10) for _ in range(3))
        context.deploy(query, plan)

    plan_once(act, 1.0)
    first, again, kept = found
    assert [each.prefix_reused for each in found] == [0, 4, 4]
    assert again.accuracy_mean == first.accuracy_mean
    assert kept is again


def test_invariant_planning_the_first_items_are_the_same_for_every_configuration():
    seen = {}

    def act(context, query):
        few = context.profile(query, CONFIGURATIONS[3], 10).measurement
        many = context.profile(query, CONFIGURATIONS[3], 30).measurement
        assert (many.accuracy[:10] == few.accuracy).all()
        other = context.profile(query, CONFIGURATIONS[90], 30).measurement
        assert (other.size == many.size).all()
        seen[context.now_s] = many.size
        context.deploy(query, plan_in(context, query, "device"))

    plan_once(act, 1.0, 2.0)
    first, second = seen.values()
    assert (first != second).all(), "another query has other items"


def test_invariant_planning_the_budget_is_never_exceeded_and_deploy_still_works():
    counts = []

    def act(context, query):
        for configuration in CONFIGURATIONS:
            counts.append(context.profile(query, configuration, 400).count)
            assert context.remaining(query) >= 0
        context.charge(query, count=10**9)
        assert context.remaining(query) == 0
        assert context.profile(query, CONFIGURATIONS[-1], 999).count == counts[-1]
        context.deploy(query, plan_in(context, query, "device"))

    made = plan_once(act, 1.0, budget_s=2.0)
    assert counts[0] < 400
    assert counts[0] > 0
    assert min(counts) == 0, "what cannot be paid for is not measured"
    (row,) = made.frames["decisions"].rows(named=True)
    assert row["charged_s"] == 2.0
    assert row["decided_s"] == pytest.approx(3.0)
    assert made.frames["profiling"]["charged_s"].sum() <= 2.0 + 1e-9


def test_the_budget_buys_as_many_items_as_its_rounds_hold():
    """A round of workers costs the same for one item as for all of them."""
    counts = []

    def act(context, query):
        context.profile(query, CONFIGURATIONS[0], 5)
        counts.append(context.profile(query, CONFIGURATIONS[0], 500).count)

    first_s, further_s = (rounds_s(CONFIGURATIONS[0], many, 16) for many in (5, 32))
    budget_s = 2 * CHARGES_S["profile"] + first_s + 1.1 * further_s
    plan_once(act, 1.0, budget_s=budget_s, profiling=Profiling(workers=16))
    assert counts == [5 + 32]


def test_invariant_planning_lanes_are_granted_first_come_first_served_and_waiting_counts():
    def act(context, query):
        context.profile(query, CONFIGURATIONS[0], 160)
        context.deploy(query, plan_in(context, query, "device"))

    takes_s = CHARGES_S["profile"] + rounds_s(CONFIGURATIONS[0], 160, 16)
    assert takes_s > 0.5

    def clocks(lanes):
        made = plan_once(act, 1.0, 1.1, 1.2, profiling=Profiling(lanes=lanes))
        rows = made.frames["decisions"].sort("query")
        assert rows["charged_s"].to_list() == pytest.approx([takes_s] * 3, abs=1e-7)
        return rows["decided_s"].to_list(), rows["waited_s"].to_list()

    decided, waited = clocks(lanes=1)
    assert decided == pytest.approx([1 + takes_s, 1 + 2 * takes_s, 1 + 3 * takes_s], abs=1e-6)
    assert waited == pytest.approx([0, takes_s - 0.1, 2 * takes_s - 0.2], abs=1e-6)
    decided, waited = clocks(lanes=2)
    assert decided == pytest.approx([1 + takes_s, 1.1 + takes_s, 1 + 2 * takes_s], abs=1e-6)
    decided, waited = clocks(lanes=3)
    assert waited == [0, 0, 0]


def test_invariant_planning_primitives_charge_themselves():
    def act(context, query):
        plan = plan_in(context, query, "device")
        context.profile(query, plan, 10)
        assert spent(context, query, lambda: context.fits(query, plan))[0] == pytest.approx(
            CHARGES_S["fits"]
        )
        assert spent(context, query, lambda: context.predict(query, plan))[0] == pytest.approx(
            CHARGES_S["predict"]
        )
        assert spent(context, query, lambda: context.charge(query, "step", 1000))[
            0
        ] == pytest.approx(1000 * CHARGES_S["step"])
        context.deploy(query, plan)

    plan_once(act, 1.0)


def test_invariant_planning_offline_profiles_cost_device_time_and_no_response_time():
    def act(context, query):
        charged_s, estimate = spent(
            context, query, lambda: context.profile("VOiCES", CONFIGURATIONS[5], 32)
        )
        assert charged_s == 0
        assert estimate.count == 32
        context.deploy(query, plan_in(context, query, "device"))

    made = plan_once(act, 1.0, 2.0)
    (row,) = made.frames["profiling"].rows(named=True)
    assert row["query"] is None
    assert row["device_s"] == pytest.approx(32 * rounds_s(CONFIGURATIONS[5], 1, 1))
    assert made.frames["decisions"]["decided_s"].to_list() == [1.0, 2.0]


# Searches under way, refusals, contained faults


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
        r"at 2.000 s, on arrival: ValueError in test_planning.py:\d+: of no importance", error
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


def test_a_desk_is_of_no_use_after_its_call():
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


def on_a_whole_gpu_each(context, query):
    """Return plans that can share no GPU: each takes all of one, with another model."""
    plans = {
        str(plan).split(" @ ")[0].split("/")[-1]: plan
        for plan in context.candidates(query)
        if str(plan).count("cloud:7g") == 1
    }
    return list(plans.values())


def test_what_fits_is_told_beside_orders_that_were_given():
    """There are two GPUs; orders hold no room yet, and to be reminded of them costs nothing."""
    told = []

    def act(context):
        if len(context.waiting) < 3:
            return
        one, two, three = context.waiting
        first, second, third = on_a_whole_gpu_each(context, one)[:3]
        before_s = [context.remaining(query) for query in context.waiting]
        told.append(context.fits(three, third))
        told.append(context.fits(three, third, beside=[(one, first)]))
        told.append(context.fits(three, third, beside=[(one, first), (two, second)]))
        told.append(context.fits(two, second, beside=[(one, first)]))
        after_s = [context.remaining(query) for query in context.waiting]
        fits_s = CHARGES_S["fits"]
        assert np.subtract(before_s, after_s) == pytest.approx([0.0, fits_s, 3 * fits_s])

    made = run(scenario(2.0, workload=workload(1.0, 1.0, 1.0)), Does(act))
    assert made.planner_errors == []
    assert told == [True, True, False, True]


def test_the_first_plan_that_fits_is_charged_like_one_question_after_the_other():
    """There are two GPUs, of which orders take one or both; a plan on the device always fits."""
    told, charged_s = [], []

    def act(context):
        if len(context.waiting) < 3:
            return
        one, two, three = context.waiting
        first, second, third = on_a_whole_gpu_each(context, one)[:3]
        both = [(one, first), (two, second)]
        for plans, beside in [
            ([third, plan_in(context, three, "device")], both[:1]),
            ([third, plan_in(context, three, "device"), third], both),
            ([third, third], both),
            ([], both),
            ([third], ()),
        ]:
            before_s = context.remaining(three)
            told.extend(context.bulk.first_that_fits([(three, plans)], beside))
            charged_s.append(before_s - context.remaining(three))
        told.append(context.bulk.first_that_fits([(one, [first]), (two, [second]), (three, plans)]))

    made = run(scenario(2.0, workload=workload(1.0, 1.0, 1.0)), Does(act))
    assert made.planner_errors == []
    assert told == [0, 1, None, None, 0, [0, 0, None]]
    assert np.array(charged_s) == pytest.approx(CHARGES_S["fits"] * np.array([1, 2, 2, 0, 1]))


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
