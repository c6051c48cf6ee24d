"""Warm starts: the results of earlier queries become the prior of a new query's surrogates.

A history consists of the final beliefs of an earlier query's search. Profiles (accuracy, times on
profiling hardware) depend on data set and content. So histories come from queries of the same data
set, and the ones used are those whose items' mean features are nearest to the query's. The weight
of history h depends on how well it ranks the measurements so far (RGPE; Feurer, Letham and Bakshy
2018),

    w_h ~ exp(-loss_h / temperature),

where loss_h is the share of wrongly ranked pairs among all pairs of configurations with different
measurements. The paper on Compass confirms similarity-based warm starts with about ten histories,
and a switch to the query's own model when it matures. The rest is reconstructed. The paper's
measure of similarity (device speed, bandwidth, SLO) is not used, because profiles do not depend on
these.

Histories of running queries are read in each call. A waiting query provides no history until it
runs. Histories of departed queries are kept for each data set once all records of the queries'
searches are visible.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from math import exp
from typing import Literal

import numpy as np

from planners.bayesopt.encodings import blocks
from planners.bayesopt.gaussian_process import GaussianProcess
from planners.common.ranges import InRange, Positive, WholeNumber
from planners.common.weak_cache import KEPT
from planners.compass.profiling.estimates import rare_variance
from planners.compass.search.cmbo import LOG_TIME_SCALE, SHORTEST_S, Domain
from planners.compass.state.records import (
    History,
    Seen,
    search_settled,
    seen_search_states,
)
from scenarios.applications.pipeline import Pipeline
from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints, Singles
from scenarios.queries import Query
from sim import PlanningContext

DEPARTED, OFFLINE = "compass departed", "compass offline"
"""Keys of a data set's records: its `DepartedHistories`, and its offline `History`."""

LOOKED_AT = 200
"""Number of the latest histories that are considered, of present and of departed queries each."""


@dataclass(frozen=True)
class Prior:
    """The weighted mean of several histories."""

    accuracy: Floats  # of shape (C,)
    log_time: Floats  # of shape (C, N)


@dataclass(frozen=True)
class WarmStart(InRange):
    """Chooses histories and computes their weights.

    Args:
        histories: number of histories used in addition to that of ``ahead``; each costs planning
            time.
        ahead: number of items on which configurations are profiled before a data set's first query,
            as in VideoStorm; 0 turns this off. The results are the data set's first history. This
            departs from the paper.
        least_measured: number of configurations that a query must have profiled to provide a
            history.
        temperature: the loss at which a history's weight is 1/e of its weight at no loss.
        sharing: ``"ranked"`` weights histories by how well they rank measurements, as above.
            ``"pooled"`` lets all queries of a data set share one model of accuracy
            (`PooledAccuracy`), to which waiting queries contribute too; then only the histories of
            times are weighted.

    Raises:
        ValueError: a number is out of range.
    """

    histories: WholeNumber = 10
    ahead: WholeNumber = 16
    least_measured: WholeNumber = 3
    temperature: Positive = 0.1
    sharing: Literal["ranked", "pooled"] = "ranked"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sharing not in ("ranked", "pooled"):
            raise ValueError(f"sharing={self.sharing!r}: choose ranked or pooled")
        if self.ahead == 1:
            raise ValueError("ahead=1: must be 0, or 2 or more")

    def choose(
        self,
        context: PlanningContext,
        query: Query,
        content: Floats,
        features: Callable[[Pipeline], Floats],
    ) -> list[History]:
        """Return the histories with mean features nearest to ``content``; charge planning time."""
        first = profiled_ahead(
            context, query.dataset, self.ahead, features, apart=self.sharing == "pooled"
        )
        start = [] if first is None else [first]
        if self.histories == 0:
            context.charge(query, "history", len(start))
            return start
        known = (
            known_histories(context, query.dataset, 1, waiting=True)
            if self.sharing == "pooled"
            else known_histories(context, query.dataset, self.least_measured)
        )
        chosen = known.nearest(query.id, content, self.histories)
        context.charge(query, "history", len(chosen) + len(start))
        return [*start, *chosen]

    def prior(
        self, histories: Sequence[History], measured: Ints, accuracy: Floats, total_s: Floats
    ) -> Prior | None:
        """Return the mean of histories, weighted by how well they rank measurements, or None.

        The arrays, of shape (m,), are the indices of m measured configurations, their mean
        accuracies, and their total times on profiling hardware in seconds.
        """
        if not histories:
            return None
        mean, log_time = _weighted(
            np.array([each.accuracy for each in histories]),
            np.array([each.log_time for each in histories]),
            measured,
            accuracy,
            total_s,
            self.temperature,
        )
        return Prior(mean, log_time)


