"""One query's search: what planners profiled for it, and which configuration they chose."""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from scipy.stats import t

from lab.reporting.plotting.canvas import canvas, save
from lab.runs.api import Result, run
from sim import Planner, PlanningContext, Query
from studies.concepts.boxes import STRONG_BLUE, STRONG_GREEN, STRONG_ORANGE, STRONG_RED, legend

SCENARIO = (
    "experiment=tracking_small",
    "network.capacity=speed_tests",
    "workload.rate=0.04",
    "seed=904",
    "horizon_s=130",
)
QUERY = 2

FAST, LATE = "fast", "late"
"""Whether some plan of a configuration is fast enough; else, the price is of the fastest plan."""

FIRST = 16
"""Items of the first profile of a configuration by Compass."""

LOAD = 0.5
"""Utilisation of stations for which plans are taken to be fast enough."""

COMPASS = "compass"
BASELINES = (
    COMPASS,
    "vulcan",
    "cherrypick",
    "videostorm",
    "jellybean",
    "infaas",
    "chameleon",
    "greedy",
)

CHOSEN, FEW, MORE = "chosen", f"stopped after {FIRST} items", "measured on more items"
LOOKS = {
    FEW: (STRONG_RED, "o", 6.0),
    MORE: (STRONG_BLUE, "s", 6.0),
    CHOSEN: (STRONG_GREEN, "*", 13.0),
}
AHEAD = {
    True: ("profiled ahead, for the data set", STRONG_ORANGE),
    False: ("profiled for the query", STRONG_BLUE),
}
APART = 0.08
"""Distance between configurations of equal price, in $/h."""

PRICE = "price of the cheapest plan that is fast enough ($/h)"


class Prices(Planner):
    """Logs, for each configuration, its true accuracy and its cheapest plan that is fast enough.

    If none is fast enough, the fastest plan is logged.
    """

    sees_truth = True
    budget_s = 1e7

    def plan(self, context: PlanningContext) -> None:
        """Log the plans of the query `QUERY` when it arrives."""
        for query in context.waiting:
            if query.id == QUERY and context.recall("done") is None:
                context.remember("done", True)
                self.log(context, query)

    def log(self, context: PlanningContext, query: Query) -> None:
        """Log one plan for each configuration."""
        view, truth = context.bulk.view(query), context.bulk.truth(query)
        bound_s = query.slo.latency_s or np.inf
        for configuration in context.world.pipeline.configurations:
            number = configuration.index
            plans = np.flatnonzero(view.configuration == number)
            _, latency_s = context.bulk.predict_many(
                query,
                view,
                plans,
                truth.operator_time_s[number],
                float(truth.time_cv[number]),
                load=LOAD,
                normalised=truth.normalised[number],
            )
            fast = np.flatnonzero(latency_s <= bound_s)
            price = view.list_price_usd_per_hour[plans]
            best = fast[np.argmin(price[fast])] if len(fast) else np.argmin(latency_s)
            context.bulk.log_candidate(
                query,
                view.plan(int(plans[best])),
                FAST if len(fast) else LATE,
                float(latency_s[best]),
                float(truth.accuracy[number]),
            )


@cache
def prices() -> pl.DataFrame:
    """Return each ``configuration`` with its ``role``, ``usd_per_hour`` and true ``accuracy``."""
    found = run(list(SCENARIO), planner=Prices())
    columns = ("configuration", "role", "accuracy")
    return found.offers.select(*columns, usd_per_hour="list_price_usd_per_hour")


@cache
def made(planner: str) -> Result:
    """Return the run of a planner."""
    return run([*SCENARIO, f"planner={planner}"])


def profiled(found: Result) -> pl.DataFrame:
    """Return the last profile of each configuration, of the query and of its data set.

    Only profiles count that ended before the query's first deployment was decided. ``ahead`` tells
    profiles of the data set, which were made before the query arrived.
    """
    [query] = found.queries.filter(query=QUERY).iter_rows(named=True)
    first = _orders(found)["decided_s"].min()
    own = pl.col("query") == QUERY
    ahead = pl.col("query").is_null() & (pl.col("dataset") == query["dataset"])
    rows = found.profiling.filter(
        ahead | (own if first is None else own & (pl.col("at_s") <= first))
    )
    columns = ("samples", "accuracy_mean", "accuracy_variance")
    last = rows.group_by("configuration", ahead=pl.col("query").is_null()).agg(
        pl.col(columns).sort_by("samples").last()
    )
    return last.join(prices(), on="configuration").sort("configuration", "ahead")


