"""The SLO profiler: estimates, allocation of items, and when it stops."""

from math import inf, isnan

import numpy as np
import polars as pl
import pytest
from compass_worlds import Asker, Pool, with_context
from worlds import declared, queries_at

from planners.compass.profiling import estimates
from planners.compass.profiling.estimates import (
    LEAST_VARIANCE,
    cluster,
    decided,
    simple_mean,
    stratified_mean,
)
from planners.compass.profiling.profiler import (
    FixedProfiler,
    RandomProfiler,
    StratifiedProfiler,
    spread,
)
from scenarios.random_streams import stream
from scenarios.slo import SLO

TIME_S = declared("speech_recognition").datasets["LibriSpeech"].service_time_s
ITEMS, GROUPS = 600, 4
DRAWS = 400


def pool_of(groups=(0.5, 0.7, 0.8, 0.95), sd=0.05, shares=(0.4, 0.3, 0.2, 0.1), seed=0):
    """Return accuracy and features of items in groups that features tell apart."""
    rng = stream(seed, "pool")
    group = np.repeat(np.arange(len(groups)), (ITEMS * np.array(shares)).round().astype(int))
    accuracy = np.array(groups)[group] + np.broadcast_to(sd, len(groups))[
        group
    ] * rng.standard_normal(len(group))
    features = 10.0 * group[:, None] + rng.standard_normal((len(group), 2))
    return accuracy, features


def draws(profiler, accuracy, features, floor=None, count=DRAWS):
    """Profile the pool in many orders; return the beliefs, and the pools."""
    memory, beliefs, pools = {}, [], []
    for draw in range(count):
        pool = Pool(accuracy, features, stream(draw, "order"), memory)
        beliefs.append(profiler.profile(pool, Asker(SLO(accuracy=floor)), None))
        pools.append(pool)
    return beliefs, pools


class TestEstimate:
    """Theorem 1: the mean of random sampling, and a smaller variance."""

    @pytest.mark.parametrize("allocation", ["proportional", "neyman"])
    @pytest.mark.parametrize("clusters", [1, 3, 4, 8])
    def test_it_is_unbiased_whatever_the_strata(self, allocation, clusters):
        accuracy, features = pool_of(sd=(0.02, 0.05, 0.1, 0.2))
        profiler = StratifiedProfiler(clusters, first=32, allocation=allocation)
        means = np.array([each.accuracy for each in draws(profiler, accuracy, features)[0]])
        error = means.std(ddof=1) / len(means) ** 0.5
        assert abs(means.mean() - accuracy.mean()) < 4 * error

    def test_groups_that_differ_in_size_are_weighed_by_it(self):
        """Two of each are measured at least, which alone would be the plain mean of the groups."""
        accuracy, features = pool_of((1.0, 0.0), sd=0.0, shares=(0.95, 0.05))
        for belief in draws(StratifiedProfiler(2, first=4), accuracy, features, count=20)[0]:
            assert belief.accuracy == pytest.approx(0.95)
            assert belief.count == 4

    def test_its_variance_is_that_within_strata_and_below_that_of_random_items(self):
        accuracy, features = pool_of()
        stratified, _ = draws(StratifiedProfiler(GROUPS, first=32), accuracy, features)
        at_random, _ = draws(RandomProfiler(first=32), accuracy, features)
        ours = np.var([each.accuracy for each in stratified], ddof=1)
        theirs = np.var([each.accuracy for each in at_random], ddof=1)
        left = 1 - 32 / ITEMS  # items are drawn without replacement
        assert theirs == pytest.approx(left * accuracy.var() / 32, rel=0.25)
        assert ours == pytest.approx(left * 0.05**2 / 32, rel=0.25)
        assert ours < 0.25 * theirs

    @pytest.mark.parametrize("sd", [0.2, (0.02, 0.1, 0.2, 0.4), (0.4, 0.2, 0.1, 0.02)])
    @pytest.mark.parametrize("allocation", ["proportional", "neyman"])
    def test_the_variance_that_it_states_is_that_of_its_estimates(self, sd, allocation):
        accuracy, features = pool_of(sd=sd)
        profiler = StratifiedProfiler(GROUPS, first=32, allocation=allocation)
        beliefs, _ = draws(profiler, accuracy, features)
        stated = np.mean([each.variance for each in beliefs])
        true = np.var([each.accuracy for each in beliefs], ddof=1)
        assert stated == pytest.approx(true / (1 - 32 / ITEMS), rel=0.2)

    def test_neyman_has_the_least_variance_where_strata_differ_in_theirs(self):
        accuracy, features = pool_of(sd=(0.0, 0.02, 0.05, 0.4))
        floor = accuracy.mean()  # so that nearly all draws go on to the most
        variance = {}
        for allocation in ("proportional", "neyman"):
            profiler = StratifiedProfiler(
                GROUPS, first=16, most=64, alpha=1e-6, allocation=allocation
            )
            beliefs, _ = draws(profiler, accuracy, features, floor)
            assert np.mean([each.count for each in beliefs]) > 55
            variance[allocation] = np.var([each.accuracy for each in beliefs], ddof=1)
        assert variance["neyman"] < 0.6 * variance["proportional"]


