"""How far CMBO's latency surrogate is off, against normal Bayesian optimisation (Fig. 8, left).

Both are told the same profiled plans, drawn at random from all of a query's: 20 items of the plan's
configuration, as a profiler would see them. CMBO takes from them the time of each operator, normal
BO the latency of the plan. The error is that of the believed mean latency of every plan of the
query, queueing left out and links and devices at nominal speed, over the latency with true
operator times; the median over plans. Beside it, the same after each surrogate's own proposals.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import seaborn as sns
from numpy.typing import NDArray

from lab.analysis.paired import ratio_interval
from lab.common.formatting import number
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, legend_below, save, t_interval
from lab.run_cache.jobs import Job
from lab.runs.api import Result
from planners.bayesopt.encodings import blocks, joint, one_hot
from planners.compass.search.cmbo import Cmbo
from planners.compass.search.normal_bo import NormalBo
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import Planner, PlanningContext, PlanView
from studies.common.goals import verdict
from studies.common.scenes import refuse_planners
from studies.common.store import each_cell

Floats = NDArray[np.float64]

TITLE = "Error of the latency surrogate"
GOAL = 0.5
AT = (5, 10, 20)
ITEMS = 20
ORDERS = {"same": "the same random plans", "own": "own proposals"}
"""What a surrogate may be told of, and what tables and figures call it."""

NAMES = {"cmbo": "CMBO", "normal": "normal BO"}
"""Surrogates, and what figures call them."""

DATASETS = {
    "LibriSpeech": "speech_recognition",
    "TED-LIUM": "speech_recognition",
    "VOiCES": "speech_recognition",
    "MOT17": "visual_tracking",
    "MOT20": "visual_tracking",
}
QUERIES = 4.0
ARRIVALS_S = 10.0
INITIAL = 3
"""Plans drawn at random before a surrogate's own proposals are followed."""


class Probe(Planner):
    """Profiles plans for every query, deploys nothing, and puts errors of surrogates on record.

    Args:
        surrogate: ``"cmbo"`` or ``"normal"``.
        order: ``"same"`` for plans drawn at random, the same for both surrogates; ``"own"`` for
            what it proposes itself.
        budget_s: planning seconds; more than is ever needed.
    """

    sees_truth = True

    def __init__(self, surrogate: str = "cmbo", order: str = "same", budget_s: float = 1e7) -> None:
        self.surrogate = surrogate
        self.order = order
        self.budget_s = budget_s

    def plan(self, context: PlanningContext) -> None:
        """Look at the queries that are new."""
        for query in context.waiting:
            self.probe(context, query)

    def probe(self, context: PlanningContext, query: Query) -> None:
        """Tell a surrogate of plans, one after the other, and record its error at some counts."""
        view = context.bulk.view(query)
        truth = context.bulk.truth(query)
        true_s = mean_latency_s(view, truth.operator_time_s, truth.normalised)
        model = surrogate(self.surrogate, context, query, view)
        drawn = stream(0, "evaluation", "surrogates", query.id).permutation(len(view)).tolist()
        told = np.zeros(model.subjects, dtype=bool)
        plans: set[int] = set()
        while len(plans) < max(AT):
            plan = None
            if self.order == "own" and len(plans) >= INITIAL:
                plan = model.propose(told)
            if plan is None:
                plan = next(each for each in drawn if not told[model.subject(each)])
            told[model.subject(plan)] = True
            plans.add(plan)
            measured = context.profile(query, view.plan(plan), ITEMS).measurement
            model.observe(
                model.subject(plan),
                measured.accuracy_mean,
                measured.accuracy_variance / measured.count,
                measured.operator_mean_s,
                measured.time_cv,
                measured.count,
                measured.normalised,
            )
            if len(plans) in AT:
                believed_s = model.believed()[0]
                error = float(np.median(np.abs(believed_s / true_s - 1)))
                context.bulk.log_candidate(query, view.plan(plan), str(len(plans)), error, 0.0)


def surrogate(name: str, context: PlanningContext, query: Query, view: PlanView) -> Cmbo | NormalBo:
    """Return a surrogate that knows nothing yet of a query's plans."""
    points = one_hot(context.world.pipeline)
    transfer_s = view.access_s + view.backhaul_s
    if name == "normal":
        features, widths = joint(context.world.pipeline, view)
        return NormalBo(
            features,
            view.latency_factors,
            transfer_s,
            view.cost_usd_per_hour,
            latency_s=query.slo.latency_s,
            accuracy=query.slo.accuracy,
            fixed_s=view.fixed_s,
            blocks=widths,
        )
    return Cmbo(
        points,
        view.configuration,
        view.latency_factors,
        transfer_s,
        view.cost_usd_per_hour,
        latency_s=query.slo.latency_s,
        accuracy=query.slo.accuracy,
        fixed_s=view.fixed_s,
        blocks=blocks(context.world.pipeline, points),
        upstream=context.world.pipeline.upstream_knobs,
    )


