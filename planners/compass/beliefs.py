"""What is believed of one query's plans: from profiling, from histories, and from telemetry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import exp, inf
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from planners.compass.cmbo import Cmbo, Domain
from planners.compass.configuration_beliefs import Believed, ConfigurationBeliefs
from planners.compass.history import Prior, WarmStart
from planners.compass.known import Candidates, Found, Offer, Shown
from planners.compass.pools import Market
from planners.compass.query_plans import Held, PayablePlans, QueryPlans, Sizes
from planners.encodings import blocks
from planners.kept import KEPT
from scenarios.application import Pipeline
from scenarios.compiled import compiled
from scenarios.queries import Query
from scenarios.sums import total
from sim import Choices, Desk

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

RISKY, RISKIEST = 0.6, 0.3
"""Probability of being in time just beyond the headroom, and just within the bound: a guess."""

HOPED = 0.9
"""Worth of a plan that was not profiled, at the least: to try it costs little, and tells."""

LIKELY_TO_DO = 0.5
"""Probability of keeping the SLO from which on a plan that has room comes before all others."""

SLOWER = tuple(map(NormalDist().inv_cdf, (11 / 12, 9 / 12, 7 / 12)))
"""Deviations, at evenly spaced probabilities, at which slower devices are looked at; the slowest
first."""


@dataclass(frozen=True)
class PlanningModel:
    """How plans are judged before they run.

    Args:
        choices: shares, batches and replicas that are considered, beside slices. More let tight
            SLOs and large loads be met; stations of several servers wait less at equal load, but
            stay idle longer until enough queries share them.
        load: utilisation that stations are planned for; see ``desk.predict_many``. Higher packs
            more queries by promising each less, lower leaves room for bursts.
        headroom: part of the latency bound that is planned for. Below 1 it pays for links and
            devices that are slower than the catalogue says. Plans beyond it, but within the bound,
            are for queries that have no others.
        waste: share of a new station's spare capacity that a query is held to take; see
            `share_taken`. Higher makes queries share the configurations that others run, lower
            lets each have the one that is best for itself.
        device_spread: standard deviation of the logarithm of devices' speeds about those of the
            catalogue, as long as telemetry has not shown a device's. Higher keeps work off devices
            that might be too slow for it; at 0 the catalogue is believed.

    Raises:
        ValueError: a parameter is out of range.
    """

    choices: Choices = field(default_factory=Choices)
    load: float = 0.7
    headroom: float = 0.85
    waste: float = 0.5
    device_spread: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.load < 1:
            raise ValueError(f"load={self.load}: must be 0 or more, and below 1")
        if not 0 < self.headroom <= 1:
            raise ValueError(f"headroom={self.headroom}: must be above 0 and at most 1")
        if not 0 <= self.waste <= 1:
            raise ValueError(f"waste={self.waste}: must lie between 0 and 1")
        if self.device_spread < 0:
            raise ValueError(f"device_spread={self.device_spread}: must be 0 or more")


class Beliefs:
    """Plans of one query during one call; C configurations, N operators, R pools.

    What is believed of configurations says which to profile next, by the plans of one replica and
    no batching that there are of each. What was profiled is then looked at in every allocation.

    Args:
        model: how plans are judged.
        warm_start: how histories are used.
        features: features of the configurations.
        desk: the desk.
        query: the query.
        market: what plans are paid for.
        found: what is known of the query.

    Attributes:
        configurations: what is believed of its configurations.
    """

    def __init__(
        self,
        model: PlanningModel,
        warm_start: WarmStart,
        features: Callable[[Pipeline], Floats],
        desk: Desk,
        query: Query,
        market: Market,
        found: Found,
    ) -> None:
        self._model = model
        self._query = query
        self._market = market
        self._waits = desk.plan_of(query) is None
        self._domain = KEPT.of(desk.pipeline, features, lambda: _domain(desk.pipeline, features))
        known = found.slowness.device_known or model.device_spread == 0
        self._device_spread = 0.0 if known else model.device_spread
        base, wide = desk.view(query), desk.view(query, model.choices)
        self._base = QueryPlans(desk, query, market, base, model.waste, found.slowness)
        self._wide = (
            self._base
            if wide is base
            else QueryPlans(desk, query, market, wide, model.waste, found.slowness)
        )
        self._judged: set[int] = set()
        self._payable: PayablePlans | None = None
        blank = partial(_blank, model, self._domain, self._base, query)
        self.configurations = ConfigurationBeliefs(desk, query, found, warm_start, features, blank)

    def learn(self, index: int, seen: Shown) -> None:
        """Take what profiling has shown of a configuration."""
        self.configurations.learn(index, seen)
        if index in self._judged and self._payable is not None:
            self._payable = self._payable.rows(self._payable.configuration != index)
            self._judged.remove(index)

    def propose(
        self, excluded: set[int], reference: float | None, least: float = 0.0
    ) -> int | None:
        """Return the configuration of the plan that promises the largest saving, or None.

        Of a query that waits, or knows of no plan that would do, those come first that are likely
        to and that the pools have room for: it may be served by them at once. Whether cards can be
        cut so, and what is still being drained, is not looked at.

        Args:
            excluded: configurations that are not wanted.
            reference: loss of the best plan so far; None if there is none. Any feasible plan then
                saves what serving a query is worth, beside what it saves over dearer ones.
            least: probability of keeping the SLO from which on a plan counts.
        """
        base, surrogates = self._base, self.configurations.surrogates
        cost, has_room = base.costs(surrogates.time_s())
        exclude = np.zeros(len(self._domain), dtype=bool)
        exclude[list(excluded)] = True
        urgent = reference is None or self._waits
        possible = np.isfinite(cost)
        if reference is None and possible.any() and self._market.value > 0:
            reference = float(cost[possible].max()) + self._market.value
        plan = None
        if urgent and not has_room.all():
            surrogates.reprice(np.where(has_room, cost, inf), reference)
            plan = surrogates.propose(exclude, max(least, LIKELY_TO_DO))
        if plan is None:
            surrogates.reprice(cost, reference)
            plan = surrogates.propose(exclude, least)
        return None if plan is None else int(base.view.configuration[plan])

    # What was profiled

    def cheapest(self) -> float | None:
        """Return the least loss of a plan that is feasible, or None if none is known."""
        if not self.configurations.shown:
            return None
        least = float(self._losses(self._profiled()).min(initial=inf))
        return least if least < inf else None

    def offers(self, most: int) -> list[Offer]:
        """Return the plans worth deploying, those of least loss first.

        Infeasible ones only if all are. The loss is a plan's price and the worth of the service
        that it puts at risk (`Market.loss`). A plan that takes no less of any pool than one of less
        loss is left out: it fits nowhere where that does not.

        Args:
            most: plans to return.
        """
        if not self.configurations.shown:
            return []
        its, believed = self._profiled(), self.configurations.believed()
        loss, otherwise = self._losses(its), its.latency_s
        if not loss.min(initial=inf) < inf:
            loss = self._missed(its, believed.accuracy[its.configuration])
            otherwise = its.price
        chosen = _undominated(its.demand, loss, otherwise, most)
        return [self._offer(its, at, believed) for at in chosen.tolist()]

    def _losses(self, its: PayablePlans) -> Floats:
        """Return the loss of each plan, infinite if it is not feasible; see `Market.loss`."""
        believed = self.configurations.believed()
        return _losses(
            its.configuration,
            its.price,
            its.latency_s,
            its.in_time,
            believed.accurate,
            believed.sure,
            self._planned_s,
            self._market.value,
        )

    def _missed(self, its: PayablePlans, accuracy: Floats) -> Floats:
        """Return by how much plans miss the SLO, where none meets it."""
        floor, bound_s = self._query.slo.accuracy or 0.0, self._query.slo.latency_s or inf
        lacking = np.maximum(0.0, floor - accuracy) / max(floor, 1e-9)
        late = np.maximum(0.0, np.minimum(its.latency_s, 1e9) / bound_s - 1)
        return np.asarray(late + lacking)

    def judge(self, number: int) -> Offer | None:
        """Return what is believed of one plan by now; None if nothing was profiled of it.

        Args:
            number: its number in the view.
        """
        index = int(self._wide.view.configuration[number])
        seen = self.configurations.shown.get(index)
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
        self, shared: Sequence[int], least_hope: float | None, now: int
    ) -> list[Candidates]:
        """Return the feasible plans that a matching on shared stations may choose from.

        Those of some configurations, by which stations may be shared, and those that use no
        stations, of all that were profiled; and the plan in force, even if it is not feasible.

        Args:
            shared: the configurations.
            least_hope: probability of being accurate enough from which on those of them that were
                not profiled count, by what the last search believed; None for never.
            now: number of the plan in force, -1 for none.

        Returns:
            Plans of what was profiled, and then, if there is hope, of what was not.
        """
        known, believed = self.configurations, self.configurations.believed()
        found = [self._chosen(self._profiled(), believed.accurate, believed.sure, shared, now)]
        if least_hope is not None and known.shown and known.kept_history is not None:
            untried = [each for each in shared if each not in known.shown]
            hopes = known.promise()
            its = self._hoped(untried, hopes, least_hope)
            worth = HOPED + (1 - HOPED) * hopes
            found.append(self._chosen(its, np.ones_like(hopes, dtype=bool), worth, shared, now))
        return found

    def _hoped(self, indices: Sequence[int], hopes: Floats, least: float) -> PayablePlans:
        """Return plans of configurations that were not profiled.

        Args:
            indices: the configurations.
            hopes: probability of being accurate enough, of all configurations, shape (C,).
            least: probability from which on they count.
        """
        likely = [index for index in indices if hopes[index] >= least]
        return self._look_at(self.configurations.expected(likely))

    def _chosen(
        self,
        its: PayablePlans,
        accurate: Booleans,
        sure: Floats,
        shared: Sequence[int],
        now: int,
    ) -> Candidates:
        """Return which of some plans `candidates` returns.

        Args:
            its: the plans.
            accurate: whether configurations are taken for accurate enough, shape (C,).
            sure: how likely they are, shape (C,).
            shared: see `candidates`.
            now: see there.
        """
        view = self._wide.view
        agreed = np.zeros(len(self._domain), dtype=bool)
        agreed[list(shared)] = True
        return Candidates(
            *_chosen(
                its.configuration,
                its.number,
                its.in_time,
                its.filled,
                accurate,
                sure,
                agreed,
                now,
                view.station,
                view.operator_key,
                view.backhaul_up_s,
                self._query.requests_per_s,
            )
        )

    def promise(self) -> Floats:
        """Return the probability that some plan with a station would do, by configuration, (C,).

        Of latency without waits; and of accuracy as is believed where it was profiled, elsewhere as
        was believed when the query was last searched for.
        """
        kept, base = self.configurations.kept_history, self._base
        if kept is None:
            return np.zeros(len(self._domain))
        time_s = np.exp(kept.log_time.astype(np.float64))
        possible = _in_reach(
            base.view.configuration,
            base.view.station,
            base.factors(0.0),
            time_s,
            base.sent_s,
            base.view.fixed_s,
            base.costs(time_s)[0],
            self._planned_s,
        )
        accurate = self.configurations.promise()
        seen, believed = list(self.configurations.shown), self.configurations.believed()
        accurate[seen] = np.where(believed.accurate, believed.sure, 0.0)[seen]
        return np.where(possible, accurate, 0.0)

    @property
    def _bound_s(self) -> float:
        bound_s = self._query.slo.latency_s
        return inf if bound_s is None else bound_s

    @property
    def _planned_s(self) -> float:
        return self._model.headroom * self._bound_s

    def _profiled(self) -> PayablePlans:
        """Return the plans of all configurations that were profiled; they are looked at once."""
        shown = self.configurations.shown
        new = {index: seen for index, seen in shown.items() if index not in self._judged}
        if new or self._payable is None:
            fresh = self._look_at(new)
            self._payable = fresh if self._payable is None else self._payable.and_also(fresh)
            self._judged.update(new)
        return self._payable

    def _look_at(self, shown: Mapping[int, Shown]) -> PayablePlans:
        """Return the plans of some configurations that can be paid for, by what was shown."""
        indices = np.array(list(shown), dtype=np.int64)
        sizes = Sizes.of(list(shown.values()), self._wide.operators)
        held = self._wide.held(indices, sizes.operator_time_s)
        latency_s = self._wide.latency_s(held.number, held.of, sizes, self._model.load)
        in_time = self._in_time(held, latency_s, sizes)
        return PayablePlans(
            held.number, indices[held.of], held.demand, held.price, held.filled, latency_s, in_time
        )

    def _in_time(self, held: Held, latency_s: Floats, sizes: Sizes) -> Floats:
        """Return the probability that plans keep the latency bound, shape (k,).

        A device may be slower than its kind: of speeds below the median, some at evenly spaced
        probabilities stand for all.
        """
        in_time = self._kept(latency_s)
        if not self._device_spread or self._bound_s == inf:
            return in_time
        doubtful = _doubtful(in_time, held.number, self._wide.touches_device)
        if len(doubtful):
            slower = self._if_slower(held.number[doubtful], held.of[doubtful], sizes)
            in_time[doubtful] = (in_time[doubtful] + slower) / 2
        return in_time

    def _if_slower(self, plans: Integers, of: Integers, sizes: Sizes) -> Floats:
        """Return the mean probability that plans keep the bound on slower devices, shape (k,).

        Args:
            plans: their numbers in the view, shape (k,).
            of: see `Held`.
            sizes: what profiling has shown of the configurations.
        """
        load, slower = self._model.load, [exp(self._device_spread * each) for each in SLOWER]
        in_time = self._kept(self._wide.latency_s(plans, of, sizes, load, slower[0]))
        # What even the slowest does in time, the others do.
        late = np.flatnonzero(in_time < 1)
        if len(late):
            plans, of, total = plans[late], of[late], in_time[late]
            for device in slower[1:]:
                total += self._kept(self._wide.latency_s(plans, of, sizes, load, device))
            in_time[late] = total / len(SLOWER)
        return in_time

    def _kept(self, latency_s: Floats) -> Floats:
        """Return the probability that predictions keep the bound: less beyond the headroom."""
        return _kept(latency_s, self._bound_s, self._model.headroom)


def _domain(pipeline: Pipeline, features: Callable[[Pipeline], Floats]) -> Domain:
    points = features(pipeline)
    return Domain(points, blocks(pipeline, points), pipeline.upstream_knobs)


def _blank(
    model: PlanningModel, domain: Domain, base: QueryPlans, query: Query, prior: Prior | None
) -> Cmbo:
    """Return surrogates that start from what histories say."""
    return Cmbo(
        domain,
        base.view.configuration,
        base.factors(model.load),
        base.sent_s,
        base.view.cost_usd_per_hour,
        latency_s=query.slo.latency_s,
        accuracy=query.slo.accuracy,
        fixed_s=base.view.fixed_s,
        latency_quantile=query.slo.latency_quantile,
        latency_margin=model.headroom,
        prior_accuracy=None if prior is None else prior.accuracy,
        prior_log_time=None if prior is None else prior.log_time,
    )


@compiled
def _kept(latency_s: Floats, bound_s: float, headroom: float) -> Floats:
    """Return the probability that predictions keep a bound, shape (k,); see ``Beliefs._kept``."""
    kept = np.ones(len(latency_s))
    if bound_s == np.inf:
        return kept
    for plan in range(len(latency_s)):
        late = max(0.0, latency_s[plan] / bound_s - headroom) / max(1 - headroom, 1e-9)
        if late > 0:
            kept[plan] = RISKY - (RISKY - RISKIEST) * late if late <= 1 else 0.0
    return kept


@compiled
def _doubtful(in_time: Floats, plans: Integers, touches_device: Booleans) -> Integers:
    """Return which of k plans might keep their bound, and a slower device might break it.

    Args:
        in_time: probability that they keep it, shape (k,).
        plans: their numbers in the view, shape (k,).
        touches_device: see `QueryPlans`, shape (P,).
    """
    rows = np.empty(len(plans), dtype=np.int64)
    count = 0
    for row in range(len(plans)):
        if in_time[row] > 0 and touches_device[plans[row]]:
            rows[count] = row
            count += 1
    return rows[:count]


@compiled
def _chosen(
    configuration: Integers,
    number: Integers,
    in_time: Floats,
    filled: Floats,
    accurate: Booleans,
    sure: Floats,
    agreed: Booleans,
    now: int,
    station: Integers,
    operator_key: Integers,
    backhaul_up_s: Floats,
    rate: float,
) -> tuple[Integers, Integers, Floats, Integers, Integers, Floats, Floats]:
    """Return which of k plans `Beliefs.candidates` returns, as `Candidates` has them.

    Args:
        configuration: see `PayablePlans`, as are the next three.
        number: see there.
        in_time: see there.
        filled: see there.
        accurate: whether configurations are taken for accurate enough, shape (C,).
        sure: how likely they are, shape (C,).
        agreed: configurations by which stations may be shared, shape (C,).
        now: number of the plan in force.
        station: see ``PlanView``, as are the next two.
        operator_key: see there.
        backhaul_up_s: see there.
        rate: requests per second.
    """
    rows, probability = np.empty(len(number), dtype=np.int64), np.empty(len(number))
    count = 0
    for plan in range(len(number)):
        at, its = configuration[plan], number[plan]
        likely = sure[at] * in_time[plan]
        good = accurate[at] and likely > 0
        if good and not agreed[at]:
            good = (station[its] < 0).all()
        if good or its == now:
            rows[count], probability[count] = plan, likely
            count += 1
    rows = rows[:count]
    numbers = number[rows]
    return (
        configuration[rows],
        numbers,
        probability[:count],
        station[numbers],
        operator_key[numbers],
        filled[rows],
        rate * backhaul_up_s[numbers],
    )


@compiled
def _in_reach(
    configuration: Integers,
    station: Integers,
    factors: Floats,
    time_s: Floats,
    sent_s: Floats,
    fixed_s: Floats,
    cost: Floats,
    most_s: float,
) -> Booleans:
    """Tell of which configurations some plan with a station is fast enough, shape (C,).

    Args:
        configuration: configuration of each plan, shape (P,).
        station: kind of each operator's station, -1 on the device, shape (P, N).
        factors: time at each operator over that on profiling hardware, shape (P, N).
        time_s: believed time of each operator on profiling hardware, shape (C, N).
        sent_s: transmission time of a mean request's messages, shape (P,).
        fixed_s: propagation delays and longest batching waits, shape (P,).
        cost: what plans cost, infinite where they cannot be had, shape (P,).
        most_s: the latency up to which they are.
    """
    found = np.zeros(len(time_s), dtype=np.bool_)
    for plan in range(len(configuration)):
        its = configuration[plan]
        if not found[its] and cost[plan] < np.inf and (station[plan] >= 0).any():
            latency_s = total(factors[plan] * time_s[its]) + sent_s[plan] + fixed_s[plan]
            found[its] = latency_s <= most_s
    return found


@compiled
def _losses(
    configuration: Integers,
    price: Floats,
    latency_s: Floats,
    in_time: Floats,
    accurate: Booleans,
    sure: Floats,
    most_s: float,
    value: float,
) -> Floats:
    """Return the losses of k plans, infinite where they are not feasible; see `Market.loss`.

    Args:
        configuration: see `PayablePlans`, as are the next three.
        price: see there.
        latency_s: see there.
        in_time: see there.
        accurate: see `Believed`.
        sure: see there.
        most_s: the latency up to which they are.
        value: see `Market`.
    """
    losses = np.full(len(configuration), np.inf)
    for plan in range(len(configuration)):
        at = configuration[plan]
        if accurate[at] and latency_s[plan] <= most_s:
            losses[plan] = price[plan] + (1 - sure[at] * in_time[plan]) * value
    return losses


@compiled
def _undominated(demand: Floats, loss: Floats, otherwise: Floats, most: int) -> Integers:
    """Return the plans of least loss that take less of some pool than each of less loss, in order.

    Args:
        demand: what plans take of each pool, shape (k, R).
        loss: what they are ordered by, infinite for those that do not count, shape (k,).
        otherwise: what orders those of equal loss, shape (k,).
        most: how many to return.
    """
    plans, pools = demand.shape
    left = loss < np.inf
    chosen = np.empty(most, dtype=np.int64)
    for count in range(most):
        best = -1
        for plan in range(plans):
            if left[plan] and (
                best < 0
                or loss[plan] < loss[best]
                or (loss[plan] == loss[best] and otherwise[plan] < otherwise[best])
            ):
                best = plan
        if best < 0:
            return chosen[:count]
        chosen[count] = best
        for plan in range(plans):
            no_less = True
            for pool in range(pools):
                no_less = no_less and demand[best, pool] <= demand[plan, pool] + 1e-12
            left[plan] = left[plan] and not no_less
    return chosen
