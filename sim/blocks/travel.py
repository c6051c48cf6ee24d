"""How requests travel within a block: born at sources, from stop to stop, to their end."""

from sim.blocks.stops import (
    COMPLETED,
    LOST,
    cross,
    end,
    push,
    serve_alone,
    stay,
    take_bounded,
    take_link,
    take_station,
    wait,
)
from sim.blocks.tables import (
    BORN,
    BOUNDED,
    ENDED_COUNT,
    FAILED,
    FREE,
    FREE_AT,
    G_AT,
    G_DEPLOYMENT,
    G_NEXT,
    G_STRIDE,
    G_VISIT,
    IN_HEAD,
    IN_TAIL,
    INLINE,
    KIND,
    LINK,
    NONE,
    OUT,
    Q_COUNT,
    Q_HEAD,
    Q_TAIL,
    S_CLOSE,
    S_COUNT,
    S_HEAD,
    S_NUMBER,
    S_POSITION,
    S_QUERY,
    S_SEGMENT,
    S_TAIL,
    STATION,
    V_STOP,
    Ints,
    Sources,
    Tables,
)
from sim.compiled import compiled
from sim.request_rows import (
    ALLOWANCE,
    ARRIVAL,
    AT,
    DEPLOYMENT,
    ENDED,
    LENGTH,
    NEXT,
    NUMBER,
    OUTCOME,
    PARTS,
    QUERY,
    SIZE,
    VISIT,
)

SINK_STOP = 0
UNSERVED, IN_FLIGHT = 1, 4  # indexes into ``OUTCOMES``
MANY = 512
"""Births after which those born are sent on, while their rows are at hand."""


@compiled
def move(t: Tables, sources: Sources, order: Ints, first: int, until_ns: int) -> int:
    """Move all requests up to a cut.

    Args:
        t: the tables.
        sources: the sources; their buffers hold all births before the cut.
        order: stops in the order in which requests travel.
        first: the source to begin with: 0, or where an earlier call ran out of rows.
        until_ns: the cut.

    Returns:
        The source at which rows ran out, to be called again with; the number of sources if the cut
        is reached.
    """
    rows, stops = t.rows, t.stops
    if first == 0:
        # What such a stop still has comes before all that will reach it, so that it is free to take
        # arrivals as they come; from the last such stop to the first, lest one overtake another.
        for i in range(len(order) - 1, -1, -1):
            stop = order[i]
            if stops[stop, INLINE] and (
                stops[stop, IN_HEAD] != NONE
                or stops[stop, Q_HEAD] != NONE
                or stops[stop, S_HEAD] != NONE
            ):
                _take(t, stop, until_ns)
        _send_on(t, until_ns)
    for i in range(first, len(sources.active)):
        if not _give_birth(t, sources, sources.active[i], until_ns):
            _send_on(t, until_ns)
            return i
        if t.counts[OUT] > MANY:
            _send_on(t, until_ns)
    _send_on(t, until_ns)
    for i in range(len(order)):
        stop = order[i]
        if not stops[stop, INLINE]:
            _take(t, stop, until_ns)
            _send_on(t, until_ns)
    slot = stops[SINK_STOP, IN_HEAD]
    stops[SINK_STOP, IN_HEAD] = stops[SINK_STOP, IN_TAIL] = NONE
    while slot != NONE:
        following = rows[slot, NEXT]
        if rows[slot, AT] < until_ns:
            end(rows, t.flights, t.ended, t.counts, slot, COMPLETED, rows[slot, AT])
        else:
            push(rows, stops, SINK_STOP, slot, rows[slot, AT])
        slot = following
    return len(sources.active)


@compiled
def _take(t: Tables, stop: int, until_ns: int) -> None:
    kind = t.stops[stop, KIND]
    if kind == LINK:
        take_link(t, stop, until_ns)
    elif kind == STATION:
        take_station(t, stop, until_ns)
    elif kind == BOUNDED:
        take_bounded(t, stop, until_ns)


