"""Runs of settings on several seeds for what-if questions; each run is made once and cached."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lab.common.console import warn
from lab.common.errors import InputError, key_of
from lab.config.compose import Setup
from lab.run_cache.jobs import Heard, Job, Row, RunError, at_a_time, make
from lab.run_cache.keys import prepared
from lab.runs.api import composed
from lab.what_if.question import numbers

PLANNER = {"planner", "planner._target_"}
"""Keys that name a planner."""
AS_IT_IS = "as it is"


def label(settings: Sequence[str]) -> str:
    """Return settings as one text, by which the rows of their runs are labelled."""
    return " ".join(settings) or AS_IT_IS


def by_setting(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows of runs by the labels of their settings."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["settings"], []).append(row)
    return found


class Runs:
    """The runs of one question.

    Args:
        overrides: what all runs have in common.
        directory: where finished runs are kept.
        processes: most simultaneous runs; by default, one per core.
        heard: gets the row of each run as soon as it is there.
    """

    def __init__(
        self,
        overrides: Sequence[str],
        directory: Path,
        processes: int | None = None,
        heard: Heard | None = None,
    ) -> None:
        self.overrides = tuple(overrides)
        self.directory = directory
        self.processes = at_a_time(processes)
        self.heard = heard

    def setup(self, settings: Sequence[str]) -> tuple[Setup, bool]:
        """Return the setup for settings, and whether its planner is the default one."""
        overrides = self._with_planner(settings)
        setup, default = prepared(overrides)
        if len(setup.planners) > 1:
            raise InputError("planner: name one by planner=NAME, not several to compare")
        names_planner = {*PLANNER, "experiment"} & set(map(key_of, settings))
        return setup, default or bool(not names_planner and self._default_planner)

    def check(self, settings: Sequence[str]) -> DictConfig:
        """Return the configuration for settings; raise InputError if they cannot run."""
        return self.setup(settings)[0].config

    def make(
        self, settings: Sequence[Sequence[str]], seeds: Sequence[int]
    ) -> list[list[dict[str, Any]]]:
        """Make the runs; return each summary's numbers by setting and seed, or raise InputError.

        The first seed comes first, so that settings can be compared when only some runs have ended.
        """
        jobs = [
            Job(self._with_planner(each), seed, numbers, {"settings": label(each)})
            for seed in seeds
            for each in settings
        ]
        try:
            rows = make(jobs, self.processes, self.directory, self.heard)
        except RunError as error:
            raise InputError(str(error)) from None
        raised = sum(row.get("planner_errors", 0) > 0 for row in rows)
        if raised:
            warn(f"the planner raised errors in {raised} of {len(rows)} runs; see compass-sim")
        return [rows[at :: len(settings)] for at in range(len(settings))]

    def _with_planner(self, settings: Sequence[str]) -> tuple[str, ...]:
        """Return all overrides with one planner: that of the settings, the base or the default."""
        named = set(map(key_of, settings))
        if PLANNER & named:
            # Parameters and the class of the base's planner must not reach the other planner.
            own = [one for one in self.overrides if key_of(one).partition(".")[0] != "planner"]
            whole = ("planner=comparison",) if "planner" not in named else ()
            return (*own, *whole, *settings)
        given = (*self.overrides, *settings)
        return given if "experiment" in named else (*self._default_planner, *given)

    @cached_property
    def _default_planner(self) -> tuple[str, ...]:
        """The override for the default planner; empty if the overrides name a planner."""
        if PLANNER & set(map(key_of, self.overrides)):
            return ()
        overrides, _ = composed(self.overrides)
        return tuple(overrides[: len(overrides) - len(self.overrides)])


def check_seedless(overrides: Sequence[str]) -> None:
    """Raise InputError if overrides set the seed, because what-if questions use several."""
    for override in overrides:
        if key_of(override) == "seed":
            raise InputError(f"{override}: give the number of seeds by --seeds; they count from 0")
