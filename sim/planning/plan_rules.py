"""Rules that decide whether the empty cluster could run a plan."""

from collections.abc import Sequence
from numbers import Integral

from hardware_models.errors import did_you_mean
from hardware_models.gpu.gpu_latency import largest_processes
from scenarios.applications.pipeline import MOST_BATCH, Configuration, Operator, Pipeline
from scenarios.cluster import DEVICE, Cluster
from sim.api.choices import MOST_REPLICAS, MOST_WAIT_S
from sim.api.errors import PlannerError
from sim.api.plan import CORE, Allocation, Plan
from sim.catalogue.catalogue import Catalogue
from sim.catalogue.service_times import RefusalError
from sim.cluster.machine import MOST_CLIENTS


def check_configuration(configuration: Configuration, pipeline: Pipeline) -> None:
    """Raise `PlannerError` unless the pipeline has this configuration."""
    known = pipeline.configurations
    index = configuration.index if isinstance(configuration, Configuration) else -1
    if not 0 <= index < len(known) or (
        known[index] is not configuration and known[index] != configuration
    ):
        raise PlannerError(f"{configuration!r} is no configuration of {pipeline.name}")


def moves_up(pipeline: Pipeline, places: Sequence[int]) -> bool:
    """Return whether every message goes to an equal or higher place; ``places`` is by operator."""
    return all(
        earlier is None or places[earlier] <= places[operator]
        for earlier, operator in pipeline.edges
    )


def check_plan(plan: Plan, nominal: Catalogue) -> None:
    """Raise `PlannerError` if a plan could not run even on the empty cluster."""
    if not isinstance(plan, Plan):
        raise PlannerError(f"{plan!r} is no Plan")
    pipeline, cluster = nominal.application.pipeline, nominal.cluster
    check_configuration(plan.configuration, pipeline)
    places, operators = cluster.places, pipeline.operators
    if len(plan.placement) != len(operators) or len(plan.allocation) != len(operators):
        raise PlannerError(
            f"{plan}: has {len(plan.placement)} places and {len(plan.allocation)} allocations for "
            f"{len(operators)} operators"
        )
    for place in plan.placement:
        if place not in places:
            allowed = f"choose from {', '.join(places)}{did_you_mean(str(place), places)}"
            raise PlannerError(f"{plan}: no node {place!r}; {allowed}")
    if not moves_up(pipeline, [places.index(place) for place in plan.placement]):
        raise PlannerError(f"{plan}: data move up only, in the order {', '.join(places)}")
    for operator, place, share in zip(operators, plan.placement, plan.allocation, strict=True):
        try:
            _check_allocation(operator, place, share, cluster)
        except PlannerError as error:
            raise PlannerError(f"{plan}: {operator.name} on {place} {error}") from None
    for number, (place, share) in enumerate(zip(plan.placement, plan.allocation, strict=True)):
        if place != DEVICE:
            try:
                nominal.on_node(number, plan.configuration, place, share)
            except RefusalError as refusal:
                raise PlannerError(f"{plan}: {refusal}") from None


def _check_allocation(operator: Operator, place: str, share: Allocation, cluster: Cluster) -> None:
    if place == DEVICE:
        allowed: tuple[str, ...] = (DEVICE,)
    elif operator.kind == "cpu":
        allowed = (CORE,)
    else:
        allowed = cluster.nodes[place].all_gpu_profiles
    if share.profile not in allowed:
        raise PlannerError(f"can get {', '.join(allowed) or 'nothing'}, not {share.profile!r}")
    shared = None if place == DEVICE or operator.kind == "cpu" else share.profile
    most_processes = min(MOST_CLIENTS, largest_processes())
    for name, value, most in (
        ("replicas", share.replicas, 1 if place == DEVICE else MOST_REPLICAS),
        ("max_batch", share.max_batch, MOST_BATCH),
        ("processes", share.processes, 1 if shared is None else most_processes),
    ):
        if not _is_whole(value) or not 1 <= value <= most:
            raise PlannerError(f"has {name}={value!r}; it can be a whole number from 1 to {most}")
    least, percent = (100 if shared is None else 1), share.thread_percent
    if not _is_whole(percent) or not least <= percent <= 100:
        only = "it must be 100" if least == 100 else "it can be a whole number from 1 to 100"
        raise PlannerError(f"has thread_percent={percent!r}; {only}")
    longest_s = 0.0 if operator.kind == "llm" else MOST_WAIT_S  # engines batch without waiting
    if not 0 <= share.max_wait_s <= longest_s:
        raise PlannerError(f"has max_wait_s={share.max_wait_s!r}; it can be 0 to {longest_s:g}")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
