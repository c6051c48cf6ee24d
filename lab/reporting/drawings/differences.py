"""Paired differences between planners, and what goodput costs."""

from textwrap import fill

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab.analysis.sweep_analysis import POOLED, Analysis, against, planners_of
from lab.common.metrics import COST, GOODPUT, RESPONSE, Metric
from lab.reporting.drawings.panels import (
    broken,
    facets,
    facets_text,
    few_ticks,
    label_of,
    legend_room_in,
    name_places,
    name_setting,
    place_of,
    planner_looks,
)
from lab.reporting.plotting.style import GREY, WIDTH_IN, from_zero, legend, wrapped

MOST_ROWS = 48
MOST_TRADE_OFFS = 3


def differences_to(analysis: Analysis, best: str) -> pl.DataFrame:
    """Return the differences in goodput of one planner to the others, by setting or over all."""
    frame = analysis.alike_differences.filter(metric=GOODPUT.name)
    found = against(frame.drop(analysis.sweep.keys), best)
    if found.height > MOST_ROWS and analysis.pooled is not None:
        found = against(analysis.pooled.differences.filter(metric=GOODPUT.name), best)
        found = found.select(pl.lit(POOLED).alias("setting"), pl.all())
    return found.drop_nulls("difference")


def forest(analysis: Analysis, best: str) -> Figure:
    """Draw paired differences, setting by setting."""
    found = differences_to(analysis, best)
    short = {POOLED: POOLED, **dict(analysis.sweep.settings.select("setting", "short").rows())}
    settings = [one for one in short if one in set(found["setting"])]
    planners = [name for name in planners_of(analysis.sweep) if name in set(found["other"])]
    several = len(settings) > 1
    labels = [broken(short[one] or POOLED, 30) for one in settings] if several else []
    heights = [
        max(0.24 * len(planners), 0.2 * len(label.splitlines()) + 0.06)
        for label in (labels or [""])
    ]
    if not several:
        heights = [
            sum(max(0.3, 0.2 * len(wrapped(label_of(name)).splitlines())) for name in planners)
        ]
    figure = Figure(
        (WIDTH_IN, 1.3 + sum(heights) + (legend_room_in(planners) if several else 0)),
        layout="constrained",
    )
    axes = figure.subplots()
    axes.set_title(fill(f"Service goodput: {label_of(best)} minus each other", 60))
    axes.axvline(0, color="black", lw=1.2)
    for at, (planner, look) in enumerate(
        (planner, look) for planner, look in planner_looks(analysis) if planner in planners
    ):
        for place, setting in enumerate(settings):
            rows = found.filter(setting=setting, other=planner)
            if rows.is_empty():
                continue
            y = place_of(place, at, len(planners)) if several else at
            row = rows.row(0, named=True)
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [y, y], color=look["color"], lw=0.9)
                axes.plot([row["boot_low"], row["boot_high"]], [y, y], color=look["color"], lw=3)
            axes.plot(
                [row["difference"]],
                [y],
                ls="",
                marker=look["marker"],
                color=look["color"],
                mec="black",
                mew=0.6,
                ms=6,
                label=f"minus {label_of(planner)}" if place == 0 else "",
            )
    ticks = labels if several else [wrapped(label_of(name)) for name in planners]
    name_places(axes, ticks, lines=several)
    about = "paired over seeds\nthick: 95 % interval by the bootstrap; thin: by Student's t"
    if found["low"].null_count() == found.height:
        about = "one seed, hence no intervals"
    axes.set_xlabel(f"difference (queries), {about}")
    axes.xaxis.set_major_locator(MaxNLocator(7))
    if several:
        legend(figure, axes)
    return figure


def trade_offs_text(analysis: Analysis) -> str:
    """Return in words which settings `trade_offs` leaves out or pools; nothing if it shows all."""
    short = dict(analysis.sweep.settings.select("setting", "short").rows())
    left = [short[one] for one in analysis.comparisons if one not in analysis.alike]
    if not left or len(analysis.comparisons) > MOST_TRADE_OFFS:
        return facets_text(analysis, MOST_TRADE_OFFS)
    return f"Left out, since no seed is common to all planners there: {'; '.join(left)}."


def trade_offs(analysis: Analysis) -> Figure:
    """Draw goodput against cost and response time, dominated planners hollow."""
    sweep = analysis.sweep
    frames = facets(analysis, analysis.pareto, MOST_TRADE_OFFS)
    if len(analysis.comparisons) > MOST_TRADE_OFFS and analysis.pareto_pooled.height:
        frames = {POOLED: analysis.pareto_pooled}
    hollow = any(frame["dominated"].any() for frame in frames.values())
    labels = [*map(label_of, planners_of(sweep)), *(["hollow: dominated"] if hollow else [])]
    figure = Figure(
        (WIDTH_IN, 0.7 + 2.7 * len(frames) + legend_room_in(labels)), layout="constrained"
    )
    figure.suptitle("What goodput costs, in money and in time")
    grid = figure.subplots(len(frames), 2, squeeze=False)
    for (name, frame), pair in zip(frames.items(), grid, strict=True):
        for axes, metric in zip(pair, (COST, RESPONSE), strict=True):
            _trade_off(axes, analysis, frame, metric)
            axes.set_ylabel(GOODPUT.title)
            axes.set_xlabel(metric.title)
            name_setting(axes, name, 32)
    first = grid[0, 0]
    if hollow:
        look = {"mfc": "white", "mew": 1.6, "ms": 7.5, "color": GREY}
        first.plot([], [], "o", label="hollow: dominated", **look)
    legend(figure, first)
    return figure


def _trade_off(axes: Axes, analysis: Analysis, frame: pl.DataFrame, metric: Metric) -> None:
    known = frame[metric.name].drop_nulls()
    farthest = 1.25 * float(known.max() or 1.0)  # type: ignore[arg-type]
    for planner, look in planner_looks(analysis):
        for row in frame.filter(planner=planner).iter_rows(named=True):
            x = farthest if row[metric.name] is None else row[metric.name]
            axes.plot(
                [x],
                [row[GOODPUT.name]],
                ls="",
                marker=look["marker"],
                color=look["color"],
                mfc="white" if row["dominated"] else look["color"],
                mew=1.6,
                ms=7.5,
                clip_on=False,
                zorder=3,
                label=label_of(planner),
            )
    if frame[metric.name].null_count():
        axes.axvline(farthest, color=GREY, lw=1, ls=":")
        axes.annotate(
            "not reached",
            (farthest, 1),
            (-3, -3),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="top",
            rotation=90,
            color=GREY,
        )
    axes.set_xlim(-0.02 * farthest, 1.08 * farthest)
    few_ticks(axes.xaxis)
    if known.is_empty():
        axes.set_xticks([])
    from_zero(axes)
    axes.set_ylim(top=1.15 * axes.get_ylim()[1])
