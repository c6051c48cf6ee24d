"""Warm starts: which histories are chosen, how they are weighed, and when they are let go."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from compass_worlds import ONE_CLOUD, market, with_context
from worlds import Remembers, declared, queries_at, scenario, tables_of

from planners.bayesopt.encodings import one_hot
from planners.compass.compass import Compass
from planners.compass.profiling.profiler import FixedProfiler
from planners.compass.search.history import WarmStart, misranked
from planners.compass.search.search import CmboSearch
from planners.compass.state.records import SEARCH, History, SearchState, search_state
from scenarios.cluster import Profiling
from sim.api.charges import CHARGES_S

SPEECH = declared("speech_recognition")
DATA = SPEECH.datasets["LibriSpeech"]
ACCURACY = DATA.expected_accuracy(DATA.stratum_weights)
TIMES_S = DATA.service_time_s
LOG_TIME = np.log(TIMES_S)


def history(accuracy=ACCURACY, log_time=LOG_TIME, content=0.0, measured=5, dataset="LibriSpeech"):
    """Return a history; by default of all that is true."""
    return History(
        dataset,
        np.full(4, content),
        np.asarray(accuracy, dtype=np.float32),
        np.asarray(log_time, dtype=np.float32),
        measured,
    )


class Board(Remembers):
    """A context with some earlier queries, and their histories."""

    def __init__(self, kept, running=()):
        queries = {
            number: SimpleNamespace(id=number, dataset=each.dataset)
            for number, each in kept.items()
        }
        self.running = tuple(each for number, each in queries.items() if number in running)
        self.bulk = self
        self.departed = tuple(each for number, each in queries.items() if number not in running)
        self.kept = kept
        self.thought = []
        self.memory = {}

    def last_departed(self):
        return reversed(self.departed)

    def settled(self, keys):
        return [True] * len(keys)

    def recall_each(self, keys):
        for name, number in keys:
            assert name == SEARCH
            yield SearchState(history=self.kept[number]) if number in self.kept else None

    def charge(self, query, operation, count):
        self.thought.append((operation, count))


NEW = SimpleNamespace(id=99, dataset="LibriSpeech")


def chosen(board, warm_start, query=NEW, content=0.0):
    return warm_start.choose(board, query, np.full(4, content), one_hot)


class TestChoice:
    """The most similar of the same data set."""

    def test_the_nearest_in_content_come_first_and_no_more_than_asked_for(self):
        kept = {number: history(content=each) for number, each in enumerate([0.5, 3.0, 0.1, 1.0])}
        board = Board(kept, running=(0, 1))
        found = chosen(board, WarmStart(histories=3, ahead=0), content=0.2)
        assert found == [kept[2], kept[0], kept[3]]
        found = chosen(board, WarmStart(histories=3, ahead=0), content=0.4)
        assert found == [kept[0], kept[2], kept[3]]

    def test_of_equals_the_latest(self):
        kept = {number: history() for number in range(6)}
        found = chosen(Board(kept, running=(5,)), WarmStart(histories=2, ahead=0))
        assert [id(each) for each in found] == [id(kept[5]), id(kept[4])]

    def test_other_data_sets_the_barely_profiled_and_itself_are_none(self):
        kept = {
            0: history(dataset="VOiCES"),
            1: history(measured=2),
            2: history(content=9.0),
            99: history(),
        }
        assert chosen(Board(kept), WarmStart(ahead=0)) == [kept[2]]
        assert chosen(Board(kept), WarmStart(ahead=0, least_measured=0)) == [kept[1], kept[2]]

    @pytest.mark.parametrize(("histories", "looked_at"), [(0, 0), (1, 1), (10, 10), (100, 100)])
    def test_each_history_that_is_looked_at_is_charged(self, histories, looked_at):
        board = Board({number: history() for number in range(120)}, running=range(60))
        assert len(chosen(board, WarmStart(histories, ahead=0))) == looked_at
        assert sum(count for _, count in board.thought) == looked_at
        assert {operation for operation, _ in board.thought} <= {"history"}

    @pytest.mark.parametrize(
        ("name", "value"), [("histories", -1), ("least_measured", -1), ("temperature", 0.0)]
    )
    def test_parameters_out_of_range_are_refused(self, name, value):
        with pytest.raises(ValueError, match=f"{name}={value}: must be"):
            WarmStart(**{name: value})


class TestWeights:
    """By how well histories rank what was measured."""

    def test_misranked_pairs_by_hand(self):
        rising, falling = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1])
        assert misranked(rising, np.array([1.0, 2.0, 3.0, 4.0])) == 0
        assert misranked(falling, np.array([1.0, 2.0, 3.0, 4.0])) == 1
        assert misranked(rising, np.array([4.0, 3.0, 2.0, 1.0])) == 1
        # Of 6 pairs, the first with both others than the last.
        measured = np.array([3.0, 1.0, 2.0, 4.0])
        assert misranked(rising, measured) == pytest.approx(2 / 6)
        assert misranked(falling, measured) == pytest.approx(4 / 6)
        assert misranked(rising[:1], np.array([1.0])) == 0

    def test_pairs_that_were_measured_equal_tell_nothing_of_a_history(self):
        tied = np.array([1.0, 1.0, 1.0, 2.0])
        rising, falling = np.arange(4.0), -np.arange(4.0)
        assert misranked(rising, tied) == 0
        assert misranked(falling, tied) == 1
        assert misranked(np.array([2.0, 0.0, 1.0, 3.0]), tied) == 0
        assert misranked(rising, np.ones(4)) == misranked(falling, np.ones(4)) == 0

    def test_a_history_that_ranks_half_of_it_wrongly_weighs_less_by_hand(self):
        """Accuracy reversed and times right: a loss of a half."""
        wrong = history(1 - ACCURACY, LOG_TIME + 1.0)
        measured = np.array([0, 40, 80, 120])
        total_s = DATA.service_time_s[measured].sum(axis=1)
        prior = WarmStart(temperature=0.2).prior(
            [history(), wrong], measured, ACCURACY[measured], total_s
        )
        weight = 1 / (1 + np.exp(-0.5 / 0.2))
        np.testing.assert_allclose(
            prior.accuracy, weight * ACCURACY + (1 - weight) * (1 - ACCURACY), atol=1e-6
        )
        np.testing.assert_allclose(prior.log_time, LOG_TIME + (1 - weight), atol=1e-5)

    def test_before_anything_is_measured_all_weigh_the_same(self):
        nothing = np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
        prior = WarmStart().prior([history(), history(1 - ACCURACY)], *nothing)
        np.testing.assert_allclose(prior.accuracy, 0.5, atol=1e-6)
        assert WarmStart().prior([], *nothing) is None


@dataclass(frozen=True)
class Given(WarmStart):
    """A warm start with histories that a test makes up; how many were weighed is noted.

    Args:
        given: the histories.
        weighed: measured configurations and histories at each weighing.
    """

    given: tuple[History, ...] = ()
    weighed: list[tuple[int, int]] = field(default_factory=list)

    def choose(self, context, query, content, features):
        return list(self.given)

    def prior(self, histories, measured, accuracy, total_s):
        self.weighed.append((len(measured), len(histories)))
        return super().prior(histories, measured, accuracy, total_s)


def searched(warm_start, slo=None, budget_s=20.0, improve=True, **options):
    """Search for a query with a warm start; return what was found, and what it keeps."""
    made = SimpleNamespace()
    search = CmboSearch(warm_start=warm_start, profiler=FixedProfiler(32), **options)

    def act(context):
        [query] = context.waiting
        made.offers = search.run(context, query, market(context), budget_s, improve)
        made.found = search_state(context, query)
        made.kept = search_state(context, query).history

    world = with_context(
        act,
        queries_at(1.0, **(slo or {"latency_s": 2.0, "accuracy": 0.9})),
        budget_s=budget_s,
        nodes=ONE_CLOUD,
    )
    made.runs = world.tables.take()["profiling"]
    return made


class TestHandOver:
    """Histories are used first; the query's own model takes over when it errs no more."""

    def test_good_histories_find_a_plan_with_fewer_configurations(self):
        slo = {"latency_s": 1.0, "accuracy": 0.97}
        cold = searched(Given(), slo, improve=False)
        warm = searched(Given(given=(history(),)), slo, improve=False)
        assert warm.offers[0].feasible
        assert len(warm.found.profiled) < 0.6 * len(cold.found.profiled)

    def test_good_ones_are_weighed_on_and_wrong_ones_are_dropped(self):
        good, wrong = Given(given=(history(),)), Given(given=(history(1 - ACCURACY),))
        for warm_start in (good, wrong):
            made = searched(warm_start, patience=12, least_promise=0.0)
            assert len(made.found.profiled) > 8
        assert max(count for count, histories in good.weighed if histories) >= 8
        assert max(count for count, histories in wrong.weighed if histories) == 4

    def test_beliefs_from_wrong_histories_are_dropped_with_them(self):
        """After that, what is believed is what a cold search believes of the same."""
        wrong = searched(Given(given=(history(1 - ACCURACY),)), patience=12, least_promise=0.0)
        error = np.abs(wrong.kept.accuracy - ACCURACY).mean()
        assert wrong.kept.measured == len(wrong.found.profiled)
        assert error < 0.5 * np.abs(1 - 2 * ACCURACY).mean()

    def test_without_histories_it_starts_with_the_initial_configurations(self):
        cold = Given()
        made = searched(cold, improve=False, slo={"latency_s": 1.0, "accuracy": 0.97})
        assert next(iter(made.found.profiled)) == 0
        assert all(histories == 0 for _, histories in cold.weighed)

    def test_the_history_kept_holds_the_last_beliefs(self):
        made = searched(Given(), patience=6, least_promise=0.0)
        for index, seen in made.found.profiled.items():
            assert made.kept.accuracy[index] == pytest.approx(seen.accuracy, abs=0.1)
            total_s = np.exp(made.kept.log_time[index]).sum()
            assert total_s == pytest.approx(seen.operator_time_s.sum(), rel=0.15)


