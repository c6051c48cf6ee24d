# %% [markdown]
# # A course of exercises: solutions
#
# This is one solution for each of [the exercises](08_course.ipynb). There are others; the graders
# accept every correct answer.

# %%
import math
import os

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns
from scipy import stats

from hardware_models.gpu import gpu_latency
from notebooks import exercises as course
from sim import Planner

SMOKE = os.environ.get("COMPASS_SMOKE") == "1"  # shorter, for a quick test
sns.set_theme(style="whitegrid", palette="colorblind")
result = course.example()
print(result)

# %% [markdown]
# ## 1. Little's law
#
# How many requests are under way at a time, on average? `result.requests` has a row for each
# request, with `outcome`, `arrival_s` and `latency_s`. Count completed requests only. You need not
# count requests at points in time: one division is enough. (The run lasts `course.HORIZON_S`
# seconds.)
#
# **Solution.** By Little's law, the number under way is the arrival rate times the mean time. The
# arrival rate is the number of requests divided by the length of the run. The mean time is the sum
# of all latencies divided by the number of requests. So the answer is the sum of all latencies
# divided by the length of the run.

# %%
done = result.requests.filter(pl.col("outcome") == "completed")
under_way = done["latency_s"].sum() / course.HORIZON_S
print(f"{under_way:.2f} requests under way")
print(course.requests_under_way(under_way))

# %% [markdown]
# ## 2. How busy may a server be?
#
# There is one server, with Poisson arrivals and exponential service times. 95 % of the requests
# must take at most 5 service times. What is the highest utilisation? [The notebook on
# queueing](02_queueing.ipynb) helps.
#
# **Solution.** The sojourn is exponential with rate 1 - utilisation: exp(-(1 - u) 5) = 0.05.

# %%
utilisation = 1 + np.log(0.05) / 5
print(f"{utilisation:.2f}")
loads = np.linspace(0.05, 0.95, 100)
axes = sns.lineplot(x=loads, y=1 - np.exp(-5 * (1 - loads)))
axes.axhline(0.95, color="black", ls="--", lw=1)
axes.axvline(utilisation, color="firebrick", ls="--")
axes.set(xlabel="utilisation", ylabel="share within 5 service times")
plt.show()
print(course.highest_utilisation(utilisation))

# %% [markdown]
# ## 3. A crowded card
#
# Cut an A100-80GB into as many instances as possible, one of which is a `3g.40gb`. A layout is a
# list of (profile, start), such as `[("3g.40gb", 0), ("2g.20gb", 4)]`.
# [The notebook on MIG](05_mig_and_mps.ipynb) draws the layouts.
#
# **Solution.** A `3g` takes four memory slices and three compute slices. Four `1g` fill the other
# half.

# %%
layout = [("1g.10gb", 0), ("1g.10gb", 1), ("1g.10gb", 2), ("1g.10gb", 3), ("3g.40gb", 4)]
print(course.crowded_layout(layout))

# %% [markdown]
# ## 4. The smallest cut
#
# 300 requests a second for BERT must be served within 80 ms, by equal instances of one A100. A
# batch may take half of the bound. Choose the compute slices of an instance (1, 2, 3, 4 or 7) and
# the batch so that the total number of compute slices is smallest. Times are in
# `gpu_latency.batch_latency("bert", slices, batch).seconds`.
#
# **Solution.** Try all pairs. The total is the number of instances that the rate needs, times the
# slices of each.

# %%
fits = []
for slices, most in {1: 7, 2: 3, 3: 2, 4: 1, 7: 1}.items():
    for batch in range(1, 65):
        time_s = gpu_latency.batch_latency("bert", slices, batch).seconds
        count = int(np.ceil(300 * time_s / batch))
        if time_s <= 0.040 and count <= most:
            fits.append({"slices": slices, "batch": batch, "in all": count * slices})
