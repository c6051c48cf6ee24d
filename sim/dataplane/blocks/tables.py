"""The tables of the compiled code, with their columns and the pools that let them grow.

All tables are arrays of int64; floats are read by a view of the same memory. Lists of requests are
linked: a stop stores the first and the last row of each list, and ``PlaneTables.chain`` has, for
each row, the next row of its list. A row is in one list at a time. The chain and the times are
separate arrays, which are small enough for the processor's caches.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scenarios.numerics import Floats, Ints
from sim._jit.id_pool import aligned, grown
from sim._jit.radix import MOST_BITS
from sim.dataplane.base.interface import OUTCOMES
from sim.dataplane.base.request_rows import width

NONE = -1
SINK_STOP = 0  # where finished requests wait for the sync point

ONE_BITS = int(np.float64(1.0).view(np.int64))
"""The bits of a factor of 1. Births copy bits, so times and factors share an array."""

IS_COMPLETED, IS_UNSERVED, IS_LOST, IS_DROPPED, IS_SHED, IS_IN_FLIGHT = range(len(OUTCOMES))
"""Outcomes as stored in rows."""

RecordArray = NDArray[np.void]


def _record(size: int, **fields: type) -> np.dtype[np.void]:
    """Return a record type with these fields of 8 bytes each, padded to ``size`` bytes."""
    return np.dtype(
        {
            "names": list(fields),
            "formats": list(fields.values()),
            "offsets": [8 * i for i in range(len(fields))],
            "itemsize": size,
        }
    )


INT, FLOAT = np.int64, np.float64

# The fields that every passing request reads come first, in one cache line. Those that keep
# requests at an inline stop until the next block are in the next line.
STOP = _record(
    256,
    inline=INT,  # its kind, if arrivals come in order from one place
    failed=INT,
    # the time at which the link, or the only server, is free again; at a shared link, the time up
    # to which its counter counts
    free_ns=INT,
    steady=INT,  # whether it works at nominal speed throughout, without a slowdown
    rate=INT,  # the present rate
    rate_until_ns=INT,  # the time at which its rate changes
    propagation_ns=INT,
    # busy time of the services begun so far, summed over servers; at a shared link, its counter
    busy_ns=INT,
    kind=INT,
    place=INT,  # index of an inline stop in ``Order.inline``
    waiting_first=INT,  # the list of waiting requests, in order
    arriving_first=INT,  # the list of arrivals that have not been handled yet
    arriving_last=INT,
    in_order=INT,  # whether the arrivals are in order
    serving_first=INT,  # requests in service beyond the last sync point
    serving_last=INT,
    waiting_last=INT,
    waiting=INT,  # number of waiting requests
    steps_at=INT,  # the index in ``steps`` at which its rates begin
    steps=INT,  # number of steps of its rates
    step=INT,  # index of the present step
    servers=INT,
    servers_at=INT,  # the index in ``servers`` at which the heap of free times begins
    max_batch=INT,
    max_wait_ns=INT,
    discipline=INT,  # index into ``DISCIPLINES``
    shed_late=INT,  # whether it sheds late requests
    capacity=INT,
    factors_at=INT,  # the index in ``factors`` at which its batch factors begin
    averaged=INT,  # whether these factors multiply the time of a batch's average member
    model=INT,  # the language model that it serves
    slowdown=FLOAT,
)
"""A stop: a station, a link, a fork or join of one route, or the sink, where finished requests wait
for the sync point. The steps of a fork are the visits at which its branches begin; the steps of a
join are the next visit and the number of branches."""

# Kinds of stops.
SINK, LINK, STATION, RANKED, GENERATION, FORK, JOIN, SHARED_LINK = range(8)

VISIT = _record(
    32,
    stop=INT,
    column=INT,  # of rows: at a station, the first of the operator's; at a link, that of transfer
    mean=FLOAT,  # at a language model, the number of its row of tokens
    fixed_share=FLOAT,  # at a station, the share of the mean that does not scale with size
)
"""A visit. Each leg of a route is a sequence of visits that ends at a fork or join; the last leg
ends at a visit whose stop is NONE."""

SPAN = _record(
    32,
    first=INT,  # the first of its visits
    length=INT,  # number of its visits; 0 for a span that is no longer in use
    gate=INT,  # the fork or join before it, or NONE after a source
    query=INT,
)
"""Consecutive visits of a query's route. The last span of a route is left out, because no stop
follows it."""

TERMS = _record(16, bound_ns=INT, priority=INT)
"""The latency bound and the priority of a deployment's requests; see ``Route``."""

TOKENS = _record(24, prompt=FLOAT, output=FLOAT, sequences=INT)
"""The tokens of a visit to a language model."""

