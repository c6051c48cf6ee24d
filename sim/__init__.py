"""The simulated world, and the interface that planners plug into.

A planner needs only the names below; everything else in this package is the world's own.
"""

from scenarios.queries import Query
from scenarios.slo import SLO
from sim.check_planner import PlannerCheckError, check_planner
from sim.desk import Desk
from sim.errors import PlannerError
from sim.gpu_layouts import gpu_layouts
from sim.plan import CORE, Allocation, Plan
from sim.plan_space import Choices
from sim.plan_view import PlanView, StationKind
from sim.planner import Planner
from sim.prediction import Prediction
from sim.profiling import Estimate
from sim.telemetry import WindowReport
from sim.truth import Truth

__all__ = [
    "CORE",
    "SLO",
    "Allocation",
    "Choices",
    "Desk",
    "Estimate",
    "Plan",
    "PlanView",
    "Planner",
    "PlannerCheckError",
    "PlannerError",
    "Prediction",
    "Query",
    "StationKind",
    "Truth",
    "WindowReport",
    "check_planner",
    "gpu_layouts",
]
