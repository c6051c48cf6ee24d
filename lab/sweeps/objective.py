"""The objective: figures of a run's summary that another sweeper, which searches, receives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.types import RunMode

from lab.common.errors import InputError, choices
from lab.runs.run_directory import read_summary

OURS = "hydra_plugins.compass_sim.CompassSweeper"
KEY = "hydra.callbacks.outcome.objective"


def is_searched(hydra: HydraConf) -> bool:
    """Return whether another sweeper than ours chooses the jobs, by Hydra's configuration."""
    return hydra.mode == RunMode.MULTIRUN and hydra.sweeper["_target_"] != OURS


def objective(directory: Path, wanted: str | Sequence[str]) -> float | tuple[float, ...]:
    """Return a figure of a run, or several.

    Args:
        directory: the directory of the run, of one planner.
        wanted: the key of a number in its summary, or keys.

    Raises:
        InputError: it has no such number, or is of several planners.
    """
    summary = read_summary(directory)
    if "planner" not in summary:
        raise InputError("planner=comparison: a sweeper that searches needs one planner")
    if isinstance(wanted, str):
        return _number(summary, wanted)
    return tuple(_number(summary, one) for one in wanted)


def _number(summary: dict[str, Any], key: str) -> float:
    known = [
        name
        for name, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if key not in summary:
        raise InputError(f"{KEY}={key}: no figure of a run; {choices(key, known)}")
    if key not in known:
        raise InputError(f"{KEY}={key}: has no value in this run")
    return float(summary[key])
