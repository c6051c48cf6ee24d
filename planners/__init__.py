"""Query planners: policies on the planning desk.

They import the planning interface, ``sim`` and what it is made of, and nothing of the world behind.
"""

from planners.chameleon import Chameleon
from planners.cheapest_feasible import CheapestFeasible
from planners.cherrypick import CherryPick
from planners.compass.compass import Compass
from planners.greedy import Greedy
from planners.ilp import ILP
from planners.infaas import INFaaS
from planners.jellybean import JellyBean
from planners.random_feasible import RandomFeasible
from planners.static_plan import StaticPlan
from planners.videostorm import VideoStorm
from planners.vulcan import Vulcan

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
    "StaticPlan",
    "VideoStorm",
    "Vulcan",
]