MODEL = _record(
    64,
    prefill_fixed_ns=INT,
    prefill_ns_per_token=FLOAT,
    prefill_ns_per_token2=FLOAT,
    decode_at=INT,  # where the times of a decoding step begin in ``steps``, by active sequences
    most=INT,  # largest number of active sequences
    kv_tokens=INT,
    engines_at=INT,  # the first of its engines
)
"""The way in which a language model generates tokens; see ``Iterations``."""

ENGINE = _record(
    64,
    active_first=INT,  # the list of requests for which it generates tokens
    joining_first=INT,  # the list of requests that it admits at the next boundary
    sequences=INT,  # number of sequences of the requests in both lists
    kv_tokens=INT,  # tokens of memory reserved by the requests in both lists
    began_ns=INT,  # the time at which the present run began
    step_ns=INT,
    steps=INT,  # iterations of the present run; 0 between runs
)
"""A replica of a language model."""

JOB = _record(40, prompt=INT, left=INT, sequences=INT, kv_tokens=INT, admitted_ns=INT)
"""A request at a language model; it has the same number as the request's row. Of a message on a
shared link, ``left`` is the link's counter at its end."""

GHOST = -2
"""Outcome of a row that only an engine or a shared link still needs."""

BRANCH = _record(
    32,
    home=INT,  # row in which its request was created; NONE while it is the only one
    held=INT,  # in a home: the first of the request's rows that wait at joins
    live=INT,  # in a home: the number of rows of the request
    failure=INT,  # its outcome so far; IS_COMPLETED until one fails
)
"""A request that can fork, or a branch of it; it has the same number as the request's row."""

SOURCE = _record(
    64,
    query=INT,
    position=INT,  # position of the next birth in the buffer
    count=INT,  # number of births in the buffer
    number=INT,  # number of the first birth in the buffer
    close_ns=INT,  # the time from which on there are no births
    segment=INT,  # the current segment
)
"""The source of a query's requests."""

SEGMENT = _record(32, at_ns=INT, visit=INT, deployment=INT, next=INT)
"""The route of a source's births from a certain time on."""

LEAST = 16_384
"""Initial number of rows: enough for a whole block in most runs."""

# Counts.
FREE, OUT, BORN, ENDED_COUNT, SETTLED, COUNTS = range(6)


class PlaneTables(NamedTuple):
    """The tables on which compiled code works."""

    rows: Ints  # requests, see ``sim.dataplane.base.request_rows``
    rows_f: Floats  # the same memory as floats
    # by row, the time at which it reaches its next stop or leaves the server
    times: Ints
    chain: Ints  # the row that follows it in a list, by row
    stops: RecordArray  # stops
    stop_lines: Ints  # the same memory, of shape (stops, 32)
    visits: RecordArray  # visits of all routes
    tokens: RecordArray  # tokens of visits to language models
    models: RecordArray  # language models at stations
    engines: RecordArray
    jobs: RecordArray  # data of requests at language models, by row
    branches: RecordArray  # data of forked requests, by row; empty if no route forks
    steps: Ints  # rates of stops over time
    servers: Ints  # times at which servers become free: a heap for each multi-server station
    factors: Floats  # batch factors of stations
    flights: Ints  # requests under way, by deployment
    terms: RecordArray  # latency bound and priority of requests, by deployment
    free: Ints  # rows that are free, as a stack
    out: Ints  # rows that leave a stop before the sync point, in that order
    messages: Ints  # scratch space for messages on a link, by row, of shape (rows, 2)
    born: Ints  # rows of requests created since the last report
    ended: Ints  # rows that ended since the last report
    counts: Ints  # sizes of the above; SETTLED of ``ended`` are certainly ends of requests
    # Scratch space: a half for a stop's arrivals, in order, and one for sorts, batches and heaps.
    keys: Ints  # times; the counts of sorts follow
    row_ids: Ints  # rows


class Order(NamedTuple):
    """The stops on all routes, in an order in which each route visits them."""

    inline: Ints  # the inline stops; see ``sim.dataplane.blocks.order``
    others: Ints  # the stops that must wait for all arrivals before a sync point
    due_ns: Ints  # the time at which each inline stop continues; NEVER if it has no requests
    due: Ints  # scratch space for as many indices


class Sources(NamedTuple):
    """The sources of requests."""

    state: RecordArray  # the sources
    next_ns: Ints  # time of each source's next birth if it has been drawn, else NEVER
    active: Ints  # the sources that can still create requests
    segments: RecordArray  # the routes over time, chained by ``next``
    # Drawn births: time, and bits of the factors that are not all 1, (sources, room, 1 + n).
    births: Ints
    columns: Ints  # the columns of rows that take these factors, of shape (n,)