def measured(found: Result) -> pl.DataFrame:
    """Return the last profile of each configuration that was profiled for the query itself.

    ``place`` numbers those of equal price around 0, so that they can be drawn side by side.
    """
    number = pl.int_range(pl.len()) - (pl.len() - 1) / 2
    own = profiled(found).filter(~pl.col("ahead")).sort("usd_per_hour", "accuracy")
    return own.with_columns(number.over("usd_per_hour").alias("place"))


def chosen(found: Result) -> str | None:
    """Return the configuration of the query's first deployment."""
    orders = _orders(found)
    return orders["configuration"][0] if orders.height else None


def _orders(found: Result) -> pl.DataFrame:
    return found.decisions.filter(query=QUERY, outcome="deployed").sort("decided_s")


def compass(path: Path) -> Path:
    """Draw what Compass measured of each configuration until it chose one; return the path."""
    figure, [[axes]] = canvas(1, 1, 4.6)
    found = made(COMPASS)
    best = chosen(found)
    _every(axes, _floor(found), "true accuracy")
    for row in measured(found).iter_rows(named=True):
        items, mean = row["samples"], row["accuracy_mean"]
        x = row["usd_per_hour"] + APART * row["place"]
        half = float(t.ppf(0.975, items - 1)) * (row["accuracy_variance"] / items) ** 0.5
        kind = CHOSEN if row["configuration"] == best else FEW if items <= FIRST else MORE
        color, marker, size = LOOKS[kind]
        axes.errorbar(x, mean, half, color=color, marker=marker, ms=size, capsize=2.5, lw=1.4)
        axes.annotate(
            f"{items}", (x, mean + half), (0, 3), textcoords="offset points", ha="center", size=9
        )
    for kind, (color, marker, size) in LOOKS.items():
        axes.plot([], [], color=color, marker=marker, ms=size, ls="", label=kind)
    axes.set_xlabel(PRICE, fontsize=9.5)
    axes.set_ylabel("accuracy, with 95 % intervals", fontsize=9.5)
    legend(figure, axes, 3)
    return save(figure, path)


def baselines(path: Path) -> Path:
    """Draw which configurations each planner profiled, and which it chose; return the path."""
    figure, panels = canvas(2, len(BASELINES) // 2, 2.3, sharex=True, sharey=True)
    for axes, planner in zip([each for row in panels for each in row], BASELINES, strict=True):
        found = made(planner)
        _every(axes, _floor(found), "not profiled")
        for ahead, (words, color) in AHEAD.items():
            rows = profiled(found).filter(ahead=ahead)
            x, y = rows["usd_per_hour"].to_list(), rows["accuracy"].to_list()
            axes.plot(x, y, "o", ms=5, color=color, alpha=0.8, label=words)
        color, marker, size = LOOKS[CHOSEN]
        best = prices().filter(configuration=chosen(found) or "")
        x, y = best["usd_per_hour"].to_list(), best["accuracy"].to_list()
        axes.plot(x, y, color=color, marker=marker, ms=size, ls="", label=CHOSEN, mec="white")
        count = profiled(found)["configuration"].n_unique()
        words = "" if chosen(found) else ", no plan"
        axes.set_title(f"{planner}: {count}{words}", fontsize=9.5)
        axes.tick_params(labelsize=8)
    figure.supxlabel(PRICE, size=9.5)
    figure.supylabel("true accuracy", size=9.5)
    legend(figure, panels[0][0], 3, above=True)
    return save(figure, path)


def _floor(found: Result) -> float:
    return float(found.queries.filter(query=QUERY)["slo_accuracy"].item())


def _every(axes: Axes, floor: float, words: str) -> None:
    """Draw the true accuracy of every configuration, and the floor."""
    for role, marker, told in ((FAST, "o", words), (LATE, "x", f"{words}, too slow at any price")):
        one = prices().filter(role=role)
        x, y = one["usd_per_hour"].to_list(), one["accuracy"].to_list()
        axes.plot(x, y, marker, ms=3.5, color="0.72", label=told, zorder=0.5)
    axes.axhline(floor, color="0.3", ls="--", lw=1.3, label="accuracy floor", zorder=0.6)
