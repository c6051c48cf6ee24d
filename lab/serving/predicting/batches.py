"""The batches that the servers of an observed pipeline executed, and what the engine passed on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from scenarios.applications.pipeline import ANSWER
from scenarios.numerics import Floats, Ints
from sim.dataplane.base.interface import COMPLETED

SPAN = ("started_s", "ended_s")
LEAST_S = 1e-9
"""Shortest duration of a job over which the number of jobs is averaged."""


def batches(requests: pl.DataFrame, operators: Sequence[str]) -> pl.DataFrame:
    """Return one row per batch, from a table of observed requests.

    The columns are ``operator``, ``replica``, ``batch`` (number of requests), ``started_s`` and
    ``ended_s`` on the clock of the observation, ``compute_s``, ``cpu_s`` (null if unknown), and the
    times at which the first and the last of its requests came, ``first_s`` and ``last_s``. Rows are
    sorted by operator, replica and start. Batches of which the service told too little are left
    out.
    """
    completed = requests.filter(outcome=COMPLETED)
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


def passes(requests: pl.DataFrame, operators: Sequence[str]) -> pl.DataFrame:
    """Return one row for each time that the engine passed a request on, or an answer.

    The columns are ``operator`` (or `ANSWER`), ``started_s``, ``ended_s``, ``path_s`` between both,
    and ``queued``. Each path passes one request at a time, so a pass begins when the one before has
    ended; the request was then queued.
    """
    completed = requests.filter(outcome=COMPLETED)
    left, parts = pl.col("arrival_s"), []
    for name in (*operators, ANSWER):
        seen = completed.select(
            operator=pl.lit(name), left_s=left, ended_s=left + pl.col(f"{name}_transfer_s")
        )
        ended = pl.col("ended_s")
        started = pl.max_horizontal("left_s", ended.shift(1)).clip(None, ended)
        parts.append(seen.drop_nulls().sort("ended_s").with_columns(started_s=started))
        if name != ANSWER:
            left = pl.col(f"{name}_started_s") + pl.col(f"{name}_compute_s")
    return pl.concat(parts).select(
        *("operator", "started_s", "ended_s"),
        path_s=pl.col("ended_s") - pl.col("started_s"),
        queued=pl.col("started_s") > pl.col("left_s"),
    )


@dataclass(frozen=True)
class Jobs:
    """How many jobs a host had: batches in service, and requests that the engine was passing on.

    Args:
        at_s: times at which the number changed, ascending; shape (n,).
        number: the number from each of these times on; shape (n,).
    """

    at_s: Floats
    number: Ints

    @classmethod
    def of(cls, *tables: pl.DataFrame) -> "Jobs":
        """Return the jobs of tables with the columns ``started_s`` and ``ended_s``."""
        started_s, ended_s = _spans(pl.concat(each.select(SPAN) for each in tables))
        at_s = np.concatenate([started_s, ended_s])
        change = np.repeat([1, -1], len(started_s))
        order = np.lexsort((change, at_s))  # At one time, jobs end before others start.
        return cls(at_s[order], np.cumsum(change[order]))

    def shares(self, table: pl.DataFrame) -> Floats:
        """Return for which share of each row's time there were 1, 2, ... jobs; shape (rows, most).

        The row is a job itself, so that the shares add up to 1.
        """
        started_s, ended_s = _spans(table)
        steps_s = np.diff(self.at_s)
        shares = np.zeros((len(started_s), max(1, int(self.number.max(initial=1)))))
        for number in range(1, shares.shape[1] + 1):
            # The time for which there were this many jobs, up to each start or end.
            present = (self.number[:-1] == number) * steps_s
            integral = np.concatenate([[0.0], np.cumsum(present)])
            shares[:, number - 1] = np.interp(ended_s, self.at_s, integral) - np.interp(
                started_s, self.at_s, integral
            )
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), LEAST_S)
        return shares

    def at_start(self, table: pl.DataFrame) -> Ints:
        """Return how many jobs there were just after each row's start, itself included."""
        started_s, _ = _spans(table)
        place = np.searchsorted(self.at_s, started_s, side="right") - 1
        return np.maximum(1, self.number[np.maximum(place, 0)])


def _spans(table: pl.DataFrame) -> tuple[Floats, Floats]:
    # In whole ns: the sum of a start and a duration can be later than the next start by rounding.
    started_s, ended_s = (table[name].round(9).to_numpy() for name in SPAN)
    return started_s, np.maximum(ended_s, started_s + LEAST_S)


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
