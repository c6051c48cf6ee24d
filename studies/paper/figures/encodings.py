"""Figure 18: how knobs are put to the surrogates: one-hot, continuous, or by kind.

Configurations are profiled in random order as Compass would, without histories, and what is
believed of the accuracy of all configurations is compared with the truth. One-hot gives each choice
of a knob a feature; continuous gives each knob its position among its choices; Compass here takes
the latter for knobs of numbers, and one-hot features for others.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lab.analysis.comparison import estimate, holm
from lab.common.formatting import probability
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, curves, legend_below, save
from lab.reporting.plotting.style import plain_log
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, Verdict
from studies.common.store import each_cell
from studies.common.sweep_files import experiment
from studies.probes.belief_probe import COLD, errors

APPLICATIONS = {
    "fig18_speech": "speech",
    "fig18_tracking": "tracking",
    "fig18_chat": "video chat",
}
COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in APPLICATIONS)
SWEPT = "planner.search.encoding"
ONE_HOT, CONTINUOUS, OURS = "one_hot", "ordinal", "mixed"
WORDS = {ONE_HOT: "one-hot", CONTINUOUS: "continuous", OURS: "by kind of knob"}
JUDGED = (4, 8, 16, 24)
"""Numbers of profiled configurations at which encodings are compared."""

SURE = 0.05


def jobs(quick: bool) -> list[Job]:
    """Return the runs: each encoding in each application."""
    return [
        job
        for name, application in APPLICATIONS.items()
        for job in experiment(name, quick).jobs(errors, scene=application)
    ]


def beliefs(rows: pl.DataFrame) -> pl.DataFrame:
    """Return errors of accuracy from nothing by scene, encoding, profiled and seed."""
    keys = "scene", "seed", pl.col(SWEPT).alias("encoding")
    cells = each_cell(rows, *keys)
    return cells.filter(model=COLD).select(
        "scene", "seed", "encoding", "profiled", error="accuracy"
    )


def against_one_hot(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return ratios of errors to those of one-hot features, with p-values by Holm's procedure."""
    tidy = beliefs(rows).filter(pl.col("profiled").is_in(JUDGED))
    found: list[dict[str, Any]] = []
    for (scene, profiled), part in tidy.group_by("scene", "profiled", maintain_order=True):
        one_hot = part.filter(encoding=ONE_HOT)
        for encoding in (CONTINUOUS, OURS):
            both = part.filter(encoding=encoding).join(one_hot, "seed", suffix="_one_hot")
            logs = np.log(both["error"].to_numpy() / both["error_one_hot"].to_numpy())
            mean = estimate(logs, 1.0)
            ratio = [
                None if each is None else float(np.exp(each))
                for each in (mean.mean, mean.low, mean.high)
            ]
            found.append(
                {
                    "scene": scene,
                    "profiled": profiled,
                    "encoding": encoding,
                    "ratio": ratio,
                    "p": mean.p,
                    "seeds": mean.n,
                }
            )
    for encoding in (CONTINUOUS, OURS):
        its = [row for row in found if row["encoding"] == encoding]
        for row, p in zip(its, holm([row["p"] for row in its]), strict=True):
            row["p"] = p
    return found


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return in how many cells one-hot features are better for sure, and in how many worse."""
    cells = against_one_hot(rows)
    found = []
    for encoding, words in ((CONTINUOUS, "continuous"), (OURS, "our")):
        its = [row for row in cells if row["encoding"] == encoding]
        sure = [row for row in its if row["p"] is not None and row["p"] < SURE]
        better = sum(row["ratio"][0] > 1 for row in sure)
        worse = len(sure) - better
        never = worse == len(its) > 0
        verdict = Verdict.AGREES if better else Verdict.DIFFERS if never else Verdict.UNKNOWN
        found.append(
            Finding(
                f"one-hot features sometimes outperform {words} ones",
                f"better in {better} of {len(its)} cases, worse in {worse}",
                verdict,
                f"cases are applications and numbers of profiled configurations; counted where the "
                f"error differs, p below {SURE:g} by Holm's procedure. It differs if one-hot is "
                "worse in all of them",
            )
        )
    return found


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield all ratios."""
    yield "Error of accuracy over that with one-hot features, paired over seeds:"
    yield ""
    yield from table(
        ["application", "profiled", "encoding", "seeds", "ratio", "p"],
        (
            [
                row["scene"],
                row["profiled"],
                WORDS[row["encoding"]],
                row["seeds"],
                estimated(*row["ratio"]),
                probability(row["p"]),
            ]
            for row in against_one_hot(rows)
        ),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw errors by profiled configurations."""
    tidy = beliefs(rows).with_columns(pl.col("encoding").replace(WORDS))
    scenes = tidy["scene"].unique(maintain_order=True).to_list()
    figure, (panels,) = canvas(1, len(scenes), 3.2)
    for axes, scene in zip(panels, scenes, strict=True):
        curves(axes, tidy.filter(scene=scene), "profiled", "error", by="encoding", markers=True)
        axes.set(
            title=scene,
            xlabel="profiled",
            ylabel="error of accuracy",
            yscale="log",
        )
        plain_log(axes.yaxis)
    legend_below(figure, panels[0])
    return [save(figure, directory / "fig18_encodings.png")]
