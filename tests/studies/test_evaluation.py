"""The evaluation's harness and statistics, on made-up runs."""

import json
import math
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from lab.analysis.paired import (
    PairedMetric,
    jackknifed,
    ratio_interval,
    ratio_of_means,
    ratios,
)
from lab.analysis.sizing import demand, limited_gpus
from lab.analysis.statistics import estimate
from lab.reporting.markdown import estimated
from lab.run_cache.jobs import Job
from studies import page
from studies.__main__ import main
from studies.common import scenes, store
from studies.common.claims import goal_reached
from studies.common.measures import totals, violations
from studies.common.study import Scale
from studies.common.tables import means
from studies.experiments import profiling
from studies.experiments.profiling import at_equal_correctness
from studies.paper.figures import surrogates
from studies.registry import STUDIES

RUN = ("experiment=speech_small", "horizon_s=60", "planner=static_plan")


def rows(**values: list[float | None]) -> pl.DataFrame:
    """Return rows of some planners, with one value a seed and no bounds."""
    return pl.DataFrame(
        [
            {"planner": planner, "seed": seed, "value": value, "bound": value == 100.0}
            for planner, each in values.items()
            for seed, value in enumerate(each)
        ]
    )


def test_ratios_say_how_many_times_better_the_reference_is() -> None:
    frame = rows(ours=[2.0, 4.0, 8.0], theirs=[1.0, 2.0, 2.0], none=[None, 0.0, 4.0])
    more = ratios(frame, PairedMetric("value", "goodput", more_is_better=True), "ours")
    less = ratios(frame, PairedMetric("value", "cost", more_is_better=False), "ours")
    assert more["ratio"].to_list() == pytest.approx([14 / 5, 12 / 4])
    assert less["ratio"].to_list() == pytest.approx([5 / 14, 4 / 12])
    assert more["n"].to_list() == [3, 2]
    assert more["low"][0] < more["ratio"][0] < more["high"][0]
    # The interval of the inverse has the inverse ends.
    assert less["low"].to_list() == pytest.approx([1 / more["high"][0], 0.0])


def test_a_time_that_is_never_reached_counts_with_a_reciprocal_of_0() -> None:
    frame = rows(ours=[2.0, 100.0], theirs=[4.0, 4.0], never=[None, 100.0])
    metric = PairedMetric("value", "time", more_is_better=False, endless=True, bound="bound")
    found = ratios(frame, metric, "ours")
    assert found["ratio"].to_list() == pytest.approx([(1 / 2 + 0) / (1 / 4 + 1 / 4), np.inf])
    assert found["n"].to_list() == [2, 2]
    assert ratios(frame, metric, "never")["ratio"].to_list() == [0.0, 0.0]


def test_a_mean_is_a_bound_if_one_of_its_values_is() -> None:
    frame = rows(ours=[1.0, 100.0], theirs=[2.0, 4.0]).rename(
        {"value": "response_s", "bound": "response_is_bound"}
    )
    words, *_, ours, theirs, _ = means(frame.with_columns(goodput=1.0), ["planner"], ["response_s"])
    assert (ours, theirs) == ("| ours | ≥ 50.5 |", "| theirs | 3 |")
    assert "≥" in words
    words, *_ = means(frame.with_columns(goodput=1.0), ["planner"], ["goodput"])
    assert "≥" not in words


def test_zeros_on_many_seeds_give_a_ratio_and_on_few_seeds_no_interval() -> None:
    spent = PairedMetric("value", "device-hours", more_is_better=False)
    served = PairedMetric("value", "goodput", more_is_better=True)
    ends = ["ratio", "low", "high"]
    for many, low, high in ((1, 0.0, np.inf), (2, np.inf, 0.0)):  # 3 and 6 seeds
        frame = rows(ours=[1.0, 2.0, 1.5] * many, idle=[0.0] * 3 * many, theirs=[2.0] * 3 * many)
        assert ratios(frame, spent, "ours").select(ends).row(0) == (0.0, 0.0, high)
        assert ratios(frame, spent, "idle").select(ends).row(0) == (np.inf, low, np.inf)
        assert ratios(frame, served, "ours").select(ends).row(0) == (np.inf, low, np.inf)
        assert ratios(frame, served, "ours")["ratio"][1] == pytest.approx(4.5 / 6)
    nobody = rows(ours=[0.0, 0.0], theirs=[0.0, 0.0])
    assert ratios(nobody, served, "ours").select(ends).row(0) == (None, None, None)


