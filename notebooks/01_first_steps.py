# %% [markdown]
# # First steps
#
# A service recognises speech. Users come and go. Each talks into a phone, over a link, and has an
# *SLO*: answers must come in time and be accurate enough. The same work can be done on the phone,
# at a nearby edge site, or in the cloud. A *planner* decides, for each user, where each step of the
# work runs.
#
# In this notebook you simulate ten minutes of that service, see how many users are served well, and
# compare two planners. Words in *italics* are in the [glossary](../docs/concepts/glossary.md).

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl
import seaborn as sns
from IPython.display import Image

from lab import run
from lab.reporting.run_figures import draw_comparison

SMOKE = os.environ.get("COMPASS_SMOKE") == "1"  # shorter, for a quick test
HORIZON_S = 180 if SMOKE else 600
RESULTS = Path(tempfile.mkdtemp())
sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## One run
#
# `run` composes a configuration from overrides, as `compass-sim` does, and simulates it with one
# planner. `cheapest_feasible` gives each user (a *query*) the cheapest *plan* that looks feasible.
#
# **Predict.** A user arrives every ten seconds on average and stays for some minutes. The edge site
# has one GPU, and the cloud has two A100s. How many of the active users will have their whole SLO
# met?

# %%
SCENARIO = ["experiment=speech_small", f"horizon_s={HORIZON_S}"]
cheap = run([*SCENARIO, "planner=cheapest_feasible"], directory=RESULTS / "cheapest_feasible")
for key in ("queries", "active_queries_mean", "service_goodput_mean", "slo_met_fraction"):
    print(f"{key:>22}: {cheap.summary[key]:.3g}")
assert SMOKE or cheap.summary["slo_met_fraction"] < 0.2  # as the text below says

# %% [markdown]
# `service_goodput_mean` is *service goodput*: how many users, on average over time, had their whole
# *SLO* met. `slo_met_fraction` is this number as a share of the active users. It is less than a
# fifth.
#
# ## Why SLOs failed
#
# A result holds tables as polars frames. `windows` has one row for each user and *window*, the span
# of time in which an SLO is judged. A window fails for one of three reasons: no plan was active
# for the user, answers were late, or they were not accurate enough.
#
# **Predict.** Which of the three reasons is the least frequent?


# %%
def verdicts(result):
    """Return the minutes of users' time by verdict."""
    return (
        result.windows.with_columns(
            verdict=pl.when("met")
            .then(pl.lit("SLO met"))
            .when(pl.col("deployed_s") < pl.col("active_s") / 2)
            .then(pl.lit("no active plan"))
            .when(~pl.col("latency_met"))
            .then(pl.lit("late"))
            .otherwise(pl.lit("not accurate"))
        )
        .group_by("verdict")
        .agg(pl.col("active_s").sum() / 60)
        .sort("active_s", descending=True)
    )


minutes = verdicts(cheap)
axes = sns.barplot(minutes.to_dict(as_series=False), x="active_s", y="verdict", color="C0")
axes.set(xlabel="minutes of users' time", ylabel="", title="What came of cheapest_feasible's users")
plt.show()

# %% [markdown]
# Accuracy is hardly ever the reason: `cheapest_feasible` has measured it before. A plan can be
# missing because the planner found none, or because its machine is not ready yet. `decisions` has
# one row for each plan that the planner ordered.

# %%
starting_s = cheap.decisions["in_force_s"] - cheap.decisions["decided_s"]
print(f"{cheap.decisions['query'].n_unique()} of {cheap.queries.height} users got a plan;")
print(f"for {(starting_s > 60).sum()} of them, it came into force more than a minute later")

