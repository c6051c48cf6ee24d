"""Routes for compiled code, with visits leg by leg, and with a stop for each fork and join."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from scenarios.applications.dataset import Tokens
from sim.dataplane.base.interface import Route, Visit
from sim.dataplane.base.request_rows import ANSWER, TRANSFER, line_of
from sim.dataplane.blocks.tables import FORK, JOIN, NONE, VISIT, RecordTable, ValuePool

NO_GATES: Mapping[int, list[int]] = {}  # one for all routes, which may be many


class LaidRoute(NamedTuple):
    """A route as rows of tables."""

    query: int  # id of its query
    first: int  # the first of its visits
    tokens: tuple[int, ...]  # numbers of its rows of ``tokens``
    # Numbers of its spans, leg by leg, then of the spans that lead straight from fork to join.
    spans: tuple[int, ...]
    # Its forks, each with the visits at which its branches begin; and its joins, each with the
    # visit that follows and how many branches it awaits.
    gates: Mapping[int, list[int]]
    legs: int  # number of legs; a request never has more branches at once
    most_branches: int  # largest number of branches of a fork; 1 without forks


class RouteTables(NamedTuple):
    """The tables of routes."""

    stations: Mapping[int, int]  # stops of stations by id
    links: Mapping[int, int]  # stops of links by id
    visits: ValuePool  # visits, route by route
    spans: RecordTable  # runs of visits
    tokens: RecordTable  # tokens of visits to language models
    add_gate: Callable[[int], int]  # function that creates a stop of kind FORK or JOIN
    operators: int  # number of operators; the visits of the answer have this number


def lay_out(query: int, route: Route, tables: RouteTables) -> LaidRoute:
    """Add a route to the tables; its visits are numbered leg by leg."""
    legs = route.legs
    followers: list[list[int]] = [[] for _ in legs]
    for at, leg in enumerate(legs):
        for earlier in leg.after:
            followers[earlier].append(at)
    forks = {at: tables.add_gate(FORK) for at, some in enumerate(followers) if len(some) > 1}
    joins = {at: tables.add_gate(JOIN) for at, leg in enumerate(legs) if len(leg.after) > 1}
    visits: list[_Visit] = []
    tokens: list[int] = []
    starts: list[int] = []
    spans: list[tuple[int, int, int]] = []
    for at, leg in enumerate(legs):
        end = NONE
        if followers[at]:
            end = forks[at] if at in forks else joins[followers[at][0]]
        whence = NONE
        if leg.after:
            whence = joins[at] if at in joins else forks[leg.after[0]]
        starts.append(len(visits))
        visits += [_visit(visit, tables, tokens) for visit in leg.visits]
        spans.append((starts[at], len(leg.visits) + (end != NONE), whence))
        visits.append(_Visit(end))
    begins = {fork: [starts[one] for one in followers[at]] for at, fork in forks.items()}
    for at, fork in forks.items():
        for number, one in enumerate(followers[at]):
            if one in joins:
                begins[fork][number] = len(visits)
                spans.append((len(visits), 1, fork))
                visits.append(_Visit(joins[one]))
    first = tables.visits.put(np.array(visits, dtype=VISIT))
    gates = {join: [first + starts[at], len(legs[at].after)] for at, join in joins.items()}
    gates |= {fork: [first + each for each in its] for fork, its in begins.items()}
    return LaidRoute(
        query,
        first,
        tuple(tokens),
        tuple(
            _add_span(tables.spans, first + at, length, gate, query) for at, length, gate in spans
        ),
        gates or NO_GATES,
        len(legs),
        max(1, *map(len, followers)),
    )


class _Visit(NamedTuple):
    """A row of the table of visits; see ``VISIT``."""

    stop: int
    column: int = 0
    mean: float = 0.0
    fixed_share: float = 0.0


def _visit(visit: Visit, tables: RouteTables, tokens: list[int]) -> _Visit:
    """Return a visit as a row; add the number of a new row of tokens to ``tokens``."""
    stop, column = NONE, line_of(visit.operator)
    if visit.link is not None:
        stop = tables.links[visit.link]
        answers = visit.operator == tables.operators
        column = ANSWER if answers else line_of(visit.operator) + TRANSFER
    elif visit.station is not None:
        stop = tables.stations[visit.station]
    if not isinstance(visit.mean, Tokens):
        return _Visit(stop, column, visit.mean, visit.fixed_share)
    row, mean = tables.tokens.take(), visit.mean
    tables.tokens.rows[row] = mean.prompt, mean.output, mean.sequences
    tokens.append(row)
    return _Visit(stop, column, row)


def _add_span(spans: RecordTable, first: int, length: int, gate: int, query: int) -> int:
    number = spans.take()
    spans.rows[number] = first, length, gate, query
    return number
