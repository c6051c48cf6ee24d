"""The page of the atlas follows from its table of runs."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lab.analysis.sequential import Looks
from lab.atlas.axes import design
from lab.atlas.race import GOODPUT, PER_DOLLAR
from lab.atlas.rerun import Again
from lab.atlas.runs import ABOUT, RUNS, Plan
from studies import atlas

PLANNERS = ("compass", "greedy")
PLAN = Plan(PLANNERS, 0, looks=Looks((3,), 0.05))


def _kept(directory: Path) -> None:
    """Keep an atlas in which the load decides who is best."""
    rng = np.random.default_rng(2)
    rows = [
        {
            "cell": number,
            **cell.values,
            "planner": planner,
            "seed": PLAN.seed(number, seed),
            GOODPUT: value,
            "active": 10.0,
            "usd_per_hour": 1.0,
            PER_DOLLAR: value,
            "core_s": 1.0,
        }
        for number, cell in enumerate(design(120, 0))
        for planner in PLANNERS
        for seed in range(3)
        for ahead in [(cell.values["load"] > 0.8) == (planner == "compass")]
        for value in [8.0 if ahead else 2.0 + 0.01 * rng.normal()]
    ]
    directory.mkdir()
    pl.DataFrame(rows).write_parquet(directory / RUNS)
    (directory / ABOUT).write_text(json.dumps({**asdict(PLAN), "wall_s": 7200.0}))


def test_the_page_says_who_is_best_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _kept(tmp_path / "kept")
    monkeypatch.setattr(atlas, "KEPT", tmp_path / "kept")
    text = atlas.page()
    assert "720 runs took 0.2 core-hours." in text
    assert "- Where the load is at most 0.79" in text
    assert "80 % of the queries' time" in text
    assert "0 % of cells are ties, and 0 % are undecided" in text
    assert "No cells were rerun" in text
    reversed_ = {
        "ahead": "compass",
        "behind": "greedy",
        "change": None,
        "size": None,
        "ordered": True,
    }
    pl.DataFrame([{**reversed_, "ratio": None}]).write_parquet(
        tmp_path / "kept" / "reversals.parquet"
    )
    again = [Again.SAME] * 9 + [Again.OTHER]
    pl.DataFrame({"again": again}).write_parquet(tmp_path / "kept" / "rerun.parquet")
    text = atlas.page()
    assert "| `compass` | `greedy` | none of the tried changes |" in text
    assert "10 random decided cells were rerun" in text
    assert "The winner or tie is the same in 9 of them, 90 % [55, 100]" in text


@pytest.mark.slow
def test_the_picture_of_all_scenes_is_drawn_with_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kept(tmp_path / "kept")
    monkeypatch.setattr(atlas, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(atlas, "PICTURES", tmp_path / "drawn")
    assert tmp_path / "drawn" / "shares.png" in atlas.draw()
    assert (tmp_path / "drawn" / "shares.png").stat().st_size > 10_000


def test_the_page_follows_from_the_kept_atlas() -> None:
    assert atlas.PAGE.read_text(encoding="utf-8") == atlas.page()
