"""How requests travel within a block: born at sources, from stop to stop, to their end."""

from sim.blocks.generation import take_generation
from sim.blocks.stops import (
    COMPLETED,
    LOST,
    NEVER,
    cross,
    end,
    gather,
    order_out,
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
    FREE,
    GENERATION,
    LINK,
    NONE,
    OUT,
    STATION,
    Ints,
    Records,
    Sources,
    Tables,
)
from sim.compiled import in_place
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
MANY = 96
"""Births after which those born are sent on, while their rows are at hand."""


@in_place
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
        _resume(t, order, until_ns)
        _send_on(t, until_ns)
    last = len(sources.active)
    while first < last:
        first = _give_birth(t, sources, first, until_ns)
        ran_out = t.counts[OUT] <= MANY
        _send_on(t, until_ns)
        if first < last and ran_out:
            return first
    _take_others(t, order, until_ns)
    slot = stops[SINK_STOP].arriving_first
    stops[SINK_STOP].arriving_first = stops[SINK_STOP].arriving_last = NONE
    while slot != NONE:
        following = rows[slot, NEXT]
        if rows[slot, AT] < until_ns:
            end(rows, t.flights, t.ended, t.counts, slot, COMPLETED, rows[slot, AT])
        else:
            push(rows, stops, SINK_STOP, slot, rows[slot, AT])
        slot = following
    return last


@in_place
def _resume(t: Tables, order: Ints, until_ns: int) -> None:
    """Let inline stops take what they still have, which comes before all that will reach them.

    From the last such stop to the first, lest what one lets go overtake what another has.
    """
    rows, rows_f, stops, out = t.rows, t.rows_f, t.stops, t.out
    visits, steps = t.visits, t.steps
    left = t.counts[OUT]
    for i in range(len(order) - 1, -1, -1):
        stop = order[i]
        if not stops[stop].inline:
            continue
        if stops[stop].arriving_first != NONE and not stops[stop].in_order:
            put_in_order(rows, stops, t.keys, t.slots, stop)
        slot = stops[stop].serving_first
        while slot != NONE and rows[slot, AT] < until_ns:
            out[left] = slot
            left += 1
            slot = rows[slot, NEXT]
        stops[stop].serving_first = slot
        if slot == NONE:
            stops[stop].serving_last = NONE
        slot = stops[stop].arriving_first
        is_link = stops[stop].kind == LINK
        while slot != NONE and rows[slot, AT] < until_ns:
            following = rows[slot, NEXT]
            if is_link:
                visit, now_ns = rows[slot, VISIT], rows[slot, AT]
                cross(rows, rows_f, stops, visits, steps, slot, visit, stop, now_ns)
                out[left] = slot
                left += 1
            elif stops[stop].failed:
                end(rows, t.flights, t.ended, t.counts, slot, LOST, rows[slot, AT])
            else:
                wait(rows, stops, stop, slot)
            slot = following
        stops[stop].arriving_first = slot
        if slot == NONE:
            stops[stop].arriving_last = NONE
        slot, served = stops[stop].waiting_first, 0
        while slot != NONE:
            entered_ns, freed_ns = rows[slot, AT], stops[stop].free_ns
            start_ns = max(entered_ns, freed_ns)
            if start_ns >= until_ns:
                break
            following = rows[slot, NEXT]
            finish_ns = serve_alone(
                rows,
                rows_f,
                stops,
                visits,
                steps,
                slot,
                rows[slot, VISIT],
                stop,
                entered_ns,
                freed_ns,
                start_ns,
            )
            stops[stop].free_ns = finish_ns
            served += 1
            if finish_ns < until_ns:
                out[left] = slot
                left += 1
            else:
                stay(rows, stops, stop, slot)
            slot = following
        stops[stop].waiting_first = slot
        stops[stop].waiting -= served
        if slot == NONE:
            stops[stop].waiting_last = NONE
    t.counts[OUT] = left


