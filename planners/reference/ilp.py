"""ILP: the exact optimum of the planning model under the truth, at no planning cost."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import inf

import numpy as np

from planners.common.ranges import BelowOne, Count, InRange, NonNegative, Positive
from planners.reference.optimum import (
    Capacity,
    FeasiblePlan,
    Limits,
    Optimum,
    offers_of,
    program,
    solve,
)
from scenarios.applications.pipeline import Pipeline
from scenarios.numerics import Bools, Floats, Ints
from scenarios.queries import Query
from sim import Choices, Plan, Planner, PlannerError, PlanningContext, Truth


def needed_configurations(
    pipeline: Pipeline, feasible: Bools, load: Floats, kept: Sequence[int]
) -> Bools:
    """Mark the configurations that an optimum could need, without interchangeable ones.

    Queries share stations if their operator keys (the knob values up to an operator) agree. Let u
    and v be values of one operator's own knobs, with all other knobs equal. Suppose that every
    layout that is feasible for a query with u is also feasible with v, and that v puts no more load
    on any station than u. Then all queries that use u can switch to v together: the stations before
    the operator stay the same, and those from the operator on are shared by at least as many
    queries. So, for given values of earlier knobs, some optimum does not use u.

    ``feasible`` says which layouts are feasible for each query and configuration, of shape
    (queries, layouts, C). ``load``, of shape (..., C), is the load of one request on each kind of
    station, for each class of query. It is infinite for a kind of station that does not exist.
    Configurations in ``kept`` are always marked. The result has shape (C,).
    """
    alive: Bools = np.asarray(feasible.any(axis=(0, 1)))
    holds = np.zeros(len(alive), dtype=bool)
    holds[list(kept)] = True
    every = np.moveaxis(feasible, -1, 0).reshape(len(alive), -1)
    loads = np.moveaxis(load, -1, 0).reshape(len(alive), -1)
    before = len(alive) + 1
    while before > alive.sum():
        before = int(alive.sum())
        for group in _interchangeable(pipeline):
            for u, v in product(range(len(group)), repeat=2):
                worse, better = group[u], group[v]
                worse, better = worse[alive[worse]], better[alive[worse]]
                if (
                    u != v
                    and len(worse)
                    and alive[better].all()
                    and not holds[worse].any()
                    and not (every[worse] & ~every[better]).any()
                    and (loads[better] <= loads[worse] * (1 + 1e-12)).all()
                ):
                    alive[worse] = False
    return alive


def _interchangeable(pipeline: Pipeline) -> Iterator[Ints]:
    """Yield groups of configurations that differ in one operator's knobs, last operator first.

    Each array has a row for each value of these knobs, and a column for each value of later knobs.
    """
    shape = tuple(len(knob.choices) for knob in pipeline.knobs)
    index = np.arange(len(pipeline.configurations)).reshape(shape or (1,))
    end = len(shape)
    for operator in reversed(pipeline.operators):
        begin = end - len(operator.knobs)
        if begin < end:
            after = int(np.prod(shape[end:], dtype=np.int64))
            own = int(np.prod(shape[begin:end], dtype=np.int64))
            yield from index.reshape(-1, own, after)
        end = begin


TARGET = "ilp target"


@dataclass(frozen=True)
class Target:
    """The last optimum: plans by query id, and the queries and machines on which it is based."""

    seen: Hashable
    plans: dict[int, Plan]


@dataclass(eq=False, repr=False)
class ILP(InRange, Planner):
    """Know the truth, and serve as many queries as the planning model allows, at the least cost.

    This is the reference for other planners' decisions. It sees true speeds, links and accuracies
    (``sees_truth``), and plans in no time. When queries or machines have changed, or a plan has
    become infeasible, HiGHS solves the integer program of ``planners.reference.optimum`` for all
    waiting and running queries. A plan is feasible for a query if

    * the expected accuracy on its content reaches the floor,
    * the sum of list price and egress cost is at most the cost ceiling,
    * the latency quantile that ``context.bulk.predict_many`` predicts from true means, with every
      station off the device at ``utilisation``, is within ``headroom`` times the bound,
    * no station would be above ``cluster.max_utilisation`` for the query alone, and neither would
      the backhaul, unless ``shares_backhaul`` is False.

    The optimum is that of this model, not of the simulated world. The model has no waiting, no
    batching and no future queries. In the model, links have their average speeds, loads are split
    freely, and a node is one machine. So another planner can serve more queries in a simulation.
    The result table ``offers`` contains the bounds and plans.

    A running query that moves needs room in addition to its old plan. If there is no room and
    another query would otherwise go unserved, the moving query is released first and deployed again
    when its machines are drained.

    Args:
        utilisation: utilisation of stations at which plans must keep the latency bound.
        headroom: largest allowed predicted latency of a plan, as a share of the latency bound.
        thread_percents: possible percentages of an instance's threads; each should divide all
            larger ones.
        max_batches: possible largest batch sizes of an operator.
        replicas: possible numbers of GPU instances of an operator.
        cores: possible numbers of cores of an operator.
        max_wait_s: longest time for which a batch waits to be filled.
        shares_backhaul: whether all plans together may keep the backhaul to the cloud busy for at
            most the share ``cluster.max_utilisation`` of time; False for no limit on their sum.
        switch_usd_per_hour: a running query moves only if that saves more than this, or makes room.
        gap: relative gap between solution and bound at which the solver stops.
        node_limit: largest number of nodes in each branch-and-bound tree.
        time_limit_s: largest wall time for each integer program, in seconds.
        replan_every_s: seconds between checks of feasibility and of drained machines.

    Raises:
        ValueError: a parameter is out of range.
    """

    behaviour = 1
    """1: versions begin."""

    budget_s = 0.0
    sees_truth = True

    utilisation: BelowOne = 0.5
    headroom: Positive = 1.0
    thread_percents: Sequence[int] = (100,)
    max_batches: Sequence[int] = (1,)
    replicas: Sequence[int] = (1,)
    cores: Sequence[int] = (1,)
    max_wait_s: float = 0.0
    shares_backhaul: bool = True
    switch_usd_per_hour: NonNegative = 0.01
    gap: NonNegative = 1e-5
    node_limit: Count = 200
    time_limit_s: Positive = 60.0
    replan_every_s: float | None = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._choices  # checks the parameters

    def plan(self, context: PlanningContext) -> None:
        """Solve again if anything relevant has changed, and order plans of the optimum."""
        queries = (*context.running, *context.waiting)
        seen = (
            tuple(sorted(query.id for query in queries)),
            tuple(context.world.machines_up(node) for node in context.world.cluster.nodes),
        )
        target: Target | None = context.recall(TARGET)
        if target is None or target.seen != seen or not self._still_feasible(context, target):
            target = self._optimum(context, queries, seen)
            context.remember(TARGET, target)
        _carry_out(context, target)

    def _still_feasible(self, context: PlanningContext, target: Target) -> bool:
        """Return whether all plans of a target are still feasible."""
        for query in (*context.running, *context.waiting):
            plan = target.plans.get(query.id)
            if plan is not None:
                truth = context.bulk.truth(query, self._choices)
                number = truth.view.index_of(plan)
                if number is None or not len(
                    self.feasible(context, query, truth, np.array([number]))
                ):
                    return False
        return True

    @property
    def _choices(self) -> Choices:
        return Choices(
            tuple(self.thread_percents),
            tuple(self.max_batches),
            tuple(self.replicas),
            self.max_wait_s,
            tuple(self.cores),
        )

    def feasible(self, context: PlanningContext, query: Query, truth: Truth, plans: Ints) -> Ints:
        """Return those of the given plans that are feasible for a query."""
        view, slo = truth.view, query.slo
        configuration = view.configuration[plans]
        busy = _load(query, truth, plans) / view.servers[plans]
        good = ((busy <= context.world.cluster.max_utilisation) | (view.station[plans] < 0)).all(
            axis=1
        )
        if self.shares_backhaul:
            good &= _sent(query, truth, plans) <= context.world.cluster.max_utilisation
        if slo.accuracy is not None:
            good &= truth.accuracy[configuration] >= slo.accuracy
        if slo.cost_usd_per_hour is not None:
            good &= view.cost_usd_per_hour[plans] <= slo.cost_usd_per_hour
        plans = plans[good]
        if slo.latency_s is None:
            return plans
        return plans[self._latency_s(context, query, truth, plans) <= self.headroom * slo.latency_s]

    def _latency_s(
        self, context: PlanningContext, query: Query, truth: Truth, plans: Ints
    ) -> Floats:
        """Return the model's predicted latencies in s at the SLO's quantile, of shape (k,)."""
        configuration = truth.view.configuration[plans]
        return context.bulk.predict_many(
            query,
            truth.view,
            plans,
            truth.operator_time_s[configuration],
            truth.time_cv[configuration],
            self.utilisation,
            truth.normalised[configuration],
        )[1]

    def _optimum(
        self, context: PlanningContext, queries: Sequence[Query], seen: Hashable
    ) -> Target:
        """Solve the integer program for all queries, and log the bounds and chosen plans.

        Raises:
            PlannerError: a limit was reached before any solution was found.
        """
        truths = [context.bulk.truth(query, self._choices) for query in queries]
        active = [context.plan_of(query) for query in queries]
        current = [
            None if plan is None else truth.view.index_of(plan)
            for plan, truth in zip(active, truths, strict=True)
        ]
        feasible = [
            self.feasible(context, query, truth, np.arange(len(truth.view)))
            for query, truth in zip(queries, truths, strict=True)
        ]
        needed = _needed(context, queries, truths, feasible, current, self.shares_backhaul)
        offers = [
            self._offers(query, truth, plans[needed[truth.view.configuration[plans]]], number)
            for query, truth, plans, number in zip(queries, truths, feasible, current, strict=True)
        ]
        served = [context.plan_of(query) is not None for query in queries]
        limits = Limits(self.gap, self.node_limit, self.time_limit_s)
        capacity = Capacity.of(context)
        if not self.shares_backhaul:
            capacity = replace(capacity, backhaul=inf)
        optimum = solve(program(offers, served, capacity), limits)
        if optimum is None:  # not even the unchanged plans were found
            kept = {q.id: p for q in queries if (p := context.plan_of(q))}
            context.remember(TARGET, Target(seen, kept))  # the same program would fail again
            raise PlannerError(
                f"found no solution within node_limit={self.node_limit} and "
                f"time_limit_s={self.time_limit_s:g}; what is deployed stays"
            )
        plans: dict[int, Plan] = {}
        for query, truth, its, one in zip(queries, truths, offers, optimum.chosen, strict=True):
            if one is not None:
                number = its[one].index
                plans[query.id] = truth.view.plan(number)
                self._put_on_record(context, query, truth, number, optimum)
        return Target(seen, plans)

    def _offers(
        self, query: Query, truth: Truth, plans: Ints, current: int | None
    ) -> list[FeasiblePlan]:
        """Return those of a query's given plans that an optimum could need."""
        view = truth.view
        egress = view.cost_usd_per_hour[plans] - view.list_price_usd_per_hour[plans]
        moving = self.switch_usd_per_hour * (plans != current) * (current is not None)
        sent = _sent(query, truth, plans) if self.shares_backhaul else None
        return offers_of(view, plans, _load(query, truth, plans), egress + moving, current, sent)

    def _put_on_record(
        self, context: PlanningContext, query: Query, truth: Truth, number: int, optimum: Optimum
    ) -> None:
        at = np.array([number])
        context.bulk.log_candidate(
            query,
            truth.view.plan(number),
            "chosen",
            float(self._latency_s(context, query, truth, at)[0]),
            float(truth.accuracy[truth.view.configuration[number]]),
            reason=f"optimum of the planning model: serves {optimum.served} queries of at most "
            f"{optimum.served_bound} for {optimum.usd_per_hour:.4f} $/h of at least "
            f"{optimum.usd_per_hour_bound:.4f} $/h"
            + ("" if optimum.proven else ", stopped by its limits"),
        )


