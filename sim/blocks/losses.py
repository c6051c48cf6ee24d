"""What the control plane takes from stops: requests of failing stations, and aborted ones."""

from sim.blocks.lists import end, push, stay, wait
from sim.blocks.tables import IS_IN_FLIGHT, IS_LOST, NONE, Tables
from sim.compiled import in_place
from sim.request_rows import AT, NEXT, OUTCOME


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
            if rows[slot, OUTCOME] == IS_IN_FLIGHT:
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
            end(rows, t.flights, t.ended, t.counts, slot, IS_LOST, at_ns)
            slot = following