def test_the_ends_of_a_ratios_interval_are_just_not_rejected_by_the_t_test() -> None:
    ours, theirs = np.array([4.0, 0.0, 6.0, 9.0, 3.0]), np.array([1.0, 3.0, 0.0, 2.0, 4.0])
    found = ratio_of_means(ours, theirs)
    assert found.mean == pytest.approx(22 / 10)
    for end in (found.low, found.high):  # 0 is an end of the t-interval of ours - r theirs.
        if end and np.isfinite(end):
            edge = estimate(ours - end * theirs)
            assert edge.p == pytest.approx(0.05)
    # The t-interval of theirs, with the quantile t(0.975, 4), excludes 0.
    assert 2.7764451 * theirs.std(ddof=1) / math.sqrt(5) < 2.0
    assert found.high < np.inf
    assert found.p == estimate(ours - theirs).p


def test_a_ratio_to_a_mean_that_may_be_0_has_no_upper_end_until_seeds_tell() -> None:
    ours, theirs = np.array([8.0, 9.0, 10.0, 9.0]), np.array([0.0, 0.0, 0.0, 4.0])
    # mean 1, deviation 2, t(0.975, 3) = 3.1824: 1 - 3.1824 * 2 / 2 < 0
    _, low, high = ratio_interval(ours, theirs)
    assert (high, low > 1) == (np.inf, True)
    assert estimate(ours - low * theirs).p == pytest.approx(0.05)
    assert estimated(9.0, low, high) == f"9 [≥ {low:.3g}]"
    _, low, high = ratio_interval(np.tile(ours, 10), np.tile(theirs, 10))
    assert 5 < low < 9 < high < 30


def test_intervals_of_ratios_have_their_coverage_with_zeros() -> None:
    rng, held = np.random.default_rng(3), 0
    for _ in range(400):
        theirs = np.where(rng.random(10) < 0.2, 0.0, rng.normal(10, 2, 10).clip(0))
        ours = 2 * theirs + rng.normal(0, 1, 10)
        _, low, high = ratio_interval(ours.clip(0), theirs)
        held += low <= 2 <= high
    assert 0.91 < held / 400 < 0.98


def test_a_jackknife_of_a_mean_is_students_interval() -> None:
    values = np.array([1.0, 4.0, 2.0, 8.0, 5.0])
    middle, low, high = jackknifed(5, lambda chosen: float(values[list(chosen)].mean()))
    half = 2.7764451 * values.std(ddof=1) / math.sqrt(5)  # t(0.975, 4)
    assert (middle, low, high) == pytest.approx((4.0, 4.0 - half, 4.0 + half))


def test_equal_ratios_have_an_interval_of_no_width() -> None:
    theirs = np.array([1.0, 2.0, 1.5])
    assert ratio_interval(2 * theirs, theirs) == pytest.approx((2, 2, 2))


@pytest.mark.parametrize(
    ("value", "at_least", "at_most"),
    [
        ((0.97, 0.96, 0.98), "yes", "no"),
        ((0.97, 0.94, 1.0), "open", "open"),
        ((0.94, 0.92, 0.96), "open", "open"),
        ((0.9, 0.88, 0.94), "no", "yes"),
        ((0.95, 0.95, 0.95), "yes", "yes"),
        ((0.9, None, None), "no, of one seed", "yes, of one seed"),
        ((None, None, None), "-", "-"),
    ],
)
def test_a_goal_is_reached_if_the_whole_interval_is_beyond_it(value, at_least, at_most) -> None:
    assert goal_reached(value, 0.95) == at_least
    assert goal_reached(value, 0.95, at_most=True) == at_most


