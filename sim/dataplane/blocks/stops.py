"""Simulation of arrivals, batches and transmission at one stop between two sync points.

A stop is simulated for a whole block at once. This is exact for two reasons. All stops that send it
requests are simulated first, and at equal times the event data plane also handles all arrivals
before dispatch. The rows that leave the stop before the sync point are written to ``out``.
"""

from scenarios.compiled import in_place, inlined
from scenarios.numerics import Floats, Ints
from sim._jit.hints import index
from sim.dataplane.base.durations import (
    NEVER,
    NOMINAL,
    NS_PER_S,
    alone_ns,
    average_batch_ns,
    batch_ns,
    divided_up,
    finish_ns,
    step_at,
    whole,
)
from sim.dataplane.base.queueing import batch_ready_ns
from sim.dataplane.base.request_rows import BATCHING, COMPUTE, QUEUEING, SIZE, VARIABILITY, VISIT
from sim.dataplane.blocks.lists import (
    before,
    fetch_next,
    gather,
    lose_arrivals,
    sort_rows,
    stay,
    wait,
)
from sim.dataplane.blocks.tables import NONE, OUT, PlaneTables, RecordArray

# Servers


@inlined
def replace_least(heap: Ints, at: int, n: int, value: int) -> None:
    """Replace the least of ``n`` values in a binary heap that begins at index ``at``; O(log n).

    The new value sifts down (Williams, "Algorithm 232: Heapsort", 1964): the lesser child moves up
    until no child is less than the value. The children of node i are 2 i + 1 and 2 i + 2.
    """
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and heap[index(at + child + 1)] < heap[index(at + child)]:
            child += 1
        if heap[index(at + child)] >= value:
            break
        heap[index(at + i)] = heap[index(at + child)]
        i = child
    heap[index(at + i)] = value


@inlined
def station_work_ns(rows_f: Floats, visits: RecordArray, row: int, visit: int, line: int) -> int:
    """Return the service time of a request that is served alone at nominal speed."""
    return alone_ns(
        visits[visit].mean,
        visits[visit].fixed_share,
        rows_f[row, SIZE],
        rows_f[row, index(line + VARIABILITY)],
    )


@inlined
def cross(t: PlaneTables, row: int, visit: int, link: int, now_ns: int) -> int:
    """Send a request's message over a link; return the time at which all of it has arrived."""
    arrival_ns = transmit(t, link, message_bytes(t, row, visit), now_ns)
    t.rows[row, index(t.visits[visit].column)] += arrival_ns - now_ns
    return arrival_ns


@inlined
def message_bytes(t: PlaneTables, row: int, visit: int) -> int:
    """Return the size of a request's message."""
    return whole(t.visits[visit].mean * t.rows_f[row, SIZE])


@inlined
def transmit(t: PlaneTables, link: int, size_bytes: int, now_ns: int) -> int:
    """Send a message over a link; return the time at which all of it has arrived.

    By Lindley's recurrence ("The theory of queues with a single server", 1952), transmission starts
    when the message has arrived and the message before it has been sent. Work is in billionths of a
    byte, because rates are per second and times in nanoseconds.
    """
    stops = t.stops
    start_ns = max(now_ns, stops[link].free_ns)
    free_ns = _done(stops, t.steps, link, start_ns, size_bytes * NS_PER_S)
    stops[link].free_ns = free_ns
    return int(free_ns + stops[link].propagation_ns)


@inlined
def serve_alone(
    t: PlaneTables,
    row: int,
    visit: int,
    station: int,
    entered_ns: int,
    freed_ns: int,
    start_ns: int,
) -> int:
    """Serve a request on a server free since ``freed_ns``; return the end of its service."""
    line = index(t.visits[visit].column)
    work_ns = station_work_ns(t.rows_f, t.visits, row, visit, line)
    finish_ns = _finish(t.stops, t.steps, station, start_ns, work_ns, 1.0)
    # The request does not wait for a batch; its batching time has been 0 since its birth.
    t.rows[row, index(line + QUEUEING)] = max(0, freed_ns - entered_ns)
    t.rows[row, index(line + COMPUTE)] = finish_ns - start_ns
    return finish_ns


@inlined
def _finish(
    stops: RecordArray, steps: Ints, station: int, start_ns: int, work_ns: int, factor: float
) -> int:
    """Return the end of a service of length ``work_ns`` x ``factor``; add to the busy time."""
    if stops[station].steady:
        finish_ns = start_ns + batch_ns(work_ns, factor, 1.0)
    else:
        duration_ns = batch_ns(work_ns, factor, stops[station].slowdown)
        if stops[station].rate == NOMINAL and stops[station].rate_until_ns == NEVER:
            finish_ns = start_ns + duration_ns
        else:
            finish_ns = _done(stops, steps, station, start_ns, duration_ns * NOMINAL)
    stops[station].busy_ns += finish_ns - start_ns
    return finish_ns


