"""CherryPick: Bayesian optimisation of a whole plan, one profiled plan at a time."""

from planners.baselines.plan_runs import TRIED, PlanRuns, spread
from planners.common.orders import Orders
from planners.common.ranges import above, at_least
from planners.common.retries import IN_VAIN, due, give_up
from planners.common.trials import TRIALS
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import Plan, Planner, PlanningContext


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

    def __init__(
        self,
        budget_s: float = 5.0,
        samples: int = 100,
        starts: int = 3,
        least_runs: int = 6,
        stop_saving: float = 0.1,
        headroom: float = 1.0,
        pause_s: float = 30.0,
        starts_seed: int = 0,
    ) -> None:
        at_least(1, starts=starts)
        at_least(2, samples=samples)  # Their variance is the noise of its model.
        above(0, headroom=headroom)
        at_least(0, least_runs=least_runs, stop_saving=stop_saving, pause_s=pause_s)
        self.budget_s = budget_s
        self.samples = samples
        self.starts = starts
        self.least_runs = least_runs
        self.stop_saving = stop_saving
        self.headroom = headroom
        self.pause_s = pause_s
        self.starts_seed = starts_seed

    def plan(self, context: PlanningContext) -> None:
        """Search for each waiting query, unless an earlier search found nothing for it."""
        orders = Orders(context)
        for query in context.waiting:
            if due(context, query, self.pause_s):
                plan = self._search(context, query, orders)
                if plan is None:
                    give_up(context, query)
                else:
                    orders.deploy(query, plan)

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
