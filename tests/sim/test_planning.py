"""Planning is charged, bounded, and contained."""

import re

import numpy as np
import polars as pl
import pytest
from worlds import At, Does, queries_at, run, scenario

from scenarios.cluster import Profiling
from scenarios.shipped import shipped_application
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim import Planner, PlannerError
from sim.planning.search import CHARGES_S

APPLICATION = shipped_application("speech_recognition")
CONFIGURATIONS = APPLICATION.pipeline.configurations


def workload(*times):
    return Workload(
        arrivals=At(times),
        lifetime_mean_s=1000.0,
        lifetime_min_s=500.0,
        tiers={"any": Tier(latency_s=4.0)},
        datasets={"VOiCES": 1.0},
    )


def plan_once(action, *times, budget_s=5.0, horizon_s=60.0, **cluster):
    """Run a world in which ``action(desk, query)`` plans each waiting query; return it."""

    def act(desk):
        for query in desk.waiting:
            action(desk, query)

    made = run(scenario(horizon_s, workload=workload(*times), **cluster), Does(act, budget_s))
    assert made.planner_errors == []
    made.frames = made.tables.take()
    return made


def on_device(desk, query):
    """Return the plan that keeps everything on the device, where nothing has to be loaded."""
    return next(p for p in desk.candidates(query) if set(p.placement) == {"device"})


def spent(desk, query, act):
    """Return what an act takes of the budget, in seconds."""
    before = desk.remaining(query)
    result = act()
    return before - desk.remaining(query), result


