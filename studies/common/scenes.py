"""The scenes of the evaluation: applications, sizes, and clusters, fixed before any planner runs.

*Limited* clusters have as many cloud GPUs as the least demand needs (`lab.analysis.sizing`), and
one L4 machine at the edge site per hundred queries. Goodput is measured in these clusters.
*Unlimited* clusters have more machines than any planner could use, and a machine is rented only
while in use. Cost and response time are measured in these clusters. Each scene starts without
queries. Queries stay for ten minutes on average, and runs last an hour, as in the paper. Goodput is
measured in the second half, when the number of queries is steady.

Planners profile in a pool of rented boards, four for every 25 queries (`boards`), and pay for them.
The paper does not give the number of its profiling machines, which matters for planners that use up
their budget: `studies.experiments.profiling_limits` and the atlas vary it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, exp

from lab.analysis.sizing import ClusterDemand, demand, limited_gpus
from lab.common.errors import InputError, choices
from lab.common.options import planner_names

BACKHAUL_BPS_PER_QUERY = 1e7
"""Capacity of a site's uplink per query; like the machines, the uplink grows with the queries."""

BOARDS_PER_LANE, PER_LANE = 4, 25
"""Boards that a search profiles on, and the number of queries that share them."""

LIFETIME_S = 600.0
PER_EDGE_MACHINE = 100


@dataclass(frozen=True)
class Size:
    """The number of queries of a scene, and the scene's length in simulated seconds."""

    queries: int  # expected number of living queries at the end
    horizon_s: float  # simulated seconds

    @property
    def rate(self) -> float:
        """Arrivals per second that lead from no query to this number of queries at the end."""
        return self.queries / (LIFETIME_S * (1 - exp(-self.horizon_s / LIFETIME_S)))


SIZES = {"small": Size(100, 3600.0), "large": Size(1600, 3600.0)}
QUICK = Size(12, 120.0)
APPLICATIONS = {"speech": "speech_recognition", "tracking": "visual_tracking"}
CLUSTERS = ("limited", "unlimited")
OPTIMUM = "ilp"
AT_LEAST_COST = {"compass": "compass_cost"}
"""Planners with a mode for unlimited clusters, and the name of the planner file that sets it."""


def boards(queries: float) -> int:
    """Return the number of boards in the profiling pool: a lane of four for every 25 queries."""
    return BOARDS_PER_LANE * max(1, ceil(queries / PER_LANE))


@cache
def demand_of(application: str) -> ClusterDemand:
    """Return the average demand of a query of an application."""
    return demand((f"application={APPLICATIONS[application]}", "planner=videostorm"))


def scene(application: str, size: Size, cluster: str) -> tuple[str, ...]:
    """Return the overrides for one of `APPLICATIONS` at some size on one of `CLUSTERS`."""
    if cluster == "limited":
        edge = standby = max(1, size.queries // PER_EDGE_MACHINE)
        cloud = limited_gpus(size.queries, demand_of(application))
    else:
        edge, cloud, standby = size.queries, 2 * size.queries, 0
    return (
        f"application={APPLICATIONS[application]}",
        "cluster=small",
        f"horizon_s={size.horizon_s:g}",
        f"workload.rate={size.rate:.6g}",
        f"workload.lifetime_mean_s={LIFETIME_S:g}",
        f"cluster.nodes.edge.count={edge}",
        f"cluster.nodes.edge.standby={standby}",
        f"cluster.nodes.cloud.count={cloud}",
        f"cluster.profiling.count={boards(size.queries)}",
        f"network.backhaul_bps={BACKHAUL_BPS_PER_QUERY * size.queries:g}",
    )


def planner_of(name: str, cluster: str) -> str:
    """Return the override that chooses a planner, in the mode that suits the cluster."""
    return f"planner={AT_LEAST_COST.get(name, name) if cluster == 'unlimited' else name}"


def available(planners: Sequence[str]) -> tuple[str, ...]:
    """Check planners; raise InputError for a name that is not one planner of ``conf/planner``."""
    known = planner_names()
    for name in planners:
        if name not in known:
            raise InputError(f"--planners {name}: there is no such planner; {choices(name, known)}")
    return tuple(planners)


def up_to_optimum(planners: Sequence[str]) -> tuple[str, ...]:
    """Return the planners, followed by the optimum; see `available` for errors."""
    return available([*(name for name in planners if name != OPTIMUM), OPTIMUM])