@pytest.mark.parametrize(
    ("value", "at_least", "at_most"),
    [
        ((0.97, 0.96, 0.98), "open", "open"),  # 0.96 at most may be anything below.
        ((0.9, 0.88, 0.94), "no", "yes"),
    ],
)
def test_an_upper_bound_tells_only_that_a_value_is_no_larger(value, at_least, at_most) -> None:
    assert goal_reached(value, 0.95, sign="≤") == at_least
    assert goal_reached(value, 0.95, at_most=True, sign="≤") == at_most


def test_a_value_that_may_be_anything_leaves_every_goal_open() -> None:
    value = (0.97, 0.96, 0.98)
    assert goal_reached(value, 0.95, sign="?") == "open"
    assert goal_reached(value, 0.99, sign="?") == "open"
    assert goal_reached(value, 0.95, sign="≥") == "yes"
    assert goal_reached(value, 0.99, sign="≥") == "open"


def test_an_interval_of_errors_around_the_goal_leaves_it_open() -> None:
    """A mean ratio below the goal does not meet it where its interval reaches beyond."""

    def said(errors: list[float]) -> str:
        found = [
            {
                "part": "latency",
                "application": "tracking",
                "dataset": "MOT17",
                "order": "same",
                "planner": name,
                "seed": seed,
                "cells": [{"plans": 10, "error": error if name == "cmbo" else 1.0}],
            }
            for name in surrogates.NAMES
            for seed, error in enumerate(errors)
        ]
        [line] = [line for line in surrogates.lines(store.frame(found)) if "MOT17" in line]
        return line.strip("| ").rpartition("|")[2].strip()

    assert said([0.4, 0.41, 0.39]) == "yes"
    assert said([0.2, 0.8, 0.4]) == "open"
    assert said([0.8, 0.81, 0.79]) == "no"


def test_an_interval_of_samples_around_the_goal_leaves_it_open() -> None:
    found = store.read("profiling")
    assert found is not None
    cells = [line.strip("| ").split(" | ") for line in profiling.lines(found[1])]
    judged = [(row[5], row[6]) for row in cells if len(row) == 7 and row[5].endswith("]")]
    assert len(judged) == 2 * len(profiling.FIRST) * len(profiling.MOST)
    for ratio, said in judged:
        low, high = json.loads(ratio[ratio.index("[") :])
        beyond = "open" if ratio.startswith("≤") else "no"
        assert said == (
            "yes" if high <= profiling.GOAL else beyond if low > profiling.GOAL else "open"
        )


def test_samples_are_compared_at_equal_correctness() -> None:
    cells = []
    for seed in range(2):
        for first in (16, 32):
            for most in (64, 96, 256, 1024):
                correct = {64: 90, 96: 92, 256: 96, 1024: 98}[most]
                for planner, saved, better in (
                    ("random", 1, 0),
                    ("proportional", 2, 0),
                    ("neyman", 1, 2),
                ):
                    cells.append(
                        {
                            "first": first,
                            "most": most,
                            "planner": planner,
                            "seed": seed,
                            "tests": 100,
                            "samples": most * 100 // saved,
                            "correct": correct + better,
                        }
                    )
    found = at_equal_correctness(pl.DataFrame(cells)).filter(first=16)
    by = {(row["planner"], row["most"]): row["ratio"] for row in found.iter_rows(named=True)}
    assert by["random", 256] is None
    assert by["proportional", 256][0] == pytest.approx(0.5)  # As correct, with half of the samples.
    assert by["neyman", 64][0] == pytest.approx(64 / 96)  # As correct as random with 96.
    assert by["neyman", 1024][0] == pytest.approx(1.0)  # Random is never as correct.
    bounds = [(row["planner"], row["most"]) for row in found.iter_rows(named=True) if row["sign"]]
    assert bounds == [("neyman", 1024)]


def test_a_key_knows_what_a_result_depends_on() -> None:
    job = Job(RUN, 0, totals)
    assert job.key == Job(RUN, 0, totals, {"label": "free"}).key
    others = [
        Job((*RUN, "workload.rate=0.2"), 0, totals),
        Job(RUN, 1, totals),
        Job(RUN, 0, violations),
        Job((*RUN[:-1], "planner=greedy"), 0, totals),
    ]
    assert len({job.key, *(other.key for other in others)}) == 5


