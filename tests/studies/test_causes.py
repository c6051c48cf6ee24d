"""Which assumption must change for the paper's value to appear: the list, the search, the page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lab.analysis.paired import ratio_interval
from lab.run_cache.jobs import Job
from lab.run_cache.keys import configuration
from lab.runs.api import run
from studies.common import cause_search
from studies.common.cause_search import (
    CONFIRMING,
    FUTILE_AFTER,
    SCREENING,
    Cause,
    Search,
    needed,
    search,
    stored,
)
from studies.common.causes import CHANGES, Change, Step, always, changed, scaled
from studies.common.claims import Finding, Verdict, above
from studies.common.measures import totals
from studies.common.store import frame
from studies.common.study import Scale
from studies.common.sweep_files import experiment
from studies.common.verdicts import LOOKS, Decision, decisions, seeds_of
from studies.paper.page import Section, page

ASSUMPTIONS = Path(__file__).parents[2] / "docs" / "concepts" / "assumptions.md"
OVERRIDES = ("planner=static_plan", "workload.rate=0.1")
RARE = Change("less", "", (Step("0.5 times", scaled(0.5, "workload.rate")),))
OFTEN = Change(
    "more",
    "",
    tuple(Step(f"{by:g} times", scaled(by, "workload.rate")) for by in (1.5, 3.0, 6.0)),
)
NOTHING = Change("nothing", "", (Step("as before", always("workload.rate=0.1")),))


def _jobs(seeds: Sequence[int], planners: Sequence[str] = ("ours", "theirs")) -> list[Job]:
    return [Job(OVERRIDES, seed, len, {"planner": name}) for name in planners for seed in seeds]


def _findings(rows: pl.DataFrame) -> list[Finding]:
    """Return a finding on our goodput over theirs."""
    by = {key[0]: part["goodput"].to_numpy() for key, part in rows.group_by("planner")}
    ratio = ratio_interval(by["ours"], by["theirs"])
    return [above("ours leads", ratio, 1.0, "why", len(by["ours"]))]


def _rate(job: Job) -> float:
    [rate] = [each for each in job.overrides if each.startswith("workload.rate=")]
    return float(rate.partition("=")[2])


def _row(job: Job, lead: Callable[[Job], float]) -> dict[str, Any]:
    noise = 1 + 0.02 * ((7 * job.seed) % 5)
    value = lead(job) * noise if job.labels["planner"] == "ours" else 1.0
    return {**job.labels, "seed": job.seed, "goodput": value, "run_core_s": 1.0}


def _searched(lead: Callable[[Job], float], *changes: Change) -> tuple[Search, list[Job]]:
    made: list[Job] = []

    def runs(jobs: Sequence[Job]) -> list[dict[str, Any]]:
        made.extend(jobs)
        return [_row(job, lead) for job in jobs]

    jobs = _jobs([*SCREENING, *CONFIRMING])
    return Search(_findings, "ours leads", jobs, runs, changes or (RARE, OFTEN, NOTHING)), made


def test_the_smallest_change_that_gives_the_papers_value_is_found_and_confirmed() -> None:
    one, made = _searched(lambda job: 5 * _rate(job))
    [(name, words, ours)] = one.smallest()
    assert (name, words) == ("more", "3 times")
    assert ours.startswith("1.56 [")  # 1.5 times the mean noise of 1.04
    assert one.tried == 3  # half, 1.5 times, 3 times; a change that changes nothing is not one
    seeds = {_rate(job): set() for job in made}  # type: ignore[var-annotated]
    for job in made:
        seeds[_rate(job)].add(job.seed)
    futile = {*SCREENING[:FUTILE_AFTER]}
    assert {key: value for key, value in seeds.items() if key < 0.2} == {0.05: futile, 0.15: futile}
    assert seeds[0.3] == {*SCREENING, *CONFIRMING}


def test_a_change_that_agrees_by_chance_is_not_confirmed() -> None:
    one, made = _searched(lambda job: 2.0 if job.seed in SCREENING else 0.5)
    assert one.smallest() == ()
    assert one.tried == 4
    assert {job.seed for job in made} == {*SCREENING, *CONFIRMING}


def test_all_changes_of_the_same_distance_are_told() -> None:
    one, _ = _searched(lambda job: 0.5 if _rate(job) == 0.1 else 2.0)
    assert [found[:2] for found in one.smallest()] == [("less", "0.5 times"), ("more", "1.5 times")]


def test_only_the_runs_on_which_a_claim_depends_are_made() -> None:
    jobs = _jobs(range(4), ("ours", "others", "theirs"))
    rows = [_row(job, lambda _: 0.5) for job in jobs]
    kept = needed(_findings, "ours leads", jobs, rows)
    assert kept == ['{"planner": "ours"}', '{"planner": "theirs"}']


class _Study:
    TITLE = "Made up"
    __name__ = "made_up"
    findings = staticmethod(_findings)

    def jobs(self, scale: Scale) -> list[Job]:
        return _jobs(scale.seeds_or())


class _Effort:
    """Some claims, decided from five seeds."""

    def jobs(self, _: str) -> list[Job]:
        return _jobs(seeds_of(LOOKS.seeds[0]))

    def rows(self, study: str) -> pl.DataFrame:
        return frame([_row(job, lambda _: 0.5) for job in self.jobs(study)])

    def decisions(self, study: str) -> list[Decision]:
        return decisions(_findings, self.rows(study))


def test_a_search_is_stored_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(jobs: Sequence[Job], *_: object) -> list[dict[str, Any]]:
        return [_row(job, lambda job: 5 * _rate(job)) for job in jobs]

    monkeypatch.setattr(cause_search, "make", make)
    monkeypatch.setattr(cause_search, "CHANGES", (RARE, OFTEN))

    def searched(seconds: float) -> list[Cause]:
        return search(_Effort(), {"made_up": _Study()}, seconds, 1, tmp_path)  # type: ignore[arg-type, dict-item]

    [early] = searched(0.0)
    assert (early.ended, early.changes, stored(tmp_path)) == (False, (), [early])
    [found] = searched(1e9)
    assert (found.ended, found.changes[0][:2]) == (True, ("more", "3 times"))
    assert searched(0.0) == stored(tmp_path) == [found]  # What was found is kept.


def test_the_page_tells_what_must_change_for_each_claim_that_differs() -> None:
    differ = [
        Decision(Finding(f"claim {at}", "1", Verdict.DIFFERS, "why"), 5, 5) for at in range(4)
    ]
    agrees = Decision(Finding("claim 4", "1", Verdict.AGREES, "why"), 5, 5)
    causes = [
        Cause("x", "claim 0", 3, changes=(("more boards", "2 times", "2 [1.5, 2.5] (10 seeds)"),)),
        Cause("x", "claim 1", 30),
        Cause("x", "claim 2", 7, ended=False),
    ]
    text = "Figure 1: a title.\n\nText."
    section = Section("1", text, (), "1 run.", [*differ, agrees], [], [], [], causes)
    shown = page("compass-lab reproduce 1", False, [section], {}, {})
    rows = [line for line in shown.splitlines() if line.startswith("| 1 | claim")][5:]
    assert rows == [
        "| 1 | claim 0 | more boards | 2 times | 2 [1.5, 2.5] (10 seeds) |",
        "| 1 | claim 1 | none of the 30 changes tried is enough | - | - |",
        "| 1 | claim 2 | not found yet, 7 changes tried; more hours go on | - | - |",
        "| 1 | claim 3 | not searched yet | - | - |",
    ]


def test_each_change_belongs_to_a_documented_assumption() -> None:
    text = ASSUMPTIONS.read_text(encoding="utf-8")
    for change in CHANGES:
        assert f"\n| {change.assumption}" in text, change.assumption


@pytest.mark.parametrize("can_be_run", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",
    ["fig19", *(pytest.param(each, marks=pytest.mark.slow) for each in ("fig11_hours", "fig17"))],
)
def test_each_step_of_a_change_can_be_run_and_goes_further_than_the_last(
    name: str, can_be_run: bool
) -> None:
    job = experiment(name).jobs(totals)[0]
    for change in CHANGES:
        steps = [new.overrides for step in change.steps if (new := changed(job, step))]
        assert len({*steps, job.overrides}) == len(steps) + 1, change.name
        assert all(map(configuration, steps[-1:] if can_be_run else []))
        assert steps or name != "fig19"


@pytest.mark.slow
def test_a_real_change_of_load_turns_a_claim() -> None:
    """More arrivals lead to more requests than a number that the default does not reach."""

    def runs(jobs: Sequence[Job]) -> list[dict[str, Any]]:
        return [
            {"seed": job.seed, **totals(run([*job.overrides, f"seed={job.seed}"]))} for job in jobs
        ]

    def findings(rows: pl.DataFrame) -> list[Finding]:
        queries = rows["queries"].to_numpy()
        ratio = ratio_interval(queries, np.ones(len(queries)))
        return [above("more than three queries", ratio, 3.0, "why", len(queries))]

    tiny = (*OVERRIDES, "horizon_s=10", "figures=false")
    jobs = [Job(tiny, seed, totals) for seed in [*SCREENING, *CONFIRMING]]
    change = Change("more", "", (Step("6 times", scaled(6.0, "workload.rate")),))
    [(name, words, _)] = Search(
        findings, "more than three queries", jobs, runs, [change]
    ).smallest()
    assert (name, words) == ("more", "6 times")
