"""All pictures of the pages on concepts, by the names of the pages.

That of the page on choosing a planner is not here: ``python -m studies.atlas`` draws it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from studies.concepts.applications import application_figures, applications
from studies.concepts.goodput import goodput
from studies.concepts.hardware import hardware
from studies.concepts.planning import planning
from studies.concepts.predictions import planning_bulk
from studies.concepts.searches import baselines, compass
from studies.concepts.stations import data_planes, queues
from studies.concepts.world import world

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "figures" / "concepts"

QUICK: Mapping[str, Callable[[Path], Path]] = {
    "world": world,
    "applications": applications,
    "application_figures": application_figures,
    "queues": queues,
    "data_planes": data_planes,
    "hardware": hardware,
    "planning": planning,
}
"""Pictures that need no run of a planner."""

PICTURES: Mapping[str, Callable[[Path], Path]] = {
    **QUICK,
    "goodput": goodput,
    "planning_bulk": planning_bulk,
    "compass": compass,
    "baselines": baselines,
}
"""All pictures; each function draws one to a path."""
