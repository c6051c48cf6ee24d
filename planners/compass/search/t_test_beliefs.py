"""Beliefs about configurations under the paper's rule of decision, `TTest`.

The test decides or, if it is undecided, the mean does. The search profiles each configuration once.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import inf, sqrt

import numpy as np
import scipy  # submodules load at first use

from planners.compass.search.configuration_beliefs import (
    UNKNOWN,
    Believed,
    ConfigurationBeliefs,
    Promising,
)
from planners.compass.search.query_plans import PayablePlans
from planners.compass.state.records import (
    ACCURACY,
    COUNT,
    VARIANCE,
    VERDICT,
    History,
    ProfiledConfig,
    keep_search_state,
)
from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints

RELIABLE = 128
"""A mean is used without surrogates if it is of at least this many items."""

LEAST_KNOWN = 8
"""Number of profiled configurations from which on surrogates can rule out all others. With fewer,
histories can mislead, and the query's own model has too little data.
"""

LIKELY_TO_DO = 0.5
"""A plan that fits is proposed before all others if it meets the SLO with this probability."""

RISKY, RISKIEST = 0.6, 0.3
"""Assumed probabilities of being in time, if predicted just above the headroom and at the bound.
"""


class TTestBeliefs(ConfigurationBeliefs):
    """Beliefs about configurations that a t-test or, if it is undecided, the mean accepts."""

    @property
    def complete(self) -> bool:
        """Whether all configurations were profiled."""
        return len(self.profiled) == self._many

    @property
    def renewed(self) -> bool:
        """Whether items were measured since the state of the search was kept."""
        return self.items > self.found.items

    @property
    def in_doubt(self) -> bool:
        """Whether some profile is undecided and has so few items that surrogates must judge it."""
        return any(
            seen.verdict is None and seen.count < RELIABLE for seen in self.profiled.values()
        )

    def done(self, least: float) -> Collection[int]:
        """Return the configurations that were profiled."""
        return self.profiled

    def promising(self, least: float) -> Promising:
        """Return the probabilities of being accurate enough, 0 if a configuration was profiled.

        ``least`` holds once `LEAST_KNOWN` configurations were profiled.
        """
        worth = self.surrogates.likely_accurate().copy()
        worth[list(self.profiled)] = 0.0
        least = least if len(self.profiled) >= LEAST_KNOWN else 0.0
        return Promising(worth, least, max(least, LIKELY_TO_DO))

    def in_time(self, latency_s: Floats) -> Floats:
        """Return the probabilities of keeping the bound, of shape (k,); see `kept_in_time`."""
        return kept_in_time(latency_s, self.bound_s, self.model.headroom)

    def best_effort(self, its: PayablePlans) -> Floats:
        """Return the sum of each plan's relative excess of latency and lack of accuracy."""
        floor, accuracy = self.query.slo.accuracy or 0.0, self.believed().accuracy
        lacking = np.maximum(0.0, floor - accuracy[its.configuration]) / max(floor, 1e-9)
        late = np.maximum(0.0, np.minimum(its.latency_s, 1e9) / self.bound_s - 1)
        return np.asarray(late + lacking)

    def history(self) -> History:
        """Return this query's beliefs without deviations; `HISTORY_SD` is assumed instead."""
        return replace(super().history(), accuracy_sd=None)

    def confirm(self, index: int, more: int, alpha: float) -> bool:
        """Profile an active configuration further, and test it more strictly than the search did.

        The results of other configurations are corrected by those of this one.
        """
        context, query, found = self.context, self.query, self.found
        configuration = context.world.pipeline.configurations[index]
        left_s, seen = context.remaining(query), found.profiled[index]
        for items in (seen.count, seen.count + more):
            belief = self.profiler.measure(context, query, configuration, items, alpha)
            if self._pools_nothing:
                belief = self.profiler.sharpened_by_most(
                    context, query, belief, found.profiled, alpha
                )
            if belief.verdict is not None:
                break
        most = self.profiler.most_items(context, query)
        decided = belief.verdict is not None or belief.count >= most
        grown = belief.count > seen.count
        shown = {**found.profiled, index: belief.as_profile(confirmed=decided)}
        after = replace(
            found,
            profiled=self._all_sharpened(shown, index) if grown else shown,
            kept=found.kept and not grown,
            # after a verdict of false, the earlier results were wrong
            exhausted=found.exhausted and belief.verdict is not False,
        )
        if not after.kept:
            known = replace(self, found=after)
            if known.in_doubt:
                after = replace(after, kept=True, history=known.history())
        after = replace(after, spent_s=found.spent_s + left_s - context.remaining(query))
        keep_search_state(context, query, after)
        return decided or grown

    def _all_sharpened(
        self, shown: Mapping[int, ProfiledConfig], control: int
    ) -> dict[int, ProfiledConfig]:
        """Return the corrected profiles; ``control`` was measured on more items than these."""
        configurations, found = self.context.world.pipeline.configurations, dict(shown)
        for index, seen in shown.items():
            if seen.count < shown[control].count and not seen.confirmed:
                belief = self.profiler.sharpened(
                    self.context, self.query, configurations[index], configurations[control]
                )
                if belief is not None:
                    found[index] = belief.as_profile()
        return found

    @property
    def _latency_terms(self) -> tuple[float, float]:
        return self.model.headroom, 0.0

    def _judged(self) -> Believed:
        """Return the beliefs about the accuracy of profiled configurations.

        The measured mean is used if the test has decided or at least `RELIABLE` items were
        measured; otherwise that of the surrogates is.
        """
        means, sds = self._predicted_accuracy() if self.in_doubt else (UNKNOWN, UNKNOWN)
        indices = np.fromiter(self.profiled, np.int64, len(self.profiled))
        floor = self.query.slo.accuracy
        least = -inf if floor is None else floor
        accuracy, accurate, margin = _judge(indices, self._rows(), means, sds, least, self._many)
        return Believed(accuracy, accurate, scipy.special.ndtr(margin))


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
    deviations must be used. ``TTestBeliefs._judged`` explains the rules.
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


@compiled
def kept_in_time(latency_s: Floats, bound_s: float, headroom: float) -> Floats:
    """Return plans' assumed probabilities of meeting a latency bound, of shape (k,).

    The probability is 1 for predicted latencies up to the share ``headroom`` of the bound, and
    lower for higher latencies.
    """
    kept = np.ones(len(latency_s))
    if bound_s == np.inf:
        return kept
    for plan in range(len(latency_s)):
        late = max(0.0, latency_s[plan] / bound_s - headroom) / max(1 - headroom, 1e-9)
        if late > 0:
            kept[plan] = RISKY - (RISKY - RISKIEST) * late if late <= 1 else 0.0
    return kept
