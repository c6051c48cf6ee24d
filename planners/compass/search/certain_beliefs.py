"""Beliefs about configurations under a rule of decision that states a certainty, `Certain`.

The posterior of the surrogates decides where the rule gives no verdict. Configurations are measured
on more items while these can probably prove that the floor is met. Plans of unmeasured ones can
serve as best effort.
"""

from collections.abc import Collection
from dataclasses import replace
from math import inf, log, nan
from statistics import NormalDist

import numpy as np
import scipy  # submodules load at first use

from planners.bayesopt.acquisition import probability_above, probability_below
from planners.compass.profiling.decisions import Certain, critical_posterior
from planners.compass.search.configuration_beliefs import Believed, ConfigurationBeliefs, Promising
from planners.compass.search.query_plans import PayablePlans
from planners.compass.state.records import keep_search_state
from scenarios.numerics import Floats

STEP_S = 0.1
"""Seconds that a step of the search takes besides profiling."""

WORTH_A_TRY = 0.25
"""Least probability of meeting the SLO at which a plan is offered that is not certain."""


class CertainBeliefs(ConfigurationBeliefs):
    """Beliefs about configurations that are accepted with a stated probability."""

    def __post_init__(self) -> None:
        super().__post_init__()
        decision = self.profiler.decision
        assert isinstance(decision, Certain), "the rule of decision states no certainty"
        self.certainty = decision.certainty
        most_items = self.profiler.most_items(self.context, self.query)
        self._most = min(self.profiler.most, most_items)
        self._latency_error = error_of(self.model.headroom, self.certainty)

    @property
    def renewed(self) -> bool:
        """Whether anything is profiled, because what other queries show changes beliefs as well."""
        return bool(self.profiled)

    def done(self, least: float) -> Collection[int]:
        """Return the measured configurations that have no `prospects`."""
        hopeless = self.prospects(least) == 0
        return {index for index in self.measured if hopeless[index]}

    def promising(self, least: float) -> Promising:
        """Return the `prospects`, which exclude configurations by ``least`` already."""
        return Promising(self.prospects(least), 0.0, 0.0)

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
        floor, most = self.query.slo.accuracy, self._most
        mean, sd = self.surrogates.accuracy()
        item_s = self.surrogates.time_s().sum(axis=1)
        count, settled = np.zeros(self._many), np.zeros(self._many, dtype=bool)
        believed = self.believed()
        for index, seen in self.profiled.items():
            count[index] = seen.count
            settled[index] = seen.verdict is not None or believed.accurate[index]
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
                gap = mean - floor - critical_posterior(self.certainty, least_sd) * least_sd
            likely = np.where(items > 0, scipy.special.ndtr(gap / moved), 0.0)
            seconds = STEP_S + np.ceil(np.maximum(items, 1) / workers) * item_s
            best, reached = np.maximum(best, likely / seconds), np.maximum(reached, likely)
            more *= 2
        return np.where(settled | (reached < least), 0.0, best)

    def assume(self, most: int) -> bool:
        """Add predicted results of unmeasured configurations, in place of earlier predictions.

        They are those with a plan whose worth, its probability of meeting the SLO times the worth
        of service minus its price, is the highest. There are none before the first measurement.
        """
        if not self.measured:
            return False
        value = self.plans.market.value
        cost, _ = self.plans.costs(self.surrogates.time_s())
        worth = np.full(self._many, -inf)
        likely = self.surrogates.feasible()
        np.maximum.at(worth, self.plans.view.configuration, likely * value - cost)
        worth[list(self.measured)] = -inf
        chosen = np.argsort(-worth, kind="stable")[:most]
        indices = [index for index in chosen.tolist() if worth[index] > -value]
        accuracy, sd = self.surrogates.accuracy()
        time_s = self.surrogates.time_s().copy()
        self.profiled = {**self.measured, **self._predicted(indices, accuracy, sd**2, time_s)}
        self._believed = None
        return True

    def in_time(self, latency_s: Floats) -> Floats:
        """Return the probabilities of keeping the bound, of shape (k,); see `error_of`."""
        if self.bound_s == inf:
            return np.ones(len(latency_s))
        log_s = np.log(np.maximum(latency_s, 1e-9))
        return probability_below(log(self.bound_s), log_s, self._latency_error)

    def best_effort(self, its: PayablePlans) -> Floats:
        """Return the loss of plans (see `Market.loss`), infinite if a plan is not `WORTH_A_TRY`."""
        likely = self.believed().sure[its.configuration] * its.in_time
        lost = its.price + (1 - likely) * self.plans.market.value
        return np.where(likely >= WORTH_A_TRY, lost, inf)

    def confirm(self, index: int, more: int, alpha: float) -> bool:
        """Profile an active configuration further while it is not certain whether it will do."""
        context, query, found = self.context, self.query, self.found
        believed, seen = self.believed(), self.profiled[index]
        hopeless = believed.sure[index] <= 1 - self.certainty
        if believed.accurate[index] or hopeless or seen.count >= self._most:
            return False
        left_s = context.remaining(query)
        configuration = context.world.pipeline.configurations[index]
        wanted = min(self._most, seen.count + more)
        belief = self.profiler.measure(context, query, configuration, wanted, alpha)
        if belief.count <= seen.count:
            return False
        self.learn(index, belief.as_profile())
        after = replace(
            found,
            profiled=self.profiled,
            kept=True,
            exhausted=found.exhausted and bool(self.believed().accurate[index]),
            spent_s=found.spent_s + left_s - context.remaining(query),
            history=self.history(),
        )
        keep_search_state(context, query, after)
        return True

    @property
    def _latency_terms(self) -> tuple[float, float]:
        return 1.0, self._latency_error

    def _judged(self) -> Believed:
        """Return the beliefs about the accuracy of profiled configurations.

        Without a verdict, a configuration is accurate enough if the surrogates' mean is above the
        floor by `critical_posterior`.
        """
        accuracy, sure = np.full(self._many, nan), np.zeros(self._many)
        accurate, floor = np.zeros(self._many, dtype=bool), self.query.slo.accuracy
        if self.profiled:
            indices = np.fromiter(self.profiled, np.int64, len(self.profiled))
            mean, sd = (each[indices] for each in self._predicted_accuracy())
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


def error_of(headroom: float, certainty: float) -> float:
    """Return the deviation of the log of latency / prediction that a headroom stands for.

    A prediction at the share ``headroom`` of the bound keeps the bound with the probability
    ``certainty``, which is above 0.5 and below 1, if errors are log-normal.
    """
    return -log(headroom) / NormalDist().inv_cdf(certainty)
