"""Figures of a run, and of several planners in the same scenario with the same seed.

The figures do not use ``pyplot``, so no figure stays open after drawing in a notebook or a sweep.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy import stats

from lab.analysis import run_data
from lab.analysis.run_data import RunDirectories
from lab.reporting.drawings.where_time_goes import operator_panels
from lab.reporting.plotting.style import (
    GREY,
    WIDTH_IN,
    from_zero,
    legend,
    legend_in,
    log_ticks,
    looks,
    mark_events,
    no_data,
    save,
    stacked_bars,
    step_edges,
    steps,
    style,
    time_unit,
    wrapped,
)

MOST_BANDS = 5


def draw_run(directory: Path, planner: str) -> list[Path]:
    """Draw the figures of one run into ``figures/`` of its directory; return their paths."""
    return _draw(directory, {planner: directory}, (goodput, latency, cost, latency_parts))


def draw_comparison(directory: Path, planners: Sequence[str]) -> list[Path]:
    """Draw the figures of compared planners into ``figures/`` of a directory; return the paths."""
    runs = {planner: Path(directory) / planner for planner in planners}
    return _draw(directory, runs, (goodput, latency, cost, latency_parts, response))


def _draw(
    directory: Path, runs: RunDirectories, figures: Sequence[Callable[[RunDirectories], Figure]]
) -> list[Path]:
    paths = []
    for figure in figures:
        with style():
            paths.append(save(figure(runs), Path(directory) / "figures" / f"{figure.__name__}.png"))
    return paths


def goodput(runs: RunDirectories) -> Figure:
    """Draw over time how many queries meet their SLO, and how many are active."""
    # Compared runs have the same drift.
    events = run_data.events(next(iter(runs.values())))
    labels = ["active", *runs, *dict(events)]
    figure = Figure((WIDTH_IN, 4.1 + legend_in(labels)), layout="constrained")
    axes = figure.subplots()
    windows = _windows(runs)
    axes.set_title(_titled("Service goodput: queries that meet their whole SLO", runs))
    axes.set_ylabel("queries (mean of each window)")
    if not windows:
        no_data(axes)
        return figure
    # By common random numbers, every planner gets the same queries.
    longest = max(windows.values(), key=lambda frame: frame["end_s"][-1])
    per, unit = time_unit(longest["end_s"][-1])
    steps(axes, longest, "active", per, label="active", color=GREY, lw=1.4)
    if len(runs) == 1:
        (frame,) = windows.values()
        (color,) = sns.color_palette("colorblind", 1)
        steps(axes, frame, "deployed", per, label="deployed", color=GREY, ls=(0, (4, 1.5)), lw=1.4)
        steps(axes, frame, "goodput", per, label="meets its SLO (goodput)", color=color, lw=2.2)
        edges = step_edges(frame, "goodput")
        axes.fill_between(edges[0] / per, edges[1], step="post", color=color, alpha=0.15, lw=0)
    else:
        for name, look in looks(runs):
            if name in windows:
                steps(axes, windows[name], "goodput", per, label=name, lw=2, **look)
    mark_events(axes, events, longest["end_s"][-1], per)
    axes.set(xlabel=f"simulated time ({unit})", xlim=(0, longest["end_s"][-1] / per))
    from_zero(axes)
    legend(figure, axes)
    return figure


def latency(runs: RunDirectories) -> Figure:
    """Draw p95 latency over its bound, infinite if over 5 % of requests were not completed."""
    groups = run_data.latency_ratios(runs)
    figure, above, below = _lines_over_bars(groups)
    figure.suptitle(_titled("Latency relative to the SLO, window by window", runs))
    above.set(xlabel="p95 latency / latency bound", ylabel="share of windows")
    below.set_xlabel("share of windows")
    if not groups:
        no_data(below)
        no_data(above)
        return figure
    finite = np.concatenate([ratios[np.isfinite(ratios)] for ratios in groups.values()])
    left, right = min([0.5, *finite]) / 1.3, max([2.0, *finite]) * 1.3
    for name, look in looks(groups if len(runs) == 1 else runs):
        if name in groups:
            x, y = run_data.distribution(groups[name], left, right)
            above.plot(x, y, drawstyle="steps-post", label=name, lw=1.8, **look)
    above.set(xscale="log", xlim=(left, right), ylim=(-0.02, 1.02))
    above.set_xlabel("p95 latency / latency bound (log scale)")
    above.set_ylabel("share of windows\nat or below")
    log_ticks(above, left, right)
    above.yaxis.set_major_formatter(PercentFormatter(1))
    above.axvline(1, color="black", lw=1.2)
    above.annotate(
        "bound",
        (1, 1),
        (0, 3),
        xycoords=above.get_xaxis_transform(),
        textcoords="offset points",
        ha="center",
    )
    every = list(groups.values())
    shares = {
        "p95 within the bound": [float(np.mean(ratios <= 1)) for ratios in every],
        "p95 late": [float(np.mean((ratios > 1) & np.isfinite(ratios))) for ratios in every],
        "p95 infinite: over 5 % not completed": [float(np.mean(np.isinf(each))) for each in every],
    }
    names = [f"{wrapped(name)} (n = {len(ratios)})" for name, ratios in groups.items()]
    stacked_bars(below, names, shares, lambda share: f"{share:.0%}")
    below.set(xlim=(0, 1), xlabel="share of the n windows that had requests")
    below.xaxis.set_major_formatter(PercentFormatter(1))
    legend(above.figure, above)
    legend(below.figure, below)
    return figure


def cost(runs: RunDirectories) -> Figure:
    """Draw the cost attributed to queries over time, and the total bill."""
    figure, above, below = _lines_over_bars(runs)
    figure.suptitle(_titled("Deployment cost: attributed to queries, and total bill", runs))
    below.set_xlabel("bill at the end of the run (USD)")
    windows = _windows(runs)
    bills = {name: bill for name in runs if (bill := run_data.bill(runs[name])) is not None}
    if windows:
        end_s = max(frame["end_s"][-1] for frame in windows.values())
        per, unit = time_unit(end_s)
        for name, look in looks(runs):
            if name in windows:
                times = [0.0, *(windows[name]["end_s"] / per)]
                usd = [0.0, *windows[name]["cost_usd"].cum_sum()]
                label = "attributed in windows" if len(runs) == 1 else name
                above.plot(times, usd, label=label, lw=1.8, **look)
        if len(runs) == 1 and bills:
            (bill,) = bills.values()
            above.axhline(
                sum(bill), color="black", lw=1.4, ls=(0, (4, 1.5)), label="bill at the end"
            )
        above.set(xlabel=f"simulated time ({unit})", xlim=(0, end_s / per))
        from_zero(above)
        above.set_ylabel("cumulative cost (USD)")
        if len(runs) > 1:
            above.set_ylabel("cumulative cost,\nattributed in windows (USD)")
        legend(above.figure, above)
    else:
        no_data(above)
    if bills:
        parts = {
            "attributed to queries": [bill[0] for bill in bills.values()],
            "idle: rented but unused": [bill[1] for bill in bills.values()],
        }
        stacked_bars(below, [wrapped(name) for name in bills], parts, lambda usd: f"{usd:,.2f}")
        below.set_xlim(0, 1.04 * max(map(sum, bills.values())) or 1)
        legend(below.figure, below)
    else:
        no_data(below)
    return figure


def latency_parts(runs: RunDirectories) -> Figure:
    """Draw the mean time of a completed request at each operator, by part of latency."""
    means = {name: run_data.part_means(directory) for name, directory in runs.items()}
    latency_s = {name: run_data.latency_mean(directory) for name, directory in runs.items()}
    if len(runs) == 1:  # The planner's name is in the title of the figure.
        means, latency_s = {"": means.popitem()[1]}, {"": latency_s.popitem()[1]}
    title = _titled("Where latency goes: means over completed requests", runs)
    return operator_panels(means, latency_s, title)


def response(runs: RunDirectories) -> Figure:
    """Draw the share of queries with a truly feasible plan against the time since their arrival.

    This is the estimate of Kaplan and Meier (1958) with its 95 % band. A query is censored if it
    leaves, or the run ends, before it gets such a plan.
    """
    figure = Figure((WIDTH_IN, 4.1 + legend_in([*runs, "", ""])), layout="constrained")
    axes = figure.subplots()
    axes.set_title(_titled("Response time: queries served by a truly feasible plan", runs))
    axes.set(xlabel="time since arrival (s)", ylabel="share of queries served\n(Kaplan-Meier)")
    times = {name: run_data.response_times(directory) for name, directory in runs.items()}
    times = {name: both for name, both in times.items() if sum(map(len, both))}
    if not times:
        no_data(axes)
        return figure
    every = np.concatenate([np.concatenate(both) for both in times.values()])
    served = np.concatenate([both[0] for both in times.values()])
    right = max(every.max(), 1e-3) * 1.05
    left = min(served[served > 0], default=right / 100) / 1.5
    for name, look in looks(runs):
        if name not in times:
            continue
        uncensored, censored = times[name]
        cdf = stats.ecdf(stats.CensoredData(uncensored, right=censored)).cdf
        end = max(map(max, filter(len, times[name])))
        x = np.concatenate([[left], cdf.quantiles[cdf.quantiles > left], [max(end, left)]])
        y = cdf.evaluate(x)
        axes.step(
            x,
            y,
            where="post",
            lw=2,
            **look,
            label=f"{name} ({len(uncensored)} of {len(uncensored) + len(censored)} served)",
        )
        if len(uncensored) and len(runs) <= MOST_BANDS:
            with warnings.catch_warnings():
                # The formula gives the band no width while all queries or none are served.
                warnings.simplefilter("ignore", RuntimeWarning)
                band = cdf.confidence_interval(0.95, method="log-log")
            low, high = band.low.evaluate(x), band.high.evaluate(x)
            axes.fill_between(x, low, high, step="post", color=look["color"], alpha=0.15, lw=0)
        marks = censored[censored >= left]
        axes.plot(marks, cdf.evaluate(marks), "|", color=look["color"], ms=6, mew=1)
    axes.set(xscale="log", xlim=(left, right), ylim=(-0.02, 1.02))
    axes.set_xlabel("time since arrival (s, log scale)")
    log_ticks(axes, left, right)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.plot([], [], "|", color=GREY, ms=6, mew=1, label="censored: left, or the run ended")
    if len(runs) <= MOST_BANDS:
        axes.fill_between([], [], color=GREY, alpha=0.25, lw=0, label="95 % interval")
    legend(figure, axes)
    return figure


def _windows(runs: RunDirectories) -> dict[str, pl.DataFrame]:
    """Return the windows of each run; runs without windows are left out."""
    windows = {name: run_data.by_window(directory) for name, directory in runs.items()}
    return {name: frame for name, frame in windows.items() if frame.height}


def _titled(title: str, runs: RunDirectories) -> str:
    """Return a title, with the planner's name if there is one run; else a legend has the names."""
    return f"{title}\n{next(iter(runs))}" if len(runs) == 1 else title


def _lines_over_bars(bars: Iterable[str]) -> tuple[Figure, Axes, Axes]:
    """Return a figure with axes for lines above and axes for the named bars below."""
    bars = list(bars)
    upper_in = 3.4 + legend_in(bars)
    lower_in = 1.3 + max(0.4, sum(0.2 + 0.2 * len(wrapped(name).splitlines()) for name in bars))
    figure = Figure((WIDTH_IN, upper_in + lower_in), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[upper_in, lower_in])
    return figure, halves[0].subplots(), halves[1].subplots()
