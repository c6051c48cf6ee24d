"""The part of the planning context that describes the world."""

from collections.abc import Mapping
from typing import Protocol

from scenarios.applications.pipeline import Pipeline
from scenarios.cluster import Cluster
from scenarios.queries import Query
from sim.api.plan import Plan


class WorldState(Protocol):
    """``context.world``: the application, the cluster, and what is deployed. Nothing is charged."""

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
        """Return how many machines of a node are up."""

    def free_cores(self, node: str) -> int:
        """Return the free cores of a node's machines that are up."""

    def free_instances(self, node: str, profile: str) -> int:
        """Return how many more GPU instances of a profile a node could create."""

    @property
    def last_release_s(self) -> float | None:
        """When a deployment last released resources or a machine recovered, in seconds, or None."""

    @property
    def plans(self) -> Mapping[int, Plan]:
        """The plan of each query that has one, by id; see ``context.plan_of``."""

    @property
    def loading(self) -> Mapping[int, Plan]:
        """Plans that are being loaded, by query id. Another order discards what was loaded."""

    def active_since_s(self, query: Query) -> float | None:
        """Return since when a query's active plan serves it, in seconds; None without one."""

    def refusal(self, query: Query, plan: Plan) -> str | None:
        """Return why no machines could ever serve a query by a plan, or None."""

    def capacity_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        """Return per operator the server time of a request over its profiled time.

        It is below the latency factor for language models, which serve requests concurrently.
        """
