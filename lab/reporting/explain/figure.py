"""The figure of an explanation: profiling, plans, and the latency of windows."""

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.reporting.explain.findings import (
    CHOSEN,
    NO_PLAN,
    REFUSED,
    Row,
    failed_parts,
    half_width,
    measurements,
    merged_offers,
    offer_of,
    role_of,
    verdict,
    windows_of,
)
from lab.reporting.explain.record import QueryRecord
from lab.reporting.explain.text import median
from lab.reporting.plotting.style import GREY, WIDTH_IN, legend, no_data, save, style
from sim.metrics.goodput import reaches

MOST_NAMED = 30
ROW_IN = 0.21
MOST_SEARCH_IN = 6.3
TRUE, WRONG = "black", "firebrick"
BOUND: dict[str, Any] = {"color": TRUE, "lw": 1.3, "ls": (0, (4, 1.5))}
DOTTED = (0, (1, 1))
# The least important roles come first, so that the others are drawn over them.
MARKERS = {"feasible": "o", "offered": "s", REFUSED: "X", CHOSEN: "*"}
OTHER_MARKERS = ("^", "v", "D", "P", "<", ">")


def draw_explanation(record: QueryRecord, path: Path) -> Path:
    """Draw profiling, plans and the windows' latency into a PNG; return the path."""
    with style(1.15):
        return save(explanation(record), path)


def explanation(record: QueryRecord) -> Figure:
    """Return the figure that `draw_explanation` saves."""
    runs, since_s, title = _runs(record)
    rows = measurements(runs)
    search_in = 1.5 + min(max(2.0, ROW_IN * len(rows)), MOST_SEARCH_IN)
    heights = [search_in, 3.6, 3.6]
    figure = Figure((WIDTH_IN, sum(heights) + 0.5), layout="constrained")
    figure.suptitle(fill(f"Query {record.query} of {record.planner}: {_slo_in_words(record)}", 70))
    parts: Any = figure.subfigures(3, 1, height_ratios=heights)
    panels = [part.subplots() for part in parts]
    _draw_profiling(panels[0], record, rows, since_s)
    _draw_plans(panels[1], record)
    _draw_windows(panels[2], record)
    # The subfigures get the titles, because long labels can leave little width to the axes.
    titles = (title, "Plans: latency and list price", "Latency, window by window")
    for part, axes, name in zip(parts, panels, titles, strict=True):
        part.suptitle(name, fontsize="medium")
        legend(part, axes)
    return figure


def _slo_in_words(record: QueryRecord) -> str:
    bounds = []
    if record.bound_s is not None:
        bounds.append(f"p95 latency ≤ {record.bound_s:g} s")
    if record.floor is not None:
        bounds.append(f"accuracy ≥ {record.floor:.3f}")
    return ", ".join(bounds) or "no known bounds"


def _runs(record: QueryRecord) -> tuple[pl.DataFrame, float, str]:
    """Return the profiling runs to draw, the simulated time in s that is at x = 0, and a title."""
    order = "first ones at the top; ordered ones are bold"
    if record.profiling.height or not record.offline.height:
        return record.profiling, record.arrival_s, f"Profiled configurations, {order}"
    dataset = record.offline["dataset"][0]
    return record.offline, 0.0, f"Profiled in advance on all of {dataset}, {order}"


def _draw_profiling(axes: Axes, record: QueryRecord, rows: Sequence[Row], since_s: float) -> None:
    """Draw the measured accuracies; their intervals are cut at an accuracy of 1."""
    axes.set_xlabel("accuracy")
    if not rows:
        no_data(axes, "nothing was profiled")
        return
    # The floor is for the query's own content, so a data set's profile is not compared with it.
    floor = record.floor if record.profiling.height else None
    wrong = np.array(
        [
            floor is not None
            and reaches(row["accuracy_mean"], floor) != reaches(row["true_accuracy"], floor)
            for row in rows
        ]
    )
    at = np.arange(len(rows))
    means = np.array([row["accuracy_mean"] for row in rows])
    widths = np.nan_to_num([half_width(row) for row in rows])
    # Lower ends are not cut, because one minus an error rate can be below 0.
    sides = np.stack([widths, np.clip(1 - means, 0, widths)])
    blue = sns.color_palette("colorblind")[0]
    size = 5 if len(rows) <= MOST_NAMED else 3
    names = ("measured", "measured on the wrong side of the floor")
    for which, color, label in ((~wrong, blue, names[0]), (wrong, WRONG, names[1])):
        if which.any():
            axes.errorbar(
                means[which],
                at[which],
                xerr=sides[:, which],
                fmt="o",
                ms=size,
                lw=1.3,
                color=color,
                label=f"{label}, 95 % interval",
            )
    true = [row["true_accuracy"] for row in rows]
    axes.plot(true, at, "D", ms=size, mfc="none", mec=TRUE, mew=1.1, ls="", label="true")
    if record.floor is not None:
        axes.axvline(record.floor, label="accuracy floor", **BOUND)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _label_runs(axes, record, rows, since_s)


