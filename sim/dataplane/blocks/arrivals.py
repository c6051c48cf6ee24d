"""How requests are born at their sources, block by block."""

from scenarios.compiled import in_place, inlined
from sim._jit.indexing import index
from sim._jit.prefetch import AHEAD, LINE, prefetch, prefetch_item
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.request_rows import (
    ALLOWANCE,
    ARRIVAL,
    DEPLOYMENT,
    ENDED,
    LENGTH,
    NUMBER,
    OUTCOME,
    QUERY,
    SIZE,
    VARIABILITY,
    VISIT,
    line_of,
    operators_of,
)
from sim.dataplane.blocks.tables import (
    BORN,
    ENDED_COUNT,
    FREE,
    IS_IN_FLIGHT,
    IS_UNSERVED,
    NONE,
    ONE_BITS,
    Ints,
    PlaneTables,
    Sources,
)
from sim.dataplane.blocks.walk import walk

APART = 2
"""How many sources lie between two steps of fetching: time for memory to answer."""


@inlined
def _fetch_sources(t: PlaneTables, sources: Sources, i: int, until_ns: int) -> None:
    """Begin to fetch, in steps, what will be read of the sources after the ``i``-th active one."""
    active, state, segments = sources.active, sources.state, sources.segments
    if i + 4 * APART < len(active):
        prefetch_item(state, index(active[i + 4 * APART]))
    if i + 3 * APART < len(active):
        source = index(active[i + 3 * APART])
        if sources.next_ns[source] < until_ns:
            births, position = sources.births[source], state[source].position
            prefetch(births, position, 0)
            # Those after it, or the last of its own factors, lie in the next line.
            prefetch(births, position, LINE)
            prefetch_item(segments, index(state[source].segment))
    if i + 2 * APART < len(active):
        source = index(active[i + 2 * APART])
        segment = index(state[source].segment)
        if sources.next_ns[source] < until_ns and segments[segment].visit != NONE:
            visit = index(segments[segment].visit)
            prefetch_item(t.visits, visit)
            prefetch_item(t.visits, visit + 2)  # two to a line
            prefetch_item(t.flights, index(segments[segment].deployment))
    if i + APART < len(active):
        source = index(active[i + APART])
        segment = index(state[source].segment)
        if sources.next_ns[source] < until_ns and segments[segment].visit != NONE:
            visit = index(segments[segment].visit)
            for at in range(visit, visit + 2):
                if t.visits[at].stop == NONE:
                    break
                prefetch_item(t.stops, index(t.visits[at].stop))


@in_place
def leave_unserved(sources: Sources, until_ns: int, runs: Ints) -> int:
    """Let births before the sync point pass at sources without a route; return how many runs.

    ``runs`` gets them, see ``RunRecorder``, shape (active sources or more, 4).
    """
    state, segments, births = sources.state, sources.segments, sources.births
    next_ns = sources.next_ns
    n = 0
    for source in sources.active:
        if next_ns[source] >= until_ns:
            continue
        segment = state[source].segment
        following = segments[segment].next
        if segments[segment].visit != NONE or (
            following != NONE and segments[following].at_ns < until_ns
        ):
            continue
        first, count = state[source].position, state[source].count
        close_ns = min(until_ns, state[source].close_ns)
        position = first
        while position < count and births[source, position, 0] < close_ns:
            position += 1
        if position > first:
            runs[n, 0], runs[n, 1] = state[source].query, source
            runs[n, 2], runs[n, 3] = first, position
            n += 1
            state[source].position = position
            next_ns[source] = births[source, position, 0] if position < count else NEVER
    return n


@in_place
def give_birth(  # noqa: PLR0912, PLR0915
    t: PlaneTables, sources: Sources, due_ns: Ints, first: int, until_ns: int
) -> int:
    """Give birth to requests before the sync point, source by source, and let each walk at once.

    Returns the source at which to go on if rows ran out, else the number of sources.
    """
    rows, free, born, counts = t.rows, t.free, t.born, t.counts
    flights = t.flights
    state, segments, births = sources.state, sources.segments, sources.births
    next_ns = sources.next_ns
    active, columns = sources.active, sources.columns
    operators = operators_of(rows.shape[1])
    rows_left, born_left = counts[FREE], counts[BORN]
    i = first
    while i < len(active):
        source = index(active[i])
        _fetch_sources(t, sources, i, until_ns)
        if next_ns[source] >= until_ns:
            i += 1
            continue
        position, count = index(state[source].position), state[source].count
        close_ns = min(until_ns, state[source].close_ns)
        number = state[source].number
        query, segment = state[source].query, state[source].segment
        deployment, visit = segments[segment].deployment, segments[segment].visit
        following = segments[segment].next
        while position < count:
            at_ns = births[source, position, 0]
            if at_ns >= close_ns:
                break
            while following != NONE and segments[following].at_ns <= at_ns:
                segment = following
                deployment, visit = segments[segment].deployment, segments[segment].visit
                following = segments[segment].next
            if rows_left == 0:
                break
            rows_left -= 1
            slot = index(free[index(rows_left)])
            ahead = index(free[index(max(0, rows_left - AHEAD))])
            for line in range(1 + operators):
                prefetch(rows, ahead, index(LINE * line))
            rows[slot, QUERY] = query
            rows[slot, NUMBER] = number + position
            rows[slot, ARRIVAL] = at_ns
            rows[slot, DEPLOYMENT] = deployment
            rows[slot, SIZE] = ONE_BITS
            for operator in range(operators):
                line = index(line_of(operator))
                rows[slot, line + VARIABILITY] = ONE_BITS
                for column in range(1, LINE):
                    rows[slot, index(line + column)] = 0
            rows[slot, LENGTH] = rows[slot, ALLOWANCE] = ONE_BITS
            for at in range(len(columns)):
                rows[slot, index(columns[at])] = births[source, position, 1 + at]
            born[index(born_left)] = slot
            born_left += 1
            if visit == NONE:
                rows[slot, VISIT] = NONE
                _leave_unserved(t, slot, at_ns)
            else:
                rows[slot, OUTCOME] = IS_IN_FLIGHT
                flights[index(deployment)] += 1
                walk(t, due_ns, slot, index(visit), at_ns, until_ns)
            position += 1
        state[source].position = position
        next_ns[source] = births[source, position, 0] if position < count else NEVER
        state[source].segment = segment
        if rows_left == 0 and position < count and births[source, position, 0] < close_ns:
            break
        i += 1
    counts[FREE], counts[BORN] = rows_left, born_left
    return i


@inlined
def _leave_unserved(t: PlaneTables, slot: int, at_ns: int) -> None:
    t.rows[slot, OUTCOME], t.rows[slot, ENDED] = IS_UNSERVED, at_ns
    t.ended[index(t.counts[ENDED_COUNT])] = slot
    t.counts[ENDED_COUNT] += 1