@inlined
def _done(stops: RecordArray, steps: Ints, stop: int, start_ns: int, work: int) -> int:
    """Return the time at which a stop finishes ``work`` (rate unit) x ns; see `finish_ns`.

    A stop begins its services in order of time, so the search for the step of its rate begins at
    the last used step, and it mostly takes O(1).
    """
    if start_ns >= stops[stop].rate_until_ns:
        at, n = stops[stop].steps_at, stops[stop].steps
        step = step_at(steps, at, n, stops[stop].step, start_ns)
        stops[stop].step, stops[stop].rate = step, steps[at + n + step]
        stops[stop].rate_until_ns = steps[at + step + 1] if step + 1 < n else NEVER
    rate = stops[stop].rate
    if rate > 0:
        done_ns = start_ns + divided_up(work, rate)
        if done_ns <= stops[stop].rate_until_ns:
            return done_ns
    return finish_ns(
        steps, stops[stop].steps_at, stops[stop].steps, stops[stop].step, start_ns, work
    )


# Links and stations, for a block


@inlined
def take_link(t: PlaneTables, link: int, until_ns: int) -> None:
    """Send the messages at an inline link up to the sync point."""
    rows, out = t.rows, t.out
    n = gather(t, link, until_ns)
    left = t.counts[OUT]
    for i in range(n):
        fetch_next(t, t.row_ids, i, n)
        row = index(t.row_ids[i])
        visit = index(rows[row, VISIT])
        t.times[row] = cross(t, row, visit, link, t.times[row])
        rows[row, VISIT] = visit + 1
        out[left] = row
        left += 1
    t.counts[OUT] = left


@inlined
def take_alone(t: PlaneTables, station: int, until_ns: int) -> None:
    """Simulate a station that serves one request at a time, up to the sync point."""
    release(t, station, until_ns)
    n = gather(t, station, until_ns)
    if t.stops[station].failed:
        lose_arrivals(t, n)
    else:
        _serve_singly(t, station, n, until_ns)


@inlined
def take_station(t: PlaneTables, station: int, until_ns: int) -> None:
    """Simulate a station up to the sync point, with batches if its batch size is above 1."""
    if t.stops[station].max_batch == 1:
        take_alone(t, station, until_ns)
        return
    release(t, station, until_ns)
    n = gather(t, station, until_ns)
    if t.stops[station].failed:
        lose_arrivals(t, n)
        return
    for i in range(n):
        wait(t, station, t.row_ids[i])
    start_ns = _next_start(t, station)
    while start_ns < until_ns:
        _serve_batch(t, station, start_ns, until_ns)
        start_ns = _next_start(t, station)


@in_place
def order_out(t: PlaneTables) -> None:
    """Sort rows that leave a station with several servers by their departures; see `sort_rows`."""
    out, n, keys, row_ids = t.out, t.counts[OUT], t.keys, t.row_ids
    for i in range(n):
        row = index(out[i])
        keys[i], row_ids[i] = t.times[row], row
    sort_rows(t.rows, keys, row_ids, n)
    for i in range(n):
        out[i] = row_ids[i]


@inlined
def release(t: PlaneTables, station: int, until_ns: int) -> None:
    """Write to ``out`` the requests in service whose service ends before the sync point."""
    stops, out = t.stops, t.out
    row = stops[station].serving_first
    left = t.counts[OUT]
    if stops[station].servers == 1:  # Services end in the order of the list.
        while row != NONE and t.times[index(row)] < until_ns:
            out[index(left)] = row
            left += 1
            row = t.chain[index(row)]
        stops[station].serving_first = row
        if row == NONE:
            stops[station].serving_last = NONE
    else:
        stops[station].serving_first = stops[station].serving_last = NONE
        while row != NONE:
            row = index(row)
            following = t.chain[row]
            if t.times[row] < until_ns:
                out[index(left)] = row
                left += 1
            else:
                stay(t, station, row)
            row = following
    t.counts[OUT] = left


@inlined
def _serve_singly(t: PlaneTables, station: int, n: int, until_ns: int) -> None:
    """Serve requests one by one: first the waiting ones, then the first ``n`` of ``row_ids``."""
    stops = t.stops
    row = stops[station].waiting_first
    while row != NONE:
        following = t.chain[index(row)]
        if not _serve_next(t, station, index(row), until_ns):
            break
        row = following
        stops[station].waiting -= 1
    stops[station].waiting_first = row
    arrived = 0
    if row == NONE:
        stops[station].waiting_last = NONE
        while arrived < n:
            fetch_next(t, t.row_ids, arrived, n)
            if not _serve_next(t, station, index(t.row_ids[arrived]), until_ns):
                break
            arrived += 1
    for i in range(arrived, n):
        wait(t, station, index(t.row_ids[i]))


