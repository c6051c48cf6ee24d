"""The runtime's watch: checks deployments by telemetry and audits, and selects drifted queries.

Latency is checked in windows of telemetry. A window is bad if too many requests miss the latency
bound. Later predictions for the query are then multiplied by the ratios of observed to predicted
time (on the device, on links and elsewhere), without more profiling. Telemetry does not show
accuracy, so a few items are audited from time to time. t-tests decide whether accuracy is below the
floor or differs from profiling.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import fsum, inf, isfinite
from typing import Annotated, NamedTuple

import numpy as np

from planners.common.ranges import Count, InRange, Level, NonNegative
from planners.common.windows import whole_window
from planners.compass.runtime.audits import (
    AUDITS,
    NOTHING,
    Audits,
    note_drift,
    others_drifted,
    with_more,
)
from planners.compass.search.query_plans import loaded_factors
from planners.compass.state.pools import Pools, Uses, takes_of
from planners.compass.state.records import (
    ActivePlan,
    ProfiledConfig,
    SearchState,
    Slowness,
    publish_search_state,
    seen_search_state,
    service_state,
    update_service,
)
from scenarios.queries import Query
from scenarios.ranges import Range
from sim import Plan, PlanningContext, PlanView, WindowReport

SETTLED = "compass settled"
"""Key of the record of the queries that passed their checks, a `Settled` for each."""

LIKELY_ALPHA = 0.05
"""Level of a query's drift test if many other queries of its data set have drifted."""

LEAST_RATIO, MOST_RATIO = 0.2, 10.0


class Settled(NamedTuple):
    """The conditions under which a query that passed its checks must be checked again."""

    plan: Plan
    audit_s: float  # time at which its next audit is due
    allowed: float  # largest share of late requests in a good window


class Runtime(ABC):
    """Base of runtimes, which detect drift of running queries."""

    @abstractmethod
    def drifted(self, context: PlanningContext, busy: Collection[int]) -> list[Query]:
        """Correct beliefs, then return the running queries to replan, except ``busy`` ones."""


@dataclass(frozen=True)
class NoRuntime(Runtime):
    """A runtime that never detects drift; an ablation."""

    def drifted(self, context: PlanningContext, busy: Collection[int]) -> list[Query]:
        """Return an empty list."""
        return []


