"""The figures, by their number in the paper, in its order."""

from collections.abc import Mapping

from evaluation.paper import (
    encodings,
    goodput,
    histories,
    planning_time,
    profiling_cost,
    slow_search,
    surrogate_errors,
    users,
)
from evaluation.paper.figure import Figure

FIGURES: Mapping[str, Figure] = {
    "2": users,
    "4": slow_search,
    "8": surrogate_errors,
    "10": goodput,
    "13": profiling_cost,
    "14b": planning_time,
    "17-histories": histories,
    "18": encodings,
}

SAME_AS = {"19": "10", "20": "10", "21": "10"}
"""Figures that are parts of another one here."""
