"""CherryPick: Bayesian optimisation of a whole plan, one profiled plan at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from planners.bayesopt.acquisition import expected_improvement, probability_above, probability_below
from planners.bayesopt.encodings import joint
from planners.bayesopt.gaussian_process import GaussianProcess
from planners.common.orders import Orders, serve_waiting
from planners.common.ranges import above, at_least
from planners.common.retries import IN_VAIN
from planners.common.trials import TRIALS, Trials
from scenarios.application import Pipeline
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import Plan, Planner, PlanningContext, PlanView

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


@dataclass(eq=False, repr=False)
class CherryPick(Planner):
    """Try a few plans, each the one expected to save most, and deploy the cheapest that would do.

    In the style of CherryPick (Alipourfard et al., NSDI 2017), which chooses cloud machines for a
    recurring job of analytics. For each query as it arrives, a few quasi-random plans are profiled.
    Gaussian processes (Matern 5/2) over whole plans, a configuration and a layout one-hot, then
    model latency and accuracy, and the plan of largest expected saving times probability of being
    feasible is profiled next,

        max(0, C_best - C) Pr[L <= L_m] Pr[A >= A_m],

    with C the list cost, known beforehand, and C_best that of the cheapest plan so far that meets
    the SLO and fits; while there is none, the probability alone. It stops once the largest expected
    saving is at most ``stop_saving`` of C_best, with ``least_runs`` plans tried or more. It is what
    the search of Compass comes to without placement expansion: each step learns of one plan.

    Confirmed by summaries of the paper: Bayesian optimisation that is just accurate enough, in few
    runs. From memory and unverified: the kernel, expected improvement times Pr[T <= T_max], about
    three quasi-random starts, the rule to stop at 10 % with 6 runs or more. Departures:

    * Its objective is the price of a machine times the running time that it models. A service runs
      as long as its query does, at a price that is known; what must be modelled is feasibility. So
      the improvement is certain, and accuracy is one more constraint.
    * Latency is modelled by its logarithm, as devices, links and slices multiply it, and is
      ``context.predict``'s quantile under the present load, at most ten times the bound.
    * Plans whose list price exceeds the SLO's ceiling are no candidates; nor are those that do not
      fit what is left.
    * It plans for one job. Here queries are served as they arrive, from what is left, and a running
      one is never planned anew. One for which nothing was found waits for ``pause_s``, or until
      something becomes free; the plans tried by then are not profiled again.

    Choose it as the baseline that treats a pipeline as a black box, and to see what it is worth to
    know of placements that need no measuring.

    Args:
        budget_s: planning seconds of each search, which mostly ends by its own rule before.
        samples: items profiled for each plan, without early stopping, 2 or more. Fewer let it see
            more plans, and misjudge more.
        starts: quasi-random plans tried first. More make the first model better, and cost as many
            runs.
        least_runs: plans tried before it may stop.
        stop_saving: share of the best cost that must be expected to be saved for it to go on. Lower
            for cheaper plans, higher for a faster response.
        headroom: the bound planned for, over that of the SLO; below 1 to allow for devices and
            links slower than nominal.
        pause_s: how long after a search in vain a query is left alone, unless there may be room.
        starts_seed: seed of the quasi-random starts.

    Raises:
        ValueError: a parameter is out of range.
    """

    query_records = (IN_VAIN, TRIALS, TRIED)

    budget_s: float = 5.0
    samples: int = 100
    starts: int = 3
    least_runs: int = 6
    stop_saving: float = 0.1
    headroom: float = 1.0
    pause_s: float = 30.0
    starts_seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, starts=self.starts)
        at_least(2, samples=self.samples)  # Their variance is the noise of its model.
        above(0, headroom=self.headroom)
        at_least(0, least_runs=self.least_runs, stop_saving=self.stop_saving, pause_s=self.pause_s)

    def plan(self, context: PlanningContext) -> None:
        """Search for each waiting query, unless an earlier search found nothing for it."""
        orders = Orders(context)
        serve_waiting(
            context, orders, self.pause_s, lambda query: self._search(context, query, orders)
        )

    def _search(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the cheapest plan that was tried, would do and fits; None if there is none."""
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
        """Tell whether so little is to be saved that the best plan so far will do."""
        best = runs.best()
        if best is None or len(runs.tried) < self.least_runs:
            return False
        return bool(saving <= self.stop_saving * runs.view.cost_usd_per_hour[best])
