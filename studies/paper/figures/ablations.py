"""Figure 14a: what each part of Compass gains.

The paper states factors relative to a reference that it does not name. On tracking, the factor is
3.0 for the whole Compass, and 1.8, 1.8 and 1.7 without its profiler, search and scheduler,
respectively. On code generation, the factors are, in the same order, 5.6, 4.7, 4.5 and 4.2. The
ratio of the whole to each ablation does not depend on the reference. So we compare how much goodput
falls when a part is replaced. Speech recognition and Compass without a warm start are our
additions.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene
from studies.common.claims import Finding, ahead
from studies.common.measures import totals
from studies.common.metrics import DEVICE_HOURS, GOODPUT, RESPONSE
from studies.common.pictures import draw_ratios
from studies.common.sweep_files import runs
from studies.common.tables import means, ratio_table

TITLE = "Ablations"
SCENES = {"fig14a_speech": "speech", "fig14a": "tracking", "fig14a_code": "code generation"}
ABLATIONS = {
    "compass_no_profiler": "100 items for every configuration, in place of early stopping",
    "compass_no_search": "configurations in random order, in place of CMBO",
    "compass_no_scheduler": "first come, first served, in place of matching",
    "compass_cold": "no histories, and nothing profiled ahead",
}
"""Planners, and what replaces a part of Compass in each."""

PAPER = {
    "tracking": {
        "compass_no_profiler": 3.0 / 1.8,
        "compass_no_search": 3.0 / 1.8,
        "compass_no_scheduler": 3.0 / 1.7,
    },
    "code generation": {
        "compass_no_profiler": 5.6 / 4.7,
        "compass_no_search": 5.6 / 4.5,
        "compass_no_scheduler": 5.6 / 4.2,
    },
}
"""Goodput of the whole divided by that of each ablation, from the factors of figure 14a."""

WHY = {
    "compass_no_profiler": "early stopping saves profiling and response time; where machines are "
    "short, goodput hardly depends on it",
    "compass_no_search": "configurations come in random order",
    "compass_no_scheduler": "most queries come alone, so there is only one bid to match; running "
    "queries stay where they are",
}
METRICS = (GOODPUT, RESPONSE, DEVICE_HOURS)

jobs = partial(runs, SCENES, measure=totals)


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return whether the whole Compass has more goodput than Compass without each part."""
    judged = rows.filter(pl.col("scene").is_in(list(PAPER)), pl.col("planner") != "compass_cold")
    return [
        ahead(
            f"{row['scene']}: the whole serves more than {row['planner']}",
            row,
            f"the paper has a factor of {PAPER[row['scene']][row['planner']]:.2f}, which this test "
            f"does not check; {WHY[row['planner']]}",
        )
        for row in by_scene(judged, [GOODPUT], str(rows["planner"][0]), ["scene"]).iter_rows(
            named=True
        )
        if row["planner"] in WHY
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the ratios, and means over seeds."""
    yield (
        f"The ratios are those of the whole `{rows['planner'][0]}` over each ablation, with scarce "
        "machines. A part helps if its ratio is above 1 and the interval excludes 1."
    )
    yield ""
    found = by_scene(rows, METRICS, str(rows["planner"][0]), ["scene"])
    found = found.sort("planner", maintain_order=True).with_columns(
        part=pl.col("planner").replace_strict(ABLATIONS, default="")
    )
    labels = {"planner": "planner", "part": "what replaces a part", "metric": "metric"}
    yield from ratio_table(found, {**labels, "scene": "scene"})
    yield from means(rows, ["scene", "planner"])


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios with their intervals."""
    found = by_scene(rows, METRICS, str(rows["planner"][0]), ["scene"])
    return [draw_ratios(found, METRICS, directory / "ablations.png")]
