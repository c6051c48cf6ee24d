"""Time of an hour of the large scenario with a request per frame, without and with planning.

For the data plane alone, 1,600 queries with fixed plans send 30 frames per second each for an hour.
The time includes random draws and all statistics (see ``benchmarks/_tracking.py``). There are 173
million frames and 518 million station visits. The run with planning is the experiment
``tracking_frames_large``: queries come and go, with up to 1,600 at a time, and Compass plans them.
Results are collected every ten simulated minutes but not written. The machines have room for about
600 queries at a time. The frames of all other queries are generated but never served. Times are
processor seconds of a single thread, without compilation at first use.
"""

from time import process_time
from typing import Any

from benchmarks._tracking import QUERIES, STATION_VISITS, application, monitor, tracking
from lab.config.compose import compose, set_up
from lab.runs.runner import single_threaded
from sim.clock import NS_PER_S
from sim.controlplane.world import World
from sim.dataplane.base.interface import COMPLETED
from sim.dataplane.blocks.plane import BlocksPlane

HOUR_S = 3600
REPORT_S = 600
WARM_UP_S = 300.0
"""By then, a world like the timed one has compiled all code that is compiled at first use."""


class Timed(BlocksPlane):
    """The block data plane with a stopwatch."""

    spent_s = 0.0

    def advance(self, until_ns: int) -> None:
        """Move requests, and add the time that it takes."""
        started = process_time()
        super().advance(until_ns)
        self.spent_s += process_time() - started


def alone() -> dict[str, float]:
    """Return the time of an hour with fixed plans."""
    app = application()
    warm = tracking(BlocksPlane, monitor(app, 20), app, 20)
    warm.advance(2 * NS_PER_S)  # compiles
    counts = monitor(app, QUERIES)
    plane = tracking(BlocksPlane, counts, app, QUERIES)
    started = process_time()
    for second in range(1, HOUR_S + 1):
        plane.advance(second * NS_PER_S)
        counts.judge(second * NS_PER_S)
        if second % REPORT_S == 0:
            print(f"alone, {second} s: {process_time() - started:.1f} s", flush=True)
    spent_s = process_time() - started
    return {"data_plane_s": spent_s, "frames": counts.outcomes[COMPLETED]}


def planned() -> dict[str, float]:
    """Return the time of an hour of the experiment, also by part."""
    setup = set_up(compose(["experiment=tracking_frames_large"]), [])
    (planner,) = setup.planners.values()
    with single_threaded():
        World(setup.scenario(), planner, 1, Timed).run(WARM_UP_S)  # compiles
        world = World(setup.scenario(), planner, 0, Timed)
        plane = world.data
        assert isinstance(plane, Timed)
        started = process_time()
        for second in range(REPORT_S, HOUR_S + 1, REPORT_S):
            world.run(float(second))
            world.tables.take()
            print(
                f"planned, {second} s: {process_time() - started:.1f} s, including "
                f"{plane.spent_s:.1f} s of the data plane; {len(world.registry.living):,} queries, "
                f"{len(world.registry.running):,} running, "
                f"{world.monitor.outcomes[COMPLETED]:,} frames completed",
                flush=True,
            )
        return {
            "with_planning_s": process_time() - started,
            "its_data_plane_s": plane.spent_s,
            "its_frames_born": world.monitor.born_total,
            "its_frames_completed": world.monitor.outcomes[COMPLETED],
            "planner_errors": len(world.planner_errors),
        }


def measure() -> dict[str, Any]:
    """Return the figures."""
    figures = alone()
    visits_per_s = STATION_VISITS * figures["frames"] / figures["data_plane_s"]
    print(f"alone: {visits_per_s / 1e6:.1f} M station visits/s", flush=True)
    figures |= planned()
    return {"benchmark": "large"} | {key: round(value, 1) for key, value in figures.items()}