def rounds_s(configuration, samples, workers, first=0):
    """Return ceil(n / w) times the time of one sample, from one operator on."""
    times = APPLICATION.datasets["VOiCES"].service_time_s[configuration.index, first:]
    return -(-samples // workers) * float(times.sum())


# Charging


def test_invariant_planning_is_charged_and_plans_take_effect_at_the_clock_of_the_search():
    def act(desk, query):
        desk.profile(query, CONFIGURATIONS[0], 20)
        desk.think(query, count=500_000)
        desk.deploy(query, on_device(desk, query))

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
    assert made.book.outcomes["unserved"] == query["unserved"]


def test_queries_tell_what_their_planning_time_went_into():
    def act(desk, query):
        desk.profile(query, CONFIGURATIONS[0], 20)
        desk.think(query, "search_step", 2)
        desk.think(query, "history", 3)
        desk.think(query, "step", 1000)

    (query,) = plan_once(act, 5.0).frames["queries"].rows(named=True)
    profiling_s = CHARGES_S["profile"] + rounds_s(CONFIGURATIONS[0], 20, 16)
    surrogates_s = 2 * CHARGES_S["search_step"] + 3 * CHARGES_S["history"]
    assert query["profiling_s"] == pytest.approx(profiling_s, abs=1e-8)
    assert query["surrogates_s"] == pytest.approx(surrogates_s, abs=1e-8)
    assert query["planning_s"] == pytest.approx(profiling_s + surrogates_s + 1e-3, abs=1e-8)


def test_what_planning_time_went_into_ends_with_the_budget():
    def act(desk, query):
        desk.think(query, "search_step", 100)

    (query,) = plan_once(act, 5.0, budget_s=1.0).frames["queries"].rows(named=True)
    assert query["surrogates_s"] == query["planning_s"] == pytest.approx(1.0)


@pytest.mark.parametrize(("samples", "workers"), [(1, 16), (16, 16), (17, 16), (50, 4), (5, 1)])
def test_invariant_planning_samples_on_workers_take_rounds(samples, workers):
    charges = []

    def act(desk, query):
        charges.append(spent(desk, query, lambda: desk.profile(query, CONFIGURATIONS[7], samples)))
        desk.deploy(query, on_device(desk, query))

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

    def act(desk, query):
        for configuration in (CONFIGURATIONS[0], CONFIGURATIONS[0], CONFIGURATIONS[1]):
            charges.append(spent(desk, query, lambda c=configuration: desk.profile(query, c, 10)))
        # More items of a known configuration: only the new ones run.
        charges.append(spent(desk, query, lambda: desk.profile(query, CONFIGURATIONS[0], 16)))
        charges.append(spent(desk, query, lambda: desk.profile(query, CONFIGURATIONS[0], 12)))
        desk.deploy(query, on_device(desk, query))

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


def test_invariant_planning_the_first_items_are_the_same_for_every_configuration():
    seen = {}

    def act(desk, query):
        few = desk.profile(query, CONFIGURATIONS[3], 10).measurement
        many = desk.profile(query, CONFIGURATIONS[3], 30).measurement
        assert (many.accuracy[:10] == few.accuracy).all()
        other = desk.profile(query, CONFIGURATIONS[90], 30).measurement
        assert (other.size == many.size).all()
        seen[desk.now_s] = many.size
        desk.deploy(query, on_device(desk, query))

    plan_once(act, 1.0, 2.0)
    first, second = seen.values()
    assert (first != second).all(), "another query has other items"


def test_invariant_planning_the_budget_is_never_exceeded_and_deploy_still_works():
    counts = []

    def act(desk, query):
        for configuration in CONFIGURATIONS:
            counts.append(desk.profile(query, configuration, 400).count)
            assert desk.remaining(query) >= 0
        desk.think(query, count=10**9)
        assert desk.remaining(query) == 0
        assert desk.profile(query, CONFIGURATIONS[-1], 999).count == counts[-1]
        desk.deploy(query, on_device(desk, query))

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

    def act(desk, query):
        desk.profile(query, CONFIGURATIONS[0], 5)
        counts.append(desk.profile(query, CONFIGURATIONS[0], 500).count)

    first_s, further_s = (rounds_s(CONFIGURATIONS[0], many, 16) for many in (5, 32))
    budget_s = 2 * CHARGES_S["profile"] + first_s + 1.1 * further_s
    plan_once(act, 1.0, budget_s=budget_s, profiling=Profiling(workers=16))
    assert counts == [5 + 32]


def test_invariant_planning_lanes_are_granted_first_come_first_served_and_waiting_counts():
    def act(desk, query):
        desk.profile(query, CONFIGURATIONS[0], 160)
        desk.deploy(query, on_device(desk, query))

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
    def act(desk, query):
        plan = on_device(desk, query)
        desk.profile(query, plan, 10)
        assert spent(desk, query, lambda: desk.fits(query, plan))[0] == pytest.approx(
            CHARGES_S["fits"]
        )
        assert spent(desk, query, lambda: desk.predict(query, plan))[0] == pytest.approx(
            CHARGES_S["predict"]
        )
        assert spent(desk, query, lambda: desk.think(query, "step", 1000))[0] == pytest.approx(
            1000 * CHARGES_S["step"]
        )
        desk.deploy(query, plan)

    plan_once(act, 1.0)


def test_invariant_planning_offline_profiles_cost_device_time_and_no_response_time():
    def act(desk, query):
        charged_s, estimate = spent(
            desk, query, lambda: desk.profile_offline("VOiCES", CONFIGURATIONS[5], 32)
        )
        assert charged_s == 0
        assert estimate.count == 32
        desk.deploy(query, on_device(desk, query))

    made = plan_once(act, 1.0, 2.0)
    (row,) = made.frames["profiling"].rows(named=True)
    assert row["query"] is None
    assert row["device_s"] == pytest.approx(32 * rounds_s(CONFIGURATIONS[5], 1, 1))
    assert made.frames["decisions"]["decided_s"].to_list() == [1.0, 2.0]


# Searches under way, refusals, contained faults


def test_query_is_searching_until_its_clock_and_can_wait_for_it():
    seen = []

    def act(desk):
        seen.append((desk.now_s, [q.id for q in desk.waiting], [q.id for q in desk.searching]))
        for query in desk.waiting:
            desk.think(query, count=2_000_000)
            desk.deploy(query, on_device(desk, query))

    made = run(scenario(20, workload=workload(1.0, 2.0, 4.5)), Does(act))
    assert made.planner_errors == []
    assert seen == [(1.0, [0], []), (2.0, [1], [0]), (4.5, [2], [])]


def test_a_search_that_goes_on_after_its_order_is_one_search_still():
    """The order is carried out, and the query waits or runs again, when the search is over."""

    def act(desk):
        for query in desk.waiting:
            desk.deploy(query, on_device(desk, query))
            desk.think(query, count=2_500_000)

    planner = Does(act)
    planner.replan_every_s = 1.0
    made = run(scenario(20, workload=workload(1.0)), planner)
    (row,) = made.tables.take()["decisions"].rows(named=True)
    assert (row["triggered_s"], row["decided_s"], row["charged_s"]) == (1.0, 3.5, 2.5)


def test_search_that_orders_nothing_keeps_its_query_searching_too():
    seen = []

    def act(desk):
        seen.append([query.id for query in desk.searching])
        for query in desk.waiting:
            desk.think(query, count=2_000_000)

    run(scenario(20, workload=workload(1.0, 2.0, 3.5)), Does(act))
    assert seen == [[], [0], [1]]


def test_two_calls_at_one_tick_see_the_searches_of_each_other():
    """A refusal and the period fall on one tick; the second call must leave the query alone."""
    calls = []

    def act(desk):
        ids = [query.id for query in desk.waiting]
        calls.append((desk.trigger, desk.now_s, ids, [query.id for query in desk.searching]))
        for query in desk.waiting:
            full = [p for p in desk.candidates(query) if p.allocation[2].profile == "7g.40gb"]
            desk.think(query, count=10_000)
            desk.deploy(query, full[query.id])

    planner = Does(act)
    planner.replan_every_s = 1.0
    # Two A100s for three queries whose configurations differ: the third is refused for ever.
    made = run(scenario(5.0, workload=workload(1.25, 1.26, 1.27)), planner)
    assert made.planner_errors == []
    assert [call for call in calls if call[1] == 2.0] == [
        ("refusal", 2.0, [2], []),
        ("tick", 2.0, [], [2]),
    ]


def offered(desk, query, **said):
    plan = said.pop("plan", None) or on_device(desk, query)
    desk.offer(query, plan, **{"role": "chosen", "latency_s": 0.1, "accuracy": 0.9} | said)


def test_what_numpy_gives_can_be_said_of_an_offer():
    def act(desk):
        for query in desk.waiting:
            offered(desk, query, latency_s=np.float32(0.5), accuracy=np.int64(1))

    made = run(scenario(5.0, workload=workload(1.0)), Does(act))
    assert made.tables.take()["offers"].select("latency_s", "accuracy").row(0) == (0.5, 1.0)


def test_a_planner_must_not_return_its_plans():
    class Returning(Planner):
        def plan(self, desk):
            return [on_device(desk, query) for query in desk.waiting]

    made = run(scenario(5.0, workload=workload(1.0)), Returning())
    (error,) = made.planner_errors
    assert "plan returned [" in error
    assert "order by desk.deploy" in error


def test_world_contains_a_planner_that_raises():
    def act(desk):
        if desk.trigger == "arrival" and desk.now_s == 2.0:
            raise ValueError("of no\nimportance")
        for query in desk.waiting:
            desk.deploy(query, on_device(desk, query))

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

    def act(desk):
        raise SpeechlessError

    made = run(scenario(5.0, workload=workload(1.0)), Does(act))
    assert made.planner_errors
    assert all(error.endswith(": no message") for error in made.planner_errors)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda desk, query: desk.think(query, "dream"), r"think\('dream'\): choose one of"),
        (lambda desk, query: desk.deploy(query, "plan"), "'plan'"),
        (lambda desk, query: desk.deploi(query), ": the desk has no 'deploi'; .* is 'deploy'"),
        (lambda desk, query: desk.triger, ": the desk has no 'triger'; the nearest is 'trigger'"),
        (lambda desk, query: query.plan, ": 'Query' object has no attribute 'plan'"),
        (lambda desk, query: desk.profile(query, "x", 3), "'x'"),
        (lambda desk, query: desk.predict(query, on_device(desk, query)), "profile .* first"),
        (lambda desk, query: [desk.remaining(query) for _ in iter(int, 1)], "50,000 desk calls"),
        (lambda desk, query: [desk.recall(1) for _ in iter(int, 1)], "1,000,000 desk calls"),
        (lambda desk, query: desk.profile(query, CONFIGURATIONS[0], -5), "samples=-5"),
        (lambda desk, query: desk.profile_offline("x", CONFIGURATIONS[0], 3), "data set 'x'"),
        (lambda desk, query: offered(desk, query, plan="x"), "'x' is no Plan"),
        (lambda desk, query: offered(desk, query, role=3), "role=3 must be a text"),
        (lambda desk, query: offered(desk, query, reason=("a",)), "reason=.* must be a text"),
        (lambda desk, query: offered(desk, query, latency_s=np.ones(1)), "latency_s=array"),
        (lambda desk, query: offered(desk, query, accuracy="0.9"), "accuracy='0.9' must be a num"),
        (lambda desk, query: offered(desk, query, price="1"), "price='1' must be a number"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(act, reason):
    """One call of the planner, and one sentence; the run goes on."""

    def plan(desk):
        for query in desk.waiting:
            act(desk, query)

    made = run(scenario(5.0, workload=workload(1.0)), Does(plan))
    (error,) = made.planner_errors
    assert "\n" not in error
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(error)


def test_memory_shows_a_record_from_the_clock_at_which_it_was_learned():
    seen, each, settled = [], [], []

    def act(desk):
        seen.append((desk.now_s, desk.recall("lesson")))
        each.append(list(desk.recall_each(["another", "lesson", "lesson"])))
        settled.append(desk.settled(["another", "lesson"]))
        for query in desk.waiting:
            desk.think(query, count=2_000_000)
            desk.remember("lesson", query.id, query)
            desk.deploy(query, on_device(desk, query))

    run(scenario(20, workload=workload(1.0, 2.0, 3.5, 6.0)), Does(act))
    assert seen == [(1.0, None), (2.0, None), (3.5, 0), (6.0, 2)]
    assert each == [[None, lesson, lesson] for _, lesson in seen], "many at once show the same"
    assert settled == [[True, True], [True, False], [True, False], [True, True]]


def test_a_desk_is_of_no_use_after_its_call():
    kept = []

    def keep(desk):
        if kept:
            kept[0].remaining(desk.waiting[0])
        kept.append(desk)

    made = run(scenario(5, workload=workload(1.0, 2.0)), Does(keep))
    (error,) = made.planner_errors
    assert "must not keep the desk" in error


def test_the_plans_of_all_queries_are_shown_as_they_are_one_by_one():
    shown = []

    def act(desk, query):
        every = (*desk.waiting, *desk.searching, *desk.running)
        one_by_one = {each.id: desk.plan_of(each) for each in every}
        assert dict(desk.plans) == {key: plan for key, plan in one_by_one.items() if plan}
        shown.append(len(desk.plans))
        with pytest.raises(TypeError):
            desk.plans[query.id] = None
        desk.deploy(query, on_device(desk, query))

    plan_once(act, 1.0, 2.0, 3.0)
    assert shown == [0, 1, 2]


def on_a_whole_gpu_each(desk, query):
    """Return plans that can share no GPU: each takes all of one, with another model."""
    plans = {
        str(plan).split(" @ ")[0].split("/")[-1]: plan
        for plan in desk.candidates(query)
        if str(plan).count("cloud:7g") == 1
    }
    return list(plans.values())


def test_what_fits_is_told_beside_orders_that_were_given():
    """There are two GPUs; orders hold no room yet, and to be reminded of them costs nothing."""
    told = []

    def act(desk):
        if len(desk.waiting) < 3:
            return
        one, two, three = desk.waiting
        first, second, third = on_a_whole_gpu_each(desk, one)[:3]
        before_s = [desk.remaining(query) for query in desk.waiting]
        told.append(desk.fits_all([(three, third)]))
        told.append(desk.fits_all([(three, third)], beside=[(one, first)]))
        told.append(desk.fits_all([(three, third)], beside=[(one, first), (two, second)]))
        told.append(desk.fits_all([(two, second), (three, third)], beside=[(one, first)]))
        after_s = [desk.remaining(query) for query in desk.waiting]
        fits_s = CHARGES_S["fits"]
        assert np.subtract(before_s, after_s) == pytest.approx([0.0, fits_s, 4 * fits_s])

    made = run(scenario(2.0, workload=workload(1.0, 1.0, 1.0)), Does(act))
    assert made.planner_errors == []
    assert told == [[True], [True], [False], [True, False]]


def test_the_first_plan_that_fits_is_charged_like_one_question_after_the_other():
    """There are two GPUs, of which orders take one or both; a plan on the device always fits."""
    told, charged_s = [], []

    def act(desk):
        if len(desk.waiting) < 3:
            return
        one, two, three = desk.waiting
        first, second, third = on_a_whole_gpu_each(desk, one)[:3]
        both = [(one, first), (two, second)]
        for plans, beside in [
            ([third, on_device(desk, three)], both[:1]),
            ([third, on_device(desk, three), third], both),
            ([third, third], both),
            ([], both),
            ([third], ()),
        ]:
            before_s = desk.remaining(three)
            told.extend(desk.first_that_fits([(three, plans)], beside))
            charged_s.append(before_s - desk.remaining(three))
        told.append(desk.first_that_fits([(one, [first]), (two, [second]), (three, plans)]))

    made = run(scenario(2.0, workload=workload(1.0, 1.0, 1.0)), Does(act))
    assert made.planner_errors == []
    assert told == [0, 1, None, None, 0, [0, 0, None]]
    assert np.array(charged_s) == pytest.approx(CHARGES_S["fits"] * np.array([1, 2, 2, 0, 1]))


def test_a_plan_that_is_being_loaded_is_shown_until_it_is_in_force():
    shown = []

    def act(desk):
        for query in desk.waiting:
            desk.deploy(query, on_device(desk, query))
        for query in desk.running:
            shown.append((desk.now_s, dict(desk.coming), desk.plan_of(query)))
            if len(shown) == 1:
                plans = desk.candidates(query)
                desk.deploy(query, next(each for each in plans if "cloud:7g" in str(each)))
        if shown:
            with pytest.raises(TypeError):
                desk.coming[0] = None

    planner = Does(act)
    planner.replan_every_s = 1.0
    made = run(scenario(20.0, workload=workload(1.0), load_bytes_per_s=4e8), planner)
    assert made.planner_errors == []
    here, there = made.tables.take()["decisions"].rows(named=True)
    assert there["in_force_s"] > there["decided_s"] + 2
    for now_s, coming, plan in shown[1:]:
        loading = now_s < there["in_force_s"]
        assert {key: str(each) for key, each in coming.items()} == (
            {0: there["plan"]} if loading else {}
        )
        assert str(plan) == (here if loading else there)["plan"]
    assert shown[0][1] == {}
    assert any(coming for _, coming, _ in shown)


def test_what_is_scratched_down_is_gone_by_the_next_call():
    found = []

    def act(desk, query):
        found.append(dict(desk.scratch))
        desk.scratch["last"] = query.id
        desk.deploy(query, on_device(desk, query))

    plan_once(act, 1.0, 2.0)
    assert found == [{}, {}]


def test_questions_about_a_plan_are_refused_once_the_call_is_over():
    kept = []

    def act(desk):
        query = desk.waiting[0]
        kept.append((desk, query, next(desk.candidates(query))))

    assert run(scenario(2.0, workload=queries_at(1.0)), Does(act)).planner_errors == []
    [(desk, query, plan)] = kept
    for ask in (
        lambda: desk.list_price_usd_per_hour(plan),
        lambda: desk.latency_factors(query, plan),
        lambda: desk.capacity_factors(query, plan),
    ):
        with pytest.raises(PlannerError, match="call is over"):
            ask()


def test_counts_may_be_numpys():
    def act(desk):
        for query in desk.waiting:
            desk.think(query, count=np.int64(3))
            assert desk.profile(query, desk.pipeline.configurations[0], np.int64(3)).count == 3

    assert run(scenario(2.0, workload=queries_at(1.0)), Does(act)).planner_errors == []
