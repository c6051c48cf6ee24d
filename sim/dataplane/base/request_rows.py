"""Requests as rows of one int64 array, the format in which data planes report them.

A row consists of cache lines of 8 columns each: one line that all stops use, and one for each
operator. Columns without a name are 0. Columns of floats are read by ``rows.view(np.float64)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import compiled
from sim._jit.hints import LINE
from sim.dataplane.base.interface import IN_FLIGHT, OUTCOMES

QUERY = 0  # id of the query
NUMBER = 1  # number of the request within its query, from 0
ARRIVAL = 2  # time of the request's creation, in nanoseconds
DEPLOYMENT = 3  # deployment that the request has kept since its birth, or -1 for none
VISIT = 4  # private to a data plane
OUTCOME = 5  # index into ``OUTCOMES``, once the request has ended
ENDED = 6  # time of the request's end, in ns; the horizon for a request in flight
SIZE = 7  # float: the request's size divided by the mean size

# Columns relative to an operator's first one; see ``line_of``. ``PARTS`` of them are consecutive.
VARIABILITY = 0  # float: a factor of the request's service time at this operator
QUEUEING = 1  # time of waiting while all servers were busy; in ns, like all below
BATCHING = 2  # time of waiting for a batch to fill
COMPUTE = 3  # time of service
TRANSFER = 4  # time on links towards this operator
PARTS = TRANSFER + 1 - QUEUEING
"""Number of parts of a request's time at an operator, from ``QUEUEING`` to ``TRANSFER``."""

# In the unused columns of the first operator's line, because few stops read them.
LENGTH = LINE + TRANSFER + 1  # float: the length of its output divided by the mean length
ALLOWANCE = LENGTH + 1  # float: factor of its latency bound, see ``RequestBlock``
ANSWER = LENGTH + 2  # time of the answer on links


@compiled
def line_of(operator: int) -> int:
    """Return the first column of the operator with this number in the pipeline."""
    return LINE * (1 + operator)


@compiled
def width(operators: int) -> int:
    """Return the number of columns of a row for this number of operators."""
    return LINE * (1 + operators)


@compiled
def operators_of(width: int) -> int:
    """Return the number of operators for which rows have this width; the inverse of ``width``."""
    return width // LINE - 1


def variability_columns(operators: int) -> NDArray[np.int64]:
    """Return the ``VARIABILITY`` columns of all operators."""
    return np.array([line_of(operator) + VARIABILITY for operator in range(operators)])


def part_columns(operators: int) -> NDArray[np.int64]:
    """Return the columns of latency parts: first those of each operator, then ``ANSWER``."""
    parts = [line_of(one) + QUEUEING + part for one in range(operators) for part in range(PARTS)]
    return np.array([*parts, ANSWER])


@dataclass(slots=True, eq=False)
class RequestRecord:
    """A request as plain values."""

    query: int  # id of its query
    number: int  # its number within the query
    arrival_ns: int  # time of its creation
    size: float  # its size divided by the mean size
    length: float  # the length of its output divided by the mean length
    allowance: float  # factor of its latency bound, see ``RequestBlock``
    variability: list[float]  # factor of its service time at each operator
    queueing_ns: list[int]  # time of waiting for busy servers at each operator
    batching_ns: list[int]  # time of waiting for a batch to fill at each operator
    compute_ns: list[int]  # time of service at each operator
    transfer_ns: list[int]  # time on links towards each operator; last, that of the answer
    deployment: int | None = None  # deployment that it has kept since its birth, or None
    outcome: str = IN_FLIGHT  # one of ``OUTCOMES``
    ended_ns: int = 0  # time of its end; the horizon for a request in flight


def rows_of(requests: Sequence[RequestRecord]) -> NDArray[np.int64]:
    """Return requests of one application as rows, of shape (n, width)."""
    operators = len(requests[0].variability)
    rows = np.zeros((len(requests), width(operators)), np.int64)
    values, parts = rows.view(np.float64), part_columns(operators)
    factors = [SIZE, LENGTH, ALLOWANCE, *variability_columns(operators)]
    for row, each in enumerate(requests):
        rows[row, QUERY : ENDED + 1] = (
            each.query,
            each.number,
            each.arrival_ns,
            -1 if each.deployment is None else each.deployment,
            0,  # VISIT, which only other data planes use
            OUTCOMES.index(each.outcome),
            each.ended_ns,
        )
        values[row, factors] = (each.size, each.length, each.allowance, *each.variability)
        served_ns = each.queueing_ns, each.batching_ns, each.compute_ns
        times_ns = zip(*served_ns, each.transfer_ns[:-1], strict=True)
        rows[row, parts] = [*chain.from_iterable(times_ns), each.transfer_ns[-1]]
    return rows


def records(rows: NDArray[np.int64], which: NDArray[np.int64]) -> list[RequestRecord]:
    """Return, as plain values, the requests in the rows with the indices ``which``."""
    operators = operators_of(rows.shape[1])
    columns = part_columns(operators)
    found = []
    for row in rows[which]:
        values, parts = row.view(np.float64), row[columns].tolist()
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
                variability=values[variability_columns(operators)].tolist(),
                queueing_ns=parts[:-1:PARTS],
                batching_ns=parts[1::PARTS],
                compute_ns=parts[2::PARTS],
                transfer_ns=[*parts[3::PARTS], parts[-1]],
            )
        )
    return found
