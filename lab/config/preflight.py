"""Warnings before a run: bounds that no plan can meet, and input that has no effect."""

from collections.abc import Hashable, Iterator
from contextlib import suppress
from math import inf

import numpy as np

from hardware_models.devices import devices
from hardware_models.tables import TableSet, read_file, user_table, using_tables
from lab.config.compose import Setup
from scenarios.applications.application import LanguageModel, NeuralNetwork
from scenarios.applications.pipeline import Configuration
from scenarios.link_traces import Recording
from scenarios.network import Network
from scenarios.scenario import Scenario
from sim.api.plan import CORE, Allocation
from sim.catalogue.catalogue import Catalogue
from sim.catalogue.service_times import RefusalError

SLOW_BPS = 1_000.0
"""If a recorded link has a lower mean rate, its rates are probably in another unit."""
LONG_STEP_S = 100.0
"""If the times of a recorded link are further apart, they are probably in another unit."""


def warnings(setup: Setup) -> list[str]:
    """Return one sentence for each unattainable bound, unreachable event and unused input."""
    with using_tables(setup.tables):
        scenario = setup.scenario()
        return [*_warnings(scenario), *_unused_rows(setup.tables, scenario)]


def _unused_rows(tables: TableSet, scenario: Scenario) -> Iterator[str]:
    """Yield a sentence if no operator uses the user's rows of GPU latencies."""
    user = tables.user.get("gpu_latency")
    if user is None:
        return
    theirs = dict.fromkeys(user_table(read_file(user.path), "gpu_latency", user.path)["model"])
    followed = {
        model.like
        for model in scenario.application.models.values()
        if isinstance(model, NeuralNetwork)
    }
    if followed.isdisjoint(theirs):
        yield (
            f"tables.gpu_latency: no operator of {scenario.application.name} is like "
            f"{', '.join(theirs)}, so these rows have no effect; set "
            "application.operators.NAME.network.like to one of them"
        )


def _warnings(scenario: Scenario) -> Iterator[str]:
    yield from _bounds(scenario)
    yield from _traces(scenario.network)
    if scenario.workload.rate == 0:
        yield "workload.rate=0: no query will arrive"
    for i, event in enumerate(scenario.drift.events):
        if event.at_s >= scenario.horizon_s:
            yield (
                f"drift.events.{i}.at_s={event.at_s:g}: this {event.kind} has no effect; the run "
                f"ends at horizon_s={scenario.horizon_s:g}"
            )


def _traces(network: Network) -> Iterator[str]:
    """Yield a sentence for each recorded link that is unused or seems to have wrong units."""
    for name in network.traces:
        key = f"network.traces.{name}"
        if not network.technologies.get(name):
            yield (
                f"{key}: has no effect, because network.technologies gives {name} no weight above 0"
            )
            continue
        recorded = network.link(name)
        if not isinstance(recorded, Recording):
            continue
        for direction in ("uplink", "downlink"):
            mean_bps = float(np.mean(getattr(recorded, direction)))
            if mean_bps < SLOW_BPS:
                yield (
                    f"{key}.{direction}: is {mean_bps:.3g} bit/s on average; rates must be in bits "
                    "per second, not in Mbit/s"
                )
        if recorded.step_s > LONG_STEP_S:
            yield (
                f"{key}: has a rate every {recorded.step_s:g} s; times must be in seconds, not in "
                "milliseconds"
            )


def _bounds(scenario: Scenario) -> Iterator[str]:
    """Yield one sentence for each bound of a tier that no plan can meet on any data set."""
    shares = scenario.workload.datasets or dict.fromkeys(scenario.application.datasets, 1.0)
    names = [name for name, share in shares.items() if share > 0]
    fastest_s = min(_fastest_s(scenario, names), default=inf)
    if fastest_s == inf:
        yield (
            f"cluster: no configuration of {scenario.application.name} can run on these machines, "
            "so the goodput will be 0"
        )
    for name, tier in scenario.tiers.items():
        key = f"{'workload' if scenario.workload.tiers else 'application'}.tiers.{name}"
        if tier.latency_s is not None and tier.latency_s < fastest_s:
            yield (
                f"{key}.latency_s={tier.latency_s}: no plan can meet this, so the tier's goodput "
                f"will be 0; the fastest configuration takes {fastest_s:.3g} s of computation on "
                "the fastest machines"
            )
        if tier.accuracy_of_best is not None and tier.accuracy_of_best > 1:
            yield (
                f"{key}.accuracy_of_best={tier.accuracy_of_best}: no plan can meet this, so the "
                "tier's goodput will be 0; the best configuration has 1"
            )


def _fastest_s(scenario: Scenario, names: list[str]) -> Iterator[float]:
    """Yield, for each data set, an average request's least compute time on its slowest path."""
    nominal = Catalogue(scenario.application, scenario.cluster, scenario.network)
    pipeline = scenario.application.pipeline
    known: dict[Hashable, float] = {}

    def least_factor(operator: int, configuration: Configuration) -> float:
        model = scenario.application.model(operator, configuration)
        key: Hashable = operator, model
        if isinstance(model, LanguageModel):  # Its time also depends on its tokens.
            key = operator, pipeline.operator_key(operator, configuration)
        if key not in known:
            known[key] = _least_factor(nominal, scenario, operator, configuration)
        return known[key]

    factors = np.array(
        [
            [least_factor(operator, one) for operator in range(len(pipeline.operators))]
            for one in pipeline.configurations
        ]
    )
    for name in names:
        service_s = scenario.application.datasets[name].service_time_s
        times_s = np.where(factors < inf, service_s * factors, inf)
        ways_s = [times_s[:, path.operators].sum(axis=1) for path in pipeline.paths]
        yield float(np.max(ways_s, axis=0).min())


def _least_factor(
    nominal: Catalogue, scenario: Scenario, operator: int, configuration: Configuration
) -> float:
    """Return an operator's least latency factor on any hardware, or inf if no hardware runs it."""
    least = inf
    for family in scenario.workload.devices:
        for device in devices(family):
            with suppress(RefusalError):
                least = min(least, nominal.on_device(operator, configuration, device).factor)
    kind = nominal.application.operators[operator].kind
    for name, node in scenario.cluster.nodes.items():
        for profile in (CORE,) if kind == "cpu" else node.gpu_profiles:
            at_once = scenario.cluster.llm_sequences if kind == "llm" else 1
            allocation = Allocation(profile, max_batch=at_once)
            with suppress(RefusalError):
                service = nominal.on_node(operator, configuration, name, allocation)
                least = min(least, service.factor)
    return least
