"""The simulated world, and the interface that planners plug into.

A planner needs only the names below; everything else in this package is the world's own.
"""

from sim.desk import Desk
from sim.plan import Allocation, Plan
from sim.planner import Planner
from sim.prediction import Prediction
from sim.profiling import Estimate

__all__ = ["Allocation", "Desk", "Estimate", "Plan", "Planner", "Prediction"]
