"""Figure 4: verdicts on made-up runs."""

from pathlib import Path

import polars as pl
import pytest

from studies.common.claims import Verdict
from studies.common.store import frame
from studies.paper.figures import slow_search


def rows(dear: float, share: float) -> pl.DataFrame:
    """Return runs whose plans are so many times dearer soon, and late not, and how many serve."""
    found = []
    for seed in range(3):
        least = [{"query": query, "met": False, "price": None, "least": 1.0} for query in range(3)]
        label = {"seed": seed, "planner": "vulcan"}
        found.append({**label, "planner": "truth", "part": slow_search.LEAST, "cells": least})
        for budget_s, times in (("5", dear + seed / 100), ("45", 1.0 + seed / 1000)):
            cells = [
                {"query": 0, "met": True, "price": times, "least": None},
                {"query": 1, "met": True, "price": times, "least": None},
                {"query": 2, "met": False, "price": 99.0, "least": None},
            ]
            found.append(
                {**label, "part": slow_search.BUDGET, "planner.budget_s": budget_s, "cells": cells}
            )
        for rate, active, goodput in (("0.1", 10.0, 9.0), ("0.8", 80.0, 80 * share + seed / 100)):
            found.append(
                {
                    **label,
                    "part": slow_search.QUERIES,
                    "workload.rate": rate,
                    "active": active,
                    "goodput": goodput,
                }
            )
    return frame(found)


@pytest.mark.parametrize(
    ("dear", "share", "verdict"), [(1.5, 0.2, Verdict.AGREES), (1.0, 0.9, Verdict.DIFFERS)]
)
def test_prices_and_shares_decide(dear: float, share: float, verdict: Verdict) -> None:
    found = slow_search.findings(rows(dear, share))
    assert [each.verdict for each in found] == [verdict] * 3


def test_slowness_counts_queries_that_both_budgets_serve() -> None:
    each = pl.DataFrame(
        [
            (0, 1.0, True, 5.0),
            (0, 1.0, True, 45.0),
            (1, 9.0, False, 5.0),
            (1, 9.0, True, 45.0),  # Served late only: not slow to be cheap, but slow to be served.
        ],
        ["query", "price", "served", "budget_s"],
        orient="row",
    ).with_columns(seed=0)
    assert slow_search.soon_over_late(each, 5.0, 45.0)["ratio"].to_list() == [1.0]


def test_queries_that_are_not_served_have_no_price() -> None:
    tidy = slow_search.over_least(rows(1.5, 0.2)).filter(seed=0, budget_s=5.0)
    assert tidy["ratio"].to_list() == [1.5]
    assert tidy["served"].to_list() == pytest.approx([2 / 3])


def test_the_picture_and_the_table_are_made(tmp_path: Path) -> None:
    (path,) = slow_search.draw(rows(1.5, 0.2), tmp_path)
    assert path.stat().st_size > 10_000
    assert len(list(slow_search.lines(rows(1.5, 0.2)))) == 5
