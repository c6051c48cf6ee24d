"""Figures 13, 14b, 17 (histories) and 18: verdicts on made-up runs."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lab.runs.api import run
from studies.common.claims import Verdict
from studies.common.measures import early, spending
from studies.common.store import frame
from studies.paper.figures import encodings, histories, planning_time, profiling_cost
from studies.probes.belief_probe import COLD


def spent(application: str, profiling_s: float, response_s: float, seed: int) -> dict[str, Any]:
    """Return a run whose searches that deployed first all took less than five seconds."""
    return {
        "application": application,
        "seed": seed,
        "profiling_s": profiling_s + seed / 10,
        "surrogates_s": 2.0,
        "other_s": 0.1,
        "first_search_s": 1.0,
        "response_s": response_s + seed / 100,
        "response_is_bound": response_s > 100,
        "served": 0.5,
    }


def hours(scale: float) -> pl.DataFrame:
    """Return runs of which VideoStorm's take so many times Compass's hours."""
    return frame(
        [
            {
                "scene": "captioning",
                "planner": planner,
                "seed": seed,
                "queries": 10,
                "device_hours": times * (2 + times * seed / 10),
                "device_hours_a_query": times * (2 + times * seed / 10) / 10,
                "first_search_s": 1.0,
                "served": 0.5,
            }
            for planner, times in (("compass", 1.0), ("videostorm", scale))
            for seed in range(3)
        ]
    )


@pytest.mark.parametrize(("scale", "verdict"), [(2.0, Verdict.AGREES), (0.5, Verdict.DIFFERS)])
def test_device_hours_decide(scale: float, verdict: Verdict) -> None:
    (found,) = profiling_cost.findings(hours(scale))
    assert found.verdict == verdict


def test_planning_is_mostly_profiling_or_not() -> None:
    rows = frame(
        [
            spent(name, profiling_s, response_s, seed)
            for name, profiling_s, response_s in (
                ("speech_recognition", 10.0, 1.0),
                ("live_video_chat", 0.5, 9.0),
                ("captioning", 10.0, 60.0),
            )
            for seed in range(3)
        ]
    )
    verdicts = [each.verdict for each in planning_time.findings(rows)]
    agrees, differs = Verdict.AGREES, Verdict.DIFFERS
    assert verdicts == [agrees, agrees, differs, differs, agrees, Verdict.UNDECIDED]


@pytest.mark.parametrize(
    ("response_s", "served", "verdict"),
    [
        ([0.4, 0.5, 0.6], 0.9, Verdict.AGREES),
        ([1.0, 4.0, 9.0], 0.6, Verdict.UNDECIDED),
        ([9.0, 9.5, 10.0], 0.6, Verdict.DIFFERS),
        ([200.0, 210.0, 220.0], 0.3, Verdict.DIFFERS),
        ([0.4, 0.5, 200.0], 0.5, Verdict.UNDECIDED),
    ],
)
def test_a_plan_is_found_in_time_if_queries_are_served_in_time(
    response_s: list[float], served: float, verdict: Verdict
) -> None:
    """However few seconds the searches took that deployed first."""
    rows = [
        spent("visual_tracking", 10.0, each, seed) | {"served": served}
        for seed, each in enumerate(response_s)
    ]
    found = planning_time.findings(frame(rows))[1]
    assert found.verdict == verdict
    assert found.ours.startswith("≥") == (max(response_s) > 100)
    assert f"{100 * served:g} % are ever served" in found.why


def by_count(seconds: dict[int, float]) -> pl.DataFrame:
    return frame(
        [
            {
                histories.SWEPT: str(count),
                "seed": seed,
                "response_s": response_s + seed / 1000,
                "first_search_s": response_s / 2 + seed / 1000,
                "configurations": 2.0,
                "profiling_device_s": 9.0,
                "served": 1.0,
            }
            for count, response_s in seconds.items()
            for seed in range(3)
        ]
    )


def test_ten_histories_are_good_or_not() -> None:
    good = histories.findings(by_count({0: 2.0, 1: 1.5, 10: 1.0, 100: 3.0}))
    bad = histories.findings(by_count({0: 0.5, 1: 0.5, 10: 1.0, 100: 0.5}))
    assert [each.verdict for each in good[:2]] == [Verdict.AGREES] * 2
    assert [each.verdict for each in bad[:2]] == [Verdict.DIFFERS] * 2
    # What more cost is declared, so that no ratio confirms it.
    assert [each.verdict for each in (*good[2:], *bad[2:])] == [Verdict.UNDECIDED] * 4


def test_unreached_medians_do_not_shorten_response_times() -> None:
    rows = by_count({0: 2.0, 10: 1.0}).with_columns(
        response_s=pl.when((pl.col("seed") < 2) | (pl.col(histories.SWEPT) == "0")).then(
            pl.col("response_s")
        )
    )
    [found] = histories.findings(rows)
    # 1 s, 1.001 s and never, over 2 s, 2.001 s and 2.002 s, in responses a second: 1.333
    assert found.ours.startswith("1.33 [0, ")
    assert found.verdict == Verdict.UNDECIDED
    assert any(line.startswith("| 10 | infinite |") for line in histories.lines(rows))


def encoded(one_hot: dict[int, float]) -> pl.DataFrame:
    """Return errors of 0.1, and those of one-hot features by profiled configurations."""
    return frame(
        [
            {
                "scene": "speech",
                encodings.SWEPT: encoding,
                "seed": seed,
                "cells": [
                    {
                        "model": COLD,
                        "profiled": at,
                        "accuracy": (error if encoding == encodings.ONE_HOT else 0.1) * noise,
                    }
                    for at, error in one_hot.items()
                    for noise in [1 + seed / 100 + 0.005 * (encoding == encodings.ONE_HOT) * seed]
                ],
            }
            for encoding in (encodings.OURS, encodings.ONE_HOT, encodings.CONTINUOUS)
            for seed in range(4)
        ]
    )


@pytest.mark.parametrize(
    ("one_hot", "verdict"),
    [
        ({4: 0.2, 8: 0.05}, Verdict.AGREES),
        ({4: 0.2, 8: 0.2}, Verdict.DIFFERS),
        ({4: 0.099, 8: 0.099}, Verdict.UNDECIDED),
    ],
)
def test_one_hot_features_are_sometimes_better(one_hot: dict[int, float], verdict: Verdict) -> None:
    found = encodings.findings(encoded(one_hot))
    assert [each.verdict for each in found] == [verdict] * 2


@pytest.mark.slow
def test_pictures_and_tables_are_made(tmp_path: Path) -> None:
    names = ("speech_recognition", "captioning")
    seconds = frame([spent(name, 5.0, 1.0, seed) for name in names for seed in range(2)])
    made = [
        (profiling_cost, hours(2.0), 7),
        (planning_time, seconds, 14),
        (histories, by_count({0: 2.0, 10: 1.0}), 7),
        (encodings, encoded({4: 0.2, 8: 0.05}), 9),
    ]
    for figure, rows, lines in made:
        (path,) = figure.draw(rows, tmp_path)
        assert path.stat().st_size > 8_000
        assert len(list(figure.lines(rows))) == lines


def test_what_planning_takes_is_read_off_a_run() -> None:
    words = ["experiment=paper/fig14b_seconds", "horizon_s=60", "planner=compass"]
    result = run([*words, "switching=free"])  # or else the cloud boots for longer than the run
    spent_s = spending(result)
    parts_s = spent_s["profiling_s"] + spent_s["surrogates_s"] + spent_s["other_s"]
    assert parts_s == pytest.approx(float(result.queries["planning_s"].to_numpy().mean()))
    assert min(spent_s["profiling_s"], spent_s["surrogates_s"], spent_s["other_s"]) > 0
    assert spent_s["first_search_s"] <= 5.0
    assert spent_s["served"] == result.queries["response_time_s"].count() / result.queries.height
    assert not spent_s["response_is_bound"]
    assert 0.0 < spent_s["response_s"] < 60.0
    late = early(result)
    assert late["queries"] == (result.queries["arrival_s"] >= 30).sum()
    assert late["configurations"] >= 1
