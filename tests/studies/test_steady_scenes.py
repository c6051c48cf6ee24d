"""Scenes in steady state: their load, and that they compose."""

import pytest

from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from studies.common.scenes import APPLICATIONS, demand_of
from studies.common.steady_scenes import LOADS, QUERIES, judges, steady_scene


@pytest.mark.parametrize("application", APPLICATIONS)
def test_the_load_is_exact_and_large_scenes_have_1600_queries(application):
    least = demand_of(application).least_gpus
    for size, queries in QUERIES.items():
        for load in LOADS:
            made = steady_scene(application, size, load)
            assert made.queries * least / made.gpus == pytest.approx(load)
            if made.gpus > 1:
                assert made.queries == pytest.approx(queries, rel=0.5 / made.gpus)
    assert steady_scene(application, "large", 0.5).gpus > steady_scene(application, "large").gpus


def test_a_scene_is_an_hour_in_steady_state():
    words = [*steady_scene("tracking", "small", 2.0, others=("tiers=strict",)).overrides]
    made = set_up(compose([*words, "planner=greedy"]), words).scenario()
    assert (made.horizon_s, made.warm_up_s) == (3600, "auto")
    assert list(made.tiers) == ["premium"]
    # Little: the mean number of queries is their rate times their lifetime.
    expected = steady_scene("tracking", "small", 2.0).queries
    assert made.workload.rate * made.workload.lifetime_mean_s == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (("chess",), "application=chess: there is no such application"),
        (("speech", "huge"), "size=huge: there is no such size"),
        (("speech", "small", 0.0), r"load=0.0: must be above 0"),
    ],
)
def test_bad_scenes_are_refused(values, reason):
    with pytest.raises(InputError, match=reason):
        steady_scene(*values)


def test_a_scene_judges_if_the_best_planner_serves_some_but_not_nearly_all():
    assert [judges(share) for share in (0.2, 0.3, 0.8, 0.95, 0.97)] == [
        False,
        True,
        True,
        True,
        False,
    ]
