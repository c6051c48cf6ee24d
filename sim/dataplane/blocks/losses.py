"""What the control plane takes from stops: requests of failing stations, and aborted ones."""

from scenarios.compiled import in_place
from sim.dataplane.base.request_rows import DEPLOYMENT
from sim.dataplane.blocks.disciplines import lay_out, put
from sim.dataplane.blocks.lists import end, push, stay, wait
from sim.dataplane.blocks.tables import IS_DROPPED, IS_LOST, NONE, RANKED, PlaneTables


@in_place
def drop(t: PlaneTables, stop: int, deployment: int, at_ns: int) -> None:
    """Drop the requests of a deployment that a stop holds; a server goes on with what it serves."""
    rows, stops = t.rows, t.stops
    ranked = stops[stop].kind == RANKED
    if ranked:
        lay_out(t, stop)
    lists = (stops[stop].arriving_first, stops[stop].waiting_first, stops[stop].serving_first)
    stops[stop].arriving_first = stops[stop].arriving_last = NONE
    stops[stop].waiting_first = stops[stop].waiting_last = NONE
    stops[stop].serving_first = stops[stop].serving_last = NONE
    stops[stop].waiting = 0
    for i in range(3):
        slot = lists[i]
        while slot != NONE:
            following = t.chain[slot]
            if rows[slot, DEPLOYMENT] == deployment:
                end(t, slot, IS_DROPPED, at_ns)
            elif i == 0:
                push(t, stop, slot, t.times[slot])
            elif i == 1 and ranked:
                put(t, stop, slot)
            elif i == 1:
                wait(t, stop, slot)
            else:
                stay(t, stop, slot)
            slot = following


@in_place
def lose(t: PlaneTables, station: int, at_ns: int) -> None:
    """Lose all that a station has in its queue and in service."""
    stops = t.stops
    if stops[station].kind == RANKED:
        lay_out(t, station)
    lists = (stops[station].waiting_first, stops[station].serving_first)
    stops[station].waiting_first = stops[station].waiting_last = NONE
    stops[station].serving_first = stops[station].serving_last = NONE
    stops[station].waiting = 0
    for i in range(2):
        slot = lists[i]
        while slot != NONE:
            following = t.chain[slot]
            end(t, slot, IS_LOST, at_ns)
            slot = following
