"""Sharpening: many items of one configuration improve the estimate of one measured on few."""

from dataclasses import replace
from itertools import pairwise
from math import inf

import numpy as np
import pytest
from compass_worlds import ONE_CLOUD, market, with_context
from worlds import queries_at

from planners.compass.profiling.estimates import (
    LEAST_VARIANCE,
    decided,
    regressed_mean,
    stratified_mean,
)
from planners.compass.profiling.profiler import FixedProfiler, RandomProfiler, StratifiedProfiler
from planners.compass.search.search import CmboSearch
from planners.compass.state.records import SearchState, keep_search_state, search_state
from scenarios.random_streams import stream

WEIGHTS = np.array([0.5, 0.3, 0.2])
LEVELS = np.array([0.9, 0.7, 0.4])
FEW, MANY, DRAWS = 30, 600, 2000
SPEECH = {"datasets": {"VOiCES": 1.0}}


def drawn(draw, alike, few=FEW, many=MANY):
    """Return accuracies of a configuration on few items, and of a control on many, in strata.

    Both are as hard for the control as for the other in proportion to ``alike``, from 0 to 1.
    """
    rng = stream(draw, "sharpening")
    strata = np.repeat(np.arange(3), (many * WEIGHTS).round().astype(int))
    chosen = np.concatenate(
        [np.flatnonzero(strata == at)[: round(few * share)] for at, share in enumerate(WEIGHTS)]
    )
    common, own = rng.standard_normal((2, many))
    control = LEVELS[strata] + 0.1 * common
    values = LEVELS[strata] - 0.05 + 0.2 * (alike * common + (1 - alike**2) ** 0.5 * own)
    return values[chosen], control[chosen], strata[chosen], control, strata


def sharpened(values, few, its, many, strata):
    """Return the regressed mean of what `drawn` returns."""
    mean, variance, *_ = stratified_mean(many, strata, WEIGHTS)
    return regressed_mean(values, few, its, WEIGHTS, mean, variance)


class TestEstimate:
    """Regression on a control, in double sampling."""

    @pytest.mark.parametrize("alike", [0.0, 0.6, 0.9, 1.0])
    def test_it_is_unbiased_and_states_the_variance_that_it_has(self, alike):
        found = np.array([sharpened(*drawn(draw, alike))[:2] for draw in range(DRAWS)])
        true = WEIGHTS @ LEVELS - 0.05
        error = found[:, 0].std(ddof=1) / DRAWS**0.5
        assert abs(found[:, 0].mean() - true) < 4 * error
        assert found[:, 1].mean() == pytest.approx(found[:, 0].var(ddof=1), rel=0.1)

    @pytest.mark.parametrize("few", [10, FEW])
    @pytest.mark.parametrize("alike", [0.0, 0.9])
    def test_a_test_by_it_is_wrong_as_often_as_alpha_says(self, few, alike):
        true, wrong = WEIGHTS @ LEVELS - 0.05, 0
        for draw in range(DRAWS):
            mean, variance, freedom = sharpened(*drawn(draw, alike, few))
            wrong += decided(mean, variance, freedom, true, 0.05) is not None
        assert wrong / DRAWS == pytest.approx(0.05, abs=0.02)

    def test_its_variance_falls_by_what_the_control_explains(self):
        """To (1 - r^2) / n + r^2 / n', Cochran's equation for a large sample n."""
        alone = 0.2**2 / 300
        for alike in (0.6, 0.9):
            variance = np.mean([sharpened(*drawn(draw, alike, 300, 6000))[1] for draw in range(50)])
            expected = alone * (1 - alike**2) + alike**2 * 0.2**2 / 6000
            least = LEAST_VARIANCE * (1 + (2 * alike) ** 2)  # of both means, with a slope of 2 r
            assert variance == pytest.approx(expected + least, rel=0.05)

    def test_a_configuration_that_goes_with_the_control_has_its_error_only(self):
        values, few, its, many, strata = drawn(0, 1.0)
        mean, variance, _ = sharpened(values, few, its, many, strata)
        whole, error, *_ = stratified_mean(many, strata, WEIGHTS)
        assert mean == pytest.approx(2 * (whole - WEIGHTS @ LEVELS) + WEIGHTS @ LEVELS - 0.05)
        assert variance == pytest.approx(4 * error, rel=0.3)

    def test_the_slope_costs_a_degree_of_freedom(self):
        values, few, its, many, strata = drawn(0, 0.0)
        errors = stratified_mean(values, its, WEIGHTS)[2]
        assert sharpened(values, few, its, many, strata)[2] == pytest.approx(errors - 1, abs=1.0)

    @pytest.mark.parametrize(
        ("values", "control", "strata"),
        [
            ([0.1, 0.9, 0.5], [0.2, 0.8, 0.4], [0, 1, 2]),  # no stratum has two
            ([0.1, 0.9, 0.5], [0.2, 0.8, 0.4], [0, 0, 1]),  # as many as it takes for the slope
            ([0.1, 0.9, 0.5, 0.4], [0.3, 0.3, 0.3, 0.3], [0, 0, 0, 0]),  # the control tells nothing
        ],
    )
    def test_too_few_items_give_no_estimate(self, values, control, strata):
        _, variance, freedom = regressed_mean(
            np.array(values), np.array(control), np.array(strata), WEIGHTS, 0.5, 0.01
        )
        assert variance == inf
        assert freedom == 0


