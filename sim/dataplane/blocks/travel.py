"""Movement of requests within a block, from their birth through all stops to their end.

Consecutive inline stops of a request are simulated one after the other, while its row is in the
processor's cache.
"""

from scenarios.compiled import in_place, inlined
from scenarios.numerics import Ints
from sim._jit.hints import AHEAD, LINE, index, prefetch, prefetch_item
from sim.dataplane.base import request_rows as col
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.request_rows import line_of, operators_of
from sim.dataplane.blocks import tables as tb
from sim.dataplane.blocks.branches import settle, take_fork, take_join
from sim.dataplane.blocks.disciplines import take_ranked
from sim.dataplane.blocks.generation import take_generation
from sim.dataplane.blocks.lists import (
    end,
    fetch_next,
    fetch_stops,
    gather,
    push,
    sort_by_key,
    stay,
    wait,
)
from sim.dataplane.blocks.order import next_ns
from sim.dataplane.blocks.sharing import take_shared
from sim.dataplane.blocks.stops import (
    cross,
    message_bytes,
    order_out,
    serve_alone,
    take_alone,
    take_link,
    take_station,
    transmit,
)
from sim.dataplane.blocks.tables import Order, PlaneTables, RecordArray, Sources

MANY_ROWS = 1 << 17  # number of rows from which their table is larger than a usual cache

APART = 8  # number of sources between two steps of prefetching: time for memory to answer


@inlined
def _fetch_sources(t: PlaneTables, sources: Sources, i: int, until_ns: int) -> None:
    """Prefetch the data of the sources that follow the ``i``-th active one."""
    active, state, segments = sources.active, sources.state, sources.segments
    if i + 4 * APART < len(active):
        prefetch_item(state, index(active[i + 4 * APART]))
    if i + 3 * APART < len(active):
        source = index(active[i + 3 * APART])
        if sources.next_ns[source] < until_ns:
            births, position = sources.births[source], state[source].position
            prefetch(births, position, 0)
            # The next births, or the last of its factors, lie in the next line.
            prefetch(births, position, LINE)
            prefetch_item(segments, index(state[source].segment))
    if i + 2 * APART < len(active):
        source = index(active[i + 2 * APART])
        segment = index(state[source].segment)
        if sources.next_ns[source] < until_ns and segments[segment].visit != tb.NONE:
            visit = index(segments[segment].visit)
            prefetch_item(t.visits, visit)
            prefetch_item(t.visits, visit + 2)  # two to a line
            prefetch_item(t.flights, index(segments[segment].deployment))
    if i + APART < len(active):
        source = index(active[i + APART])
        segment = index(state[source].segment)
        if sources.next_ns[source] < until_ns and segments[segment].visit != tb.NONE:
            visit = index(segments[segment].visit)
            for at in range(visit, visit + 2):
                if t.visits[at].stop == tb.NONE:
                    break
                prefetch(t.stop_lines, index(t.visits[at].stop), 0)
                prefetch(t.stop_lines, index(t.visits[at].stop), LINE)


