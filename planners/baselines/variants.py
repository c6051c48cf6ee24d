"""Operators' variants, profiled one operator at a time, and the workers for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planners.common.offline_profiles import by_deviation, deviations, own_knobs
from planners.common.workers import Crew, Labour, Worker
from scenarios.applications.pipeline import Configuration, KnobValue, Pipeline
from sim import Allocation, Estimate, Plan


@dataclass(frozen=True, slots=True)
class Variant:
    """One setting of an operator's own knobs, profiled with all other operators at their richest.

    Args:
        time_s: its mean time on the profiling hardware.
        quality: accuracy of its configuration over that of the richest.
    """

    operator: int
    values: tuple[KnobValue, ...]
    configuration: Configuration
    time_s: float
    quality: float


@dataclass(frozen=True, slots=True)
class Offer:
    """A variant on workers that keep up with its load.

    Args:
        worker: the workers, in all their replicas.
        time_s: its mean time there, served alone.
        busy: servers that the load keeps busy.
    """

    variant: Variant
    worker: Worker
    time_s: float
    busy: float


def registered(pipeline: Pipeline) -> list[Configuration]:
    """Return the richest configuration, and those that differ from it in one operator only."""
    richest = pipeline.configurations[0]
    owner = [number for number, operator in enumerate(pipeline.operators) for _ in operator.knobs]
    return [
        each
        for each in by_deviation(pipeline)
        if len({owner[knob] for knob in deviations(each, richest)}) <= 1
    ]


def variants(pipeline: Pipeline, profile: Sequence[Estimate]) -> tuple[tuple[Variant, ...], ...]:
    """Return the variants of each operator, the richest first.

    ``profile`` has estimates of registered configurations, that of the richest first.
    """
    reference, found = profile[0], []
    richest = reference.measurement.configuration
    for operator in range(len(pipeline.operators)):
        own = own_knobs(pipeline, operator)
        found.append(
            tuple(
                Variant(
                    operator,
                    configuration.values[own],
                    configuration,
                    float(each.measurement.operator_mean_s[operator]),
                    each.accuracy_mean / max(reference.accuracy_mean, 1e-9),
                )
                for each in profile
                for configuration in (each.measurement.configuration,)
                if all(own.start <= knob < own.stop for knob in deviations(configuration, richest))
            )
        )
    return tuple(found)


def offers(
    choices: Sequence[Variant],
    crews: Mapping[Configuration, Crew],
    requests_per_s: float,
    max_utilisation: float,
) -> list[Offer]:
    """Return all variants of one operator on all workers that can keep up with a rate.

    ``crews`` has the workers by the configurations that the variants were profiled in.
    """
    found = []
    for variant in choices:
        work = requests_per_s * variant.time_s
        for worker in crews[variant.configuration][variant.operator]:
            found.append(
                Offer(
                    variant,
                    worker.enough_for(work, max_utilisation),
                    variant.time_s * worker.latency_factor,
                    work * worker.capacity_factor,
                )
            )
    return found


def assembled(pipeline: Pipeline, chosen: Sequence[Offer]) -> Plan:
    """Return the plan that has the chosen offer for every operator."""
    values = tuple(value for each in chosen for value in each.variant.values)
    return Plan(
        _configuration(pipeline, values),
        tuple(each.worker.node for each in chosen),
        tuple(each.worker.allocation for each in chosen),
    )


@dataclass(frozen=True, slots=True)
class Goal:
    """An operator's part of a query's SLO.

    Args:
        time_s: most time of a request; infinite if there is no bound.
        quality: least accuracy over that of the richest configuration.
    """

    time_s: float
    quality: float

    def shortfall(self, offer: Offer) -> tuple[float, float, float, float]:
        """Return what an offer lacks in accuracy and in time, its price, and its load."""
        return (
            max(0.0, self.quality - offer.variant.quality),
            max(0.0, offer.time_s - self.time_s),
            offer.worker.price_usd_per_hour,
            offer.busy,
        )


@dataclass(frozen=True, slots=True)
class Market:
    """Each operator's part of a query's SLO, and its variants on all workers that can run them."""

    goals: tuple[Goal, ...]
    offers: tuple[list[Offer], ...]

    def on(self, node: str, labour: Labour) -> list[list[Offer]]:
        """Return each operator's offers on a node that are available now."""
        return [
            [
                each
                for each in offered
                if each.worker.node == node
                and labour.offers(each.variant.operator, each.variant.configuration, each.worker)
            ]
            for offered in self.offers
        ]


def with_operator(
    pipeline: Pipeline,
    plan: Plan,
    operator: int,
    allocation: Allocation,
    variant: Variant | None = None,
) -> Plan:
    """Return a plan with another allocation of one operator, and another variant if given."""
    values = list(plan.configuration.values)
    if variant is not None:
        values[own_knobs(pipeline, operator)] = variant.values
    shares = list(plan.allocation)
    shares[operator] = allocation
    return Plan(_configuration(pipeline, tuple(values)), plan.placement, tuple(shares))


def _configuration(pipeline: Pipeline, values: tuple[KnobValue, ...]) -> Configuration:
    return next(each for each in pipeline.configurations if each.values == values)
