"""Beliefs about the configurations of one query, estimated from profiling and histories."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan, sqrt
from statistics import fmean

import numpy as np
import scipy  # submodules load at first use

from planners.bayesopt.acquisition import probability_above
from planners.bayesopt.gaussian_process import Grid
from planners.common.weak_cache import KEPT
from planners.compass.profiling.decisions import critical_posterior
from planners.compass.profiling.profiler import Profiler
from planners.compass.search.accuracy_prior import AccuracyPrior
from planners.compass.search.cmbo import Cmbo
from planners.compass.search.history import Prior, WarmStart
from planners.compass.search.pooled import PooledAccuracy
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
    Seen,
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

MOST_VARIANCE = 1.0
"""Largest variance of a mean that is believed; the estimate from a single item is infinite."""

STEP_S = 0.1
"""Seconds that a step of the search takes besides profiling."""

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
    # A function that creates surrogates from a prior of histories and a shared model, or from none.
    blank: Callable[[Prior | None, PooledAccuracy | None], Cmbo]
    grid: Grid  # the configurations, for the shared model
    profiler: Profiler  # measures configurations; its rule of decision judges them
    accuracy_prior: AccuracyPrior  # of the shared model

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
        """Whether some profile is undecided and has so few items that surrogates must judge it.

        If the rule of decision states a certainty, surrogates judge all profiles without a verdict.
        """
        if self.certainty is not None:
            return bool(self.profiled)
        return any(
            seen.verdict is None and seen.count < RELIABLE for seen in self.profiled.values()
        )

    @property
    def certainty(self) -> float | None:
        """The probability of meeting the floor that the rule of decision asks for, or None."""
        return self.profiler.decision.certainty

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
            self._made = self.blank(self._prior(), self._pooled())
            _observe(self._made, list(self.measured), self._rows(self.measured))
            self._believed = None
        return self._made

    @property
    def items(self) -> int:
        """Total number of measured items over all configurations."""
        return sum(seen.count for seen in self.profiled.values())

    def count(self, index: int) -> int:
        """Return the number of items on which a configuration was measured."""
        return self.profiled[index].count if index in self.profiled else 0

    @property
    def complete(self) -> bool:
        """Whether nothing is left to profile: all configurations were, and none is again."""
        return self.certainty is None and len(self.profiled) == self._many

    def done(self, least: float) -> Collection[int]:
        """Return the configurations that are not profiled, or not any further, with `prospects`."""
        if self.certainty is None:
            return self.profiled
        hopeless = self.prospects(least) == 0
        return {index for index in self.measured if hopeless[index]}

    @property
    def measured(self) -> Mapping[int, ProfiledConfig]:
        """The profiling results of configurations that were measured and not only assumed."""
        if self.certainty is None:
            return self.profiled
        return {index: seen for index, seen in self.profiled.items() if seen.count}

    def assume(self, indices: Sequence[int]) -> None:
        """Add predicted results of unmeasured configurations, in place of earlier predictions."""
        accuracy, sd = self.surrogates.accuracy()
        time_s = self.surrogates.time_s().copy()
        self.profiled = {**self.measured, **self._predicted(indices, accuracy, sd**2, time_s)}
        self._believed = None

    def _predicted(
        self, indices: Sequence[int], accuracy: Floats, variance: Floats, time_s: Floats
    ) -> dict[int, ProfiledConfig]:
        """Return results for configurations as if no item was measured; arrays are over all C."""
        seen = list(self.measured.values())
        time_cv = fmean(each.time_cv for each in seen)
        normalised = (
            fmean(each.normalised[0] for each in seen),
            fmean(each.normalised[1] for each in seen),
        )
        return {
            index: ProfiledConfig(
                float(accuracy[index]),
                float(variance[index]),
                None,
                0,
                time_s[index],
                time_cv,
                normalised,
            )
            for index in indices
        }

    def learn(self, index: int, seen: ProfiledConfig) -> None:
        """Add the profiling result of a configuration."""
        self.profiled[index] = seen
        self._believed = None
        self._on_record = False
        if self.histories and len(self.measured) in REWEIGHED_AT:
            self.matured = self._pools_nothing and self._matured()
            self._made = None
        elif self._made is not None:
            _observe(self._made, [index], seen.row[None])

    @property
    def _pools_nothing(self) -> bool:
        return self.warm_start.sharing != "pooled"

    def _pooled(self) -> PooledAccuracy | None:
        """Return the data set's shared model of accuracy, or None if queries share none."""
        if self._pools_nothing:
            return None
        items = self.context.bulk.features(self.query.dataset)
        typical = KEPT.of(
            items, "mean and sd", lambda: np.array([items.mean(axis=0), items.std(axis=0)])
        )
        return PooledAccuracy(
            self.grid, typical, self._content, self.histories, self.accuracy_prior
        )

    def _prior(self) -> Prior | None:
        measured = self.measured
        rows = self._rows(measured)
        return self.warm_start.prior(
            self.histories,
            np.fromiter(measured, np.int64, len(measured)),
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
        own = self.blank(None, None)
        seen, rows = list(self.profiled), self._rows()
        _observe(own, seen, rows)
        theirs = np.abs(prior.accuracy[seen] - rows[:, ACCURACY]).mean()
        return own.leave_one_out_error() <= float(theirs)

    def history(self) -> History:
        """Return this query's beliefs as a history for later queries."""
        accuracy, sd = self.surrogates.accuracy()
        log_time, _ = self.surrogates.log_time()
        measured = self.measured
        rows = self._rows(measured)
        seen = Seen(
            np.fromiter(measured, np.int64, len(measured)),
            rows[:, ACCURACY],
            np.minimum(rows[:, VARIANCE], MOST_VARIANCE),
            rows[:, COUNT],
        )
        return History(
            self.query.dataset,
            self._content,
            accuracy.astype(np.float32),
            log_time.astype(np.float32),
            len(measured),
            None if self.certainty is None else sd.astype(np.float32),
            None if self._pools_nothing else seen,
        )

    def prospects(self, least: float) -> Floats:
        """Return how fast profiling probably accepts each configuration, per second, shape (C,).

        Let m and s be the mean and standard deviation of a configuration's accuracy, and v the
        variance between items. After k more items, the variance is u = s^2 v / (k s^2 + v). The
        mean will be normal with variance s^2 - u, so the configuration is accepted, with z of
        `critical_posterior`, with probability

            P(k) = Phi((m - floor - z sqrt(u)) / sqrt(s^2 - u))

        The result is the largest P(k) / (seconds for k items) over doubling k, as in the knowledge
        gradient KG(*) (Frazier and Powell, "Paradoxes in learning and the marginal value of
        information", 2010). It is 0 if no P(k) reaches ``least``, or if nothing is left to measure.
        """
        certainty, floor = self.certainty, self.query.slo.accuracy
        assert certainty is not None, "the rule of decision states no certainty"
        mean, sd = self.surrogates.accuracy()
        item_s = self.surrogates.time_s().sum(axis=1)
        count, settled = np.zeros(self._many), np.zeros(self._many, dtype=bool)
        believed = self.believed()
        for index, seen in self.profiled.items():
            count[index] = seen.count
            settled[index] = seen.verdict is not None or believed.accurate[index]
        most = min(self.profiler.most, self.profiler.most_items(self.context, self.query))
        workers = self.context.world.cluster.profiling.workers
        best, reached = np.zeros(self._many), np.zeros(self._many)
        more = float(self.profiler.first)
        while more < 2 * most:
            items = np.minimum(more, most - count)
            after = sd**2 * self.surrogates.item_variance
            after /= np.maximum(items, 0) * sd**2 + self.surrogates.item_variance
            moved = np.sqrt(np.maximum(sd**2 - after, 1e-12))
            gap = np.full(self._many, inf)
            if floor is not None:
                least_sd = np.sqrt(after)
                gap = mean - floor - critical_posterior(certainty, least_sd) * least_sd
            likely = np.where(items > 0, scipy.special.ndtr(gap / moved), 0.0)
            seconds = STEP_S + np.ceil(np.maximum(items, 1) / workers) * item_s
            best, reached = np.maximum(best, likely / seconds), np.maximum(reached, likely)
            more *= 2
        return np.where(settled | (reached < least), 0.0, best)

    def promise(self) -> Floats:
        """Return the last estimated probabilities of meeting the accuracy floor, of shape (C,)."""
        kept = self.kept_history
        assert kept is not None, "nothing was ever profiled"
        sd = HISTORY_SD if kept.accuracy_sd is None else kept.accuracy_sd
        return probability_above(self.query.slo.accuracy, kept.accuracy, sd)

    def expected(self, indices: Sequence[int]) -> dict[int, ProfiledConfig]:
        """Return the profiling results that the last search predicts for given configurations."""
        kept = self.kept_history
        assert kept is not None, "nothing was ever profiled"
        accuracy = kept.accuracy.astype(np.float64)
        sd = np.full(self._many, HISTORY_SD)
        if kept.accuracy_sd is not None:
            sd = kept.accuracy_sd.astype(np.float64)
        time_s = np.exp(kept.log_time.astype(np.float64))
        return self._predicted(indices, accuracy, sd**2, time_s)

    def believed(self) -> Believed:
        """Return the beliefs about the accuracy of profiled configurations.

        The measured mean is used if the test has decided or at least `RELIABLE` items were
        measured. Otherwise the surrogates' mean is used, which is the recorded one if no newer
        results exist. The test or, if it is undecided, the mean decides whether a configuration is
        accurate enough. If the rule of decision states a certainty, the mean is always that of the
        surrogates, and without a verdict, a configuration is accurate enough if this mean is above
        the floor by `critical_posterior`.
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
                if kept.accuracy_sd is not None:
                    sds = kept.accuracy_sd.astype(np.float64)
        indices = np.fromiter(self.profiled, np.int64, len(self.profiled))
        if self.certainty is not None:
            return self._sure_enough(indices, means, sds)
        floor = self.query.slo.accuracy
        least = -inf if floor is None else floor
        accuracy, accurate, margin = _judge(indices, self._rows(), means, sds, least, self._many)
        return Believed(accuracy, accurate, scipy.special.ndtr(margin))

    def _sure_enough(self, indices: Ints, means: Floats, sds: Floats) -> Believed:
        """Return the beliefs under a rule that states a certainty; arguments are as in `_judge`."""
        assert self.certainty is not None, "the rule of decision states no certainty"
        accuracy, sure = np.full(self._many, nan), np.zeros(self._many)
        accurate, floor = np.zeros(self._many, dtype=bool), self.query.slo.accuracy
        if len(indices):
            mean, sd = means[indices], sds[indices]
            accuracy[indices], sure[indices] = mean, probability_above(floor, mean, sd)
            above = mean - critical_posterior(self.certainty, sd) * sd
            accurate[indices] = True if floor is None else above >= floor
        for index, seen in self.profiled.items():
            if seen.verdict is not None:
                accurate[index] = seen.verdict
                bound = max if seen.verdict else min
                limit = self.certainty if seen.verdict else 1 - self.certainty
                sure[index] = bound(sure[index], limit)
        return Believed(accuracy, accurate, sure)

    def _rows(self, shown: Mapping[int, ProfiledConfig] | None = None) -> Floats:
        """Return profiles, by default all, in the form of `rows_of`."""
        return rows_of((self.profiled if shown is None else shown).values(), self._operators)


@compiled
def _judge(
    indices: Ints,
    rows: Floats,
    means: Floats,
    sds: Floats,
    floor: float,
    many: int,
) -> tuple[Floats, Bools, Floats]:
    """Return ``Believed.accuracy`` and ``accurate`` and the standard deviations above the floor.

    All have shape (C,), where C is ``many``; without a profile, the last is -inf. ``rows`` is the
    result of `rows_of` for m configurations. ``means`` and ``sds`` are those of the surrogates, of
    shape (C,). ``means`` is empty if no configuration is in doubt, and ``sds`` is empty if measured
    deviations must be used. ``ConfigurationBeliefs.believed`` explains the rules.
    """
    accuracy, margin = np.full(many, np.nan), np.full(many, -np.inf)
    accurate = np.zeros(many, dtype=np.bool_)
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
            margin[index] = gap / sd
        else:
            margin[index] = np.inf if gap >= 0 else -np.inf
    return accuracy, accurate, margin


def _observe(cmbo: Cmbo, indices: Sequence[int], rows: Floats) -> None:
    """Let surrogates learn configurations' profiles; ``rows`` is the result of `rows_of`."""
    if not len(rows):
        return
    cmbo.observe_all(
        indices,
        rows[:, ACCURACY],
        np.minimum(rows[:, VARIANCE], MOST_VARIANCE),
        rows[:, OPERATOR_TIME_S],
        rows[:, TIME_CV],
        rows[:, COUNT],
        rows[:, NORMALISED],
    )
