"""Predicted latency of many plans of one query, against the latency that its requests then had."""

from pathlib import Path

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes

from lab.reporting.plotting.canvas import canvas, legend_below, save
from lab.reporting.plotting.style import plain_log
from lab.runs.api import run
from scenarios.random_streams import stream
from sim import Planner, PlanningContext, Query

PLANS, HOLD_S, SAMPLES = 40, 900.0, 128
SEED = 902
NETWORKS = {
    "network.capacity=speed_tests": "links as steady as speed tests",
    "network.capacity=traces": "links as rough as recorded traces (default)",
}
QUANTILE = 0.95


class Tour(Planner):
    """Lets the first query use one random plan after the other, and logs what it predicts of each.

    A plan's number among the plans is logged as its role, and the predicted quantile of latency.
    """

    replan_every_s = HOLD_S
    budget_s = 1e7

    def plan(self, context: PlanningContext) -> None:
        """Order the next plan of the first query at each tick."""
        for query in (*context.waiting, *context.running):
            if query.id == 0 and context.trigger in ("tick", "refusal"):
                self.go_on(context, query)

    def go_on(self, context: PlanningContext, query: Query) -> None:
        """Predict and order the next plan that can serve the query."""
        view = context.bulk.view(query)
        order = stream(SEED, "concepts", "predictions").permutation(len(view)).tolist()
        first = context.recall("next") or 0
        for at in range(first, len(order)):
            plan = view.plan(order[at])
            estimate = context.profile(query, plan, SAMPLES)
            prediction = context.predict(query, plan, estimate)
            if np.isfinite(prediction.latency_quantile_s) and context.fits(query, plan):
                context.bulk.log_candidate(
                    query, plan, "ordered", prediction.latency_quantile_s, prediction.accuracy_mean
                )
                context.deploy(query, plan)
                context.remember("next", at + 1)
                return


def measured(network: str) -> pl.DataFrame:
    """Return a row per plan with its placement, and its ``predicted_s`` and ``simulated_s``."""
    overrides = [
        "experiment=speech_small",
        network,
        "profiling=free",
        "switching=free",
        "workload.rate=0.001",
        f"workload.lifetime_mean_s={2 * PLANS * HOLD_S}",
        f"workload.lifetime_min_s={PLANS * HOLD_S}",
        f"horizon_s={PLANS * HOLD_S}",
        "requests=true",
        f"seed={SEED}",
    ]
    found = run(overrides, planner=Tour())
    predicted = found.offers.select("plan", "placement", predicted_s="latency_s")
    plans = found.decisions.filter(outcome="deployed").select("deployment", "plan", "in_force_s")
    requests = found.requests
    assert requests is not None
    served = (
        requests.filter(query=0, outcome="completed")
        .group_by("deployment")
        .agg(simulated_s=pl.col("latency_s").quantile(QUANTILE), n=pl.len())
    )
    return plans.join(predicted, on="plan").join(served, on="deployment").sort("deployment")


def planning_bulk(path: Path) -> Path:
    """Draw a dot for each plan, with a panel for each network; return the path."""
    figure, [panels] = canvas(1, len(NETWORKS), 4.1)
    for axes, (network, title) in zip(panels, NETWORKS.items(), strict=True):
        _plans(axes, measured(network))
        axes.set_title(title, fontsize=9.5)
    panels[0].set_ylabel("simulated, 95 % quantile of latency (s)", fontsize=9.5)
    legend_below(figure, panels[0])
    return save(figure, path)


def _plans(axes: Axes, rows: pl.DataFrame) -> None:
    last = rows["placement"].str.split(" > ").list.last()
    colors = sns.color_palette("colorblind")
    for place, color, marker in zip(("device", "edge", "cloud"), colors, "os^", strict=False):
        one = rows.filter(last == place)
        if one.is_empty():
            continue
        axes.plot(
            one["predicted_s"].to_list(),
            one["simulated_s"].to_list(),
            marker,
            ms=5,
            color=color,
            alpha=0.8,
            label=f"answered by the {place}",
        )
    both = [*rows["predicted_s"], *rows["simulated_s"]]
    ends = (min(both) / 1.2, max(both) * 1.2)
    axes.plot(ends, ends, color="0.4", lw=1, label="equal")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    plain_log(axes.xaxis)
    plain_log(axes.yaxis)
    axes.set_xlabel("predicted, 95 % quantile of latency (s)", fontsize=9.5)
