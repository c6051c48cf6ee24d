"""A planner whose process dies goes back to its last checkpoint, and to nothing later."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from worlds import Does, declared, plan_in, queries_at, run, scenario

from scenarios.cluster import Profiling
from scenarios.drift import Drift, DriftEvent
from sim import Planner, PlannerError
from sim.api.charges import CHARGES_S
from sim.clock import NS_PER_S
from sim.planning.memory import Memory
from sim.planning.profiling_bench import ProfilingBench
from sim.planning.profiling_log import ProfileRecord, ProfilingLog

APPLICATION = declared("speech_recognition")
CONFIGURATIONS = APPLICATION.pipeline.configurations


def crash(at_s, duration_s=5.0):
    return DriftEvent("planner_crash", at_s=at_s, duration_s=duration_s)


AT_35_S = (crash(35.0),)


class DrawsAtEachCall(Planner):
    """Notes a number from its random generator at each call."""

    def __init__(self, drawn, seed=7):
        self.drawn, self.seed = drawn, seed
        self.rng = np.random.default_rng(seed)

    def plan(self, context):
        self.drawn.append(self.rng.random())


def crashing(
    action,
    *arrivals,
    crashes=AT_35_S,
    horizon_s=60.0,
    every_s=10.0,
    seed=1,
    profiles_ahead=True,
):
    """Run a world whose planner dies, its calls noted in ``calls``, and return it."""
    calls = []

    def act(context):
        calls.append((context.trigger, context.now_s))
        action(context)

    given_scenario = scenario(
        horizon_s,
        workload=queries_at(*arrivals),
        drift=Drift(list(crashes)),
        profiling=Profiling(checkpoint_every_s=every_s),
    )
    planner = Does(act, budget_s=100.0)
    planner.profiles_ahead = profiles_ahead
    made = run(given_scenario, planner, seed)
    assert made.planner_errors == []
    made.calls, made.frames = calls, made.tables.take()
    return made


class TestCrash:
    """What the world does when the planner's process dies."""

    def test_a_planner_that_is_away_is_called_once_when_it_is_back(self):
        made = crashing(lambda context: None, 1.0, 36.0, 39.0, 45.0)
        assert made.calls == [
            ("arrival", 1.0),
            ("recovery", 40.0),
            ("arrival", 45.0),
        ]
        assert made.planner_crashes == 1

    def test_two_crashes_that_end_together_are_one_recovery(self):
        made = crashing(lambda context: None, 1.0, crashes=(crash(30.0, 20.0), crash(40.0, 10.0)))
        assert [at for trigger, at in made.calls if trigger == "recovery"] == [50.0]

    def test_a_second_crash_while_it_is_away_keeps_it_away(self):
        crashes = (crash(35.0), crash(38.0), crash(39.0, 1.0))
        made = crashing(lambda context: None, 1.0, crashes=crashes)
        assert made.calls == [("arrival", 1.0), ("recovery", 43.0)]
        assert made.planner_crashes == 3

    def test_what_is_in_force_goes_on_serving(self):
        def act(context):
            for query in context.waiting:
                context.deploy(query, plan_in(context, query, "device"))

        calm = crashing(act, 1.0, crashes=())
        made = crashing(act, 1.0)
        for table in ("queries", "windows", "operators", "decisions"):
            assert made.frames[table].equals(calm.frames[table])

    def test_searches_under_way_are_lost_and_their_orders_with_them(self):
        def act(context):
            for query in context.waiting:
                seconds = 4.0 if query.id == 0 else 2.0
                context.charge(query, count=round(seconds / CHARGES_S["step"]))
                if query.id < 2:
                    context.deploy(query, plan_in(context, query, "device"))

        made = crashing(act, 33.0, 33.5, 34.0)
        # All were under way at 35 s but number 1's, and all others began anew at 40 s.
        decided = made.frames["decisions"].sort("query").select("query", "triggered_s")
        assert decided.rows() == [(0, 40.0), (1, 40.0)]
        assert made.registry.living[2].planning_s == pytest.approx(4.0)

    def test_a_search_that_a_crash_lost_does_not_end_the_next_search_of_its_query(self):
        seen = []

        def act(context):
            seen.append((context.now_s, [query.id for query in context.bulk.searching]))
            for query in context.waiting:
                if query.id == 0:
                    context.charge(query, count=round(10.0 / CHARGES_S["step"]))

        crashing(act, 33.0, 42.0, 44.0, 51.0, crashes=(crash(35.0, 2.0),))
        # The lost search would have ended at 43 s; that of 37 s ends at 47 s.
        assert seen == [(33.0, []), (37.0, []), (42.0, [0]), (44.0, [0]), (51.0, [])]

    def test_lanes_are_free_again(self):
        def act(context):
            for query in context.waiting:
                context.profile(query, CONFIGURATIONS[0], 1000)
                context.deploy(query, plan_in(context, query, "device"))

        made = crashing(act, 34.0, 34.5, 34.6, 34.7, 34.8)
        [row] = made.frames["decisions"].filter(pl.col("query") == 0).rows(named=True)
        assert (row["triggered_s"], row["waited_s"]) == (40.0, 0.0)

    def test_a_world_without_one_is_the_same_whatever_the_period(self):
        def act(context):
            for query in context.waiting:
                context.profile(query, CONFIGURATIONS[context.recall("next") or 0], 20)
                context.remember("next", (context.recall("next") or 0) + 1, query)

        rare, often = (
            crashing(act, 1.0, 5.0, 9.0, crashes=(), every_s=every_s) for every_s in (30.0, 1.0)
        )
        for table, frame in rare.frames.items():
            assert frame.equals(often.frames[table])

    def test_the_period_must_be_one(self):
        with pytest.raises(ValueError, match=r"every_s=0\.0: must lie between 0\.001 and"):
            Profiling(checkpoint_every_s=0.0)

    def test_random_generators_start_anew_after_it_and_in_each_run(self):
        planner = DrawsAtEachCall(drawn=[])
        a_scenario = scenario(60.0, workload=queries_at(1.0, 2.0, 45.0), drift=Drift([crash(35.0)]))
        for _ in range(2):
            assert run(a_scenario, planner).planner_errors == []
        expected = np.random.default_rng(7).random(3).tolist()
        assert planner.drawn == 2 * [*expected[:2], *expected[:2]]
        assert planner.parameters() == {"drawn": planner.drawn, "seed": 7}


