# %% [markdown]
# # 2. A pipeline
#
# A sentence passes several *operators*: it is sampled, noise is reduced, a model turns speech into
# text, another one corrects the text. Each operator is a station as in [notebook
# 1](1_station.ipynb). Some run one after another, others at the same time.
#
# **You learn** what the latency of a pipeline is, and how to share a latency bound among stations.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from lab.course import check, hint
from lab.course.given import exponential_requests, mean_sojourn_s, sojourns_s

sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## Quantiles do not add up
#
# Requests pass two stations, one after the other. An SLO bounds the time of 95 % of the requests.
#
# **Predict.** At each station 95 % take at most a second. Do 95 % of the requests take at most two
# seconds at both together?

# %%
arrivals_s, first_s = exponential_requests(7, 0.1, 20_000)
at_first_s = sojourns_s(arrivals_s, first_s)
order = np.argsort(arrivals_s + at_first_s)
_, second_s = exponential_requests(7, 0.1, 20_000, seed=1)
at_second_s = np.empty_like(at_first_s)
at_second_s[order] = sojourns_s((arrivals_s + at_first_s)[order], second_s)
both_s = at_first_s + at_second_s
axes = sns.ecdfplot(x=at_first_s, label="first station")
sns.ecdfplot(x=at_second_s, label="second station")
sns.ecdfplot(x=both_s, label="both")
summed_s = np.quantile(at_first_s, 0.95) + np.quantile(at_second_s, 0.95)
axes.axvline(summed_s, color="black", ls="--", lw=1, label="sum of the 95 % quantiles")
axes.axhline(0.95, color="grey", lw=0.5)
axes.set(xlabel="seconds", ylabel="share of requests", xlim=(0, 3))
axes.legend()
plt.show()
print(f"{np.mean(both_s <= summed_s):.1%} take at most the sum of both quantiles")

# %% [markdown]
# More than 95 % do, because few requests are unlucky twice. Means add up, quantiles do not. A
# planner that adds 95 % quantiles is too careful here, and pays for servers that it does not need; one
# that adds medians would promise too much.
#
# ## Step 2.1: The latency of a pipeline
#
# `after` names, for each operator, those whose results it needs: `{"sampler": (), "speech":
# ("sampler",)}`. Earlier operators come first. An operator starts when it has all of its inputs.
# How long does a request take from the beginning until all operators have ended? More than one branch
# can end without a join. Nobody waits here: `time_s` is the time of each operator.


# %% step="2.1"
def pipeline_latency_s(after, time_s):
    """Return the seconds that a request takes. Both arguments are dictionaries by operator."""
    ### BEGIN SOLUTION
    end_s = {}
    for operator, before in after.items():
        end_s[operator] = time_s[operator] + max((end_s[each] for each in before), default=0.0)
    return max(end_s.values())
    ### END SOLUTION


# %% [markdown]
# ## Step 2.2: Servers for a pipeline
#
# Now requests wait. Stations follow each other, each is M/M/c, and all of them see the same rate.
# The mean time of a request, over all stations, must be at most `bound_s`. Choose the number of
# servers of each station, so that their total is smallest. `mean_sojourn_s(rate_per_s, service_s,
# servers)` is the mean time at one station, infinite if it cannot keep up.


# %% step="2.2"
def servers_of_stations(rate_per_s, service_s, bound_s):
    """Return a list of numbers of servers, one for each element of the list service_s."""
    ### BEGIN SOLUTION
    servers = [math.floor(rate_per_s * each) + 1 for each in service_s]

    def time_s(station, more=0):
        return mean_sojourn_s(rate_per_s, service_s[station], servers[station] + more)

    stations = range(len(servers))
    while sum(map(time_s, stations)) > bound_s:
        best = max(stations, key=lambda each: time_s(each) - time_s(each, more=1))
        servers[best] += 1
    return servers
    ### END SOLUTION


# %% [markdown]
# ## What you have
#
# A pipeline of stations, and the cheapest number of servers for it. All of them were in one place.
# Next: where should each operator run?
