"""The commands, reports and comparisons on top of the simulator.

From Python::

    from lab import compare, read_sweep, run
    run(["workload.rate=0.2"]).summary
    compare([CheapestFeasible(), MyPlanner()], scenario="speech_small", seeds=10)
    fork(run(["experiment=chat_small"], record=True), 120.0, Changes(machines={"cloud": 1}))
    read_sweep("multirun/example").runs
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.analysis.comparison import compare
    from lab.analysis.sweep_frames import Sweep, read_sweep
    from lab.forks.fork import Changes, fork
    from lab.runs.api import Result, run

__all__ = ["Changes", "Result", "Sweep", "compare", "fork", "read_sweep", "run"]

_HOMES = {
    "Changes": "lab.forks.fork",
    "Result": "lab.runs.api",
    "Sweep": "lab.analysis.sweep_frames",
    "compare": "lab.analysis.comparison",
    "fork": "lab.forks.fork",
    "read_sweep": "lab.analysis.sweep_frames",
    "run": "lab.runs.api",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, so that ``--help`` is fast."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lab' has no attribute {name!r}")
