"""Errors of surrogates, with and without histories, by the number of profiled configurations."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from lab.runs.api import Result
from planners.compass.compass import Compass
from planners.compass.search.history import Prior
from planners.compass.search.search import CmboSearch
from planners.compass.state.records import (
    History,
    ProfiledConfig,
    SearchState,
    publish_search_state,
    seen_search_state,
)
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import PlanningContext

COLD, HISTORIES, COMBINED = "from nothing", "histories only", "combined"
AT = (0, 1, 2, 4, 8, 16, 24)
"""Numbers of profiled configurations at which errors are recorded."""

FULL = 10
"""A query counts only if it had this number of histories."""


class BeliefProbe(Compass):
    """Profiles configurations for every query in random order, and records errors of beliefs.

    The errors are those of surrogates without histories, of the weighted mean of histories, and of
    Compass's combination of both. Nothing is deployed. The final beliefs of the combination are a
    history for later queries. The parameters are those of Compass.
    """

    sees_truth = True

    def plan(self, context: PlanningContext) -> None:
        """Profile configurations for the new queries."""
        for query in context.waiting:
            if seen_search_state(context, query.id) is None:
                self._probe(context, query)

    def _probe(self, context: PlanningContext, query: Query) -> None:
        search = self.search
        assert isinstance(search, CmboSearch), "there are no surrogates to look at"
        market, warm_start = self._market(context), search.warm_start
        without = replace(search, warm_start=replace(warm_start, histories=0, ahead=0))
        cold = without.beliefs(context, query, market, SearchState())
        combined = search.beliefs(context, query, market, SearchState())
        histories = combined.configurations.histories
        truth = context.bulk.truth(query)
        true_s = truth.operator_time_s.sum(axis=1)
        plan = context.bulk.view(query).plan(0)
        configurations = context.world.pipeline.configurations
        drawn = stream(0, "evaluation", "beliefs", query.id).permutation(len(configurations))
        order: list[int] = drawn[: max(AT)].tolist()
        shown: dict[int, ProfiledConfig] = {}
        for count in range(len(order) + 1):
            if count in AT:
                prior = warm_start.prior(
                    histories,
                    np.array(list(shown), dtype=np.int64),
                    np.array([seen.accuracy for seen in shown.values()]),
                    np.array([float(seen.operator_time_s.sum()) for seen in shown.values()]),
                )
                believed: dict[str, History | Prior] = {
                    COLD: cold.configurations.history(),
                    COMBINED: combined.configurations.history(),
                }
                if prior is not None:
                    believed[HISTORIES] = prior
                for name, of in believed.items():
                    time_s = np.exp(of.log_time.astype(np.float64)).sum(axis=1)
                    context.bulk.log_candidate(
                        query,
                        plan,
                        f"{name}/{count}",
                        float(np.abs(time_s / true_s - 1).mean()),
                        float(np.abs(of.accuracy - truth.accuracy).mean()),
                        reason=str(len(histories)),
                    )
            if count < len(order):
                index = order[count]
                seen = search.look(context, query, configurations[index])
                assert seen is not None, "the budget was too small"
                shown[index] = seen
                cold.learn(index, seen)
                combined.learn(index, seen)
        state = SearchState(history=combined.configurations.history())
        publish_search_state(context, query.id, state)


def errors(result: Result) -> Mapping[str, Any]:
    """Return mean errors over queries that had `FULL` histories, as ``cells``.

    A cell has the ``model`` and the number of ``profiled`` configurations. ``accuracy`` is the mean
    absolute error over all configurations, and ``time`` is the mean relative error of the total
    time on profiling hardware.
    """
    offers = result.offers.filter(pl.col("reason").cast(pl.Int64) >= FULL)
    parts = pl.col("role").str.split("/")
    by = offers.group_by(
        model=parts.list.get(0), profiled=parts.list.get(1).cast(pl.Int64), maintain_order=True
    ).agg(pl.col("accuracy").mean(), time=pl.col("latency_s").mean(), queries=pl.len())
    return {"cells": by.to_dicts()}
