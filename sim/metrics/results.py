"""The tables of results: their columns, and the rows of a run until they are written.

``queries`` has one row per query, ``windows`` one per query and window, ``operators`` splits the
latency of each window by operator, ``decisions`` has one row per decision of a planner and per
deployment that a failure ended, ``offers`` one per plan that a planner put on record, and
``profiling`` one per profiling run. Columns that begin with ``true_`` hold what no planner sees.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

Columns = Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]

SCHEMAS: Mapping[str, Mapping[str, type[pl.DataType]]] = {
    "queries": {
        "query": pl.Int64,
        "tier": pl.String,
        "dataset": pl.String,
        "device": pl.String,
        "technology": pl.String,
        "slo_latency_s": pl.Float64,
        "slo_accuracy": pl.Float64,
        "slo_cost_usd_per_hour": pl.Float64,
        "arrival_s": pl.Float64,
        "departure_s": pl.Float64,
        "first_deployed_s": pl.Float64,
        "response_time_s": pl.Float64,
        "censored_after_s": pl.Float64,
        "deployments": pl.Int64,
        "false_acceptances": pl.Int64,
        "planning_s": pl.Float64,
        "profiling_s": pl.Float64,
        "surrogates_s": pl.Float64,
        "profiling_device_s": pl.Float64,
        "requests": pl.Int64,
        "completed": pl.Int64,
        "unserved": pl.Int64,
        "lost": pl.Int64,
        "dropped": pl.Int64,
        "shed": pl.Int64,
        "in_flight": pl.Int64,
        "true_device_factor": pl.Float64,
        "true_access_rtt_s": pl.Float64,
        "true_uplink_mean_bps": pl.Float64,
        "true_best_accuracy": pl.Float64,
    },
    "windows": {
        "query": pl.Int64,
        "tier": pl.String,
        "window": pl.Int64,
        "start_s": pl.Float64,
        "end_s": pl.Float64,
        "active_s": pl.Float64,
        "deployed_s": pl.Float64,
        "met": pl.Boolean,
        "latency_met": pl.Boolean,
        "accuracy_met": pl.Boolean,
        "cost_met": pl.Boolean,
        "repeated": pl.Boolean,
        "final": pl.Boolean,
        "requests": pl.Int64,
        "good": pl.Int64,
        "completed": pl.Int64,
        "unserved": pl.Int64,
        "lost": pl.Int64,
        "dropped": pl.Int64,
        "shed": pl.Int64,
        "latency_mean_s": pl.Float64,
        "latency_p50_s": pl.Float64,
        "latency_p95_s": pl.Float64,
        "latency_p99_s": pl.Float64,
        "slo_latency_s": pl.Float64,
        "accuracy": pl.Float64,
        "cost_usd": pl.Float64,
    },
    "operators": {
        "query": pl.Int64,
        "window": pl.Int64,
        "operator": pl.String,
        "queueing_s": pl.Float64,
        "batching_s": pl.Float64,
        "compute_s": pl.Float64,
        "transfer_s": pl.Float64,
    },
    "decisions": {
        "query": pl.Int64,
        "deployment": pl.Int64,
        "trigger": pl.String,
        "triggered_s": pl.Float64,
        "decided_s": pl.Float64,
        "in_force_s": pl.Float64,
        "outcome": pl.String,
        "reason": pl.String,
        "plan": pl.String,
        "configuration": pl.String,
        "placement": pl.String,
        "list_price_usd_per_hour": pl.Float64,
        "latency_basis": pl.String,
        "charged_s": pl.Float64,
        "waited_s": pl.Float64,
    },
    "offers": {
        "query": pl.Int64,
        "triggered_s": pl.Float64,
        "at_s": pl.Float64,
        "role": pl.String,
        "plan": pl.String,
        "configuration": pl.String,
        "placement": pl.String,
        "list_price_usd_per_hour": pl.Float64,
        "latency_s": pl.Float64,
        "accuracy": pl.Float64,
        "price": pl.Float64,
        "reason": pl.String,
        "true_accuracy": pl.Float64,
    },
    "profiling": {
        "query": pl.Int64,
        "dataset": pl.String,
        "at_s": pl.Float64,
        "configuration": pl.String,
        "samples": pl.Int64,
        "prefix_reused": pl.Int64,
        "charged_s": pl.Float64,
        "device_s": pl.Float64,
        "accuracy_mean": pl.Float64,
        "accuracy_variance": pl.Float64,
        "true_accuracy": pl.Float64,
    },
}


class ResultTables:
    """Rows that a run produced and nobody took yet.

    A table grows row by row or by whole columns, whichever its writer has.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[Mapping[str, Any]]] = {name: [] for name in SCHEMAS}
        self._frames: dict[str, list[pl.DataFrame]] = {name: [] for name in SCHEMAS}

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row; columns that it lacks are null."""
        self._rows[table].append(row)

    def extend(self, table: str, columns: Columns) -> None:
        """Add rows that are given as columns, all of them and equally long."""
        self._gather(table)
        self._frames[table].append(pl.DataFrame(columns, schema=dict(SCHEMAS[table])))

    def take(self) -> dict[str, pl.DataFrame]:
        """Return all rows since the last call as frames, every table included, and forget them."""
        for name in SCHEMAS:
            self._gather(name)
        frames = {name: pl.concat(frames) for name, frames in self._frames.items()}
        self._frames = {name: [] for name in SCHEMAS}
        return frames

    def _gather(self, table: str) -> None:
        """Make a frame of the rows so far, so that what comes next follows them."""
        rows, frames = self._rows[table], self._frames[table]
        if rows or not frames:
            frames.append(pl.DataFrame(rows, schema=dict(SCHEMAS[table])))
            self._rows[table] = []
