"""Spends a number of hours on the runs that decide the most claims.

The scene with the most open claims per core second of its next look (`studies.common.verdicts`) is
next, until the time is over or every claim is decided or has all looks. The time is estimated from
finished runs. Before a scene's first look, its claims are not known; one is assumed for each of its
runs on a seed after the first, which is usually Compass's. Finished runs are cached, so the same
command continues where it ended.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from pathlib import Path
from time import monotonic
from typing import Any

import polars as pl

from lab.common.console import say
from lab.run_cache.jobs import Job, RunError, cached, make
from studies.common.store import frame
from studies.common.study import PaperStudy, Scale
from studies.common.verdicts import LOOKS, Decision, decisions, seeds_of

UNKNOWN_CORE_S = 60.0
"""Core seconds that a run is assumed to take before any run of its scene is made."""

AT_ONCE = 4
"""Runs for each process between two looks at the clock; one, while their time is not known."""

SCENE = "scene"


@dataclass(eq=False)
class Part:
    """The runs of one scene of one study, which get the same seeds."""

    study: str
    scene: str  # value of the label; empty if the study's runs have no such label
    jobs: Sequence[Job]  # of all looks

    def __post_init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.looked = 0  # number of looks that have all their runs
        self.missing: list[Job] = []  # of the next look, seed by seed
        self.mean_core_s: float | None = None  # of a run; None before the first one
        self.failure = ""  # why a run failed; the part then gets no more time

    def of_look(self, look: int) -> list[Job]:
        """Return the jobs of the first `look` looks."""
        seeds = {*seeds_of(LOOKS.seeds[look - 1])} if look else set()
        return [job for job in self.jobs if job.seed in seeds]

    def load(self, cache: Path) -> None:
        """Read the rows of looks whose runs are all cached, and estimate the next look's time."""
        for look in range(self.looked + 1, len(LOOKS.seeds) + 1):
            jobs = self.of_look(look)
            found = [cached(job, cache) for job in jobs]
            rows = [row for row in found if row is not None]
            if rows:
                self.mean_core_s = fsum(float(row["run_core_s"]) for row in rows) / len(rows)
            missing = [job for job, row in zip(jobs, found, strict=True) if row is None]
            self.missing = sorted(missing, key=lambda job: job.seed)
            if self.missing:
                return
            self.rows, self.looked = rows, look

    @property
    def finished(self) -> bool:
        """Whether all looks have their runs, or a run failed."""
        return bool(self.failure) or self.looked == len(LOOKS.seeds)

    @property
    def likely_claims(self) -> int:
        """Number of claims assumed before the first look."""
        return max(1, len(self.of_look(1)) // LOOKS.seeds[0] - 1)

    @property
    def next_core_s(self) -> float:
        """Estimated core seconds of the runs that the next look misses."""
        mean_s = UNKNOWN_CORE_S if self.mean_core_s is None else self.mean_core_s
        return mean_s * len(self.missing)


class Effort:
    """The parts of some studies, and what is known of their claims."""

    def __init__(self, studies: Mapping[str, PaperStudy], scale: Scale, cache: Path) -> None:
        self._studies, self._cache = studies, cache
        scale = replace(scale, seeds=seeds_of(LOOKS.most))
        self.parts = [
            part for name, study in studies.items() for part in _parts(name, study.jobs(scale))
        ]
        for part in self.parts:
            part.load(cache)
        self._decided: dict[tuple[str, tuple[int, ...]], list[Decision]] = {}

    def rows(self, study: str) -> pl.DataFrame:
        """Return the rows of a study so far."""
        return frame([row for part in self.parts if part.study == study for row in part.rows])

    def jobs(self, study: str) -> list[Job]:
        """Return the jobs of a study whose looks are complete."""
        parts = [part for part in self.parts if part.study == study]
        return [job for part in parts for job in part.of_look(part.looked)]

    def waiting(self, study: str) -> list[str]:
        """Return the scenes of a study that lack runs of the first look."""
        return [part.scene for part in self.parts if part.study == study and not part.looked]

    def failures(self, study: str) -> list[str]:
        """Return why runs of a study failed."""
        return [part.failure for part in self.parts if part.study == study and part.failure]

    def decisions(self, study: str) -> list[Decision]:
        """Return what is known of the claims of a study.

        Claims on scenes that lack runs of the first look are left out, and so are claims on all
        scenes if any scene lacks them.
        """
        looks = tuple(part.looked for part in self.parts if part.study == study)
        if not any(looks):
            return []
        if (study, looks) not in self._decided:  # They take seconds.
            found = decisions(self._studies[study].findings, self.rows(study))
            self._decided[study, looks] = [one for one in found if one.finding.scene or all(looks)]
        return self._decided[study, looks]

    def spend(self, seconds: float, processes: int) -> None:
        """Make runs until the time is over or nothing is left to decide.

        The last runs can end a little later, because runs are not interrupted.
        """
        until = monotonic() + seconds
        while monotonic() < until and (part := self._next()) is not None:
            say(
                f"{part.study} {part.scene}: up to {LOOKS.seeds[part.looked]} seeds, about "
                f"{part.next_core_s:.0f} core seconds"
            )
            before = part.looked
            at_once = 1 if part.mean_core_s is None else AT_ONCE
            while monotonic() < until and part.looked == before and not part.failure:
                try:
                    make(part.missing[: at_once * processes], processes, self._cache)
                except RunError as error:
                    part.failure = str(error)
                part.load(self._cache)
                if not before:
                    break  # Another scene may now take less time.

    def _next(self) -> Part | None:
        """Return the part whose next look is worth most, or None."""
        left = [part for part in self.parts if not part.finished]
        worth: list[tuple[float, int, Part]] = []
        for name in dict.fromkeys(part.study for part in left):
            found = [each.finding.scene for each in self.decisions(name) if each.open]
            for at, part in enumerate(left):
                if part.study == name:
                    claims = sum(scene in ("", part.scene) for scene in found)
                    claims = claims if part.looked else part.likely_claims
                    worth.append((claims / max(part.next_core_s, 1e-9), -at, part))
        best = max(worth, key=lambda each: each[:2], default=None)
        return best[2] if best is not None and best[0] > 0 else None


def _parts(study: str, jobs: Sequence[Job]) -> Iterator[Part]:
    by_scene: dict[str, list[Job]] = {}
    for job in jobs:
        by_scene.setdefault(str(job.labels.get(SCENE, "")), []).append(job)
    for scene, of_scene in by_scene.items():
        yield Part(study, scene, of_scene)