@in_place
def give_birth(  # noqa: PLR0912, PLR0915
    t: PlaneTables, sources: Sources, due_ns: Ints, first: int, until_ns: int
) -> int:
    """Create the requests due before the sync point, source by source; `walk` moves each at once.

    Return the index of the source at which to continue if rows ran out, else the number of sources.
    """
    rows, free, born, counts = t.rows, t.free, t.born, t.counts
    flights = t.flights
    state, segments, births = sources.state, sources.segments, sources.births
    next_ns = sources.next_ns
    active, columns = sources.active, sources.columns
    operators = operators_of(rows.shape[1])
    rows_left, born_left = counts[tb.FREE], counts[tb.BORN]
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
            # A birth takes the route of the last segment that has begun.
            while following != tb.NONE and segments[following].at_ns <= at_ns:
                segment = following
                deployment, visit = segments[segment].deployment, segments[segment].visit
                following = segments[segment].next
            if rows_left == 0:
                break  # The caller adds rows, and continues with this source.
            rows_left -= 1
            row = index(free[index(rows_left)])
            ahead = index(free[index(max(0, rows_left - AHEAD))])
            for line in range(1 + operators):
                prefetch(rows, ahead, index(LINE * line))
            rows[row, col.QUERY] = query
            rows[row, col.NUMBER] = number + position
            rows[row, col.ARRIVAL] = at_ns
            rows[row, col.DEPLOYMENT] = deployment
            rows[row, col.SIZE] = tb.ONE_BITS
            for operator in range(operators):
                line = index(line_of(operator))
                rows[row, line + col.VARIABILITY] = tb.ONE_BITS
                for column in range(1, LINE):
                    rows[row, index(line + column)] = 0
            rows[row, col.LENGTH] = rows[row, col.ALLOWANCE] = tb.ONE_BITS
            for at in range(len(columns)):  # the factors that are not all 1, as bits
                rows[row, index(columns[at])] = births[source, position, 1 + at]
            born[index(born_left)] = row
            born_left += 1
            if visit == tb.NONE:
                rows[row, col.VISIT] = tb.NONE
                rows[row, col.OUTCOME], rows[row, col.ENDED] = tb.IS_UNSERVED, at_ns
                t.ended[index(counts[tb.ENDED_COUNT])] = row
                counts[tb.ENDED_COUNT] += 1
            else:
                rows[row, col.OUTCOME] = tb.IS_IN_FLIGHT
                flights[index(deployment)] += 1
                walk(t, due_ns, row, index(visit), at_ns, until_ns)
            position += 1
        state[source].position = position
        next_ns[source] = births[source, position, 0] if position < count else NEVER
        state[source].segment = segment
        if rows_left == 0 and position < count and births[source, position, 0] < close_ns:
            break
        i += 1
    counts[tb.FREE], counts[tb.BORN] = rows_left, born_left
    return i


@inlined
def walk(t: PlaneTables, due_ns: Ints, row: int, visit: int, now_ns: int, until_ns: int) -> None:
    """Move a row from a visit to the sync point, or to the next stop that is not inline.

    Inline stops serve the request at once, by Lindley's recurrence. If the request is still at an
    inline stop at the sync point, the time of its next event is written to ``due_ns``.
    """
    stops, visits = t.stops, t.visits
    while True:
        stop = visits[visit].stop
        if stop == tb.NONE:
            if now_ns < until_ns:
                end(t, row, tb.IS_COMPLETED, now_ns)
            else:
                push(t, tb.SINK_STOP, row, now_ns)
            break
        stop = index(stop)
        kind = stops[stop].inline
        if kind == tb.SINK:
            push(t, stop, row, now_ns)
            break
        if now_ns >= until_ns:
            push(t, stop, row, now_ns)
            _note(due_ns, stops[stop].place, now_ns)
            break
        if kind == tb.LINK:
            now_ns = cross(t, row, visit, stop, now_ns)
            visit += 1
            continue
        if stops[stop].failed:
            end(t, row, tb.IS_LOST, now_ns)
            break
        freed_ns = stops[stop].free_ns
        start_ns = max(now_ns, freed_ns)
        if start_ns >= until_ns:
            t.times[row] = now_ns
            wait(t, stop, row)
            _note(due_ns, stops[stop].place, freed_ns)
            break
        now_ns = serve_alone(t, row, visit, stop, now_ns, freed_ns, start_ns)
        stops[stop].free_ns = now_ns
        visit += 1
        if now_ns >= until_ns:
            t.times[row] = now_ns
            stay(t, stop, row)
            _note(due_ns, stops[stop].place, now_ns)
            break
    t.rows[row, col.VISIT] = visit


@inlined
def _note(due_ns: Ints, place: int, at_ns: int) -> None:
    """Set the time of the next event at an inline stop to ``at_ns``, if this is earlier."""
    due_ns[place] = min(due_ns[place], at_ns)