@in_place
def put_in_order(rows: Ints, stops: Records, keys: Ints, slots: Ints, stop: int) -> None:
    """Put all arrivals of a stop in order, also those that are still to come."""
    n = gather(rows, stops, keys, slots, stop, NEVER)
    for i in range(n):
        push(rows, stops, stop, slots[i], rows[slots[i], AT])


@in_place
def _take_others(t: Tables, order: Ints, until_ns: int) -> None:
    """Take stops through the block that had to wait for all arrivals before the cut."""
    rows, stops = t.rows, t.stops
    for i in range(len(order)):
        stop = order[i]
        if stops[stop].inline:
            continue
        kind = stops[stop].kind
        if kind == LINK:
            take_link(t, stop, until_ns)
        elif kind == STATION:
            take_station(t, stop, until_ns)
        elif kind == BOUNDED:
            take_bounded(t, stop, until_ns)
        elif kind == GENERATION:
            take_generation(t, stop, until_ns)
        if t.counts[OUT] > 0:
            if stops[stop].servers > 1 or kind == GENERATION:
                order_out(rows, t.out, t.counts[OUT], t.keys, t.slots)
            _send_on(t, until_ns)


@in_place
def _give_birth(t: Tables, sources: Sources, first: int, until_ns: int) -> int:
    """Give birth to requests before the cut, source by source.

    Returns:
        The source at which to go on, when enough are in ``out`` or rows ran out.

    """
    rows, rows_f, free, out, born, counts = t.rows, t.rows_f, t.free, t.out, t.born, t.counts
    ended, flights = t.ended, t.flights
    state, segments, arrivals = sources.state, sources.segments, sources.arrivals
    active, sizes, lengths = sources.active, sources.size, sources.length
    allowances, variability = sources.allowance, sources.variability
    any_size, any_length = len(sizes) > 0, len(lengths) > 0
    any_allowance, any_variability = len(allowances) > 0, len(variability) > 0
    width = rows.shape[1]
    operators = (width - PARTS - 1) // 5
    left, rows_left = counts[OUT], counts[FREE]
    born_left, ended_left = counts[BORN], counts[ENDED_COUNT]
    i = first
    while i < len(active):
        source = active[i]
        position, count = state[source].position, state[source].count
        close_ns = min(until_ns, state[source].close_ns)
        number = state[source].number
        query, segment = state[source].query, state[source].segment
        deployment, visit = segments[segment].deployment, segments[segment].visit
        stride, following = segments[segment].stride, segments[segment].next
        while position < count:
            at_ns = arrivals[source, position]
            if at_ns >= close_ns:
                break
            while following != NONE and segments[following].at_ns <= at_ns:
                segment = following
                deployment, visit = segments[segment].deployment, segments[segment].visit
                stride, following = segments[segment].stride, segments[segment].next
            if stride > 1 and (number + position) % stride:
                position += 1
                continue
            if rows_left == 0:
                break
            rows_left -= 1
            slot = free[rows_left]
            rows[slot, AT] = at_ns
            rows[slot, QUERY] = query
            rows[slot, NUMBER] = number + position
            rows[slot, ARRIVAL] = at_ns
            rows[slot, DEPLOYMENT] = deployment
            rows[slot, VISIT] = visit
            rows_f[slot, SIZE] = sizes[source, position] if any_size else 1.0
            rows_f[slot, LENGTH] = lengths[source, position] if any_length else 1.0
            rows_f[slot, ALLOWANCE] = allowances[source, position] if any_allowance else 1.0
            for operator in range(operators):
                rows_f[slot, PARTS + operator] = (
                    variability[source, operator, position] if any_variability else 1.0
                )
            for part in range(PARTS + operators, width):
                rows[slot, part] = 0
            born[born_left] = slot
            born_left += 1
            if visit == NONE:
                rows[slot, OUTCOME] = UNSERVED
                rows[slot, ENDED] = at_ns
                ended[ended_left] = slot
                ended_left += 1
            else:
                rows[slot, OUTCOME] = IN_FLIGHT
                flights[deployment] += 1
                out[left] = slot
                left += 1
            position += 1
        state[source].position = position
        state[source].segment = segment
        if rows_left == 0 and position < count and arrivals[source, position] < close_ns:
            break
        i += 1
        if left > MANY:
            break
    counts[OUT], counts[FREE] = left, rows_left
    counts[BORN], counts[ENDED_COUNT] = born_left, ended_left
    return i


