# %% [markdown]
# # 8. Tiers and capacity
#
# The clinic has surgeons, who dictate with a patient on the table, and everybody else. Both share
# machines that are paid monthly. Who gets how much when there is not enough? And how many machines
# should there be?
#
# **You learn** weighted max-min fairness, and to plan capacity from runs that depend on their seed.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns

from lab import run
from lab.course import check, hint

sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## Tiers under load
#
# Queries of compass-sim have tiers, here premium, standard and economy. Premium has the tightest SLO.
# `cheapest_feasible` treats them alike.
#
# **Predict.** Which tier is served best, and what changes as more users come?

# %%
WORLD = ["experiment=speech_small", "switching=free", "network.capacity=speed_tests"]
rows = []
for rate in (0.05, 0.1, 0.2):
    result = run([*WORLD, "horizon_s=300", f"workload.rate={rate}", "planner=cheapest_feasible"])
    met = result.windows.group_by("tier").agg(
        met=pl.col("active_s").filter("met").sum() / pl.col("active_s").sum()
    )
    rows.append(met.with_columns(rate=pl.lit(str(rate))))
table = pl.concat(rows).sort("rate", "tier")
axes = sns.barplot(table.to_dict(as_series=False), x="rate", y="met", hue="tier")
axes.set(xlabel="new users per second", ylabel="share of time with the SLO met", ylim=(0, 1))
plt.show()

# %% [markdown]
# ## Step 8.1: Fair shares
#
# `capacity` is to be shared among tiers that want `demand` of it; together they want more than there
# is. Shares are *weighted max-min fair* if nobody gets more than it wants, nothing is left, and a tier
# that wants more gets, per `weight`, at least as much as every other. Return the shares.


# %% step="8.1"
def fair_shares(capacity, demand, weight):
    """Return a list of shares. The last two arguments are lists of equal length."""
    ### BEGIN SOLUTION
    shares = [0.0] * len(demand)
    wanting, left = set(range(len(demand))), capacity
    while wanting:
        level = left / sum(weight[tier] for tier in wanting)
        modest = {tier for tier in wanting if demand[tier] <= level * weight[tier]}
        if not modest:
            for tier in wanting:
                shares[tier] = level * weight[tier]
            break
        for tier in modest:
            shares[tier] = demand[tier]
            left -= demand[tier]
        wanting -= modest
    return shares
    ### END SOLUTION


# %% [markdown]
# ## Step 8.2: How many machines?
#
# `goodput(machines, seed)` runs the service, and returns the share of SLOs met. It depends on the seed.
# On average over seeds, more machines are better. Return the smallest number of machines, from 1 to
# `most`, with which the average reaches `target`. A run is expensive: use at most 250 of them. You
# cannot be right in every world: the check draws 20 worlds, lets you buy too few machines in 2 of
# them, and two or more too many in 4.


# %% step="8.2"
def machines_needed(goodput, target, most):
    """Return the smallest number of machines. The first argument is a function."""
    ### BEGIN SOLUTION
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if np.mean([goodput(middle, seed) for seed in range(45)]) >= target:
            high = middle
        else:
            low = middle + 1
    return low
    ### END SOLUTION


# %% [markdown]
# ## Ask the simulator
#
# `pip install 'compass-sim[app]'` installs a page with sliders. Open it with one machine in the cloud, and
# two planners that serve the same users:
#
# ```
# compass-lab app 'experiment=speech_small&planner=videostorm&against=cheapest_feasible&workload.rate=0.15&cluster.nodes.cloud.count=1'
# ```
#
# Note the goodput of seed 0. Move *machines: cloud* to 2, and note it again. Then wait until five seeds
# have run for each number. Would you buy the second machine? For which of the two planners does it matter
# at all?
#
# This command does what your function did: it looks for the cheapest number with a mean goodput of at least 3.
#
# ```
# compass-lab capacity experiment=speech_small planner=videostorm workload.rate=0.15 --vary 'cluster.nodes.cloud.count=range(1,5)' --metric service_goodput_mean --at-least 3
# ```
#
# How many seeds did it take for each number of machines, and why not the same? Ask for 6 in place of 3.

# %% [markdown]
# ## What you have
#
# One station has become a service: pipelines on phones, edge sites and clouds, parts of GPUs, many
# users in tiers, accuracy that must be measured, a world that drifts, and a number of machines that is
# just enough. A planner decides all of it at once. `compass-sim planner=compass` runs a planner that was
# built for all of this.
