"""Figure 17: SLO violations after a step of latency and a step of accuracy.

Queries arrive over the first half and stay until the end. In the middle, half of the devices become
a fifth as fast, or half of the links carry a third of their capacity, or all content moves two
fifths of the way towards its hardest stratum. The study follows the queries that arrived at least a
minute before the step. The violation rate is the share of their time in windows that miss the SLO.
The rate counts as returned if it ends within 5 percentage points of its earlier level. The ILP,
which is solved repeatedly on the true values, runs for comparison. Where it does not recover
either, because no plan serves some queries after the step, the case decides nothing.

Links are those of homes. On mobile links, even the ILP misses the SLO for four fifths of the time
before any step, so a step there shows nothing.

In the content scene, VOiCES is the only data set, because it is the only one of speech whose
content has several strata. The shift lowers the accuracy of every configuration on VOiCES to about
0.7 of its earlier value. Accuracy floors are at 0.6 of the best accuracy. After the shift, the best
model still meets them, but the smallest model, which had 0.74 of the best accuracy, does not. One
L4 machine can serve the queries of the first half by either model, but those of the whole run only
by the smallest one, so beliefs about the smallest model matter.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from lab.analysis.paired import PERCENT, Interval, mean_interval
from lab.analysis.statistics import of_difference
from lab.common.formatting import number
from lab.reporting.markdown import estimated, table
from lab.run_cache.jobs import Job
from studies.common.claims import Finding, Verdict, goal_reached
from studies.common.measures import DRIFT_HORIZON_S, DRIFT_STEP_S, violations
from studies.common.pictures import draw_curves
from studies.common.scenes import OPTIMUM, up_to_optimum
from studies.common.store import each_cell
from studies.common.study import Scale
from studies.common.sweep_files import experiment

TITLE = "After a drift"
CASES = {
    "fig17_links": ("links", "half of the links carry a third of what they did"),
    "fig17": ("devices", "half of the devices become a fifth as fast"),
    "fig17_content": (
        "content",
        "the content of all queries moves by two fifths to its hardest stratum",
    ),
}
"""The case of each experiment as rows name it, and what happens in it."""

REFERENCE, WITHOUT = "compass", "compass_no_replanning"
ILP_EVERY_S = 10.0
"""Seconds between two solutions of the ILP, which take most of the time of a run."""

GOAL_POINTS = 5.0
FEASIBLE_PERCENT = 70.0
"""Largest mean violation rate of the optimum at the end in a case that judges recovery. As in other
scenes, somebody must serve 30 % of the time."""
WINDOW_S = 30.0
BEFORE_S = LAST_S = 120.0
"""Lengths of the periods before the step and at the end of the run whose rates are compared."""

STRETCHES = {
    "before": (DRIFT_STEP_S - BEFORE_S, DRIFT_STEP_S),
    "after": (DRIFT_STEP_S, DRIFT_STEP_S + 2 * WINDOW_S),
    "end": (DRIFT_HORIZON_S - LAST_S, DRIFT_HORIZON_S),
}


def jobs(scale: Scale) -> list[Job]:
    """Return the runs: each planner of the experiments in each case, and the ILP."""
    if scale.planners:
        scale = replace(scale, planners=up_to_optimum(scale.planners)[:-1])
    optimum = replace(scale, planners=(OPTIMUM,))
    found = []
    for name, (case, _) in CASES.items():
        found += experiment(name, scale).jobs(violations, case=case)
        file = experiment(name, optimum)
        settings = (*file.settings, f"planner.replan_every_s={ILP_EVERY_S:g}")
        found += replace(file, settings=settings).jobs(violations, case=case)
    return found


def rates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the violation rate in percent of each case, planner, seed and window."""
    tidy = each_cell(rows, "case", "planner", "seed")
    return tidy.filter(pl.col("active_s") > 0).with_columns(
        rate=100 * pl.col("violated_s") / pl.col("active_s"), end_s=pl.col("start_s") + WINDOW_S
    )


