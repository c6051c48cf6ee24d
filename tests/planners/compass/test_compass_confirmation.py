"""Confirming: the profile of what is in force grows until a strict test can tell."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from compass_worlds import ONE_CLOUD, market, with_context
from worlds import queries_at

from planners.compass.profiling.profiler import StratifiedProfiler
from planners.compass.search.history import WarmStart
from planners.compass.search.search import CmboSearch
from planners.compass.state.records import History, SearchState, keep_search_state, search_state

COLD = WarmStart(histories=0, ahead=0)


def cold(**options):
    return CmboSearch(warm_start=COLD, **options)


class TestConfirmation:
    """The profile of a configuration in force grows until a strict test can tell."""

    @staticmethod
    def confirmed(search, budget_s=500.0, **slo):
        """Return what is shown of the offered configuration each time, until no more is learned."""
        steps = []

        def act(context):
            [query] = context.waiting
            made = market(context)
            index = search.run(context, query, made, 5.0, improve=False)[0].configuration
            while True:
                found: SearchState = search_state(context, query)
                steps.append(found.profiled[index])
                if not search.confirm(context, query, made, index):
                    break

        with_context(act, queries_at(1.0, **slo), nodes=ONE_CLOUD, budget_s=budget_s)
        return steps

    def test_it_ends_at_a_verdict_or_with_all_items(self):
        data = {"datasets": {"VOiCES": 1.0}}
        steps = self.confirmed(cold(confirm_items=100), latency_s=2.0, accuracy=0.97, **data)
        assert len(steps) > 2
        counts = [each.count for each in steps]
        assert counts == sorted(counts)
        assert all(b - a <= 100 for a, b in pairwise(counts))
        assert not any(each.confirmed for each in steps[:-1])
        last = steps[-1]
        assert last.confirmed
        assert last.verdict is not None or last.count == 1024

    def test_it_goes_on_another_time_where_the_budget_ends(self):
        data = {"datasets": {"VOiCES": 1.0}}
        steps = self.confirmed(cold(confirm_items=100), 7.0, latency_s=2.0, accuracy=0.97, **data)
        assert len(steps) > 1
        assert steps[-1].count < 1024
        assert steps[-1].verdict is None
        assert not steps[-1].confirmed

    def test_it_is_spent_from_the_budget_of_the_search(self):
        spent = []

        def act(context):
            [query] = context.waiting
            made, search = market(context), cold(confirm_items=100)
            index = search.run(context, query, made, 5.0, improve=False)[0].configuration
            for _ in range(4):
                found: SearchState = search_state(context, query)
                spent.append((500.0 - context.remaining(query), found.spent_s))
                search.confirm(context, query, made, index)

        slo = {"latency_s": 2.0, "accuracy": 0.97, "datasets": {"VOiCES": 1.0}}
        with_context(act, queries_at(1.0, **slo), nodes=ONE_CLOUD, budget_s=500.0)
        assert spent[-1][1] > spent[0][1]
        for charged_s, counted_s in spent:
            assert counted_s == pytest.approx(charged_s)

    def test_a_clear_verdict_takes_no_further_items(self):
        first, last = self.confirmed(cold(), latency_s=2.0, accuracy=0.5)
        assert first.count == last.count
        assert last.confirmed
        assert last.verdict

    @pytest.mark.parametrize("more", [{"confirm_items": 0}, {}])
    def test_nothing_is_confirmed_without_items_or_without_a_floor(self, more):
        floor = {"accuracy": 0.97} if more else {}
        assert len(self.confirmed(cold(**more), latency_s=2.0, **floor)) == 1

    def test_a_search_for_which_no_time_was_left_is_not_exhausted(self):
        """As after confirming took all of it; where it had time and found no more, it is."""
        found = {}

        def act(context):
            [query] = context.waiting
            made, search = market(context), cold()
            search.run(context, query, made, 0.05, improve=True)
            known: SearchState = search_state(context, query)
            keep_search_state(context, query, replace(known, exhausted=False))
            while context.remaining(query) > 0:
                context.charge(query, "step", 1000)
            search.run(context, query, made, 5.0, improve=True)
            found["after"] = search_state(context, query)

        with_context(
            act, queries_at(1.0, latency_s=1.0, accuracy=0.97), nodes=ONE_CLOUD, budget_s=5.0
        )
        assert not found["after"].exhausted

    def test_uncertain_verdicts_use_the_results_of_confirming(self):
        """Not by what surrogates made of less before; at a strict level much stays in doubt."""
        compared = []

        def act(context):
            [query] = context.waiting
            made = market(context)
            strict = StratifiedProfiler(alpha=1e-9)
            search = cold(confirm_items=400, confirm_alpha=1e-12, profiler=strict)
            search.run(context, query, made, 20.0, improve=True)
            found: SearchState = search_state(context, query)
            index = max(found.profiled, key=lambda each: found.profiled[each].count)
            assert search.confirm(context, query, made, index)
            after: SearchState = search_state(context, query)
            kept, anew = (
                search.beliefs(context, query, made, replace(after, kept=kept)).configurations
                for kept in (after.kept, False)
            )
            assert anew.in_doubt
            compared.extend(
                (kept.believed().accuracy[each], anew.believed().accuracy[each])
                for each in after.profiled
            )
            assert any(
                after.profiled[each].accuracy != seen.accuracy
                for each, seen in found.profiled.items()
                if each != index
            )

        slo = {"latency_s": 2.0, "accuracy": 0.8, "datasets": {"VOiCES": 1.0}}
        with_context(act, queries_at(1.0, **slo), nodes=ONE_CLOUD, budget_s=500.0)
        by_kept, by_anew = zip(*compared, strict=True)
        np.testing.assert_allclose(by_kept, by_anew, atol=1e-6)

    def test_beliefs_about_old_content_do_not_count_once_forgotten(self):
        """A configuration in doubt is then judged by what was measured of it."""

        def act(context):
            [query] = context.waiting
            made = market(context)
            search = cold(profiler=StratifiedProfiler(alpha=1e-9, most=16))
            search.run(context, query, made, 20.0, improve=True)
            before: History = search_state(context, query).history
            lucky = replace(before, accuracy=np.full_like(before.accuracy, 0.99))
            keep_search_state(context, query, replace(search_state(context, query), history=lucky))
            poorest = context.world.pipeline.configurations[-1]
            seen = search.look(context, query, poorest)
            assert seen.verdict is None
            assert seen.accuracy < 0.9
            forgotten = search.beliefs(context, query, made, SearchState({poorest.index: seen}))
            believed = forgotten.configurations.believed()
            assert believed.accuracy[poorest.index] == pytest.approx(seen.accuracy, abs=0.05)

        slo = {"latency_s": 2.0, "accuracy": 0.8, "datasets": {"VOiCES": 1.0}}
        with_context(act, queries_at(1.0, **slo), nodes=ONE_CLOUD, budget_s=500.0)

    def test_configurations_that_prove_wrong_are_no_longer_offered(self):
        """And the search, which was led astray, may begin anew."""

        def act(context):
            [query] = context.waiting
            made, search = market(context), cold()
            poorest = context.world.pipeline.configurations[-1]
            seen = search.look(context, query, poorest)
            lucky = replace(seen, accuracy=0.99, variance=1e-4, verdict=True)
            found = SearchState({poorest.index: lucky}, spent_s=4.0, exhausted=True)
            keep_search_state(context, query, found)
            [before, *_] = search.run(context, query, made, 0.0, improve=False)
            assert before.feasible
            assert search.confirm(context, query, made, poorest.index)
            assert not search.judge(context, query, made, before.number).feasible
            after: SearchState = search_state(context, query)
            assert after.profiled[poorest.index].verdict is False
            assert not after.exhausted

        with_context(
            act, queries_at(1.0, latency_s=4.0, accuracy=0.97), nodes=ONE_CLOUD, budget_s=50.0
        )
