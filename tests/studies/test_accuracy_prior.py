"""The study on what Compass believes about accuracy: its runs and its tables."""

from dataclasses import fields

import polars as pl

from planners.compass.search.accuracy_prior import AccuracyPrior
from studies.experiments import accuracy_prior
from studies.experiments.accuracy_prior import ALONE, BELIEFS, DEFAULT, MOVED


def test_every_belief_is_moved_down_and_up_and_can_be_set():
    default = AccuracyPrior()
    assert list(MOVED) == [each.name for each in fields(AccuracyPrior)]
    for name, (low, high) in MOVED.items():
        assert low < getattr(default, name) < high
        for value in (low, high):
            assert AccuracyPrior(**{name: value}) != default
            assert f"planner.search.accuracy_prior.{name}={value:g}" in BELIEFS[f"{name}={value:g}"]


def test_tables_compare_the_default_with_each_belief_and_show_what_is_below_the_floor():
    rows = pl.DataFrame(
        {
            "scene": "speech",
            "belief": belief,
            "planner": "compass",
            "seed": seed,
            "goodput": goodput * (1 + seed % 3 / 10),
            "below_floor": below,
        }
        for belief, goodput, below in (
            (DEFAULT, 6.0, 0.1),
            ("level=0.8", 3.0, 0.2),
            (ALONE, 2.0, 0.3),
        )
        for seed in range(900, 906)
    )
    text = list(accuracy_prior.lines(rows))
    assert "Intervals with other numbers that exclude 1: 1 of 1, and 1 after" in text[0]
    assert "| level=0.8 | 2 [2, 2] |" in text
    assert f"| {ALONE} | 3 [3, 3] |" in text
    assert "| default | 0.1 [0.1, 0.1] |" in text
    assert "| level=0.8 | 0.2 [0.2, 0.2] |" in text
