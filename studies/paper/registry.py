"""The figures, by their number in the paper, in its order."""

from collections.abc import Mapping

from studies.common.finding import Figure
from studies.paper.figures import (
    cost,
    encodings,
    goodput,
    histories,
    load,
    parts,
    planning_time,
    profiling_cost,
    replanning,
    response,
    settle,
    slow_search,
    surrogate_errors,
    tiers,
    users,
)

FIGURES: Mapping[str, Figure] = {
    "2": users,
    "4": slow_search,
    "8": surrogate_errors,
    "10": goodput,
    "11": cost,
    "12": response,
    "13": profiling_cost,
    "14a": parts,
    "14b": planning_time,
    "15": load,
    "16": tiers,
    "17": replanning,
    "17-histories": histories,
    "18": encodings,
    "settle": settle,
}

SAME_AS = {"19": "10", "20": "10", "21": "10"}
"""Figures that are parts of another one here."""
