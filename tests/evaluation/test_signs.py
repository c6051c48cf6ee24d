"""Cells that are bounds carry a sign, and what it says stands beside their table."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from evaluation.means import HEADS, means
from evaluation.paper import cost, histories, profiling_cost

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
    assert "≥ marks costs of which some seed has none" in said
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
    frame = made_up("usd_per_query_hour", 2.0, None, scene="speech", **SERVED)
    said, rows = cells(cost.lines(frame))
    assert rows["mine"] == ["speech", "mine", "≥ 2", "0.5", "0.5", "1"]
    assert "≥ marks costs" in said


def test_figure_13_marks_searches_of_which_none_was_deployed() -> None:
    others = {"queries": 3, "device_hours": 1.0, "device_hours_a_query": 0.3, "served": 0.5}
    frame = made_up("first_search_s", 10.0, None, scene="coding", **others)
    said, rows = cells(profiling_cost.lines(frame))
    assert rows["mine"][5] == "≥ 10"
    assert rows["other"][5] == "1"
    assert "≥ marks searches of which some seed has none" in said


def test_figure_17_marks_searches_of_which_none_was_deployed() -> None:
    others = {"response_s": None, "configurations": 4.0, "profiling_device_s": 2.0, "served": 0.5}
    frame = made_up("first_search_s", 10.0, None, **others).with_columns(
        pl.lit("10").alias(histories.SWEPT)
    )
    frame = frame.filter(planner="mine")
    [said, *_, row, _] = histories.lines(frame)
    assert row == "| 10 | infinite | ≥ 10 | 4 | 2 | 0.5 |"
    assert "≥ marks searches" in said