def test_demand_at_full_quality_is_more_than_the_least() -> None:
    for application in scenes.APPLICATIONS:
        each = scenes.demand_of(application)
        assert each.full_gpus > 1.5 * each.least_gpus > 0
        assert limited_gpus(100, each) <= 100 * each.full_gpus
    twice = demand(("application=visual_tracking", "application.requests_per_s=2.0"))
    assert twice.full_gpus == pytest.approx(2 * scenes.demand_of("tracking").full_gpus)


@pytest.mark.parametrize("quick", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_names_runs_that_differ(name: str, quick: bool) -> None:
    jobs = STUDIES[name].jobs(Scale(quick, seeds=[0, 1]))
    assert {job.seed for job in jobs} == {0, 1}
    told = {(job.overrides, job.seed) for job in jobs}
    labels = {(tuple(job.labels.items()), job.seed) for job in jobs}
    assert len(labels) == len(jobs)
    assert len(told) >= len(jobs) / 2  # The limits share a value.


def test_the_page_follows_from_the_stored_results() -> None:
    for name in STUDIES:
        found = store.read(name)
        if found is not None:
            assert found[1].height >= found[0].runs  # Rows may share runs.
    assert page.PAGE.read_text(encoding="utf-8") == page.page()


SEEDS_SAID = (
    "must be the number of seeds, 1 or more, or a list of seeds, each once and in order, such as "
    "0-9,100-119"
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["headline", "--seeds", "0"], f"0: {SEEDS_SAID}"),
        (["headline", "--seeds", "ten"], f"ten: {SEEDS_SAID}"),
        (["headline", "--seeds", "0-3,2"], f"0-3,2: {SEEDS_SAID}"),
        (["headline", "--seeds", "5-3,8"], f"5-3,8: {SEEDS_SAID}"),
        (["headline", "--seeds", "8,5"], f"8,5: {SEEDS_SAID}"),
        (["headline", "--seeds", "7-"], f"7-: {SEEDS_SAID}"),
        (["headline", "--seeds", "1-2-3"], f"1-2-3: {SEEDS_SAID}"),
    ],
)
def test_bad_arguments_are_reported_in_one_sentence(words, said, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert capsys.readouterr().err.endswith(f"{said}\n")


class StoppedError(Exception):
    """In place of runs."""


@pytest.mark.parametrize(
    ("told", "seeds"), [("3", {0, 1, 2}), ("0-1,7-8", {0, 1, 7, 8}), ("4,6", {4, 6})]
)
def test_seeds_are_given_as_a_number_or_a_list(told, seeds, monkeypatch):
    def make(jobs, *_):
        assert {job.seed for job in jobs} == seeds
        raise StoppedError

    monkeypatch.setattr("studies.steps.make", make)
    with pytest.raises(StoppedError):
        main(["surrogates", "--seeds", told])


@pytest.mark.parametrize(("first", "kept"), [(0, []), (2000, ["near_optimal"])])
def test_results_are_stored_unless_a_seed_is_one_for_building(first, kept, monkeypatch):
    made = pl.DataFrame({"seed": [first, first + 2000]})
    wrote = []
    monkeypatch.setattr(
        "studies.__main__.run",
        lambda *_: SimpleNamespace(frame=made, rows=[], seeds=2, core_s=1.0, runs=2),
    )
    monkeypatch.setattr("studies.__main__.store.write", lambda name, *_: wrote.append(name))
    monkeypatch.setattr(STUDIES["near_optimal"], "lines", lambda _: iter(()))
    assert main(["near_optimal", "--seeds", f"{first},{first + 2000}"]) == 0
    assert wrote == kept


def test_an_unknown_study_is_told_with_the_nearest_name(capsys):
    assert main(["near_optima"]) == 2
    assert capsys.readouterr().err.endswith("did you mean 'near_optimal'?\n")


def test_an_unknown_planner_is_told_with_the_nearest_name(capsys):
    assert main(["headline", "--planners", "vulcn"]) == 2
    assert "did you mean 'vulcan'" in capsys.readouterr().err
