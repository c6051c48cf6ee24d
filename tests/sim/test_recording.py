"""Recording of requests: rows, quantiles, reports, and tables."""

from math import isnan

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Does, Recording, one_station, run, scenario, tables_of

from sim.clock import NS_PER_S
from sim.dataplane.base.interface import COMPLETED, StationSpec
from sim.dataplane.base.request_rows import records
from sim.metrics.results import SCHEMAS, ResultTables
from sim.metrics.telemetry import REPORTS_KEPT
from sim.metrics.window_counts import select


def test_a_request_that_is_born_and_ends_between_two_cuts_is_one_row():
    calls = []

    class Keeping(Recording):
        def record(self, rows, born, ended):
            calls.append((records(rows, born), records(rows, ended), len(rows), rows, born))

    plane, _ = one_station(StationSpec(0), [0, 40, 90], 30.0, [1.0, 1.0, 2.0])
    plane.recorder = Keeping()
    plane.advance(50)
    plane.advance(60)
    plane.advance(1000)
    plane.advance(2000)
    assert [(len(born), len(ended), rows) for born, ended, rows, *_ in calls] == [
        (2, 1, 2),  # the first was born and ended
        (1, 2, 2),
    ]
    born, ended, *_ = calls[1]
    assert (born[0].number, born[0].size, born[0].variability) == (2, 2.0, [1.0])
    assert [(each.number, each.ended_ns, each.outcome) for each in ended] == [
        (1, 70, COMPLETED),
        (2, 150, COMPLETED),
    ]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.data())
def test_selection_puts_in_place_what_sorting_would(values, data):
    array = np.array(values)
    ranks = sorted({data.draw(st.integers(0, len(values) - 1)) for _ in range(3)})
    low = 0
    for rank in ranks:
        select(array, low, len(values), rank)
        assert array[rank] == sorted(values)[rank]
        low = rank + 1
    assert sorted(array.tolist()) == sorted(values)


@pytest.mark.parametrize("shape", ["rising", "falling", "equal", "up and down"])
def test_selection_is_quick_for_latencies_that_follow_a_pattern(shape):
    """A million of them: quadratic time would take hours."""
    rising = np.arange(1_000_000)
    array = {
        "rising": rising,
        "falling": rising[::-1].copy(),
        "equal": np.zeros_like(rising),
        "up and down": np.minimum(rising, rising[::-1]),
    }[shape]
    expected = np.sort(array)[950_000]
    select(array, 0, len(array), 950_000)
    assert array[950_000] == expected


def test_reports_are_the_last_windows_of_the_tables():
    seen = {}

    def act(context):
        for query in context.waiting:
            context.deploy(query, next(iter(context.candidates(query))))
        for query in context.running:
            if context.trigger == "arrival" or query.id % 2:
                seen[query.id] = context.telemetry(query)

    planner = Does(act, replan_every_s=10.0)
    windows = tables_of(scenario(600, rate=0.05), planner)["windows"].sort("query", "window")
    assert max(len(reports) for reports in seen.values()) > 2
    for query, reports in seen.items():
        rows = windows.filter(pl.col("query") == query)
        ends = rows["end_s"].to_list()
        if not reports:
            continue
        assert len(reports) <= REPORTS_KEPT
        last = ends.index(reports[-1].end_s)
        assert [each.end_s for each in reports] == ends[: last + 1][-REPORTS_KEPT:]
        for report, row in zip(
            reports, rows[last + 1 - len(reports) : last + 1].iter_rows(named=True), strict=True
        ):
            assert (report.born, report.good, report.completed) == (
                row["requests"],
                row["good"],
                row["completed"],
            )
            assert report.cost_usd == row["cost_usd"]
            assert report.latency_quantile_s == row["latency_p95_s"]
            if report.completed == 0:
                assert isnan(report.latency_mean_s)
                assert report.waiting_s == report.compute_s == report.transfer_s == ()
            else:
                assert report.latency_mean_s == row["latency_mean_s"]
                parts_s = sum(report.waiting_s) + sum(report.compute_s) + sum(report.transfer_s)
                assert parts_s == pytest.approx(report.latency_mean_s)


def test_counts_are_those_of_the_last_windows_of_running_queries():
    seen = []

    def act(context):
        for query in context.waiting:
            context.deploy(query, next(iter(context.candidates(query))))
        last = [context.telemetry(query)[-1:] for query in context.running]
        expected = [
            [sum(each.born for each in reports), sum(each.good for each in reports)]
            for reports in last
        ]
        assert context.bulk.last_counts().tolist() == expected
        seen.extend(born > good for born, good in expected)

    planner = Does(act, replan_every_s=10.0)
    made = run(scenario(600, rate=0.05), planner)
    assert made.planner_errors == []
    assert set(seen) == {False, True}


def test_tables_keep_the_order_of_rows_and_of_columns():
    tables = ResultTables()
    names = list(SCHEMAS["operators"])
    row = {"query": 1, "window": 2, "operator": "a"}
    columns = dict.fromkeys(names[3:], np.array([0.5, np.nan]))
    tables.add("operators", row)
    tables.extend(
        "operators",
        {"query": np.array([3, 4]), "window": np.array([5, 6]), "operator": ["b", "c"], **columns},
    )
    tables.add("operators", row | {"query": 7})
    frame = tables.take()["operators"]
    assert frame["query"].to_list() == [1, 3, 4, 7]
    assert frame.schema == pl.Schema(SCHEMAS["operators"])
    assert frame["compute_s"].is_null().to_list() == [True, False, False, True]
    again = tables.take()
    assert list(again) == list(SCHEMAS)
    assert all(each.is_empty() for each in again.values())


def test_a_worlds_totals_are_those_of_its_tables():
    made = run(
        scenario(200, rate=0.1),
        Does(
            lambda context: [
                context.deploy(query, next(iter(context.candidates(query))))
                for query in context.waiting
            ]
        ),
    )
    frames = made.tables.take()
    windows, queries = frames["windows"], frames["queries"]
    assert made.monitor.born_total == windows["requests"].sum() == queries["requests"].sum()
    met_s = windows.filter(pl.col("met"))["deployed_s"].sum()
    assert made.monitor.goodput_ns / NS_PER_S == pytest.approx(met_s)
    assert made.monitor.active_ns / NS_PER_S == pytest.approx(windows["active_s"].sum())
