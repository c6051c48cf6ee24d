"""What a kept run is known by: all that its result depends on, and nothing else."""

from evaluation.grid import Job
from evaluation.measures import totals

SCENE = ("experiment=speech_small", "horizon_s=60", "planner=static_plan")


def key(*overrides: str) -> str:
    return Job((*SCENE, *overrides), 0, totals).key


def test_a_mapping_that_is_set_whole_is_told_from_one_that_is_added_to() -> None:
    """Composed, both are the same; a run then takes the former for all that there is."""
    assert key("network.technologies={WiFi: 1}") != key("+network.technologies={WiFi: 1}")
    assert key("network.technologies={WiFi: 1}") == key("network=wifi")


def test_a_run_without_a_planner_is_known_by_the_default() -> None:
    scene = SCENE[:-1]
    assert Job(scene, 0, totals).key == Job((*scene, "planner=cheapest_feasible"), 0, totals).key