@in_place
def move(t: PlaneTables, sources: Sources, order: Order, first: int, until_ns: int) -> int:
    """Move all requests up to a sync point; sources must hold all births before it.

    ``first`` is 0, or else the return value of the last call if that call ran out of rows. That
    value is the index of a source, or the number of sources plus the index of a fork in
    ``order.others``. A call that did not run out of rows returns the number of sources plus
    ``len(order.others)``.
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
    row = stops[tb.SINK_STOP].arriving_first
    stops[tb.SINK_STOP].arriving_first = stops[tb.SINK_STOP].arriving_last = tb.NONE
    while row != tb.NONE:
        following = t.chain[row]
        if t.times[row] < until_ns:
            end(t, row, tb.IS_COMPLETED, t.times[row])
        else:
            push(t, tb.SINK_STOP, row, t.times[row])
        row = following
    return first


@in_place
def _resume(t: PlaneTables, order: Order, until_ns: int) -> None:
    """Continue at inline stops, from last to first, so that no request overtakes another."""
    inline, due_ns, due = order.inline, order.due_ns, order.due
    n = 0
    for i in range(len(inline) - 1, -1, -1):
        if due_ns[i] < until_ns:
            due[index(n)] = i
            n += 1
    for at in range(n):
        if at + 3 * AHEAD < n:
            stop = index(inline[index(due[at + 3 * AHEAD])])
            prefetch(t.stop_lines, stop, 0)
            prefetch(t.stop_lines, stop, LINE)
        if at + 2 * AHEAD < n:
            stop = index(inline[index(due[at + 2 * AHEAD])])
            for row in _firsts(t.stops, stop):
                if row != tb.NONE:
                    prefetch(t.rows, index(row), col.VISIT)
        if at + AHEAD < n:
            stop = index(inline[index(due[at + AHEAD])])
            for row in _firsts(t.stops, stop):
                if row != tb.NONE:
                    prefetch_item(t.visits, index(t.rows[index(row), col.VISIT]))
        i = index(due[at])
        stop = index(inline[i])
        if t.stops[stop].kind == tb.LINK:
            take_link(t, stop, until_ns)
        else:
            take_alone(t, stop, until_ns)
        due_ns[i] = next_ns(t.times, t.stops, stop)


@inlined
def _firsts(stops: RecordArray, stop: int) -> tuple[int, int, int]:
    """Return the first row of each list of a stop; NONE for an empty list."""
    return stops[stop].serving_first, stops[stop].waiting_first, stops[stop].arriving_first


@in_place
def _take_others(t: PlaneTables, order: Order, first: int, until_ns: int) -> int:
    """Simulate the stops that are not inline, from ``first`` on.

    Return the index of the fork at which rows ran out, or the number of these stops.
    """
    others, due_ns = order.others, order.due_ns
    for i in range(first, len(others)):
        if i + 3 < len(others):
            _fetch_arrivals(t, index(others[i + 3]), 0)
        if i + 2 < len(others):
            _fetch_arrivals(t, index(others[i + 2]), 1)
        if i + 1 < len(others):
            _fetch_arrivals(t, index(others[i + 1]), 2)
        stop = index(others[i])
        kind, done = t.stops[stop].kind, True
        if kind == tb.LINK:
            _send_over(t, due_ns, stop, until_ns)
            continue
        if kind == tb.STATION:
            take_station(t, stop, until_ns)
        else:
            done = _take_rare(t, stop, until_ns)
        if t.counts[tb.OUT] > 0:
            if t.stops[stop].servers > 1 or kind in (tb.GENERATION, tb.SHARED_LINK):
                order_out(t)
            _send_on(t, due_ns, until_ns)
        elif len(t.branches) > 0:
            settle(t)
        if not done:
            return i
    return len(others)


@inlined
def _fetch_arrivals(t: PlaneTables, stop: int, step: int) -> None:
    """Prefetch the data of a stop's first arrivals, each step of which needs the one before it."""
    row, left = t.stops[stop].arriving_first, 3 * AHEAD
    while row != tb.NONE and left > 0:
        row = index(row)
        if step == 0:
            prefetch(t.rows, row, col.VISIT)
        elif step == 1:
            prefetch_item(t.visits, index(t.rows[row, col.VISIT]))
        else:
            fetch_stops(t, row)
        row = t.chain[row]
        left -= 1


