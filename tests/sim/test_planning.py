"""Planning is charged and bounded, and plans take effect at the clock of their search."""

import numpy as np
import polars as pl
import pytest
from planned_once import APPLICATION, CONFIGURATIONS, plan_once, workload
from worlds import Does, plan_in, run, scenario

from scenarios.cluster import Profiling
from sim.api.charges import CHARGES_S


def spent(context, query, act):
    """Return what an act takes of the budget, in seconds."""
    before = context.remaining(query)
    result = act()
    return before - context.remaining(query), result


def rounds_s(configuration, samples, workers, first=0):
    """Return ceil(n / w) times the time of one sample, from one operator on."""
    times = APPLICATION.datasets["VOiCES"].service_time_s[configuration.index, first:]
    return -(-samples // workers) * float(times.sum())


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


def on_a_whole_gpu_each(context, query):
    """Return plans that can share no GPU: each takes all of one, with another model."""
    plans = {
        str(plan).split(" @ ")[0].split("/")[-1]: plan
        for plan in context.candidates(query)
        if str(plan).count("cloud:7g") == 1
    }
    return list(plans.values())


def test_fits_takes_given_orders_into_account():
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
