"""How requests are born at their sources, block by block."""

from scenarios.compiled import in_place, inlined
from sim.blocks.tables import (
    BORN,
    ENDED_COUNT,
    FREE,
    IS_IN_FLIGHT,
    IS_UNSERVED,
    NONE,
    Ints,
    Sources,
    Tables,
)
from sim.blocks.walk import walk
from sim.indexing import index
from sim.prefetch import AHEAD, CACHE_LINE, prefetch, prefetch_record
from sim.request_rows import (
    ALLOWANCE,
    ARRIVAL,
    DEPLOYMENT,
    ENDED,
    LENGTH,
    LINE,
    NUMBER,
    OUTCOME,
    QUERY,
    SIZE,
    VARIABILITY,
    VISIT,
    line_of,
    operators_of,
)
from sim.work import NEVER


@inlined
def _fetch_births(sources: Sources, source: int) -> None:
    """Begin to fetch what will be read of a source's next birth, but for its variability."""
    position = sources.state[source].position
    prefetch(sources.arrivals, source, position)
    if len(sources.size) > 0:
        prefetch(sources.size, source, position)
    if len(sources.length) > 0:
        prefetch(sources.length, source, position)
    if len(sources.allowance) > 0:
        prefetch(sources.allowance, source, position)


@in_place
def give_birth(  # noqa: PLR0912, PLR0915
    t: Tables, sources: Sources, due_ns: Ints, first: int, until_ns: int
) -> int:
    """Give birth to requests before the cut, source by source, and let each walk at once.

    Returns:
        The source at which to go on, if rows ran out; else the number of sources.
    """
    rows, rows_f, free, born, counts = t.rows, t.rows_f, t.free, t.born, t.counts
    flights = t.flights
    state, segments, arrivals = sources.state, sources.segments, sources.arrivals
    next_ns = sources.next_ns
    active, sizes, lengths = sources.active, sources.size, sources.length
    allowances, variability = sources.allowance, sources.variability
    any_size, any_length = len(sizes) > 0, len(lengths) > 0
    any_allowance, any_variability = len(allowances) > 0, len(variability) > 0
    width = rows.shape[1]
    operators = operators_of(width)
    rows_left, born_left = counts[FREE], counts[BORN]
    i = first
    while i < len(active):
        source = index(active[i])
        if i + 2 * AHEAD < len(active):
            prefetch_record(state, active[i + 2 * AHEAD])
        if i + AHEAD < len(active) and next_ns[active[i + AHEAD]] < until_ns:
            _fetch_births(sources, active[i + AHEAD])
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
            at_ns = arrivals[source, position]
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
            if rows_left >= AHEAD:
                ahead = index(free[index(rows_left - AHEAD)])
                for column in range(0, width, CACHE_LINE):
                    prefetch(rows, ahead, column)
            rows[slot, QUERY] = query
            rows[slot, NUMBER] = number + position
            rows[slot, ARRIVAL] = at_ns
            rows[slot, DEPLOYMENT] = deployment
            rows[slot, VISIT] = visit
            rows_f[slot, SIZE] = sizes[source, position] if any_size else 1.0
            for operator in range(operators):
                line = index(line_of(operator))
                varies = variability[source, operator, position] if any_variability else 1.0
                rows_f[slot, line + VARIABILITY] = varies
                for column in range(1, LINE):
                    rows[slot, index(line + column)] = 0
            rows_f[slot, LENGTH] = lengths[source, position] if any_length else 1.0
            rows_f[slot, ALLOWANCE] = allowances[source, position] if any_allowance else 1.0
            born[index(born_left)] = slot
            born_left += 1
            if visit == NONE:
                _leave_unserved(t, slot, at_ns)
            else:
                rows[slot, OUTCOME] = IS_IN_FLIGHT
                flights[index(deployment)] += 1
                walk(t, due_ns, slot, index(visit), at_ns, until_ns)
            position += 1
        state[source].position = position
        next_ns[source] = arrivals[source, position] if position < count else NEVER
        state[source].segment = segment
        if rows_left == 0 and position < count and arrivals[source, position] < close_ns:
            break
        i += 1
    counts[FREE], counts[BORN] = rows_left, born_left
    return i


@inlined
def _leave_unserved(t: Tables, slot: int, at_ns: int) -> None:
    """End a request that no route is in force for."""
    t.rows[slot, OUTCOME], t.rows[slot, ENDED] = IS_UNSERVED, at_ns
    t.ended[index(t.counts[ENDED_COUNT])] = slot
    t.counts[ENDED_COUNT] += 1
