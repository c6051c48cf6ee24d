"""Finds which assumption must change, and by how much, for the paper's value to appear.

For a claim that differs, the changes of `studies.common.causes` are tried by growing distance:
first the first step of every change, then every second step, and so on. A step is screened on the
seeds `SCREENING`, by the claim's own finding at 95 %, and is given up after two seeds if the claim
differs even at 50 %. As screening many changes makes some agree by chance, all steps of the same
distance that agree are confirmed on the seeds `CONFIRMING`, with the error divided among the
distances and these steps. The first distance at which any is confirmed ends the search. Runs are
cached, so a search that was interrupted continues where it ended.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from math import fsum
from pathlib import Path
from time import monotonic
from typing import Any

from lab.analysis.statistics import CONFIDENCE, at_confidence
from lab.common.console import say
from lab.common.errors import InputError, one_line
from lab.run_cache.jobs import Job, RunError, make
from lab.run_cache.keys import behaviour, configuration
from lab.runs.run_directory import write_aside
from studies.common.causes import CHANGES, Change, Step, changed
from studies.common.claims import Finding, Verdict
from studies.common.effort import AT_ONCE, Effort
from studies.common.store import frame
from studies.common.study import PaperStudy, Scale
from studies.common.verdicts import LOOKS, Decision, Findings, seeds_of

SCREENING, CONFIRMING = range(3000, 3005), range(3100, 3110)
"""Seeds on which changes are screened, and fresh ones on which they are confirmed."""

FUTILE_AFTER, FUTILE_CONFIDENCE = 2, 0.5
"""A step is given up after so many seeds if the claim differs even at this confidence."""

FILE = "causes.json"

Row = dict[str, Any]


class TimeOverError(Exception):
    """The hours are over before the search for a claim has ended."""


@dataclass(frozen=True)
class Cause:
    """The outcome of the search for one claim."""

    study: str
    claim: str
    tried: int  # number of steps tried
    ended: bool = True  # whether all steps were tried, or one was confirmed
    # The smallest changes, each with how far it goes, and our number on the confirming seeds.
    changes: tuple[tuple[str, str, str], ...] = ()

    @property
    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield what must change, how far, and what our number then is."""
        yield from self.changes
        if not self.changes and self.ended:
            yield f"none of the {self.tried} changes tried is enough", "-", "-"
        elif not self.changes:
            yield f"not found yet, {self.tried} changes tried; more hours go on", "-", "-"


@dataclass
class Search:
    """The search for one claim.

    Args:
        findings: the findings of the claim's study.
        claim: the claim.
        jobs: the study's jobs that the claim needs, on all seeds of screening and confirming.
        runs: returns the rows of jobs, after making them; it may raise `TimeOverError`.
        changes: the changes to try.
    """

    findings: Findings
    claim: str
    jobs: Sequence[Job]
    runs: Callable[[Sequence[Job]], list[Row]]
    changes: Sequence[Change]
    tried: int = field(default=0, init=False)

    def smallest(self) -> tuple[tuple[str, str, str], ...]:
        """Return the confirmed changes of the smallest distance; empty if there is none."""
        distances = max(len(change.steps) for change in self.changes)
        for distance in range(distances):
            steps = [
                (change, change.steps[distance])
                for change in self.changes
                if distance < len(change.steps)
            ]
            agreeing = [each for each in steps if self._screened(*each)]
            confirmed = []
            for change, step in agreeing:
                level = 1 - (1 - CONFIDENCE) / distances / len(agreeing)
                found = self._found(step, CONFIRMING, level)
                if found is not None and found.verdict is Verdict.AGREES:
                    confirmed.append((change.name, step.words, found.ours))
            if confirmed:
                return tuple(confirmed)
        return ()

    def _screened(self, change: Change, step: Step) -> bool:
        """Return whether the claim agrees with a step; False if the step cannot be tried."""
        say(f"  {change.name}: {step.words}")
        first = self._found(step, SCREENING[:FUTILE_AFTER], FUTILE_CONFIDENCE)
        if first is None:
            return False
        self.tried += 1
        if first.verdict is Verdict.DIFFERS:
            return False
        found = self._found(step, SCREENING, CONFIDENCE)
        return found is not None and found.verdict is Verdict.AGREES

    def _found(self, step: Step, seeds: Sequence[int], level: float) -> Finding | None:
        """Return the claim's finding with a step; None if the step changes no run, or fails."""
        before = [job for job in self.jobs if job.seed in seeds]
        try:
            after = [changed(job, step) for job in before]
            for job in filter(None, after):
                configuration(job.overrides)
        except InputError as error:  # The scene does not allow the change.
            say(f"{self.claim}: {step.words}: {error}")
            return None
        if not any(after):
            return None
        rows = self.runs([new or old for new, old in zip(after, before, strict=True)])
        with at_confidence(level):
            return _of_claim(self.findings, rows, self.claim)


