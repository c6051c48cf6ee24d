"""An hour of the large scenario, every frame a request: the data plane alone, and with planning.

Alone, 1,600 queries with fixed plans send 30 frames a second each for an hour, with draws and all
statistics (see ``benchmarks/_tracking.py``): 173 million frames, 518 million station visits. With
planning, it is the experiment ``tracking_frames_large``: queries come and go, 1,600 at a time, and
Compass plans them. Results are collected every ten simulated minutes but not written. The machines
have room for some 600 queries at a time; frames of the others are born and end unserved. Times are
processor seconds of the one thread, without compilation at first use.
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
"""Until then, a world like the one that is timed has called all that is compiled at first use."""


class Timed(BlocksPlane):
    """The block data plane, with a stopwatch."""

    spent_s = 0.0

    def advance(self, until_ns: int) -> None:
        """Move requests, and note how long that takes."""
        started = process_time()
        super().advance(until_ns)
        self.spent_s += process_time() - started


def alone() -> dict[str, float]:
    """Return what an hour of fixed plans takes."""
    app = application()
    warm = tracking(BlocksPlane, monitor(app, 20), app, 20)
    warm.advance(2 * NS_PER_S)  # compiles
    told = monitor(app, QUERIES)
    plane = tracking(BlocksPlane, told, app, QUERIES)
    started = process_time()
    for second in range(1, HOUR_S + 1):
        plane.advance(second * NS_PER_S)
        told.judge(second * NS_PER_S)
        if second % REPORT_S == 0:
            print(f"alone, {second} s: {process_time() - started:.1f} s", flush=True)
    spent_s = process_time() - started
    return {"data_plane_s": spent_s, "frames": told.outcomes[COMPLETED]}


def planned() -> dict[str, float]:
    """Return what an hour of the experiment takes, and where the time goes."""
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
                f"planned, {second} s: {process_time() - started:.1f} s, of it the data plane "
                f"{plane.spent_s:.1f} s; {len(world.registry.living):,} queries, "
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