@in_place
def _send_on(t: Tables, until_ns: int) -> None:
    """Send rows in ``out`` on, as far as they get before the cut without having to be sorted."""
    rows, rows_f, stops = t.rows, t.rows_f, t.stops
    visits, steps = t.visits, t.steps
    for i in range(t.counts[OUT]):
        slot = t.out[i]
        now_ns = rows[slot, AT]
        while True:
            visit = rows[slot, VISIT]
            stop = visits[visit].stop
            if stop == NONE:
                if now_ns < until_ns:
                    end(rows, t.flights, t.ended, t.counts, slot, COMPLETED, now_ns)
                else:
                    push(rows, stops, SINK_STOP, slot, now_ns)
                break
            if now_ns >= until_ns or not stops[stop].inline:
                push(rows, stops, stop, slot, now_ns)
                break
            if stops[stop].kind == LINK:
                now_ns = cross(
                    rows, rows_f, stops, visits, steps, slot, visit, stop, now_ns
                )
                continue
            if stops[stop].failed:
                end(rows, t.flights, t.ended, t.counts, slot, LOST, now_ns)
                break
            freed_ns = stops[stop].free_ns
            start_ns = max(now_ns, freed_ns)
            if start_ns >= until_ns:
                rows[slot, AT] = now_ns
                wait(rows, stops, stop, slot)
                break
            now_ns = serve_alone(
                rows,
                rows_f,
                stops,
                visits,
                steps,
                slot,
                visit,
                stop,
                now_ns,
                freed_ns,
                start_ns,
            )
            stops[stop].free_ns = now_ns
            if now_ns >= until_ns:
                stay(rows, stops, stop, slot)
                break
    t.counts[OUT] = 0


@in_place
def sweep(t: Tables, stop: int) -> None:
    """Take rows that have ended, otherwise than by leaving it, out of a stop's lists."""
    rows, stops = t.rows, t.stops
    lists = (stops[stop].arriving_first, stops[stop].waiting_first, stops[stop].serving_first)
    stops[stop].arriving_first = stops[stop].arriving_last = NONE
    stops[stop].waiting_first = stops[stop].waiting_last = NONE
    stops[stop].serving_first = stops[stop].serving_last = NONE
    stops[stop].waiting = 0
    for i in range(3):
        slot = lists[i]
        while slot != NONE:
            following = rows[slot, NEXT]
            if rows[slot, OUTCOME] == IN_FLIGHT:
                if i == 0:
                    push(rows, stops, stop, slot, rows[slot, AT])
                elif i == 1:
                    wait(rows, stops, stop, slot)
                else:
                    stay(rows, stops, stop, slot)
            slot = following


@in_place
def lose(t: Tables, station: int, at_ns: int) -> None:
    """Lose all that a station has in its queue and in service."""
    rows, stops = t.rows, t.stops
    lists = (stops[station].waiting_first, stops[station].serving_first)
    stops[station].waiting_first = stops[station].waiting_last = NONE
    stops[station].serving_first = stops[station].serving_last = NONE
    stops[station].waiting = 0
    for i in range(2):
        slot = lists[i]
        while slot != NONE:
            following = rows[slot, NEXT]
            end(rows, t.flights, t.ended, t.counts, slot, LOST, at_ns)
            slot = following
