"""Query planners: each one chooses a plan for every query through the planning context.

They import only the planning interface (``sim`` and its submodules), never the simulated world.
"""

from planners.baselines.chameleon import Chameleon
from planners.baselines.cherrypick import CherryPick
from planners.baselines.infaas import INFaaS
from planners.baselines.jellybean import JellyBean
from planners.baselines.videostorm import VideoStorm, VideoStormOnline
from planners.baselines.vulcan import Vulcan
from planners.compass.compass import Compass
from planners.reference.greedy import Greedy
from planners.reference.ilp import ILP
from planners.reference.random_feasible import RandomFeasible
from planners.reference.spare_machines import SpareMachines
from planners.teaching.cheapest_feasible import CheapestFeasible
from planners.teaching.static_plan import StaticPlan

__all__ = [
    "ILP",
    "Chameleon",
    "CheapestFeasible",
    "CherryPick",
    "Compass",
    "Greedy",
    "INFaaS",
    "JellyBean",
    "RandomFeasible",
    "SpareMachines",
    "StaticPlan",
    "VideoStorm",
    "VideoStormOnline",
    "Vulcan",
]
