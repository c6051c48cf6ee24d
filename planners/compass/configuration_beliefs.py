"""What is believed of the configurations of one query: from profiling, and from histories."""

from collections.abc import Callable, Sequence
from functools import cached_property
from math import sqrt
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from planners.acquisition import probability_above
from planners.compass.ahead import History
from planners.compass.cmbo import Cmbo
from planners.compass.history import KEPT as HISTORY
from planners.compass.history import Prior, WarmStart
from planners.compass.known import Found, Shown
from planners.kept import KEPT
from scenarios.application import Pipeline
from scenarios.queries import Query
from sim import Desk

Floats = NDArray[np.float64]

REWEIGHED_AT = (2, 4, 8, 16, 32)
"""Numbers of profiled configurations at which histories are weighed anew."""

RELIABLE = 128
"""Items from which on their mean is believed, whatever surrogates make of it."""

HISTORY_SD = 0.04
"""How far a surrogate may be off for a configuration that was not profiled: a guess."""

LEAST_TO_MATURE = 4
"""Profiled configurations that a query's own model needs before it can do without histories."""


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
        self.shown = dict(found.shown)
        self.matured = found.matured
        self._chosen: list[History] | None = None
        self._made: Cmbo | None = None

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
        return self._made

    def learn(self, index: int, seen: Shown) -> None:
        """Take what profiling has shown of a configuration."""
        self.shown[index] = seen
        if self.histories and len(self.shown) in REWEIGHED_AT:
            self.matured = self._matured()
            self._made = None
        elif self._made is not None:
            _observe(self._made, index, seen)

    def _surrogates(self) -> Cmbo:
        """Return surrogates that start from what histories say and know all that was shown."""
        made = self._blank(self._prior())
        for index, seen in self.shown.items():
            _observe(made, index, seen)
        return made

    def _prior(self) -> Prior | None:
        return self._warm_start.prior(
            self.histories,
            np.array(list(self.shown), dtype=np.int64),
            np.array([seen.accuracy for seen in self.shown.values()]),
            np.array([float(seen.operator_time_s.sum()) for seen in self.shown.values()]),
        )

    def _matured(self) -> bool:
        """Tell whether the query's own model errs no more than histories do.

        Its leave-one-out error in accuracy against theirs, on what was profiled. Their weights have
        seen the same, which favours them a little.
        """
        prior = self._prior()
        if prior is None or len(self.shown) < LEAST_TO_MATURE:
            return False
        own = self._blank(None)
        for index, seen in self.shown.items():
            _observe(own, index, seen)
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
        """Return the probability of being accurate enough by the last search, shape (C,)."""
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

    def sure(self, index: int, seen: Shown) -> float:
        """Return the probability that a profiled configuration is accurate enough."""
        floor = self._query.slo.accuracy
        if floor is None:
            return 1.0
        return float(probability_above(floor, *self._believed(index, seen)))

    def _believed(self, index: int, seen: Shown) -> tuple[float, float]:
        """Return mean and sd of what is believed of a configuration's accuracy.

        What was measured, where the test has decided or many items were. Otherwise what surrogates
        make of it, which know the configurations nearby too; those of the last search, unless there
        are new ones.
        """
        sd = sqrt(max(seen.variance, 0.0))
        if seen.verdict is not None or seen.count >= RELIABLE:
            return seen.accuracy, sd
        if self._made is None and self.kept_history is not None:
            return float(self.kept_history.accuracy[index]), sd
        means, sds = self.surrogates.accuracy()
        return float(means[index]), float(sds[index])

    def accurate(self, index: int, seen: Shown) -> bool:
        """Tell whether to take a profiled configuration for accurate enough.

        As the test decided. Where it could not, by what the surrogate believes, which rests on the
        configurations nearby too.
        """
        if seen.verdict is not None:
            return seen.verdict
        return self.accuracy(index, seen) >= (self._query.slo.accuracy or 0.0)

    def accuracy(self, index: int, seen: Shown) -> float:
        """Return the accuracy that is believed of a profiled configuration."""
        return self._believed(index, seen)[0]


def _observe(cmbo: Cmbo, index: int, seen: Shown) -> None:
    cmbo.observe(
        index,
        seen.accuracy,
        min(seen.variance, 1.0),
        seen.operator_time_s,
        seen.time_cv,
        seen.count,
        seen.normalised,
    )
