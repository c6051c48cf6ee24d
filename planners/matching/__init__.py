"""Query-plan matching: at most one plan for each query, within the capacity of shared pools."""

from planners.matching.matching import Matching, match
from planners.matching.problem import Cards, Demand, Problem, Supply

__all__ = ["Cards", "Demand", "Matching", "Problem", "Supply", "match"]
