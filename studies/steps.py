"""The steps of a study, shared by ``python -m studies`` and ``compass-lab reproduce``.

The steps read from the options how much to run, make the runs, and test the paper's claims.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

import polars as pl

from lab.run_cache.jobs import RUNS, Job, Row, at_a_time, make
from lab.runs.run_directory import read_summary
from studies.common.regime import recorded
from studies.common.scenes import available
from studies.common.store import frame
from studies.common.study import Scale
from studies.common.verdicts import Decision, decisions
from studies.registry import FIGURES, NAMES


@dataclass(frozen=True)
class Made:
    """The results of a study's runs."""

    rows: Sequence[Row]  # one for each job; see `lab.run_cache.jobs.make` and `_told`
    runs: int  # number of runs; jobs may share them
    seeds: int
    core_s: float  # core seconds of all runs

    @property
    def frame(self) -> pl.DataFrame:
        """The rows as a data frame."""
        return frame(self.rows)


def scale_of(options: Namespace) -> Scale:
    """Return how much to run, from the options; raise InputError for an unknown planner."""
    seeds = None if options.seeds is None else options.seeds[1]
    return Scale(options.quick, seeds, available(getattr(options, "planners", ())))


def run(jobs: Sequence[Job], processes: int | None, cache: Path) -> Made:
    """Make the runs that are not cached yet, in parallel processes, by default one for each core.

    See `lab.run_cache.jobs.make` for errors.
    """
    rows = make(jobs, at_a_time(processes), cache)
    by_run = {job.key: row["run_core_s"] for job, row in zip(jobs, rows, strict=True)}
    core_s = round(fsum(by_run.values()), 1)
    rows = [_told(job, row, cache) for job, row in zip(jobs, rows, strict=True)]
    return Made(rows, len(by_run), len({job.seed for job in jobs}), core_s)


def _told(job: Job, row: Row, cache: Path) -> Row:
    """Return a row with what the line below figures and tables says of its run."""
    told = {**row, **recorded(job.overrides)}
    if "slo_met" not in row:  # No measure adds it, so that runs that are cached stay valid.
        told["slo_met"] = read_summary(cache / RUNS / job.key)["slo_met_fraction"]
    return told


def judged(name: str, rows: pl.DataFrame) -> list[Decision]:
    """Return the verdicts of a study on the paper's claims; empty if it tests no claims."""
    found = [FIGURES[number].findings for number, other in NAMES.items() if other == name]
    return decisions(found[0], rows) if found else []
