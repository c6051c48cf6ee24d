"""The batches that the servers of an observed pipeline executed."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from scenarios.numerics import Floats, Ints

LEAST_S = 1e-9
"""Shortest duration of a batch over which busy servers are averaged."""


def batches(requests: pl.DataFrame, operators: Sequence[str]) -> pl.DataFrame:
    """Return one row per batch, from a table of observed requests.

    The columns are ``operator``, ``replica``, ``batch`` (number of requests), ``started_s`` and
    ``ended_s`` on the clock of the observation, ``compute_s``, ``cpu_s`` (null if unknown), and the
    times at which the first and the last of its requests came, ``first_s`` and ``last_s``. Rows are
    sorted by operator, replica and start. Batches of which the service told too little are left
    out.
    """
    completed = requests.filter(pl.col("outcome") == "completed")
    parts = []
    for operator in operators:
        started, cpu = pl.col(f"{operator}_started_s"), f"{operator}_cpu_s"
        waited = pl.sum_horizontal(f"{operator}_queueing_s", f"{operator}_batching_s")
        members = completed.select(
            operator=pl.lit(operator),
            # Without a name, all replicas count as one, and each request as a batch.
            replica=pl.col(f"{operator}_replica").fill_null(0),
            batch=pl.col(f"{operator}_batch").fill_null(1),
            started_s=started,
            compute_s=f"{operator}_compute_s",
            cpu_s=cpu if cpu in completed.columns else pl.lit(None, pl.Float64),
            came_s=started - waited,
        ).drop_nulls(["started_s", "compute_s"])
        same = ("operator", "replica", "started_s")
        came = pl.col("came_s")
        parts.append(
            members.group_by(same).agg(
                pl.col("batch", "compute_s", "cpu_s").first(),
                first_s=came.min(),
                last_s=came.max(),
            )
        )
    return (
        pl.concat(parts)
        .with_columns(ended_s=pl.col("started_s") + pl.col("compute_s"))
        .sort("operator", "replica", "started_s")
    )


def busy_shares(table: pl.DataFrame) -> Floats:
    """Return for which share of a batch's time 1, 2, ... servers were busy; shape (batches, most).

    The batch's own server counts, so that the rows add up to 1.
    """
    # In whole ns: the sum of a start and a duration can be later than the next start by rounding.
    started_s, ended_s = (table[name].round(9).to_numpy() for name in ("started_s", "ended_s"))
    ended_s = np.maximum(ended_s, started_s + LEAST_S)
    at_s = np.concatenate([started_s, ended_s])
    change = np.repeat([1, -1], len(started_s))
    order = np.lexsort((change, at_s))  # At one time, batches end before others start.
    at_s, busy = at_s[order], np.cumsum(change[order])
    steps_s = np.diff(at_s)
    shares = np.zeros((len(started_s), max(1, int(busy.max(initial=1)))))
    for number in range(1, shares.shape[1] + 1):
        # The time for which this many servers were busy, up to each start or end.
        integral = np.concatenate([[0.0], np.cumsum((busy[:-1] == number) * steps_s)])
        shares[:, number - 1] = np.interp(ended_s, at_s, integral) - np.interp(
            started_s, at_s, integral
        )
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), LEAST_S)
    return shares


def busy_at(table: pl.DataFrame, at_s: Floats) -> Ints:
    """Return how many servers were busy with batches at some times, before one starts then."""
    started_s, ended_s = (
        np.sort(table[name].round(9).to_numpy()) for name in ("started_s", "ended_s")
    )
    at_s = np.round(at_s, 9)
    starts = np.searchsorted(started_s, at_s, side="left")
    busy: Ints = starts - np.searchsorted(ended_s, at_s, side="right")
    return np.maximum(0, busy)


def stolen(table: pl.DataFrame, noise: pl.DataFrame) -> Floats:
    """Return by which factor stolen time stretched each batch, according to the second it ended in.

    If other guests of the host take a share s of the time of all cores, while a share b is used,
    then what runs takes (b + s) / b as long.
    """
    known = noise.drop_nulls(["t_s", "steal_share", "busy_share"]).filter(pl.col("busy_share") > 0)
    if known.is_empty():
        return np.ones(table.height)
    known = known.sort("t_s")
    stretch = 1 + known["steal_share"].to_numpy() / known["busy_share"].to_numpy()
    at = np.searchsorted(known["t_s"].to_numpy(), table["ended_s"].to_numpy())
    found: Floats = stretch[np.minimum(at, len(stretch) - 1)]
    return found