@inlined
def _serve_next(t: PlaneTables, station: int, row: int, until_ns: int) -> bool:
    """Serve a request on the server that is free first, if service starts before the sync point.

    This is the recurrence of Kiefer and Wolfowitz ("On the theory of queues with many servers",
    1955); for one server, it is Lindley's recurrence. The times at which servers become free form a
    heap, so this takes O(log servers).
    """
    rows, stops, times, servers = t.rows, t.stops, t.times, t.servers
    several, at = stops[station].servers, index(stops[station].servers_at)
    entered_ns = times[row]
    freed_ns = stops[station].free_ns if several == 1 else servers[at]
    start_ns = max(entered_ns, freed_ns)
    if start_ns >= until_ns:
        return False
    visit = index(rows[row, VISIT])
    finish_ns = serve_alone(t, row, visit, station, entered_ns, freed_ns, start_ns)
    times[row], rows[row, VISIT] = finish_ns, visit + 1
    if several == 1:
        stops[station].free_ns = finish_ns
    else:
        replace_least(servers, at, several, finish_ns)
    if finish_ns < until_ns:
        t.out[index(t.counts[OUT])] = row
        t.counts[OUT] += 1
    else:
        stay(t, station, row)
    return True


@inlined
def _next_start(t: PlaneTables, station: int) -> int:
    """Return the next batch's start if no more requests arrive, or NEVER if no request waits."""
    stops, servers = t.stops, t.servers
    first = stops[station].waiting_first
    if first == NONE:
        return NEVER
    freed_ns = stops[station].free_ns
    if stops[station].servers > 1:
        freed_ns = servers[stops[station].servers_at]
    filled_ns = NEVER
    most = stops[station].max_batch
    if stops[station].waiting >= most:
        row = first
        for _ in range(most - 1):
            row = t.chain[row]
        filled_ns = t.times[row]
    ready_ns = batch_ready_ns(t.times[first], filled_ns, stops[station].max_wait_ns)
    return int(max(freed_ns, ready_ns))


@inlined
def _serve_batch(t: PlaneTables, station: int, start_ns: int, until_ns: int) -> None:
    """Serve a batch of the waiting requests that have arrived by ``start_ns``."""
    stops, row_ids = t.stops, t.row_ids
    half = len(row_ids) // 2  # The first half may hold future arrivals.
    n, row = 0, stops[station].waiting_first
    while row != NONE and n < stops[station].max_batch and t.times[row] <= start_ns:
        row_ids[half + n] = row
        n += 1
        row = t.chain[row]
    stops[station].waiting_first = row
    stops[station].waiting -= n
    if row == NONE:
        stops[station].waiting_last = NONE
    serve_batch(t, station, half, n, start_ns, until_ns)


@inlined
def serve_batch(
    t: PlaneTables, station: int, first: int, n: int, start_ns: int, until_ns: int
) -> None:
    """Serve ``n`` rows of ``row_ids``, from index ``first`` on, as a batch; see `_serve_next`."""
    rows, stops, visits, row_ids, out = t.rows, t.stops, t.visits, t.row_ids, t.out
    several, at = stops[station].servers, stops[station].servers_at
    freed_ns = stops[station].free_ns if several == 1 else t.servers[at]
    work_ns, total_ns = 0, 0
    for i in range(first, first + n):
        visit = rows[row_ids[i], VISIT]
        line = visits[visit].column
        each_ns = station_work_ns(t.rows_f, t.visits, row_ids[i], visit, line)
        work_ns, total_ns = max(work_ns, each_ns), total_ns + each_ns
    factor = t.factors[stops[station].factors_at + n - 1] if n > 1 else 1.0
    if stops[station].averaged:
        work_ns, factor = average_batch_ns(total_ns, n, factor), 1.0
    finish_ns = _finish(stops, t.steps, station, start_ns, work_ns, factor)
    if several == 1:
        stops[station].free_ns = finish_ns
    else:
        replace_least(t.servers, at, several, finish_ns)
    for i in range(first, first + n):
        row = row_ids[i]
        visit = rows[row, VISIT]
        entered_ns = t.times[row]
        line = visits[visit].column
        rows[row, line + QUEUEING] = max(0, freed_ns - entered_ns)
        rows[row, line + BATCHING] = start_ns - max(entered_ns, freed_ns)
        rows[row, line + COMPUTE] = finish_ns - start_ns
        rows[row, VISIT] = visit + 1
        t.times[row] = finish_ns
    # The requests leave together, and reach the next stop in the order of query and number.
    for i in range(first + 1, first + n):
        row, j = row_ids[i], i - 1
        while j >= first and before(rows, 0, row, 0, row_ids[j]):
            row_ids[j + 1] = row_ids[j]
            j -= 1
        row_ids[j + 1] = row
    left = t.counts[OUT]
    for i in range(first, first + n):
        row = row_ids[i]
        if finish_ns < until_ns:
            out[left] = row
            left += 1
        else:
            stay(t, station, row)
    t.counts[OUT] = left