def _needed(
    context: PlanningContext,
    queries: Sequence[Query],
    truths: Sequence[Truth],
    feasible: Sequence[Ints],
    current: Sequence[int | None],
    shares_backhaul: bool,
) -> Bools:
    """Mark the configurations that an optimum over all queries could need, of shape (C,)."""
    configurations = len(context.world.pipeline.configurations)
    if not queries:
        return np.ones(configurations, dtype=bool)
    layouts = 1 + max(int(truth.view.layout.max(initial=-1)) for truth in truths)
    does = np.zeros((len(queries), layouts, configurations), dtype=bool)
    for row, truth, plans in zip(does, truths, feasible, strict=True):
        row[truth.view.layout[plans], truth.view.configuration[plans]] = True
    of_dataset = {query.dataset: truth for query, truth in zip(queries, truths, strict=True)}
    load = np.full((len(of_dataset), len(truths[0].view.stations), configurations), np.inf)
    for row, truth in zip(load, of_dataset.values(), strict=True):
        view = truth.view
        work = truth.operator_time_s[view.configuration] * view.capacity_factors
        plan, operator = np.nonzero(view.station >= 0)
        row[view.station[plan, operator], view.configuration[plan]] = work[plan, operator]
    if shares_backhaul:
        sent = np.full((len(of_dataset), layouts, configurations), np.inf)
        for row, truth in zip(sent, of_dataset.values(), strict=True):
            row[truth.view.layout, truth.view.configuration] = truth.view.backhaul_up_s
        load = np.concatenate((load, sent), axis=1)
    kept = [
        int(truth.view.configuration[number])
        for truth, number in zip(truths, current, strict=True)
        if number is not None
    ]
    return needed_configurations(context.world.pipeline, does, load, kept)