class TestInTheWorld:
    """Warm starts of real queries, and what they cost."""

    def test_many_histories_delay_the_first_step_more_than_few(self):
        """Twelve queries of which each leaves a history; then one more looks at some of them."""
        spent = {}
        for histories in (0, 3, 12):

            def act(context, histories=histories):
                *earlier, query = context.waiting
                if len(earlier) < 12:
                    return
                board = Board({each.id: history() for each in earlier})
                board.charge = context.charge
                before = context.remaining(query)
                warm_start = WarmStart(histories, ahead=0)
                assert len(chosen(board, warm_start, query)) == histories
                spent[histories] = before - context.remaining(query)

            with_context(act, queries_at(*(1.0 + 0.01 * number for number in range(13))))
        for histories, charged_s in spent.items():
            assert charged_s == pytest.approx(histories * CHARGES_S["history"], abs=1e-6)

    def test_later_queries_start_from_earlier_ones(self):
        counts = {}
        for histories in (0, 10):
            seen = []

            class Noted(WarmStart):
                def choose(self, context, query, content, features, seen=seen):
                    found = super().choose(context, query, content, features)
                    seen.append((query.id, len(found)))
                    return found

            search = CmboSearch(warm_start=Noted(histories, ahead=0, least_measured=1))
            tables = tables_of(
                scenario(12.0, workload=queries_at(1.0, 5.0, 9.0), nodes=ONE_CLOUD),
                Compass(search=search, improve_s=0.0),
            )
            assert tables["decisions"].height == 3
            counts[histories] = seen
        assert counts[0] == [(0, 0), (1, 0), (2, 0)]
        assert counts[10] == [(0, 0), (1, 1), (2, 2)]

    def test_profiling_ahead_ends_when_the_budget_leaves_one_item(self):
        """A single item has no variance to learn from."""
        search = CmboSearch(warm_start=WarmStart(ahead=2))
        tables = tables_of(
            scenario(12.0, workload=queries_at(1.0, 5.0), profiling=Profiling(workers=1)),
            Compass(search=search),
        )
        assert tables["decisions"].height > 0

    def test_profiling_ahead_happens_once_per_data_set_and_delays_no_query(self):
        """It costs device time, within the budget of a data set, and is looked at like others."""

        def act(context):
            for query in context.waiting:
                before = context.remaining(query)
                [first] = WarmStart(histories=0, ahead=16).choose(
                    context, query, np.zeros(4), one_hot
                )
                assert first.measured >= 2
                assert first.dataset == query.dataset
                mean = context.bulk.features(query.dataset).mean(axis=0)
                np.testing.assert_array_equal(first.content, mean)
                assert before - context.remaining(query) == pytest.approx(CHARGES_S["history"])

        made = with_context(act, queries_at(1.0, 1.2, 1.4), budget_s=0.5)
        runs = made.tables.take()["profiling"]
        assert runs["query"].is_null().all()
        assert runs["configuration"].is_unique().all()
        assert runs["charged_s"].sum() <= 0.5
        assert set(runs["dataset"]) == {"LibriSpeech"}

    def test_times_profiled_ahead_depend_on_knobs_of_upstream_operators(self):
        """As profiling has it: knobs that come later change nothing of an operator's time."""
        found = []

        def act(context):
            [query] = context.waiting
            [first] = WarmStart(histories=0, ahead=16).choose(context, query, np.zeros(4), one_hot)
            found.append((context.world.pipeline, first.log_time))

        made = with_context(act, queries_at(1.0), budget_s=0.5)
        [(pipeline, log_time)] = found
        for operator in range(len(pipeline.operators)):
            alike = {}
            for each in pipeline.configurations:
                key = pipeline.operator_key(operator, each)
                alike.setdefault(key, set()).add(float(log_time[each.index, operator]))
            assert len(alike) > 1
            assert all(len(times) == 1 for times in alike.values())
        number = {str(each): each.index for each in pipeline.configurations}
        named = made.tables.take()["profiling"]["configuration"].to_list()
        profiled = [number[each] for each in named]
        assert len(profiled) >= 2
        np.testing.assert_allclose(np.exp(log_time[profiled]), TIMES_S[profiled], rtol=0.5)
