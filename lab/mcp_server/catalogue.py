"""The tool that lists scenarios, planners, and the keys of a scenario."""

import shlex
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from lab.common.options import groups
from lab.config.allowed import unit_of
from lab.config.compose import compose
from lab.mcp_server import keys
from lab.mcp_server.answers import Answer, Place
from lab.mcp_server.tool_arguments import PLANNERS, SCENARIOS, ListScenarios


def list_scenarios(asked: ListScenarios, place: Place) -> Answer:
    """List scenarios and planners, or the keys of one scenario."""
    options = groups()
    numbers: dict[str, Any] = {
        "scenarios": {name: _about("experiment", name) for name in SCENARIOS},
        "planners": {name: _about("planner", name) for name in PLANNERS},
        "options": {name: options[name] for name in keys.GROUPS},
    }
    if asked.experiment is None:
        return Answer(
            answer="These scenarios can be run, by these planners. Ask for an experiment to see "
            "its keys, with their values and meanings.",
            numbers=numbers,
            command="compass-lab list",
            directory=str(place.directory),
        )
    words = [f"experiment={asked.experiment}"]
    tree: Any = OmegaConf.to_container(compose(words), resolve=True)
    found = {}
    for key in keys.hints():
        node: Any = tree
        for name in key.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        known = {"value": node, "unit": unit_of(key), "meaning": keys.meanings()[key]}
        found[key] = {name: one for name, one in known.items() if one not in ("", None)}
    return Answer(
        answer=f"{_about('experiment', asked.experiment)} Settings can set these keys; a key "
        "without a value is not set, or is of a node that the cluster lacks. The settings "
        f"{', '.join(keys.GROUPS)} choose one of their options.",
        numbers={"keys": found, "options": numbers["options"]},
        command=shlex.join(["compass-sim", *words, "--cfg", "job"]),
        directory=str(place.directory),
    )


def _about(group: str, name: str) -> str:
    """Return what the first comment of an option's file says of it."""
    lines = files("conf").joinpath(group, f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    said = (line.removeprefix("# ") for line in lines if line.startswith("# "))
    return next((line for line in said if not line.startswith("@package")), "")