@in_place
def _send_over(t: PlaneTables, due_ns: Ints, link: int, until_ns: int) -> None:
    """Send all messages that reach a shared link before the sync point; then `walk` moves them."""
    if len(t.rows) >= MANY_ROWS:
        _send_many(t, due_ns, link, until_ns)
    else:
        n = gather(t, link, until_ns)
        for i in range(n):
            fetch_next(t, t.row_ids, i, n)
            row = index(t.row_ids[i])
            visit = index(t.rows[row, col.VISIT])
            now_ns = cross(t, row, visit, link, t.times[row])
            walk(t, due_ns, row, visit + 1, now_ns, until_ns)
    if len(t.branches) > 0:
        settle(t)


@in_place
def _send_many(t: PlaneTables, due_ns: Ints, link: int, until_ns: int) -> None:
    """Send messages in three passes, of which only the second is in the order of time.

    The table of rows is larger than the caches. In the order of arrivals or of next stops, rows
    that follow each other are neighbours in memory. The pass in the order of time reads only
    ``messages``.
    """
    rows, visits, times, messages = t.rows, t.visits, t.times, t.messages
    row = ahead = t.stops[link].arriving_first
    for _ in range(AHEAD):
        if ahead != tb.NONE:
            ahead = t.chain[index(ahead)]
    while row != tb.NONE:
        row = index(row)
        if ahead != tb.NONE:
            prefetch(rows, index(ahead), col.VISIT)
            ahead = t.chain[index(ahead)]
        visit = index(rows[row, col.VISIT])
        messages[row, 0] = message_bytes(t, row, visit)
        messages[row, 1] = visits[visit + 1].stop
        row = t.chain[row]
    n = gather(t, link, until_ns)
    for i in range(n):
        if i + AHEAD < n:
            prefetch(messages, index(t.row_ids[i + AHEAD]), 0)
            prefetch_item(times, index(t.row_ids[i + AHEAD]))
        row = index(t.row_ids[i])
        arrival_ns = transmit(t, link, messages[row, 0], times[row])
        messages[row, 0] = arrival_ns - times[row]
        times[row] = arrival_ns
        t.keys[i] = messages[row, 1]
    sort_by_key(t.keys, t.row_ids, n)
    for i in range(n):
        fetch_next(t, t.row_ids, i, n)
        row = index(t.row_ids[i])
        visit = index(rows[row, col.VISIT])
        rows[row, index(visits[visit].column)] += messages[row, 0]
        walk(t, due_ns, row, visit + 1, times[row], until_ns)


@in_place
def _take_rare(t: PlaneTables, stop: int, until_ns: int) -> bool:
    """Simulate a ranked station, an engine, a shared link, a fork or a join.

    Return False if rows ran out.
    """
    kind = t.stops[stop].kind
    if kind == tb.RANKED:
        take_ranked(t, stop, until_ns)
    elif kind == tb.GENERATION:
        take_generation(t, stop, until_ns)
    elif kind == tb.SHARED_LINK:
        take_shared(t, stop, until_ns)
    elif kind == tb.FORK:
        return take_fork(t, stop, until_ns)
    elif kind == tb.JOIN:
        take_join(t, stop, until_ns)
    return True


@in_place
def _send_on(t: PlaneTables, due_ns: Ints, until_ns: int) -> None:
    """Move the rows in ``out``, which leave a stop, on to their next stops, and empty ``out``."""
    rows, stops, visits = t.rows, t.stops, t.visits
    n = t.counts[tb.OUT]
    for i in range(n):
        fetch_next(t, t.out, i, n)
        if i + AHEAD // 2 < n:
            ahead = index(t.out[i + AHEAD // 2])
            prefetch_item(stops, visits[index(rows[ahead, col.VISIT])].stop)
        row = index(t.out[i])
        walk(t, due_ns, row, index(rows[row, col.VISIT]), t.times[row], until_ns)
    t.counts[tb.OUT] = 0
    if len(t.branches) > 0:
        settle(t)
