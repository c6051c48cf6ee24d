"""The search for the cheapest machines that suffice, and how sure its verdicts are."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.what_if.capacity import (
    Candidate,
    CandidateVerdict,
    best,
    bound_confidence,
    bounds,
    candidates,
    cheapest,
    judged,
    looks,
    never_worse,
    search,
    useless_counts,
)
from lab.what_if.question import Varied

EDGE = Varied("cluster.nodes.edge.count", ("4", "1", "2", "3"))
CLOUD = Varied("cluster.nodes.cloud.count", ("0", "1", "2", "3", "4", "5"))
KIND = Varied("kind", ("old", "new"))


def price(settings_: dict[str, str]) -> float:
    each = 2.0 if settings_.get("kind") == "new" else 1.5
    return 0.5 * float(settings_[EDGE.key]) + each * float(settings_[CLOUD.key])


def power(settings_: dict[str, str]) -> float:
    each = 3.0 if settings_.get("kind") == "new" else 2.0
    return float(settings_[EDGE.key]) + each * float(settings_[CLOUD.key])


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 20), st.booleans())
def test_the_search_finds_the_cheapest_of_all_that_suffice(target: float, kinds: bool) -> None:
    keys = [EDGE, CLOUD, *([KIND] if kinds else [])]
    every = candidates(keys, price)
    simulated = []

    def measure(candidate: Candidate, seeds: range) -> list[float]:
        simulated.append(candidate)
        return [power(candidate.settings)] * len(seeds)

    tried = search(every, never_worse(keys, "slo_met_fraction", True), measure, target, 0.95, 5)
    enough = [each for each in every if power(each.settings) >= target]
    best = cheapest(tried)
    if enough:
        assert best is not None
        assert best.candidate.usd_per_hour == min(each.usd_per_hour for each in enough)
    else:
        assert best is None
    assert len(tried) == len({id(each.candidate) for each in tried}) <= len(every)


@given(st.integers(0, 12))
def test_metrics_that_grow_with_machines_are_searched_without_pruning(most: int) -> None:
    every = candidates([CLOUD], lambda settings_: float(settings_[CLOUD.key]))

    def measure(candidate: Candidate, seeds: range) -> list[float]:
        return [-2 * float(candidate.settings[CLOUD.key])] * len(seeds)

    tried = search(
        every, never_worse([CLOUD], "deployment_cost_usd", False), measure, -most, 0.95, 3
    )
    best = cheapest(tried)
    assert best is not None
    assert best.candidate.settings[CLOUD.key] == "0"


def test_equal_values_of_few_seeds_are_no_proof() -> None:
    seen = []

    def measure(_: Candidate, seeds: range) -> list[float]:
        seen.extend(seeds)
        return [1.0] * len(seeds)

    assert judged(Candidate({}, 1.0), measure, 0.9, 0.95, 12).verdict == CandidateVerdict.SUFFICES
    assert len(seen) == 12
    late = judged(Candidate({}, 1.0), lambda _, seeds: [-math.inf] * len(seeds), 0, 0.95, 12)
    assert late.verdict == CandidateVerdict.FAILS


def test_bounds_are_students_and_a_verdict_needs_the_whole_interval() -> None:
    low, high = bounds([1.0, 2.0, 3.0], 0.025)
    half = 4.3026527 / math.sqrt(3)  # t(0.975, 2), sd 1
    assert (low, high) == pytest.approx((2 - half, 2 + half))
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 1.0, 64)
    candidate = Candidate({}, 1.0)

    def measure(_: Candidate, seeds: range) -> list[float]:
        return [float(noise[seed]) for seed in seeds]

    assert judged(candidate, measure, 5.0, 0.95, 20).verdict == CandidateVerdict.FAILS
    assert judged(candidate, measure, -5.0, 0.95, 20).verdict == CandidateVerdict.SUFFICES
    near = judged(candidate, measure, float(noise.mean()), 0.95, 20)
    assert near.verdict == CandidateVerdict.OPEN
    assert len(near.values) == 20


def test_bounds_allow_for_all_looks_together() -> None:
    assert looks(20) == [3, 5, 8, 12, 20]
    assert bound_confidence(0.95, 20) == pytest.approx(0.99)
    assert bound_confidence(0.95, 3) == pytest.approx(0.95)
    values = [1.0, 2.0, 4.0, 3.0, 1.5]
    one = judged(Candidate({}, 1.0), lambda _, seeds: [values[at] for at in seeds], 2, 0.9, 5)
    assert (one.low, one.high) == pytest.approx(bounds(values, 0.05))


def test_wrong_verdicts_are_as_rare_as_is_stated() -> None:
    """The mean lies on the target, so that every verdict is wrong or may be."""
    wrong = 0
    for trial in range(400):
        rng = np.random.default_rng(trial)
        noise = rng.normal(0.0, 1.0, 12)

        def measure(_: Candidate, seeds: range, noise=noise) -> list[float]:
            return noise[list(seeds)].tolist()

        one = judged(Candidate({}, 1.0), measure, 1e-9, 0.9, 12)
        wrong += one.verdict == CandidateVerdict.SUFFICES
    assert wrong / 400 <= 0.1


def test_of_equal_prices_the_smallest_cluster_is_named() -> None:
    free = Varied("cluster.profiling.lanes", ("1", "2", "4"))
    every = candidates([free], lambda _: 1.0)
    ordered = never_worse([free], "slo_met_fraction", True)

    def measure(candidate: Candidate, seeds: range) -> list[float]:
        return [min(2.0, float(candidate.settings[free.key]))] * len(seeds)

    one = cheapest(search(every, ordered, measure, 2.0, 0.95, 3))
    assert one is not None
    assert one.candidate.settings == {free.key: "2"}
    tried = search(every, ordered, measure, 5.0, 0.95, 3)
    nearest = best(tried, ordered)
    assert nearest.candidate.settings == {free.key: "2"}
    assert useless_counts(tried, nearest, ordered) == [free.key]
    assert useless_counts(tried[:1], nearest, ordered) == []
    undecided = [replace(each, verdict=CandidateVerdict.OPEN) for each in tried]
    assert useless_counts(undecided, nearest, ordered) == []


@pytest.mark.parametrize(
    ("metric", "at_least", "ordered"),
    [
        ("slo_met_fraction", True, True),
        ("slo_met_fraction", False, False),
        ("unserved", False, True),
        ("unserved", True, False),
        ("dropped", False, False),
        ("deployment_cost_usd", False, False),
    ],
)
def test_machines_rule_others_out_only_where_more_of_them_serve_the_target(
    metric, at_least, ordered
) -> None:
    assert never_worse([CLOUD, KIND], metric, at_least) == ({CLOUD.key} if ordered else set())
