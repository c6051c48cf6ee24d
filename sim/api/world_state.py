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
        """The cluster's nodes, machines and prices."""

    def machines_up(self, node: str) -> int:
        """Return the number of a node's machines that have not failed."""

    def machines_used(self, node: str) -> int:
        """Return the number of a node's machines that have deployments, even if these drain."""

    def machines_on_standby(self, node: str) -> int:
        """Return the number of a node's machines that are rented even if nothing uses them.

        Machines that have failed are included, although they are not billed.
        """

    def free_cores(self, node: str) -> int:
        """Return the number of free cores on a node's machines that work."""

    def free_instances(self, node: str, profile: str) -> int:
        """Return the number of GPU instances of a profile that a node has room for now."""

    @property
    def profiling_wait_s(self) -> float:
        """Seconds for which the search of a query without a plan would wait for a lane now."""

    @property
    def background_lanes(self) -> int:
        """The number of searches of queries with plans that would get a profiling lane now.

        In a pool, these are the free lanes; a search beyond them measures nothing. If profiling is
        free, these are all lanes, because such searches wait like others.
        """

    @property
    def last_release_s(self) -> float | None:
        """The last time at which resources were released or a machine recovered, in s, or None."""

    @property
    def plans(self) -> Mapping[int, Plan]:
        """The plan of each query that has a plan, by query id; see ``context.plan_of``."""

    @property
    def loading(self) -> Mapping[int, Plan]:
        """Plans that are being loaded, by query id; a new order cancels the loading."""

    def active_since_s(self, query: Query) -> float | None:
        """Return the time at which a query's active plan became active, in seconds, or None."""

    def refusal(self, query: Query, plan: Plan) -> str | None:
        """Return why no machines could ever run a plan for a query, or None if some could."""

    def capacity_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        """Return, for each operator, the server time of a request divided by its profiled time.

        For a language model, this ratio is below the latency factor, because an engine serves
        several requests at once.
        """
