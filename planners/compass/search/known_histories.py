"""The histories that a search may start from: of the latest queries that run, and that departed.

Those of running queries are read anew in each call; those of queries that wait are looked at once
they run. Of departed ones nothing more is learned, once what their last search wrote is seen: what
they leave is remembered side by side, and each call adds who has left since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

import numpy as np
from numpy.typing import NDArray

from planners.common import weak_cache
from planners.compass.state.known import History
from planners.compass.state.records import (
    dataset_state,
    search_settled,
    seen_search_states,
    update_dataset,
)
from scenarios.compiled import compiled
from scenarios.queries import Query
from sim import PlanningContext

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LOOKED_AT = 200
"""Of living and of departed queries each, the latest that may serve as histories."""


@dataclass(frozen=True, eq=False)
class HistoryStore:
    """The histories of a data set that a search may start from, H of them.

    Args:
        query: the query of each, shape (H,).
        content: their contents, shape (H, F).
        histories: the histories.
    """

    query: Integers
    content: Floats
    histories: Sequence[History]

    @classmethod
    def of(cls, queries: Sequence[int], histories: Sequence[History]) -> "HistoryStore":
        """Return histories of queries."""
        shape = len(histories), -1 if histories else 0
        contents = [history.content for history in histories]
        return cls(
            np.array(queries, dtype=np.int64),
            (np.concatenate(contents) if contents else np.zeros(0)).reshape(shape),
            histories,
        )

    def and_also(self, other: "HistoryStore") -> "HistoryStore":
        """Return these and others, which come after them."""
        if not self.histories or not other.histories:
            return self if self.histories else other
        return HistoryStore(
            np.concatenate([self.query, other.query]),
            np.concatenate([self.content, other.content]),
            [*self.histories, *other.histories],
        )

    def since(self, row: int) -> "HistoryStore":
        """Return all from a row on."""
        return HistoryStore(self.query[row:], self.content[row:], self.histories[row:])

    def nearest(self, query: int, content: Floats, most: int) -> list[History]:
        """Return those of other queries that are most like a content, of equals the latest."""
        chosen = _nearest(self.content, content, self.query, query, most)
        return [self.histories[at] for at in chosen.tolist()]


@dataclass(frozen=True, eq=False)
class DepartedHistories:
    """What the last departed queries have left of a data set, H histories.

    Args:
        known: the histories.
        place: how many had departed before the query of each, shape (H,).
        many: how many have, of any data set.
        last: the last of these; None if there is none.
    """

    known: HistoryStore
    place: Integers
    many: int = 0
    last: int | None = None

    def and_also(
        self, context: PlanningContext, departed: Sequence[Query], dataset: str, least_measured: int
    ) -> "DepartedHistories":
        """Return the same with queries that departed later, and without those too long ago."""
        rows, found = _seen(context, departed, dataset, least_measured)
        place = np.concatenate([self.place, self.many + rows])
        many = self.many + len(departed)
        first = int(np.searchsorted(place, many - LOOKED_AT))
        known = self.known.and_also(found).since(first)
        return DepartedHistories(known, place[first:], many, departed[-1].id)


def known_histories(context: PlanningContext, dataset: str, least_measured: int) -> HistoryStore:
    """Return the histories of a data set; they are looked up once in a call.

    Args:
        context: the planning context.
        dataset: name of the data set.
        least_measured: configurations that a query must have profiled to serve as one.
    """

    def look_up() -> HistoryStore:
        _, living = _seen(context, context.running[-LOOKED_AT:], dataset, least_measured)
        return living.and_also(_left(context, dataset, least_measured))

    return weak_cache.KEPT.of(context, ("histories", dataset, least_measured), look_up)


def _left(context: PlanningContext, dataset: str, least_measured: int) -> HistoryStore:
    """Return what departed queries have left of a data set."""
    departed = dataset_state(context, dataset).departed
    left = departed.get(least_measured)
    if left is None:
        left = DepartedHistories(HistoryStore.of([], []), np.zeros(0, dtype=np.int64))
    before, last = left.last, islice(context.bulk.last_departed(), LOOKED_AT)
    new = list(takewhile(lambda query: query.id != before, last))[::-1]
    settled = search_settled(context, [query.id for query in new])
    many = settled.index(False) if False in settled else len(new)
    if many:
        left = left.and_also(context, new[:many], dataset, least_measured)
        update_dataset(context, dataset, departed={**departed, least_measured: left})
    if many < len(new):  # More may be seen of these later.
        left = left.and_also(context, new[many:], dataset, least_measured)
    return left.known


def _seen(
    context: PlanningContext, queries: Sequence[Query], dataset: str, least_measured: int
) -> tuple[Integers, HistoryStore]:
    """Return which of some queries serve as histories of a data set, and those."""
    its = [(row, query.id) for row, query in enumerate(queries) if query.dataset == dataset]
    states = seen_search_states(context, [query for _, query in its])
    found = [
        (row, query, state.history)
        for (row, query), state in zip(its, states, strict=True)
        if state and state.history and state.history.measured >= least_measured
    ]
    rows = np.array([row for row, _, _ in found], dtype=np.int64)
    known = HistoryStore.of([query for _, query, _ in found], [history for _, _, history in found])
    return rows, known


@compiled
def _nearest(
    contents: Floats, content: Floats, queries: Integers, query: int, most: int
) -> Integers:
    """Return which histories of other queries are most like a content; see `HistoryStore.nearest`.

    Args:
        contents: see `HistoryStore`, shape (H, F).
        content: the content, shape (F,).
        queries: query of each, shape (H,).
        query: the query that looks for them.
        most: how many to return.
    """
    distance, chosen, count = np.empty(len(queries)), np.empty(most, dtype=np.int64), 0
    for row, its in enumerate(queries):
        if its == query:
            continue
        distance[row] = 0.0
        for feature in range(len(content)):
            distance[row] += (contents[row, feature] - content[feature]) ** 2
        at = count
        while at > 0:
            other = chosen[at - 1]
            if distance[row] > distance[other]:
                break
            if distance[row] == distance[other] and its < queries[other]:
                break
            if at < most:
                chosen[at] = other
            at -= 1
        if at < most:
            chosen[at] = row
            count = min(count + 1, most)
    return chosen[:count]