# %% [markdown]
# Nearly all other users got none because the five seconds of a search were over before a plan
# looked feasible. These seconds include waits for boards to profile on; a search that such a wait
# shortened is repeated. And `cheapest_feasible` measures 50 samples of each configuration, which
# takes long. The slow starts have another cause. The machines in the cloud are rented while they
# are in use. Such a machine first boots for two minutes, and it takes 43 seconds to create an
# instance of its GPU. [Both times were measured](../docs/concepts/hardware.md#switching). Only the
# machine of the edge site is always ready.
#
# ## Where the time goes
#
# `operators` splits the latency of each window by *operator*: waiting in a queue, waiting for a
# batch, computing, and travelling over links. How do late windows differ from windows in time?

# %%
parts = ["queueing_s", "compute_s", "transfer_s"]
pipeline = ["audio_sampler", "noise_reduction", "wave_to_text", "decoder", "answer"]
by_operator = (
    cheap.operators.join(cheap.windows, on=["query", "window"])
    .filter(pl.col("completed") > 0)
    .with_columns(windows=pl.when("latency_met").then(pl.lit("in time")).otherwise(pl.lit("late")))
    .group_by("windows", "operator")
    .agg(pl.col(parts).mean())
    .unpivot(parts, index=["windows", "operator"], variable_name="part", value_name="seconds")
    .with_columns(pl.col("part").str.replace("_s", ""))
    .sort("operator", "part", "windows")
)
grid = sns.catplot(
    by_operator.to_dict(as_series=False),
    kind="bar",
    x="seconds",
    y="operator",
    order=pipeline,
    hue="part",
    col="windows",
    col_order=["in time", "late"],
    height=4,
    aspect=1.1,
)
grid.set_axis_labels("mean seconds of a request", "")
grid.set_titles("windows {col_name}")
plt.show()

# %% [markdown]
# Computing takes a little longer in late windows. But sound travels several times as long to the
# speech model, `wave_to_text`. The capacity of a link changes from second to second, and sometimes
# there is an outage. A planner only knows what links of this kind carry on average. Requests also
# wait longer in the queue of the speech model, because many users share it.
#
# ## Another planner
#
# `videostorm` profiles ahead and divides the machines among the users every second. It meets the
# same users, phones, links and speech, because these depend only on the *seed*. So every difference
# below is due to the planner.

# %%
storm = run([*SCENARIO, "planner=videostorm"], directory=RESULTS / "videostorm")
for result in (cheap, storm):
    one = result.summary
    print(
        f"{one['planner']:>18}: {one['service_goodput_mean']:5.2f} of "
        f"{one['active_queries_mean']:.2f} users served well, ${one['deployment_cost_usd']:.2f}"
    )
for key in ("service_goodput_mean", "deployment_cost_usd"):
    assert SMOKE or storm.summary[key] > cheap.summary[key]  # as the text below says

# %% [markdown]
# The figures of a run can also be drawn for two planners together. `draw_comparison` drew five
# figures, of which this one shows goodput over time.

# %%
figures = draw_comparison(RESULTS, ["cheapest_feasible", "videostorm"])
Image(filename=str(figures[0]))

# %% [markdown]
# The grey line is the number of users, an upper limit for every planner. Both planners serve nobody
# well in the first three minutes, while the first machine of the cloud boots. Afterwards,
# VideoStorm comes nearer to the limit. It also costs more. Is this difference due to the seed? [The
# third notebook](03_your_own_planner.ipynb) compares over several seeds.
#
# ## Try it
#
# 1. Run `videostorm` with `"workload.rate=0.2"`, so that twice as many users share the same
#    machines. What gets worse first: latency, accuracy, or the number of users with a plan?
# 2. `result.queries` has the true speed of each phone (`true_device_factor`), which no planner
#    sees. Are users with slow phones served worse?
# 3. Which makes more difference: machines that are ready at once (`"switching=free"`), or links as
#    good as in speed tests (`"network.capacity=speed_tests"`)?
# 4. What other applications are there? `compass-lab list` names them.
#
# Next: [Queueing for SLOs](02_queueing.ipynb), or directly [writing your own
# planner](03_your_own_planner.ipynb).
