"""Compiles the code for the first runs in two parallel processes, or makes this unnecessary.

A second process compiles the block data plane in a short run of its own. Meanwhile, this process
runs the planners on the event data plane, which needs little compilation. A small run does not need
the block data plane at all, because both planes give the same tables.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from omegaconf import DictConfig, OmegaConf

from lab.common.orphans import end_with
from lab.config.compose import Setup, compose, set_up
from lab.config.targets import ROOT
from lab.runs import runner
from scenarios import compiled
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

BLOCKS = "sim.dataplane.blocks"

COMPILING_S = 120.0
"""Simulated seconds in which some queries arrive and are served, so that all code is compiled."""
FEW_REQUESTS = 50_000
"""A run with at most this many requests ends before the block data plane would be compiled.

On the event data plane, each request takes 50 microseconds more
(`python -m benchmarks data_plane`). Compiling the block data plane takes half a minute.
"""
COMPILE_BLOCKS = (
    # The path would begin with the current directory, which can have modules of any name.
    f"import sys; sys.path[:] = [*filter(None, sys.path), {str(ROOT)!r}]; "
    "from lab.runs.warm_up import compile_blocks; compile_blocks({parent})"
)
"""Code for the second process; the number of the process that starts it is filled in."""


def compile_blocks(parent: int | None = None) -> None:
    """Compile the block data plane in a short run with a planner that needs little compilation.

    With the number of its parent process, this process ends when that one does.
    """
    if parent is not None:
        end_with(parent)
    overrides = ["experiment=speech_small", "planner=cheapest_feasible", "horizon_s=30"]
    setup = set_up(compose(overrides), overrides)
    for name, planner in setup.planners.items():
        runner.simulate(setup, name, planner, [])


def ready(
    setup: Setup, overrides: Sequence[str], config: DictConfig, of_a_sweep: bool = False
) -> Setup:
    """Compile what a run needs; return its setup, on the event data plane if that starts sooner."""
    cold = not of_a_sweep and compiled.is_cold(BLOCKS) and _uses_blocks(setup)
    if cold and _requests(setup) <= FEW_REQUESTS:
        return replace(setup, data_plane=EventsPlane)
    warm_up([(overrides, config)])
    return setup


def _requests(setup: Setup) -> float:
    """Return roughly how many requests the runs of all planners have together."""
    scenario = setup.scenario()
    workload = scenario.workload
    lifetime_s = min(workload.lifetime_mean_s, scenario.horizon_s)
    queries = workload.rate * scenario.horizon_s
    return queries * lifetime_s * scenario.application.requests_per_s * len(setup.planners)


def _uses_blocks(setup: Setup) -> bool:
    return getattr(setup.data_plane, "func", None) is BlocksPlane


def warm_up(runs: Iterable[tuple[Sequence[str], DictConfig]]) -> None:
    """Compile the code for runs, unless the block data plane is compiled already."""
    if not compiled.is_cold(BLOCKS):
        return
    nothing_compiled = compiled.is_cold("sim")
    blocks = None
    try:
        for overrides, config in runs:
            short = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            short.horizon_s = min(short.horizon_s, COMPILING_S)
            try:
                setup = set_up(short, overrides)
                if _uses_blocks(setup):
                    code = COMPILE_BLOCKS.replace("{parent}", str(os.getpid()))
                    blocks = blocks or subprocess.Popen([sys.executable, "-c", code])
                    setup = replace(setup, data_plane=EventsPlane)
                elif not nothing_compiled:
                    continue
                for name, planner in setup.planners.items():
                    runner.simulate(setup, name, planner, [])
            except Exception:
                continue  # The run itself reports the error.
    except BaseException:
        if blocks:
            blocks.kill()
        raise
    finally:
        if blocks:
            blocks.wait()
