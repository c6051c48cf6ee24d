"""The profiling results of a query's search, as arrays for scoring many plans at once."""

import numpy as np

from planners.common.offline_profiles import half_profiled
from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from sim import Estimate, PlanningContext, PlanView

TRIALS = "trials"
"""Key of the record of the configurations that were profiled for a query."""


class Trials:
    """Profiling results of one query, for C configurations and N operators.

    The results are recorded, so that the query's next search reuses them free of charge.

    Args:
        samples: number of items on which each configuration is profiled. If the budget allows fewer
            than half of these items, or only one, the result is ignored.

    Attributes:
        known: indices of the profiled configurations, in the order of profiling.
        accuracy: mean accuracy of the known configurations, of shape (C,).
        operator_time_s: mean time on profiling hardware of each operator in the known
            configurations, of shape (C, N).
    """

    def __init__(self, context: PlanningContext, query: Query, samples: int) -> None:
        self._context = context
        self._query = query
        self._samples = samples
        self._key = TRIALS, query.id
        count = len(context.world.pipeline.configurations)
        self.known: list[int] = []
        self.accuracy: Floats = np.zeros(count)
        self.operator_time_s: Floats = np.zeros((count, len(context.world.pipeline.operators)))
        self._time_cv: Floats = np.zeros(count)
        self._normalised: Floats = np.ones((count, 2))
        self._noise: Floats = np.zeros((count, 2))
        for index in context.recall(self._key, query) or ():
            self._take(
                index, context.profile(query, context.world.pipeline.configurations[index], 1)
            )

    def run(self, configuration: int) -> bool:
        """Profile a configuration, unless it is known; return whether it is known now.

        The result is false if the budget did not suffice.
        """
        if configuration in self.known:
            return True
        chosen = self._context.world.pipeline.configurations[configuration]
        estimate = self._context.profile(self._query, chosen, self._samples)
        if estimate.count == 1 < self._samples or not half_profiled(
            self._context, self._query, estimate.count, self._samples
        ):
            return False
        self._take(configuration, estimate)
        self._context.remember(self._key, tuple(self.known), self._query)
        return True

    def latency_s(self, view: PlanView, plans: Ints) -> Floats:
        """Predict K plans' latency in seconds at the SLO's quantile, under the present load.

        The result has shape (K,). The configurations of the plans must be known. A plan that would
        overload a station or link has infinite latency.
        """
        which = view.configuration[plans]
        return self._context.bulk.predict_many(
            self._query,
            view,
            plans,
            self.operator_time_s[which],
            self._time_cv[which],
            normalised=self._normalised[which],
        )[1]

    def noise(self, configuration: int) -> tuple[float, float]:
        """Return the variances of a known configuration's two means: log time and accuracy."""
        time, accuracy = self._noise[configuration].tolist()
        return time, accuracy

    def renew(self) -> None:
        """Take new items from the query's stream for profiling, and forget all results."""
        self._context.resample(self._query)
        self.known = []
        self._context.remember(self._key, (), self._query)

    def _take(self, configuration: int, estimate: Estimate) -> None:
        measurement = estimate.measurement
        self.known.append(configuration)
        self.accuracy[configuration] = measurement.accuracy_mean
        self.operator_time_s[configuration] = measurement.operator_mean_s
        self._time_cv[configuration] = measurement.time_cv
        self._normalised[configuration] = measurement.normalised
        self._noise[configuration] = (
            measurement.time_cv**2 / measurement.count,
            measurement.accuracy_variance / measurement.count,
        )
