"""Profiling ahead of a data set: which profiles count, however many items were asked for."""

import pytest
from worlds import Does, queries_at, run, scenario

from planners.common.offline_profiles import climb, profile_ahead


def climbed(context, dataset, samples):
    return climb(context, dataset, samples, beta=0.5, starts=3, seed=0)


def listed(context, dataset, samples):
    return profile_ahead(context, dataset, context.world.pipeline.configurations[:3], samples)


@pytest.mark.parametrize("profile", [climbed, listed])
def test_who_asks_for_more_items_than_there_are_gets_profiles_of_all(profile):
    found = []

    def act(context):
        if context.waiting and not found:
            dataset = context.waiting[0].dataset
            items = len(context.bulk.features(dataset))
            found.append((items, [each.count for each in profile(context, dataset, 3 * items)]))

    run(scenario(10.0, workload=queries_at(1.0)), Does(act, budget_s=2000.0))
    [(items, counts)] = found
    assert counts.count(items) >= 3
