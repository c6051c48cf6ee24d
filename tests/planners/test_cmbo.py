"""CMBO and normal Bayesian optimisation on pipelines whose truth is known."""

import numpy as np
import pytest

from planners.bayesopt.encodings import blocks, one_hot, ordinal
from planners.compass.search.cmbo import Cmbo
from planners.compass.search.normal_bo import NormalBo
from scenarios.applications.shipped import shipped_application
from scenarios.random_streams import stream

SPEECH = shipped_application("speech_recognition")
PIPELINE = SPEECH.pipeline
DATA = SPEECH.datasets["LibriSpeech"]
TIME_S = DATA.service_time_s
ACCURACY = DATA.expected_accuracy(DATA.stratum_weights)
COUNT, OPERATORS = TIME_S.shape
LAYOUTS = 45
rng = stream(0, "test cmbo")
LAYOUT_FACTORS = np.exp(rng.uniform(-0.7, 3.0, (LAYOUTS, OPERATORS)))
CONFIGURATION, LAYOUT = np.divmod(np.arange(COUNT * LAYOUTS), LAYOUTS)
FACTORS = LAYOUT_FACTORS[LAYOUT]
TRANSFER_S = rng.uniform(0.0, 0.2, LAYOUTS)[LAYOUT]
COST = rng.uniform(0.0, 3.0, LAYOUTS)[LAYOUT]
LATENCY_S = (FACTORS * TIME_S[CONFIGURATION]).sum(axis=1) + TRANSFER_S


def cmbo(encoding=one_hot, **options):
    points = encoding(PIPELINE)
    return Cmbo(
        points,
        CONFIGURATION,
        FACTORS,
        TRANSFER_S,
        COST,
        blocks=blocks(PIPELINE, points),
        upstream=PIPELINE.upstream_knobs,
        **options,
    )


def normal_bo(**options):
    points = np.hstack([one_hot(PIPELINE)[CONFIGURATION], np.eye(LAYOUT.max() + 1)[LAYOUT]])
    return NormalBo(points, FACTORS, TRANSFER_S, COST, **options)


def show(search, plan, **options):
    """Let a search observe what is true of a plan."""
    chosen = CONFIGURATION[plan]
    search.observe(search.subject(plan), ACCURACY[chosen], 1e-6, TIME_S[chosen], **options)


def test_one_configuration_shows_the_latency_of_all_its_plans():
    search = cmbo()
    for plan in (0, 300, 900):
        show(search, plan)
    latency_s, latency_sd_s, accuracy, _ = search.believed()
    for chosen in CONFIGURATION[[0, 300, 900]]:
        plans = chosen == CONFIGURATION
        np.testing.assert_allclose(latency_s[plans], LATENCY_S[plans], rtol=1e-2)
        assert (latency_sd_s[plans] < 0.05 * latency_s[plans]).all()
        np.testing.assert_allclose(accuracy[plans], ACCURACY[chosen], atol=0.01)


def test_an_operators_time_carries_over_to_configurations_alike_up_to_it():
    search = cmbo()
    show(search, 0)
    first = PIPELINE.configurations[0]
    mean, sd = search.log_time()
    for other in PIPELINE.configurations:
        for operator in range(OPERATORS):
            if PIPELINE.operator_key(operator, other) == PIPELINE.operator_key(operator, first):
                assert mean[other.index, operator] == pytest.approx(
                    np.log(TIME_S[0, operator]), abs=1e-3
                )
                assert sd[other.index, operator] < 0.05
    assert sd[:, -1].max() > 0.3


@pytest.mark.parametrize("encoding", [one_hot, ordinal])
def test_after_ten_plans_cmbo_errs_at_most_half_as_much_as_normal_bo(encoding):
    errors = {"cmbo": [], "normal": []}
    for seed in range(5):
        order = stream(seed, "test cmbo order").permutation(COUNT)[:10]
        searches = {"cmbo": cmbo(encoding), "normal": normal_bo()}
        for chosen in order:
            plan = int(chosen * LAYOUTS + stream(seed, "layout", int(chosen)).integers(LAYOUTS))
            for search in searches.values():
                show(search, plan)
        for name, search in searches.items():
            errors[name].append(np.median(np.abs(search.believed()[0] / LATENCY_S - 1)))
    assert np.mean(errors["cmbo"]) <= 0.5 * np.mean(errors["normal"])


@pytest.mark.parametrize("encoding", [one_hot, ordinal])
def test_a_search_finds_the_cheapest_feasible_plan(encoding):
    bound_s, floor = float(np.quantile(LATENCY_S, 0.2)), 0.9
    feasible = (bound_s >= LATENCY_S) & (ACCURACY[CONFIGURATION] >= floor)
    search = cmbo(encoding, latency_s=bound_s, accuracy=floor)
    profiled = np.zeros(COUNT, dtype=bool)
    found = np.inf
    for step in range(30):
        plan = int(stream(step, "start").integers(len(COST))) if step < 3 else None
        plan = search.propose(profiled) if plan is None else plan
        if plan is None:
            break
        assert step < 3 or not profiled[CONFIGURATION[plan]]
        profiled[CONFIGURATION[plan]] = True
        show(search, plan)
        mine = feasible & profiled[CONFIGURATION]
        if mine.any():
            found = search.reference = float(COST[mine].min())
    assert found == COST[feasible].min()
    assert profiled.sum() <= 30


