"""Checks of a run directory before a run is resumed in it."""

import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from lab.common.errors import shown
from lab.config.settings import REPORT
from lab.runs.run_directory import (
    CHECKPOINT,
    CONFIG,
    SUMMARY,
    TRACE,
    TRACE_PICTURE,
    TakenError,
    read_summary,
)
from lab.version import not_ours
from sim.metrics.request_table import REQUESTS
from sim.metrics.results import SCHEMAS

LEAVE_OUT = "leave out resume=true to start one"


def check_resumable(directory: Path, config: DictConfig, alone: bool) -> None:
    """Raise TakenError unless a directory holds a finished or resumable run of a configuration.

    The run must have the same configuration and versions, and a checkpoint. `alone`: whether the
    configuration has one planner.
    """
    where = f"hydra.run.dir={directory}"
    if not (directory / CONFIG).exists():
        raise TakenError(f"{where}: holds no run to resume; {LEAVE_OUT}")
    try:
        there = OmegaConf.to_container(OmegaConf.load(directory / CONFIG))
    except (OSError, YAMLError) as error:
        raise TakenError(f"{where}: its {CONFIG} cannot be read: {error}") from None
    here = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(config)))
    for each in (there, here):
        if isinstance(each, dict):
            each.pop("about", None)  # The purpose of an experiment; no result depends on it.
    if different := _difference(there, here):
        key, old, new = different
        raise TakenError(
            f"{where}: holds a run of another configuration: {key} is {old} there and {new} here; "
            "resume with the keys that it was started with"
        )
    check_versions(where, directory)
    if alone and not is_finished(directory) and not (directory / CHECKPOINT).exists():
        raise TakenError(
            f"{where}: holds no {CHECKPOINT} to resume from; name another directory to start anew"
        )


def check_versions(where: str, directory: Path) -> None:
    """Raise TakenError if the results in a directory are of other versions than those installed.

    Results without versions are older than this check and pass it.
    """
    try:
        summary = read_summary(directory)
    except (OSError, ValueError):  # There is none, or a failing machine cut it off.
        return
    for one in [summary] if "status" in summary else summary.values():
        if "versions" in one and (other := not_ours(one["versions"])):
            raise TakenError(f"{where}: cannot be resumed from: {other}")


def is_finished(directory: Path) -> bool:
    """Return whether a directory holds one planner's run that has reached its horizon."""
    try:
        return read_summary(directory).get("status") == "finished"
    except (OSError, ValueError):  # There is none, or a failing machine cut it off.
        return False


def clear(directory: Path) -> None:
    """Remove the results of one planner's unfinished run and their reports, not its checkpoint."""
    # The summary goes first, so that a kill leaves no run that seems to lack tables.
    for name in (SUMMARY, TRACE, TRACE_PICTURE):
        (directory / name).unlink(missing_ok=True)
    for table in (*SCHEMAS, REQUESTS, REPORT):
        shutil.rmtree(directory / table, ignore_errors=True)


def _difference(there: Any, here: Any, key: str = "") -> tuple[str, str, str] | None:
    """Return the first key whose values differ, with both values."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in [*there, *(name for name in here if name not in there)]:
            path = f"{key}.{name}" if key else str(name)
            if name not in there or name not in here:
                return path, _value(there, name), _value(here, name)
            if found := _difference(there[name], here[name], path):
                return found
        return None
    return None if there == here else (key, shown(there), shown(here))


def _value(node: dict[Any, Any], name: Any) -> str:
    return shown(node[name]) if name in node else "not set"
