"""Vulcan's search for one query: Bayesian optimisation of utility in one placement at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np

from planners.bayesopt.encodings import ordinal
from planners.bayesopt.gaussian_process import GaussianProcess
from planners.common.orders import Orders
from planners.common.trials import Trials
from scenarios.numerics import Bools, Floats, Ints
from scenarios.queries import Query
from scenarios.slo import SLO
from sim import Plan, PlanningContext, PlanView

Placement = tuple[str, ...]
"""The place of each operator: the device or a node."""

MOST_BOUNDS = 10.0
"""Cap on the ratio of latency to its bound, so that overloaded plans have a finite utility."""

LOOKED_AT = 3
"""The check for room in a layout tries this many known and this many other configurations."""

MOST_REFUSED = 10
"""The search of a placement ends after this many consecutive configurations that do not fit."""


@dataclass(frozen=True, slots=True)
class Utility:
    """Vulcan's utility U = P / R.

        P = gamma alpha_accuracy (A - A_m) + (1 - gamma) alpha_latency (L_m - L)

    Here A_m and L_m are the accuracy and latency (seconds) of the SLO. A term is 0 if the SLO lacks
    its bound. R is GPU time per request (`gpu_time_s`), but at least ``gpu_floor_s``. For the other
    parameters see `planners.baselines.vulcan.Vulcan`.
    """

    gamma: float
    alpha_accuracy: float
    alpha_latency: float
    gpu_floor_s: float

    def __call__(self, slo: SLO, accuracy: Floats, latency_s: Floats, gpu_s: Floats) -> Floats:
        """Return the utility U of each of K plans, of shape (K,)."""
        performance = np.zeros(len(accuracy))
        if slo.accuracy is not None:
            performance += self.gamma * self.alpha_accuracy * (accuracy - slo.accuracy)
        if slo.latency_s is not None:
            latency_s = np.minimum(latency_s, MOST_BOUNDS * slo.latency_s)
            performance += (1 - self.gamma) * self.alpha_latency * (slo.latency_s - latency_s)
        return performance / np.maximum(gpu_s, self.gpu_floor_s)


@dataclass(frozen=True, slots=True)
class Rules:
    """Parameters of the search, described in `planners.baselines.vulcan.Vulcan`."""

    initial: int
    kappa: float
    prune_after: int
    patience: int
    headroom: float


@dataclass(frozen=True, slots=True)
class VulcanProgress:
    """The point at which a search stopped."""

    placement: int = 0  # index of the placement that is being searched, or is next
    worse: int = 0  # number of configurations tried in that placement that were below its best
    spent_s: float = 0.0  # planning seconds spent


START = VulcanProgress()


class End(Enum):
    """The reason why a placement's search ended: its own rules, no budget, or ``enough``."""

    PLACEMENT = auto()
    BUDGET = auto()
    ENOUGH = auto()


@dataclass(frozen=True, slots=True)
class Scored:
    """K evaluated plans and their estimated values, each of shape (K,)."""

    plans: Ints
    accuracy: Floats
    latency_s: Floats
    gpu_s: Floats
    utility: Floats