@compiled
def _weighted(
    means: Singles,
    log_times: Singles,
    measured: Ints,
    accuracy: Floats,
    total_s: Floats,
    temperature: float,
) -> tuple[Floats, Floats]:
    """Return the weighted means of H histories' accuracies (C,) and log times (C, N).

    ``means`` has shape (H, C) and ``log_times`` (H, C, N); `WarmStart.prior` describes the other
    arguments. Weights are the softmax of -loss / temperature, where the loss is the mean of the
    losses in ranking accuracy and time.
    """
    many, count, operators = log_times.shape
    believed, losses = np.empty(len(measured)), np.empty(many)
    for history in range(many):
        losses[history] = misranked(means[history][measured], accuracy) / 2
        believed[:] = 0.0
        for at, configuration in enumerate(measured):
            for operator in range(operators):
                believed[at] += exp(log_times[history, configuration, operator])
        losses[history] += misranked(believed, total_s) / 2
    weights = np.exp(-(losses - losses.min()) / temperature)
    weights /= weights.sum()
    mean, log_time = np.zeros(count), np.zeros((count, operators))
    for history in range(many):
        for configuration in range(count):
            mean[configuration] += weights[history] * means[history, configuration]
            for operator in range(operators):
                log_time[configuration, operator] += (
                    weights[history] * log_times[history, configuration, operator]
                )
    return mean, log_time


@compiled
def misranked(believed: Floats | Singles, measured: Floats) -> float:
    """Return the share of wrongly ranked pairs among the pairs of different ``measured`` values.

    If all m values are equal, the share is 0. Wrongly ranked pairs are the discordant pairs of
    Kendall's tau ("A new measure of rank correlation", 1938). This takes O(m^2).
    """
    wrong, pairs = 0, 0
    for first in range(len(measured)):
        for second in range(first + 1, len(measured)):
            if measured[first] == measured[second]:
                continue
            wrong += (believed[first] < believed[second]) != (measured[first] < measured[second])
            pairs += 1
    return wrong / pairs if pairs else 0.0


@dataclass(frozen=True, eq=False)
class HistoryStore:
    """H histories of a data set, from which searches can start."""

    query: Ints  # ids, of shape (H,)
    content: Floats  # mean item features, of shape (H, F)
    histories: Sequence[History]

    @classmethod
    def of(cls, queries: Sequence[int], histories: Sequence[History]) -> "HistoryStore":
        """Return a store of the histories of queries."""
        shape = len(histories), -1 if histories else 0
        contents = [history.content for history in histories]
        return cls(
            np.array(queries, dtype=np.int64),
            (np.concatenate(contents) if contents else np.zeros(0)).reshape(shape),
            histories,
        )

    def and_also(self, other: "HistoryStore") -> "HistoryStore":
        """Return these histories followed by others."""
        if not self.histories or not other.histories:
            return self if self.histories else other
        return HistoryStore(
            np.concatenate([self.query, other.query]),
            np.concatenate([self.content, other.content]),
            [*self.histories, *other.histories],
        )

    def since(self, row: int) -> "HistoryStore":
        """Return the histories from index ``row`` on."""
        return HistoryStore(self.query[row:], self.content[row:], self.histories[row:])

    def nearest(self, query: int, content: Floats, most: int) -> list[History]:
        """Return up to ``most`` histories of other queries, from the nearest mean features on."""
        distance = np.zeros(len(self.query))
        for theirs, its in zip(self.content.T, content, strict=bool(self.histories)):
            distance += (theirs - its) ** 2
        order = np.lexsort((-self.query, distance))
        chosen = order[self.query[order] != query][:most]
        return [self.histories[at] for at in chosen.tolist()]


@dataclass(frozen=True, eq=False)
class DepartedHistories:
    """The H histories of the queries of a data set that departed last."""

    known: HistoryStore
    place: Ints  # number of departures before each history's query, of shape (H,)
    many: int = 0  # number of departures so far, over all data sets
    last: int | None = None  # id of the query that departed last

    def and_also(
        self, context: PlanningContext, departed: Sequence[Query], dataset: str, least_measured: int
    ) -> "DepartedHistories":
        """Return these histories with those of later departures added and the oldest removed."""
        rows, found = _seen(context, departed, dataset, least_measured)
        place = np.concatenate([self.place, self.many + rows])
        many = self.many + len(departed)
        first = int(np.searchsorted(place, many - LOOKED_AT))
        known = self.known.and_also(found).since(first)
        return DepartedHistories(known, place[first:], many, departed[-1].id)


