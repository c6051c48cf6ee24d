# %% [markdown]
# # A course of exercises
#
# There are seven exercises. A grader checks each answer against the simulator or its tables. It
# prints `right`, or the reason why the answer is not right yet. Replace `None`, and run the cell
# again. The [solutions](09_course_solutions.ipynb) are separate. The graders are in
# `notebooks/exercises.py`, so these notebooks need a checkout of the project.
#
# The exercises are about one run: ten minutes of speech recognition with `cheapest_feasible`.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns

from hardware_models.gpu import gpu_latency
from notebooks import exercises as course
from sim import Planner

SMOKE = os.environ.get("COMPASS_SMOKE") == "1"  # shorter, for a quick test
sns.set_theme(style="whitegrid", palette="colorblind")
result = course.example()
print(result)

# %% [markdown]
# While you think, here are the response times of the users.

# %%
served = result.queries.drop_nulls("response_time_s")["response_time_s"]
axes = sns.histplot(x=served, bins=20, log_scale=True)
axes.set(
    xlabel="response time (s)", ylabel="users", title=f"{len(served)} users were ever served well"
)
plt.show()

# %% [markdown]
# ## 1. Little's law
#
# How many requests are under way at a time, on average? `result.requests` has a row for each
# request, with `outcome`, `arrival_s` and `latency_s`. Count completed requests only. You need not
# count requests at points in time: one division is enough. (The run lasts `course.HORIZON_S`
# seconds.)

# %%
under_way = None
print(course.requests_under_way(under_way))

# %% [markdown]
# ## 2. How busy may a server be?
#
# There is one server, with Poisson arrivals and exponential service times. 95 % of the requests
# must take at most 5 service times. What is the highest utilisation? [The notebook on
# queueing](02_queueing.ipynb) helps.

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
# 300 requests a second for BERT must be served within 80 ms, by equal instances of one A100. A
# batch may take half of the bound. Choose the compute slices of an instance (1, 2, 3, 4 or 7) and
# the batch so that the total number of compute slices is smallest. Times are in
# `gpu_latency.batch_latency("bert", slices, batch).seconds`.

# %%
slices_and_batch = None
print(course.allocation(slices_and_batch))

# %% [markdown]
# ## 5. Whom a planner deceives
#
# A *false acceptance* is a deployment that looked feasible and was not. Which share of the false
# acceptances in this run, a number between 0 and 1, concerned users whose device is slower than its
# model's data sheet? See `false_acceptances` and `true_device_factor` in `result.queries`.

# %%
share = None
print(course.slow_devices(share))

# %% [markdown]
# ## 6. A planner
#
# Write a planner that keeps the contract and beats `CheapestFeasible` on two seeds. [The notebook
# on planners](03_your_own_planner.ipynb) shows one such planner, but find another.

# %%
mine = None
print(course.planner(mine))

# %% [markdown]
# ## 7. How many seeds?
#
# Two planners were run on the same five seeds, and goodput differed by this much. If further
# differences are similar, how many seeds are needed for the 95 % t-interval of their mean to be no
# wider than 0.5 to either side?

# %%
differences = [1.4, 0.6, 2.1, 1.1, 0.3]
seeds = None
print(course.seeds_needed(seeds, differences, effect=0.5))

# %% [markdown]
# ## Further questions
#
# These questions have no grader. Which of the [assumptions](../docs/concepts/assumptions.md)
# affects the answer to exercise 4 most? What would you measure, and on which machine, to replace
# this assumption?