def test_only_cheaper_plans_than_the_reference_are_proposed():
    search = cmbo(latency_s=100.0)
    show(search, 0)
    assert COST[search.propose()] == COST.min()
    search.reference = float(COST.min())
    assert search.propose() is None
    assert (search.utility() == 0).all()


def test_everything_excluded_leaves_nothing():
    search = cmbo()
    assert search.propose(np.ones(COUNT, dtype=bool)) is None
    only = np.ones(COUNT, dtype=bool)
    only[7] = False
    assert CONFIGURATION[search.propose(only)] == 7


def test_normal_bo_proposes_only_what_is_not_excluded():
    search = normal_bo()
    show(search, 0)
    assert search.propose(np.ones(len(COST), dtype=bool)) is None
    only = np.ones(len(COST), dtype=bool)
    only[7] = False
    assert search.propose(only) == 7


def test_without_bounds_every_plan_is_feasible():
    for search in (cmbo(), normal_bo()):
        show(search, 5)
        assert (search.feasible() == 1).all()


def test_a_plan_that_cannot_even_send_in_time_is_infeasible():
    search = cmbo(latency_s=0.1)
    show(search, 0)
    assert (search.feasible()[TRANSFER_S >= 0.1] == 0).all()


@pytest.mark.parametrize("make", [cmbo, normal_bo])
def test_bounds_on_a_quantile_are_stricter_with_sizes_that_vary(make):
    bound_s = float(np.quantile(LATENCY_S, 0.5))
    steady, equal, varying = (make(latency_s=bound_s) for _ in range(3))
    for plan in (0, 400, 800):
        show(steady, plan)
        show(equal, plan, time_cv=0.0)
        show(varying, plan, time_cv=0.6)
    assert (varying.feasible() <= steady.feasible() + 1e-12).all()
    assert varying.feasible().sum() < 0.9 * steady.feasible().sum()
    assert (equal.feasible() == steady.feasible()).all(), "sizes are equal unless it is said"


def test_few_samples_make_profiled_plans_uncertain():
    search = cmbo(latency_s=1.0)
    show(search, 0, time_cv=0.5, samples=25)
    latency_s, sd_s, _, _ = search.believed()
    compute_s = latency_s[:LAYOUTS] - TRANSFER_S[:LAYOUTS]
    assert (sd_s[:LAYOUTS] >= 0.1 * compute_s * 0.999).all()


def test_histories_are_believed_until_they_are_found_wrong():
    search = cmbo(prior_accuracy=ACCURACY, prior_log_time=np.log(TIME_S))
    np.testing.assert_allclose(search.accuracy()[0], ACCURACY)
    np.testing.assert_allclose(search.log_time()[0], np.log(TIME_S))
    for chosen in range(0, COUNT, 12):
        search.observe(chosen, ACCURACY[chosen] - 0.1, 1e-6, 2 * TIME_S[chosen])
    np.testing.assert_allclose(search.accuracy()[0], ACCURACY - 0.1, atol=0.03)
    np.testing.assert_allclose(search.log_time()[0], np.log(2 * TIME_S), atol=0.1)


def test_normal_bo_learns_the_plan_that_was_profiled_and_no_other():
    search = normal_bo(latency_s=1.0)
    profiled = np.zeros(len(COST), dtype=bool)
    for plan in (0, 300, 900):
        show(search, plan)
        profiled[plan] = True
    latency_s, sd_s, _, _ = search.believed()
    np.testing.assert_allclose(latency_s[profiled], LATENCY_S[profiled], rtol=0.02)
    assert (sd_s[1:LAYOUTS] > 0.1 * latency_s[1:LAYOUTS]).all()
    assert not profiled[search.propose(profiled)]


def test_plans_that_cannot_be_had_are_not_proposed():
    search = cmbo()
    show(search, 0)
    cheapest = search.propose()
    search.reprice(np.where(COST[cheapest] == COST, np.inf, COST))
    assert COST[search.propose()] == np.unique(COST)[1]
    search.reprice(np.full_like(COST, np.inf))
    assert search.propose() is None


@pytest.mark.parametrize("reference", [None, 2.0, 0.4])
def test_the_plan_proposed_is_the_best_of_all(reference):
    """Though only those that may be the best are looked at."""
    for shown in range(0, 25, 4):
        search = cmbo(latency_s=0.7, accuracy=0.8)
        for plan in range(shown):
            show(search, plan * 97)
        search.reprice(COST, reference)
        exclude = np.arange(COUNT) % 3 == 0
        utility = np.where(exclude[CONFIGURATION], 0.0, search.utility())
        expected = int(utility.argmax()) if utility.max() > 0 else None
        assert search.propose(exclude) == expected
