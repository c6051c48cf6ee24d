"""Figures of a few small runs, to notice a change of any decision: of Compass and of the world.

Their world is smooth. Unlike the hashes of ``tests.golden.tables``, these hold on every processor,
and take seconds.

    python -m tests.golden.decisions            compare with the record
    python -m tests.golden.decisions --write    record anew
"""

import json
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl
import scipy.linalg  # noqa: F401 -- limits hold for libraries that are loaded
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1]))

from worlds import BRANCHED, At, run, smooth, smooth_network

from planners import Compass
from planners.compass.search.planning_model import PlanningModel
from planners.compass.search.search import CmboSearch
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim import Choices
from sim.controlplane.world import World

RECORD = Path(__file__).with_suffix(".json")
DIGITS = 1e-6
"""Relative tolerance: processors differ by some 1e-12."""

Figures = dict[str, list[float] | str]

NODES = {
    "edge": Node("edge", "g2-standard-8", standby=1),
    "cloud": Node("cloud", "a2-highgpu-1g", count=2, boot_s=5.0),
}
DRIFT = Drift(
    [
        DriftEvent("device_slowdown", at_s=40, factor=0.3),
        DriftEvent("content_shift", at_s=60, factor=0.6),
        DriftEvent("machine_failure", at_s=75, node="cloud", machine=0, duration_s=30),
        DriftEvent("link_degradation", at_s=90, factor=0.1, share=0.5),
        DriftEvent("planner_crash", at_s=110, duration_s=5),
        DriftEvent("mps_fault", at_s=125, node="cloud", machine=0),
    ]
)
SPEECH = {
    "hard": Tier(1.0, 2.0, 0.97),
    "easy": Tier(1.0, 4.0, 0.8),
    "cheap": Tier(1.0, 6.0, 0.7, cost_usd_per_hour=0.4),
}


def arriving(count: int, gap_s: float, tiers: dict[str, Tier], life_s: float) -> Workload:
    """Return a workload of so many queries, one each ``gap_s``."""
    times = tuple(1.3 + gap_s * number for number in range(count))
    return Workload(
        arrivals=At(times), lifetime_mean_s=life_s, lifetime_min_s=life_s / 2, tiers=tiers
    )


def speech() -> World:
    """Speech recognition under all kinds of drift."""
    application = smooth("speech_recognition", window_s=40.0)
    work = arriving(24, 4.0, SPEECH, 90.0)
    return run(
        Scenario(
            application,
            Cluster(NODES, **NOMINAL),
            smooth_network(),
            work,
            drift=DRIFT,
            horizon_s=160.0,
        ),
        Compass(),
    )


def crowd() -> World:
    """Too many queries for one GPU that cannot be partitioned."""
    application = smooth("speech_recognition", window_s=40.0)
    tiers = {"easy": Tier(1.0, 2.0, 0.7), "hard": Tier(1.0, 2.0, 0.97)}
    work = arriving(12, 5.0, tiers, 400.0)
    one = {"edge": Node("edge", "g2-standard-8", standby=1)}
    return run(
        Scenario(application, Cluster(one, **NOMINAL), smooth_network(), work, horizon_s=120.0),
        Compass(),
        4,
    )


def tracking() -> World:
    """Object tracking on shared GPU instances, with batches and replicas."""
    choices = Choices(
        thread_percents=(50, 100), max_batches=(1, 4), max_wait_s=0.05, replicas=(1, 2)
    )
    planner = Compass(search=CmboSearch(model=PlanningModel(choices=choices)))
    work = arriving(6, 6.0, {}, 60.0)
    cluster = Cluster(NODES, **NOMINAL, discipline="edf", shed_late=True)
    return run(
        Scenario(
            smooth("visual_tracking"),
            cluster,
            smooth_network(),
            work,
            drift=DRIFT,
            horizon_s=100.0,
        ),
        planner,
    )


def coding() -> World:
    """Language models."""
    work = arriving(5, 15.0, {}, 200.0)
    network = smooth_network({"WiFi": 1.0, "4G-LTE": 1.0})
    return run(
        Scenario(
            smooth("code_generation"),
            Cluster(NODES, **NOMINAL),
            network,
            work,
            horizon_s=150.0,
        ),
        Compass(budget_s=20.0),
    )


def branched() -> World:
    """Operators that fork and join."""
    work = arriving(5, 8.0, {}, 100.0)
    return run(
        Scenario(
            smooth(BRANCHED), Cluster(NODES, **NOMINAL), smooth_network(), work, horizon_s=90.0
        ),
        Compass(),
    )


WORLDS: dict[str, Callable[[], World]] = {
    each.__name__: each for each in (speech, crowd, tracking, coding, branched)
}


def figures(world: World) -> dict[str, Figures]:
    """Return, by table and column, a hash of texts, or the sum of numbers and a weighted one."""
    found: dict[str, Figures] = {"world": {"errors": "; ".join(world.planner_errors)}}
    found["world"]["billed"] = [
        world.billing.owed_usd(0),
        world.planning_service.planning_charged_s,
    ]
    for name, frame in world.tables.take().items():
        columns = found[name] = {"rows": [float(frame.height)]}
        for column in frame:
            columns[column.name] = figure(column)
    return found


def figure(column: pl.Series) -> list[float] | str:
    """Return the hash of a column of texts, or sums of numbers that tell their order as well."""
    if column.dtype == pl.String:
        return blake2b(repr(column.to_list()).encode(), digest_size=6).hexdigest()
    values = column.cast(pl.Float64).to_numpy()
    known = np.isfinite(values)
    weights = 1 + np.arange(len(values)) % 97
    return [
        float(known @ weights),
        float(values[known].sum()),
        float((values * weights)[known].sum()),
    ]


def differences(kept: dict[str, Figures], found: dict[str, Figures]) -> list[str]:
    """Return the columns that differ from the record, by table."""
    names = [(table, column) for table in found for column in found[table]]
    return [
        f"{table}.{column}: {kept.get(table, {}).get(column)} -> {found[table][column]}"
        for table, column in names
        if not alike(kept.get(table, {}).get(column), found[table][column])
    ]


def alike(one: list[float] | str | None, other: list[float] | str) -> bool:
    """Return whether two figures are the same, but for the last digits."""
    if one is None or isinstance(one, str) or isinstance(other, str):
        return one == other
    return len(one) == len(other) and bool(np.allclose(one, other, rtol=DIGITS, atol=1e-9))


def main() -> int:
    """Compare with the record, or record anew."""
    threadpool_limits(limits=1, user_api="blas")  # as in a run
    made = {name: figures(world()) for name, world in WORLDS.items()}
    if "--write" in sys.argv[1:]:
        RECORD.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        return 0
    kept = json.loads(RECORD.read_text(encoding="utf-8"))
    lines = [f"{name}: {line}" for name in made for line in differences(kept[name], made[name])]
    print(*lines, sep="\n")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
