"""Query planners: policies on the planning desk.

They import the planning interface (``sim``) and nothing else of the world.
"""

from planners.cheapest_feasible import CheapestFeasible
from planners.videostorm import VideoStorm

__all__ = ["CheapestFeasible", "VideoStorm"]
