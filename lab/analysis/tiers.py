"""Figures of single classes of service, as a summary holds them and as metrics are named."""

from collections.abc import Mapping
from typing import Any

SLO_MET, QUERIES = "slo_met_fraction", "queries"
BY_TIER = {f"{metric}_by_tier": metric for metric in (SLO_MET, QUERIES)}
"""Keys of a summary whose values are mappings by class of service, and what these are of."""


def of_tier(metric: str, tier: str) -> str:
    """Return the name of a metric of one class of service, such as ``queries.premium``."""
    return f"{metric}.{tier}"


def metric_and_tier(name: str) -> tuple[str, str]:
    """Return a metric and its class of service, which is empty where a name has none."""
    metric, _, tier = name.partition(".")
    return (metric, tier) if metric in BY_TIER.values() else (name, "")


def by_tier(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the figures of single classes of service, by name; older summaries have none."""
    return {
        of_tier(metric, str(tier)): value
        for key, metric in BY_TIER.items()
        for tier, value in (summary.get(key) or {}).items()
    }