@dataclass(frozen=True)
class Watch(InRange, Runtime):
    """Checks latency in telemetry windows, and accuracy by audits.

    Args:
        audit_every_s: shortest time between two audits of a query, in seconds; 0 turns audits off.
        audit_samples: number of items measured in each audit; the last few audits are tested
            together.
        audit_share: largest share of a query's running time that its audits can take.
        alpha: level of the two-sided test of audits against the floor; only a mean below the floor
            raises an alarm.
        drift_alpha: level of the two-sided test of audits against profiling.
        slack: a window is bad if its share of late requests exceeds (1 + ``slack``) times the
            SLO's.
    """

    audit_every_s: NonNegative = 30.0
    audit_samples: Count = 48
    audit_share: Annotated[float, Range(gt=0, le=1)] = 0.02
    alpha: Level = 0.01
    drift_alpha: Level = 0.001
    slack: NonNegative = 0.0

    def drifted(self, context: PlanningContext, busy: Collection[int]) -> list[Query]:
        """Return queries whose last window was bad, or whose audits raise an alarm."""
        found: list[Query] = []
        plans, settled = context.world.plans, _still_settled(context)
        for query, (born, good) in zip(
            context.running, context.bulk.last_counts().tolist(), strict=True
        ):
            before = settled.get(query.id)
            bad = born - good > (self._allowed(query) if before is None else before.allowed) * born
            if (before is not None and not bad) or query.id in busy:
                continue
            known, since_s = serving(context, query), context.world.active_since_s(query)
            if known is None or since_s is None:
                continue
            late = False
            if bad or not _device_known(context, query, known):
                last = whole_window(context, query)
                known = _device_learned(context, query, known, last)
                late = last is not None and self._late(context, query, known, last)
            if late or self._inaccurate(context, query, known, since_s):
                found.append(query)
            if before is None and _device_known(context, query, known):
                settled[query.id] = Settled(
                    plans[query.id],
                    self._audit_due_s(context, query, since_s),
                    self._allowed(query),
                )
        context.remember(SETTLED, settled)
        return found

    def _late(
        self, context: PlanningContext, query: Query, known: ActivePlan, last: WindowReport
    ) -> bool:
        """Return whether a new window of the active plan was bad; if so, correct predictions."""
        if last.end_s <= known.judged_s or last.born == 0:
            return False
        if last.born - last.good <= self._allowed(query) * last.born:
            return False
        known = replace(known, judged_s=last.end_s)
        if last.completed:
            before = seen_search_state(context, query.id) or SearchState()
            ratios = _ratios(known, last)
            old = before.slowness
            slowness = Slowness(
                _within(old.device * ratios.device),
                _within(old.links * ratios.links),
                # If servers are less busy than planned, they do not count as faster.
                max(1.0, _within(old.elsewhere * ratios.elsewhere)),
                old.device_known or known.device_s > 0,
            )
            after = replace(before, slowness=slowness, exhausted=False, spent_s=0.0)
            publish_search_state(context, query.id, after)
            # A query that keeps its plan must not be corrected twice for the same window.
            known = replace(
                known,
                device_s=known.device_s * slowness.device / old.device,
                links_s=known.links_s * slowness.links / old.links,
                elsewhere_s=known.elsewhere_s * slowness.elsewhere / old.elsewhere,
            )
        _keep(context, query, known)
        return True

    def _allowed(self, query: Query) -> float:
        """Return the largest share of late requests at which a window is not bad."""
        return (1 - query.slo.latency_quantile) * (1 + self.slack)

    def _inaccurate(
        self, context: PlanningContext, query: Query, known: ActivePlan, since_s: float
    ) -> bool:
        """Return whether audits raise an alarm; if so, discard the query's profiling results."""
        floor = query.slo.accuracy
        if floor is None or context.now_s < self._audit_due_s(context, query, since_s):
            return False
        if not context.world.background_lanes:
            return False  # the audit stays due
        configuration = known.plan.configuration.index
        audits: Audits = context.recall((AUDITS, query.id)) or Audits(configuration, 0.0)
        left_s = context.remaining(query)
        estimate = context.measure_live_accuracy(query, self.audit_samples)
        took_s = left_s - context.remaining(query)
        next_s = context.now_s + max(self.audit_every_s, took_s / self.audit_share)
        before = audits.sums if audits.configuration == configuration else NOTHING
        sums = with_more(before, estimate.measurement.accuracy)
        audits = Audits(configuration, next_s, sums)
        found = seen_search_state(context, query.id) or SearchState()
        alarm = self._alarming(context, query, audits, floor, found.profiled.get(configuration))
        kept = audits._replace(sums=NOTHING) if alarm else audits
        context.remember((AUDITS, query.id), kept)
        if alarm:
            context.resample(query)
            emptied = SearchState(
                slowness=found.slowness, offers=found.offers, history=found.history
            )
            publish_search_state(context, query.id, emptied)
        return alarm

    def _audit_due_s(self, context: PlanningContext, query: Query, since_s: float) -> float:
        """Return the time at which the next audit of a query is due, or infinity for never."""
        if query.slo.accuracy is None or not self.audit_every_s:
            return inf
        audits: Audits | None = context.recall((AUDITS, query.id))
        return max(since_s + self.audit_every_s, audits.next_s if audits else 0.0)

    def _alarming(
        self,
        context: PlanningContext,
        query: Query,
        audits: Audits,
        floor: float,
        seen: ProfiledConfig | None,
    ) -> bool:
        """Return whether audits show a missed floor or changed content; record changed content."""
        if seen is not None:
            if audits.changed(seen, self.drift_alpha):
                note_drift(context, query)
                return True
            if others_drifted(context, query) and audits.changed(seen, LIKELY_ALPHA):
                return True
        return audits.missed(floor, self.alpha)


def _still_settled(context: PlanningContext) -> dict[int, Settled]:
    """Return the settled queries, by id, whose plan is unchanged and which need no audit now."""
    before: Mapping[int, Settled] = context.recall(SETTLED) or {}
    now_s, plans = context.now_s, context.world.plans
    return {
        query: each
        for query, each in before.items()
        if now_s < each.audit_s and plans.get(query) is each.plan
    }


