"""How requests are laid out as rows of one int64 array, in which data planes tell of them.

Float columns are the same memory seen as float64: ``rows.view(np.float64)``. After the columns
named below come the parts of a request's time, one entry per operator of the application each:
``variability`` (float, a factor on its service time), ``queueing``, ``batching`` and ``compute``
(nanoseconds), and ``transfer`` (nanoseconds), whose additional last entry is the answer's way back.
"""

from sim.compiled import compiled

NEXT = 0
"""Private to a data plane."""
AT = 1
"""Private to a data plane."""
QUERY = 2
"""Id of the query."""
NUMBER = 3
"""Number of the request within its query, from 0."""
ARRIVAL = 4
"""Birth, in nanoseconds."""
DEPLOYMENT = 5
"""Deployment that the request has kept since its birth, or -1 for none."""
VISIT = 6
"""Private to a data plane."""
OUTCOME = 7
"""Index into ``OUTCOMES``, once the request has ended."""
ENDED = 8
"""When the request ended, in nanoseconds; for one in flight, the horizon."""
SIZE = 9
"""Float: its size over the mean."""
LENGTH = 10
"""Float: the length of its output over the mean."""
ALLOWANCE = 11
"""Float: how many times the latency bound it may take, see ``RequestBlock``."""
PARTS = 12
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
