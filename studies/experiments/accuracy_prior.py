"""How much Compass depends on what it believes about accuracy before it profiles anything.

The numbers of its prior have no source, and no planner could know them. Each is halved and doubled,
or moved by a similar step where that is out of range. In the last row, queries share no model of
accuracy, and the prior is not used.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene, explained, mean_interval
from lab.common.metrics import SHARE
from lab.reporting.markdown import estimated, table
from lab.run_cache.jobs import Job
from studies.common.measures import totals_with_floor
from studies.common.metrics import GOODPUT
from studies.common.study import Scale, refuse_planners

TITLE = "What Compass believes about accuracy"
SCENES = {"speech": "speech_small", "tracking": "tracking_small", "live video chat": "chat_small"}
DEFAULT, ALONE = "default", "no shared model"

MOVED = {
    "level": (0.4, 0.8),
    "level_sd": (0.075, 0.3),
    "knob_loss": (0.0, 0.1),
    "knob_scale": (0.5, 2.0),
    "interaction_scale": (0.5, 2.0),
    "slope_sd": (0.1, 0.4),
    "slopes_differ": (0.25, 1.0),
    "query_sd": (0.005, 0.02),
    "own_sd": (0.005, 0.02),
    "alike": (0.35, 0.85),
    "item_variance": (0.025, 0.1),
    "item_variance_items": (2.0, 8.0),
    "common_items": (32.0, 128.0),
}
"""Other values of the parameters of `planners.compass.search.accuracy_prior.AccuracyPrior`."""

BELIEFS = {
    DEFAULT: (),
    **{
        f"{name}={value:g}": (f"planner.search.accuracy_prior.{name}={value:g}",)
        for name, values in MOVED.items()
        for value in values
    },
    ALONE: ("planner.search.warm_start.sharing=ranked",),
}
"""The overrides of each belief, by its name in the tables; the first is the reference."""


def jobs(scale: Scale) -> list[Job]:
    """Return the runs of Compass for each scene, belief and seed."""
    refuse_planners("accuracy_prior", scale.planners)
    return [
        Job(
            (f"experiment={experiment}", "planner=compass", *words),
            seed,
            totals_with_floor,
            {"scene": scene, "belief": belief, "planner": "compass"},
        )
        for scene, experiment in SCENES.items()
        for belief, words in list(BELIEFS.items())[: 3 if scale.quick else None]
        for seed in scale.seeds_or()
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    alone = pl.col("belief") == ALONE
    moved = _against_default(rows.filter(~alone))
    apart = moved.filter((pl.col("low") > 1) | (pl.col("high") < 1))
    found = pl.concat([moved, _against_default(rows.filter(alone | (pl.col("belief") == DEFAULT)))])
    yield (
        "Goodput of Compass with the default beliefs, over that with each other belief. Below 1, "
        f"the other belief is better. Intervals with other numbers that exclude 1: {len(apart)} of "
        f"{len(moved)}, and {moved['p_holm'].lt(0.05).sum()} after Holm's correction within each "
        "scene."
    )
    yield ""
    yield from _table(found, _ratio)
    yield from explained(found)
    yield (
        "Share of deployments whose true accuracy is below the floor, mean over seeds with its "
        "interval. It includes plans that Compass only tries, because none is certain:"
    )
    yield ""
    yield from _table(rows, _below)


def _against_default(rows: pl.DataFrame) -> pl.DataFrame:
    found = by_scene(rows.with_columns(planner="belief"), (GOODPUT,), DEFAULT, ["scene"])
    return found.rename({"planner": "belief"})


def _table(rows: pl.DataFrame, cell: Callable[[pl.DataFrame], str]) -> Iterator[str]:
    """Yield a table with a row for each belief, and a cell for each scene."""
    scenes = rows["scene"].unique(maintain_order=True).to_list()
    yield from table(
        ["belief", *scenes],
        (
            [belief, *(cell(part.filter(scene=scene)) for scene in scenes)]
            for [belief], part in rows.group_by("belief", maintain_order=True)
        ),
    )


def _ratio(part: pl.DataFrame) -> str:
    return estimated(*part.select("ratio", "low", "high").row(0)) if len(part) else ""


def _below(part: pl.DataFrame) -> str:
    share = part["below_floor"].drop_nulls().to_numpy()
    return estimated(*mean_interval(share, SHARE)) if len(share) else ""


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw nothing; the tables say it."""
    return []
