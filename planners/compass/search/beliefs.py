"""Beliefs about one query's plans: estimates from profiling, histories and telemetry."""

from collections.abc import Callable, Mapping, Sequence
from math import exp, inf
from statistics import NormalDist

import numpy as np

from planners.bayesopt.encodings import blocks, mixed, one_hot, ordinal
from planners.common.weak_cache import KEPT
from planners.compass.profiling.decisions import Certain
from planners.compass.profiling.profiler import Profiler
from planners.compass.search.accuracy_prior import AccuracyPrior
from planners.compass.search.certain_beliefs import CertainBeliefs
from planners.compass.search.cmbo import Domain
from planners.compass.search.configuration_beliefs import Believed, ConfigurationBeliefs
from planners.compass.search.history import WarmStart
from planners.compass.search.planning_model import PlanningModel
from planners.compass.search.query_plans import (
    Held,
    PayablePlans,
    ProfiledSizes,
    QueryPlans,
    losses,
    undominated,
)
from planners.compass.search.t_test_beliefs import TTestBeliefs
from planners.compass.state.pools import Market
from planners.compass.state.records import Candidates, Offer, ProfiledConfig, SearchState
from scenarios.applications.pipeline import Pipeline
from scenarios.numerics import Bools, Floats, Ints
from scenarios.queries import Query
from sim import PlanningContext

ENCODINGS = {"one_hot": one_hot, "ordinal": ordinal, "mixed": mixed}
"""The functions that compute features of configurations, by name of the encoding."""

HOPED = 0.9
"""Least assumed probability that an unprofiled plan serves, because a trial is cheap."""

SLOWER = tuple(map(NormalDist().inv_cdf, (11 / 12, 9 / 12, 7 / 12)))
"""Standard normal quantiles that represent devices slower than the median, slowest first."""