def _keep(context: PlanningContext, query: Query, known: ActivePlan) -> None:
    """Keep the record of the plan that serves a query, even if another plan is ordered later."""
    last = service_state(context, query.id).ordered
    if last is not None and last.plan != known.plan:
        known = replace(last, before=known)
    update_service(context, query.id, ordered=known)


def _device_learned(
    context: PlanningContext, query: Query, known: ActivePlan, last: WindowReport | None
) -> ActivePlan:
    """Learn a device's speed from the plan's first window; return the plan's updated record.

    Devices of one model differ in speed. Bad windows show later changes of speed.
    """
    if known.device_s <= 0 or last is None or not last.completed:
        return known
    found = seen_search_state(context, query.id)
    if found is None or found.slowness.device_known:
        return known
    ratio = _ratio(_on_device_s(known, last), known.device_s)
    device = _within(found.slowness.device * ratio)
    learned = replace(found.slowness, device=device, device_known=True)
    publish_search_state(context, query.id, replace(found, slowness=learned))
    known = replace(known, device_s=known.device_s * device / found.slowness.device)
    _keep(context, query, known)
    return known


def _device_known(context: PlanningContext, query: Query, known: ActivePlan) -> bool:
    """Return whether the device's speed is known, or the plan does not use the device."""
    found = seen_search_state(context, query.id)
    return known.device_s <= 0 or (found is not None and found.slowness.device_known)


def _within(ratio: float) -> float:
    return min(MOST_RATIO, max(LEAST_RATIO, ratio))


def _ratios(known: ActivePlan, last: WindowReport) -> Slowness:
    """Return the ratios of observed to predicted time on the device, on links and elsewhere."""
    elsewhere_s = fsum(
        compute + waiting
        for compute, waiting, place in zip(
            last.compute_s, last.waiting_s, known.plan.placement, strict=True
        )
        if place != "device"
    )
    return Slowness(
        _ratio(_on_device_s(known, last), known.device_s),
        _ratio(fsum(last.transfer_s), known.links_s),
        _ratio(elsewhere_s, known.elsewhere_s),
    )


def _on_device_s(known: ActivePlan, last: WindowReport) -> float:
    """Return the mean time that the device spends on serving a request, without waiting.

    Predictions compute waiting times from the device's speed and add them.
    """
    return fsum(
        compute_s
        for compute_s, place in zip(last.compute_s, known.plan.placement, strict=True)
        if place == "device"
    )


def _ratio(observed_s: float, predicted_s: float) -> float:
    if predicted_s <= 0 or not isfinite(observed_s):
        return 1.0
    return observed_s / predicted_s


def serving(context: PlanningContext, query: Query) -> ActivePlan | None:
    """Return the record of the plan that serves a query, or None."""
    known = service_state(context, query.id).ordered
    plan = context.plan_of(query)
    while known is not None and known.plan is not plan and known.plan != plan:
        known = known.before
    return known


def active_record(
    context: PlanningContext,
    query: Query,
    pools: Pools,
    view: PlanView,
    number: int,
    plan: Plan,
    found: SearchState,
    load: float,
) -> ActivePlan:
    """Return the record of an order; ``load`` is the utilisation assumed in predictions."""
    seen = found.profiled[int(view.configuration[number])]
    factors = loaded_factors(view, np.array([number]), load, seen.time_cv)[0]
    time_s = factors * seen.operator_time_s
    on_device = view.station[number] < 0
    slowness = found.slowness
    links_s = float(view.access_s[number] + view.backhaul_s[number] + view.fixed_s[number])
    filled = takes_of(context, pools, view).filled(
        pools, view, np.array([number]), query.requests_per_s, seen.operator_time_s
    )
    return ActivePlan(
        plan,
        context.now_s,
        slowness.device * float(time_s[on_device].sum()),
        slowness.links * links_s,
        slowness.elsewhere * float(time_s[~on_device].sum()),
        Uses(
            view.station[number],
            view.operator_key[number],
            filled[0],
            query.requests_per_s * float(view.backhaul_up_s[number]),
        ),
        number,
    )