class TestProfilers:
    """How profilers use it in a context."""

    def beliefs(self, profiler, few=32, many=512, seed=1):
        """Return what is believed of a configuration alone and by another, and the truth."""
        found = []

        def act(context):
            [query] = context.waiting
            one, other = context.world.pipeline.configurations[:2]
            alone = profiler.measure(context, query, one, few, 0.05)
            profiler.measure(context, query, other, many, 0.05)
            before = context.remaining(query), context.profile(query, one, 0).count
            by = profiler.sharpened(context, query, one, other)
            assert (context.remaining(query), context.profile(query, one, 0).count) == before
            found.extend([alone, by])

        slo = {"latency_s": 2.0, "accuracy": 0.8}
        made = with_context(act, queries_at(1.0, **slo, **SPEECH), budget_s=500.0, seed=seed)
        true = made.tables.take()["profiling"].filter(samples=found[0].count)["true_accuracy"][0]
        return (*found, true)

    @pytest.mark.parametrize("make", [RandomProfiler, StratifiedProfiler])
    def test_it_comes_nearer_to_the_truth(self, make):
        off, off_alone = [], []
        for seed in range(12):
            alone, by, true = self.beliefs(make(), seed=seed)
            assert by.variance < alone.variance
            assert by.count == alone.count
            off.append((by.accuracy - true) ** 2)
            off_alone.append((alone.accuracy - true) ** 2)
        assert np.mean(off) < 0.5 * np.mean(off_alone)

    @pytest.mark.parametrize(("few", "many"), [(32, 32), (64, 32)])
    def test_a_control_that_was_not_measured_on_more_tells_nothing(self, few, many):
        assert self.beliefs(StratifiedProfiler(), few, many)[1] is None

    def test_a_fixed_number_of_items_is_taken_as_it_is(self):
        assert self.beliefs(FixedProfiler(64))[1] is None

    def test_a_stricter_test_decides_less(self):
        verdicts = []

        def act(context):
            [query] = context.waiting
            one, other = context.world.pipeline.configurations[:2]
            profiler = StratifiedProfiler()
            profiler.measure(context, query, one, 16, 0.05)
            mean = profiler.measure(context, query, other, 512, 0.05).accuracy
            for alpha in (0.5, 1e-9):
                by = profiler.sharpened(context, query, one, other, alpha)
                assert by.accuracy == pytest.approx(mean, abs=0.2)
                verdicts.append(by.verdict)

        with_context(act, queries_at(1.0, accuracy=0.8, **SPEECH), budget_s=500.0)
        assert verdicts[0] is not None
        assert verdicts[1] is None


class TestSearch:
    """Further items of one configuration improve the estimates of all."""

    def steps(self, search, act_more=None):
        """Return what was found after each confirmation of what was measured on the most items."""
        steps = []

        def act(context):
            [query] = context.waiting
            made = market(context)
            search.run(context, query, made, 20.0, improve=True)
            found: SearchState = search_state(context, query)
            index = max(found.profiled, key=lambda each: found.profiled[each].count)
            steps.append((index, found))
            while search.confirm(context, query, made, index):
                steps.append((index, search_state(context, query)))
            if act_more is not None:
                act_more(context, query, index)

        with_context(
            act,
            queries_at(1.0, latency_s=2.0, accuracy=0.97, **SPEECH),
            nodes=ONE_CLOUD,
            budget_s=500.0,
        )
        return steps

    def test_confirming_one_sharpens_the_others(self):
        steps = self.steps(CmboSearch(confirm_items=100))
        assert len(steps) > 2
        (index, first), (_, last) = steps[0], steps[-1]
        assert len(first.profiled) > 2
        for other, seen in first.profiled.items():
            assert last.profiled[other].variance <= seen.variance
            if other != index:
                assert last.profiled[other].count == seen.count
        sharper = [
            last.profiled[each].variance < seen.variance for each, seen in first.profiled.items()
        ]
        assert sum(sharper) > len(sharper) / 2
        for (_, before), (_, after) in pairwise(steps):
            assert after.profiled[index].count >= before.profiled[index].count

    def test_configurations_profiled_later_are_sharpened_at_once(self):
        shown = []

        def more(context, query, index):
            search, found = CmboSearch(), search_state(context, query)
            new = next(
                each
                for each in context.world.pipeline.configurations
                if each.index not in found.profiled
            )
            shown.append(search.look(context, query, new))
            keep_search_state(context, query, replace(found, profiled={}))
            shown.append(search.look(context, query, new))

        self.steps(CmboSearch(confirm_items=100), more)
        by, alone = shown
        assert by.count == alone.count
        assert by.variance < alone.variance
