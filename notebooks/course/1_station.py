# %% [markdown]
# # 1. One station
#
# A clinic dictates its letters. A request is a sentence of speech; a server turns it into text. In
# eight notebooks you build a model of this service, one part at a time: one station, a pipeline,
# devices and clouds, shared GPUs, many users, unknown accuracy, a world that drifts, and tiers of
# users who share a limited budget. At the end you know what a planner has to decide, and why it is
# hard.
#
# Each step asks for one function. Run its cell, and then the cell that calls `check`: its first line says
# whether your function is right, and if not, what to think about. An `AssertionError` below that line
# only marks the step as unfinished. The check calls the function on inputs that it draws, so a number that
# happens to fit is not enough. If you are stuck for ten minutes, look at the first hint; there
# are three for each step: `print(hint("1.1", 1))`.
#
# **You learn** Little's law, the knee of a queue, and why servers should share a queue.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from lab.course import check, hint
from lab.course.given import exponential_requests, probability_of_waiting, sojourns_s

sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## What a queue does
#
# One server needs 0.1 s for a request on average. Requests come at random. `sojourns_s` simulates
# the station: it returns the time from arrival to answer of each request. Utilisation is the share
# of time in which the server is busy.
#
# **Predict.** From 50 % to 90 % utilisation, the server does not quite twice as much work. How much
# longer do requests take?

# %%
SERVICE_S = 0.1
loads = np.linspace(0.05, 0.95, 19)
logs = [exponential_requests(load / SERVICE_S, SERVICE_S, 20_000) for load in loads]
times_s = [sojourns_s(*log) for log in logs]
axes = sns.lineplot(x=loads, y=[np.mean(each) for each in times_s], marker="o", label="mean")
sns.lineplot(x=loads, y=[np.quantile(each, 0.95) for each in times_s], marker="s", label="95 %")
axes.set(xlabel="utilisation", ylabel="seconds from arrival to answer", ylim=(0, 4))
plt.show()

# %% [markdown]
# The curve bends upwards: this is the *knee*. An SLO says how long most requests may take, so it
# says how busy a server may be.
#
# ## Step 1.1: Little's law
#
# How many requests are under way at a time, on average? You have a log: the times of arrival, how
# long each request took, and how long the log is, all in seconds. All requests end within the log.
# Write a function that returns the mean number under way over the whole log. You need not count at
# points in time: one division is enough.


# %% step="1.1"
def under_way(arrival_s, latency_s, horizon_s):
    """Return the mean number of requests under way. The first two are arrays of equal length."""
    ### BEGIN SOLUTION
    return np.sum(latency_s) / horizon_s
    ### END SOLUTION


# %% [markdown]
# ## Step 1.2: The knee
#
# There is one server, with Poisson arrivals and exponential service times (M/M/1). At least `share`
# of the requests must take at most `bound` service times, waiting included. What is the highest
# utilisation? `highest_utilisation(5, 0.95)` is the one where 95 % take at most five times as long
# as a mean service.


# %% step="1.2"
def highest_utilisation(bound, share):
    """Return the highest utilisation, from 0 to 1."""
    ### BEGIN SOLUTION
    return 1 + math.log(1 - share) / bound
    ### END SOLUTION


# %% [markdown]
# ## Step 1.3: How many servers?
#
# Now several servers share one queue (M/M/c). At least `share` of the requests must wait at most
# `wait_s` for a server. How many servers are needed at least? Erlang's formula is given:
# `probability_of_waiting(rate_per_s, service_s, servers)` is the share of requests that wait at all.


# %% step="1.3"
def servers_needed(rate_per_s, service_s, wait_s, share):
    """Return the smallest number of servers."""
    ### BEGIN SOLUTION
    servers = math.floor(rate_per_s * service_s) + 1
    while True:
        spare_per_s = servers / service_s - rate_per_s
        waits = probability_of_waiting(rate_per_s, service_s, servers)
        if waits * math.exp(-spare_per_s * wait_s) <= 1 - share:
            return servers
        servers += 1
    ### END SOLUTION


# %% [markdown]
# ## What you have
#
# A station: a load, a number of servers, and the time that requests take. Which would you rather
# have: one server of double speed, or two? Try it with `sojourns_s`, at low and at high load.
#
# In the project's documentation, the notebook *Queueing for SLOs* compares such formulas with
# compass-sim, which also has batches, links and bounded queues. Next: a service has more than one
# station.