def _load(query: Query, truth: Truth, plans: Ints) -> Floats:
    """Return a query's load on each operator's station in k plans, in servers, of shape (k, N)."""
    times_s = truth.operator_time_s[truth.view.configuration[plans]]
    load: Floats = query.requests_per_s * times_s * truth.view.capacity_factors[plans]
    return load


def _sent(query: Query, truth: Truth, plans: Ints) -> Floats:
    """Return the share of time for which k plans keep the backhaul to the cloud busy, (k,)."""
    sent: Floats = query.requests_per_s * truth.view.backhaul_up_s[plans]
    return sent


def _carry_out(context: PlanningContext, target: Target) -> None:
    """Deploy those plans of the optimum that fit now."""
    wanted = []
    for query in context.running:
        plan = target.plans.get(query.id)
        if plan is None:
            context.release(query)
        elif plan != context.plan_of(query) and plan != context.world.loading.get(query.id):
            wanted.append((query, plan))  # loading the plan would start again
    waiting = [
        (query, target.plans[query.id]) for query in context.waiting if query.id in target.plans
    ]
    moving, wanted = wanted, [*waiting, *wanted]
    found = context.bulk.first_that_fits([(query, (plan,)) for query, plan in wanted])
    fitting = [number is not None for number in found]
    for (query, plan), fits in zip(wanted, fitting, strict=True):
        if fits:
            context.deploy(query, plan)
    if not all(fitting[: len(waiting)]):  # some query waits for room that others must release
        for (query, _), fits in zip(moving, fitting[len(waiting) :], strict=True):
            if not fits:
                context.release(query)
