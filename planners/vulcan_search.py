"""Vulcan's search for one query: Bayesian optimisation of its utility, placement by placement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.encodings import ordinal
from planners.surrogates import GaussianProcess
from planners.trials import Trials
from scenarios.queries import Query
from scenarios.slo import SLO
from sim import Desk, PlanView

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MOST_BOUNDS = 10.0
"""Latency counts as at most so many times the bound, that overload too has a finite utility."""


@dataclass(frozen=True, slots=True)
class Utility:
    """Vulcan's utility U = P / R.

        P = gamma alpha_accuracy (A - A_m) + (1 - gamma) alpha_latency (L_m - L)

    with A_m and L_m the accuracy and latency (seconds) of the SLO; a part that the SLO lacks adds
    nothing. R is GPU time per request, see `gpu_time_s`, or the floor if it is less.

    Args:
        gamma: weight of accuracy against latency, from 0 to 1.
        alpha_accuracy: worth of accuracy.
        alpha_latency: worth of a second.
        gpu_floor_s: least GPU time that a request counts with, in seconds.
    """

    gamma: float
    alpha_accuracy: float
    alpha_latency: float
    gpu_floor_s: float

    def __call__(self, slo: SLO, accuracy: Floats, latency_s: Floats, gpu_s: Floats) -> Floats:
        """Return U of each of K plans, shape (K,)."""
        performance = np.zeros(len(accuracy))
        if slo.accuracy is not None:
            performance += self.gamma * self.alpha_accuracy * (accuracy - slo.accuracy)
        if slo.latency_s is not None:
            latency_s = np.minimum(latency_s, MOST_BOUNDS * slo.latency_s)
            performance += (1 - self.gamma) * self.alpha_latency * (slo.latency_s - latency_s)
        return performance / np.maximum(gpu_s, self.gpu_floor_s)


@dataclass(frozen=True, slots=True)
class Rules:
    """How a search goes on and when it leaves a placement; see `planners.vulcan.Vulcan`."""

    initial: int
    kappa: float
    prune_after: int
    patience: int
    headroom: float


@dataclass(frozen=True, slots=True)
class Scored:
    """Plans that were evaluated, K of them, and what is believed of them, each of shape (K,)."""

    plans: Integers
    accuracy: Floats
    latency_s: Floats
    gpu_s: Floats
    utility: Floats


class PlacementSearch:
    """The search for one query in one call; L layouts, C configurations.

    A *layout* is a placement with the GPU profiles of its operators. Layouts come in the order of
    `sim.PlanView`: those that stay longest on the device first.

    Args:
        desk: the desk of the call.
        query: the query.
        trials: what was profiled for it.
        utility: what a plan is worth.
        rules: how the search goes on.
        slowdowns: by placement, observed over predicted latency.
        rng: source of the initial configurations.
    """

    def __init__(
        self,
        desk: Desk,
        query: Query,
        trials: Trials,
        utility: Utility,
        rules: Rules,
        slowdowns: Mapping[tuple[str, ...], float],
        rng: np.random.Generator,
    ) -> None:
        self._desk = desk
        self._query = query
        self._utility = utility
        self._rules = rules
        self.view = desk.view(query)
        self._trials = trials
        configurations = len(desk.pipeline.configurations)
        self._draws = rng.permutation(configurations).tolist()
        # Rows are layouts; -1 where a layout cannot run a configuration.
        self._plans: Integers = np.full((self.view.layout.max(initial=-1) + 1, configurations), -1)
        self._plans[self.view.layout, self.view.configuration] = np.arange(len(self.view))
        self._slices = gpu_slices(desk, self.view)
        self._slowdown = self._slowdown_of_layouts(slowdowns)

    def explore(self, first: Sequence[int] = ()) -> None:
        """Profile configurations, layout after layout, until none is left or the budget is spent.

        Args:
            first: configurations to begin with, before random ones.
        """
        self._draws = [*first, *self._draws]
        for runs in self._plans:
            if not self._explore_layout(runs):
                return

    def evaluated(self) -> Scored:
        """Return every profiled configuration in every layout that runs it."""
        plans = self._plans[:, self._trials.known].ravel()
        return self._score(plans[plans >= 0])

    def feasible(self, scored: Scored) -> NDArray[np.bool_]:
        """Mark the plans that meet every part of the SLO, shape (K,)."""
        slo = self._query.slo
        meets = np.ones(len(scored.plans), dtype=bool)
        if slo.accuracy is not None:
            meets &= scored.accuracy >= slo.accuracy
        if slo.latency_s is not None:
            meets &= scored.latency_s <= self._rules.headroom * slo.latency_s
        if slo.cost_usd_per_hour is not None:
            meets &= self.view.cost_usd_per_hour[scored.plans] <= slo.cost_usd_per_hour
        return meets

    def _explore_layout(self, runs: Integers) -> bool:
        """Search one layout; return whether there is budget for the next.

        Args:
            runs: the layout's plan with each configuration, shape (C,), -1 where it has none.
        """
        if not self._start(runs):
            return False
        observed = [each for each in self._trials.known if runs[each] >= 0]
        if not observed or not self._has_room(runs[observed]):
            return True
        values = self._score(runs[observed]).utility
        negative, worse, best = int((values < 0).sum()), 0, float(values.max())
        if negative >= self._rules.prune_after:
            return True
        model = GaussianProcess(ordinal(self._desk.pipeline))
        for index, value in zip(observed, values.tolist(), strict=True):
            model.observe(index, np.array([value]))
        left = runs >= 0
        left[observed] = False
        while negative < self._rules.prune_after and worse <= self._rules.patience and left.any():
            if self._desk.remaining(self._query) <= 0:
                return False
            self._desk.think(self._query, "search_step")
            mean, deviation = model.predict()
            bound = (mean + self._rules.kappa * deviation)[:, 0]
            index = int(np.argmax(np.where(left, bound, -np.inf)))
            if not self._trials.run(index):
                return False
            value = float(self._score(runs[index : index + 1]).utility[0])
            model.observe(index, np.array([value]))
            left[index] = False
            negative += value < 0
            worse += value < best
            best = max(best, value)
        return True

    def _start(self, runs: Integers) -> bool:
        """See that enough configurations that the layout can run are known, drawn at random."""
        known = sum(runs[each] >= 0 for each in self._trials.known)
        for index in self._draws:
            if known >= self._rules.initial:
                break
            if runs[index] >= 0 and index not in self._trials.known:
                if not self._trials.run(index):
                    return False
                known += 1
        return True

    def _has_room(self, plans: Integers) -> bool:
        return any(self._desk.fits(self._query, self.view.plan(each)) for each in plans.tolist())

    def _score(self, plans: Integers) -> Scored:
        which = self.view.configuration[plans]
        accuracy = self._trials.accuracy[which]
        latency_s = self._trials.latency_s(self.view, plans)
        latency_s = latency_s * self._slowdown[self.view.layout[plans]]
        gpu_s = gpu_time_s(self.view, plans, self._slices, self._trials.operator_time_s[which])
        worth = self._utility(self._query.slo, accuracy, latency_s, gpu_s)
        return Scored(plans, accuracy, latency_s, gpu_s, worth)

    def _slowdown_of_layouts(self, slowdowns: Mapping[tuple[str, ...], float]) -> Floats:
        factors = np.ones(len(self._plans))
        if slowdowns:
            for layout, runs in enumerate(self._plans):
                if (runs >= 0).any():
                    placement = self.view.plan(int(runs.max())).placement
                    factors[layout] = slowdowns.get(placement, 1.0)
        return factors


def gpu_slices(desk: Desk, view: PlanView) -> Floats:
    """Return the share of a whole GPU that an instance of each station kind is, by price.

    0 for cores; the last element, which index -1 finds, is 0 for the device.
    """
    shares = []
    for kind in view.stations:
        node = desk.cluster.nodes[kind.node]
        if kind.profile not in node.all_gpu_profiles:
            shares.append(0.0)
            continue
        whole = max(map(node.slice_price_usd_per_hour, node.gpu_profiles))
        shares.append(node.slice_price_usd_per_hour(kind.profile) / whole)
    return np.array([*shares, 0.0])


def gpu_time_s(view: PlanView, plans: Integers, slices: Floats, operator_time_s: Floats) -> Floats:
    """Return GPU seconds per request, an instance's counted by its share of the whole GPU.

    The user's own device counts nothing.

    Args:
        view: the query's plans.
        plans: indices of K plans.
        slices: see `gpu_slices`.
        operator_time_s: mean time of N operators on profiling hardware, shape (K, N).
    """
    busy_s = operator_time_s * view.capacity_factors[plans]
    return np.asarray((busy_s * slices[view.station[plans]]).sum(axis=1))
