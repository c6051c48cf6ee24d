"""The description of the world as planners get it: `WorldState` on top of the planning service."""

from collections.abc import Mapping
from types import MappingProxyType

from scenarios.applications.pipeline import Pipeline
from scenarios.cluster import Cluster
from scenarios.queries import Query
from sim.api.errors import PlannerError
from sim.api.plan import Plan
from sim.api.world_state import WorldState
from sim.clock import seconds
from sim.planning.call import Facet


class ServedWorld(Facet, WorldState):
    """The description of the world during one call."""

    _spelled = "context.world"

    @property
    def pipeline(self) -> Pipeline:
        return self._service.application.pipeline

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(self._service.application.datasets)

    @property
    def cluster(self) -> Cluster:
        return self._service.shown_cluster

    def machines_up(self, node: str) -> int:
        self._call.count()
        return self._service.machines.up[node]

    def free_cores(self, node: str) -> int:
        self._call.count()
        pool = self._service.machines.pools[node]
        return sum(machine.free_cores for machine in pool if machine.up)

    def free_instances(self, node: str, profile: str) -> int:
        self._call.count()
        return sum(machine.room_for(profile) for machine in self._service.machines.pools[node])

    @property
    def last_release_s(self) -> float | None:
        self._call.count()
        last_release_ns = self._service.machines.last_release_ns
        return None if last_release_ns is None else seconds(last_release_ns)

    @property
    def plans(self) -> Mapping[int, Plan]:
        self._call.count()
        return MappingProxyType(self._service.registry.plans)

    @property
    def loading(self) -> Mapping[int, Plan]:
        self._call.count()
        return MappingProxyType(self._service.registry.loading)

    def active_since_s(self, query: Query) -> float | None:
        self._call.count()
        state = self._service.registry.living.get(query.id)
        if state is None or state.active is None:
            return None
        return seconds(state.active_since_ns[state.active.number])

    def refusal(self, query: Query, plan: Plan) -> str | None:
        self._call.count()
        try:
            self._call.figures(query, plan)
        except PlannerError as error:
            return str(error)
        return None

    def capacity_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        self._call.count()
        services = self._call.figures(query, plan).services
        return tuple(service.factor * service.work_factor for service in services)