table = pl.DataFrame(fits).sort("in all", "slices", "batch")
axes = sns.scatterplot(
    table.to_dict(as_series=False),
    x="batch",
    y="in all",
    hue="slices",
    style="slices",
    s=60,
    palette="viridis",
)
axes.set(ylabel="compute slices in all", ylim=(0, 7.5))
axes.legend(title="slices of\nan instance", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
slices_and_batch = table.select("slices", "batch").row(0)
print(slices_and_batch)
print(course.allocation(slices_and_batch))

# %% [markdown]
# ## 5. Whom a planner deceives
#
# A *false acceptance* is a deployment that looked feasible and was not. Which share of the false
# acceptances in this run, a number between 0 and 1, concerned users whose device is slower than its
# model's data sheet? See `false_acceptances` and `true_device_factor` in `result.queries`.
#
# **Solution.** No planner sees `true_device_factor`. This one prefers the device and trusts its
# data sheet. But compare the answer with the share of slow devices among all users, before you
# blame the devices.

# %%
slow = result.queries.with_columns(slow=pl.col("true_device_factor") < 1)
by_speed = slow.group_by("slow").agg(pl.col("false_acceptances").sum())
share = by_speed.filter("slow")["false_acceptances"].sum() / by_speed["false_acceptances"].sum()
print(f"{share:.0%} of the false acceptances, {slow['slow'].mean():.0%} of all users")
axes = sns.stripplot(
    slow.with_columns(falsely=pl.col("false_acceptances") > 0).to_dict(as_series=False),
    x="true_device_factor",
    y="falsely",
    orient="h",
    hue="falsely",
    legend=False,
    jitter=False,
    alpha=0.6,
)
axes.axvline(1, color="black", lw=1)
axes.set(xlabel="true speed of the device over its model's", ylabel="false acceptance")
plt.show()
print(course.slow_devices(share))

# %% [markdown]
# ## 6. A planner
#
# Write a planner that keeps the contract and beats `CheapestFeasible` on two seeds. [The notebook
# on planners](03_your_own_planner.ipynb) shows one such planner, but find another.
#
# **Solution.** Run nothing on the device, and profile few samples. Of the plans that are accurate
# enough, take the one that is predicted to be fastest, whatever it costs. Decline nobody:
# predictions cannot know how good a link is.


# %%
class Brisk(Planner):
    """The plan off the device that is predicted to be fastest."""

    def __init__(self, samples=16, budget_s=2.0):
        self.samples, self.budget_s = samples, budget_s

    def plan(self, context):
        for query in context.waiting:
            if context.recall(("tried", query.id)):
                continue
            context.remember(("tried", query.id), True, query)
            best, best_s = None, math.inf
            for plan in context.candidates(query, order="cost"):
                if "device" in plan.placement or not context.fits(query, plan):
                    continue
                if context.profile(query, plan, self.samples).accurate_enough(query.slo):
                    believed_s = context.predict(query, plan).latency_quantile_s
                    if believed_s < best_s:
                        best, best_s = plan, believed_s
            if best is not None:
                context.deploy(query, best)


mine = Brisk()
print(course.planner(mine))

# %% [markdown]
# ## 7. How many seeds?
#
# Two planners were run on the same five seeds, and goodput differed by this much. If further
# differences are similar, how many seeds are needed for the 95 % t-interval of their mean to be no
# wider than 0.5 to either side?
#
# **Solution.** The half-width is t(n - 1) s / sqrt(n). Take the first n for which it is small
# enough.

# %%
differences = [1.4, 0.6, 2.1, 1.1, 0.3]
counts = np.arange(2, 31)
widths = stats.t.ppf(0.975, counts - 1) * np.std(differences, ddof=1) / np.sqrt(counts)
seeds = int(counts[widths <= 0.5][0])
print(seeds)
axes = sns.lineplot(x=counts, y=widths, marker="o")
axes.axhline(0.5, color="black", ls="--", lw=1)
axes.set(xlabel="seeds", ylabel="half-width of the interval", ylim=(0, 2))
plt.show()
print(course.seeds_needed(seeds, differences, effect=0.5))
