"""CherryPick: Bayesian optimisation of a whole plan, one profiled plan at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from typing import Annotated

import numpy as np

from planners.bayesopt.acquisition import expected_improvement, probability_above, probability_below
from planners.bayesopt.encodings import joint
from planners.bayesopt.gaussian_process import GaussianProcess
from planners.common.orders import IN_VAIN, Orders, QueryByQuery
from planners.common.ranges import Count, NonNegative, Positive
from planners.common.trials import TRIALS, Trials
from scenarios.applications.pipeline import Pipeline
from scenarios.queries import Query
from scenarios.random_streams import stream
from scenarios.ranges import Range
from sim import Plan, PlanningContext, PlanView

TRIED = "plans tried"
"""Key of the planner's record of the plans that were tried for a query."""

MOST_BOUNDS = 10.0
"""Cap on the ratio of latency to its bound, so that overloaded plans have a finite value."""

MOST_REFUSED = 10
"""Once this many plans of one layout did not fit, the other plans of the layout are skipped."""

MOST_POINTS = 256
"""Number of quasi-random points from which the first plans to try are chosen."""


class PlanRuns:
    """The plans tried for one query in one call, and a model of all P plans.

    The tried plans are remembered for the query's next search. All other plans below the SLO's
    price ceiling are candidates.

    Args:
        samples: number of items on which each plan is profiled.
        headroom: largest allowed predicted latency of a plan, as a share of the latency bound.

    Attributes:
        view: the query's plans.
        tried: indices of the plans that were tried, in order of trial.
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
        """Return whether a plan is a candidate that was not tried yet and fits.

        Once `MOST_REFUSED` plans of a layout did not fit, its other plans stop being candidates.
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
        """Profile a candidate; return whether the budget sufficed."""
        if not self._trials.run(int(self.view.configuration[index])):
            return False
        self._observe((index,))
        self._context.remember(self._key, tuple(self.tried), self._query)
        return True

    def propose(self) -> tuple[int, float] | None:
        """Return the fitting candidate with the largest expected saving, and its saving in USD/h.

        While no feasible plan is known, the probability of feasibility replaces the saving. Returns
        None if no candidate is left.
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
        """Return the cheapest tried plan that is feasible and fits; among equals, the fastest."""
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
    """Yield a sample of plans that is spread evenly over knob values and layouts.

    The points are an additive quasi-random sequence from a random start (Roberts 2018). In d
    dimensions, its steps are the powers of the root of x^(d + 1) = x + 1. Points that correspond to
    no plan are skipped.
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


@dataclass(eq=False, repr=False)
class CherryPick(QueryByQuery):
    """Profile the few plans with the largest expected savings; deploy the cheapest feasible plan.

    This planner follows CherryPick (Alipourfard et al., NSDI 2017), which chooses cloud machines
    for a recurring analytics job. A few quasi-random plans are profiled for each arriving query.
    Gaussian processes (Matern 5/2) then model latency and accuracy as functions of whole plans,
    whose configuration and layout are encoded one-hot. The next plan to be profiled maximises

        max(0, C_best - C) Pr[L <= L_m] Pr[A >= A_m]

    Here C is the list cost, which is known beforehand. C_best is the list cost of the cheapest
    tried plan that meets the SLO and fits. Until such a plan is found, only the probabilities
    count. After ``least_runs`` plans, the search stops once the largest expected saving is at most
    the share ``stop_saving`` of C_best.

    ``docs/concepts/baselines.md`` lists what the paper confirms and what departs from the paper.

    Args:
        budget_s: planning seconds of each search.
        samples: number of items on which each plan is profiled, 2 or more.
        starts: number of quasi-random plans that are tried first.
        least_runs: number of plans that are tried before a small saving can stop the search.
        stop_saving: share of the best cost below which the largest expected saving ends the search.
        headroom: largest allowed predicted latency of a plan, as a share of the latency bound.
        pause_s: seconds from a failed search for a query to the next; freed room ends the pause.
        starts_seed: seed of the quasi-random starts.
    """

    behaviour = 1
    """1: versions begin."""

    query_records = (IN_VAIN, TRIALS, TRIED)

    budget_s: float = 5.0
    samples: Annotated[int, Range(ge=2)] = 100  # their variance is the model's noise
    starts: Count = 3
    least_runs: Annotated[int, Range(ge=0)] = 6
    stop_saving: NonNegative = 0.1
    headroom: Positive = 1.0
    pause_s: NonNegative = 30.0
    starts_seed: int = 0

    def find(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the cheapest tried plan that is feasible and fits, or None."""
        if not len(context.bulk.view(query)):
            return None
        runs = PlanRuns(context, query, orders, self.samples, self.headroom)
        rng = stream(self.starts_seed, "cherrypick", query.id)
        for index in spread(context.world.pipeline, runs.view, rng):
            if len(runs.tried) >= self.starts:
                break
            if runs.has_room(index) and not runs.run(index):
                break
        while context.remaining(query) > 0:
            context.charge(query, "search_step")
            proposed = runs.propose()
            if proposed is None:
                break
            index, saving = proposed
            if self._enough(runs, saving) or not runs.run(index):
                break
        best = runs.best()
        return None if best is None else runs.view.plan(best)

    def _enough(self, runs: PlanRuns, saving: float) -> bool:
        """Return whether the search can stop because the expected saving is too small."""
        best = runs.best()
        if best is None or len(runs.tried) < self.least_runs:
            return False
        return bool(saving <= self.stop_saving * runs.view.cost_usd_per_hour[best])
