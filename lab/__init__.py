"""The commands, reports and comparisons on top of the simulator.

From Python::

    from lab import compare, run
    run(["workload.rate=0.2"]).summary
    compare([CheapestFeasible(), MyPlanner()], scenario="speech_small", seeds=10)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.api import Result, run
    from lab.comparison import compare

__all__ = ["Result", "compare", "run"]

_HOMES = {"Result": "lab.api", "compare": "lab.comparison", "run": "lab.api"}


def __getattr__(name: str) -> Any:
    """Import what is asked for only now, so that the commands' ``--help`` is quick."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lab' has no attribute {name!r}")
