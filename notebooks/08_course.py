# %% [markdown]
# # A course of exercises
#
# Seven exercises, each with a grader that holds your answer to the simulator or to its tables. It
# says `right`, or why not yet. Replace `None`, and run the cell again.
# [Solutions](09_course_solutions.ipynb) are apart. The graders are in `notebooks/course.py`, so
# these notebooks need a checkout of the project.
#
# The exercises ask about one run, ten minutes of speech recognition under `cheapest_feasible`.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns

from hardware_models.gpu import gpu_latency
from notebooks import course
from sim import Planner

SMOKE = os.environ.get("COMPASS_SMOKE") == "1"  # shorter, for a quick test
sns.set_theme(style="whitegrid", palette="colorblind")
result = course.example()
print(result)

# %% [markdown]
# To have something to look at while you think: the response times of the users.

# %%
served = result.queries.drop_nulls("response_time_s")["response_time_s"]
axes = sns.histplot(x=served, binwidth=0.5)
axes.set(
    xlabel="response time (s)", ylabel="users", title=f"{len(served)} users were ever served well"
)
plt.show()

# %% [markdown]
# ## 1. Little's law
#
# How many requests are under way at a time, on average? `result.requests` has a row for each, with
# `outcome`, `arrival_s` and `latency_s`. Count those that were completed. Think before you sample:
# one division will do. (The run lasts `course.HORIZON_S` seconds.)

# %%
under_way = None
print(course.requests_under_way(under_way))

# %% [markdown]
# ## 2. How busy may a server be?
#
# One server, arrivals at random, exponential service times. 95 % of the requests must take at most 5
# service times. What is the highest utilisation? [The notebook on queueing](02_queueing.ipynb) helps.

# %%
utilisation = None
print(course.highest_utilisation(utilisation))

# %% [markdown]
# ## 3. A crowded card
#
# Cut an A100-80GB into as many instances as possible, one of which is a `3g.40gb`. A layout is a
# list of (profile, start), such as `[("3g.40gb", 0), ("2g.20gb", 4)]`.
# [The notebook on MIG](05_mig_and_mps.ipynb) draws the layouts.

# %%
layout = None
print(course.crowded_layout(layout))

# %% [markdown]
# ## 4. The smallest cut
#
# 300 requests a second for BERT must be served within 80 ms, by equal instances of one A100. A batch
# may take half of the bound. Choose the compute slices of an instance (1, 2, 3, 4 or 7) and the
# batch so that the least compute slices are taken in all. Times:
# `gpu_latency.batch_latency("bert", slices, batch).seconds`.

# %%
slices_and_batch = None
print(course.allocation(slices_and_batch))

# %% [markdown]
# ## 5. Whom a planner deceives
#
# A *false acceptance* is a deployment that looked feasible and was not. Of all of them in this run,
# which share, a number between 0 and 1, fell to users whose device is slower than its model's data
# sheet? See `false_acceptances` and `true_device_factor` in `result.queries`.

# %%
share = None
print(course.slow_devices(share))

# %% [markdown]
# ## 6. A planner
#
# Write one that keeps the contract and beats `CheapestFeasible` on two seeds.
# [The notebook on planners](03_your_own_planner.ipynb) has the way; find one of your own.

# %%
mine = None
print(course.planner(mine))

# %% [markdown]
# ## 7. How many seeds?
#
# Two planners were run on the same five seeds, and goodput differed by this much. How many seeds
# are needed, if the differences go on like that, so that the 95 % t-interval of their mean is no
# wider than 0.5 to either side?

# %%
differences = [1.4, 0.6, 2.1, 1.1, 0.3]
seeds = None
print(course.seeds_needed(seeds, differences, effect=0.5))

# %% [markdown]
# ## And then
#
# Questions without a grader: which of the [assumptions](../docs/concepts/assumptions.md) moves the
# answer to exercise 4 most? What would you measure, and on which machine, to know better?
