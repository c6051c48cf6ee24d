"""Links whose capacity messages share equally; ``events/sharing.py`` is the reference.

A link's counter is the work that each of its messages has got. It may overflow, because only
differences of its values count, and these are below the work of the longest message. The messages
on a link are a heap of rows; see ``disciplines.py``.
"""

from scenarios.compiled import in_place, inlined
from sim.dataplane.base.durations import NEVER, NS_PER_S, share_of, shared_ns, step_at, whole
from sim.dataplane.base.request_rows import OUTCOME, SIZE, VISIT
from sim.dataplane.blocks.disciplines import put, rank_of, take_first
from sim.dataplane.blocks.lists import gather
from sim.dataplane.blocks.tables import FREE, GHOST, NONE, OUT, PlaneTables


@in_place
def take_shared(t: PlaneTables, link: int, until_ns: int) -> None:
    """Send the messages on a shared link up to the sync point, event by event."""
    n, i = gather(t, link, until_ns), 0
    while True:
        now_ns = _next_end_ns(t, link)
        if i < n:
            now_ns = min(now_ns, t.times[t.row_ids[i]])
        if now_ns >= until_ns:
            break
        _count(t, link, now_ns)
        while t.stops[link].waiting > 0 and rank_of(t, link, t.stops[link].waiting_first) <= 0:
            _send(t, link, take_first(t, link), now_ns)
        while i < n and t.times[t.row_ids[i]] == now_ns:
            _enter(t, link, t.row_ids[i])
            i += 1


@inlined
def _next_end_ns(t: PlaneTables, link: int) -> int:
    """Return the time at which the next message has been sent if none arrives, or NEVER."""
    stops = t.stops
    if stops[link].waiting == 0:
        return NEVER
    at, steps, since_ns = stops[link].steps_at, stops[link].steps, stops[link].free_ns
    left = rank_of(t, link, stops[link].waiting_first)
    return shared_ns(t.steps, at, steps, stops[link].step, since_ns, left, stops[link].waiting)


@inlined
def _count(t: PlaneTables, link: int, now_ns: int) -> None:
    """Bring a link's counter up to date."""
    stops = t.stops
    at, steps, since_ns = stops[link].steps_at, stops[link].steps, stops[link].free_ns
    if stops[link].waiting > 0:
        stops[link].busy_ns += share_of(
            t.steps, at, steps, stops[link].step, since_ns, now_ns, stops[link].waiting
        )
    stops[link].step = step_at(t.steps, at, steps, stops[link].step, now_ns)
    stops[link].free_ns = now_ns


@inlined
def _enter(t: PlaneTables, link: int, row: int) -> None:
    """Let a message join those on a link, whose counter is up to date."""
    size_bytes = whole(t.visits[t.rows[row, VISIT]].mean * t.rows_f[row, SIZE])
    t.jobs[row].left = t.stops[link].busy_ns + size_bytes * NS_PER_S
    put(t, link, row)


@inlined
def _send(t: PlaneTables, link: int, row: int, now_ns: int) -> None:
    """Write to ``out`` a message that has been sent; free the row of a ghost."""
    rows, counts = t.rows, t.counts
    if rows[row, OUTCOME] == GHOST:
        _free(t, row)
        return
    arrival_ns = now_ns + t.stops[link].propagation_ns
    visit = rows[row, VISIT]
    rows[row, t.visits[visit].column] += arrival_ns - t.times[row]
    t.times[row], rows[row, VISIT] = arrival_ns, visit + 1
    t.out[counts[OUT]] = row
    counts[OUT] += 1


@inlined
def _free(t: PlaneTables, ghost: int) -> None:
    t.rows[ghost, OUTCOME] = NONE
    t.free[t.counts[FREE]] = ghost
    t.counts[FREE] += 1


@in_place
def free_ghosts(t: PlaneTables, link: int) -> None:
    """Free the rows of a link that carries only ghosts."""
    while t.stops[link].waiting > 0:
        _free(t, take_first(t, link))