@dataclass(eq=False)
class PlacementSearch:
    """The search for one query in one call, over placements, L layouts and C configurations.

    A layout is a placement with a GPU profile for each operator. The search has one model and one
    count of negative utilities for each placement, as published. There, a placement and a
    configuration have one utility. Here, it is that of the placement's best layout with room.

    Placements are in the order of `sim.PlanView`: those with the most operators on the device come
    first.
    """

    context: PlanningContext
    query: Query
    trials: Trials
    orders: Orders
    utility: Utility  # the utility of plans
    rules: Rules  # when to continue, and when to leave a placement
    slowdowns: Mapping[Placement, float]  # observed over predicted latency, by placement
    rng: np.random.Generator  # source of the initial configurations
    # Numbers of proposed configurations of negative utility so far, by placement.
    negatives: dict[Placement, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.view = self.context.bulk.view(self.query)
        configurations = len(self.context.world.pipeline.configurations)
        self._draws = self.rng.permutation(configurations).tolist()
        # Rows are layouts; an entry is -1 if the layout cannot run the configuration.
        self._plans: Ints = np.full((self.view.layout.max(initial=-1) + 1, configurations), -1)
        self._plans[self.view.layout, self.view.configuration] = np.arange(len(self.view))
        self._layouts: dict[Placement, list[int]] = {}
        for layout in np.flatnonzero((self._plans >= 0).any(axis=1)).tolist():
            placement = self.view.plan(int(self._plans[layout].max())).placement
            self._layouts.setdefault(placement, []).append(layout)
        self._slices = gpu_slices(self.context, self.view)
        self._slowdown = np.ones(len(self._plans))
        for placement, layouts in self._layouts.items():
            self._slowdown[layouts] = self.slowdowns.get(placement, 1.0)
        self._until_s = 0.0
        self._enough: Callable[[int], bool] | None = None

    def explore(
        self,
        first: Sequence[int] = (),
        start: VulcanProgress = START,
        enough: Callable[[int], bool] | None = None,
    ) -> VulcanProgress | None:
        """Search placement by placement, until none is left or the budget is spent.

        Args:
            first: configurations to begin with, before random ones.
            start: the point at which an earlier search for the query stopped.
            enough: called with each newly profiled configuration; the search pauses if it returns
                True.

        Returns:
            The point at which the search paused, or None if it is complete.
        """
        begun_s = self.context.remaining(self.query)
        self._until_s = start.spent_s
        self._enough = enough
        self._draws = [*first, *self._draws]
        placements = list(self._layouts)
        for at in range(start.placement, len(placements)):
            if self.negatives.get(placements[at], 0) >= self.rules.prune_after:
                continue
            worse = start.worse if at == start.placement else 0
            ended, worse = self._explore_placement(placements[at], worse)
            if ended is End.ENOUGH:
                spent_s = start.spent_s + begun_s - self.context.remaining(self.query)
                return VulcanProgress(at, worse, spent_s)
            if ended is End.BUDGET:
                return None
        return None

    def evaluated(self, configurations: Sequence[int] | None = None) -> Scored:
        """Score profiled configurations (by default all) in every layout that can run them."""
        chosen = self.trials.known if configurations is None else list(configurations)
        plans = self._plans[:, chosen].ravel()
        return self._score(plans[plans >= 0])

    def feasible(self, scored: Scored) -> Bools:
        """Return a mask, of shape (K,), of the plans that meet every part of the SLO."""
        slo = self.query.slo
        meets = np.ones(len(scored.plans), dtype=bool)
        if slo.accuracy is not None:
            meets &= scored.accuracy >= slo.accuracy
        if slo.latency_s is not None:
            meets &= scored.latency_s <= self.rules.headroom * slo.latency_s
        if slo.cost_usd_per_hour is not None:
            meets &= self.view.cost_usd_per_hour[scored.plans] <= slo.cost_usd_per_hour
        return meets

    def fits(self, plan: Plan) -> bool:
        """Return whether a plan fits in addition to all plans ordered so far."""
        return self.orders.fits(self.query, plan)

    def _explore_placement(self, placement: Placement, worse: int) -> tuple[End, int]:
        """Search one placement; return why the search ended, and the new value of ``worse``.

        ``worse`` counts the configurations proposed so far whose utility was below the placement's
        best. As in the authors' prototype, only configurations that the placement's model proposed
        count as ``worse`` or as negative, not those with which the model starts.
        """
        rules, runs = self.rules, self._plans[self._layouts[placement]]
        negative = self.negatives.get(placement, 0)
        if (ended := self._start(np.any(runs >= 0, axis=0))) is not None:
            return ended, worse
        runs = runs[[self._has_room(its) for its in runs]]
        left: Bools = np.any(runs >= 0, axis=0)
        observed = [each for each in self.trials.known if left[each]]
        if not observed:
            return End.PLACEMENT, worse
        values = self._best_utility(runs, observed)
        best = max(values)
        model = GaussianProcess(ordinal(self.context.world.pipeline))
        for index, value in zip(observed, values, strict=True):
            model.observe(index, value)
        left[observed] = False
        while negative < rules.prune_after and worse <= rules.patience:
            if self._spent():
                return End.BUDGET, worse
            proposed = self._propose(model, runs, left)
            if proposed is None:
                break
            if not self.trials.run(proposed):
                return End.BUDGET, worse
            [value] = self._best_utility(runs, [proposed])
            model.observe(proposed, value)
            left[proposed] = False
            negative += value < 0
            self.negatives[placement] = negative
            worse += value < best
            best = max(best, value)
            if self._enough is not None and self._enough(proposed):
                return End.ENOUGH, worse
        return End.PLACEMENT, worse

    def _propose(self, model: GaussianProcess, runs: Ints, left: Bools) -> int | None:
        """Return the configuration of largest upper bound that fits; unmark those that do not.

        ``runs``, of shape (k, C), has the plans of the placement's k layouts with room.
        """
        self.context.charge(self.query, "search_step")
        mean, deviation = model.predict()
        bound = (mean + self.rules.kappa * deviation)[:, 0]
        for _ in range(MOST_REFUSED):
            if not left.any():
                return None
            index = int(np.argmax(np.where(left, bound, -np.inf)))
            if self._any_fits(runs[:, index]):
                return index
            left[index] = False
        return None

    def _start(self, runs: Bools) -> End | None:
        """Profile random configurations until ``initial`` of those in the mask ``runs`` are known.

        ``runs``, of shape (C,), marks the configurations that the placement can run.
        """
        known = sum(bool(runs[each]) for each in self.trials.known)
        for index in self._draws:
            if known >= self.rules.initial:
                break
            if runs[index] and index not in self.trials.known:
                if self._spent() or not self.trials.run(index):
                    return End.BUDGET
                known += 1
                if self._enough is not None and self._enough(index):
                    return End.ENOUGH
        return None

    def _has_room(self, runs: Ints) -> bool:
        """Return whether one of a few plans of a layout fits; this is cheaper than a model step."""
        return self._any_fits(runs[[*self.trials.known[-LOOKED_AT:], *self._draws[:LOOKED_AT]]])

    def _any_fits(self, plans: Ints) -> bool:
        """Return whether one of several plans, of shape (k,), fits; -1 stands for no plan."""
        return any(self.fits(self.view.plan(plan)) for plan in plans[plans >= 0].tolist())

    def _best_utility(self, runs: Ints, configurations: Sequence[int]) -> list[float]:
        """Return the utility of each known configuration in the best of k layouts.

        ``runs``, of shape (k, C), has the layouts' plans.
        """
        plans = runs[:, configurations]
        utility = np.full(plans.shape, -np.inf)
        utility[plans >= 0] = self._score(plans[plans >= 0]).utility
        best: list[float] = utility.max(axis=0).tolist()
        return best

    def _spent(self) -> bool:
        return self.context.remaining(self.query) <= self._until_s

    def _score(self, plans: Ints) -> Scored:
        which = self.view.configuration[plans]
        accuracy = self.trials.accuracy[which]
        latency_s = self.trials.latency_s(self.view, plans)
        latency_s = latency_s * self._slowdown[self.view.layout[plans]]
        gpu_s = gpu_time_s(self.view, plans, self._slices, self.trials.operator_time_s[which])
        worth = self.utility(self.query.slo, accuracy, latency_s, gpu_s)
        return Scored(plans, accuracy, latency_s, gpu_s, worth)


def gpu_slices(context: PlanningContext, view: PlanView) -> Floats:
    """Return each station kind's share of a GPU's price, 0 for cores and the device (last)."""
    shares = []
    for kind in view.stations:
        node = context.world.cluster.nodes[kind.node]
        if kind.profile not in node.all_gpu_profiles:
            shares.append(0.0)
            continue
        whole = max(map(node.slice_price_usd_per_hour, node.gpu_profiles))
        shares.append(node.slice_price_usd_per_hour(kind.profile) / whole)
    return np.array([*shares, 0.0])


def gpu_time_s(view: PlanView, plans: Ints, slices: Floats, operator_time_s: Floats) -> Floats:
    """Return K plans' GPU seconds per request, each weighted by the station's share of the GPU.

    Time on devices counts as 0. ``operator_time_s``, of shape (K, N), is measured on profiling
    hardware, and ``slices`` is the result of `gpu_slices`.
    """
    busy_s = operator_time_s * view.capacity_factors[plans]
    return np.asarray((busy_s * slices[view.station[plans]]).sum(axis=1))