class Beliefs:
    """The beliefs, in one call, about one query's plans of C configurations and N operators.

    Only plans with one replica and without batching are compared to choose the configuration to
    profile next. Plans of profiled configurations are judged in every allocation.

    Args:
        model: the margins and assumptions by which plans are judged.
        warm_start: chooses and weights histories.
        features: features of all configurations, as inputs of surrogates.
        profiler: measures configurations; its rule of decision judges them.
        accuracy_prior: the prior of the shared model of accuracy.
        context: the planning context.
        query: the query.
        market: the pools, their prices, and the stations that exist.
        found: the state of the query's search.

    Attributes:
        configurations: beliefs about the query's configurations.
    """

    def __init__(
        self,
        model: PlanningModel,
        warm_start: WarmStart,
        features: Callable[[Pipeline], Floats],
        profiler: Profiler,
        accuracy_prior: AccuracyPrior,
        context: PlanningContext,
        query: Query,
        market: Market,
        found: SearchState,
    ) -> None:
        self._model = model
        self._query = query
        self._market = market
        self._waits = context.plan_of(query) is None
        self._domain = KEPT.of(
            context.world.pipeline, features, lambda: _domain(context.world.pipeline, features)
        )
        known = found.slowness.device_known or model.device_spread == 0
        self._device_spread = 0.0 if known else model.device_spread
        base, wide = context.bulk.view(query), context.bulk.view(query, model.choices)
        self._base = QueryPlans(context, query, market, base, model.waste, found.slowness)
        self._wide = (
            self._base
            if wide is base
            else QueryPlans(context, query, market, wide, model.waste, found.slowness)
        )
        self._judged: set[int] = set()
        self._payable: PayablePlans | None = None
        kind = CertainBeliefs if isinstance(profiler.decision, Certain) else TTestBeliefs
        self.configurations: ConfigurationBeliefs = kind(
            context=context,
            query=query,
            found=found,
            warm_start=warm_start,
            features=features,
            model=model,
            domain=self._domain,
            plans=self._base,
            profiler=profiler,
            accuracy_prior=accuracy_prior,
        )

    def learn(self, index: int, seen: ProfiledConfig) -> None:
        """Add the profiling result of a configuration."""
        self.configurations.learn(index, seen)
        if index in self._judged and self._payable is not None:
            self._payable = self._payable.rows(self._payable.configuration != index)
            self._judged.remove(index)

    def propose(self, reference: float | None, least: float = 0.0) -> int | None:
        """Return the configuration that has the plan with the largest expected saving, or None.

        If the query waits or has no feasible plan, plans that probably meet the SLO and for which
        pools have room come first. GPU partitions and draining machines are not checked.

        Args:
            reference: loss of the best plan so far, or None if no plan is known. With None, the
                saving of a feasible plan includes the worth of serving the query.
            least: see `Progress.most_promising`.
        """
        base, surrogates = self._base, self.configurations.surrogates
        cost, has_room = base.costs(surrogates.time_s())
        urgent = reference is None or self._waits
        worth, least, least_at_once = self.configurations.promising(least)
        possible = np.isfinite(cost)
        if reference is None and possible.any() and self._market.value > 0:
            reference = float(cost[possible].max()) + self._market.value
        plan = None
        if urgent and not has_room.all():
            surrogates.reprice(np.where(has_room, cost, inf), reference)
            plan = surrogates.propose(least=least_at_once, worth=worth)
        if plan is None:
            surrogates.reprice(cost, reference)
            plan = surrogates.propose(least=least, worth=worth)
        return None if plan is None else int(base.view.configuration[plan])

    def assume(self, most: int) -> None:
        """Consider up to ``most`` unmeasured configurations, if the rule of decision allows it."""
        if self.configurations.assume(most):
            self._payable, self._judged = None, set()

    def least_price(self) -> Floats:
        """Return configurations' lowest plan prices, infinite without a plan, of shape (C,)."""
        cost, _ = self._base.costs(self.configurations.surrogates.time_s())
        least = np.full(len(self._domain), inf)
        np.minimum.at(least, self._base.view.configuration, cost)
        return least

    # Profiled configurations

    def cheapest(self) -> float | None:
        """Return the least loss of all feasible plans, or None if no feasible plan is known."""
        if not self.configurations.profiled:
            return None
        least = float(self._losses(self._profiled()).min(initial=inf))
        return least if least < inf else None

    def offers(self, most: int) -> list[Offer]:
        """Return the feasible plans worth deploying, by rising loss, or else infeasible plans.

        A plan is left out if another plan has less loss and takes at most as much of each pool.
        """
        if not self.configurations.profiled:
            return []
        its, believed = self._profiled(), self.configurations.believed()
        loss, otherwise = self._losses(its), its.latency_s
        if not loss.min(initial=inf) < inf:
            loss = self.configurations.best_effort(its)
            otherwise = its.price
        chosen = undominated(its.demand, loss, otherwise, most)
        return [self._offer(its, at, believed) for at in chosen.tolist()]

    def _losses(self, its: PayablePlans) -> Floats:
        """Return the loss of each plan, or infinity if it is infeasible; see `Market.loss`."""
        believed = self.configurations.believed()
        return losses(its, believed.accurate, believed.sure, self._planned_s, self._market.value)

    def judge(self, number: int) -> Offer | None:
        """Return the present beliefs about a plan, or None if it is unprofiled or impossible."""
        index = int(self._wide.view.configuration[number])
        seen = self.configurations.profiled.get(index)
        if seen is None:
            return None
        its = self._profiled() if index in self._judged else self._look_at({index: seen})
        rows = np.flatnonzero(its.number == number)
        if not len(rows):
            return None
        return self._offer(its, int(rows[0]), self.configurations.believed())

    def _offer(self, its: PayablePlans, at: int, believed: Believed) -> Offer:
        number, index = int(its.number[at]), int(its.configuration[at])
        latency_s = float(its.latency_s[at])
        return Offer(
            number,
            index,
            latency_s,
            float(believed.accuracy[index]),
            float(self._wide.view.cost_usd_per_hour[number]),
            self._wide.uses(number, its.filled[at].copy()),
            its.demand[at].copy(),
            bool(believed.accurate[index]) and latency_s <= self._planned_s,
            float(believed.sure[index] * its.in_time[at]),
        )

    def candidates(
        self,
        shared: Sequence[int],
        least_hope: float | None,
        now: int,
        now_in_time: float | None = None,
    ) -> list[Candidates]:
        """Return the plans from which a matching on shared stations can choose.

        They are the active plan, the feasible plans of the configurations ``shared``, and the
        feasible plans that run on the device alone.

        Args:
            shared: configurations whose stations queries can share.
            least_hope: the least probability of being accurate enough, according to the last
                search, at which an unprofiled configuration is included. With None, only profiled
                ones are included.
            now: index of the active plan, or -1 for none.
            now_in_time: the active plan's probability of meeting the latency bound according to
                telemetry, or None. It counts if it is above the predicted one, which one bad window
                can reduce to 0.

        Returns:
            The plans of profiled configurations, then those of others if ``least_hope`` is given.
        """
        known, believed = self.configurations, self.configurations.believed()
        its = self._profiled()
        if now_in_time is not None:
            shown = np.where(its.number == now, now_in_time, 0.0)
            in_time = np.maximum(its.in_time, shown)
            its = its._replace(in_time=in_time)
        found = [self._chosen(its, believed.accurate, believed.sure, shared, now)]
        if least_hope is not None and known.profiled and known.kept_history is not None:
            hopes = known.promise()
            untried = [each for each in shared if each not in known.profiled]
            likely = [each for each in untried if hopes[each] >= least_hope]
            its = self._look_at(known.expected(likely))
            worth = HOPED + (1 - HOPED) * hopes
            found.append(self._chosen(its, np.ones_like(hopes, dtype=bool), worth, shared, now))
        return found

    def _chosen(
        self, its: PayablePlans, accurate: Bools, sure: Floats, shared: Sequence[int], now: int
    ) -> Candidates:
        """Return those of ``its`` that are candidates; `Believed` describes the other arguments."""
        view, at = self._wide.view, its.configuration
        agreed = np.zeros(len(self._domain), dtype=bool)
        agreed[list(shared)] = True
        likely = sure[at] * its.in_time
        on_device = (view.station[its.number] < 0).all(axis=1)
        good = accurate[at] & (likely > 0) & (agreed[at] | on_device)
        rows = np.flatnonzero(good | (its.number == now))
        number = its.number[rows]
        return Candidates(
            at[rows],
            number,
            likely[rows],
            view.station[number],
            view.operator_key[number],
            its.filled[rows],
            self._query.requests_per_s * view.backhaul_up_s[number],
        )

    def promise(self) -> Floats:
        """Return each configuration's probability of off-device service, of shape (C,).

        This is the probability of serving the query with no operator on the device. Latency is
        computed without waiting. The accuracy is that of the profile or, for unprofiled
        configurations, that estimated by the last search.
        """
        kept, base = self.configurations.kept_history, self._base
        if kept is None:
            return np.zeros(len(self._domain))
        time_s = np.exp(kept.log_time.astype(np.float64))
        plans = np.isfinite(base.costs(time_s)[0]) & (base.view.station >= 0).any(axis=1)
        its = base.view.configuration[plans]
        compute_s = (base.factors(0.0)[plans] * time_s[its]).sum(axis=1)
        latency_s = compute_s + base.sent_s[plans] + base.fixed_s[plans]
        possible = np.zeros(len(self._domain), dtype=bool)
        possible[its[latency_s <= self._planned_s]] = True
        accurate = self.configurations.promise()
        seen, believed = list(self.configurations.profiled), self.configurations.believed()
        accurate[seen] = np.where(believed.accurate, believed.sure, 0.0)[seen]
        return np.where(possible, accurate, 0.0)

    @property
    def _planned_s(self) -> float:
        return self._model.headroom * self.configurations.bound_s

    def _profiled(self) -> PayablePlans:
        """Return the plans of all profiled configurations, each of which is judged only once."""
        shown = self.configurations.profiled
        new = {index: seen for index, seen in shown.items() if index not in self._judged}
        if new or self._payable is None:
            fresh = self._look_at(new)
            self._payable = fresh if self._payable is None else self._payable.and_also(fresh)
            self._judged.update(new)
        return self._payable

    def _look_at(self, shown: Mapping[int, ProfiledConfig]) -> PayablePlans:
        """Return the affordable plans of the configurations in ``shown``, given their profiles."""
        indices = np.array(list(shown), dtype=np.int64)
        sizes = ProfiledSizes.of(list(shown.values()), self._wide.operators)
        held = self._wide.held(indices, sizes.operator_time_s)
        latency_s = self._wide.latency_s(held.number, held.of, sizes, self._model.load)
        in_time = self._in_time(held, latency_s, sizes)
        return PayablePlans(
            held.number, indices[held.of], held.demand, held.price, held.filled, latency_s, in_time
        )

    def _in_time(self, held: Held, latency_s: Floats, sizes: ProfiledSizes) -> Floats:
        """Return each plan's probability of meeting the latency bound, of shape (k,).

        A device can be slower than its model's nominal speed. The quantiles `SLOWER` represent all
        speeds below the median.
        """
        in_time = self.configurations.in_time(latency_s)
        if not self._device_spread or self.configurations.bound_s == inf:
            return in_time
        unsure = np.flatnonzero((in_time > 0) & self._wide.touches_device[held.number])
        if len(unsure):
            slower = self._if_slower(held.number[unsure], held.of[unsure], sizes)
            in_time[unsure] = (in_time[unsure] + slower) / 2
        return in_time

    def _if_slower(self, plans: Ints, of: Ints, sizes: ProfiledSizes) -> Floats:
        """Return plans' probabilities of being in time, averaged over slower devices, shape (k,).

        ``plans`` are indices in the view, of shape (k,); `Held` describes ``of``.
        """
        load, slower = self._model.load, [exp(self._device_spread * each) for each in SLOWER]
        kept = self.configurations.in_time
        in_time = kept(self._wide.latency_s(plans, of, sizes, load, slower[0]))
        # if a plan is in time on the slowest device, it is on all others
        late = np.flatnonzero(in_time < 1)
        if len(late):
            plans, of, total = plans[late], of[late], in_time[late]
            for device in slower[1:]:
                total += kept(self._wide.latency_s(plans, of, sizes, load, device))
            in_time[late] = total / len(SLOWER)
        return in_time


def _domain(pipeline: Pipeline, features: Callable[[Pipeline], Floats]) -> Domain:
    points = features(pipeline)
    return Domain(points, blocks(pipeline, points), pipeline.upstream_knobs)
