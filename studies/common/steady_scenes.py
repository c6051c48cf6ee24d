"""Scenes in steady state: an hour of one application at a stated load.

*Load* is demand over capacity. Demand is the number of cloud GPUs that all queries need with the
least work that is accurate enough (`lab.analysis.sizing`). Capacity is the number of cloud GPUs;
the L4 machines at the edge site, one per hundred queries at load 1, come on top. So at a load of 1
a planner that places perfectly serves nearly all queries, and above it some must miss their SLO.

The number of GPUs is whole. It is rounded, and the number of queries follows from it, so that the
load is exact. Queries arrive at a constant rate, stay ten minutes on average, and their number is
steady after `warm_up_s=auto`. The metrics of goodput begin there.

Links are those of devices at home. On the links of `network=mobile`, no planner meets the latency
bound of the class premium, and at high loads the best one would serve less than `JUDGED` allows.
"""

from dataclasses import dataclass

from lab.common.errors import InputError, choices
from studies.common.scenes import (
    APPLICATIONS,
    BACKHAUL_BPS_PER_QUERY,
    LIFETIME_S,
    PER_EDGE_MACHINE,
    boards,
    demand_of,
)

HOUR_S = 3600.0
QUERIES = {"small": 100, "large": 1600}
"""Expected number of living queries at each size, before GPUs are rounded to whole ones."""

LOADS = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5)
JUDGED = (0.30, 0.95)
"""Range of the share of time met by the best planner in which a scene can tell planners apart."""


@dataclass(frozen=True)
class SteadyScene:
    """A scene in steady state.

    Args:
        application: one of `studies.common.scenes.APPLICATIONS`.
        gpus: number of cloud GPUs.
        queries: expected number of living queries.
        load: their least demand over the number of cloud GPUs.
        overrides: the overrides that make it, without planner and seed.
    """

    application: str
    gpus: int
    queries: float
    load: float
    overrides: tuple[str, ...]


def steady_scene(
    application: str,
    size: str = "small",
    load: float = 1.0,
    horizon_s: float = HOUR_S,
    network: str = "home",
    others: tuple[str, ...] = (),
) -> SteadyScene:
    """Return a scene in steady state.

    Args:
        application: one of `studies.common.scenes.APPLICATIONS`.
        size: one of `QUERIES`.
        load: demand over capacity, above 0.
        horizon_s: length of the run in simulated seconds.
        network: a file of the group ``network``.
        others: further overrides, such as ``tiers=strict`` or ``drift=rate_surge``. They do not
            change the number of machines.

    Raises:
        InputError: an application or a size has no such name, or the load is not above 0.
    """
    for key, name, known in (
        ("application", application, tuple(APPLICATIONS)),
        ("size", size, tuple(QUERIES)),
    ):
        if name not in known:
            raise InputError(f"{key}={name}: there is no such {key}; {choices(name, known)}")
    if not load > 0:
        raise InputError(f"load={load}: must be above 0")
    least = demand_of(application).least_gpus
    gpus = max(1, round(QUERIES[size] * least / load))
    queries = load * gpus / least
    edge = max(1, round(queries / load / PER_EDGE_MACHINE))
    overrides = (
        f"application={APPLICATIONS[application]}",
        "cluster=small",
        f"network={network}",
        f"horizon_s={horizon_s:g}",
        "warm_up_s=auto",
        f"workload.rate={queries / LIFETIME_S:.6g}",
        f"workload.lifetime_mean_s={LIFETIME_S:g}",
        f"cluster.nodes.edge.count={edge}",
        f"cluster.nodes.edge.standby={edge}",
        f"cluster.nodes.cloud.count={gpus}",
        f"cluster.profiling.count={boards(queries)}",
        f"network.backhaul_bps={BACKHAUL_BPS_PER_QUERY * queries:g}",
        *others,
    )
    return SteadyScene(application, gpus, queries, load, overrides)


def judges(best_share: float) -> bool:
    """Return whether a scene tells planners apart, from the best planner's share of time met."""
    return JUDGED[0] <= best_share <= JUDGED[1]
