"""What is believed of the configurations of one query: from profiling, and from histories."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan, sqrt
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from planners.acquisition import probability_above
from planners.compass.ahead import History
from planners.compass.cmbo import Cmbo
from planners.compass.history import Prior, WarmStart
from planners.compass.known import Found, Shown
from planners.compass.known_histories import KEPT as HISTORY
from planners.kept import KEPT
from scenarios.application import Pipeline
from scenarios.queries import Query
from sim import Desk

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

REWEIGHED_AT = (2, 4, 8, 16, 32)
"""Numbers of profiled configurations at which histories are weighed anew."""

RELIABLE = 128
"""Items from which on their mean is believed, whatever surrogates make of it."""

HISTORY_SD = 0.04
"""How far a surrogate may be off for a configuration that was not profiled: a guess."""

LEAST_TO_MATURE = 4
"""Profiled configurations that a query's own model needs before it can do without histories."""


@dataclass(frozen=True)
class Believed:
    """What is believed of the accuracy of C configurations, those that were profiled.

    Args:
        accuracy: the accuracies, NaN of the others, shape (C,).
        accurate: whether they are taken for accurate enough, shape (C,).
        sure: how likely they are, shape (C,).
    """

    accuracy: Floats
    accurate: Booleans
    sure: Floats


class ConfigurationBeliefs:
    """What is believed of the configurations of one query during one call; C of them.

    What was profiled, and what surrogates make of it, which start from histories of other queries.

    Args:
        desk: the desk.
        query: the query.
        found: what is known of the query.
        warm_start: how histories are used.
        features: features of the configurations.
        blank: makes surrogates that start from what histories say, if they say anything.

    Attributes:
        shown: what was profiled, by index of the configuration.
        matured: whether the query's own model has taken over from histories.
    """

    def __init__(
        self,
        desk: Desk,
        query: Query,
        found: Found,
        warm_start: WarmStart,
        features: Callable[[Pipeline], Floats],
        blank: Callable[[Prior | None], Cmbo],
    ) -> None:
        self._desk = desk
        self._query = query
        self._warm_start = warm_start
        self._features = features
        self._blank = blank
        items = desk.features(query)
        self._content: Floats = KEPT.of(items, "mean", lambda: items.mean(axis=0))
        self._many = len(desk.pipeline.configurations)
        self.shown = dict(found.shown)
        self.matured = found.matured
        self._chosen: list[History] | None = None
        self._made: Cmbo | None = None
        self._believed: Believed | None = None

    @cached_property
    def kept_history(self) -> History | None:
        """What surrogates believed when the query was last profiled for; None if it never was."""
        kept: History | None = self._desk.recall((HISTORY, self._query.id), self._query)
        return kept

    @property
    def histories(self) -> list[History]:
        """The histories that surrogates start from, chosen when they are first asked for."""
        if self.matured:
            return []
        if self._chosen is None:
            self._chosen = self._warm_start.choose(
                self._desk, self._query, self._content, self._features
            )
        return self._chosen

    @property
    def surrogates(self) -> Cmbo:
        """The surrogates, made when they are first asked."""
        if self._made is None:
            self._made = self._surrogates()
            self._believed = None
        return self._made

    def learn(self, index: int, seen: Shown) -> None:
        """Take what profiling has shown of a configuration."""
        self.shown[index] = seen
        self._believed = None
        if self.histories and len(self.shown) in REWEIGHED_AT:
            self.matured = self._matured()
            self._made = None
        elif self._made is not None:
            _observe(self._made, {index: seen})

    def _surrogates(self) -> Cmbo:
        """Return surrogates that start from what histories say and know all that was shown."""
        made = self._blank(self._prior())
        _observe(made, self.shown)
        return made

    def _prior(self) -> Prior | None:
        return self._warm_start.prior(
            self.histories,
            np.array(list(self.shown), dtype=np.int64),
            np.array([seen.accuracy for seen in self.shown.values()]),
            np.array([sum(seen.operator_time_s.tolist()) for seen in self.shown.values()]),
        )

    def _matured(self) -> bool:
        """Tell whether the query's own model errs no more than histories do.

        Its leave-one-out error in accuracy against theirs, on what was profiled. Their weights have
        seen the same, which favours them a little.
        """
        prior = None if len(self.shown) < LEAST_TO_MATURE else self._prior()
        if prior is None:
            return False
        own = self._blank(None)
        _observe(own, self.shown)
        measured = np.array([seen.accuracy for seen in self.shown.values()])
        theirs = np.abs(prior.accuracy[list(self.shown)] - measured).mean()
        return own.leave_one_out_error() <= float(theirs)

    def history(self) -> History:
        """Return what later queries may start from."""
        accuracy, _ = self.surrogates.accuracy()
        log_time, _ = self.surrogates.log_time()
        return History(
            self._query.dataset,
            self._content,
            accuracy.astype(np.float32),
            log_time.astype(np.float32),
            len(self.shown),
        )

    def promise(self) -> Floats:
        """Return the probability that each is accurate enough by the last search, shape (C,)."""
        kept = self.kept_history
        assert kept is not None, "nothing was ever profiled"
        return probability_above(self._query.slo.accuracy, kept.accuracy, HISTORY_SD)

    def expected(self, indices: Sequence[int]) -> dict[int, Shown]:
        """Return what profiling configurations is expected to show, by the last search."""
        kept = self.kept_history
        assert kept is not None, "nothing was ever profiled"
        seen = list(self.shown.values())
        time_cv = fmean(each.time_cv for each in seen)
        normalised = (
            fmean(each.normalised[0] for each in seen),
            fmean(each.normalised[1] for each in seen),
        )
        return {
            index: Shown(
                float(kept.accuracy[index]),
                HISTORY_SD**2,
                None,
                0,
                np.exp(kept.log_time[index].astype(np.float64)),
                time_cv,
                normalised,
            )
            for index in indices
        }

    def believed(self) -> Believed:
        """Return what is believed of the accuracy of configurations that were profiled.

        What was measured, where the test has decided or many items were. Otherwise what surrogates
        make of it, which know the configurations nearby too; those of the last search, unless there
        are new ones. Whether to take one for accurate enough, the test tells, or what is believed.
        """
        if self._believed is None:
            self._believed = self._judged()
        return self._believed

    def _judged(self) -> Believed:
        accuracy, sd = np.full(self._many, nan), np.zeros(self._many)
        accurate = np.zeros(self._many, dtype=bool)
        seen = list(self.shown)
        accuracy[seen] = [each.accuracy for each in self.shown.values()]
        sd[seen] = [sqrt(max(each.variance, 0.0)) for each in self.shown.values()]
        doubtful = [
            index
            for index, each in self.shown.items()
            if each.verdict is None and each.count < RELIABLE
        ]
        if doubtful and self._made is None and self.kept_history is not None:
            accuracy[doubtful] = self.kept_history.accuracy[doubtful]
        elif doubtful:
            means, sds = self.surrogates.accuracy()
            accuracy[doubtful], sd[doubtful] = means[doubtful], sds[doubtful]
        floor = self._query.slo.accuracy
        accurate[seen] = accuracy[seen] >= (floor or 0.0)
        for index, each in self.shown.items():
            if each.verdict is not None:
                accurate[index] = each.verdict
        sure = np.zeros(self._many)
        sure[seen] = probability_above(floor, accuracy[seen], sd[seen])
        return Believed(accuracy, accurate, sure)


def _observe(cmbo: Cmbo, shown: Mapping[int, Shown]) -> None:
    """Let surrogates learn what was shown of some configurations."""
    if not shown:
        return
    rows = np.array(
        [
            (
                *(seen.accuracy, min(seen.variance, 1.0), seen.time_cv, seen.count),
                *seen.normalised,
                *seen.operator_time_s.tolist(),
            )
            for seen in shown.values()
        ]
    )
    accuracy, variance, time_cv, count = rows[:, :4].T
    cmbo.observe_all(list(shown), accuracy, variance, rows[:, 6:], time_cv, count, rows[:, 4:6])
