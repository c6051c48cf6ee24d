"""How links, switching, services and content that are as rough as measured change the ranking.

Each part of the rough world is tried alone in a smooth one, in which links are as fast as in speed
tests, machines boot at once, services take nominal times, and clips differ as in version 0.1. Then
assumptions of the whole rough world, which is the default, are varied one at a time.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene, mean_interval
from lab.common.metrics import SHARE
from lab.hardware_tools.world_parameters import SMOOTH, STRAIGHT
from lab.reporting.markdown import estimated, table
from lab.run_cache.jobs import Job
from studies.common.measures import totals
from studies.common.metrics import SLO_MET
from studies.common.study import Scale
from studies.common.tables import ratio_table
from studies.common.verdicts import FIRST_SEED

TITLE = "A rougher world"
SEEDS = range(FIRST_SEED, FIRST_SEED + 6)

SCENES = {
    "speech": ("experiment=speech_small", ("compass", "videostorm", "vulcan", "greedy")),
    "tracking": (
        "experiment=tracking_small",
        ("compass_15s", "videostorm_15s", "vulcan_15s", "greedy"),
    ),
}
"""Scenes, with their planners; the first is compared with each other one."""

SMOOTH_WORLD, ROUGH_WORLD = "smooth (all old options)", "rough (default)"

ASSUMED: tuple[str, ...] = (
    "network.updown_correlation=0",
    "network.updown_correlation=0.9",
    "network.discipline=processor_sharing",
    "cluster.cloud_boot_s=25",
    "cluster.cloud_boot_s=55.9",
    "cluster.cloud_boot_s=164",
    "switching=bare",
    "cluster.mig_create_s=66",
    "cluster.load_bandwidth=per_instance",
    "cluster.service_cv=0",
    "cluster.service_cv=0.1",
    "cluster.speed_log_sd=0",
    "cluster.speed_log_sd=0.1",
    "application.size_scales=all",
    "application.accuracy.rank_correlation=0.7",
    "application.accuracy.rank_correlation=1",
    "network.technologies={LTE-driving: 0.5, 5G-NSA-Low-Band: 0.3, 5G-NSA-mmWave: 0.2}",
)
"""Other values of what is assumed in the rough world.

They are tried in the first scene, with its first two planners.
"""


def worlds(scene: str) -> dict[str, tuple[str, ...]]:
    """Return the overrides of each world, by its name."""
    smooth = dict(SMOOTH)
    assumed: tuple[str, ...] = ()
    if scene == "speech":
        smooth["content"] += (STRAIGHT,)
        assumed = ASSUMED
    found = {SMOOTH_WORLD: sum(smooth.values(), ())}
    for part in smooth:
        others = (words for name, words in smooth.items() if name != part)
        found[f"only {part} rough"] = sum(others, ())
    return found | {ROUGH_WORLD: ()} | {each: (each,) for each in assumed}


def jobs(scale: Scale) -> list[Job]:
    """Return the runs for each scene, world, planner and seed."""
    return [
        Job(
            (experiment, *words, f"planner={planner}"),
            seed,
            totals,
            {"scene": scene, "world": world, "planner": planner},
        )
        for scene, (experiment, own) in SCENES.items()
        for world, words in list(worlds(scene).items())[: 2 if scale.quick else None]
        for planner in scale.planners or (own[:2] if world in ASSUMED else own)
        for seed in scale.seeds_or(SEEDS)
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    yield (
        "Share of the queries' time in which the SLO is met, mean over seeds with its interval, by "
        "scene and planner. Rows after the default vary one assumption of the default."
    )
    yield ""
    for [scene], part in rows.group_by("scene", maintain_order=True):
        planners = part["planner"].unique(maintain_order=True).to_list()
        yield from table([f"world ({scene})", *planners], _means(part, planners))
        yield ""
    main = rows.filter(pl.col("world").is_in([SMOOTH_WORLD, ROUGH_WORLD]))
    yield "Time with the SLO met under the first planner, over that under each other one:"
    yield ""
    found = pl.concat(
        by_scene(part, (SLO_MET,), str(part["planner"][0]), ["scene", "world"])
        for _, part in main.group_by("scene", maintain_order=True)
    )
    yield from ratio_table(found, {"scene": "scene", "world": "world", "planner": "against"})


def _means(part: pl.DataFrame, planners: list[str]) -> Iterator[list[str]]:
    for [world], own in part.group_by("world", maintain_order=True):
        values = (own.filter(planner=each)["slo_met"].to_numpy() for each in planners)
        yield [
            str(world),
            *(estimated(*mean_interval(each, SHARE)) if len(each) else "" for each in values),
        ]


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw nothing; the tables say it."""
    return []
