"""Figure 13: planning cost in device-hours of profiling, where queries last hours.

Dense video captioning and code generation run for two simulated hours, with ten minutes of planning
time per query and plentiful machines. Device-hours include all profiling devices: those of
VideoStorm's offline profiles, and those on which Compass profiles ahead and confirms plans later.
The paper plots A100-hours. Here, each application's tables determine the profiling hardware.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import seaborn as sns

from lab.analysis.paired import PairedMetric, ratios
from lab.reporting.plotting.canvas import canvas, save, t_interval
from studies.common.claims import Finding, ahead
from studies.common.measures import spending
from studies.common.sweep_files import runs
from studies.common.tables import means

TITLE = "What planning costs where queries live for hours"
APPLICATIONS = {"fig13_captioning": "captioning", "fig13_coding": "coding"}
REFERENCE = "compass"
HOURS = PairedMetric("device_hours", "device-hours of profiling", more_is_better=False)

jobs = partial(runs, APPLICATIONS, measure=spending)


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return verdicts on the ratios of device-hours."""
    return [
        ahead(
            f"{scene}: Compass takes fewer device-hours than {row['planner']}",
            row,
            "its device-hours over those of Compass, all queries; the paper gives no number",
        )
        for (scene,), part in rows.group_by("scene", maintain_order=True)
        for row in ratios(part, HOURS, REFERENCE).iter_rows(named=True)
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield what each planner spent, and the share of queries that it served."""
    columns = {
        "queries": "queries",
        "device_hours": "device-hours",
        "device_hours_a_query": "device-hours per query",
        "first_search_s": "planning in the first search that deployed, median, s",
        "served": "ever served, share",
    }
    yield from means(rows, ["scene", "planner"], columns)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw device-hours per query."""
    figure, ((axes,),) = canvas(1, 1, 3.4)
    sns.barplot(
        rows.to_dict(as_series=False),
        x="scene",
        y="device_hours_a_query",
        hue="planner",
        palette="colorblind",
        errorbar=t_interval,
        ax=axes,
    )
    axes.set(xlabel="", ylabel="profiling, device-hours per query")
    axes.legend(title=None)
    return [save(figure, directory / "profiling_cost.png")]
