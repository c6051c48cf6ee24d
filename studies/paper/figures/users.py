"""Figure 2: how users differ in devices, links and content, and so in their best plan.

No planner runs. Devices and links are drawn as for users of a simulation. Accuracies and feasible
plans are computed from the true values, for each user alone. A class of plans sets two knobs, each
to a light or a heavy value. The knobs are sampling rate and model in speech recognition, detector
and tracker in visual tracking, and frames and model in live video chat. The accuracy of a class is
that with all other knobs at their richest values. A user's best class is the one with the cheapest
plan that meets the bounds on latency, accuracy and price, with any values of the other knobs. The
price of a plan is that of the resources that it uses.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from math import inf
from pathlib import Path

import polars as pl
import seaborn as sns

from lab.analysis.paired import mean_interval, ratio_interval
from lab.common.formatting import number
from lab.common.metrics import SHARE
from lab.reporting.markdown import table
from lab.reporting.plotting.canvas import canvas, save
from lab.reporting.plotting.style import plain_log
from scenarios.numerics import Floats
from studies.common.claims import Finding, above
from studies.common.store import each_cell
from studies.common.sweep_files import runs
from studies.probes.user_probe import users

TITLE = "Users and their best plans"
APPLICATIONS = {"fig02_speech": "speech", "fig02_tracking": "tracking", "fig02_chat": "video chat"}
WIDE = 2.0
"""A speed spreads widely if the ratio of its ninetieth percentile to its tenth exceeds this."""

POINTS = 0.05
"""An accuracy varies if its ninetieth percentile exceeds its tenth by more than this."""

OTHERS = 0.25
"""Classes differ if the share of users whose best class is not the most frequent exceeds this."""

CLASSES = ("low-low", "low-high", "high-low", "high-high")
NONE = "none would do"

jobs = partial(runs, APPLICATIONS, measure=users, label="application")


def each_user(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each user, with its device and link."""
    return each_cell(rows, "application", "seed")


def each_class(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each user and class, with accuracy and price."""
    users = each_user(rows).select("application", "seed", "query", "classes")
    return users.explode("classes").unnest("classes")


def best(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the best class (``name``) of each user for whom any class has a feasible plan."""
    priced = each_class(rows).drop_nulls("price").sort("price", "name", maintain_order=True)
    return priced.group_by("application", "seed", "query", maintain_order=True).first()


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return findings on the spread of devices, links and accuracies, and on the best classes."""
    found = []
    people = each_user(rows).filter(application=rows["application"][0])
    for column, what in {"speed": "devices' speeds", "uplink_bps": "uplink rates"}.items():
        low, high = _tails(people, column, ["seed"])
        found.append(
            above(
                f"(a) {what} spread widely",
                ratio_interval(high, low),
                WIDE,
                f"taken to mean that the ninetieth percentile is {WIDE:g} times the tenth; the "
                "population is that of our tables, not the paper's",
                len(low),
            )
        )
    chosen = best(rows)
    for (application,), part in each_class(rows).group_by("application", maintain_order=True):
        low, high = _tails(part, "accuracy", ["seed", "name"])
        spread = (high - low).reshape(-1, part["name"].n_unique()).mean(axis=1)
        found.append(
            above(
                f"(b) {application}: accuracy of the same plan varies between users",
                mean_interval(spread, (0.0, inf)),
                POINTS,
                f"taken to mean {POINTS:g} between the tenth and ninetieth percentile, mean over "
                "classes; users differ in data set and content",
                len(spread),
            )
        )
        counts = chosen.filter(application=application).group_by("seed", "name").len()
        most = pl.col("len").max() / pl.col("len").sum()
        others = 1 - counts.group_by("seed").agg(most).sort("seed")["len"].to_numpy()
        found.append(
            above(
                f"(b) {application}: which class of plans is best differs by user",
                mean_interval(others, SHARE),
                OTHERS,
                "share of users whose best class is not the one that is best most often; taken to "
                f"mean at least {OTHERS:g}",
                len(others),
            )
        )
    return found


def _tails(users: pl.DataFrame, column: str, keys: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the tenth and ninetieth percentile of a column over users, sorted by the keys."""
    low, high = (pl.col(column).quantile(at, "linear") for at in (0.1, 0.9))
    by = users.group_by(keys).agg(low=low, high=high).sort(keys)
    return by["low"].to_numpy(), by["high"].to_numpy()


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield how often each class is best, and how many users have no feasible plan."""
    chosen = best(rows)
    yield "Share of users with each best class, in percent:"
    yield ""
    body = []
    for (application,), people in each_user(rows).group_by("application", maintain_order=True):
        names = chosen.filter(application=application)["name"]
        shares = [float(100 * (names == name).sum() / people.height) for name in CLASSES]
        body.append([application, people.height, *map(number, [*shares, 100 - sum(shares)])])
    yield from table(["application", "users", *CLASSES, NONE], body)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw distributions of speeds and rates, best classes, and accuracies by class."""
    applications = rows["application"].unique(maintain_order=True).to_list()
    people = each_user(rows).filter(application=applications[0])
    figure, panels = canvas(2, 3, 2.9)
    speeds, rates, shares = panels[0]
    for axes, values, label in (
        (speeds, people["speed"], "CPU, Raspberry Pi 4 = 1"),
        (rates, people["uplink_bps"] / 1e6, "mean uplink, Mbit/s"),
    ):
        sns.ecdfplot(x=values.to_numpy(), ax=axes)
        axes.set(xlabel=label, ylabel="share of users", xscale="log")
        plain_log(axes.xaxis)
    classes = each_user(rows).join(
        best(rows), ["application", "seed", "query"], how="left", maintain_order="left"
    )
    sns.histplot(
        classes.select("application", pl.col("name").fill_null(NONE)).to_dict(as_series=False),
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
    return [save(figure, directory / "users.png")]
