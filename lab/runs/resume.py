"""Whether and where a run that broke off can go on."""

import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from lab.common.errors import shown
from lab.runs.run_directory import (
    CHECKPOINT,
    CONFIG,
    REPORT,
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
    """Check that a directory holds a run of a configuration that can go on, or has finished.

    Args:
        directory: the directory, of one planner's run or of a comparison.
        config: the configuration.
        alone: whether it is that of one planner.

    Raises:
        TakenError: it does not, or is of other versions; the message names the key that differs, if
            it is that.
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
            each.pop("about", None)  # What an experiment is to show, no run depends on.
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
    """Check that results of a run or a comparison, if there are any, are of these versions.

    Results that do not say, since they are older than that, are taken as they are.

    Args:
        where: what the message begins with.
        directory: the directory.

    Raises:
        TakenError: they are not.
    """
    try:
        summary = read_summary(directory)
    except (OSError, ValueError):  # There is none, or it was cut off by a failing machine.
        return
    for one in [summary] if "status" in summary else summary.values():
        if "versions" in one and (other := not_ours(one["versions"])):
            raise TakenError(f"{where}: cannot be resumed from: {other}")


def is_finished(directory: Path) -> bool:
    """Tell whether a directory holds one planner's run that has reached its horizon."""
    try:
        return read_summary(directory).get("status") == "finished"
    except (OSError, ValueError):  # It was never written, or cut off by a failing machine.
        return False


def clear(directory: Path) -> None:
    """Remove the results of one planner's run that broke off, and what was made of them.

    Its checkpoint stays.
    """
    # The summary first: whoever is killed meanwhile leaves no run of which tables are missing.
    for name in (SUMMARY, TRACE, TRACE_PICTURE):
        (directory / name).unlink(missing_ok=True)
    for table in (*SCHEMAS, REQUESTS, REPORT):
        shutil.rmtree(directory / table, ignore_errors=True)


def _difference(there: Any, here: Any, key: str = "") -> tuple[str, str, str] | None:
    """Return the first key whose values differ, with both of them."""
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