class TestAllocation:
    """How many items each stratum gets."""

    @pytest.mark.parametrize(
        ("total", "ideal", "least", "most", "expected"),
        [
            (20, [0.5, 0.3, 0.2], [0, 0, 0], [99, 99, 99], [10, 6, 4]),
            # W = 1/2, 1/2 and s = 0.1, 0.3, so by Neyman 16 / 4 and 16 * 3 / 4.
            (16, [0.5 * 0.1, 0.5 * 0.3], [0, 0], [99, 99], [4, 12]),
            # W = 0.6, 0.3, 0.1 and s = 0.1, 0.2, 0.4: in proportion to 6, 6, 4.
            (32, [0.06, 0.06, 0.04], [0, 0, 0], [99, 99, 99], [12, 12, 8]),
            (16, [0.5, 0.5], [12, 2], [99, 99], [12, 4]),  # none is taken back
            (10, [0.9, 0.1], [0, 0], [4, 99], [4, 6]),  # there are no more
            (10, [1.0, 0.0], [0, 0], [99, 99], [8, 2]),  # two at least
            (8, [0.0, 0.0], [0, 0], [99, 99], [4, 4]),  # nothing varies
            (50, [0.5, 0.5], [0, 0], [3, 4], [3, 4]),
        ],
    )
    def test_by_hand(self, total, ideal, least, most, expected):
        counts = spread(total, np.array(ideal), np.array(least), np.array(most))
        assert counts.tolist() == expected

    def test_proportional_follows_sizes_and_neyman_goes_where_accuracy_varies(self):
        accuracy, features = pool_of((0.5, 0.7), sd=(0.0, 0.2), shares=(0.5, 0.5))
        for allocation, expected in (("proportional", (32, 32)), ("neyman", (8, 56))):
            profiler = StratifiedProfiler(
                2, first=16, batch=48, most=64, alpha=1e-9, allocation=allocation
            )
            [pool] = draws(profiler, accuracy, features, float(accuracy.mean()), count=1)[1]
            easy = int((pool.items < ITEMS / 2).sum())
            assert (easy, len(pool.items) - easy) == expected

    def test_it_needs_two_items_of_each_stratum(self):
        with pytest.raises(ValueError, match="first=15: must be two items for each of 8 strata"):
            StratifiedProfiler(8, first=15)

    def test_it_cannot_end_before_its_first_items(self):
        with pytest.raises(ValueError, match="most=4: must be 16 or more"):
            StratifiedProfiler(2, most=4)

    def test_there_are_no_more_strata_than_items(self):
        features = np.random.default_rng(0).normal(size=(5, 2))
        assert len(cluster(features, 9).centroids) == 5


PROFILERS = [RandomProfiler(), StratifiedProfiler(GROUPS), StratifiedProfiler(GROUPS, first=24)]