class TestWhatIsKept:
    """Profiles and memory fall back to the last checkpoint."""

    def test_profiles_before_the_checkpoint_cost_nothing_and_those_after_it_cost_again(self):
        counts = {}

        def act(context):
            query = context.waiting[0]
            kept, lost = CONFIGURATIONS[0], CONFIGURATIONS[60]
            if context.trigger != "recovery":
                context.profile(query, kept if context.now_s < 30 else lost, 30)
            else:
                before = context.remaining(query)
                assert context.profile(query, kept, 30).count == 30
                assert context.remaining(query) == before
                counts["kept"] = context.profile(query, kept, 0).accuracy_mean
                with pytest.raises(PlannerError, match=r"profile .* first"):
                    context.predict(query, plan_in(context, query, "device"))
                counts["lost"] = context.profile(query, lost, 30)
                assert before - context.remaining(query) > 0.01

        made = crashing(act, 5.0, 31.0)
        assert made.profiling_runs_lost == 1
        rows = made.frames["profiling"].select("configuration", "accuracy_mean").rows()
        assert len(rows) == 3
        assert rows[1] == rows[2], "the same items, measured again"
        assert counts["kept"] == rows[0][1]

    def test_a_run_that_a_checkpoint_cut_in_two_is_lost(self):
        """Its search began before the checkpoint of 30 s and would have ended after it."""

        def act(context):
            for query in context.waiting:
                context.charge(query, count=round(4.0 / CHARGES_S["step"]))
                context.profile(query, CONFIGURATIONS[0], 10)

        assert crashing(act, 28.0).profiling_runs_lost == 1
        assert crashing(act, 25.0).profiling_runs_lost == 0

    def test_prefixes_of_lost_runs_are_not_reused(self):
        reused = []

        def act(context):
            query = context.waiting[0]
            if context.trigger == "recovery":
                reused.append(context.profile(query, CONFIGURATIONS[1], 10).prefix_reused)
            else:
                context.profile(query, CONFIGURATIONS[0], 10)

        crashing(act, 33.0)
        crashing(act, 5.0)
        assert reused == [0, 2]

    def test_renewed_data_fall_back_to_those_before(self):
        sizes = []

        def act(context):
            query = context.waiting[0]
            if context.now_s > 30 and context.trigger == "arrival":
                context.resample(query)
                context.resample(query)
            sizes.append(context.profile(query, CONFIGURATIONS[0], 5).measurement.size.tolist())

        made = crashing(act, 5.0, 31.0)
        assert sizes[0] == sizes[2] != sizes[1]
        assert made.profiling_runs_lost == 1
        assert made.frames["profiling"].height == 2

    @pytest.mark.parametrize("profiles_ahead", [True, False])
    def test_a_profile_is_kept_if_it_was_made_before_the_run(self, profiles_ahead):
        """Otherwise the part after the checkpoint is lost, and its budget comes back."""
        counts = []

        def act(context):
            counts.append(
                [context.profile("LibriSpeech", each, 1000).count for each in CONFIGURATIONS[:12]]
            )

        made = crashing(act, 5.0, profiles_ahead=profiles_ahead)
        assert [trigger for trigger, _ in made.calls] == ["arrival", "recovery"]
        assert counts[0] == counts[1] == [1000] * 12
        after_s = made.frames["profiling"]["at_s"] + made.frames["profiling"]["charged_s"]
        assert (after_s > 35.0).sum() > 2, "some of it ends after the crash"
        assert (made.profiling_runs_lost > 2) == (not profiles_ahead)
        assert (made.frames["profiling"].height > 12) == (not profiles_ahead)

    def test_memory_is_that_of_the_checkpoint(self):
        seen = []

        def act(context):
            seen.append([context.recall(key) for key in ("at", "of query")])
            context.remember("at", context.now_s)
            for query in context.waiting:
                context.charge(query, count=round(3.0 / CHARGES_S["step"]))
                context.remember("of query", query.id, query)

        crashing(act, 5.0, 28.0, 29.0, 34.0)
        # The searches of 28 s and 29 s ended at 31 s and 32 s, after the checkpoint of 30 s.
        assert seen == [[None, None], [5.0, 0], [28.0, 0], [29.0, 2], [29.0, 0]]


