"""Which plan was in force for a query, and when, by the decisions on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import polars as pl


@dataclass(frozen=True)
class DeploymentInterval:
    """A time during which one plan served a query."""

    order: Mapping[str, Any]  # the row of `decisions` that deployed the plan
    start_s: float  # when it came into force
    # When another one replaced it, it was released, a failure ended it, or the query left.
    end_s: float


def deployment_intervals(decisions: pl.DataFrame, departure_s: float) -> list[DeploymentInterval]:
    """Return when each deployed plan was in force.

    A plan that was replaced while its models were loading never came into force.

    Args:
        decisions: rows of table ``decisions`` for one query, in order of time.
        departure_s: when the query left.
    """
    acted = decisions.filter(pl.col("outcome").is_in(["deployed", "released", "ended"]))
    found = []
    loading: Mapping[str, Any] | None = None
    serving: tuple[Mapping[str, Any], float] | None = None
    end = {"outcome": "released", "deployment": None, "decided_s": departure_s}
    for order in [*acted.iter_rows(named=True), end]:
        starts_s = inf if loading is None else loading["in_force_s"]
        if loading is not None and starts_s < order["decided_s"]:
            if serving is not None:
                found.append(DeploymentInterval(*serving, starts_s))
            serving, loading = (loading, starts_s), None
        if order["outcome"] == "deployed":
            loading = order
            continue
        ended = order["deployment"]  # None for a release, of all that the query has
        if loading is not None and ended in (None, loading["deployment"]):
            loading = None
        if serving is not None and ended in (None, serving[0]["deployment"]):
            found.append(DeploymentInterval(*serving, order["decided_s"]))
            serving = None
    return found
