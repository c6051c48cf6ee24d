"""The profiling bench: items by number, what is known of them beforehand, new and fresh data."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from worlds import BRANCHED, content, declared, queries_at, run, scenario

from scenarios.cluster import Cluster, Node, Profiling
from scenarios.drift import Drift, DriftEvent
from sim import PlannerError
from sim.planning.profiling_bench import ProfilingBench

APPLICATION = declared("speech_recognition")


CORRELATION = Profiling().feature_correlation


def bench(dataset="VOiCES", correlation=CORRELATION):
    data = APPLICATION.datasets[dataset]
    names = ("data set", dataset)
    return ProfilingBench(APPLICATION, data, data.stratum_weights, names, 0, correlation)


def within(made, clusters):
    """Return the share of the variance of accuracy that clusters of features leave within them."""
    features = made.features
    deviation = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    labels = KMeans(clusters, n_init=3, random_state=0).fit_predict(features)
    accuracy = made.measure(APPLICATION.pipeline.configurations[0], np.arange(1024)).accuracy
    sums = [((part - part.mean()) ** 2).sum() for part in _parts(accuracy, labels)]
    return sum(sums) / ((accuracy - accuracy.mean()) ** 2).sum()


def _parts(values, labels):
    return [values[labels == label] for label in np.unique(labels)]


@pytest.mark.parametrize(
    ("clusters", "share"), [(4, 0.56), pytest.param(16, 0.38, marks=pytest.mark.slow)]
)
def test_features_tell_as_much_as_embeddings_of_the_measured_clips_did(clusters, share):
    assert within(bench(), clusters) == pytest.approx(share, abs=0.05)


@pytest.mark.slow
def test_features_that_correlate_with_nothing_tell_nothing():
    assert within(bench(correlation=0.0), 8) > 0.95


def test_items_measured_one_by_one_are_those_measured_at_once():
    at_once, piecemeal = bench(), bench()
    configuration = APPLICATION.pipeline.configurations[7]
    wanted = np.array([3, 5, 100, 1023])
    for item in (1023, 3, 100, 5):
        last = piecemeal.measure(configuration, np.array([item]))
    whole = at_once.measure(configuration, wanted)
    assert last.items.tolist() == whole.items.tolist() == wanted.tolist()
    assert (last.accuracy == whole.accuracy).all()
    assert (last.operator_time_s == whole.operator_time_s).all()


def test_ranks_of_an_item_differ_by_configuration_but_not_by_order_of_profiling():
    application = content("speech_recognition", rank_correlation=0.5)
    voices = application.datasets["VOiCES"]
    weights = np.eye(len(voices.stratum_weights))[2]
    one, other = (
        ProfilingBench(application, voices, weights, ("query", 1), 0, CORRELATION) for _ in "ab"
    )
    find = application.pipeline.configuration
    first, second, masked = (
        find(sample_rate_hz=rate, freq_mask_hz=mask, model="hubert-large")
        for rate, mask in ((16000, 500), (14000, 500), (16000, 4000))
    )
    items = np.arange(1024)
    forward = [one.measure(each, items).accuracy for each in (first, second, masked)]
    backward = [other.measure(each, items).accuracy for each in (masked, second, first)]
    assert all((a == b).all() for a, b in zip(forward, backward[::-1], strict=True))
    ranks = spearmanr(forward[0], forward[1]).statistic
    assert ranks == pytest.approx(0.5, abs=0.06)
    assert (forward[0] == forward[2]).all(), "a knob without effect changes no item"


def test_only_items_that_an_operator_has_not_seen_run_again():
    made = bench()
    first, second = APPLICATION.pipeline.configurations[:2]  # They differ in the model.
    made.measure(first, np.arange(10))
    run = made.run(second, np.arange(5, 25), workers=1)
    times = APPLICATION.datasets["VOiCES"].service_time_s[second.index]
    assert run.device_s == pytest.approx(15 * times[:2].sum() + 20 * times[2:].sum())
    assert run.prefix_reused == 0
    assert made.run(second, np.arange(10), workers=1).prefix_reused == 2


def test_an_operator_on_one_branch_does_not_run_again_for_knobs_of_another():
    application = declared(BRANCHED)
    [dataset] = application.datasets.values()
    made = ProfilingBench(application, dataset, np.ones(1), ("query", 1), 0, CORRELATION)
    known = {"frames": 8, "input_px": 448, "recogniser": "hubert-xlarge", "model": "InternVL2-2B"}
    configuration = application.pipeline.configuration
    made.measure(configuration(**known), np.arange(10))
    names = [operator.name for operator in application.operators]
    for change, again, leading in (
        ({"frames": 4}, ("sample", "encode", "respond"), 1),
        ({"recogniser": "wav2vec2-base"}, ("listen", "respond"), 3),
        ({"model": "InternVL2-8B"}, ("respond",), 4),
    ):
        other = configuration(**known | change)
        times = dataset.service_time_s[other.index]
        run = made.run(other, np.arange(10), workers=1)
        assert run.device_s == pytest.approx(10 * sum(times[names.index(name)] for name in again))
        assert run.prefix_reused == leading


class TestDesk:
    """Requests of planners to the bench."""

    def test_items_by_number_count_towards_a_number_of_items(self, acted):
        def act(context, query):
            configuration = context.world.pipeline.configurations[0]
            some = context.profile(query, configuration, np.array([900, 2]))
            assert some.measurement.items.tolist() == [2, 900]
            more = context.profile(query, configuration, 4)
            assert more.measurement.items.tolist() == [0, 1, 2, 900]
            assert context.profile(query, configuration, 3) is not None
            assert context.profile(query, configuration, 3).count == 4

        acted(act)

    @pytest.mark.parametrize(
        ("samples", "reason"),
        [
            (-1, "whole number of 0 or more"),
            ("many", "whole number, or an array of numbers of items"),
            ([[1, 2]], "an array of numbers of items"),
            ([0.5], "an array of numbers of items"),
            ([1024], "between 0 and 1023"),
            ([-1], "between 0 and 1023"),
        ],
    )
    def test_what_is_no_item_is_refused(self, acted, samples, reason):
        def act(context, query):
            with pytest.raises(PlannerError, match=reason):
                context.profile(query, context.world.pipeline.configurations[0], samples)

        acted(act)

    def test_features_are_those_of_the_items_and_cost_nothing(self, acted):
        def act(context, query):
            before = context.remaining(query)
            features = context.bulk.features(query)
            assert features.shape == (1024, 4)
            sizes = context.profile(
                query, context.world.pipeline.configurations[0], 5
            ).measurement.size
            assert np.exp(features[:5, 0]) == pytest.approx(sizes)
            assert context.bulk.features(query) is features
            assert context.bulk.features(query.dataset).shape == (1024, 4)
            assert before - context.remaining(query) > 0

        acted(act)

    def test_an_audit_sees_the_content_of_now_and_leaves_profiles_alone(self, acted):
        seen = {}

        def act(context, query):
            configuration = context.world.pipeline.configurations[0]
            if context.trigger == "arrival" and context.now_s < 5:
                seen["profiled"] = context.profile(query, configuration, 400).accuracy_mean
                with pytest.raises(PlannerError, match="no plan is active"):
                    context.measure_live_accuracy(query, 10)
                plan = next(
                    plan
                    for plan in context.candidates(query)
                    if plan.configuration == configuration and "edge" in plan.placement
                )
                context.deploy(query, plan)
            elif context.now_s > 50:
                remaining_s = context.remaining(query)
                seen["audited"] = context.measure_live_accuracy(query, 400).accuracy_mean
                seen["charged_s"] = remaining_s - context.remaining(query)
                seen["still"] = context.profile(query, configuration, 400).accuracy_mean

        drift = Drift([DriftEvent("content_shift", at_s=30.0, factor=0.9)])
        acted(act, arrivals=(1.0, 60.0), drift=drift)
        assert seen["still"] == seen["profiled"]
        assert seen["audited"] < seen["profiled"] - 0.05
        assert seen["charged_s"] > 0.1


@pytest.fixture
def acted():
    """Return a function that lets something act on the first query at every call."""

    def go(act, arrivals=(1.0,), drift=None):
        from worlds import Does

        called = []

        def on_first(context):
            living = (*context.waiting, *context.running)
            first = [query for query in living if query.id == 0]
            if first:
                called.append(context.now_s)
                act(context, first[0])

        nodes = {
            "edge": Node("edge", "g2-standard-8", standby=1),
            "cloud": Node("cloud", "a2-highgpu-1g"),
        }
        given = scenario(
            90.0,
            nodes=nodes,
            workload=queries_at(*arrivals, dataset="VOiCES"),
            drift=drift or Drift(),
        )
        made = run(given, Does(on_first, budget_s=100.0))
        assert called
        assert not made.planner_errors, made.planner_errors
        return made

    return go


def test_a_correlation_of_one_is_refused():
    with pytest.raises(
        ValueError, match=r"feature_correlation=1\.0: must be 0 or more, and below 1"
    ):
        Cluster({"edge": Node("edge", "g2-standard-8")}, Profiling(feature_correlation=1.0))


def test_the_first_items_are_the_same_whether_few_or_all_are_drawn():
    few, every = bench(), bench()
    assert every.features.shape == (1024, 4)
    configuration = APPLICATION.pipeline.configurations[3]
    first, second = (
        few.measure(configuration, np.arange(48)),
        every.measure(configuration, np.arange(48)),
    )
    assert first.accuracy.tolist() == second.accuracy.tolist()
    assert first.operator_time_s.tolist() == second.operator_time_s.tolist()
    assert first.size.tolist() == second.size.tolist()


def test_accuracies_of_items_are_those_that_numpy_interpolates():
    rng = np.random.default_rng(0)
    for data in APPLICATION.datasets.values():
        strata = rng.integers(0, len(data.stratum_weights), 200)
        ranks = np.append(rng.random(198), [0.0, 1.0])
        expected = [
            np.interp(rank, data.quantile_grid[5, at], data.accuracy_quantiles[5, at])
            for at, rank in zip(strata, ranks, strict=True)
        ]
        assert data.item_accuracy(5, strata, ranks).tolist() == pytest.approx(expected, rel=1e-14)
