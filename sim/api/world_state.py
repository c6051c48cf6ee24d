"""The part of the planning context that describes the world."""

from collections.abc import Mapping
from typing import Protocol

from scenarios.applications.pipeline import Pipeline
from scenarios.cluster import Cluster
from scenarios.queries import Query
from sim.api.plan import Plan


class WorldState(Protocol):
    """``context.world``: the application, the cluster, and deployed plans. Reading it is free."""

    @property
    def pipeline(self) -> Pipeline:
        """The application's operators, knobs and configurations."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets."""

    @property
    def cluster(self) -> Cluster:
        """Nodes, machines and prices."""

    def machines_up(self, node: str) -> int:
        """Return how many machines of a node work, that is, have not failed."""

    def free_cores(self, node: str) -> int:
        """Return the number of free cores on a node's machines that work."""

    def free_instances(self, node: str, profile: str) -> int:
        """Return how many more GPU instances of a profile could be created on a node now."""

    @property
    def last_release_s(self) -> float | None:
        """Last time a deployment released resources or a machine recovered, in s, or None."""

    @property
    def plans(self) -> Mapping[int, Plan]:
        """The plan of each query that has one, by id; see ``context.plan_of``."""

    @property
    def loading(self) -> Mapping[int, Plan]:
        """Plans that are being loaded, by query id; a new order cancels the loading."""

    def active_since_s(self, query: Query) -> float | None:
        """Return the time in seconds when a query's active plan became active; None without one."""

    def refusal(self, query: Query, plan: Plan) -> str | None:
        """Return the reason why no machines can ever serve a query by a plan; None if some can."""

    def capacity_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        """Return, per operator, the ratio of the server time of a request to its profiled time.

        For language models, it is below the latency factor, because an engine serves several
        requests at once.
        """
