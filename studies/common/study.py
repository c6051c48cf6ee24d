"""The interface of a study: a module that lists its runs and evaluates them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from lab.common.errors import InputError
from lab.run_cache.jobs import Job
from studies.common.claims import Finding
from studies.common.verdicts import FIRST_SEED

SEEDS = range(FIRST_SEED, FIRST_SEED + 10)
"""Seeds of a study that does not set its own."""

QUICK_SEEDS = 2


@dataclass(frozen=True)
class Scale:
    """How much of a study to run: small sizes or not, which seeds, which planners."""

    quick: bool = False  # whether to run the small form, which decides no claim
    seeds: Sequence[int] | None = None  # in place of the study's own
    planners: Sequence[str] = ()  # in place of the study's own, the reference first

    def seeds_or(self, own: Sequence[int] = SEEDS) -> Sequence[int]:
        """Return the chosen seeds, or else those of the study; `quick` takes the first few."""
        if self.seeds is not None:
            return self.seeds
        return own[:QUICK_SEEDS] if self.quick else own


WHOLE = Scale()


def refuse_planners(study: str, planners: Sequence[str]) -> None:
    """Raise InputError if planners are given, because those of the study are fixed."""
    if planners:
        raise InputError(
            f"--planners {','.join(planners)}: the planners of {study} are fixed; leave out "
            "--planners, or name another study"
        )


class Study(Protocol):
    """A module that asks one question. The first line of its docstring is the question."""

    __name__: str
    TITLE: str

    def jobs(self, scale: Scale) -> list[Job]:
        """Return the runs; raise InputError if planners are given for a study without them."""

    def lines(self, rows: pl.DataFrame) -> Iterator[str]:
        """Yield lines of Markdown; each row is a run, with its labels, ``seed`` and measures."""

    def draw(self, rows: pl.DataFrame, directory: Path) -> list[Path]:
        """Draw figures as PNG files named after the study; return their paths."""


class PaperStudy(Study, Protocol):
    """A study of a figure of the paper, which also tests the paper's claims."""

    def findings(self, rows: pl.DataFrame) -> list[Finding]:
        """Return the verdicts on the paper's claims."""
