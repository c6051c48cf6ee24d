"""Profiling ahead of a data set: which profiles count, however many items were asked for."""

import pytest
from worlds import asked, queries_at, scenario

from planners.common.offline_profiles import climb, profile_ahead


def climbed(context, dataset, samples):
    return climb(context, dataset, samples, beta=0.5, starts=3, seed=0)


def listed(context, dataset, samples):
    return profile_ahead(context, dataset, context.world.pipeline.configurations[:3], samples)


@pytest.mark.parametrize("profile", [climbed, listed])
def test_who_asks_for_more_items_than_there_are_gets_profiles_of_all(profile):
    def ask(context, query):
        items = len(context.bulk.features(query.dataset))
        return items, [each.count for each in profile(context, query.dataset, 3 * items)]

    [(items, counts)] = asked(ask, scenario(10.0, workload=queries_at(1.0)), budget_s=2000.0)
    assert counts.count(items) >= 3
