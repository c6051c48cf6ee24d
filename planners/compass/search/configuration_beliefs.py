"""Beliefs about the configurations of one query, estimated from profiling and histories.

This module has what does not depend on the rule of decision. `TTestBeliefs` and `CertainBeliefs`
add what follows from the paper's rule and from a stated certainty.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean
from typing import NamedTuple

import numpy as np

from planners.bayesopt.acquisition import probability_above
from planners.common.weak_cache import KEPT
from planners.compass.profiling.profiler import Profiler
from planners.compass.search.accuracy_prior import AccuracyPrior
from planners.compass.search.cmbo import Cmbo, Domain
from planners.compass.search.history import Prior, WarmStart
from planners.compass.search.planning_model import PlanningModel
from planners.compass.search.pooled import PooledAccuracy
from planners.compass.search.query_plans import PayablePlans, QueryPlans
from planners.compass.state.records import (
    ACCURACY,
    COUNT,
    NORMALISED,
    OPERATOR_TIME_S,
    TIME_CV,
    TOTAL_S,
    VARIANCE,
    History,
    ProfiledConfig,
    SearchState,
    Seen,
    rows_of,
)
from scenarios.applications.pipeline import Pipeline
from scenarios.numerics import Bools, Floats
from scenarios.queries import Query
from sim import PlanningContext

UNKNOWN: Floats = np.zeros(0)

REWEIGHED_AT = (2, 4, 8, 16, 32)
"""Numbers of profiled configurations at which histories are weighted again."""

HISTORY_SD = 0.04
"""Assumed standard deviation of a surrogate's error on configurations that were not profiled."""

MOST_VARIANCE = 1.0
"""Largest variance of a mean that is believed; the estimate from a single item is infinite."""

LEAST_TO_MATURE = 4
"""Histories are used until at least this many configurations were profiled for a query."""


@dataclass(frozen=True)
class Believed:
    """Beliefs about profiled configurations' accuracy, in arrays over all C configurations."""

    accuracy: Floats  # NaN if not profiled, of shape (C,)
    accurate: Bools  # whether believed to be accurate enough, of shape (C,)
    sure: Floats  # probability of being accurate enough, of shape (C,)


class Promising(NamedTuple):
    """What can be profiled next.

    Attributes:
        worth: factor of the savings of each configuration's plans, 0 if it should not be profiled;
            of shape (C,).
        least: least worth times probability of being in time at which a plan is proposed.
        least_at_once: the same for plans that come first because pools have room.
    """

    worth: Floats
    least: float
    least_at_once: float


