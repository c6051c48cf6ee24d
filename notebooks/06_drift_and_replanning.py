# %% [markdown]
# # Drift and replanning
#
# A plan is made for the world at one time. Then links get worse, phones get slower, speech gets
# harder, and nobody is notified. How do such changes affect a service, what can a planner see of
# them, and is it worthwhile to plan again?

# %%
import os
from dataclasses import replace

import matplotlib.pyplot as plt
import polars as pl
import seaborn as sns

from lab import run
from lab.reporting.plotting.canvas import t_interval
from planners import CheapestFeasible, VideoStorm
from sim import Planner, check_planner

SMOKE = os.environ.get("COMPASS_SMOKE") == "1"  # shorter, for a quick test
HORIZON_S = 300 if SMOKE else 900
STEP_S = HORIZON_S / 2
SEEDS = range(1) if SMOKE else range(3)
sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## What drifts
#
# Drift is a group of the configuration. In the middle of the run,
#
# - `link_degradation`: half of the access links carry a third of their former rate;
# - `device_slowdown`: half of the devices become half as fast;
# - `content_shift`: the content of half of the users moves towards its hardest kind.
#
# Users stay for at least ten minutes, so most of them experience the drift. The planner here is
# `Careful`, of [the notebook on planners](03_your_own_planner.ipynb), with `declines=True`: it
# decides once for each user, never uses the phone, and never reconsiders. The others are
# `CheapestFeasible`, which prefers the phone, and `VideoStorm`, which divides the machines every
# second. Links are as good as in speed tests (`network.capacity=speed_tests`), because links that
# follow recorded traces also get worse and better without drift, which would hide it. The machines
# of the cloud are on standby, so that they have booted long before the drift.
#
# **Predict.** Which kind of drift hurts which planner?


# %%
class Careful(Planner):
    """The cheapest plan off the device whose predicted latency leaves some room."""

    def __init__(self, samples=16, headroom=0.7, pause_s=20.0, budget_s=2.0):
        self.samples, self.headroom = samples, headroom
        self.pause_s, self.budget_s = pause_s, budget_s

    def plan(self, context):
        for query in context.waiting:
            if context.now_s < (context.recall(("not before", query.id)) or 0.0):
                continue
            plan = self.choose(context, query)
            if plan is None:
                context.remember(("not before", query.id), context.now_s + self.pause_s, query)
            else:
                context.deploy(query, plan)

    def choose(self, context, query, slower=1.0):
        """Return the cheapest plan in time if everything is that many times slower than believed."""
        slo = query.slo
        if slo.latency_s is not None:
            slo = replace(slo, latency_s=self.headroom * slo.latency_s / slower)
        inaccurate = set()
        for plan in context.candidates(query, order="cost"):
            if "device" in plan.placement or plan.configuration in inaccurate:
                continue
            estimate = context.profile(query, plan, self.samples)
            if not estimate.accurate_enough(query.slo):
                inaccurate.add(plan.configuration)
            elif context.predict(query, plan).meets(slo) and context.fits(query, plan):
                return plan
        return None


# %%
SCENARIO = [
    "experiment=speech_small",
    f"horizon_s={HORIZON_S}",
    "network.capacity=speed_tests",
    "cluster.nodes.cloud.standby=2",
    "workload.rate=0.04",
    f"workload.lifetime_min_s={2 * HORIZON_S / 3}",
    f"workload.lifetime_mean_s={HORIZON_S}",
]


def met_over_time(planner, drift, seeds=SEEDS):
    """Return the share of users' time in which the SLO was met, by seed and window."""
    parts = []
    for seed in seeds:
        result = run([*SCENARIO, f"drift={drift}", f"seed={seed}"], planner=planner)
        there = pl.col("active_s").sum()
        share = result.windows.group_by("end_s").agg(
            met=pl.col("active_s").filter("met").sum() / there, there=there
        )
        parts.append(share.with_columns(seed=pl.lit(seed)))
    return pl.concat(parts).with_columns(
        planner=pl.lit(type(planner).__name__), drift=pl.lit(drift), minute=pl.col("end_s") / 60
    )


