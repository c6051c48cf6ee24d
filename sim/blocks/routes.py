"""Routes as compiled code reads them: visits leg by leg, and a stop for each fork and join."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from scenarios.application import Tokens
from sim.blocks.tables import FORK, JOIN, NONE, Table
from sim.data_plane import Route, Visit
from sim.request_rows import ANSWER, TRANSFER, line_of


class LaidRoute(NamedTuple):
    """A route that was laid out.

    Args:
        query: whose.
        spans: numbers of its spans, leg by leg, and behind them of those that lead from a fork
            right to a join.
        gates: its forks, each with the visits at which its branches begin; and its joins, each with
            the visit that follows and how many branches it awaits.
        legs: how many legs it has; a request has no more branches at a time.
        most_branches: most branches that one fork makes; 1 without any.
    """

    query: int
    spans: tuple[int, ...]
    gates: Mapping[int, list[int]]
    legs: int
    most_branches: int


class RouteTables(NamedTuple):
    """Where routes are laid out.

    Args:
        stop_of: stops by ("station" or "link", id).
        visits: visits.
        spans: runs of them.
        tokens: what visits to language models take.
        add_gate: makes a stop of kind FORK or JOIN.
        operators: operators of the application, behind which a visit is one of the answer.
    """

    stop_of: Mapping[tuple[str, int], int]
    visits: Table
    spans: Table
    tokens: Table
    add_gate: Callable[[int], int]
    operators: int


def lay_out(query: int, route: Route, tables: RouteTables) -> LaidRoute:
    """Lay a route out, so that its visits are numbered in the order of its legs."""
    legs, visits = route.legs, tables.visits
    followers: list[list[int]] = [[] for _ in legs]
    for at, leg in enumerate(legs):
        for earlier in leg.after:
            followers[earlier].append(at)
    forks = {at: tables.add_gate(FORK) for at, some in enumerate(followers) if len(some) > 1}
    joins = {at: tables.add_gate(JOIN) for at, leg in enumerate(legs) if len(leg.after) > 1}
    starts: list[int] = []
    spans: list[int] = []
    for at, leg in enumerate(legs):
        end = NONE
        if followers[at]:
            end = forks[at] if at in forks else joins[followers[at][0]]
        whence = NONE
        if leg.after:
            whence = joins[at] if at in joins else forks[leg.after[0]]
        starts.append(visits.count)
        for visit in leg.visits:
            _add(visit, tables)
        length = len(leg.visits) + (end != NONE)
        spans.append(_add_span(tables.spans, starts[at], length, whence, query))
        _add_end(visits, end)
    steps = {join: [starts[at], len(legs[at].after)] for at, join in joins.items()}
    for at, fork in forks.items():
        steps[fork] = [starts[one] for one in followers[at]]
        for number, one in enumerate(followers[at]):
            if one in joins:
                steps[fork][number] = _add_end(visits, joins[one])
                spans.append(_add_span(tables.spans, steps[fork][number], 1, fork, query))
    most = max(map(len, followers))
    return LaidRoute(query, tuple(spans), steps, len(legs), max(1, most))


def _add_span(spans: Table, first: int, length: int, gate: int, query: int) -> int:
    number = spans.take()
    spans.rows[number] = first, length, gate, query
    return number


def _add_end(visits: Table, stop: int) -> int:
    number = visits.append()
    visits.rows["stop"][number] = stop
    return number


def _add(visit: Visit, tables: RouteTables) -> None:
    number = tables.visits.append()
    row = tables.visits.rows[number]
    row["column"] = line_of(visit.operator)
    if visit.link is not None:
        row["stop"] = tables.stop_of["link", visit.link]
        answers = visit.operator == tables.operators
        row["column"] = ANSWER if answers else line_of(visit.operator) + TRANSFER
    elif visit.station is not None:
        row["stop"] = tables.stop_of["station", visit.station]
    if isinstance(visit.mean, Tokens):
        row["tokens"] = tables.tokens.append()
        tables.tokens.rows[row["tokens"]] = (
            visit.mean.prompt,
            visit.mean.output,
            visit.mean.sequences,
        )
    else:
        row["mean"] = visit.mean
