"""The objective: figures of a run's summary that another sweeper, which searches, receives."""

from collections.abc import Sequence
from pathlib import Path

from hydra.conf import HydraConf
from hydra.types import RunMode

from lab.common.errors import InputError, choices
from lab.runs.run_directory import read_summary
from lab.runs.summary import numbers_of

OURS = "hydra_plugins.compass_sim.CompassSweeper"
KEY = "hydra.callbacks.outcome.objective"


def is_searched(hydra: HydraConf) -> bool:
    """Return whether another sweeper than ours chooses the jobs, by Hydra's configuration."""
    return hydra.mode == RunMode.MULTIRUN and hydra.sweeper["_target_"] != OURS


def objective(directory: Path, wanted: str | Sequence[str]) -> float | tuple[float, ...]:
    """Return one number or several of the summary of one planner's run, by key.

    Raises InputError if the run has no such number or is of several planners.
    """
    summary = read_summary(directory)
    if "planner" not in summary:
        raise InputError("planner=comparison: a sweeper that searches needs one planner")
    numbers = {key: float(value) for key, value in numbers_of(summary).items()}
    keys = [wanted] if isinstance(wanted, str) else list(wanted)
    for key in keys:
        if key not in summary:
            raise InputError(f"{KEY}={key}: no figure of a run; {choices(key, list(numbers))}")
        if key not in numbers:
            raise InputError(f"{KEY}={key}: has no value in this run")
    return numbers[wanted] if isinstance(wanted, str) else tuple(numbers[key] for key in keys)
