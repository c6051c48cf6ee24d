"""Shares of queries and of classes of service whose SLO is met follow from the windows."""

from collections import Counter
from functools import cache

import pytest

from lab import run

SCENE = [
    *("experiment=speech_small", "planner=greedy", "profiling=free"),
    *("horizon_s=400", "workload.rate=0.05"),
]


@cache
def run_once(*overrides):
    """Return the result of a run that several tests read."""
    return run(overrides)


@pytest.mark.parametrize(
    ("plane", "flush_every_s"),
    [
        pytest.param("blocks", 30, marks=pytest.mark.slow),
        pytest.param("blocks", 600, marks=pytest.mark.slow),
        ("events", 30),
        pytest.param("events", 600, marks=pytest.mark.slow),
    ],
)
def test_a_query_is_well_served_whose_slo_is_met_most_of_its_time(plane, flush_every_s):
    result = run_once(*SCENE, f"data_plane={plane}", f"flush_every_s={flush_every_s}")
    met_s, active_s = Counter(), Counter()
    for row in result.windows.iter_rows(named=True):
        active_s[row["query"]] += row["active_s"]
        met_s[row["query"]] += row["deployed_s"] * row["met"]
    shares = [met_s[query] / lived_s for query, lived_s in active_s.items() if lived_s > 0]
    assert min(shares) < 0.9 < max(shares)
    expected = sum(share >= 0.9 for share in shares) / len(shares)
    assert result.summary["queries_met_share"] == expected > 0


@pytest.mark.parametrize("flush_every_s", [30, 600])
def test_each_class_of_service_has_its_share(flush_every_s):
    result = run_once(*SCENE, "data_plane=blocks", f"flush_every_s={flush_every_s}")
    summary = result.summary
    shares = summary["slo_met_fraction_by_tier"]
    assert list(shares) == list(summary["queries_by_tier"]) == list(result.scenario.tiers)
    assert sum(summary["queries_by_tier"].values()) == summary["queries"] == result.queries.height
    for tier, share in shares.items():
        rows = result.windows.filter(tier=tier)
        met_s = rows.filter("met")["deployed_s"].sum()
        assert share == pytest.approx(met_s / rows["active_s"].sum(), rel=1e-12)
        assert summary["queries_by_tier"][tier] == result.queries.filter(tier=tier).height
    assert len(set(shares.values())) > 1


def test_a_class_of_service_that_nobody_asks_for_has_no_share():
    with pytest.warns(UserWarning, match="no query will arrive"):
        summary = run(["experiment=speech_small", "horizon_s=20", "workload.rate=0"]).summary
    assert set(summary["slo_met_fraction_by_tier"].values()) == {None}
    assert set(summary["queries_by_tier"].values()) == {0}
