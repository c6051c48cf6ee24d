"""The batches that the servers of an observed pipeline executed."""

from collections.abc import Sequence

import numpy as np
import polars as pl

LEAST_S = 1e-9
"""Shortest duration of a batch over which busy servers are averaged."""


def batches(requests: pl.DataFrame, operators: Sequence[str]) -> pl.DataFrame:
    """Return one row per batch, from a table of observed requests.

    The columns are ``operator``, ``replica``, ``batch`` (number of requests), ``started_s`` and
    ``ended_s`` on the clock of the observation, ``compute_s``, ``ready_s`` (when the first of its
    requests left the previous stage), and ``path_s`` (the shortest time from there to this stage,
    over its requests). Rows are sorted by operator, replica and start.
    """
    completed = requests.filter(pl.col("outcome") == "completed")
    parts = []
    left = pl.col("sent_s")  # when a request left the previous stage
    for operator in operators:
        started, compute = pl.col(f"{operator}_started_s"), pl.col(f"{operator}_compute_s")
        members = completed.select(
            operator=pl.lit(operator),
            replica=f"{operator}_replica",
            batch=f"{operator}_batch",
            started_s=started,
            compute_s=compute,
            ready_s=left,
            path_s=f"{operator}_transfer_s",
        ).drop_nulls("started_s")  # a request that skipped the operator, or did not tell
        same = ("operator", "replica", "started_s")
        shared, least = pl.col("batch", "compute_s"), pl.col("ready_s", "path_s")
        parts.append(members.group_by(same).agg(shared.first(), least.min()))
        left = pl.coalesce(started + compute, left)
    return (
        pl.concat(parts)
        .with_columns(ended_s=pl.col("started_s") + pl.col("compute_s"))
        .sort("operator", "replica", "started_s")
    )


def with_busy_servers(table: pl.DataFrame) -> pl.DataFrame:
    """Add the column ``busy``: how many servers were at work during a batch, on average.

    The batch's own server counts. The average is over the time of the batch.
    """
    started_s, ended_s = table["started_s"].to_numpy(), table["ended_s"].to_numpy()
    at_s = np.concatenate([started_s, ended_s])
    change = np.repeat([1, -1], len(started_s))
    order = np.argsort(at_s, kind="stable")
    at_s, busy = at_s[order], np.cumsum(change[order])
    # The integral of the number of busy servers, up to each start or end.
    integral = np.concatenate([[0.0], np.cumsum(busy[:-1] * np.diff(at_s))])
    over = np.interp(ended_s, at_s, integral) - np.interp(started_s, at_s, integral)
    return table.with_columns(busy=over / np.maximum(ended_s - started_s, LEAST_S))
