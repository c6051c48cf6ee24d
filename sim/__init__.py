"""The simulated world, and the interface that planners plug into.

A planner needs only the names below; everything else in this package is the world's own.
"""

from scenarios.queries import Query
from scenarios.slo import SLO
from sim.api.errors import PlannerError
from sim.api.estimate import Estimate
from sim.api.gpu_layouts import gpu_layouts
from sim.api.plan import CORE, Allocation, Plan
from sim.api.prediction import Prediction
from sim.conformance.check_planner import PlannerCheckError, check_planner
from sim.metrics.telemetry import WindowReport
from sim.planning.context import PlanningContext
from sim.planning.plan_space import Choices
from sim.planning.plan_views import PlanView, StationKind
from sim.planning.planner import Planner
from sim.planning.truth import Truth

__all__ = [
    "CORE",
    "SLO",
    "Allocation",
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
    "check_planner",
    "gpu_layouts",
]