def _label_runs(axes: Axes, record: QueryRecord, rows: Sequence[Row], since_s: float) -> None:
    """Label profiling runs; if there are many, only each requested configuration's last run."""
    ordered = set(record.decisions["configuration"].drop_nulls())
    named = list(range(len(rows)))
    if len(rows) > MOST_NAMED:
        last = {row["configuration"]: at for at, row in enumerate(rows)}
        named = _apart(
            sorted(at for configuration, at in last.items() if configuration in ordered),
            ROW_IN * len(rows) / MOST_SEARCH_IN,
        )
        axes.set_ylabel(f"{len(rows)} measurements")
    labels = [
        f"{row['configuration']}  n={row['samples']}  {row['at_s'] - since_s:.2f} s"
        for row in (rows[at] for at in named)
    ]
    axes.set_yticks(named, labels)
    for at, text in zip(named, axes.get_yticklabels(), strict=True):
        if rows[at]["configuration"] in ordered:
            text.set_fontweight("bold")


def _apart(places: Sequence[int], gap: float) -> list[int]:
    """Return ascending places without those closer than `gap` to the last place that was kept."""
    far: list[int] = []
    for place in places:
        if not far or place - far[-1] >= gap:
            far.append(place)
    return far


def _draw_plans(axes: Axes, record: QueryRecord) -> None:
    axes.set(xlabel="p95 latency (s)", ylabel="list price ($/h)")
    offers = [row | {"role": role_of(row["roles"])} for row in merged_offers(record.offers)]
    served = list(_measured(record))
    latencies = [row["latency_s"] for row in offers] + [latency_s for _, latency_s in served]
    finite = [value for value in latencies if isfinite(value)]
    if not latencies:
        no_data(axes, "no plan was logged")
        return
    known = [*finite, *([] if record.bound_s is None else [record.bound_s])]
    wide = min(known, default=1.0) > 0 and max(known, default=1.0) > 20 * min(known, default=1.0)
    if wide:
        axes.set(xscale="log", xlabel="p95 latency (s, log scale)")
    # Plans with infinite latency are drawn at the right edge.
    edge_s = max(known, default=1.0) * (1.6 if wide else 1.12)
    for role, marker, color in _role_styles(offers):
        rows = [row for row in offers if row["role"] == role]
        axes.plot(
            [min(row["latency_s"], edge_s) for row in rows],
            [row["list_price_usd_per_hour"] for row in rows],
            marker,
            ms=15 if role == CHOSEN else 7,
            color=color,
            mec="white" if role != REFUSED else color,
            mew=0.6,
            ls="",
            label=f"{role}, as believed",
        )
    _draw_measured(axes, record, served, edge_s)
    if record.bound_s is not None:
        axes.axvline(record.bound_s, label="SLO bound", **BOUND)
    ceiling = record.query_row["slo_cost_usd_per_hour"]
    prices = [row["list_price_usd_per_hour"] for row in offers]
    prices += [order["list_price_usd_per_hour"] for order, _ in served]
    if ceiling is not None:
        axes.axhline(ceiling, **BOUND | {"ls": DOTTED}, label="SLO cost ceiling")
        prices.append(ceiling)
    if any(not isfinite(value) for value in latencies):
        axes.set_xlabel(f"{axes.get_xlabel()}; at the right edge: infinite")
    top = max(prices) or 1.0
    axes.set_ylim(-0.06 * top, 1.12 * top)
    if not wide:
        axes.set_xlim(0, edge_s * 1.04)


def _role_styles(offers: Sequence[Row]) -> Iterator[tuple[str, str, Any]]:
    """Yield each role that occurs among the offers, with its marker and colour."""
    colors = sns.color_palette("colorblind")
    present = {row["role"] for row in offers}
    others = sorted(present - MARKERS.keys())
    fixed = {"feasible": GREY, "offered": colors[0], REFUSED: WRONG, CHOSEN: colors[1]}
    for number, role in enumerate(others):
        yield role, OTHER_MARKERS[number % len(OTHER_MARKERS)], colors[2 + number % 7]
    for role, marker in MARKERS.items():
        if role in present:
            yield role, marker, fixed[role]


