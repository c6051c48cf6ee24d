"""How requests travel within a block: born at sources, from stop to stop, to their end."""

from scenarios.compiled import in_place
from sim._jit.indexing import index
from sim._jit.prefetch import AHEAD, prefetch_item
from sim.dataplane.base.request_rows import VISIT
from sim.dataplane.blocks.arrivals import give_birth
from sim.dataplane.blocks.branches import settle, take_fork, take_join
from sim.dataplane.blocks.disciplines import take_ranked
from sim.dataplane.blocks.generation import take_generation
from sim.dataplane.blocks.lists import end, fetch_next, gather, push
from sim.dataplane.blocks.order import next_ns
from sim.dataplane.blocks.stops import (
    cross,
    order_out,
    take_alone,
    take_bounded,
    take_link,
    take_station,
)
from sim.dataplane.blocks.tables import (
    BOUNDED,
    FORK,
    GENERATION,
    IS_COMPLETED,
    JOIN,
    LINK,
    NONE,
    OUT,
    RANKED,
    SINK_STOP,
    STATION,
    Ints,
    Order,
    PlaneTables,
    Sources,
)
from sim.dataplane.blocks.walk import walk


@in_place
def move(t: PlaneTables, sources: Sources, order: Order, first: int, until_ns: int) -> int:
    """Move all requests up to a sync point, before which sources hold all births.

    ``first`` is 0, or what an earlier call returned that ran out of rows: the number of a source,
    or of sources plus the place of a fork among the other stops. The number of both is the end.
    """
    stops = t.stops
    if first == 0:
        _resume(t, order, until_ns)
        _send_on(t, order.due_ns, until_ns)
    last = len(sources.active)
    if first < last:
        first = give_birth(t, sources, order.due_ns, first, until_ns)
        if len(t.branches) > 0:
            settle(t)
        if first < last:
            return first
    first = last + _take_others(t, order, first - last, until_ns)
    if first < last + len(order.others):
        return first
    slot = stops[SINK_STOP].arriving_first
    stops[SINK_STOP].arriving_first = stops[SINK_STOP].arriving_last = NONE
    while slot != NONE:
        following = t.chain[slot]
        if t.times[slot] < until_ns:
            end(t, slot, IS_COMPLETED, t.times[slot])
        else:
            push(t, SINK_STOP, slot, t.times[slot])
        slot = following
    return first


@in_place
def _resume(t: PlaneTables, order: Order, until_ns: int) -> None:
    """Let inline stops go on with what they have, the last first, so none overtakes another."""
    inline, due_ns = order.inline, order.due_ns
    for i in range(len(inline) - 1, -1, -1):
        if due_ns[i] < until_ns:
            stop = index(inline[i])
            if t.stops[stop].kind == LINK:
                take_link(t, stop, until_ns)
            else:
                take_alone(t, stop, until_ns)
            due_ns[i] = next_ns(t.times, t.stops, stop)


@in_place
def _take_others(t: PlaneTables, order: Order, first: int, until_ns: int) -> int:
    """Take stops through the block that had to wait for all arrivals before the sync point.

    Returns the place of the fork at which rows ran out, or the number of these stops.
    """
    others, due_ns = order.others, order.due_ns
    for i in range(first, len(others)):
        stop = index(others[i])
        kind, done = t.stops[stop].kind, True
        if kind == LINK:
            _send_over(t, due_ns, stop, until_ns)
            continue
        if kind == STATION:
            take_station(t, stop, until_ns)
        else:
            done = _take_rare(t, stop, until_ns)
        if t.counts[OUT] > 0:
            if t.stops[stop].servers > 1 or kind == GENERATION:
                order_out(t)
            _send_on(t, due_ns, until_ns)
        elif len(t.branches) > 0:
            settle(t)
        if not done:
            return i
    return len(others)


@in_place
def _send_over(t: PlaneTables, due_ns: Ints, link: int, until_ns: int) -> None:
    """Send all messages that reach a link before the sync point, and let each go on at once."""
    n = gather(t, link, until_ns)
    for i in range(n):
        fetch_next(t, t.slots, i, n)
        slot = index(t.slots[i])
        visit = index(t.rows[slot, VISIT])
        now_ns = cross(t, slot, visit, link, t.times[slot])
        walk(t, due_ns, slot, visit + 1, now_ns, until_ns)
    if len(t.branches) > 0:
        settle(t)


@in_place
def _take_rare(t: PlaneTables, stop: int, until_ns: int) -> bool:
    """Take a stop of a kind that few worlds have; False for a fork at which rows ran out."""
    kind = t.stops[stop].kind
    if kind == BOUNDED:
        take_bounded(t, stop, until_ns)
    elif kind == RANKED:
        take_ranked(t, stop, until_ns)
    elif kind == GENERATION:
        take_generation(t, stop, until_ns)
    elif kind == FORK:
        return take_fork(t, stop, until_ns)
    elif kind == JOIN:
        take_join(t, stop, until_ns)
    return True


@in_place
def _send_on(t: PlaneTables, due_ns: Ints, until_ns: int) -> None:
    rows, stops, visits = t.rows, t.stops, t.visits
    n = t.counts[OUT]
    for i in range(n):
        fetch_next(t, t.out, i, n)
        if i + AHEAD // 2 < n:
            ahead = index(t.out[i + AHEAD // 2])
            prefetch_item(stops, visits[index(rows[ahead, VISIT])].stop)
        slot = index(t.out[i])
        walk(t, due_ns, slot, index(rows[slot, VISIT]), t.times[slot], until_ns)
    t.counts[OUT] = 0
    if len(t.branches) > 0:
        settle(t)
