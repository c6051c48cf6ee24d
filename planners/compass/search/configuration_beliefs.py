"""Beliefs about the configurations of one query, estimated from profiling and histories."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, nan, sqrt
from statistics import fmean

import numpy as np
import scipy  # submodules load at first use

from planners.bayesopt.acquisition import probability_above
from planners.common.weak_cache import KEPT
from planners.compass.search.cmbo import Cmbo
from planners.compass.search.history import Prior, WarmStart
from planners.compass.state.records import (
    ACCURACY,
    COUNT,
    NORMALISED,
    OPERATOR_TIME_S,
    TIME_CV,
    TOTAL_S,
    VARIANCE,
    VERDICT,
    History,
    ProfiledConfig,
    SearchState,
    rows_of,
)
from scenarios.applications.pipeline import Pipeline
from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints
from scenarios.queries import Query
from sim import PlanningContext

UNKNOWN: Floats = np.zeros(0)

REWEIGHED_AT = (2, 4, 8, 16, 32)
"""Numbers of profiled configurations at which histories are weighted again."""

RELIABLE = 128
"""A mean is used without surrogates if it is of at least this many items."""

HISTORY_SD = 0.04
"""Assumed standard deviation of a surrogate's error on configurations that were not profiled."""

LEAST_TO_MATURE = 4
"""Histories are used until at least this many configurations were profiled for a query."""


@dataclass(frozen=True)
class Believed:
    """Beliefs about profiled configurations' accuracy, in arrays over all C configurations."""

    accuracy: Floats  # NaN if not profiled, of shape (C,)
    accurate: Bools  # whether believed to be accurate enough, of shape (C,)
    sure: Floats  # probability of being accurate enough, of shape (C,)


