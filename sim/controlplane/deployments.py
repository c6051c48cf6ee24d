"""The life cycle of deployments: reserved, loading, active, draining, ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scenarios.cluster import Cluster
from sim.api.plan import Plan
from sim.clock import Clock, ns
from sim.cluster.billing import Billing
from sim.cluster.machines import Machines, StationDemand
from sim.cluster.members import Member
from sim.cluster.preparing import boot, prepare
from sim.cluster.queries import Deployment, QueryState
from sim.controlplane.routing import RouteBuilder
from sim.controlplane.usage import Usage
from sim.dataplane.base.interface import DataPlane


class NoRoomError(Exception):
    """The cluster refuses a deployment; the message gives the reason."""


@dataclass
class Deployments:
    """All deployments of a run, and the resources that they use."""

    clock: Clock  # the clock of the control plane
    cluster: Cluster
    machines: Machines
    billing: Billing
    routes: RouteBuilder
    data: DataPlane
    usage: Usage
    _made: int = 0
    _draining: list[Deployment] = field(default_factory=list)

    def reserve(
        self, state: QueryState, plan: Plan, demands: Sequence[StationDemand], backhaul_up_s: float
    ) -> Deployment:
        """Reserve the resources of a plan, and return its deployment, which begins to load models.

        ``backhaul_up_s`` is the transmission time of a request on the backhaul to the cloud, in
        seconds.

        Raises:
            NoRoomError: the cluster has no room for the plan now.
        """
        now = self.clock.now
        self.billing.settle(now)
        got = self.machines.join(self._made, state.query.id, demands)
        if isinstance(got, str):
            raise NoRoomError(got)
        for station, new in got:
            if new:
                prepare(self.cluster, station, now)
                self.routes.add_station(state, station, plan)
        if backhaul_up_s:
            query, rate = state.query.id, state.query.requests_per_s
            self.machines.backhaul.join(self._made, Member(query, rate, rate * backhaul_up_s))
        stations = [station for station, _ in got]
        ready_ns = max(now, *(station.ready_ns for station in stations))
        deployment = Deployment(self._made, state.query.id, plan, stations, ready_ns)
        self._made += 1
        self.usage.reserve(deployment, now)
        return deployment

    def keep_standby(self, node: str, count: int) -> bool:
        """Let ``count`` machines of a node be on standby; return whether this changes anything.

        Machines that were not rented begin to boot, and are billed from now on. Those that leave
        are billed while they are used.
        """
        now = self.clock.now
        self.billing.settle(now)
        moved = self.machines.keep_standby(node, count)
        for machine in moved:
            if machine.rented and not machine.slots:
                boot(self.cluster, machine, now)
            self.usage.note(machine, now)
        return bool(moved)

    def drain(self, deployment: Deployment) -> None:
        """Let a replaced deployment finish its requests; until then, it is still billed."""
        deployment.drain_until_ns = self.clock.now + ns(self.cluster.drain_timeout_s)
        self.usage.drain(deployment, self.clock.now)
        self._draining.append(deployment)

    def leave(self, deployment: Deployment) -> None:
        """Release a deployment's resources."""
        now = self.clock.now
        self.billing.settle(now)
        for station in self.machines.leave(deployment.number, deployment.stations, now):
            self.data.remove_station(station.id)
        self.usage.leave(deployment, now)

    def end_draining(self) -> None:
        """Release the resources of drained deployments; abort those that take too long."""
        now, still = self.clock.now, []
        for deployment in self._draining:
            if self.data.in_flight(deployment.number) == 0:
                self.leave(deployment)
                continue
            assert deployment.drain_until_ns is not None
            if now >= deployment.drain_until_ns:
                self.data.abort(now, deployment.number)
            still.append(deployment)
        self._draining = still
