"""The guide to a scenario of one's own: its files are the example's, and the example runs."""

import re
from dataclasses import fields
from pathlib import Path

from lab import run
from scenarios.cluster import Node
from scenarios.drift import KINDS

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLE = DOCS / "examples" / "my_site"
PAGE = (DOCS / "how_to" / "a_scenario.md").read_text(encoding="utf-8")


def test_the_page_shows_the_files_of_the_example():
    shown = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.S | re.M)
    assert shown == [path.read_text(encoding="utf-8") for path in sorted(EXAMPLE.rglob("*.yaml"))]


def test_the_example_runs_with_its_machines_and_its_drift():
    overrides = [f"hydra.searchpath=['file://{EXAMPLE}']", "experiment=mine", "horizon_s=240"]
    result = run([*overrides, "planner=greedy"])
    assert result.scenario.cluster.nodes["edge"].standby == 2
    assert [event.kind for event in result.scenario.drift.events] == [
        "device_slowdown",
        "machine_failure",
    ]
    assert result.summary["requests"] > 100


def test_an_experiment_may_build_on_a_shipped_one():
    overrides = [f"hydra.searchpath=['file://{EXAMPLE}']", "experiment=more_users", "horizon_s=60"]
    result = run([*overrides, "planner=greedy"])
    scenario = result.scenario
    assert [event.kind for event in scenario.drift.events] == ["device_slowdown"]
    assert scenario.workload.rate == 0.2
    assert scenario.workload.lifetime_mean_s == 240.0  # of ``speech_small``


def test_all_keys_of_a_node_and_all_kinds_of_drift_are_listed():
    listed = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", PAGE, re.M)))
    assert listed == [*(each.name for each in fields(Node)), *KINDS]
