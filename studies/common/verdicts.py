"""Verdicts from more and more seeds: group-sequential looks, and Holm's procedure over claims.

A study's claims are judged after 5, 10, 20 and 40 seeds (`LOOKS`). A claim that is decided at one
look keeps its verdict, and needs no further seeds. Over all looks and all claims of a study, the
probability that any verdict is wrong is at most `LOOKS.error`: each look spends its part of the
error (`lab.analysis.sequential`), and within a look, Holm's step-down procedure (1979) divides it
among the claims. The p-value of a claim is the smallest error of a list at which its interval still
decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from lab.analysis.sequential import Looks
from lab.analysis.statistics import at_confidence, holm
from studies.common.claims import Finding, Verdict

LOOKS = Looks((5, 10, 20, 40), error=0.05)

FIRST_SEED = 2000
"""The first of the seeds that are reported. Seeds below 1,000 were used to build planners."""

ERRORS = tuple(0.05 / 2**step for step in range(14))
"""Errors at which intervals are computed to find p-values, in falling order."""

Findings = Callable[[pl.DataFrame], list[Finding]]


@dataclass(frozen=True)
class Decision:
    """What is known about a claim: its finding from all seeds, and since when it is decided."""

    finding: Finding
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
        return self.seeds is None


def seeds_of(look: int) -> range:
    """Return the seeds of a look."""
    return range(FIRST_SEED, FIRST_SEED + look)


def decisions(findings: Findings, rows: pl.DataFrame, looks: Looks = LOOKS) -> list[Decision]:
    """Return the decision on each claim of a study, from the rows of its runs so far.

    Runs on other seeds than those of the looks, such as trial runs, are judged once, at 95 %.
    Scenes can have different numbers of seeds; the looks at a claim end with those of its scene.
    """
    made = findings(rows)
    if int(rows.select(pl.col("seed").min()).item()) < FIRST_SEED:
        return [_at_once(each, _seeds(rows, each)) for each in made]
    decided: dict[str, tuple[int, Verdict]] = {}
    for look in looks.seeds:
        part = rows.filter(pl.col("seed") < FIRST_SEED + look)
        have = {each.claim for each in made if _seeds(rows, each) >= look}
        if not have - decided.keys():
            break
        error = looks.error_at(look)
        tested = _tested(findings, part)
        names = [name for name in tested if name in have]
        for name, p in zip(names, holm([tested[name][0] for name in names]), strict=True):
            if name not in decided and p is not None and p <= error:
                decided[name] = look, tested[name][1]
    return [_decision(each, decided.get(each.claim), _seeds(rows, each)) for each in made]


def _at_once(finding: Finding, seeds: int) -> Decision:
    return Decision(finding, None if finding.verdict is Verdict.UNKNOWN else seeds, seeds)


def _decision(finding: Finding, found: tuple[int, Verdict] | None, now: int) -> Decision:
    look, verdict = (None, Verdict.UNKNOWN) if found is None else found
    same = Finding(finding.claim, finding.ours, verdict, finding.why, finding.scene)
    return Decision(same, look, now)


def _tested(findings: Findings, rows: pl.DataFrame) -> dict[str, tuple[float, Verdict]]:
    """Return each claim's p-value (1 if no error of the list decides) and verdict."""
    found: dict[str, tuple[float, Verdict]] = {}
    for error in ERRORS:
        with at_confidence(1 - error):
            for each in findings(rows):
                before = found.setdefault(each.claim, (1.0, each.verdict))
                if each.verdict is not Verdict.UNKNOWN and (
                    before[0] == 1.0 or before[1] is each.verdict
                ):
                    found[each.claim] = error, each.verdict
    return found


def _seeds(rows: pl.DataFrame, finding: Finding) -> int:
    """Return how many of the first seeds all runs of a claim's scene have."""
    if finding.scene and "scene" in rows.columns:
        rows = rows.filter(scene=finding.scene)
    return int(rows["seed"].n_unique())


def open_scenes(found: Sequence[Decision]) -> set[str]:
    """Return the scenes of open claims; the empty text stands for all runs of the study."""
    return {each.finding.scene for each in found if each.open}
