"""The tables that compiled code works on: their columns, and how they grow.

All are arrays of int64; a column that holds a float is read through a view of the same memory.
Lists of requests are chained through their rows: a stop knows the first and the last of each, and
``NEXT`` leads from row to row. A request is in one list at a time.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NONE = -1

# Columns of stops: stations, links, and the sink, where requests that are done await the cut. What
# is read of a stop for each request that passes comes first, to lie in one line of a cache.
(
    INLINE,  # whether its arrivals come in order from one place, so that none must be awaited
    KIND,
    FREE_AT,  # when the link, or the only server, is free again
    RATE,  # its rate, if that never changes; else 0
    PROPAGATION,
    SLOWDOWN,  # a float
    BUSY,  # nanoseconds of service begun, summed over servers
    Q_HEAD,  # those that wait to be served, in order
    FAILED,
    IN_HEAD,  # arrivals that it did not take in yet
    IN_TAIL,
    IN_ORDER,  # whether they are in order
    S_HEAD,  # those in service beyond the last cut
    S_TAIL,
    Q_TAIL,
    Q_COUNT,
    STEPS_AT,  # where its rates begin in ``steps``
    STEPS,  # how many steps they have
    STEP,  # the step in which it began something last
    SERVERS,
    SERVERS_AT,  # where the heap of its servers' free times begins in ``servers``
    MAX_BATCH,
    MAX_WAIT,
    CAPACITY,
    FACTOR_AT,  # where its batch factors begin in ``factors``
    ENGINE,  # row of its first engine, of a language model
) = range(26)
STOP_COLUMNS = 32

# Kinds of stops.
SINK, LINK, STATION, BOUNDED, GENERATION = range(5)

# Columns of visits; each route is a run of rows that ends in one with stop NONE.
V_STOP, V_OPERATOR, V_MEAN, V_TOKENS, VISIT_COLUMNS = range(5)

# Columns of tokens, of visits to language models.
T_PROMPT, T_OUTPUT, T_SEQUENCES, TOKEN_COLUMNS = range(4)

# Columns of sources.
(
    S_QUERY,
    S_POSITION,  # of the next birth in the buffer
    S_COUNT,  # births in the buffer
    S_NUMBER,  # number of the first birth in the buffer
    S_LAST,  # time of the last birth in the buffer
    S_CLOSE,  # no birth at this time or later
    S_EXHAUSTED,  # whether no more births will come
    S_SEGMENT,  # the segment in force
    SOURCE_COLUMNS,
) = range(9)

# Columns of segments: from a time on, births of a source follow a route.
G_AT, G_VISIT, G_DEPLOYMENT, G_STRIDE, G_NEXT, SEGMENT_COLUMNS = range(6)

# Counts.
FREE, OUT, BORN, ENDED_COUNT, COUNTS = range(5)


class Tables(NamedTuple):
    """What compiled code works on.

    Args:
        rows: requests, see ``sim.request_rows``.
        rows_f: the same memory as floats.
        stops: stops.
        stops_f: the same memory as floats.
        visits: visits of all routes.
        visits_f: the same memory as floats.
        steps: rates of stops in time.
        servers: free times of the servers of stations that have several, a heap each.
        factors: batch factors of stations.
        flights: requests under way, by deployment.
        free: rows that are free, as a stack.
        out: rows that leave a stop before the cut, in the order in which they do.
        born: rows born since they were last told.
        ended: rows that ended since.
        counts: how many of the above.
        keys: room to sort times in, twice.
        slots: room to sort rows in, twice.
    """

    rows: Ints
    rows_f: Floats
    stops: Ints
    stops_f: Floats
    visits: Ints
    visits_f: Floats
    steps: Ints
    servers: Ints
    factors: Floats
    flights: Ints
    free: Ints
    out: Ints
    born: Ints
    ended: Ints
    counts: Ints
    keys: Ints
    slots: Ints


class Sources(NamedTuple):
    """Where requests are born.

    Args:
        state: the sources.
        active: those that may still give birth.
        segments: routes in time, chained by ``G_NEXT``.
        arrivals: births that are drawn, by source, shape (sources, room).
        size: size of each over the mean, likewise; empty if all are 1.
        length: length of output over the mean, likewise.
        allowance: allowance, likewise.
        variability: factors on service times, shape (sources, operators, room); empty if all are 1.
    """

    state: Ints
    active: Ints
    segments: Ints
    arrivals: Ints
    size: Floats
    length: Floats
    allowance: Floats
    variability: Floats


def aligned(rows: int, columns: int) -> Ints:
    """Return a table of zeros that begins with a line of a cache."""
    memory = np.zeros(rows * columns + 8, dtype=np.int64)
    skip = -memory.ctypes.data % 64 // 8
    return memory[skip : skip + rows * columns].reshape(rows, columns)


class Table:
    """Rows that come and go, in an array that grows.

    Args:
        columns: how many columns a row has.
    """

    def __init__(self, columns: int) -> None:
        self.rows: Ints = aligned(16, columns)
        self.count = 0
        self._free: list[int] = []

    def take(self) -> int:
        """Return a row that is free."""
        return self._free.pop() if self._free else self.append()

    def append(self) -> int:
        """Return the row behind all others."""
        if self.count == len(self.rows):
            larger = aligned(2 * len(self.rows), self.rows.shape[1])
            larger[: self.count] = self.rows
            self.rows = larger
        self.count += 1
        return self.count - 1

    def give_back(self, row: int) -> None:
        """Free a row."""
        self._free.append(row)


class Pool:
    """Runs of values that come and go, in an array that grows.

    Args:
        dtype: of the values.
    """

    def __init__(self, dtype: type) -> None:
        self.array: np.ndarray = np.zeros(64, dtype=dtype)
        self._count = 0
        self._lengths: dict[int, int] = {}
        self._free: dict[int, list[int]] = {}

    def put(self, values: np.ndarray) -> int:
        """Store values; return where they begin."""
        n = len(values)
        if self._free.get(n):
            at = self._free[n].pop()
        else:
            at = self._count
            self._count += n
            while self._count > len(self.array):
                self.array = np.concatenate((self.array, np.zeros_like(self.array)))
        self.array[at : at + n] = values
        self._lengths[at] = n
        return at

    def give_back(self, at: int) -> None:
        """Free the values that begin somewhere."""
        self._free.setdefault(self._lengths.pop(int(at)), []).append(int(at))
