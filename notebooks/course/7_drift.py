# %% [markdown]
# # 7. Drift
#
# A plan was good when it was made. Then the link gets worse, the phone grows hot and slow, or the
# doctor moves to a louder room. Nobody tells the planner.
#
# **You learn** to notice drift, to read a planner's reaction from a run's tables, and how often to plan
# again.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns

from lab import run
from lab.course import check, hint
from lab.reporting.animation.export import animated

sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## A run with drift
#
# In the middle of this run, half of the links lose two thirds of their capacity
# (`drift=link_degradation`). `cheapest_feasible` decides once for each query.
#
# **Predict.** Do all users notice the drift?

# %%
WORLD = ["experiment=speech_small", "switching=free", "network.capacity=speed_tests"]
STAY = ["workload.lifetime_min_s=400", "workload.lifetime_mean_s=600", "horizon_s=600"]
for drift in ("none", "link_degradation"):
    result = run([*WORLD, *STAY, f"drift={drift}", "planner=cheapest_feasible"])
    late = result.windows.group_by("start_s").agg(late=1 - pl.col("latency_met").mean())
    late = late.sort("start_s")
    axes = sns.lineplot(x=late["start_s"], y=late["late"], label=f"drift={drift}")
axes.axvline(300, color="black", ls="--", lw=1)
axes.set(xlabel="seconds", ylabel="share of windows that are late", ylim=(0, 1))
plt.show()

# %% [markdown]
# The animation shows the run with drift. Move the time to just before 300 s, press play, and see which
# dots change their colour. A click on a dot shows details of its query.

# %% tags=["remove-output"]
animated(result)

# %% [markdown]
# ## Step 7.1: An alarm
#
# `observed_s` are latencies of a query, one after the other. Usually they have the mean `usual_s` and
# the standard deviation `sd_s`. A drift adds about one standard deviation to all that follow. Return
# the number of the observation at which you raise an alarm, or -1 if you never do. At that moment, you
# know only what was observed up to then. The check asks for few false alarms (at most 3 in 30 streams
# of 400 observations), and for an alarm within 30 observations of a drift, on average.


# %% step="7.1"
def alarm(observed_s, usual_s, sd_s):
    """Return the number of the observation that raises the alarm, or -1."""
    ### BEGIN SOLUTION
    total = 0.0
    for number, latency_s in enumerate(observed_s):
        total = max(0.0, total + (latency_s - usual_s) / sd_s - 0.5)
        if total > 9:
            return number
    return -1
    ### END SOLUTION


# %% [markdown]
# ## Step 7.2: How soon does a planner react?
#
# `decisions` is a table of a run with a row for each plan that was deployed: `query`, `decided_s`, and
# `in_force_s`, when its models are loaded. At `drift_s`, the world drifted. Consider the
# queries that had a decision up to then and at least one after it. How long after the drift was their
# first new plan in force? Return the median of these times.


# %% step="7.2"
def reaction_s(decisions, drift_s):
    """Return the median seconds from the drift to new plans in force."""
    ### BEGIN SOLUTION
    old = decisions.filter(pl.col("decided_s") <= drift_s)["query"].unique()
    new = decisions.filter((pl.col("decided_s") > drift_s) & pl.col("query").is_in(old.to_list()))
    first = new.group_by("query").agg(pl.col("in_force_s").min())
    return first["in_force_s"].median() - drift_s
    ### END SOLUTION


# %% [markdown]
# ## A planner that looks back
#
# The notebook [Drift and replanning](drift_and_replanning.ipynb) was copied together with this one. It
# shows which drift hurts which planner, and builds `Watchful`, which plans again for users whose last
# window was late. Run it, which takes some minutes, and read it meanwhile. Then copy your `reaction_s`
# into a cell at its end, and add:
#
# ```python
# watched = run(
#     [*SCENARIO, "drift=link_degradation", "seed=0"], planner=Watchful(), directory="watched"
# )
# plans = watched.decisions.filter(outcome="deployed")
# print(reaction_s(plans, STEP_S))
# plans.filter(pl.col("decided_s") > STEP_S, pl.col("query").is_duplicated())
# ```
#
# How many users got a new plan, and how long after the drift? For one of them, put the number for `QUERY`:
#
# ```
# compass-lab explain watched QUERY
# ```
#
# *Windows* shows how many windows were late before the new plan, and *Where the latency went* which part
# of latency grew. *Believed and observed* compares both plans: was the new one better?

# %% [markdown]
# ## Step 7.3: How often to plan again?
#
# A planner without an alarm plans everything again every `T` seconds. Planning costs `pause_s` seconds
# of service. Drifts come at random, `drifts_per_s` of them per second. Each loses a share `loss` of the
# service, until the next planning; losses add up. Which `T` loses least, in the long run?


# %% step="7.3"
def best_period_s(pause_s, drifts_per_s, loss):
    """Return the period in seconds."""
    ### BEGIN SOLUTION
    return math.sqrt(2 * pause_s / (drifts_per_s * loss))
    ### END SOLUTION


# %% [markdown]
# ## What you have
#
# A service that notices when its plans are stale. When does the alarm of step 7.1 beat the clock of
# step 7.3? Next: there is not enough for everybody.