@dataclass(eq=False)
class ConfigurationBeliefs(ABC):
    """Beliefs about the C configurations of one query in one call.

    Subclasses have the behaviour that depends on the rule of decision. Their `confirm` also
    measures, and records the results.

    Attributes:
        bound_s: the SLO's bound on latency in seconds, infinite for none.
        profiled: profiling results, by index of the configuration.
        matured: whether the query's own profiling results have replaced histories.
        kept_history: beliefs of the surrogates after the query's last profiling, or None.
    """

    context: PlanningContext
    query: Query
    found: SearchState  # state of the query's search
    warm_start: WarmStart  # use of histories
    features: Callable[[Pipeline], Floats]  # features of the configurations
    model: PlanningModel  # margins of plans
    domain: Domain  # features of all configurations
    plans: QueryPlans  # the plans that are compared to choose the configuration to profile next
    profiler: Profiler  # measures configurations; its rule of decision judges them
    accuracy_prior: AccuracyPrior  # of the shared model

    def __post_init__(self) -> None:
        items = self.context.bulk.features(self.query)
        self._content: Floats = KEPT.of(items, "mean", lambda: items.mean(axis=0))
        self._many = len(self.context.world.pipeline.configurations)
        self._operators = len(self.context.world.pipeline.operators)
        bound_s = self.query.slo.latency_s
        self.bound_s = inf if bound_s is None else bound_s
        self.profiled = dict(self.found.profiled)
        self.matured = self.found.matured
        self._on_record = self.found.kept
        self.kept_history = self.found.history
        self._chosen: list[History] | None = None
        self._made: Cmbo | None = None
        self._believed: Believed | None = None

    # Behaviour by the rule of decision

    @property
    def complete(self) -> bool:
        """Whether nothing is left to profile; False where more items can always be measured."""
        return False

    @property
    @abstractmethod
    def renewed(self) -> bool:
        """Whether beliefs can differ from those that the state of the search keeps."""

    @abstractmethod
    def done(self, least: float) -> Collection[int]:
        """Return the configurations that are not profiled, or not any further.

        ``least`` is the least probability of acceptance at which profiling is worthwhile.
        """

    @abstractmethod
    def promising(self, least: float) -> Promising:
        """Return what can be profiled next; `Progress.most_promising` describes ``least``."""

    def assume(self, most: int) -> bool:
        """Consider up to ``most`` unmeasured configurations as surrogates predict them.

        Returns whether this was done; by default, only measured configurations are considered.
        """
        return False

    @abstractmethod
    def in_time(self, latency_s: Floats) -> Floats:
        """Return the probabilities that plans with predicted latencies keep the bound, (k,)."""

    @abstractmethod
    def best_effort(self, its: PayablePlans) -> Floats:
        """Return the loss of plans of which none is feasible, infinite if not offered, (k,)."""

    @abstractmethod
    def confirm(self, index: int, more: int, alpha: float) -> bool:
        """Profile an active configuration on up to ``more`` items, and record the results.

        A test has level ``alpha``. Returns whether anything was learned.
        """

    @property
    @abstractmethod
    def _latency_terms(self) -> tuple[float, float]:
        """The margin and the error of the latency that surrogates predict; see `Cmbo`."""

    @abstractmethod
    def _judged(self) -> Believed:
        """Return the beliefs about the accuracy of profiled configurations."""

    # Common behaviour

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
            self._made = self._blank(self._prior(), self._pooled())
            _observe(self._made, list(self.measured), self._rows(self.measured))
            self._believed = None
        return self._made

    def _blank(self, prior: Prior | None, pooled: PooledAccuracy | None) -> Cmbo:
        """Return surrogates without observations; their prior is that of histories, if given."""
        plans, slo, (margin, error) = self.plans, self.query.slo, self._latency_terms
        return Cmbo(
            self.domain,
            plans.view.configuration,
            plans.factors(self.model.load),
            plans.sent_s,
            plans.view.cost_usd_per_hour,
            latency_s=slo.latency_s,
            accuracy=slo.accuracy,
            fixed_s=plans.fixed_s,
            latency_quantile=slo.latency_quantile,
            latency_margin=margin,
            latency_error=error,
            prior_accuracy=None if prior is None or pooled is not None else prior.accuracy,
            prior_log_time=None if prior is None else prior.log_time,
            pooled=pooled,
        )

    @property
    def items(self) -> int:
        """Total number of measured items over all configurations."""
        return sum(seen.count for seen in self.profiled.values())

    def count(self, index: int) -> int:
        """Return the number of items on which a configuration was measured."""
        return self.profiled[index].count if index in self.profiled else 0

    @property
    def measured(self) -> Mapping[int, ProfiledConfig]:
        """The profiling results of configurations that were measured and not only assumed."""
        return {index: seen for index, seen in self.profiled.items() if seen.count}

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
            self.domain.accuracy, typical, self._content, self.histories, self.accuracy_prior
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

        The errors are leave-one-out errors of accuracy on the measured configurations. The weights
        of histories were fitted to these configurations, which slightly favours histories.
        """
        measured = self.measured
        prior = None if len(measured) < LEAST_TO_MATURE else self._prior()
        if prior is None:
            return False
        own = self._blank(None, None)
        seen, rows = list(measured), self._rows(measured)
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
            sd.astype(np.float32),
            None if self._pools_nothing else seen,
        )

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
        """Return the beliefs about the accuracy of profiled configurations."""
        if self._believed is None:
            self._believed = self._judged()
        return self._believed

    def _predicted_accuracy(self) -> tuple[Floats, Floats]:
        """Return the means and deviations that surrogates predict, of shape (C,).

        They are the recorded ones if no newer results exist; deviations may then be `UNKNOWN`.
        """
        kept = self.kept_history if self._made is None and self._on_record else None
        if kept is None:
            return self.surrogates.accuracy()
        sd = UNKNOWN if kept.accuracy_sd is None else kept.accuracy_sd.astype(np.float64)
        return kept.accuracy.astype(np.float64), sd

    def _rows(self, shown: Mapping[int, ProfiledConfig] | None = None) -> Floats:
        """Return profiles, by default all, in the form of `rows_of`."""
        return rows_of((self.profiled if shown is None else shown).values(), self._operators)


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
