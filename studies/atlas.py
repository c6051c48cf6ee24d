"""The page of the regime atlas: ``python -m studies.atlas DIRECTORY`` keeps an atlas and writes it.

The directory is one of ``compass-lab atlas``. Its tables are copied to ``studies/results/atlas``,
from which the page and its pictures follow; without a directory, the kept tables are used.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from lab.atlas.advice import (
    best_share,
    share,
    share_of,
    shares,
    tree,
    verdicts,
    with_a_best,
    words_of,
)
from lab.atlas.axes import AXES, Ordered
from lab.atlas.pictures import draw_pairs, draw_shares
from lab.atlas.race import GOODPUT, METRICS, PER_DOLLAR
from lab.atlas.rerun import Again
from lab.atlas.runs import ABOUT, RUNS, Atlas
from lab.atlas.verdicts import Outcome
from lab.behaviour import told
from lab.common.formatting import number
from lab.reporting.render import render
from lab.runs.run_directory import write_aside
from studies.common.store import RESULTS

KEPT = RESULTS / "atlas"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "evidence" / "atlas.md"
PICTURES = PAGE.parent / "figures" / "atlas"
FILES = (RUNS, ABOUT, "rerun.parquet", "reversals.parquet")
SHOWN = (("load", "machines"), ("application", "load"), ("application", "network"))
"""Pairs of axes whose pictures the page shows; `compass-lab atlas` draws those of all pairs."""

WORDS = {GOODPUT: "goodput", PER_DOLLAR: "goodput per dollar"}


def page() -> str:
    """Return the page as Markdown, from the kept tables."""
    made = Atlas.kept(KEPT)
    found = verdicts(made.frame, made.plan)
    planners = made.plan.planners
    rerun, reversals = (_read(name) for name in FILES[2:])
    text = render(
        "atlas.md.jinja",
        "studies",
        headline=headline(found, planners),
        behaviour=told(*made.behaviour.values()),
        cells=len(found),
        runs=made.frame.height,
        core_hours=float(made.frame["core_s"].sum()) / 3600,
        planners=planners,
        length=made.plan.length,
        looks=made.plan.looks,
        axes=[
            [
                axis.words,
                f"{number(axis.low)} to {axis.shown(axis.high)}"
                if isinstance(axis, Ordered)
                else "; ".join(axis.values),
            ]
            for axis in AXES
        ],
        served=_quantiles(found["served"]),
        metrics=[
            {
                "name": WORDS[metric],
                "undecided": share(found, metric, Outcome.UNDECIDED),
                "ties": share(found, metric, Outcome.TIE),
                "nobody": share(found, metric, Outcome.NOBODY),
                "tie_lead": found.filter(pl.col(f"{metric}_verdict") == Outcome.TIE)[
                    f"{metric}_lead"
                ].median(),
                "shares": list(_shares(found, planners, metric)),
                "tree": tree(found, metric),
                "metric": metric,
            }
            for metric in METRICS
        ],
        words_of=words_of,
        shown=SHOWN,
        rerun=None if rerun is None else _counted(rerun),
        reversals=[] if reversals is None else [*map(_reversed, reversals.iter_rows(named=True))],
    )
    return text.rstrip() + "\n"


def headline(found: pl.DataFrame, planners: tuple[str, ...]) -> str:
    """Return which planner is best most often, for each metric, to follow "The atlas"."""
    parts = []
    for metric in METRICS:
        best = {name: best_share(found, name, metric) for name in planners}
        name = max(planners, key=lambda each: best[each])
        middle, low, high = (f"{100 * each:.0f}" for each in best[name])
        scenes = f"{len(with_a_best(found, metric))} scenes"
        parts.append(f"`{name}` by {WORDS[metric]}, in {middle} % [{low}, {high}] of {scenes}")
    return (
        f"compares planners in {len(found)} scenes. In the scenes that its seeds decide, the "
        f"planner that is most often the best, or ties with it, is {', and '.join(parts)}. Scenes "
        "in which no planner serves a tenth of the queries' time are left out."
    )


def kept_headline() -> str:
    """Return the headline of the kept atlas."""
    made = Atlas.kept(KEPT)
    return headline(verdicts(made.frame, made.plan), made.plan.planners)


def draw() -> list[Path]:
    """Draw the pictures of the page, and that of the page on planners; return their paths."""
    made = Atlas.kept(KEPT)
    axes = {axis.name: axis for axis in AXES}
    pairs = [(axes[one], axes[other]) for one, other in SHOWN]
    found = verdicts(made.frame, made.plan)
    return [
        draw_shares(found, WORDS, made.plan.planners, PICTURES / "shares.png"),
        *(
            path
            for metric in METRICS
            for path in draw_pairs(found, metric, made.plan.planners, PICTURES / metric, pairs)
        ),
    ]


def _counted(rerun: pl.DataFrame) -> dict[str, Any]:
    """Return how many cells got which verdict again, and the share with the same, in percent."""
    counts = {str(each): int((rerun["again"] == each).sum()) for each in Again}
    share = [f"{100 * each:.0f}" for each in share_of(counts[Again.SAME], len(rerun))]
    return {**counts, "cells": len(rerun), "share": share}


def _shares(found: pl.DataFrame, planners: tuple[str, ...], metric: str) -> Iterator[list[str]]:
    for name, *parts in shares(found, planners, metric).iter_rows():
        middle, low, high = best_share(found, name, metric)
        yield [
            f"`{name}`",
            *(f"{part:.0%}" for part in parts),
            f"{middle:.0%} [{low:.0%}, {high:.0%}]",
        ]


def _reversed(row: dict[str, Any]) -> list[str]:
    names = [f"`{row['ahead']}`", f"`{row['behind']}`"]
    if not row["ordered"]:
        return [*names, "not surely ahead by default", "", ""]
    if row["change"] is None:
        return [*names, "none of the tried changes", "", ""]
    ratio = "infinite" if row["ratio"] is None else f"{row['ratio']:.2f}"
    return [*names, row["change"], f"{row['size']:.2f}", ratio]


def _quantiles(served: pl.Series) -> tuple[float, ...]:
    return tuple(float(served.quantile(at) or 0.0) for at in (0.1, 0.5, 0.9))


def _read(name: str) -> pl.DataFrame | None:
    path = KEPT / name
    return pl.read_parquet(path) if path.exists() else None


def main(words: list[str]) -> int:
    """Keep the tables of a directory, if one is given, and write the page."""
    if words:
        KEPT.mkdir(parents=True, exist_ok=True)
        if not (Path(words[0]) / RUNS).exists():
            print(f"{words[0]}: has no atlas", file=sys.stderr)
            return 2
        for name in FILES:
            (KEPT / name).unlink(missing_ok=True)  # It can be of another atlas.
            if (Path(words[0]) / name).exists():
                shutil.copyfile(Path(words[0]) / name, KEPT / name)
    draw()
    write_aside(PAGE, page())
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
