"""Cells that are bounds carry a sign, which is explained next to their table."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from lab.analysis.paired import EXPLAINED, UNBOUNDED
from studies.common.claims import Finding, Verdict
from studies.common.tables import AT_LEAST, HEADS, means
from studies.common.verdicts import Decision
from studies.experiments import profiling_limits
from studies.paper.figures import ablations, cost, goodput, histories, profiling_cost
from studies.paper.page import Section, page

TOTALS = {**dict.fromkeys(HEADS, 1.0), "response_of_served_s": 1.0, "response_is_bound": False}
SERVED = {"served": 0.5, "slo_met": 0.5, "goodput": 1.0}


def made_up(column: str, *values: float | None, **others: Any) -> pl.DataFrame:
    """Return rows of two planners; the first has these values, and the second no gap."""
    return pl.DataFrame(
        [
            {"planner": planner, "seed": seed, column: value, **others}
            for planner, each in (("mine", values), ("other", (1.0,) * len(values)))
            for seed, value in enumerate(each)
        ],
        infer_schema_length=None,
    )


def cells(lines: Iterator[str]) -> tuple[str, dict[str, list[str]]]:
    """Return what is said before a table, and its rows by their second cell."""
    said, *table = [line for line in lines if line]
    rows = [line.strip("| ").split(" | ") for line in table[2:]]
    return said, {row[1]: row for row in rows}


@pytest.mark.parametrize("column", ["usd_per_query_hour", "attributed_usd_per_query_hour"])
def test_a_cost_without_end_in_some_seed_is_marked(column: str) -> None:
    frame = made_up(column, 2.0, None, 4.0).with_columns(scene=pl.lit("speech"))
    said, rows = cells(means(frame, ["scene", "planner"], [column]))
    assert rows["mine"][2] == "≥ 3"
    assert rows["other"][2] == "1"
    assert "≥ marks costs that are lower bounds: on some seed" in said
    said, rows = cells(means(frame.drop_nulls(), ["scene", "planner"], [column]))
    assert rows["mine"][2] == "3"
    assert said == "Means over seeds:"


def test_each_sign_is_explained_once() -> None:
    columns = [name for name in HEADS if name != "planner_errors"]
    frame = made_up("usd_per_query_hour", 2.0, None, **dict.fromkeys(columns[5:], 1.0), **SERVED)
    frame = frame.with_columns(
        active=1.0,
        attributed_usd_per_query_hour=pl.col("usd_per_query_hour"),
        response_is_bound=pl.col("usd_per_query_hour").is_null(),
    )
    said = next(means(frame, ["planner"], columns))
    assert said.count("≥ marks") == 2
    assert "≥ marks response times" in said


def test_figure_11_marks_costs_without_end() -> None:
    others = {**TOTALS, **SERVED, "scene": "speech"}
    del others["usd_per_query_hour"]
    lines = [*cost.lines(made_up("usd_per_query_hour", 2.0, None, **others))]
    [at] = [at for at, line in enumerate(lines) if line.startswith("Means over seeds")]
    _, rows = cells(iter(lines[at:]))
    assert rows["mine"][2:7] == ["1", "1", "0.5", "0.5", "≥ 2"]
    assert "≥ marks costs" in lines[at]


def test_figure_13_marks_searches_of_which_none_was_deployed() -> None:
    others = {"queries": 3, "device_hours": 1.0, "device_hours_a_query": 0.3, "served": 0.5}
    frame = made_up("first_search_s", 10.0, None, scene="coding", **others)
    said, rows = cells(profiling_cost.lines(frame))
    assert rows["mine"][5] == "≥ 10"
    assert rows["other"][5] == "1"
    assert "≥ marks searches that are lower bounds: on some seed" in said


def test_figure_17_marks_searches_of_which_none_was_deployed() -> None:
    others = {"response_s": None, "configurations": 4.0, "profiling_device_s": 2.0, "served": 0.5}
    frame = made_up("first_search_s", 10.0, None, **others).with_columns(
        pl.lit("10").alias(histories.SWEPT)
    )
    frame = frame.filter(planner="mine")
    [said, *_, row, _] = histories.lines(frame)
    assert row == "| 10 | infinite | ≥ 10 | 4 | 2 | 0.5 |"
    assert "≥ marks searches" in said


def compared(*theirs: float, **labels: Any) -> pl.DataFrame:
    """Return goodputs of a reference that always has 2, and of another planner.

    In both kinds of clusters, unless one is named.
    """
    if "cluster" not in labels:
        clusters = ("limited", "unlimited")
        return pl.concat(compared(*theirs, cluster=each, **labels) for each in clusters)
    each = {"compass": (2.0,) * len(theirs), "other": theirs}
    return pl.DataFrame(
        [
            {**labels, "planner": planner, "seed": seed, **TOTALS, "goodput": value}
            for planner, values in each.items()
            for seed, value in enumerate(values)
        ],
        infer_schema_length=None,
    )


SECTIONS = {
    "goodput": (goodput, {"scene": "speech, small", "cluster": "limited"}),
    "ablations": (ablations, {"scene": "speech", "cluster": "limited"}),
}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_table_with_signs_says_what_they_mean(name: str) -> None:
    study, labels = SECTIONS[name]
    lines = [*study.lines(compared(1.0, 0.0, 1.0, **labels))]
    [at] = [at for at, line in enumerate(lines) if "| 3 [≥ 0.952] |" in line]
    assert "| 3 |" in lines[at]
    below = lines[lines.index("", at) + 1]
    assert below == EXPLAINED
    assert EXPLAINED not in [*study.lines(compared(1.0, 1.0, 1.0, **labels))]


def test_limits_explain_intervals_without_an_upper_end() -> None:
    labels = {"scene": "speech", "limit": "items", "value": 25, "cluster": "limited"}
    text = "\n".join(profiling_limits.lines(compared(1.0, 0.0, 1.0, **labels)))
    assert "| 3 [≥ 0.952] |" in text
    assert text.count(EXPLAINED) == 1
    text = "\n".join(profiling_limits.lines(compared(1.0, 1.0, 1.0, **labels)))
    assert "| 2 [2, 2] |" in text
    assert EXPLAINED not in text


def test_a_seed_on_which_compass_serves_nobody_counts() -> None:
    labels = {"scene": goodput.NEXT_TO_OPTIMUM, "application": "speech", "cluster": "limited"}
    rows = compared(2.0, 2.0, 2.0, **labels).with_columns(pl.col("planner").replace("other", "ilp"))
    [found] = goodput.findings(rows)
    assert (found.ours, found.verdict) == ("1 [1, 1] (3 seeds)", Verdict.AGREES)
    nothing = (pl.col("planner") == "compass") & (pl.col("seed") == 1)
    rows = rows.with_columns(goodput=pl.when(nothing).then(0.0).otherwise("goodput"))
    [found] = goodput.findings(rows)
    assert (found.ours, found.verdict) == ("0.667 [0, 2.1] (3 seeds)", Verdict.UNDECIDED)


@pytest.mark.parametrize(
    ("ours", "explanation"),
    [("2 [1, 3]", None), ("≥ 2 [1, 3]", AT_LEAST), ("2 [≥ 1]", UNBOUNDED)],
)
def test_the_page_of_figures_explains_its_signs(ours: str, explanation: str | None) -> None:
    found = Decision(Finding("claim", f"{ours} (4 seeds)", Verdict.AGREES, "why"), 4, 4)
    section = Section("1", "Figure 1: a title.\n\nText.", (), "1 run.", [found], [], [], [])
    text = page("compass-lab reproduce 1", False, [section], {}, {})
    assert [each for each in (AT_LEAST, UNBOUNDED) if each in text] == [explanation] * bool(
        explanation
    )
