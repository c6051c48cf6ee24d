"""The order in which stops are simulated: each stop follows all stops that send it requests."""

import numpy as np

from scenarios.compiled import compiled, inlined
from scenarios.numerics import Ints
from sim.dataplane.base.durations import NEVER
from sim.dataplane.blocks.tables import LINK, NONE, SINK, STATION, Order, RecordArray


def arrange(times: Ints, stops: RecordArray, visits: RecordArray, spans: RecordArray) -> Order:
    """Return the stops on all routes, in an order that agrees with the order of every route.

    The function also marks the *inline* stops in ``stops``: links, and stations with one server and
    no batches, whose requests all come from one place and so arrive in order. When a request
    reaches an inline stop, its service there is simulated at once.

    Raises:
        ValueError: the routes together form a cycle.
    """
    order = np.empty(len(stops), dtype=np.int64)
    count = _arrange(stops, visits, spans, order)
    if count < 0:
        raise ValueError(
            "routes go round in a circle of stations and links; "
            "the block data plane needs them to lead forward"
        )
    order = order[:count]
    inline = stops["inline"][order] != SINK
    first = order[inline]
    stops["place"][first] = np.arange(len(first))
    due_ns = np.empty(len(first), dtype=np.int64)
    _note_due(times, stops, first, due_ns)
    return Order(first, order[~inline], due_ns, np.empty_like(due_ns))


@compiled
def _note_due(times: Ints, stops: RecordArray, inline: Ints, due_ns: Ints) -> None:
    """Write into ``due_ns`` the time of the next event at each inline stop."""
    for i in range(len(inline)):
        due_ns[i] = next_ns(times, stops, inline[i])


@inlined
def next_ns(times: Ints, stops: RecordArray, stop: int) -> int:
    """Return the time of the next event at an inline stop, or NEVER."""
    at_ns = NEVER
    if stops[stop].serving_first != NONE:
        at_ns = times[stops[stop].serving_first]
    if stops[stop].waiting_first != NONE:
        at_ns = min(at_ns, stops[stop].free_ns)
    if stops[stop].arriving_first != NONE:
        at_ns = min(at_ns, times[stops[stop].arriving_first])
    return at_ns


@compiled
def _arrange(  # noqa: PLR0912
    stops: RecordArray, visits: RecordArray, spans: RecordArray, order: Ints
) -> int:
    """Write the stops in use into ``order``; return their number, or -1 if there is a cycle.

    In the result, all predecessors of a stop precede it. This is Kahn's algorithm ("Topological
    sorting of large networks", 1962; Knuth, TAOCP 1, 2.2.3, algorithm T), in O(stops + visits). A
    stack holds the stops whose predecessors are all in the order.
    """
    n = len(stops)
    edges = 0
    for i in range(len(spans)):
        edges += spans[i].length
    # The successors of each stop, as chains of edges; `before` counts the remaining predecessors.
    first = np.full(n, NONE)
    following, target = np.empty(edges, dtype=np.int64), np.empty(edges, dtype=np.int64)
    before = np.zeros(n, dtype=np.int64)
    used = np.zeros(n, dtype=np.bool_)
    # Origin of a stop's arrivals: a stop; n + the query of a source; -1: none yet, -2: several.
    origin = np.full(n, -1)
    edge = 0
    for i in range(len(spans)):
        at, count = spans[i].first, spans[i].length
        for j in range(at, at + count):
            stop = visits[j].stop
            used[stop] = True
            whence = visits[j - 1].stop
            if j == at:
                whence = spans[i].gate if spans[i].gate != NONE else n + spans[i].query
            if whence < n:
                following[edge], target[edge] = first[whence], stop
                first[whence] = edge
                edge += 1
                before[stop] += 1
            if origin[stop] == -1:
                origin[stop] = whence
            elif origin[stop] != whence:
                origin[stop] = -2
    # A stack, so that successors come right after a stop, while caches still hold their requests.
    ready = np.empty(n, dtype=np.int64)
    left, count, total = 0, 0, 0
    for stop in range(n):
        if used[stop]:
            total += 1
            if before[stop] == 0:
                ready[left] = stop
                left += 1
    while left > 0:
        left -= 1
        stop = ready[left]
        order[count] = stop
        count += 1
        link = first[stop]
        while link != NONE:
            before[target[link]] -= 1
            if before[target[link]] == 0:
                ready[left] = target[link]
                left += 1
            link = following[link]
    if count < total:
        return -1
    # Arrivals from one origin at a stop that serves one at a time come and leave in order: inline.
    for i in range(count):
        stop = order[i]
        whence = origin[stop]
        one_at_a_time = stops[stop].kind == LINK or (
            stops[stop].kind == STATION and stops[stop].servers == 1 and stops[stop].max_batch == 1
        )
        stops[stop].inline = stops[stop].kind if one_at_a_time and whence >= 0 else SINK
    return count
