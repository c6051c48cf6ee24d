"""Figure 2: verdicts on made-up users, and what the probe records of real ones."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lab.common.errors import InputError
from lab.runs.api import run
from studies.common.claims import Verdict
from studies.common.store import frame
from studies.paper.figures import users
from studies.probes.user_probe import UserProbe, prices
from studies.probes.user_probe import users as measured


def rows(wide: bool) -> pl.DataFrame:
    """Return users that differ, or that are all alike, up to a little that depends on the seed."""

    def cell(number: int, seed: int) -> dict[str, Any]:
        much = number if wide else 0
        return {
            "query": number,
            "tier": "premium",
            "speed": 1.0 + much + seed / 100,
            "uplink_bps": 1e7 * (1 + much) + seed,
            "classes": [
                {
                    "name": name,
                    "accuracy": 0.5 + much / 20 + seed / 1000,
                    "price": None if at == 3 else abs(at - much % 3) + 1.0,
                }
                for at, name in enumerate(users.CLASSES)
            ],
        }

    return frame(
        [
            {"application": name, "seed": seed, "cells": [cell(n, seed) for n in range(6)]}
            for name in users.APPLICATIONS.values()
            for seed in range(3)
        ]
    )


@pytest.mark.parametrize(("wide", "verdict"), [(True, Verdict.AGREES), (False, Verdict.DIFFERS)])
def test_spreads_are_wide_or_not(wide: bool, verdict: Verdict) -> None:
    found = users.findings(rows(wide))
    assert [each.verdict for each in found] == [verdict] * 8


def test_the_best_class_is_the_cheapest_that_would_do() -> None:
    best = users.best(rows(wide=True)).filter(application="speech", seed=0).sort("query")
    assert best["name"].to_list() == list(users.CLASSES[:3]) * 2


@pytest.mark.slow
def test_the_picture_and_the_table_are_made(tmp_path: Path) -> None:
    (path,) = users.draw(rows(wide=True), tmp_path)
    assert path.stat().st_size > 10_000
    assert "| speech | 18 | 33.3 | 33.3 | 33.3 | 0 | 0 |" in list(users.lines(rows(wide=True)))


def test_the_probe_tells_the_truth_of_each_class() -> None:
    result = run(["experiment=paper/fig02_speech", "horizon_s=20"])
    cells = measured(result)["cells"]
    assert len(cells) == len(result.queries) > 3
    for cell in cells:
        accuracy = {each["name"]: each["accuracy"] for each in cell["classes"]}
        assert list(accuracy) == list(users.CLASSES)
        assert accuracy["low-low"] < accuracy["high-high"]
    assert any(each["price"] for cell in cells for each in cell["classes"])


def test_the_probe_finds_the_least_price_that_a_planner_could_pay() -> None:
    scene = ["experiment=paper/fig04_least", "horizon_s=400", "workload.rate=0.01"]
    least = {cell["query"]: cell["least"] for cell in prices(run(scene))["cells"]}
    paid = prices(run(["experiment=paper/fig04_budget", *scene[1:], "planner=cheapest_feasible"]))[
        "cells"
    ]
    pairs = [(cell["price"], least[cell["query"]]) for cell in paid if cell["met"]]
    assert pairs
    assert all(price >= bound - 1e-9 for price, bound in pairs)


def test_unknown_knobs_are_refused() -> None:
    with pytest.raises(ValueError, match="a light and a heavy value"):
        UserProbe(["model"])
    with pytest.raises(InputError, match="light"):
        run(["experiment=paper/fig02_speech", "planner.light=[]"])
