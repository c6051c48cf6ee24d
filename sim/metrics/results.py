"""The result tables: their columns, and the rows of a run that are not written yet.

Table ``queries`` has one row per query, and ``windows`` has one row per query and window. Table
``operators`` has the latency of each window by operator. Table ``decisions`` has one row per
decision of a planner, and one per deployment that a failure ended. Table ``offers`` has one row per
plan that a planner logged, and ``profiling`` has one row per profiling run. Table ``machines`` has
one row per rental of a machine, and ``allocations`` has one per slot of a machine and deployment
that held it. Planners do not see the columns whose names begin with ``true_``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

Columns = Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]

COLUMNS = {
    "queries": """
        query tier dataset device technology slo_latency_s slo_accuracy
        slo_cost_usd_per_hour arrival_s departure_s first_deployed_s response_time_s
        censored_after_s deployments false_acceptances planning_s profiling_s
        surrogates_s profiling_device_s profiling_cost_usd egress_usd requests completed
        unserved lost dropped shed in_flight true_device_factor true_access_rtt_s
        true_uplink_mean_bps true_best_accuracy true_accuracy
    """,
    "windows": """
        query tier window start_s end_s active_s deployed_s met latency_met accuracy_met
        cost_met repeated final requests good completed unserved lost dropped shed
        latency_mean_s latency_p50_s latency_p95_s latency_p99_s slo_latency_s accuracy
        cost_usd
    """,
    "operators": """
        query window operator queueing_s batching_s compute_s transfer_s
    """,
    "decisions": """
        query deployment trigger triggered_s decided_s in_force_s outcome reason plan
        configuration placement list_price_usd_per_hour latency_basis charged_s waited_s
        true_accuracy
    """,
    "offers": """
        query triggered_s at_s role plan configuration placement list_price_usd_per_hour
        latency_s accuracy price reason true_accuracy
    """,
    "profiling": """
        query dataset at_s configuration samples prefix_reused charged_s device_s
        cost_usd accuracy_mean accuracy_variance true_accuracy
    """,
    "machines": """
        node machine tier type region purchase standby cores gpus gpu_model
        price_usd_per_hour core_price_usd_per_hour gpu_price_usd_per_hour from_s ready_s
        used_until_s to_s ended
    """,
    "allocations": """
        query deployment operator station replica node machine card first_slice profile
        thread_percent price_usd_per_hour declared_load from_s ready_s drained_from_s to_s
        ended
    """,
}
"""Columns of each table, in order."""

TYPES = {
    pl.String: """
        tier dataset device technology operator trigger outcome reason plan configuration
        placement latency_basis role node type region purchase gpu_model profile ended
    """,
    pl.Int64: """
        query deployments false_acceptances requests completed unserved lost dropped shed
        in_flight window good deployment samples prefix_reused machine cores gpus station
        replica card first_slice thread_percent
    """,
    pl.Boolean: "met latency_met accuracy_met cost_met repeated final standby",
}
"""Columns by type, the same in every table; all other columns are floats."""

KINDS = {name: kind for kind, names in TYPES.items() for name in names.split()}
SCHEMAS: Mapping[str, Mapping[str, type[pl.DataType]]] = {
    table: {name: KINDS.get(name, pl.Float64) for name in names.split()}
    for table, names in COLUMNS.items()
}


class ResultTables:
    """The rows of a run that `take` has not returned yet."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Mapping[str, Any]]] = {name: [] for name in SCHEMAS}
        self._frames: dict[str, list[pl.DataFrame]] = {name: [] for name in SCHEMAS}

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row; columns that the row lacks are null."""
        self._rows[table].append(row)

    def extend(self, table: str, columns: Columns) -> None:
        """Add rows, given as columns of equal length; every column of the table is required."""
        self._gather(table)
        self._frames[table].append(pl.DataFrame(columns, schema=dict(SCHEMAS[table])))

    def take(self) -> dict[str, pl.DataFrame]:
        """Remove all rows added since the last call, and return them as one frame per table."""
        for name in SCHEMAS:
            self._gather(name)
        frames = {name: pl.concat(frames) for name, frames in self._frames.items()}
        self._frames = {name: [] for name in SCHEMAS}
        return frames

    def _gather(self, table: str) -> None:
        rows, frames = self._rows[table], self._frames[table]
        if rows or not frames:
            frames.append(pl.DataFrame(rows, schema=dict(SCHEMAS[table])))
            self._rows[table] = []
