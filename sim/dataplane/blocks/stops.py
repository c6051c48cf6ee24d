"""What happens at one stop between two sync points: arrivals, batches, bytes.

A stop is simulated for a whole block at once. That is exact, because stops come in the order in
which requests travel, and at each moment the event data plane handles all arrivals before dispatch.
Rows that leave before the sync point go to ``out``.
"""

from scenarios.compiled import in_place, inlined
from scenarios.numerics import Floats, Ints
from sim._jit.hints import index
from sim.dataplane.base.durations import (
    NEVER,
    NOMINAL,
    NS_PER_S,
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
    sort_slots,
    stay,
    wait,
)
from sim.dataplane.blocks.tables import NONE, OUT, PlaneTables, RecordArray

# Servers


@inlined
def replace_least(heap: Ints, at: int, n: int, value: int) -> None:
    """Replace the least value of a binary heap of ``n`` values that begins at index ``at``."""
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
def station_work_ns(rows_f: Floats, visits: RecordArray, slot: int, visit: int, line: int) -> int:
    """Return how long a request would be served alone, at nominal speed."""
    mean = visits[visit].mean
    return whole(mean * rows_f[slot, SIZE] * rows_f[slot, index(line + VARIABILITY)])


@inlined
def cross(t: PlaneTables, slot: int, visit: int, link: int, now_ns: int) -> int:
    """Send a request's message over a link; return when all of it has arrived."""
    rows, stops, visits = t.rows, t.stops, t.visits
    size_bytes = whole(visits[visit].mean * t.rows_f[slot, SIZE])
    start_ns = max(now_ns, stops[link].free_ns)
    free_ns = _done(stops, t.steps, link, start_ns, size_bytes * NS_PER_S)
    stops[link].free_ns = free_ns
    arrival_ns = free_ns + stops[link].propagation_ns
    rows[slot, index(visits[visit].column)] += arrival_ns - now_ns
    return int(arrival_ns)


@inlined
def serve_alone(
    t: PlaneTables,
    slot: int,
    visit: int,
    station: int,
    entered_ns: int,
    freed_ns: int,
    start_ns: int,
) -> int:
    """Serve one request on a server that is free since ``freed_ns``; return when it is done."""
    line = index(t.visits[visit].column)
    work_ns = station_work_ns(t.rows_f, t.visits, slot, visit, line)
    finish_ns = _finish(t.stops, t.steps, station, start_ns, work_ns, 1.0)
    # It waits for no batch, and its batching time is 0 since its birth.
    t.rows[slot, index(line + QUEUEING)] = max(0, freed_ns - entered_ns)
    t.rows[slot, index(line + COMPUTE)] = finish_ns - start_ns
    return finish_ns


@inlined
def _finish(
    stops: RecordArray, steps: Ints, station: int, start_ns: int, work_ns: int, factor: float
) -> int:
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
    """Return when a stop has done its work."""
    # What a stop begins, it begins in the order of time: the step that held last is at hand.
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
    """Send the messages of an inline link before the sync point."""
    rows, out = t.rows, t.out
    n = gather(t, link, until_ns)
    left = t.counts[OUT]
    for i in range(n):
        fetch_next(t, t.slots, i, n)
        slot = index(t.slots[i])
        visit = index(rows[slot, VISIT])
        t.times[slot] = cross(t, slot, visit, link, t.times[slot])
        rows[slot, VISIT] = visit + 1
        out[left] = slot
        left += 1
    t.counts[OUT] = left


@inlined
def take_alone(t: PlaneTables, station: int, until_ns: int) -> None:
    """Let a station that serves one request at a time serve up to the sync point."""
    release(t, station, until_ns)
    n = gather(t, station, until_ns)
    if t.stops[station].failed:
        lose_arrivals(t, n)
    else:
        _serve_singly(t, station, n, until_ns)


@inlined
def take_station(t: PlaneTables, station: int, until_ns: int) -> None:
    """Let a station serve up to the sync point."""
    if t.stops[station].max_batch == 1:
        take_alone(t, station, until_ns)
        return
    release(t, station, until_ns)
    n = gather(t, station, until_ns)
    if t.stops[station].failed:
        lose_arrivals(t, n)
        return
    for i in range(n):
        wait(t, station, t.slots[i])
    start_ns = _next_start(t, station)
    while start_ns < until_ns:
        _serve_batch(t, station, start_ns, until_ns)
        start_ns = _next_start(t, station)


@in_place
def order_out(t: PlaneTables) -> None:
    """Sort rows that leave several servers by the time when they leave."""
    out, n, keys, slots = t.out, t.counts[OUT], t.keys, t.slots
    for i in range(n):
        slot = index(out[i])
        keys[i], slots[i] = t.times[slot], slot
    sort_slots(t.rows, keys, slots, n)
    for i in range(n):
        out[i] = slots[i]


@inlined
def release(t: PlaneTables, station: int, until_ns: int) -> None:
    """Release requests that were in service at the last sync point and are done before the next."""
    stops, out = t.stops, t.out
    slot = stops[station].serving_first
    left = t.counts[OUT]
    if stops[station].servers == 1:
        while slot != NONE and t.times[index(slot)] < until_ns:
            out[index(left)] = slot
            left += 1
            slot = t.chain[index(slot)]
        stops[station].serving_first = slot
        if slot == NONE:
            stops[station].serving_last = NONE
    else:
        stops[station].serving_first = stops[station].serving_last = NONE
        while slot != NONE:
            slot = index(slot)
            following = t.chain[slot]
            if t.times[slot] < until_ns:
                out[index(left)] = slot
                left += 1
            else:
                stay(t, station, slot)
            slot = following
    t.counts[OUT] = left


