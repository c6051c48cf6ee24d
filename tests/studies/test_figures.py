"""Figures of the evaluation say what they show, with intervals."""

from math import inf
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from lab.reporting.plotting import canvas as figures
from studies.common import store
from studies.common.pictures import dots
from studies.experiments import near_optimal, profiling
from studies.registry import STUDIES


def stored(name: str) -> pl.DataFrame:
    """Return the stored rows of an experiment."""
    found = store.read(name)
    assert found is not None
    return found[1]


def drawn(name: str, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """Return the figure of rows of an experiment."""
    kept = []

    def keep(figure: Figure, path: Path) -> Path:
        kept.append(figure)
        return path

    monkeypatch.setattr(STUDIES[name], "save", keep)
    STUDIES[name].draw(rows, Path())
    [figure] = kept
    return figure


def test_intervals_of_figures_are_students() -> None:
    low, high = figures.t_interval([1.0, 2.0, 3.0])
    assert (low + high) / 2 == pytest.approx(2.0)
    assert high - 2 == pytest.approx(4.3027 / 3**0.5, rel=1e-4)  # t(0.975, 2) is 4.3027.
    assert np.isnan(figures.t_interval([1.0])).all()


def legend(figure: Figure) -> list[str]:
    """Return the texts of the only legend of a figure."""
    [below] = figure.legends
    assert not any(panel.get_legend() for panel in figure.axes)
    return [text.get_text() for text in below.get_texts()]


def test_the_legend_of_profiling_names_samplings_and_most_items(monkeypatch):
    shown = legend(drawn("profiling", stored("profiling"), monkeypatch))
    most = [f"at most {each} items" for each in profiling.MOST]
    assert shown == [*most, *profiling.PROFILERS.values()]


def test_nearness_to_the_optimum_is_drawn_with_the_intervals_of_the_tables(monkeypatch):
    rows = stored("near_optimal")
    figure = drawn("near_optimal", rows, monkeypatch)
    names = [name for name, _ in near_optimal.CHAIN]
    for panel in figure.axes:
        assert [bars.get_label() for bars in panel.containers] == names
    scene = rows.filter(application="speech", cluster=near_optimal.CLUSTERS[0], planner=names[0])
    _, _, (bars,) = figure.axes[0].containers[0].lines
    for segment, queries in zip(bars.get_segments(), near_optimal.QUERIES, strict=True):
        _, (_, low, high) = near_optimal.in_model(scene.filter(expected=queries))
        assert segment[:, 1].tolist() == pytest.approx([low, high])


def test_nearness_to_the_optimum_of_one_seed_and_one_load_has_no_intervals(monkeypatch):
    rows = stored("near_optimal").filter(expected=near_optimal.QUERIES[0])
    rows = rows.filter(seed=rows["seed"].min())
    figure = drawn("near_optimal", rows, monkeypatch)
    assert [text.get_text() for text in figure.axes[-1].get_xticklabels()] == ["5"]
    for panel in figure.axes:
        assert panel.containers
        for bars in panel.containers:
            _, _, (lines,) = bars.lines
            assert not any(len(segment) for segment in lines.get_segments())


def test_ratios_that_are_not_drawn_are_counted_with_the_reason() -> None:
    frame = pl.DataFrame(
        {
            "scene": ["a", "b", "c", "d", "e"],
            "planner": "greedy",
            "ratio": [2.0, inf, inf, 0.0, None],
            "low": [1.0, inf, 0.0, 0.0, None],
            "high": [3.0, inf, inf, 0.0, None],
        }
    )
    labels = []
    for rows in (frame, frame.head(2), frame.head(1)):
        axes = Figure().subplots()
        dots(axes, rows, None)
        labels.append(axes.get_xlabel().replace("\n", " "))
    assert labels == [
        "ratio; not drawn: 2 infinite (the mean that divides is 0); 1 zero (the mean that is "
        "divided is 0); 1 unknown (both are 0, or no seed has both)",
        "ratio; not drawn: 1 infinite (the mean that divides is 0)",
        "ratio",
    ]
