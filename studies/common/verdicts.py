"""Verdicts from more and more seeds: group-sequential looks, and Holm's procedure over claims.

A study's claims are judged after 5, 10, 20 and 40 seeds (`LOOKS`). A claim that is decided at one
look keeps its verdict, and needs no further seeds. Over all looks and all claims of a study, the
probability that any verdict is wrong is at most `LOOKS.error`: each look spends its part of the
error (`lab.analysis.sequential`), and within a look, Holm's step-down procedure (1979) divides it
among all claims of the study that seeds can decide, also those that have too few seeds yet. The
p-value of a claim is the smallest error of a list, which begins with that of the look, down to
which its interval gives the same verdict.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl

from lab.analysis.sequential import Looks
from lab.analysis.statistics import at_confidence, holm
from studies.common.claims import Finding, Verdict

LOOKS = Looks((5, 10, 20, 40), error=0.05)

FIRST_SEED = 2000
"""The first of the seeds that are reported. Smaller ones are for building planners."""

HALVINGS = 12
"""How often the error of a look is halved in the search for the p-value of a claim."""

Findings = Callable[[pl.DataFrame], list[Finding]]


@dataclass(frozen=True)
class Decision:
    """What is known about a claim, and since when it is decided."""

    finding: Finding  # from the seeds of the look that decided it, or from all seeds so far
    seeds: int | None  # the look that decided it, or None
    now: int  # the number of seeds of its runs

    @property
    def row(self) -> tuple[str, str, str, str, str]:
        """The claim, our number, the verdict, the seeds that decided it, and the reason."""
        since = f"{self.now}, open" if self.seeds is None else f"{self.seeds}"
        one = self.finding
        return one.claim, one.ours, f"**{one.verdict}**", since, one.why

    @property
    def open(self) -> bool:
        """Whether more seeds may decide the claim."""
        return self.seeds is None and self.finding.decidable


def seeds_of(look: int) -> range:
    """Return the seeds of a look."""
    return range(FIRST_SEED, FIRST_SEED + look)


def decisions(findings: Findings, rows: pl.DataFrame) -> list[Decision]:
    """Return the decision on each claim of a study, from the rows of its runs so far.

    Runs on other seeds than those of the looks, such as trial runs, are judged once, at 95 %.
    Scenes can have different numbers of seeds; the looks at a claim end with those of its scene.
    The number and the reason of a decided claim are those of the look that decided it, so that they
    agree with its verdict; its interval is a 95 % interval.
    """
    made = findings(rows)
    if int(rows.select(pl.col("seed").min()).item()) < FIRST_SEED:
        return [_at_once(each, _seeds(rows, each)) for each in made]
    decided: dict[str, tuple[int, Finding]] = {}
    for look in LOOKS.seeds:
        part = rows.filter(pl.col("seed") < FIRST_SEED + look)
        have = {each.claim for each in made if _seeds(rows, each) >= look}
        if not have - decided.keys():
            break
        error = LOOKS.error_at(look)
        tested = _tested(findings, part, error)
        names = [each.claim for each in made if each.decidable]
        ps = [tested[name][0] if name in have and name in tested else 1.0 for name in names]
        for name, p in zip(names, holm(ps), strict=True):
            if name not in decided and p is not None and p <= error:
                found = {each.claim: each for each in findings(part)}[name]
                decided[name] = look, replace(found, verdict=tested[name][1])
    return [_decision(each, decided.get(each.claim), _seeds(rows, each)) for each in made]


def _at_once(finding: Finding, seeds: int) -> Decision:
    return Decision(finding, None if finding.verdict is Verdict.UNDECIDED else seeds, seeds)


def _decision(finding: Finding, found: tuple[int, Finding] | None, now: int) -> Decision:
    if found is None:
        return Decision(replace(finding, verdict=Verdict.UNDECIDED), None, now)
    look, shown = found
    return Decision(shown, look, now)


def _tested(
    findings: Findings, rows: pl.DataFrame, error: float
) -> dict[str, tuple[float, Verdict]]:
    """Return each claim's p-value, 1 if it is not decided at the error of a look, and verdict."""
    found: dict[str, tuple[float, Verdict]] = {}
    steady: set[str] = set()  # claims with the same verdict at all errors so far
    for halving in range(HALVINGS + 1):
        level = error / 2**halving
        with at_confidence(1 - level):
            now = {each.claim: each.verdict for each in findings(rows)}
        if not halving:
            steady = {claim for claim, verdict in now.items() if verdict is not Verdict.UNDECIDED}
            found = {claim: (1.0, verdict) for claim, verdict in now.items()}
        steady = {claim for claim in steady if now.get(claim) is found[claim][1]}
        found |= {claim: (level, now[claim]) for claim in steady}
    return found


def _seeds(rows: pl.DataFrame, finding: Finding) -> int:
    """Return how many of the first seeds all runs of a claim's scene have."""
    if finding.scene and "scene" in rows.columns:
        rows = rows.filter(scene=finding.scene)
    runs = dict(rows.group_by("seed").len().iter_rows())
    first, complete = min(runs, default=FIRST_SEED), max(runs.values(), default=0)
    many = 0
    while runs.get(first + many, 0) == complete > 0:
        many += 1
    return many
