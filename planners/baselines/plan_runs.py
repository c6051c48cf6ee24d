"""Black-box search over whole plans: those that were tried, and what the others promise."""

from collections.abc import Iterator
from math import log

import numpy as np
from numpy.typing import NDArray

from planners.bayesopt.acquisition import expected_improvement, probability_above, probability_below
from planners.bayesopt.encodings import joint
from planners.bayesopt.gaussian_process import GaussianProcess
from planners.common.orders import Orders
from planners.common.trials import Trials
from scenarios.application import Pipeline
from scenarios.queries import Query
from sim import PlanningContext, PlanView

Integers = NDArray[np.int64]

TRIED = "plans tried"
"""The plans that were tried for a query, by query."""

MOST_BOUNDS = 10.0
"""Latency counts as at most so many times the bound, that overload too has a finite value."""

MOST_REFUSED = 10
"""Plans of one layout without room after which the whole layout is passed over."""

MOST_POINTS = 256
"""Quasi-random points that are drawn to find plans that can be tried."""


class PlanRuns:
    """The plans tried for one query in one call, and a model of all that could be; P plans.

    Which ones were tried is remembered for the query's next search, which takes them as tried.
    Candidates are the others that the SLO's price ceiling allows.

    Args:
        context: the planning context of the call.
        query: the query.
        orders: those of the call.
        samples: items profiled for each plan.
        headroom: the latency bound planned for, over that of the SLO.

    Attributes:
        view: the query's plans.
        tried: numbers of the plans tried, in order.
    """

    def __init__(
        self, context: PlanningContext, query: Query, orders: Orders, samples: int, headroom: float
    ) -> None:
        self._context = context
        self._orders = orders
        self._query = query
        self.view = context.bulk.view(query)
        self.tried: list[int] = []
        slo = query.slo
        self._bound_s = None if slo.latency_s is None else headroom * slo.latency_s
        self._trials = Trials(context, query, samples)
        self._key = TRIED, query.id
        self._latency_s: dict[int, float] = {}
        self._fits: dict[int, bool] = {}
        self._refused = np.zeros(self.view.layout.max(initial=-1) + 1, dtype=np.int64)
        self._open = np.ones(len(self.view), dtype=bool)
        if slo.cost_usd_per_hour is not None:
            self._open &= self.view.cost_usd_per_hour <= slo.cost_usd_per_hour
        features, widths = joint(context.world.pipeline, self.view)
        self._latency = GaussianProcess(features, blocks=widths)
        self._accuracy = GaussianProcess(features, blocks=widths)
        self._observe(context.recall(self._key, query) or ())

    def has_room(self, index: int) -> bool:
        """Tell whether a plan is a candidate that was not tried, and fits.

        A layout of which many plans do not fit is closed: others would only by sharing stations.
        """
        if not self._open[index] or self._fit(index):
            return bool(self._open[index])
        layout = self.view.layout[index]
        self._open[index] = False
        self._refused[layout] += 1
        if self._refused[layout] == MOST_REFUSED:
            self._open[self.view.layout == layout] = False
        return False

    def run(self, index: int) -> bool:
        """Try a candidate; return whether the budget sufficed."""
        if not self._trials.run(int(self.view.configuration[index])):
            return False
        self._observe((index,))
        self._context.remember(self._key, tuple(self.tried), self._query)
        return True

    def propose(self) -> tuple[int, float] | None:
        """Return the candidate of largest expected saving that has room, and that saving in USD/h.

        While no plan would do, it is the probability that the candidate would. None if no candidate
        is left.
        """
        bound = None if self._bound_s is None else log(self._bound_s)
        mean, deviation = self._latency.predict()
        feasible = probability_below(bound, mean[:, 0], deviation[:, 0])
        mean, deviation = self._accuracy.predict()
        feasible *= probability_above(self._query.slo.accuracy, mean[:, 0], deviation[:, 0])
        best, cost = self.best(), self.view.cost_usd_per_hour
        reference = None if best is None else float(cost[best])
        saving = expected_improvement(reference, cost, 0.0, feasible)
        while self._open.any():
            index = int(np.argmax(np.where(self._open, saving, -np.inf)))
            if self.has_room(index):
                return index, float(saving[index])
        return None

    def best(self) -> int | None:
        """Return the cheapest plan tried that would do and fits, the fastest of equals."""
        good = [index for index in self.tried if self._would_do(index) and self._fit(index)]
        cost = self.view.cost_usd_per_hour
        return min(good, key=lambda each: (cost[each], self._latency_s[each]), default=None)

    def _observe(self, plans: tuple[int, ...]) -> None:
        indices = np.array(plans, dtype=np.int64)
        for index, latency_s in zip(
            plans, self._trials.latency_s(self.view, indices).tolist(), strict=True
        ):
            accuracy = float(self._trials.accuracy[self.view.configuration[index]])
            self._latency_s[index] = latency_s
            self.tried.append(index)
            self._open[index] = False
            logarithm = 0.0
            if self._bound_s is not None:
                logarithm = log(min(latency_s, MOST_BOUNDS * self._bound_s))
            noise = self._trials.noise(int(self.view.configuration[index]))
            self._latency.observe(index, logarithm, noise[0])
            self._accuracy.observe(index, accuracy, noise[1])

    def _would_do(self, index: int) -> bool:
        floor = self._query.slo.accuracy
        accuracy = self._trials.accuracy[self.view.configuration[index]]
        return (floor is None or bool(accuracy >= floor)) and (
            self._bound_s is None or self._latency_s[index] <= self._bound_s
        )

    def _fit(self, index: int) -> bool:
        if index not in self._fits:
            self._fits[index] = self._orders.fits(self._query, self.view.plan(index))
        return self._fits[index]


def spread(pipeline: Pipeline, view: PlanView, rng: np.random.Generator) -> Iterator[int]:
    """Yield some plans, spread evenly over knobs and layouts.

    An additive quasi-random sequence from a random start, whose steps are the powers of the root of
    x^(d + 1) = x + 1 in d dimensions (Roberts 2018). Points without a plan are left out.
    """
    layouts, which = np.unique(view.layout, return_inverse=True)
    widths = [*(len(knob.choices) for knob in pipeline.knobs), len(layouts)]
    plans = np.full((len(pipeline.configurations), len(layouts)), -1)
    plans[view.configuration, which] = np.arange(len(view))
    plans = plans.reshape(widths)  # Configurations are numbered knob by knob, the last fastest.
    root = 2.0
    for _ in range(50):
        root = (1 + root) ** (1 / (len(widths) + 1))
    step = root ** -np.arange(1.0, len(widths) + 1)
    point = rng.random(len(widths))
    for _ in range(MOST_POINTS):
        index = int(plans[tuple((point * widths).astype(int).tolist())])
        if index >= 0:
            yield index
        point = (point + step) % 1