class TestStopping:
    """The sequential test, two-sided."""

    @pytest.mark.parametrize("profiler", PROFILERS)
    @pytest.mark.parametrize(("floor", "verdict"), [(0.2, True), (0.99, False)])
    def test_it_stops_at_once_when_it_is_clear(self, profiler, floor, verdict):
        accuracy, features = pool_of()
        beliefs, pools = draws(profiler, accuracy, features, floor, count=40)
        assert {each.verdict for each in beliefs} == {verdict}
        assert {each.accurate(floor) for each in beliefs} == {verdict}
        assert {each.count for each in beliefs} == {profiler.first}
        assert all(pool.asked == [profiler.first] for pool in pools)

    @pytest.mark.parametrize("profiler", PROFILERS)
    def test_near_the_floor_it_goes_on_to_the_most_by_batches(self, profiler):
        accuracy, features = pool_of(sd=0.1)
        beliefs, pools = draws(profiler, accuracy, features, accuracy.mean() + 0.001, count=60)
        undecided = [
            (belief, pool)
            for belief, pool in zip(beliefs, pools, strict=True)
            if belief.verdict is None
        ]
        assert len(undecided) > 40
        for belief, pool in undecided:
            expected = [*range(profiler.first, profiler.most, profiler.batch), profiler.most]
            assert pool.asked == expected
            assert belief.accurate(0.0)
            assert not belief.accurate(1.0)

    def test_strata_need_fewer_items_to_tell(self):
        accuracy, features = pool_of()
        floor = accuracy.mean() - 0.04
        counts = {}
        for name, profiler in (("random", RandomProfiler()), ("strata", StratifiedProfiler(4))):
            beliefs, _ = draws(profiler, accuracy, features, floor, count=200)
            counts[name] = np.mean([each.count for each in beliefs])
            assert np.mean([each.accurate(floor) for each in beliefs]) > 0.9
        assert counts["strata"] < 0.6 * counts["random"]

    @pytest.mark.parametrize("alpha", [0.05, 0.2])
    @pytest.mark.parametrize("make", [RandomProfiler, StratifiedProfiler])
    def test_one_look_is_wrong_as_often_as_alpha_says(self, make, alpha):
        """At a floor that is just the mean, every verdict is wrong."""
        accuracy, features = pool_of((0.7,) * 4, sd=0.1)
        profiler = make(first=32, most=32, alpha=alpha)
        beliefs, _ = draws(profiler, accuracy, features, accuracy.mean(), count=800)
        wrong = np.array([each.verdict is not None for each in beliefs])
        assert 0.6 * alpha < wrong.mean() < 1.4 * alpha
        above = np.mean([each.verdict is True for each in beliefs])
        assert 0.25 < above / wrong.mean() < 0.75, "on both sides alike"

    @pytest.mark.parametrize("sd", [(0.05,) * 8, (0.02, 0.4) * 4, np.geomspace(0.02, 0.4, 8)])
    def test_one_look_at_two_items_a_stratum_is_hardly_oftener_wrong_than_alpha(self, sd):
        accuracy, features = pool_of((0.7,) * 8, sd, shares=(0.125,) * 8)
        profiler = StratifiedProfiler(first=16, most=16, alpha=0.1)
        beliefs, _ = draws(profiler, accuracy, features, accuracy.mean(), count=800)
        wrong = np.mean([each.verdict is not None for each in beliefs])
        assert 0.05 < wrong < 0.14

    def test_looking_again_makes_it_wrong_somewhat_more_often(self):
        accuracy, features = pool_of((0.7,) * 4, sd=0.1)
        profiler = StratifiedProfiler(GROUPS)
        beliefs, _ = draws(profiler, accuracy, features, accuracy.mean())
        assert 0.05 < np.mean([each.verdict is not None for each in beliefs]) < 0.2

    def test_without_a_floor_the_first_items_do(self):
        accuracy, features = pool_of()
        for profiler in PROFILERS:
            [belief] = draws(profiler, accuracy, features, None, count=1)[0]
            assert (belief.verdict, belief.count) == (True, profiler.first)

    def test_the_fixed_profiler_decides_nothing_early(self):
        accuracy, features = pool_of()
        [belief], [pool] = draws(FixedProfiler(), accuracy, features, 0.2, count=1)
        assert (belief.verdict, pool.asked) == (None, [100])
        assert belief.accurate(0.2)
        assert not belief.accurate(0.99)

    def test_degrees_of_freedom_are_those_of_all_strata_where_they_vary_alike(self):
        """Eight strata of two items have eight; Satterthwaite's estimate is 3.6 on average."""
        rng, of = stream(0, "freedom"), np.arange(8)
        found = [
            stratified_mean(rng.standard_normal(16), np.repeat(of, 2), np.full(8, 1 / 8))[2]
            for _ in range(400)
        ]
        assert 6 < np.mean(found) < 8

    @pytest.mark.parametrize("counts", [(2, 1, 0, 0), (2, 2, 0, 0), (1, 1, 1, 1), (2, 0, 0, 0)])
    def test_strata_that_were_not_looked_at_add_no_degrees_of_freedom(self, counts):
        labels = np.repeat(np.arange(4), counts)
        values = stream(0, "few").standard_normal(len(labels))
        found = stratified_mean(values, labels, np.full(4, 0.25))
        assert found[2] <= len(values) - 1

    @pytest.mark.parametrize("counts", [(3, 1, 0, 2), (2, 2, 2, 2), (5, 0, 0, 0), (2, 1, 1, 0)])
    def test_a_stratified_mean_is_cochrans(self, counts):
        """With the mean and deviation of all where a stratum has too few items for its own."""
        strata, weights = np.repeat(np.arange(4), counts), np.array([0.4, 0.3, 0.2, 0.1])
        values = stream(0, "cochran").random(len(strata)) + strata
        parts = [values[strata == stratum] for stratum in range(4)]
        means = [part.mean() if len(part) else values.mean() for part in parts]
        within = [part.var(ddof=1) if len(part) > 1 else values.var(ddof=1) for part in parts]
        over = np.maximum(counts, 1)
        mean, variance, _, deviations = stratified_mean(values, strata, weights)
        assert mean == pytest.approx(weights @ means)
        assert variance - LEAST_VARIANCE == pytest.approx((weights**2 * within / over).sum())
        np.testing.assert_allclose(deviations, np.sqrt(within))

    def test_equal_values_leave_the_least_variance(self):
        strata = np.repeat(np.arange(4), 2)
        mean, variance, freedom, _ = stratified_mean(np.full(8, 0.7), strata, np.full(4, 0.25))
        assert (mean, variance) == (pytest.approx(0.7), pytest.approx(LEAST_VARIANCE))
        assert 1 <= freedom <= 4

    def test_of_less_than_two_values_nothing_is_said_of_their_spread(self):
        for count in (0, 1):
            values, strata = np.full(count, 0.4), np.zeros(count, dtype=np.int64)
            mean, variance, freedom, deviations = stratified_mean(values, strata, np.ones(1))
            assert (variance, freedom, deviations.tolist()) == (inf, 0, [1])
            assert isnan(mean) if count == 0 else mean == 0.4

    def test_students_t_by_hand(self):
        """Of nine items with mean 0.8 and deviation 0.15: 0.05 times t(0.975; 8) is 0.1153."""
        values = 0.8 + 0.15 * np.array([-1.0] * 4 + [0.0] + [1.0] * 4)
        mean, variance, freedom = simple_mean(values)
        assert (mean, freedom) == (pytest.approx(0.8), 8)
        assert variance == pytest.approx(0.05**2, rel=1e-3)
        assert decided(mean, variance, freedom, 0.684, 0.05) is True
        assert decided(mean, variance, freedom, 0.686, 0.05) is None
        assert decided(mean, variance, freedom, 0.914, 0.05) is None
        assert decided(mean, variance, freedom, 0.916, 0.05) is False

    def test_equal_items_prove_nothing_beyond_doubt(self):
        accuracy, features = pool_of((0.7,) * 4, sd=0.0)
        for profiler in PROFILERS:
            [belief] = draws(profiler, accuracy, features, 0.7001, count=1)[0]
            assert (belief.verdict, belief.count) == (None, profiler.most)


