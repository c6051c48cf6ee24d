"""The figures, by their number in the paper, in its order."""

from collections.abc import Mapping

from evaluation.paper import cost, goodput, load, parts, replanning, response, settle, tiers
from evaluation.paper.figure import Figure

FIGURES: Mapping[str, Figure] = {
    "10": goodput,
    "11": cost,
    "12": response,
    "14a": parts,
    "15": load,
    "16": tiers,
    "17": replanning,
    "settle": settle,
}

SAME_AS = {"19": "10", "20": "10", "21": "10"}
"""Figures that are parts of another one here."""