def records():
    values = st.floats(0, 1e6, allow_subnormal=True)
    return st.integers(1, 5).flatmap(
        lambda count: st.builds(
            ProfileRecord,
            st.sampled_from([("query", 0), ("query", 1, "renewal", 2), ("data set", 'a "b"\né')]),
            st.integers(0, 3),
            st.integers(0, 2**62),
            st.just(np.arange(count)),
            arrays(float, count, elements=values),
            arrays(float, (count, 3), elements=values),
        )
    )


def same(one, other):
    return (one.owner, one.configuration, one.learned_ns) == (
        other.owner,
        other.configuration,
        other.learned_ns,
    ) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("items", "accuracy", "operator_time_s")
    )


class TestJournal:
    """Records on paper, and given out again."""

    @given(records())
    def test_a_record_comes_back_bit_by_bit_from_its_line(self, record):
        line = record.line()
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert same(ProfileRecord.from_line(line), record)

    @given(records(), st.data())
    def test_a_line_that_was_cut_off_is_none(self, record, data):
        line = record.line()
        cut = data.draw(st.integers(0, len(line) - 2))
        with pytest.raises(ValueError, match=r"."):
            ProfileRecord.from_line(line[:cut])

    @pytest.mark.parametrize("change", [{"items": ""}, {"accuracy": ""}, {"owner": None}])
    def test_a_line_that_holds_something_else_is_none(self, change):
        record = ProfileRecord(("query", 0), 0, 0, np.arange(2), np.ones(2), np.ones((2, 3)))
        with pytest.raises(ValueError, match="no record of a profiling run"):
            ProfileRecord.from_line(json.dumps(json.loads(record.line()) | change).encode())

    @given(st.lists(records(), max_size=8))
    def test_each_record_is_given_out_once_and_those_of_equal_items_in_order(self, earlier):
        profiling_log = ProfilingLog(earlier)
        for record in earlier:
            found = profiling_log.recall(record.owner, record.configuration, record.items)
            assert found is record
        assert profiling_log.restored == len(earlier)
        for record in earlier:
            assert profiling_log.recall(record.owner, record.configuration, record.items) is None
        assert profiling_log.restored == len(earlier)

    def test_a_bench_takes_from_it_what_an_earlier_one_measured(self):
        noted = []
        runs = [(7, [3, 900]), (8, [0, 1]), (7, [1, 2])]

        def measure(profiling_log):
            data = APPLICATION.datasets["VOiCES"]
            bench = ProfilingBench(
                APPLICATION, data, data.stratum_weights, ("a", 1), 0, 0.85, profiling_log
            )
            return [bench.measure(CONFIGURATIONS[i], np.array(items)) for i, items in runs]

        whole = measure(ProfilingLog(keep=noted.append))
        assert [record.configuration for record in noted] == [7, 8, 7]
        again = ProfilingLog([ProfileRecord.from_line(record.line()) for record in noted[:2]])
        for one, other in zip(measure(again), whole, strict=True):
            for name in ("items", "accuracy", "operator_time_s", "operator_mean_s", "size"):
                assert (getattr(one, name) == getattr(other, name)).all()
        assert (again.restored, again.measured) == (2, 1)


class TestMemory:
    """Records that a checkpoint holds survive whatever supersedes them."""

    @given(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), max_size=25),
        st.integers(1, 6),
    )
    def test_falling_back_shows_what_was_visible_at_the_checkpoint(self, writes, every):
        """Checkpoints are at even moments, and records are learned at odd ones."""
        memory, now, visible = Memory(), 1, {}
        memory.checkpoint(0)
        for value, (passed, later, key) in enumerate(writes):
            for moment in range(now + 1, now + 2 * passed, 2):
                if moment % (2 * every) == 0:
                    memory.checkpoint(moment)
                    visible = {key: memory.read(key, moment, None) for key in range(3)}
            now += 2 * passed
            memory.write(key, value, now + 2 * later, value, now)
        memory.fall_back()
        for key in range(3):
            assert memory.read(key, NS_PER_S, None) == visible.get(key)
