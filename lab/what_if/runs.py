"""Runs for what-if questions: settings on seeds, on all cores, each made once and kept."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lab.common.console import warn
from lab.common.errors import InputError, key_of
from lab.config.compose import Setup
from lab.run_cache.jobs import Job, RunError, at_a_time, make_beside
from lab.run_cache.keys import prepared
from lab.run_cache.store import KeptRuns
from lab.runs.api import composed
from lab.what_if.question import numbers

PLANNER = {"planner", "planner._target_"}
"""Keys that name a planner."""

NAMING = {*PLANNER, "experiment"}
"""Keys that may name one."""


class Runs:
    """Runs of one question.

    Args:
        overrides: what all have in common.
        directory: where results are kept.
        processes: runs at the same time; None for as many as there are cores.
    """

    def __init__(
        self, overrides: Sequence[str], directory: Path, processes: int | None = None
    ) -> None:
        self.overrides = tuple(overrides)
        self.kept = KeptRuns(directory)
        self.processes = at_a_time(processes)

    def setup(self, settings: Sequence[str]) -> tuple[Setup, bool]:
        """Return what settings are to be run with, and whether its planner is the default.

        Raises:
            InputError: they cannot be run, or name several planners.
        """
        overrides = self._with_planner(settings)
        setup, default = prepared(overrides)
        _check_one_planner(setup)
        return setup, default or len(overrides) > len(self.overrides) + len(settings)

    def check(self, settings: Sequence[str]) -> DictConfig:
        """Refuse settings that cannot be run; return the configuration of those that can.

        Raises:
            InputError: they cannot.
        """
        setup, _ = self.setup(settings)
        return setup.config

    def make(
        self, settings: Sequence[Sequence[str]], seeds: Sequence[int]
    ) -> list[list[dict[str, Any]]]:
        """Return the summaries' numbers of each setting, one row a seed.

        Raises:
            InputError: a run failed; those that did not are kept.
        """
        jobs = [
            Job(tuple(self._with_planner(each)), seed, numbers, _labels(each))
            for each in settings
            for seed in seeds
        ]
        try:
            rows = make_beside(self.kept, jobs, self.processes)
        except RunError as error:
            raise InputError(str(error)) from None
        raised = sum(row.get("planner_errors", 0) > 0 for row in rows)
        if raised:
            warn(f"the planner raised in {raised} of {len(rows)} runs; compass-sim shows what")
        count = len(seeds)
        return [rows[at * count : (at + 1) * count] for at in range(len(settings))]

    def _with_planner(self, settings: Sequence[str]) -> list[str]:
        """Return all overrides, before them the default planner where only the base could name one.

        It stands there before settings are composed, for these may be parameters of it.
        """
        given = [*self.overrides, *settings]
        return given if NAMING & set(map(key_of, settings)) else [*self._default_planner, *given]

    @cached_property
    def _default_planner(self) -> list[str]:
        """The override that names the default planner, or none where the base names one."""
        if PLANNER & set(map(key_of, self.overrides)):
            return []
        overrides, _ = composed(self.overrides)
        return overrides[: len(overrides) - len(self.overrides)]


def _check_one_planner(setup: Setup) -> None:
    if len(setup.planners) > 1:
        raise InputError("planner: name one by planner=NAME, not several to compare")


def _labels(settings: Sequence[str]) -> Mapping[str, str]:
    return {"settings": " ".join(settings) or "as it is"}


def check_seedless(overrides: Sequence[str]) -> None:
    """Refuse a seed among overrides, which are simulated on several.

    Raises:
        InputError: there is one.
    """
    for override in overrides:
        if override.partition("=")[0].lstrip("+") == "seed":
            raise InputError(f"{override}: say how many seeds by --seeds; they are 0, 1, 2, ...")
