"""The optional table of requests, with a row for each ended request and its latency by operator."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scenarios.applications.pipeline import ANSWER
from sim.clock import NS_PER_S
from sim.dataplane.base import request_rows as col
from sim.dataplane.base.interface import COMPLETED, OUTCOMES
from sim.dataplane.base.request_rows import part_columns

REQUESTS = "requests"
"""Name of the table."""

PARTS = ("queueing_s", "batching_s", "compute_s", "transfer_s")
"""The parts of a request's time at an operator, in the order of `part_columns`."""


def request_frame(rows: NDArray[np.int64], operators: Sequence[str]) -> pl.DataFrame:
    """Convert rows of ended requests, of shape (n, width), to a table in the same order.

    Latency and its parts are null for a request that was not completed, because the two data planes
    would give different values.
    """
    values = rows.view(np.float64)
    whole = {"query": col.QUERY, "number": col.NUMBER, "deployment": col.DEPLOYMENT}
    moments = {"arrival_s": col.ARRIVAL, "ended_s": col.ENDED}
    factors = {"size": col.SIZE, "length": col.LENGTH, "allowance": col.ALLOWANCE}
    latency_ns = rows[:, col.ENDED] - rows[:, col.ARRIVAL]
    parts_ns = rows[:, part_columns(len(operators))].T
    names = [*(f"{one}_{part}" for one in operators for part in PARTS), f"{ANSWER}_transfer_s"]
    times_ns = {"latency_s": latency_ns, **dict(zip(names, parts_ns, strict=True))}
    frame = pl.DataFrame(
        {name: rows[:, column] for name, column in whole.items()}
        | {name: rows[:, column] / NS_PER_S for name, column in moments.items()}
        | {name: values[:, column] for name, column in factors.items()}
        | {name: times / NS_PER_S for name, times in times_ns.items()}
        | {"outcome": pl.Series(OUTCOMES, dtype=pl.String).gather(rows[:, col.OUTCOME])}
    )
    completed = pl.col("outcome") == COMPLETED
    return frame.select(
        "query",
        "number",
        "arrival_s",
        "ended_s",
        "outcome",
        pl.when(pl.col("deployment") >= 0).then("deployment"),
        pl.when(completed).then("latency_s"),
        *factors,
        *(pl.when(completed).then(name) for name in names),
    )