def mean_latency_s(view: PlanView, operator_time_s: Floats, normalised: Floats) -> Floats:
    """Return the mean latency of every plan without queueing, shape (P,).

    Args:
        view: the plans.
        operator_time_s: mean times on profiling hardware, shape (C, N).
        normalised: see ``Measurement.normalised``, shape (C, 2).
    """
    which = view.configuration
    compute_s = np.einsum("pn,pn->p", view.latency_factors, operator_time_s[which])
    moving_s = compute_s + view.access_s + view.backhaul_s
    mean_s: Floats = normalised[which, 0] * moving_s + normalised[which, 1] * view.fixed_s
    return mean_s


def errors(result: Result) -> Mapping[str, Any]:
    """Return the median error over queries, by profiled plans."""
    by = result.offers.group_by(pl.col("role").cast(pl.Int64).alias("plans")).agg(
        pl.col("latency_s").median().alias("error")
    )
    return {"cells": by.sort("plans").to_dicts()}


def jobs(seeds: Sequence[int], quick: bool, planners: Sequence[str]) -> list[Job]:
    """Return the runs; this experiment has planners of its own.

    Raises:
        InputError: others are to be compared.
    """
    refuse_planners("surrogates", planners)
    queries = 1.0 if quick else QUERIES
    return [
        Job(
            (
                f"application={application}",
                f"+workload.datasets={{{dataset}: 1.0}}",
                f"horizon_s={ARRIVALS_S:g}",
                f"workload.rate={queries / ARRIVALS_S:g}",
                "cluster.profiling.lanes=64",
                "planner._target_=studies.experiments.surrogates.Probe",
                f"+planner.surrogate={name}",
                f"+planner.order={order}",
            ),
            seed,
            errors,
            {"dataset": dataset, "order": order, "planner": name},
        )
        for dataset, application in DATASETS.items()
        for order in ORDERS
        for name in NAMES
        for seed in seeds
    ]


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """Return tidy rows: one for each data set, order, surrogate, seed and number of plans."""
    keys = "dataset", "order", "planner", "seed"
    return each_cell(rows, *keys)


def section(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    yield (
        "Median relative error of the believed latency of all plans of a query, in percent, mean "
        f"over seeds; ratios are paired. Goal: at most {GOAL:g} after 10 plans that both are told, "
        "by the whole interval; *open* where it does not tell."
    )
    yield ""
    tidy = cells(rows)
    lines = []
    for (dataset, order, plans), part in tidy.group_by(
        "dataset", "order", "plans", maintain_order=True
    ):
        both = part.filter(planner="cmbo").join(
            part.filter(planner="normal"), "seed", suffix="_normal"
        )
        ratio = ratio_interval(both["error"].to_numpy(), both["error_normal"].to_numpy())
        judged = plans == 10 and order == "same"
        lines.append(
            [
                dataset,
                ORDERS[order],
                plans,
                number(100 * float(np.mean(both["error"].to_numpy()))),
                number(100 * float(np.mean(both["error_normal"].to_numpy()))),
                both.height,
                estimated(*ratio),
                verdict(ratio, GOAL, at_most=True) if judged else "",
            ]
        )
    heads = ["data set", "told of", "plans", "CMBO, %", "normal BO, %", "seeds", "ratio"]
    yield from table([*heads, f"at most {GOAL:g}"], lines)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw errors against the number of profiled plans."""
    tidy = cells(rows).select(
        *("dataset", "plans", pl.col("error") * 100),
        pl.col("planner").replace_strict(NAMES).alias("surrogate"),
        pl.col("order").replace_strict(ORDERS).alias("told of"),
    )
    datasets = list(DATASETS)
    figure, panels = canvas(1, len(datasets), 3.0, sharey=True)
    for axes, dataset in zip(panels[0], datasets, strict=True):
        sns.lineplot(
            tidy.filter(dataset=dataset).to_dict(as_series=False),
            x="plans",
            y="error",
            hue="surrogate",
            style="told of",
            palette="colorblind",
            errorbar=t_interval,
            ax=axes,
        )
        axes.set_title(dataset)
        axes.set(xlabel="profiled plans", ylabel="median error, %", yscale="log", xticks=AT)
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "evaluation_surrogates.png")]
