"""Figure 18: encodings of knobs for the surrogates: one-hot, continuous, or by kind of knob.

Configurations are profiled in random order with Compass's profiler, without histories. The believed
accuracies of all configurations are then compared with the true ones. The one-hot encoding makes
each choice of a knob a feature. The continuous encoding gives each knob its position among its
choices. Compass uses the continuous encoding for numeric knobs and one-hot features for the others.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from lab.analysis.paired import ratio_of_means
from lab.analysis.statistics import allowed_error, holm
from lab.common.formatting import probability
from lab.reporting.markdown import estimated, table
from studies.common.claims import Finding, Verdict
from studies.common.pictures import draw_curves
from studies.common.store import each_cell
from studies.common.sweep_files import runs
from studies.probes.belief_probe import COLD, errors

TITLE = "Encodings of knobs"
APPLICATIONS = {"fig18_speech": "speech", "fig18_tracking": "tracking", "fig18_chat": "video chat"}
SWEPT = "planner.search.encoding"
ONE_HOT, CONTINUOUS, OURS = "one_hot", "ordinal", "mixed"
WORDS = {ONE_HOT: "one-hot", CONTINUOUS: "continuous", OURS: "by kind of knob"}
JUDGED = (4, 8, 16, 24)
"""Numbers of profiled configurations at which encodings are compared."""

jobs = partial(runs, APPLICATIONS, measure=errors)


def beliefs(rows: pl.DataFrame) -> pl.DataFrame:
    """Return errors of accuracy by scene, seed, encoding and number of profiled configurations."""
    cells = each_cell(rows, "scene", "seed", pl.col(SWEPT).alias("encoding"))
    return cells.filter(model=COLD).with_columns(error="accuracy")


def against_one_hot(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return errors divided by those of one-hot features, with p-values by Holm's procedure."""
    tidy = beliefs(rows).filter(pl.col("profiled").is_in(JUDGED))
    found: list[dict[str, Any]] = []
    for (scene, profiled), part in tidy.group_by("scene", "profiled", maintain_order=True):
        one_hot = part.filter(encoding=ONE_HOT).select("seed", one_hot="error")
        for encoding in (CONTINUOUS, OURS):
            both = part.filter(encoding=encoding).join(one_hot, "seed")
            mean = ratio_of_means(both["error"].to_numpy(), both["one_hot"].to_numpy())
            ratio = mean.mean, mean.low, mean.high
            row = {"scene": scene, "profiled": profiled, "encoding": encoding}
            found.append({**row, "ratio": ratio, "p": mean.p, "seeds": mean.n})
    for encoding in (CONTINUOUS, OURS):
        its = [row for row in found if row["encoding"] == encoding]
        for row, p in zip(its, holm([row["p"] for row in its]), strict=True):
            row["p"] = p
    return found


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return the finding: in how many cases one-hot features are significantly better or worse."""
    cells = against_one_hot(rows)
    found = []
    for encoding, words in ((CONTINUOUS, "continuous ones"), (OURS, "ours")):
        its = [row for row in cells if row["encoding"] == encoding]
        error = allowed_error()
        sure = [row["ratio"][0] for row in its if row["p"] is not None and row["p"] < error]
        better = sum(ratio > 1 for ratio in sure)
        worse = len(sure) - better
        never = worse == len(its) > 0
        found.append(
            Finding(
                f"one-hot features sometimes outperform {words}",
                f"better in {better} of {len(its)} cases, worse in {worse}",
                Verdict.AGREES if better else Verdict.DIFFERS if never else Verdict.UNDECIDED,
                "a case is an application and a number of profiled configurations; it counts if "
                f"errors differ with p below {error:.2g} by Holm's procedure. The verdict is "
                "'differs' if one-hot features are worse in all cases",
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
            [scene, profiled, WORDS[encoding], seeds, estimated(*ratio), probability(p)]
            for scene, profiled, encoding, ratio, p, seeds in map(
                dict.values, against_one_hot(rows)
            )
        ),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw errors of accuracy by the number of profiled configurations."""
    tidy = beliefs(rows).with_columns(pl.col("encoding").replace(WORDS))
    path = directory / "encodings.png"
    labels = {"xlabel": "profiled", "ylabel": "error of accuracy", "yscale": "log"}
    return [draw_curves(tidy, "scene", "profiled", "error", path, "encoding", settings=labels)]
