"""A scenario: all settings of a run except for its seed and planner."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated

from hardware_models.errors import did_you_mean
from hardware_models.tables import TableSet, tables_in_use
from scenarios.applications.application import Application
from scenarios.applications.nodes import choose
from scenarios.cluster import Cluster
from scenarios.drift import AT_MACHINE, Drift
from scenarios.network import Network
from scenarios.ranges import Range, check_ranges
from scenarios.slo import Tier
from scenarios.workload import Workload

MOST_ARRIVALS = 1e8
"""The largest allowed number of queries in a run. All arrivals are drawn before the first event, so
more would exhaust memory; such a number is probably due to a mistake in the rate or horizon.
"""

AUTO = "auto"
"""The warm-up that follows from the number of living queries."""
MOST_PERIODS = 10_000
"""The largest allowed number of periods of a drift event in a run; each has dozens of steps."""


@dataclass(frozen=True)
class Scenario:
    """The world that a run simulates.

    Args:
        application: the application that all queries use.
        cluster: the machines.
        network: the links.
        workload: the queries.
        drift: changes during the run.
        horizon_s: length of the run in simulated seconds.
        warm_up_s: simulated seconds, rounded up to whole windows, that metrics of goodput leave
            out; with ``auto``, the rule of ``lab.runs.steady_state`` chooses them.
        tables: the hardware tables; by default those in use when the scenario is created.

    Raises:
        ValueError: the parts contradict each other.
    """

    application: Application
    cluster: Cluster
    network: Network = field(default_factory=Network)
    workload: Workload = field(default_factory=Workload)
    drift: Drift = field(default_factory=Drift)
    horizon_s: Annotated[float, Range(gt=0, unit="s")] = 3600.0
    tables: TableSet = field(default_factory=tables_in_use)
    warm_up_s: float | str = 0.0

    def __post_init__(self) -> None:
        check_ranges(self)
        self._check_warm_up()
        for number, event in enumerate(self.drift.events):
            if event.period_s is not None and self.horizon_s > MOST_PERIODS * event.period_s:
                raise ValueError(
                    f"drift.events.{number}.period_s={event.period_s}: horizon_s={self.horizon_s} "
                    f"may have at most {MOST_PERIODS:,} periods"
                )
        arrivals = self.workload.rate * float(self.drift.arrival_clock(self.horizon_s)[1][-1])
        if arrivals > MOST_ARRIVALS:
            raise ValueError(
                f"workload.rate={self.workload.rate}: of horizon_s={self.horizon_s} that makes "
                f"{arrivals:.3g} queries; there can be {MOST_ARRIVALS:g}"
            )
        window_ns, tick_ns = (
            round(1e9 * period_s) for period_s in (self.application.window_s, self.cluster.tick_s)
        )
        if window_ns % tick_ns:
            raise ValueError(
                f"cluster.tick_s={self.cluster.tick_s}: must divide application.window_s, "
                f"{self.application.window_s}, in whole nanoseconds"
            )
        if not self.tiers:
            raise ValueError(
                f"workload.tiers: {self.application.name} names no classes of service; name at "
                "least one"
            )
        if not any(tier.weight > 0 for tier in self.tiers.values()):
            raise ValueError("application.tiers: at least one needs a weight above 0")
        for name in self.workload.datasets:
            if name not in self.application.datasets:
                raise ValueError(
                    f"workload.datasets.{name}: {self.application.name} has no such data set; "
                    f"{choose(name, self.application.datasets)}"
                )
        for number, event in enumerate(self.drift.events):
            if event.kind not in AT_MACHINE:
                continue
            node = self.cluster.nodes.get(str(event.node))
            if node is None:
                raise ValueError(
                    f"drift.events.{number}.node={event.node}: the cluster has the nodes "
                    f"{', '.join(self.cluster.nodes)}"
                    f"{did_you_mean(str(event.node), self.cluster.nodes)}"
                )
            if not 0 <= event.machine < node.count:
                raise ValueError(
                    f"drift.events.{number}.machine={event.machine}: node {event.node} has "
                    f"the machines 0 to {node.count - 1}"
                )

    def _check_warm_up(self) -> None:
        warm_up_s, window_s = self.warm_up_s, self.application.window_s
        if warm_up_s == AUTO:
            if self.horizon_s < 2 * window_s:
                raise ValueError(
                    f"warm_up_s={AUTO}: horizon_s={self.horizon_s} must be at least two windows "
                    f"of {window_s} s, one of which is left"
                )
        elif isinstance(warm_up_s, str):
            raise ValueError(f"warm_up_s={warm_up_s}: must be a number of seconds, or {AUTO}")
        else:
            Range(ge=0, unit="s").check("warm_up_s", warm_up_s)
            if warm_up_s > 0 and warm_up_s > self.horizon_s - window_s:
                raise ValueError(
                    f"warm_up_s={warm_up_s}: must leave a window of {window_s} s before "
                    f"horizon_s={self.horizon_s}"
                )

    @cached_property
    def tiers(self) -> Mapping[str, Tier]:
        """The classes of service of the workload, or else of the application, with scaled bounds.

        Raises:
            ValueError: a scaled bound is out of range.
        """
        scale = self.workload.slo_scale
        tiers = self.workload.tiers or self.application.tiers
        if scale == 1:
            return tiers
        scaled = {}
        for name, tier in tiers.items():
            bound_s = None if tier.latency_s is None else tier.latency_s * scale
            try:
                scaled[name] = replace(tier, latency_s=bound_s)
            except ValueError as error:
                raise ValueError(
                    f"workload.slo_scale={scale}: with it, class {name} has {error}"
                ) from None
        return scaled
