"""Runs in directories that can be forked, and the directory of a fork."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.common.errors import InputError
from lab.config.compose import Setup, compose, set_up
from lab.config.targets import build
from lab.limits.wall_limit import KEYS
from lab.runs.api import Result, result_of
from lab.runs.run_directory import (
    CONFIG,
    FORK,
    RunDirectory,
    claim,
    load_config,
    read_run_summary,
    write_aside,
)
from lab.runs.runner import ShowProgress
from lab.version import version_mismatch
from sim.api.planner import Planner
from sim.controlplane.recording import Recorder
from sim.metrics.results import SCHEMAS

SAME = ("queries", "deployments", "service_goodput_mean", "total_cost_usd")
"""Numbers of the summary that a repeated run must have again."""


def setup_of(run: Path) -> Setup:
    """Return what repeats a finished run; raise InputError if it is unfinished, or a fork."""
    if (run / FORK).exists():
        raise InputError(
            f"RUN={run}: is a fork, which its configuration alone does not repeat; name the run "
            f"that it continues, see {FORK} there"
        )
    status = read_run_summary(run)["status"]
    if status != "finished":
        raise InputError(f"RUN={run}: has status {status}; a finished run is needed")
    config = load_config(run / CONFIG)
    for key in KEYS:
        config.setdefault(key, None)
    return set_up(config, ())


def repeated(run: Path, progress: ShowProgress = lambda _: None) -> Result:
    """Simulate a finished run again, so that it can be forked; can raise InputError."""
    setup, there = setup_of(run), read_run_summary(run)
    recorder = Recorder()
    result = result_of(setup, recorder=recorder, progress=progress)
    different = [name for name in SAME if there.get(name) != result.summary[name]]
    if different:
        why = version_mismatch(there.get("versions"), finished=True) or "repeat the run"
        raise InputError(
            f"RUN={run}: cannot be repeated: {different[0]} is {there.get(different[0])} there and "
            f"{result.summary[different[0]]} here; {why}"
        )
    return result


def planner_named(name: str) -> Planner:
    """Return the planner of an option of the group ``planner``; raise InputError if there is none.

    Such an option is a name like ``videostorm``.
    """
    node: Any = OmegaConf.to_container(compose([f"planner={name}"]).planner)
    if node.get("_target_") is None:
        raise InputError(f"planner={name}: compares several planners; name one")
    node.pop("compare", None)
    planner: Planner = build(node, "planner", Planner)
    return planner


def write_fork(result: Result, directory: Path, about: Mapping[str, Any]) -> None:
    """Write a fork as a run directory, with what it continues; raise InputError if it is taken."""
    claim(directory, "--out")
    assert result.recorded is not None
    written = RunDirectory(directory, result.recorded.setup.saved)
    write_aside(directory / FORK, json.dumps(dict(about), indent=2) + "\n")
    written.add({name: getattr(result, name) for name in SCHEMAS}, result.summary)
