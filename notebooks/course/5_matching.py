# %% [markdown]
# # 5. Many queries
#
# A *query* is one user's stream of requests, with a phone, a link and an SLO. Until now there was
# one. Now doctors come and go, and share the GPU instances of [notebook 4](4_sharing.ipynb). A
# *planner* decides for each of them. From here on, compass-sim simulates the whole service.
#
# **You learn** how a service is judged, why greedy choices lose, and to write a planner. The first
# run compiles parts of the simulator, which takes a minute or two, once.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns
from scipy.optimize import linear_sum_assignment

from lab import run
from lab.course import check, hint
from sim import Planner

sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## A service
#
# Five minutes of the service. `cheapest_feasible` gives each query the cheapest plan that looks
# feasible. `run` returns tables; `windows` has a row for each query and *window*, the span of time in
# which an SLO is judged.
#
# **Predict.** How many of the queries are served well?

# %%
WORLD = ["experiment=speech_small", "switching=free", "network.capacity=speed_tests"]
result = run([*WORLD, "horizon_s=300", "planner=cheapest_feasible"])
over_time = (
    result.windows.group_by("start_s")
    .agg(users=pl.len(), served_well=pl.col("met").sum())
    .sort("start_s")
)
axes = sns.lineplot(x=over_time["start_s"], y=over_time["users"], label="users")
sns.lineplot(x=over_time["start_s"], y=over_time["served_well"], label="served well")
axes.set(xlabel="seconds", ylabel="number", ylim=(0, None))
plt.show()

# %% [markdown]
# ## Step 5.1: Goodput
#
# `windows` is a table like the one above, with the columns `query`, `active_s` (for how many seconds
# of the window the query was there), and one verdict for each part of the SLO: `latency_met`,
# `accuracy_met`, `cost_met`. *Service goodput* is the number of queries whose whole SLO is met, on
# average over the run, which lasts `horizon_s`.


# %% step="5.1"
def service_goodput(windows, horizon_s):
    """Return the mean number of queries that are served well. The first is a polars frame."""
    ### BEGIN SOLUTION
    met = windows.filter(pl.col("latency_met") & pl.col("accuracy_met") & pl.col("cost_met"))
    return met["active_s"].sum() / horizon_s
    ### END SOLUTION


# %% [markdown]
# ## Step 5.2: Who gets which instance?
#
# `value[q, i]` is what query `q` is worth if it gets instance `i`: the share of time in which its SLO
# would be met there, 0 if it does not fit. An instance serves one query. Return the instance of each
# query, or -1 if it gets none, so that the total value is largest.


# %% step="5.2"
def match(value):
    """Return a list with the instance of each query, or -1. The argument is an array."""
    ### BEGIN SOLUTION
    chosen = [-1] * len(value)
    for query, instance in zip(*linear_sum_assignment(value, maximize=True)):
        if value[query, instance] > 0:
            chosen[query] = int(instance)
    return chosen
    ### END SOLUTION


# %% [markdown]
# ## Step 5.3: A planner
#
# Write a planner that serves more queries well than `CheapestFeasible`, on average over two minutes of
# the world above. The check compares them in one of 16 worlds, where a planner can win by luck;
# `check("5.3", MyPlanner, 1)` draws another one. Not every query may get the same plan, because their
# SLOs differ. `context.waiting` lists the queries without a plan;
# `context.candidates(query, order="cost")` yields plans, the cheapest first; `context.profile(query,
# plan, samples)` measures accuracy, `.accurate_enough(query.slo)` judges it; `context.predict(query,
# plan).latency_quantile_s` predicts latency, `query.slo.latency_s` bounds it (None: no bound); `context.fits(query,
# plan)` says whether there is room; `context.deploy(query, plan)` orders it. Profiling takes simulated
# time. `context.remember(key, value, query)` and `context.recall(key)` keep what the planner must know
# at its next call; it has no other memory.


# %% step="5.3"
class MyPlanner(Planner):
    """A planner of my own."""

    def plan(self, context):
        """Give plans to waiting queries."""
        ### BEGIN SOLUTION
        for query in context.waiting:
            if context.now_s < (context.recall(("not before", query.id)) or 0.0):
                continue
            plan = self.choose(context, query)
            if plan is not None:
                context.deploy(query, plan)
            else:
                context.remember(("not before", query.id), context.now_s + 20.0, query)

    def choose(self, context, query):
        """Return the cheapest plan off the device that is accurate, with some room in latency."""
        inaccurate = set()
        for plan in context.candidates(query, order="cost"):
            if "device" in plan.placement or plan.configuration in inaccurate:
                continue
            if not context.profile(query, plan, 16).accurate_enough(query.slo):
                inaccurate.add(plan.configuration)
                continue
            latency_s = context.predict(query, plan).latency_quantile_s
            bound_s = math.inf if query.slo.latency_s is None else query.slo.latency_s
            if latency_s <= 0.7 * bound_s and context.fits(query, plan):
                return plan
        return None
        ### END SOLUTION


# %% [markdown]
# ## Which decision was the mistake?
#
# Copy your planner into a file `my_planner.py` next to this notebook, with the imports that it needs above
# it: `import math` and `from sim import Planner`. Then, in a terminal in this folder, run your planner, and
# let *regret* try the alternatives to each of its decisions, which takes some minutes:
#
# ```
# compass-sim experiment=speech_small switching=free network.capacity=speed_tests horizon_s=120 seed=901 planner._target_=my_planner.MyPlanner hydra.run.dir=mine
# compass-lab regret mine
# ```
#
# The first row is the decision that cost most goodput: when it was made, for which query, and what your
# planner chose. Below the arrow is what would have been best. Put the number of that query for `QUERY`:
#
# ```
# compass-lab explain mine QUERY
# ```
#
# The first sentence says what became of the query. Then look for the reason. Does *Profiled* have
# verdicts that were wrong? Is a latency in *Believed and observed* far from what was believed? Which part
# of the SLO failed in *Windows*? Change your planner accordingly, and run it again with another
# `hydra.run.dir`. Then try other seeds: was the change good for this one only?

# %% [markdown]
# ## What you have
#
# A service of many queries, a number that judges it, and a planner. Yours profiles a fixed number of
# samples. Next: how many are enough?
