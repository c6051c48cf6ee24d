"""Figure 2: how users differ in devices, links and content, and so in their best plan.

No planner is run: devices and links are as drawn for users, and accuracies and plans that would do
as by the truth, each user alone. A class of plans sets two knobs, each to a light or to a heavy
value: sampling rate and model of speech recognition, detector and tracker of visual tracking,
frames and model of live video chat. Accuracy is that with all other knobs at their richest. A
user's best class is the one with the cheapest plan that keeps latency, accuracy and price, whatever
the other knobs, priced by what it uses.
"""

from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

import numpy as np
import polars as pl
import seaborn as sns
from numpy.typing import NDArray

from lab.analysis.comparison import SHARE
from lab.analysis.paired import mean_interval, ratio_interval
from lab.common.formatting import number
from lab.reporting.markdown import table
from lab.reporting.plotting.canvas import canvas, save
from lab.reporting.plotting.style import plain_log
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, above
from studies.common.store import each_cell
from studies.common.sweep_files import experiment
from studies.probes.user_probe import users

Floats = NDArray[np.float64]

APPLICATIONS = {"fig02_speech": "speech", "fig02_tracking": "tracking", "fig02_chat": "video chat"}
COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in APPLICATIONS)
WIDE = 2.0
"""Ninetieth over tenth percentile of a speed that is taken for a wide spread."""

POINTS = 0.05
"""Difference between these percentiles of an accuracy that is taken for varying."""

OTHERS = 0.25
"""Share of users whose best class is not the most frequent one, from which on classes differ."""

CLASSES = ("low-low", "low-high", "high-low", "high-high")
NONE = "none would do"


def jobs(quick: bool) -> list[Job]:
    """Return the runs: all users of each application."""
    return [
        job
        for name, application in APPLICATIONS.items()
        for job in experiment(name, quick).jobs(users, application=application)
    ]


def each_user(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each user, with its device and link."""
    keys = "application", "seed"
    return each_cell(rows, *keys)


def each_class(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each user and class, with accuracy and price."""
    keys = "application", "seed", "query"
    return each_user(rows).select(*keys, "classes").explode("classes").unnest("classes")


def best(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the best class of each user that has any, as ``name``."""
    priced = each_class(rows).drop_nulls("price").sort("price", "name", maintain_order=True)
    return priced.group_by("application", "seed", "query", maintain_order=True).first()


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return how wide devices, links and accuracies spread, and whether best classes differ."""
    seeds = rows["seed"].n_unique()
    found = []
    people = each_user(rows).filter(application=rows["application"][0])
    for column, what in {"speed": "devices' speeds", "uplink_bps": "uplink rates"}.items():
        low, high = (_by_seed(people, column, share) for share in (0.1, 0.9))
        found.append(
            above(
                f"(a) {what} spread widely",
                ratio_interval(high, low),
                WIDE,
                f"taken to mean that the ninetieth percentile is {WIDE:g} times the tenth; the "
                "population is that of our tables, not the paper's",
                seeds,
            )
        )
    accuracies, chosen = each_class(rows), best(rows)
    for application in rows["application"].unique(maintain_order=True).to_list():
        part = accuracies.filter(application=application)
        spread: Sequence[Floats] = [
            _by_seed(part.filter(name=name), "accuracy", 0.9)
            - _by_seed(part.filter(name=name), "accuracy", 0.1)
            for name in CLASSES
        ]
        found.append(
            above(
                f"(b) {application}: accuracy of the same plan varies between users",
                mean_interval(np.mean(spread, axis=0), (0.0, inf)),
                POINTS,
                f"taken to mean {POINTS:g} between the tenth and ninetieth percentile, mean over "
                "classes; users differ in data set and content",
                seeds,
            )
        )
        its = chosen.filter(application=application)
        counts = its.group_by("seed", "name").len().group_by("seed").agg(pl.col("len").max())
        all_of = its.group_by("seed").len("users").join(counts, "seed").sort("seed")
        others = 1 - (all_of["len"] / all_of["users"]).to_numpy()
        found.append(
            above(
                f"(b) {application}: which class of plans is best differs by user",
                mean_interval(others, SHARE),
                OTHERS,
                "share of users whose best class is not the one that is best most often; taken to "
                f"mean at least {OTHERS:g}",
                seeds,
            )
        )
    return found


def _by_seed(users: pl.DataFrame, column: str, share: float) -> Floats:
    """Return a quantile over the users of each seed, shape (seeds,)."""
    by = users.group_by("seed").agg(pl.col(column).quantile(share, "linear"))
    return by.sort("seed")[column].to_numpy()


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield how often each class is best, and how many users none would do for."""
    chosen, people = best(rows), each_user(rows)
    yield "Share of users, in percent, whose best class it is:"
    yield ""
    heads = ["application", "users", *CLASSES, NONE]
    body = []
    for application in rows["application"].unique(maintain_order=True).to_list():
        count = people.filter(application=application).height
        its = chosen.filter(application=application)
        shares = [100 * its.filter(name=name).height / count for name in CLASSES]
        body.append([application, count, *map(number, [*shares, 100 - sum(shares)])])
    yield from table(heads, body)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw distributions of speeds and rates, best classes, and accuracies by class."""
    applications = rows["application"].unique(maintain_order=True).to_list()
    people = each_user(rows).filter(application=applications[0])
    figure, panels = canvas(2, 3, 2.9)
    speeds, rates, shares = panels[0]
    places = {name: place for place, name in enumerate(applications)}
    sns.ecdfplot(x=people["speed"].to_numpy(), ax=speeds)
    speeds.set(xlabel="CPU, Raspberry Pi 4 = 1", ylabel="share of users", xscale="log")
    sns.ecdfplot(x=people["uplink_bps"].to_numpy() / 1e6, ax=rates)
    rates.set(xlabel="mean uplink, Mbit/s", ylabel="share of users", xscale="log")
    plain_log(speeds.xaxis)
    plain_log(rates.xaxis)
    keys = ["application", "seed", "query"]
    of_all = (
        each_user(rows)
        .join(best(rows), on=keys, how="left")
        .with_columns(pl.col("name").fill_null(NONE))
    )
    sns.histplot(
        of_all.select("name", "application")
        .sort(pl.col("application").replace_strict(places))
        .to_dict(as_series=False),
        x="application",
        hue="name",
        hue_order=[*CLASSES, NONE],
        multiple="fill",
        discrete=True,
        shrink=0.8,
        palette="colorblind",
        ax=shares,
    )
    shares.set(xlabel="", ylabel="share of users, by best class")
    shares.tick_params(axis="x", labelrotation=20)
    sns.move_legend(shares, "upper left", bbox_to_anchor=(1, 1), title=None, frameon=False)
    for axes, application in zip(panels[1], applications, strict=True):
        sns.boxplot(
            each_class(rows).filter(application=application).to_dict(as_series=False),
            x="name",
            y="accuracy",
            hue="name",
            order=CLASSES,
            hue_order=CLASSES,
            palette="colorblind",
            legend=False,
            whis=(5, 95),
            fliersize=2,
            ax=axes,
        )
        axes.set(title=application, xlabel="class of plan", ylabel="accuracy")
        axes.tick_params(axis="x", labelrotation=30)
    return [save(figure, directory / "fig02_users.png")]
