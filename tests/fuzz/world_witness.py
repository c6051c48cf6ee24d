"""A world that notes what happens in it, and checks money and capacity at every change."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
from capacity import check_capacity
from world_script import Script, Scripted

from sim.clock import NS_PER_HOUR
from sim.cluster.queries import Deployment, QueryState
from sim.controlplane.world import World
from sim.dataplane.base.interface import COMPLETED, IN_FLIGHT, OUTCOMES, DataPlane, Recorder
from sim.dataplane.base.request_rows import RequestRecord, records
from sim.planning.profiling_log import ProfilingLog

Key = tuple[int, int]
"""The numbers of a query and of a request of it."""


class Ledger:
    """A recorder: every request is born once, and then ends once."""

    def __init__(self) -> None:
        self.born: dict[Key, RequestRecord] = {}
        self.ended: dict[Key, RequestRecord] = {}

    def record(self, rows: np.ndarray, born: np.ndarray, ended: np.ndarray) -> None:
        for each in records(rows, born):
            key = each.query, each.number
            assert key not in self.born, f"request {key} is born twice"
            self.born[key] = each
        for each in records(rows, ended):
            key = each.query, each.number
            assert key in self.born, f"request {key} ends before its birth"
            assert key not in self.ended, f"request {key} ends twice"
            assert each.outcome in OUTCOMES
            assert each.deployment == self.born[key].deployment, "it keeps its deployment"
            self.ended[key] = each

    def under_way(self, deployment: int) -> int:
        """Return how many requests of a deployment have not ended."""
        return sum(
            each.deployment == deployment
            for key, each in self.born.items()
            if key not in self.ended or self.ended[key].outcome == IN_FLIGHT
        )

    def facts(self) -> list[tuple[Any, ...]]:
        """Return what is known of each request, comparable between worlds."""
        return [
            (*key, each.arrival_ns, each.deployment, *self._end(key))
            for key, each in sorted(self.born.items())
        ]

    def _end(self, key: Key) -> tuple[Any, ...]:
        end = self.ended.get(key)
        if end is None:
            return ()
        parts = (end.queueing_ns, end.batching_ns, end.compute_ns, end.transfer_ns)
        # The parts of the time of other requests are in no result.
        return end.outcome, end.ended_ns, parts if end.outcome == COMPLETED else ()


class Meter:
    """The bill as the integral of what is occupied, independent of the world's own bill."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bill_usd, self.egress_usd = 0.0, 0.0
        self.query_usd: dict[int, float] = {}
        self._until_ns = 0
        self._per_hour: tuple[float, Mapping[int, float]] = 0.0, {}
        self.look()

    def integrate(self) -> None:
        """Add what was occupied since the last change."""
        hours = (self.world.env.now - self._until_ns) / NS_PER_HOUR
        self._until_ns = self.world.env.now
        assert hours >= 0, "clocks never go back"
        self.bill_usd += hours * self._per_hour[0]
        for query, usd in self._per_hour[1].items():
            self.query_usd[query] = self.query_usd.get(query, 0.0) + hours * usd

    def look(self) -> None:
        """Note what is occupied from now on."""
        bill, queries = 0.0, dict[int, float]()
        for machine in self.world.machines.all():
            node = machine.node
            if not (machine.up and (machine.standby or machine.slots)):
                continue
            bill += node.price_usd_per_hour
            for slot in machine.slots:
                price = node.core_price_usd_per_hour
                if slot.instance is not None:
                    share = slot.need.thread_percent / 100
                    price = share * node.slice_price_usd_per_hour(slot.instance.profile)
                members = self.world.machines.holders[slot].members.values()
                total = sum(member.work for member in members)
                for member in members:
                    part = member.work / total if total else 1 / len(members)
                    queries[member.query] = queries.get(member.query, 0.0) + price * part
        self._per_hour = bill, queries

    def charge(self, query: int, usd: float) -> None:
        """Add egress."""
        assert usd > 0
        self.egress_usd += usd
        self.bill_usd += usd
        self.query_usd[query] = self.query_usd.get(query, 0.0) + usd

    def compare(self) -> None:
        """Compare with the world's bill, which was settled just now."""
        self.integrate()
        billing = self.world.billing
        assert billing.bill_usd == pytest.approx(self.bill_usd, rel=1e-9, abs=1e-12)
        attributed = billing.attributed_usd
        assert sum(attributed.values()) + billing.idle_usd == pytest.approx(
            billing.bill_usd, rel=1e-9, abs=1e-12
        )
        for query in {*attributed, *self.query_usd}:
            assert attributed.get(query, 0.0) == pytest.approx(
                self.query_usd.get(query, 0.0), rel=1e-9, abs=1e-12
            ), f"query {query} pays for what it holds"


class Witness(World):
    """A world of a script that notes requests, deployments and money."""

    planner: Scripted

    def __init__(
        self,
        script: Script,
        plane: Callable[[Recorder], DataPlane],
        log: ProfilingLog | None = None,
    ) -> None:
        self.ledger, self.script, self.plane = Ledger(), script, plane
        self.deployed: dict[int, Deployment] = {}
        self.states: dict[int, QueryState] = {}
        self.spells: dict[int, list[tuple[int, int | None]]] = {}
        self.frames: dict[str, pl.DataFrame] = {}
        super().__init__(
            script.scenario(), Scripted(script), script.seed, plane, log, [self.ledger]
        )
        self.meter = Meter(self)
        for name in ("join", "leave", "fail", "fail_instance", "recover", "keep_standby"):
            self._watch(self.machines, name, self.meter.integrate, self._changed)
        self._watch(self.billing, "settle", lambda: None, self.meter.compare)
        charge, deploy, arrive = self.billing.charge, self.monitor.deploy, self.registry.arrive

        def arrived(state: QueryState) -> None:
            self.states[state.query.id] = state
            arrive(state)

        def charged(query: int, usd: float) -> None:
            self.meter.charge(query, usd)
            charge(query, usd)

        def noted(query: int, deployment: int | None, now_ns: int, *args: Any) -> None:
            self.spells.setdefault(query, []).append((now_ns, deployment))
            deploy(query, deployment, now_ns, *args)

        self.registry.arrive = arrived  # type: ignore[method-assign]
        self.billing.charge = charged  # type: ignore[method-assign]
        self.monitor.deploy = noted  # type: ignore[method-assign]

    @staticmethod
    def _watch(of: Any, name: str, before: Callable[[], None], after: Callable[[], None]) -> None:
        do = getattr(of, name)

        def watched(*args: Any) -> Any:
            before()
            result = do(*args)
            after()
            return result

        setattr(of, name, watched)

    def _changed(self) -> None:
        check_capacity(self.machines)
        self.meter.look()

    def activate(self, state: QueryState, deployment: Deployment) -> Any:
        self.deployed[deployment.number] = deployment
        return super().activate(state, deployment)

    def take(self) -> None:
        """Add the rows written since the last call to ``frames``."""
        for name, frame in self.tables.take().items():
            before = [self.frames[name]] if name in self.frames else []
            self.frames[name] = pl.concat([*before, frame])
