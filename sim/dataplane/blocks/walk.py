"""How a request walks through inline stops: one after the other, while its row is at hand."""

from scenarios.compiled import inlined
from sim._jit.indexing import index
from sim.dataplane.base.request_rows import VISIT
from sim.dataplane.blocks.lists import end, push, stay, wait
from sim.dataplane.blocks.stops import cross, serve_alone
from sim.dataplane.blocks.tables import (
    IS_COMPLETED,
    IS_LOST,
    LINK,
    NONE,
    SINK,
    SINK_STOP,
    Ints,
    PlaneTables,
)


@inlined
def walk(t: PlaneTables, due_ns: Ints, slot: int, visit: int, now_ns: int, until_ns: int) -> None:
    """Let a row go on from a visit, as far as it gets before the sync point without being sorted.

    ``due_ns`` gets when inline stops go on with what they keep.
    """
    stops, visits = t.stops, t.visits
    while True:
        stop = visits[visit].stop
        if stop == NONE:
            if now_ns < until_ns:
                end(t, slot, IS_COMPLETED, now_ns)
            else:
                push(t, SINK_STOP, slot, now_ns)
            break
        stop = index(stop)
        kind = stops[stop].inline
        if kind == SINK:
            push(t, stop, slot, now_ns)
            break
        if now_ns >= until_ns:
            push(t, stop, slot, now_ns)
            _note(due_ns, stops[stop].place, now_ns)
            break
        if kind == LINK:
            now_ns = cross(t, slot, visit, stop, now_ns)
            visit += 1
            continue
        if stops[stop].failed:
            end(t, slot, IS_LOST, now_ns)
            break
        freed_ns = stops[stop].free_ns
        start_ns = max(now_ns, freed_ns)
        if start_ns >= until_ns:
            t.times[slot] = now_ns
            wait(t, stop, slot)
            _note(due_ns, stops[stop].place, freed_ns)
            break
        now_ns = serve_alone(t, slot, visit, stop, now_ns, freed_ns, start_ns)
        stops[stop].free_ns = now_ns
        visit += 1
        if now_ns >= until_ns:
            t.times[slot] = now_ns
            stay(t, stop, slot)
            _note(due_ns, stops[stop].place, now_ns)
            break
    t.rows[slot, VISIT] = visit


@inlined
def _note(due_ns: Ints, place: int, at_ns: int) -> None:
    """Note that an inline stop goes on at a time, if not before."""
    due_ns[place] = min(due_ns[place], at_ns)