def needed(findings: Findings, claim: str, jobs: Sequence[Job], rows: Sequence[Row]) -> list[str]:
    """Return the labels, as text, of the jobs on which a claim's finding depends.

    A group of jobs with equal labels is left out if the finding is the same without its rows.
    """
    groups: dict[str, list[Row]] = {}
    for job, row in zip(jobs, rows, strict=True):
        groups.setdefault(labels(job), []).append(row)
    whole = _of_claim(findings, rows, claim)
    for name in list(groups):
        fewer = [row for key, part in groups.items() if key != name for row in part]
        try:
            same = bool(fewer) and _of_claim(findings, fewer, claim) == whole
        except Exception:  # Findings need not cope with rows that are left out.
            same = False
        if same:
            del groups[name]
    return list(groups)


def labels(job: Job) -> str:
    """Return a job's labels as text."""
    return json.dumps(dict(job.labels), sort_keys=True)


def search(
    effort: Effort,
    studies: Mapping[str, PaperStudy],
    seconds: float,
    processes: int,
    cache: Path,
) -> list[Cause]:
    """Search for each claim that differs, cheap ones first, until the time is over.

    The outcomes are stored in the directory `cache`; `stored` returns them. An outcome is kept from
    an earlier search if the time does not suffice for its claim.
    """
    until = monotonic() + seconds
    before = {(each.study, each.claim): each for each in stored(cache)}
    found: list[Cause] = []
    runs = _within(until, processes, cache)
    for name, decision, jobs, _ in sorted(_open(effort, studies), key=lambda each: each[3]):
        claim = decision.finding.claim
        say(f"{name}: {claim}: which change gives the paper's value?")
        one = Search(studies[name].findings, claim, jobs, runs, CHANGES)
        try:
            changes = one.smallest()
            found.append(Cause(name, claim, one.tried, changes=changes))
        except (TimeOverError, RunError, InputError, ValueError) as error:
            if not isinstance(error, TimeOverError):
                say(f"{name}: {claim}: {one_line(error)}")
            now = Cause(name, claim, one.tried, ended=False)
            then = before.get((name, claim), now)
            found.append(then if then.ended else now)
        keep(found, cache)
    return found


def _within(until: float, processes: int, cache: Path) -> Callable[[Sequence[Job]], list[Row]]:
    def runs(jobs: Sequence[Job]) -> list[Row]:
        rows: list[Row] = []
        for start in range(0, len(jobs), AT_ONCE * processes):
            if monotonic() >= until:
                raise TimeOverError
            rows += make(jobs[start : start + AT_ONCE * processes], processes, cache)
        return rows

    return runs


def _open(
    effort: Effort, studies: Mapping[str, PaperStudy]
) -> Iterator[tuple[str, Decision, list[Job], float]]:
    """Yield each claim that differs, with its study, the jobs it needs and their core seconds."""
    first = seeds_of(LOOKS.seeds[0])
    for name, study in studies.items():
        differ = [
            each
            for each in effort.decisions(name)
            if each.finding.verdict is Verdict.DIFFERS and each.seeds is not None
        ]
        if not differ:
            continue
        known = [
            (job, row)
            for job, row in zip(effort.jobs(name), effort.rows(name).to_dicts(), strict=True)
            if job.seed in first
        ]
        every = study.jobs(Scale(seeds=[*SCREENING, *CONFIRMING]))
        for decision in differ:
            jobs, rows = [job for job, _ in known], [row for _, row in known]
            kept = needed(study.findings, decision.finding.claim, jobs, rows)
            core_s = fsum(row["run_core_s"] for job, row in known if labels(job) in kept)
            yield name, decision, [job for job in every if labels(job) in kept], core_s


def _of_claim(findings: Findings, rows: Sequence[Row], claim: str) -> Finding | None:
    return next((each for each in findings(frame(rows)) if each.claim == claim), None)


def keep(causes: Sequence[Cause], directory: Path) -> None:
    """Store outcomes, and keep those of other claims."""
    new = {(each.study, each.claim): each for each in causes}
    every = {(each.study, each.claim): each for each in stored(directory)} | new
    rows = [asdict(each) for each in every.values()]
    text = json.dumps({"tried": _tried(), "causes": rows}, indent=2)
    write_aside(directory / FILE, text + "\n")


def stored(directory: Path) -> list[Cause]:
    """Return the stored outcomes; empty if there are none of the present changes and code."""
    path = directory / FILE
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["tried"] != _tried():
            return []
        return [
            Cause(**{**row, "changes": tuple(map(tuple, row["changes"]))})
            for row in found["causes"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({one_line(error)}); delete it") from None


def _tried() -> str:
    """Return a hash of the changes, the seeds and the code of planners and simulator."""
    text = repr((CHANGES, SCREENING, CONFIRMING, behaviour(("planner=compass",))))
    return sha256(text.encode()).hexdigest()[:16]