def stretches(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the mean violation rate in each period of `STRETCHES`, by case, planner and seed."""
    within = [
        pl.col("rate").filter(pl.col("end_s").is_between(*ends, closed="right")).mean().alias(name)
        for name, ends in STRETCHES.items()
    ]
    return rates(rows).group_by("case", "planner", "seed", maintain_order=True).agg(within)


def recovers(by: pl.DataFrame, case: str) -> bool:
    """Return whether the optimum recovers, so that a case judges the recovery of others.

    At the end, it violates the SLO for at most `FEASIBLE_PERCENT` of the time on average, and the
    interval of its rise does not lie above `GOAL_POINTS`. ``by`` is what `stretches` returns.
    """
    optimum = by.filter(case=case, planner=OPTIMUM)
    end = optimum["end"].drop_nulls().to_numpy()
    _, low, _ = _rise(optimum)
    return bool(end.size and end.mean() <= FEASIBLE_PERCENT and (low is None or low <= GOAL_POINTS))


def _rise(part: pl.DataFrame) -> Interval:
    rise = (part["end"] - part["before"]).drop_nulls().to_numpy()
    return mean_interval(rise, of_difference(PERCENT))


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return whether violations return to their earlier rate, with and without replanning.

    A case in which not even the optimum recovers decides nothing.
    """
    found = []
    by = stretches(rows)
    for (case, planner), part in by.group_by("case", "planner", maintain_order=True):
        middle, low, high = _rise(part)
        returns = high is not None and high <= GOAL_POINTS
        stays = low is not None and low > GOAL_POINTS
        if planner == REFERENCE:
            claim = f"{case}: with replanning, violations return to their earlier rate"
            agrees, differs = returns, stays
        elif planner == WITHOUT:
            claim = f"{case}: without replanning, they do not"
            agrees, differs = stays, returns
        else:
            continue
        verdict = Verdict.AGREES if agrees else Verdict.DIFFERS if differs else Verdict.UNDECIDED
        why = (
            f"the mean of the last {LAST_S:g} s minus that of the {BEFORE_S:g} s "
            f"before the step; within {GOAL_POINTS:g} points counts as returned"
        )
        if not recovers(by, str(case)):
            verdict, why = Verdict.UNDECIDED, f"not even the optimum recovers; {why}"
        ours = f"{estimated(middle, low, high)} points above the earlier rate ({part.height} seeds)"
        found.append(Finding(claim, ours, verdict, why))
    return found


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield rates before and after the step, and how far they end above the rates of the ILP."""
    yield (
        f"Runs last {DRIFT_HORIZON_S:g} s, with the step at {DRIFT_STEP_S:g} s and windows of "
        f"{WINDOW_S:g} s. The goal is to end within {GOAL_POINTS:g} points of the ILP with "
        f"replanning, but not without. The end is the last {LAST_S:g} s. The difference is taken "
        "seed by seed. Its whole interval must be on one side of the goal; otherwise it is *open*."
    )
    yield ""
    by, reference = stretches(rows), str(rows["planner"][-1])
    words = dict(CASES.values())
    yield from table(
        [
            "step",
            "planner",
            "violations before, %",
            "in the minute after",
            "at the end",
            "above the ILP at the end, points",
            f"at most {GOAL_POINTS:g}",
        ],
        (
            [
                case + (f": {words[str(case)]}" if planner == rows["planner"][0] else ""),
                planner,
                *(number(part.select(pl.col(name).mean()).item()) for name in STRETCHES),
                *_above(part, by.filter(case=case, planner=reference), planner == reference),
            ]
            for (case, planner), part in by.group_by("case", "planner", maintain_order=True)
        ),
    )


def _above(part: pl.DataFrame, reference: pl.DataFrame, same: bool) -> tuple[str, str]:
    if same:
        return "", ""
    both = part.join(reference, "seed", suffix="_reference").sort("seed")
    difference = (both["end"] - both["end_reference"]).drop_nulls().to_numpy()
    above: Interval = mean_interval(difference, of_difference(PERCENT))
    return estimated(*above), goal_reached(above, GOAL_POINTS, at_most=True)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw violation rates over time."""
    path = draw_curves(
        rates(rows),
        "case",
        "end_s",
        "rate",
        directory / "drift.png",
        markers=False,
        mark=DRIFT_STEP_S,
        settings={"xlabel": "simulated time, s", "ylabel": "SLO violations, %", "ylim": (-2, 102)},
    )
    return [path]
