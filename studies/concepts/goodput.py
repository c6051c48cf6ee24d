"""One query of a run: its windows against the SLO, and the time that counts as goodput."""

from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from lab.reporting.plotting.canvas import canvas, save
from lab.reporting.plotting.style import plain_log
from lab.runs.api import run
from studies.concepts.boxes import GREEN, GREY, INK, RED, STRONG_BLUE, legend

SCENARIO = (
    "experiment=speech_small",
    "planner=videostorm",
    "seed=901",
    "horizon_s=1800",
    "workload.rate=0.03",
    "workload.lifetime_mean_s=1200",
)
QUERY = 0
MINUTE = 60.0
ROOM = 3.0
"""Room above the highest finite latency, as a factor, for windows with an infinite one."""

PARTS = ((GREY, "no deployment"), (RED, "SLO missed"), (GREEN, "SLO met"))


def goodput(path: Path) -> Path:
    """Draw the latency and the accuracy of the query's windows; return the path."""
    found = run(list(SCENARIO))
    [query] = found.queries.filter(query=QUERY).iter_rows(named=True)
    windows = found.windows.filter(query=QUERY).sort("window")
    figure, panels = canvas(2, 1, 2.1, sharex=True, gridspec_kw={"height_ratios": (1.7, 1)})
    latency, accuracy = panels[0][0], panels[1][0]
    for axes in (latency, accuracy):
        _shade(axes, windows, query["arrival_s"], query["departure_s"])
    _latency(latency, windows, query["slo_latency_s"])
    _steps(accuracy, windows, "accuracy", query["slo_accuracy"], "accuracy floor")
    accuracy.set(ylabel="mean accuracy", xlabel="simulated time (min)")
    met_s = float(windows.filter("met")["deployed_s"].sum())
    there_s = query["departure_s"] - query["arrival_s"]
    latency.set_title(
        f"The SLO is met for {met_s / MINUTE:.0f} of the query's {there_s / MINUTE:.0f} minutes: "
        "only these count as goodput",
        fontsize=10,
    )
    legend(figure, latency, 5)
    return save(figure, path)


def _shade(axes: Axes, windows: pl.DataFrame, arrival_s: float, departure_s: float) -> None:
    """Shade each window by its verdict, after the part of it before the first deployment."""
    for color, label in PARTS:
        axes.fill_between([], [], color=color, label=label)
    for row in windows.iter_rows(named=True):
        start, end = max(row["start_s"], arrival_s), min(row["end_s"], departure_s)
        served = end - row["deployed_s"]
        axes.axvspan(start / MINUTE, served / MINUTE, color=GREY, lw=0, zorder=0)
        color = GREEN if row["met"] else RED
        axes.axvspan(served / MINUTE, end / MINUTE, color=color, lw=0, zorder=0)
    axes.grid(visible=False)


def _latency(axes: Axes, windows: pl.DataFrame, bound_s: float) -> None:
    latency_s = windows["latency_p95_s"].to_numpy()
    top = ROOM * max(latency_s[np.isfinite(latency_s)])
    _steps(
        axes,
        windows.with_columns(pl.col("latency_p95_s").clip(0, top)),
        "latency_p95_s",
        bound_s,
        "latency bound",
    )
    axes.set(yscale="log", ylabel="95 % quantile of\nlatency (s)")
    plain_log(axes.yaxis)
    axes.set_ylim(top=top * 1.3)
    for end_s in windows.filter(pl.col("latency_p95_s").is_infinite())["end_s"].tail(1):
        axes.annotate(
            "unanswered", (end_s / MINUTE, top), (3, -3), textcoords="offset points", size=8.5
        )


def _steps(axes: Axes, windows: pl.DataFrame, column: str, goal: float, words: str) -> None:
    """Draw a horizontal line for the value of each window, and one for its goal."""
    low, high = (windows[name].to_numpy() / MINUTE for name in ("start_s", "end_s"))
    axes.hlines(windows[column].to_numpy(), low, high, color=INK, lw=2.2, label="value of a window")
    axes.axhline(goal, color=STRONG_BLUE, lw=1.8, ls="--", label="goal of the SLO")
    axes.annotate(
        words,
        (high[-1], goal),
        (-3, 3),
        textcoords="offset points",
        ha="right",
        size=9,
        color=STRONG_BLUE,
    )
    axes.set_xlim(low[0], high[-1])