@dataclass(eq=False)
class ConfigurationBeliefs:
    """Beliefs about the C configurations of one query in one call.

    Attributes:
        profiled: profiling results, by index of the configuration.
        matured: whether the query's own profiling results have replaced histories.
        kept_history: beliefs of the surrogates after the query's last profiling, or None.
    """

    context: PlanningContext
    query: Query
    found: SearchState  # state of the query's search
    warm_start: WarmStart  # use of histories
    features: Callable[[Pipeline], Floats]  # features of the configurations
    # A function that creates surrogates from a prior, or from none.
    blank: Callable[[Prior | None], Cmbo]

    def __post_init__(self) -> None:
        items = self.context.bulk.features(self.query)
        self._content: Floats = KEPT.of(items, "mean", lambda: items.mean(axis=0))
        self._many = len(self.context.world.pipeline.configurations)
        self._operators = len(self.context.world.pipeline.operators)
        self.profiled = dict(self.found.profiled)
        self.matured = self.found.matured
        self._on_record = self.found.kept
        self.kept_history = self.found.history
        self._chosen: list[History] | None = None
        self._made: Cmbo | None = None
        self._believed: Believed | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether some profile is undecided and has so few items that surrogates must judge it."""
        return any(
            seen.verdict is None and seen.count < RELIABLE for seen in self.profiled.values()
        )

    @property
    def histories(self) -> list[History]:
        """The histories that form the surrogates' prior; they are chosen at the first access."""
        if self.matured:
            return []
        if self._chosen is None:
            self._chosen = self.warm_start.choose(
                self.context, self.query, self._content, self.features
            )
        return self._chosen

    @property
    def surrogates(self) -> Cmbo:
        """The surrogates; they are created at the first access."""
        if self._made is None:
            self._made = self.blank(self._prior())
            _observe(self._made, list(self.profiled), self._rows())
            self._believed = None
        return self._made

    def learn(self, index: int, seen: ProfiledConfig) -> None:
        """Add the profiling result of a configuration."""
        self.profiled[index] = seen
        self._believed = None
        self._on_record = False
        if self.histories and len(self.profiled) in REWEIGHED_AT:
            self.matured = self._matured()
            self._made = None
        elif self._made is not None:
            _observe(self._made, [index], seen.row[None])

    def _prior(self) -> Prior | None:
        rows = self._rows()
        return self.warm_start.prior(
            self.histories,
            np.fromiter(self.profiled, np.int64, len(self.profiled)),
            np.ascontiguousarray(rows[:, ACCURACY]),
            np.ascontiguousarray(rows[:, TOTAL_S]),
        )

    def _matured(self) -> bool:
        """Return whether the errors of the query's own model are at most those of histories.

        The errors are leave-one-out errors of accuracy on the profiled configurations. The weights
        of histories were fitted to these configurations, which slightly favours histories.
        """
        prior = None if len(self.profiled) < LEAST_TO_MATURE else self._prior()
        if prior is None:
            return False
        own = self.blank(None)
        seen, rows = list(self.profiled), self._rows()
        _observe(own, seen, rows)
        theirs = np.abs(prior.accuracy[seen] - rows[:, ACCURACY]).mean()
        return own.leave_one_out_error() <= float(theirs)

    def history(self) -> History:
        """Return this query's beliefs as a history for later queries."""
        accuracy, _ = self.surrogates.accuracy()
        log_time, _ = self.surrogates.log_time()
        return History(
            self.query.dataset,
            self._content,
            accuracy.astype(np.float32),
            log_time.astype(np.float32),
            len(self.profiled),
        )

    def promise(self) -> Floats:
        """Return the last estimated probabilities of meeting the accuracy floor, of shape (C,)."""
        kept = self.kept_history
        assert kept is not None, "nothing was ever profiled"
        return probability_above(self.query.slo.accuracy, kept.accuracy, HISTORY_SD)

    def expected(self, indices: Sequence[int]) -> dict[int, ProfiledConfig]:
        """Return the profiling results that the last search predicts for given configurations."""
        kept = self.kept_history
        assert kept is not None, "nothing was ever profiled"
        seen = list(self.profiled.values())
        time_cv = fmean(each.time_cv for each in seen)
        normalised = (
            fmean(each.normalised[0] for each in seen),
            fmean(each.normalised[1] for each in seen),
        )
        return {
            index: ProfiledConfig(
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
        """Return the beliefs about the accuracy of profiled configurations.

        The measured mean is used if the test has decided or at least `RELIABLE` items were
        measured. Otherwise the surrogates' mean is used, which is the recorded one if no newer
        results exist. The test or, if it is undecided, the mean decides whether a configuration is
        accurate enough.
        """
        if self._believed is None:
            self._believed = self._judged()
        return self._believed

    def _judged(self) -> Believed:
        means, sds = UNKNOWN, UNKNOWN
        if self.in_doubt:
            kept = self.kept_history if self._made is None and self._on_record else None
            if kept is None:
                means, sds = self.surrogates.accuracy()
            else:
                means = kept.accuracy.astype(np.float64)
        floor, many = self.query.slo.accuracy, self._many
        indices = np.fromiter(self.profiled, np.int64, len(self.profiled))
        accuracy, accurate, sure = np.full(many, nan), np.zeros(many, dtype=bool), np.zeros(many)
        margin = np.empty(len(indices))
        _judge(
            indices,
            self._rows(),
            means,
            sds,
            -inf if floor is None else floor,
            accuracy,
            accurate,
            margin,
        )
        sure[indices] = scipy.special.ndtr(margin)
        return Believed(accuracy, accurate, sure)

    def _rows(self) -> Floats:
        """Return all profiles in the form of `rows_of`."""
        return rows_of(self.profiled.values(), self._operators)


@compiled
def _judge(
    indices: Ints,
    rows: Floats,
    means: Floats,
    sds: Floats,
    floor: float,
    accuracy: Floats,
    accurate: Bools,
    margin: Floats,
) -> None:
    """Write the results for m configurations to ``accuracy``, ``accurate`` and ``margin``.

    ``accuracy`` and ``accurate`` have shape (C,). ``margin``, of shape (m,), is the number of
    standard deviations above the floor, and ``rows`` is the result of `rows_of`. ``means`` and
    ``sds`` are those of the surrogates, of shape (C,). ``means`` is empty if no configuration is in
    doubt, and ``sds`` is empty if measured deviations must be used.
    ``ConfigurationBeliefs.believed`` explains the rules.
    """
    for row, index in enumerate(indices):
        mean, sd = rows[row, ACCURACY], sqrt(max(rows[row, VARIANCE], 0.0))
        verdict = rows[row, VERDICT]
        if np.isnan(verdict) and rows[row, COUNT] < RELIABLE:
            mean = means[index]
            sd = sds[index] if len(sds) else sd
        accuracy[index] = mean
        accurate[index] = mean >= floor if np.isnan(verdict) else verdict > 0
        gap = mean - floor
        if sd > 0 and gap < np.inf:
            margin[row] = gap / sd
        else:
            margin[row] = np.inf if gap >= 0 else -np.inf


def _observe(cmbo: Cmbo, indices: Sequence[int], rows: Floats) -> None:
    """Let surrogates learn configurations' profiles; ``rows`` is the result of `rows_of`."""
    if not len(rows):
        return
    cmbo.observe_all(
        indices,
        rows[:, ACCURACY],
        np.minimum(rows[:, VARIANCE], 1.0),
        rows[:, OPERATOR_TIME_S],
        rows[:, TIME_CV],
        rows[:, COUNT],
        rows[:, NORMALISED],
    )
