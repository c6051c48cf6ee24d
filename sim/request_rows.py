"""How requests are laid out as rows of one int64 array, in which data planes tell of them.

Float columns are the same memory seen as float64: ``rows.view(np.float64)``. After the columns
named below come the parts of a request's time, one entry per operator of the application each:
``variability`` (float, a factor on its service time), ``queueing``, ``batching`` and ``compute``
(nanoseconds), and ``transfer`` (nanoseconds), whose additional last entry is the answer's way back.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import compiled
from sim.data_plane import OUTCOMES

QUERY = 0
"""Id of the query."""
NUMBER = 1
"""Number of the request within its query, from 0."""
ARRIVAL = 2
"""Birth, in nanoseconds."""
DEPLOYMENT = 3
"""Deployment that the request has kept since its birth, or -1 for none."""
VISIT = 4
"""Private to a data plane."""
OUTCOME = 5
"""Index into ``OUTCOMES``, once the request has ended."""
ENDED = 6
"""When the request ended, in nanoseconds; for one in flight, the horizon."""
SIZE = 7
"""Float: its size over the mean."""
LENGTH = 8
"""Float: the length of its output over the mean."""
ALLOWANCE = 9
"""Float: how many times the latency bound it may take, see ``RequestBlock``."""
PARTS = 10
"""The first column of ``variability``."""


@compiled
def queueing_at(operators: int) -> int:
    """Return the first column of ``queueing``: waiting while all servers were busy."""
    return PARTS + operators


@compiled
def batching_at(operators: int) -> int:
    """Return the first column of ``batching``: waiting for a batch to fill."""
    return PARTS + 2 * operators


@compiled
def compute_at(operators: int) -> int:
    """Return the first column of ``compute``: being served."""
    return PARTS + 3 * operators


@compiled
def transfer_at(operators: int) -> int:
    """Return the first column of ``transfer``: on links towards each operator, and back."""
    return PARTS + 4 * operators


@compiled
def width(operators: int) -> int:
    """Return how many columns a row has."""
    return PARTS + 5 * operators + 1


@compiled
def operators_of(width: int) -> int:
    """Return for how many operators a row has columns, the inverse of ``width``."""
    return (width - PARTS - 1) // 5


@dataclass(frozen=True, eq=False)
class RequestRecord:
    """One row as plain values.

    Args:
        query: id of its query.
        number: its number within the query.
        arrival_ns: its birth.
        deployment: deployment that it has kept since its birth, or None.
        outcome: one of ``OUTCOMES``; of one that has not ended, without meaning.
        ended_ns: when it ended; for one in flight, the horizon.
        size: its size over the mean.
        length: the length of its output over the mean.
        allowance: how many times the latency bound it may take, see ``RequestBlock``.
        variability: per operator, a factor on its service time.
        queueing_ns: per operator, waiting while all servers were busy.
        batching_ns: per operator, waiting for a batch to fill.
        compute_ns: per operator, being served.
        transfer_ns: per operator, on links towards it, and last on those of the answer.
    """

    query: int
    number: int
    arrival_ns: int
    deployment: int | None
    outcome: str
    ended_ns: int
    size: float
    length: float
    allowance: float
    variability: list[float]
    queueing_ns: list[int]
    batching_ns: list[int]
    compute_ns: list[int]
    transfer_ns: list[int]


def records(rows: NDArray[np.int64], which: NDArray[np.int64]) -> list[RequestRecord]:
    """Return some rows as plain values, for whoever looks at requests one by one.

    Args:
        rows: requests, shape (n, width).
        which: indexes of rows, for example of those that ended.
    """
    operators = (rows.shape[1] - width(0)) // 5
    parts = [each(operators) for each in (queueing_at, batching_at, compute_at, transfer_at, width)]
    found = []
    for row in rows[which]:
        values = row.view(np.float64)
        times = [row[a:b].tolist() for a, b in pairwise(parts)]
        found.append(
            RequestRecord(
                query=int(row[QUERY]),
                number=int(row[NUMBER]),
                arrival_ns=int(row[ARRIVAL]),
                deployment=None if row[DEPLOYMENT] < 0 else int(row[DEPLOYMENT]),
                outcome=OUTCOMES[row[OUTCOME]],
                ended_ns=int(row[ENDED]),
                size=float(values[SIZE]),
                length=float(values[LENGTH]),
                allowance=float(values[ALLOWANCE]),
                variability=values[PARTS : queueing_at(operators)].tolist(),
                queueing_ns=times[0],
                batching_ns=times[1],
                compute_ns=times[2],
                transfer_ns=times[3],
            )
        )
    return found
