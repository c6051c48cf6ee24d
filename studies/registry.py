"""The experiments, by name, in the order of the page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from lab.run_cache.jobs import Job
from studies.experiments import (
    ablations,
    backhaul,
    caps,
    drift,
    headline,
    near_optimal,
    profiling,
    surrogates,
)


class Study(Protocol):
    """What a module that holds an experiment offers."""

    TITLE: str

    def jobs(self, seeds: Sequence[int], quick: bool, planners: Sequence[str]) -> list[Job]:
        """Return the runs."""

    def section(self, rows: pl.DataFrame) -> Iterator[str]:
        """Yield the lines of the page, from rows as `lab.run_cache.jobs.make` returns them."""

    def draw(self, rows: pl.DataFrame, directory: Path) -> list[Path]:
        """Draw figures, named ``evaluation_NAME*.png``; return their paths."""


EXPERIMENTS: Mapping[str, Study] = {
    "headline": headline,
    "caps": caps,
    "ablations": ablations,
    "backhaul": backhaul,
    "drift": drift,
    "near_optimal": near_optimal,
    "profiling": profiling,
    "surrogates": surrogates,
}