@inlined
def _serve_singly(t: PlaneTables, station: int, n: int, until_ns: int) -> None:
    """Serve request by request: first the waiting ones, then the first ``n`` of ``slots``."""
    stops = t.stops
    slot = stops[station].waiting_first
    while slot != NONE:
        following = t.chain[index(slot)]
        if not _serve_next(t, station, index(slot), until_ns):
            break
        slot = following
        stops[station].waiting -= 1
    stops[station].waiting_first = slot
    arrived = 0
    if slot == NONE:
        stops[station].waiting_last = NONE
        while arrived < n:
            fetch_next(t, t.slots, arrived, n)
            if not _serve_next(t, station, index(t.slots[arrived]), until_ns):
                break
            arrived += 1
    for i in range(arrived, n):
        wait(t, station, index(t.slots[i]))


@inlined
def _serve_next(t: PlaneTables, station: int, slot: int, until_ns: int) -> bool:
    """Serve a request on the first free server, if it is free before the sync point."""
    rows, stops, times, servers = t.rows, t.stops, t.times, t.servers
    several, at = stops[station].servers, index(stops[station].servers_at)
    entered_ns = times[slot]
    freed_ns = stops[station].free_ns if several == 1 else servers[at]
    start_ns = max(entered_ns, freed_ns)
    if start_ns >= until_ns:
        return False
    visit = index(rows[slot, VISIT])
    finish_ns = serve_alone(t, slot, visit, station, entered_ns, freed_ns, start_ns)
    times[slot], rows[slot, VISIT] = finish_ns, visit + 1
    if several == 1:
        stops[station].free_ns = finish_ns
    else:
        replace_least(servers, at, several, finish_ns)
    if finish_ns < until_ns:
        t.out[index(t.counts[OUT])] = slot
        t.counts[OUT] += 1
    else:
        stay(t, station, slot)
    return True


@inlined
def _next_start(t: PlaneTables, station: int) -> int:
    """Return when the next batch of a queue begins; NEVER if that depends on unknown arrivals."""
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
        slot = first
        for _ in range(most - 1):
            slot = t.chain[slot]
        filled_ns = t.times[slot]
    ready_ns = batch_ready_ns(t.times[first], filled_ns, stops[station].max_wait_ns)
    return int(max(freed_ns, ready_ns))


@inlined
def _serve_batch(t: PlaneTables, station: int, start_ns: int, until_ns: int) -> None:
    stops, slots = t.stops, t.slots
    half = len(slots) // 2  # The first half may hold future arrivals.
    n, slot = 0, stops[station].waiting_first
    while slot != NONE and n < stops[station].max_batch and t.times[slot] <= start_ns:
        slots[half + n] = slot
        n += 1
        slot = t.chain[slot]
    stops[station].waiting_first = slot
    stops[station].waiting -= n
    if slot == NONE:
        stops[station].waiting_last = NONE
    serve_batch(t, station, half, n, start_ns, until_ns)


@inlined
def serve_batch(
    t: PlaneTables, station: int, first: int, n: int, start_ns: int, until_ns: int
) -> None:
    """Serve the ``n`` rows of ``slots`` from index ``first`` on as a batch."""
    rows, stops, visits, slots, out = t.rows, t.stops, t.visits, t.slots, t.out
    several, at = stops[station].servers, stops[station].servers_at
    freed_ns = stops[station].free_ns if several == 1 else t.servers[at]
    work_ns = 0
    for i in range(first, first + n):
        visit = rows[slots[i], VISIT]
        line = visits[visit].column
        work_ns = max(work_ns, station_work_ns(t.rows_f, t.visits, slots[i], visit, line))
    factor = t.factors[stops[station].factors_at + n - 1] if n > 1 else 1.0
    finish_ns = _finish(stops, t.steps, station, start_ns, work_ns, factor)
    if several == 1:
        stops[station].free_ns = finish_ns
    else:
        replace_least(t.servers, at, several, finish_ns)
    for i in range(first, first + n):
        slot = slots[i]
        visit = rows[slot, VISIT]
        entered_ns = t.times[slot]
        line = visits[visit].column
        rows[slot, line + QUEUEING] = max(0, freed_ns - entered_ns)
        rows[slot, line + BATCHING] = start_ns - max(entered_ns, freed_ns)
        rows[slot, line + COMPUTE] = finish_ns - start_ns
        rows[slot, VISIT] = visit + 1
        t.times[slot] = finish_ns
    # They leave together, and reach the next stop in the order of query and number.
    for i in range(first + 1, first + n):
        slot, j = slots[i], i - 1
        while j >= first and before(rows, 0, slot, 0, slots[j]):
            slots[j + 1] = slots[j]
            j -= 1
        slots[j + 1] = slot
    left = t.counts[OUT]
    for i in range(first, first + n):
        slot = slots[i]
        if finish_ns < until_ns:
            out[left] = slot
            left += 1
        else:
            stay(t, station, slot)
    t.counts[OUT] = left