class RecordTable:
    """Records that are added and freed, stored in an array that grows."""

    def __init__(self, record: np.dtype[np.void]) -> None:
        self.rows: RecordArray = aligned((16,), record)
        self.count = 0
        self._free: list[int] = []

    def take(self) -> int:
        """Return a free row: the row that was freed last, or else a new row."""
        if self._free:
            return self._free.pop()
        if self.count == len(self.rows):
            self.rows = grown(self.rows, self.count + 1)
        self.count += 1
        return self.count - 1

    def give_back(self, row: int) -> None:
        """Free a row."""
        self._free.append(row)


class ValuePool:
    """Blocks of values that are added and freed.

    Sizes are rounded up to powers of two, or above eight, to an eighth of a power of two. There may
    be a million blocks, so their sizes are stored as small numbers.
    """

    def __init__(self, dtype: type | np.dtype[np.void]) -> None:
        self.array: np.ndarray = aligned((64,), np.dtype(dtype))
        self._count = 0
        self._sizes: list[int] = []
        self._size_of: NDArray[np.uint16] = np.zeros(64, dtype=np.uint16)  # number of its size
        self._free: list[list[int]] = []  # by the number of a size

    def put(self, values: np.ndarray) -> int:
        """Store values as a block; return the index where it begins."""
        bits = (len(values) - 1).bit_length()
        part = 1 << (bits - 3 if bits > 3 else bits)
        room = -(-max(1, len(values)) // part) * part
        if room not in self._sizes:
            self._sizes.append(room)
            self._free.append([])
        size = self._sizes.index(room)
        if self._free[size]:
            at = self._free[size].pop()
        else:
            at = self._count
            self._count += room
            self.array = grown(self.array, self._count)
            self._size_of = grown(self._size_of, self._count)
            self._size_of[at] = size
        self.array[at : at + len(values)] = values
        return at

    def give_back(self, at: int) -> None:
        """Free the block that begins at an index."""
        self._free[self._size_of[at]].append(int(at))


class RowPool:
    """Rows of requests; a row is taken at a birth, and freed once the request's end is reported.

    The attributes are arrays of ``PlaneTables``, where they have the same names.
    """

    def __init__(self, operators: int) -> None:
        none: Ints = np.empty(0, dtype=np.int64)
        self.counts: Ints = np.zeros(COUNTS, dtype=np.int64)
        self.rows: Ints = np.empty((0, width(operators)), dtype=np.int64)
        self.times = self.chain = self.free = self.born = self.ended = none
        self.jobs: RecordArray = np.zeros(0, dtype=JOB)
        self.branches: RecordArray = np.zeros(0, dtype=BRANCH)
        self.grow()

    def grow(self) -> None:
        """Double the number of rows; rows in use keep their numbers."""
        old = len(self.rows)
        room = max(LEAST, 2 * old)
        self.rows = grown(self.rows, room)  # New rows are not in flight: their outcome is 0.
        self.times, self.chain = grown(self.times, room), grown(self.chain, room)
        used = self.jobs.view(np.int64).any()  # A copy of unused jobs would take memory.
        self.jobs = grown(self.jobs, room) if used else aligned((room,), JOB)
        if len(self.branches):
            self.allow_branches()
        self.born, self.ended = grown(self.born, room), grown(self.ended, room)
        self.free = grown(self.free, room)
        self._put_back(np.arange(room - 1, old - 1, -1))  # Unused rows take no memory.
        self.out: Ints = np.empty(room, dtype=np.int64)
        self.messages: Ints = np.empty((room, 2), dtype=np.int64)
        self.row_ids: Ints = np.empty(2 * room, dtype=np.int64)
        self.keys: Ints = np.empty(2 * room + (1 << MOST_BITS), dtype=np.int64)

    def allow_branches(self) -> None:
        """Allocate the arrays that are needed if rows can be branches of requests."""
        old = len(self.branches)
        self.branches = grown(self.branches, len(self.rows))
        self._forget_branches(np.arange(old, len(self.rows)))

    def _forget_branches(self, which: Ints) -> None:
        self.branches[which] = (NONE, NONE, 0, IS_COMPLETED)

    def told(self) -> None:
        """Free the rows of requests whose end was reported."""
        which = self.ended[: self.counts[ENDED_COUNT]]
        if len(self.branches):
            self._forget_branches(which)
        self._put_back(which)
        if len(self.rows) > LEAST:
            # Births of one query or of neighbours take neighbouring rows, lowest first, so that
            # stops, which serve the same or neighbouring queries, find their rows close together.
            free = self.free[: self.counts[FREE]]
            free[:] = np.sort(free)[::-1]
        self.counts[SETTLED] = self.counts[BORN] = self.counts[ENDED_COUNT] = 0

    def _put_back(self, which: Ints) -> None:
        count = int(self.counts[FREE])
        self.free[count : count + len(which)] = which
        self.counts[FREE] += len(which)
