"""The runtime's watch: what telemetry and audits say of deployments, and what to plan anew.

Latency is watched in windows of telemetry. If one is bad, what was observed on the device, on the
links and elsewhere is set against what was predicted of each; the ratios correct all further
predictions for the query, and no configuration needs to be profiled again. Accuracy shows in no
telemetry: a few items are audited from time to time, and a t-test tells whether it is below the
floor.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum, isfinite

import numpy as np
from numpy.typing import NDArray

from planners.compass.known import Found, Shown, Slowness
from planners.compass.pools import Pools, Uses, takes_of
from planners.compass.profiler import decided, simple_mean
from planners.compass.query_plans import loaded_factors
from planners.compass.search import FOUND
from scenarios.queries import Query
from sim import Desk, Plan, PlanView, WindowReport

Floats = NDArray[np.float64]

IN_FORCE = "compass in force"
AUDITS = "compass audits"
DRIFTED = "compass drifted"
"""When the content of queries was last found to have changed, by data set."""

COMMON_WITHIN_S, COMMON_SHARE = 120.0, 0.05
"""Drift is taken to befall a data set if it was found in this share of its queries so recently."""

LIKELY_ALPHA = 0.05
"""Level at which drift of a query is found where it is likely, since others of its kind drifted."""

LEAST_RATIO, MOST_RATIO = 0.2, 10.0
AUDITS_TESTED = (1, 2, 4, 8, 16)
"""Numbers of last audits that are tested together: a large step shows in the last one alone, and a
small one in many, but only if those before the step are not among them."""


@dataclass(frozen=True)
class InForce:
    """What was ordered for a query.

    Args:
        plan: the plan.
        since_s: when it was ordered.
        device_s: predicted time on the device of a mean request.
        links_s: predicted time on links, propagation included.
        elsewhere_s: predicted time on servers, with waits at the load planned for.
        uses: the stations that it uses.
        number: number of the plan in the query's view.
        judged_s: end of the last window that was acted upon.
        before: the same of what serves until the plan is in force, and if it is refused.
    """

    plan: Plan
    since_s: float
    device_s: float
    links_s: float
    elsewhere_s: float
    uses: Uses
    number: int
    judged_s: float = 0.0
    before: "InForce | None" = None


@dataclass(frozen=True)
class Audits:
    """What audits of a query have shown.

    Args:
        configuration: index of the configuration that was audited.
        next_s: when the next is due.
        accuracy: of the items of the last few, each of shape (items,).
    """

    configuration: int
    next_s: float
    accuracy: tuple[Floats, ...] = ()


class Runtime(ABC):
    """Watches deployments."""

    @abstractmethod
    def drifted(self, desk: Desk) -> list[Query]:
        """Return running queries to be planned anew, with what is believed of them corrected."""


@dataclass(frozen=True)
class NoRuntime(Runtime):
    """Watches nothing: what is deployed stays as it is; an ablation."""

    def drifted(self, desk: Desk) -> list[Query]:
        """Return no query."""
        return []


@dataclass(frozen=True)
class Watch(Runtime):
    """Watches latency by windows, and accuracy by audits.

    Args:
        audit_every_s: least time between two audits of a query; 0 for no audits. Rare ones find an
            accuracy step late, frequent ones take profiling lanes from new queries.
        audit_samples: items of each audit; see `AUDITS_TESTED`.
        audit_share: share of a query's time that its audits may take: where items take long, audits
            are rarer than ``audit_every_s``.
        alpha: level of an audit's two-sided test against the floor, of which only the lower side
            raises an alarm.
        drift_alpha: level of its two-sided test against what profiling has shown. Where the content
            has changed, all that was profiled is of the past, even if the floor is still met: other
            queries, and later searches, would go by it. Found sooner than a missed floor, as that
            is mostly nearer. A false alarm costs one more search, so that it should be rare.
        slack: part of a window's allowed misses that are let pass without a reaction; at 0 every
            bad window is acted upon.

    Raises:
        ValueError: a parameter is out of range.
    """

    audit_every_s: float = 30.0
    audit_samples: int = 48
    audit_share: float = 0.02
    alpha: float = 0.01
    drift_alpha: float = 0.001
    slack: float = 0.0

    def __post_init__(self) -> None:
        for name in ("audit_every_s", "slack"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be 0 or more")
        if self.audit_samples < 1:
            raise ValueError(f"audit_samples={self.audit_samples}: must be 1 or more")
        if not 0 < self.audit_share <= 1:
            raise ValueError(f"audit_share={self.audit_share}: must be above 0, and 1 or less")
        for name in ("alpha", "drift_alpha"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must lie between 0 and 1")

    def drifted(self, desk: Desk) -> list[Query]:
        """Return queries whose last window was bad, or that audits found below the floor."""
        found: list[Query] = []
        for query in desk.running:
            known = serving(desk, query)
            if known is None:
                continue
            known = _device_learned(desk, query, known)
            if self._late(desk, query, known) or self._inaccurate(desk, query, known):
                found.append(query)
        return found

    def _late(self, desk: Desk, query: Query, known: InForce) -> bool:
        """Tell whether a new window of the plan in force was bad, and learn from it why."""
        reports = desk.telemetry(query)
        if len(reports) < 2 or reports[-2].end_s < known.since_s:
            return False  # No window began after the order yet.
        last = reports[-1]
        if last.end_s <= known.judged_s or last.born == 0:
            return False
        allowed = (1 - query.slo.latency_quantile) * (1 + self.slack)
        if last.born - last.good <= allowed * last.born:
            return False
        known = replace(known, judged_s=last.end_s)
        if last.completed:
            before: Found = desk.recall((FOUND, query.id)) or Found()
            ratios = _ratios(known, last)
            old = before.slowness
            slowness = Slowness(
                _within(old.device * ratios.device),
                _within(old.links * ratios.links),
                _within(old.elsewhere * ratios.elsewhere),
                old.device_known or known.device_s > 0,
            )
            desk.remember(
                (FOUND, query.id),
                replace(before, slowness=slowness, exhausted=False, spent_s=0.0),
            )
            # A query that stays where it is must not be corrected for the same again.
            known = replace(
                known,
                device_s=known.device_s * slowness.device / old.device,
                links_s=known.links_s * slowness.links / old.links,
                elsewhere_s=known.elsewhere_s * slowness.elsewhere / old.elsewhere,
            )
        desk.remember((IN_FORCE, query.id), known)
        return True

    def _inaccurate(self, desk: Desk, query: Query, known: InForce) -> bool:
        """Tell whether audits raise an alarm; what was profiled is then of the past."""
        floor = query.slo.accuracy
        if floor is None or not self.audit_every_s:
            return False
        configuration = known.plan.configuration.index
        audits: Audits = desk.recall((AUDITS, query.id)) or Audits(configuration, 0.0)
        parts = audits.accuracy if audits.configuration == configuration else ()
        if desk.now_s < max(audits.next_s, known.since_s + self.audit_every_s):
            return False
        left_s = desk.remaining(query)
        estimate = desk.audit(query, self.audit_samples)
        took_s = left_s - desk.remaining(query)
        parts = (*parts, estimate.measurement.accuracy)[-AUDITS_TESTED[-1] :]
        found: Found = desk.recall((FOUND, query.id)) or Found()
        drift_alpha = LIKELY_ALPHA if _others_drifted(desk, query) else self.drift_alpha
        seen = found.shown.get(configuration)
        missed = self._missed(parts, floor)
        alarm = missed or (seen is not None and _changed(parts, seen, drift_alpha))
        if seen is not None and _changed(parts, seen, self.drift_alpha):
            _note_drift(desk, query)
        next_s = desk.now_s + max(self.audit_every_s, took_s / self.audit_share)
        audits = Audits(configuration, next_s, () if alarm else parts)
        desk.remember((AUDITS, query.id), audits)
        if alarm:
            desk.renew(query)
            desk.remember((FOUND, query.id), Found(slowness=found.slowness))
        return alarm

    def _missed(self, parts: Sequence[Floats], floor: float) -> bool:
        """Tell whether some of the last audits are below the floor; `parts` as in `Audits`."""
        return any(
            decided(*simple_mean(np.concatenate(parts[-count:])), floor, self.alpha) is False
            for count in AUDITS_TESTED
            if count <= len(parts)
        )


def _changed(parts: Sequence[Floats], seen: Shown, alpha: float) -> bool:
    """Tell whether some of the last audits differ from those before and what profiling has shown.

    Args:
        parts: accuracy of the items of each audit, the last one last.
        seen: what was shown of the configuration.
        alpha: level of each test, which is two-sided.
    """
    for count in AUDITS_TESTED:
        if count > len(parts):
            break
        mean, variance, freedom = simple_mean(np.concatenate(parts[-count:]))
        reference, its_variance, its_freedom = seen.accuracy, seen.variance, seen.count - 1.0
        if count < len(parts):
            before, more, added = simple_mean(np.concatenate(parts[:-count]))
            weight = its_variance / (its_variance + more)
            reference += weight * (before - reference)
            its_variance, its_freedom = (1 - weight) * its_variance, its_freedom + added
        # The degrees of freedom of the smaller sample are the least that the test could have.
        variance, freedom = variance + its_variance, min(freedom, its_freedom)
        if decided(mean, variance, freedom, reference, alpha) is not None:
            return True
    return False


def _others_drifted(desk: Desk, query: Query) -> bool:
    """Tell whether the content of so many others of its data set has changed that its own may."""
    alarms: Sequence[float] = desk.recall((DRIFTED, query.dataset)) or ()
    recent = sum(at_s > desk.now_s - COMMON_WITHIN_S for at_s in alarms)
    if recent < 2:
        return False
    return recent >= COMMON_SHARE * sum(each.dataset == query.dataset for each in desk.running)


def _note_drift(desk: Desk, query: Query) -> None:
    alarms: Sequence[float] = desk.recall((DRIFTED, query.dataset)) or ()
    kept = [at_s for at_s in alarms if at_s > desk.now_s - COMMON_WITHIN_S]
    desk.remember((DRIFTED, query.dataset), (*kept, desk.now_s))


def _device_learned(desk: Desk, query: Query, known: InForce) -> InForce:
    """Learn from the first window how fast a query's device is; return the plan's record.

    Devices of one kind differ, and what runs on this one tells its speed. Later changes show in bad
    windows.
    """
    found: Found | None = desk.recall((FOUND, query.id))
    reports = desk.telemetry(query)
    if found is None or found.slowness.device_known or known.device_s <= 0:
        return known
    if len(reports) < 2 or reports[-2].end_s < known.since_s or not reports[-1].completed:
        return known
    observed_s = fsum(
        compute_s
        for compute_s, place in zip(reports[-1].compute_s, known.plan.placement, strict=True)
        if place == "device"
    )
    ratio = _ratio(observed_s, known.device_s)
    device = _within(found.slowness.device * ratio)
    learned = replace(found.slowness, device=device, device_known=True)
    desk.remember((FOUND, query.id), replace(found, slowness=learned))
    known = replace(known, device_s=known.device_s * device / found.slowness.device)
    desk.remember((IN_FORCE, query.id), known)
    return known


def _within(ratio: float) -> float:
    return min(MOST_RATIO, max(LEAST_RATIO, ratio))


def _ratios(known: InForce, last: WindowReport) -> Slowness:
    """Return observed over predicted time, on the device, on links, and elsewhere."""
    on_device = [place == "device" for place in known.plan.placement]
    device_s = fsum(
        compute + waiting
        for compute, waiting, here in zip(last.compute_s, last.waiting_s, on_device, strict=True)
        if here
    )
    elsewhere_s = fsum(
        compute + waiting
        for compute, waiting, here in zip(last.compute_s, last.waiting_s, on_device, strict=True)
        if not here
    )
    return Slowness(
        _ratio(device_s, known.device_s),
        _ratio(fsum(last.transfer_s), known.links_s),
        # Servers that are less busy than planned for are not faster for that.
        max(1.0, _ratio(elsewhere_s, known.elsewhere_s)),
    )


def _ratio(observed_s: float, predicted_s: float) -> float:
    if predicted_s <= 0 or not isfinite(observed_s):
        return 1.0
    return observed_s / predicted_s


def serving(desk: Desk, query: Query) -> InForce | None:
    """Return the record of the plan that serves a query, or None if there is none of it."""
    known: InForce | None = desk.recall((IN_FORCE, query.id))
    plan = desk.plan_of(query)
    while known is not None and known.plan != plan:
        known = known.before
    return known


def in_force(
    desk: Desk,
    query: Query,
    pools: Pools,
    view: PlanView,
    number: int,
    plan: Plan,
    found: Found,
    load: float,
) -> InForce:
    """Return the record of an order: what is predicted of a mean request, part by part.

    Args:
        desk: the desk.
        query: the query.
        pools: the pools.
        view: the query's plans.
        number: number of the plan among them.
        plan: the plan.
        found: what was found of the query, the plan's configuration included.
        load: utilisation that stations are planned for.
    """
    seen = found.shown[int(view.configuration[number])]
    time_s = loaded_factors(view, np.array([number]), load)[0] * seen.operator_time_s
    on_device = view.station[number] < 0
    slowness = found.slowness
    sent_s = float(view.access_s[number] + view.backhaul_s[number])
    filled = takes_of(desk, pools, view).filled(
        pools, view, np.array([number]), query.requests_per_s, seen.operator_time_s
    )
    return InForce(
        plan,
        desk.now_s,
        slowness.device * float(time_s[on_device].sum()),
        slowness.links * sent_s + float(view.fixed_s[number]),
        slowness.elsewhere * float(time_s[~on_device].sum()),
        Uses(
            view.station[number],
            view.operator_key[number],
            filled[0],
            query.requests_per_s * float(view.backhaul_up_s[number]),
        ),
        number,
    )