class TestCharges:
    """At a real context: what profiling costs."""

    def test_a_later_configuration_pays_for_what_differs_only(self):
        changed = {0: 0, 1: 2, 5: 1, 25: 0}  # first operator whose knob, or one upstream, differs

        def act(context):
            [query] = context.waiting
            every = context.world.pipeline.configurations
            for index, operator in changed.items():
                before = context.remaining(query)
                StratifiedProfiler().profile(context, query, every[index])
                paid = before - context.remaining(query)
                assert paid == pytest.approx(1e-3 + TIME_S[index, operator:].sum(), abs=1e-7)

        runs = with_context(act).tables.take()["profiling"]
        assert runs["prefix_reused"].to_list() == list(changed.values())
        assert runs["samples"].to_list() == [16] * 4

    def test_going_on_with_a_configuration_pays_for_the_further_items_only(self):
        def act(context):
            [query] = context.waiting
            configuration = context.world.pipeline.configurations[0]
            StratifiedProfiler().profile(context, query, configuration)
            before = context.remaining(query)
            belief = StratifiedProfiler().profile(context, query, configuration)
            assert context.remaining(query) == before
            assert belief.count == 16
            belief = StratifiedProfiler(first=48).profile(context, query, configuration)
            assert belief.count == 48

        runs = with_context(act).tables.take()["profiling"]
        first, further = runs["charged_s"] - 1e-3
        assert further == pytest.approx(2 * first)

    def test_a_budget_that_is_spent_leaves_what_it_paid_for(self):
        def act(context):
            [query] = context.waiting
            configuration = context.world.pipeline.configurations[0]
            greedy = StratifiedProfiler(first=512, most=512)
            assert greedy.profile(context, query, configuration).count == 16
            left = context.world.pipeline.configurations[60]
            belief = StratifiedProfiler().profile(context, query, left)
            assert (belief.count, belief.verdict) == (0, None)
            assert not belief.accurate(None)
            assert not belief.accurate(0.0)

        with_context(act, budget_s=0.3)

    def test_strata_are_found_once_for_a_data_set(self, monkeypatch):
        found = []
        cluster = estimates.cluster

        def count(features, clusters):
            found.append(clusters)
            return cluster(features, clusters)

        monkeypatch.setattr(estimates, "cluster", count)

        def act(context):
            for query in context.waiting:
                for configuration in context.world.pipeline.configurations[:2]:
                    StratifiedProfiler().profile(context, query, configuration)

        data = {"LibriSpeech": 1.0, "VOiCES": 1.0}
        made = with_context(act, queries_at(1.0, 1.5, 2.0, 2.5, 3.0, datasets=data), 3.5)
        seen = [state.query.dataset for state in made.registry.living.values()]
        assert len(seen) > len(set(seen)) == 2
        assert found == [8] * 2


