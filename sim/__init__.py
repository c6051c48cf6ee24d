"""The simulated world, and the interface that planners implement and call.

A planner needs only the names that this module exports; the rest of the package is internal.
"""

import warnings
from typing import TYPE_CHECKING, Any

from scenarios.queries import Query
from scenarios.slo import SLO
from sim.api.bulk import BulkOperations
from sim.api.choices import Choices
from sim.api.context import PlanningContext
from sim.api.errors import PlannerError
from sim.api.estimate import Estimate
from sim.api.gpu_layouts import gpu_layouts
from sim.api.plan import CORE, Allocation, Plan
from sim.api.plan_view import PlanView, StationKind
from sim.api.planner import Planner
from sim.api.prediction import Prediction
from sim.api.truth import Truth
from sim.api.window_report import WindowReport
from sim.api.world_state import WorldState
from sim.conformance.check_planner import PlannerCheckError, check_planner

__all__ = [
    "CORE",
    "SLO",
    "Allocation",
    "BulkOperations",
    "Choices",
    "Estimate",
    "Plan",
    "PlanView",
    "Planner",
    "PlannerCheckError",
    "PlannerError",
    "PlanningContext",
    "Prediction",
    "Query",
    "StationKind",
    "Truth",
    "WindowReport",
    "WorldState",
    "check_planner",
    "gpu_layouts",
]

if not TYPE_CHECKING:  # Type checkers would take every name for one of the module's.

    def __getattr__(name: str) -> Any:
        if name == "Desk":
            warnings.warn(
                "sim.Desk is now sim.PlanningContext; the old name goes with the next release",
                DeprecationWarning,
                stacklevel=2,
            )
            return PlanningContext
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