@compiled
def _give_birth(t: Tables, sources: Sources, source: int, until_ns: int) -> bool:
    """Give birth to all requests of a source before the cut; False if rows ran out."""
    rows, rows_f, free, out, born, counts = t.rows, t.rows_f, t.free, t.out, t.born, t.counts
    state, segments, arrivals = sources.state, sources.segments, sources.arrivals
    close_ns = min(until_ns, state[source, S_CLOSE])
    position, count = state[source, S_POSITION], state[source, S_COUNT]
    first = state[source, S_NUMBER]
    query, segment = state[source, S_QUERY], state[source, S_SEGMENT]
    operators = (rows.shape[1] - PARTS - 1) // 5
    left, rows_left = counts[OUT], counts[FREE]
    done = True
    while position < count:
        at_ns = arrivals[source, position]
        if at_ns >= close_ns:
            break
        following = segments[segment, G_NEXT]
        while following != NONE and segments[following, G_AT] <= at_ns:
            segment = following
            following = segments[segment, G_NEXT]
        if segments[segment, G_STRIDE] > 1 and (first + position) % segments[segment, G_STRIDE]:
            position += 1
            continue
        if rows_left == 0:
            done = False
            break
        rows_left -= 1
        slot = free[rows_left]
        rows[slot, AT] = at_ns
        rows[slot, QUERY] = query
        rows[slot, NUMBER] = first + position
        rows[slot, ARRIVAL] = at_ns
        rows[slot, DEPLOYMENT] = segments[segment, G_DEPLOYMENT]
        rows[slot, VISIT] = segments[segment, G_VISIT]
        rows_f[slot, SIZE] = sources.size[source, position] if len(sources.size) else 1.0
        rows_f[slot, LENGTH] = sources.length[source, position] if len(sources.length) else 1.0
        rows_f[slot, ALLOWANCE] = (
            sources.allowance[source, position] if len(sources.allowance) else 1.0
        )
        if len(sources.variability):
            for operator in range(operators):
                rows_f[slot, PARTS + operator] = sources.variability[source, operator, position]
        else:
            for operator in range(operators):
                rows_f[slot, PARTS + operator] = 1.0
        for part in range(PARTS + operators, rows.shape[1]):
            rows[slot, part] = 0
        born[counts[BORN]] = slot
        counts[BORN] += 1
        if segments[segment, G_VISIT] == NONE:
            rows[slot, OUTCOME] = UNSERVED
            rows[slot, ENDED] = at_ns
            t.ended[counts[ENDED_COUNT]] = slot
            counts[ENDED_COUNT] += 1
        else:
            rows[slot, OUTCOME] = IN_FLIGHT
            t.flights[segments[segment, G_DEPLOYMENT]] += 1
            out[left] = slot
            left += 1
        position += 1
    state[source, S_POSITION] = position
    state[source, S_SEGMENT] = segment
    counts[OUT], counts[FREE] = left, rows_left
    return done


@compiled
def _send_on(t: Tables, until_ns: int) -> None:
    """Send rows in ``out`` on, as far as they get before the cut without having to be sorted."""
    rows, rows_f, stops, stops_f = t.rows, t.rows_f, t.stops, t.stops_f
    visits, visits_f, steps = t.visits, t.visits_f, t.steps
    for i in range(t.counts[OUT]):
        slot = t.out[i]
        now_ns = rows[slot, AT]
        while True:
            visit = rows[slot, VISIT]
            stop = visits[visit, V_STOP]
            if stop == NONE:
                if now_ns < until_ns:
                    end(rows, t.flights, t.ended, t.counts, slot, COMPLETED, now_ns)
                else:
                    push(rows, stops, SINK_STOP, slot, now_ns)
                break
            if now_ns >= until_ns or not stops[stop, INLINE]:
                push(rows, stops, stop, slot, now_ns)
                break
            if stops[stop, KIND] == LINK:
                now_ns = cross(
                    rows, rows_f, stops, visits, visits_f, steps, slot, visit, stop, now_ns
                )
                continue
            if stops[stop, FAILED]:
                end(rows, t.flights, t.ended, t.counts, slot, LOST, now_ns)
                break
            freed_ns = stops[stop, FREE_AT]
            start_ns = max(now_ns, freed_ns)
            if start_ns >= until_ns:
                rows[slot, AT] = now_ns
                wait(rows, stops, stop, slot)
                break
            now_ns = serve_alone(
                rows,
                rows_f,
                stops,
                stops_f,
                visits,
                visits_f,
                steps,
                slot,
                visit,
                stop,
                now_ns,
                freed_ns,
                start_ns,
            )
            stops[stop, FREE_AT] = now_ns
            if now_ns >= until_ns:
                stay(rows, stops, stop, slot)
                break
    t.counts[OUT] = 0


@compiled
def sweep(t: Tables, stop: int) -> None:
    """Take rows that have ended, otherwise than by leaving it, out of a stop's lists."""
    rows, stops = t.rows, t.stops
    for head, tail in ((IN_HEAD, IN_TAIL), (Q_HEAD, Q_TAIL), (S_HEAD, S_TAIL)):
        slot = stops[stop, head]
        stops[stop, head] = stops[stop, tail] = NONE
        kept = 0
        while slot != NONE:
            following = rows[slot, NEXT]
            if rows[slot, OUTCOME] == IN_FLIGHT:
                rows[slot, NEXT] = NONE
                if stops[stop, head] == NONE:
                    stops[stop, head] = slot
                else:
                    rows[stops[stop, tail], NEXT] = slot
                stops[stop, tail] = slot
                kept += 1
            slot = following
        if head == Q_HEAD:
            stops[stop, Q_COUNT] = kept


@compiled
def lose(t: Tables, station: int, at_ns: int) -> None:
    """Lose all that a station has in its queue and in service."""
    for head in (Q_HEAD, S_HEAD):
        slot = t.stops[station, head]
        while slot != NONE:
            following = t.rows[slot, NEXT]
            end(t.rows, t.flights, t.ended, t.counts, slot, LOST, at_ns)
            slot = following
        t.stops[station, head] = t.stops[station, head + 1] = NONE
    t.stops[station, Q_COUNT] = 0