def test_items_of_few_strata_are_no_harder_to_profile_than_those_of_many():
    """A query whose content leaves most strata empty is profiled on those that it has."""
    accuracy, features = pool_of()
    memory = {}
    Pool(accuracy, features, stream(0, "order"), memory)
    StratifiedProfiler(GROUPS).profile(
        Pool(accuracy, features, stream(0, "order"), memory), Asker(SLO()), None
    )
    one = accuracy < np.inf
    one[240:] = False
    pool = Pool(accuracy[one], features[one], stream(0, "order"), memory)
    belief = StratifiedProfiler(GROUPS).profile(pool, Asker(SLO()), None)
    assert belief.accuracy == pytest.approx(accuracy[one].mean(), abs=0.05)
    assert belief.count == 16


def test_the_record_of_profiling_tells_how_near_its_estimates_are():
    """At a real context too estimates scatter around what is true of a query's content."""

    def act(context):
        for query in context.waiting:
            StratifiedProfiler(first=64).profile(
                context, query, context.world.pipeline.configurations[0]
            )

    times = [0.01 * number for number in range(1, 41)]
    runs = with_context(act, queries_at(*times), horizon_s=0.5).tables.take()["profiling"]
    error = runs.select(pl.col("accuracy_mean") - pl.col("true_accuracy")).to_series()
    assert abs(error.mean()) < 4 * error.std() / len(error) ** 0.5