def known_histories(
    context: PlanningContext, dataset: str, least_measured: int, *, waiting: bool = False
) -> HistoryStore:
    """Return the histories of a data set, which are collected once per call.

    Those of waiting queries are included if ``waiting``.
    """

    def look_up() -> HistoryStore:
        queries = context.running[-LOOKED_AT:]
        if waiting:
            queries = (*queries, *context.waiting[-LOOKED_AT:])
        _, living = _seen(context, queries, dataset, least_measured)
        return living.and_also(_left(context, dataset, least_measured))

    return KEPT.of(context, ("histories", dataset, least_measured, waiting), look_up)


def _left(context: PlanningContext, dataset: str, least_measured: int) -> HistoryStore:
    """Return the histories of departed queries of a data set."""
    key = DEPARTED, dataset, least_measured
    left: DepartedHistories | None = context.recall(key)
    if left is None:
        left = DepartedHistories(HistoryStore.of([], []), np.zeros(0, dtype=np.int64))
    before, last = left.last, islice(context.bulk.last_departed(), LOOKED_AT)
    new = list(takewhile(lambda query: query.id != before, last))[::-1]
    settled = search_settled(context, [query.id for query in new])
    many = settled.index(False) if False in settled else len(new)
    if many:
        left = left.and_also(context, new[:many], dataset, least_measured)
        context.remember(key, left)
    if many < len(new):  # later calls may see more of these
        left = left.and_also(context, new[many:], dataset, least_measured)
    return left.known


def _seen(
    context: PlanningContext, queries: Sequence[Query], dataset: str, least_measured: int
) -> tuple[Ints, HistoryStore]:
    """Return the indices of the queries that provide a data set's histories, and the histories."""
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


def profiled_ahead(
    context: PlanningContext,
    dataset: str,
    samples: int,
    features: Callable[[Pipeline], Floats],
    *,
    apart: bool = False,
) -> History | None:
    """Return the offline history of a data set, which the first call finds by profiling.

    Configurations are profiled on ``samples`` items each until the data set's budget is spent. The
    richest comes first. After each, the one whose accuracy is the most uncertain follows. This adds
    to planning cost but not to response time. Each configuration is measured on other items if
    ``apart``, which tells more about the level that all share, and on the same ones otherwise.
    Returns None if nothing was profiled.
    """
    if samples == 0:
        return None
    known: History | None = context.recall((OFFLINE, dataset, samples))
    if known is None:
        known = _profile(context, dataset, samples, features, apart)
        context.remember((OFFLINE, dataset, samples), known)
    return known if known.measured else None


def _profile(
    context: PlanningContext,
    dataset: str,
    samples: int,
    features: Callable[[Pipeline], Floats],
    apart: bool,
) -> History:
    pipeline = context.world.pipeline
    points, configurations = features(pipeline), pipeline.configurations
    domain = Domain(points, blocks(pipeline, points), pipeline.upstream_knobs)
    accuracy = GaussianProcess(domain.accuracy)
    log_times = [GaussianProcess(grid, scale=LOG_TIME_SCALE) for grid, _ in domain.times]
    seen: list[tuple[float, float, float]] = []
    index, many = 0, len(context.bulk.features(dataset))
    while len(accuracy) < len(configurations):
        items: int | Ints = samples
        if apart:
            start = len(accuracy) * samples % max(1, many - samples + 1)
            items = np.arange(start, min(start + samples, many))
        estimate = context.profile(dataset, configurations[index], items)
        if estimate.count < max(2, samples / 2):  # a single item has no variance
            break
        noise = max(estimate.accuracy_variance, 1e-6) / estimate.count
        accuracy.observe(index, estimate.accuracy_mean, noise)
        rare = rare_variance(estimate.measurement.accuracy)
        seen.append((estimate.accuracy_mean, max(noise, rare), estimate.count))
        took_s = np.maximum(estimate.measurement.operator_mean_s, SHORTEST_S)
        for process, (_, point_of), its_s in zip(log_times, domain.times, took_s, strict=True):
            process.observe(int(point_of[index]), np.log(its_s))
        uncertain = accuracy.predict()[1][:, 0].copy()
        uncertain[list(accuracy.observed)] = -1.0
        index = int(uncertain.argmax())
    log_time = [
        process.predict()[0][point_of, 0]
        for process, (_, point_of) in zip(log_times, domain.times, strict=True)
    ]
    means, variances, counts = np.array(seen, dtype=np.float64).reshape(-1, 3).T
    return History(
        dataset,
        context.bulk.features(dataset).mean(axis=0),
        accuracy.predict()[0][:, 0].astype(np.float32),
        np.column_stack(log_time).astype(np.float32),
        len(accuracy),
        seen=Seen(
            np.array(accuracy.observed, dtype=np.int64), means, variances, counts, apart=apart
        ),
    )
