"""Compiles the code that runs need before they start, in two parallel processes.

A second process compiles the block data plane in a short run of its own. Meanwhile, this process
runs the planners on the event data plane, which needs little compilation.
"""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from omegaconf import DictConfig, OmegaConf

from lab.config.compose import compose, set_up
from lab.runs import runner
from scenarios import compiled
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

COMPILING_S = 120.0
"""Simulated seconds until all code is compiled: some queries arrive, are planned and served."""
COMPILE_BLOCKS = "from lab.runs.warm_up import compile_blocks; compile_blocks()"


def compile_blocks() -> None:
    """Compile the block data plane in a short run with a planner that needs little compilation."""
    overrides = ["experiment=speech_small", "planner=cheapest_feasible", "horizon_s=30"]
    setup = set_up(compose(overrides), overrides)
    for name, planner in setup.planners.items():
        runner.simulate(setup, name, planner, [])


def warm_up(runs: Iterable[tuple[Sequence[str], DictConfig]]) -> None:
    """Compile the code for runs, given by overrides and configuration, if none is compiled yet."""
    if not compiled.is_cold():
        return
    blocks = None
    try:
        for overrides, config in runs:
            short = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            short.horizon_s = min(short.horizon_s, COMPILING_S)
            try:
                setup = set_up(short, overrides)
                if getattr(setup.data_plane, "func", None) is BlocksPlane:
                    blocks = blocks or subprocess.Popen([sys.executable, "-c", COMPILE_BLOCKS])
                    setup = replace(setup, data_plane=EventsPlane)
                for name, planner in setup.planners.items():
                    runner.simulate(setup, name, planner, [])
            except Exception:
                continue  # The run itself reports the error.
    finally:
        if blocks:
            blocks.wait()
