"""A trace as a picture: requests in rows, coloured by what their time went into.

Operators that work at the same time, where they fork, share a row.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from lab.analysis.run_data import PARTS
from lab.reporting.plotting.style import GREY, WIDTH_IN, part_looks, style
from lab.reporting.trace.slices import TracedRequest

MOST = 60
"""Requests that a picture shows."""

ROW_IN = 0.11
HEIGHT = 0.8
"""Part of a row that a request fills."""


def picture(requests: Sequence[TracedRequest]) -> Figure:
    """Return a figure of the first `MOST` completed requests, in order of birth."""
    shown = sorted(requests, key=lambda each: (each.start_s, each.query))[:MOST]
    looks = part_looks()
    with style():
        figure = Figure((WIDTH_IN, 1.6 + ROW_IN * len(shown)), layout="constrained")
        axes = figure.subplots()
    for row, request in enumerate(shown):
        axes.plot([request.start_s, request.end_s], [row, row], color=GREY, lw=0.5, zorder=1)
        height = HEIGHT / request.tracks
        for each in request.slices:
            axes.barh(
                row + (each.track - (request.tracks - 1) / 2) * height,
                each.end_s - each.start_s,
                left=each.start_s,
                height=height,
                lw=0.3,
                zorder=2,
                **looks[each.part],
            )
    for part in PARTS:
        axes.bar(0, 0, label=part, **looks[part])
    marks = range(0, len(shown), max(1, len(shown) // 12))
    axes.set(
        yticks=list(marks),
        yticklabels=[f"query {shown[row].query}, request {shown[row].number}" for row in marks],
        xlabel="simulated time, s",
        xlim=(min(each.start_s for each in shown), max(each.end_s for each in shown)),
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=len(PARTS), frameon=False)
    return figure