KINDS = ("none", "link_degradation", "device_slowdown", "content_shift")
PLANNERS = (CheapestFeasible(), Careful(), VideoStorm())
drifted = pl.concat(met_over_time(planner, kind) for kind in KINDS for planner in PLANNERS)
late = drifted.filter(pl.col("end_s") > STEP_S + 60)
by_seed = late.group_by("planner", "drift", "seed").agg(
    met=(pl.col("met") * pl.col("there")).sum() / pl.col("there").sum()
)
undrifted = by_seed.filter(drift="none").drop("drift")
lost = (
    by_seed.filter(pl.col("drift") != "none")
    .join(undrifted, ["planner", "seed"], suffix="_undrifted")
    .with_columns(lost=100 * (pl.col("met_undrifted") - pl.col("met")))
)
axes = sns.pointplot(
    lost.to_dict(as_series=False),
    x="lost",
    y="planner",
    hue="drift",
    order=[type(planner).__name__ for planner in PLANNERS],
    hue_order=KINDS[1:],
    dodge=0.4,
    linestyles="none",
    errorbar=t_interval,
)
axes.axvline(0, color="black", lw=1)
axes.set(
    xlabel="SLO met without drift, less that with it, same seed, %-points (mean, 95 % interval)",
    ylabel="",
)
sns.move_legend(axes, "center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
by_case = lost.sort("planner", "drift", "seed").group_by("planner", "drift", maintain_order=True)
for planner, drift, points in by_case.agg("lost").iter_rows():
    print(f"{planner:>16}, {drift:>16}: lost", *(f"{each:z5.1f}" for each in points))

# %% [markdown]
# `Careful` sends raw audio up, so bad links hurt it on every seed. Slow phones cannot hurt it,
# because it does not use them. `CheapestFeasible` prefers the phone, so it is the only planner that
# slow phones hurt. Harder content hurts every planner on most seeds. `VideoStorm` also loses to the
# links although it replans, because it divides machines, not links. Three seeds show the sign of a
# loss better than its size; an interval that includes 0 does not even show the sign reliably.
#
# ## What a planner can see
#
# A planner does not see the drift. It sees *telemetry*: for each of a user's windows, how many
# requests were good, how long they took, and how this time divides into parts. This is one user
# whose link degraded.

# %%
result = run([*SCENARIO, "drift=link_degradation", "seed=0"], planner=Careful())
before = (
    result.windows.filter(pl.col("completed") > 0)
    .with_columns(
        after=pl.col("end_s") > STEP_S + 60, ratio=pl.col("latency_p95_s") / pl.col("slo_latency_s")
    )
    .filter(pl.col("ratio").is_finite())
    .group_by("query", "after")
    .agg(pl.col("ratio").median(), windows=pl.len())
    .filter(pl.col("windows") >= (1 if SMOKE else 3))
    .pivot("after", index="query", values="ratio")
    .drop_nulls()
    .with_columns(worse=pl.col("true") / pl.col("false"))
    .sort("worse", descending=True)
)
user = before["query"][0]
windows = result.windows.filter(pl.col("query") == user).sort("window")
times = (
    result.operators.filter(pl.col("query") == user)
    .group_by("window")
    .agg(
        computing=pl.col("compute_s").sum(),
        waiting=(pl.col("queueing_s") + pl.col("batching_s")).sum(),
        travelling=pl.col("transfer_s").sum(),
    )
    .join(windows.select("window", "end_s"), on="window")
    .sort("end_s")
)
figure, axes = plt.subplots(figsize=(7.5, 4), layout="constrained")
parts = ("computing", "waiting", "travelling")
axes.stackplot(times["end_s"] / 60, *(times[part] for part in parts), labels=parts, alpha=0.8)
axes.axvline(STEP_S / 60, color="firebrick", ls="--", label="drift")
axes.axhline(windows["slo_latency_s"][0], color="black", lw=1, label="bound on the 95th percentile")
axes.set(
    xlabel="minute",
    ylabel="mean latency of a request (s)",
    title=f"User {user}",
    xlim=(times["end_s"].min() / 60, times["end_s"].max() / 60),
)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# Latency grows, and the part that grew is transfer. A planner that sees this can choose a
# configuration that sends less, or a nearer place.
#
# ## Looking back
#
# `Watchful` is `Careful` that also reads telemetry. If a user's last window was late, it computes
# how many times slower the world was than `predict` said, and chooses again as if all plans were
# that much slower. Three things matter:
#
# - `replan_every_s`: with it, the planner is also called at ticks, not only at arrivals and
#   departures;
# - look at each window only once, and store which windows you have seen in the planning context,
#   not in the object;
# - do not order the plan that is already active, because that changes nothing.


# %%
class Watchful(Careful):
    """Chooses again for users whose last window was late."""

    def __init__(self, samples=16, headroom=0.7, pause_s=20.0, budget_s=2.0, replan_every_s=10.0):
        super().__init__(samples, headroom, pause_s, budget_s)
        self.replan_every_s = replan_every_s

    def plan(self, context):
        super().plan(context)
        for query in context.running:
            if query.slo.latency_s is None or not (seen := context.telemetry(query)):
                continue
            last = seen[-1]
            if last.end_s <= (context.recall(("looked at", query.id)) or 0.0):
                continue
            context.remember(("looked at", query.id), last.end_s, query)
            if last.good >= query.slo.latency_quantile * last.born or not last.completed:
                continue
            plan = context.plan_of(query)
            if not context.profile(query, plan, self.samples).count:
                continue
            believed_s = context.predict(query, plan).latency_quantile_s
            slower = max(1.0, last.latency_quantile_s / believed_s)
            better = self.choose(context, query, slower)
            if better is not None and better != plan:
                context.deploy(query, better)


check_planner(Watchful())
print("Watchful keeps the contract of planners")

# %% [markdown]
# **Predict.** Will `Watchful` recover the level that it had before the drift? Does it also have an
# effect without drift?

# %%
CASES = ("none", "link_degradation")
watched = pl.concat(
    [
        drifted.filter(pl.col("drift").is_in(CASES), pl.col("planner") == "Careful"),
        *(met_over_time(Watchful(), kind) for kind in CASES),
    ]
)
grid = sns.relplot(
    watched.sort("minute").to_dict(as_series=False),
    kind="line",
    x="minute",
    y="met",
    hue="planner",
    style="planner",
    markers=True,
    col="drift",
    height=3.8,
    errorbar=t_interval,
)
for name, axes in grid.axes_dict.items():
    if name != "none":
        axes.axvline(STEP_S / 60, color="firebrick", ls="--")
grid.set(ylim=(0, 1))
grid.set_axis_labels("minute", "share of users' time\nwith the SLO met")
plt.show()

# %%
rows = (
    watched.filter(pl.col("end_s") > STEP_S + 60)
    .group_by("drift", "planner")
    .agg(met=(pl.col("met") * pl.col("there")).sum() / pl.col("there").sum())
    .sort("drift", "planner")
)
for drift, planner, met in rows.iter_rows():
    print(f"{drift:>17}  {planner:>9}: SLO met {met:.0%} of the time after the middle")
met = {(drift, planner): met for drift, planner, met in rows.iter_rows()}
for drift in rows["drift"].unique():
    assert SMOKE or met[drift, "Careful"] < met[drift, "Watchful"] <= met["none", "Watchful"]

# %% [markdown]
# Reading telemetry seems to help even without drift: some plans were wrong from the start, because
# a link's true capacity is hidden until a user is on it. Both curves rise while the first GPU
# instances are created, and later fall as more users share the machines, with or without drift. So
# compare a curve with the same curve in the panel without drift, at the same minute. With drift,
# `Watchful` is above `Careful` most of the time, and both are below their level without drift.
#
# ## What it costs
#
# It is not free to move a user: GPU instances are created, models are loaded, profiling is charged,
# and machines drain.
#
# **Predict.** How many deployments does a user have, on average, with each of the two planners?

# %%
moves = pl.DataFrame(
    [
        {
            "planner": type(planner).__name__,
            "drift": kind,
            "deployments of a user": result.queries["deployments"].mean(),
        }
        for planner in (Careful(), Watchful())
        for kind in CASES
        for result in [run([*SCENARIO, f"drift={kind}", "seed=0"], planner=planner)]
    ]
)
axes = sns.barplot(
    moves.to_dict(as_series=False), x="deployments of a user", y="planner", hue="drift"
)
axes.set(ylabel="", title="Moving users")
sns.move_legend(axes, "center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# `Watchful` has up to a quarter more deployments than `Careful`: it moves few users, and rarely. If
# no plan would be feasible with everything that much slower, the user keeps the old plan. (The
# numbers are low, because some users never get a plan.)
#
# ## Try it
#
# 1. `content_shift` lowers accuracy, which telemetry does not show, because nobody labels the
#    answers. `context.measure_live_accuracy` measures accuracy on fresh, labelled items, at a
#    price. Add it to `Watchful`.
# 2. `drift=planner_crash` kills the planner's process. Which data of `Watchful` survive, and why?
# 3. `compass` watches both latency and accuracy. Compare `planner=compass` with
#    `planner=compass_no_replanning`. The page on the [evaluation](../docs/evidence/evaluation.md)
#    does so at larger scale.
#
# Next: [Reproduce a figure](07_reproduce_a_figure.ipynb).