def _measured(record: QueryRecord) -> Iterator[tuple[Row, float]]:
    """Yield each decision whose plan became active, with its windows' median p95 latency in s."""
    for interval, rows in zip(record.deployment_intervals, windows_of(record), strict=True):
        latency_s = median(rows, "latency_p95_s")
        if latency_s is not None:
            yield interval.order, latency_s


def _draw_measured(
    axes: Axes, record: QueryRecord, served: Sequence[tuple[Row, float]], edge_s: float
) -> None:
    """Draw the observed latency of active plans, with a line to the believed latency."""
    green = sns.color_palette("colorblind")[2]
    for number, (order, latency_s) in enumerate(served):
        price = order["list_price_usd_per_hour"]
        offer = offer_of(record, order)
        if offer is not None:
            ends_s = [min(offer["latency_s"], edge_s), min(latency_s, edge_s)]
            axes.plot(ends_s, [price, price], color=green, lw=1.2, zorder=1)
        label = "active, as observed" if number == 0 else None
        axes.plot(min(latency_s, edge_s), price, "D", ms=7, color=green, ls="", label=label)


def _draw_windows(axes: Axes, record: QueryRecord) -> None:
    axes.set(xlabel="time since arrival (s)", ylabel="latency (s)")
    rows = [row for row in record.windows.iter_rows(named=True) if row["requests"]]
    if not rows:
        no_data(axes, "no window had requests")
        return
    known = [row[f"latency_{name}_s"] for row in rows for name in ("p50", "p95")]
    known += [] if record.bound_s is None else [record.bound_s]
    top = max((value for value in known if isfinite(value)), default=1.0) * 1.15
    _shade(axes, record, rows)
    colors = sns.color_palette("colorblind")
    for name, color, marker, height in (
        ("p50", colors[0], "o", 0.9),
        ("p95", colors[1], "s", 0.97),
    ):
        values = np.array([row[f"latency_{name}_s"] for row in rows])
        middles = np.array([np.mean(_extent(record, row)) for row in rows])
        axes.plot(
            middles,
            np.where(np.isfinite(values), values, np.nan),
            marker=marker,
            ms=5,
            lw=1.6,
            color=color,
            label=name,
        )
        never = ~np.isfinite(values)
        if never.any():
            axes.plot(
                middles[never],
                np.full(never.sum(), height * top),
                "^",
                ms=7,
                color=color,
                ls="",
                label=f"{name} infinite: too few completed",
            )
    if record.bound_s is not None:
        axes.axhline(record.bound_s, label="SLO bound", **BOUND)
    for number, interval in enumerate(record.deployment_intervals):
        label = "a plan becomes active" if number == 0 else None
        start_s = interval.start_s - record.arrival_s
        axes.axvline(start_s, color=GREY, lw=1, ls=DOTTED, label=label)
    for kind, at_s in record.events:
        axes.axvline(at_s - record.arrival_s, color=WRONG, lw=1.4, label=f"drift: {kind}")
    # The axis ends when the query left or the run ended.
    axes.set_xlim(0, max(_extent(record, row)[1] for row in rows))
    axes.set_ylim(0, top)


def _extent(record: QueryRecord, row: Row) -> tuple[float, float]:
    """Return the part of a window in which the query lived, in seconds since its arrival."""
    start_s = max(0.0, row["start_s"] - record.arrival_s)
    return start_s, start_s + row["active_s"]


def _shade(axes: Axes, record: QueryRecord, rows: Sequence[Row]) -> None:
    """Shade failed windows with a colour for each verdict; hatch those without an active plan."""
    colors = sns.color_palette("pastel")
    seen: dict[str, dict[str, Any]] = {NO_PLAN: {"fc": "0.88", "ec": "0.55", "hatch": "//"}}
    for row in rows:
        if not failed_parts(row):
            continue
        label = verdict(row)
        color = (*colors[(3, 4, 8, 5)[(len(seen) - 1) % 4]], 0.45)
        look = seen.setdefault(label, {"fc": color, "ec": "none"})
        start_s, end_s = _extent(record, row)
        axes.axvspan(start_s, end_s, **look, lw=0, zorder=0, label=label)
