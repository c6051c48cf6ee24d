# %% [markdown]
# # 3. Placement
#
# So far, the pipeline of [notebook 2](2_pipeline.ipynb) ran in one place. Now there are three: the
# doctor's phone, an edge site in the clinic, and a cloud. The phone is slow and costs nothing. The
# cloud is fast and expensive, and data need time to get there.
#
# **You learn** to find the cheapest placement in time, and why a data sheet deceives.

# %%
from itertools import combinations_with_replacement

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns

from lab.course import check, hint
from lab.course.given import SITES

sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## What a link does
#
# A recording of two seconds has half a million bits. Once the phone has computed features from it,
# a tenth is left; but the phone needs half a second for that, ten times as long as the edge site.
#
# **Predict.** Should the phone compute the features?

# %%
capacity_bps = np.geomspace(1e5, 1e8, 200)
axes = sns.lineplot(x=capacity_bps, y=0.5 + 0.05e6 / capacity_bps, label="features on the phone")
sns.lineplot(x=capacity_bps, y=0.5e6 / capacity_bps + 0.05, label="features at the edge")
axes.set(xscale="log", yscale="log", xlabel="capacity of the link (bit/s)", ylabel="seconds")
plt.show()

# %% [markdown]
# It depends on the link. In the field, its capacity changes from second to second.
#
# ## Step 3.1: The cheapest placement in time
#
# A `world` has lists by operator, `work_s` and `sent_bits`, and dictionaries by site, `speed`, `price`
# and `links`. Operators follow each other. Operator `i` takes `work_s[i] / speed[site]` seconds, which
# cost `price[site]` per second. Its input has `sent_bits[i]` bits; the first input is on the device.
# Data only move upward, device, edge, cloud (`SITES`), and cross every link on the way:
# `links["edge"]` leads from the device to the edge, `links["cloud"]` from the edge to the cloud.
# A link is a pair (capacity in bit/s, delay in s); crossing it takes its delay, and the time that its
# capacity needs for the bits. The answer is short, its way back takes no time.
#
# Return the site of each operator, such that a request takes at most `world.bound_s`, as cheaply as
# possible.


# %% step="3.1"
def cheapest_placement(world):
    """Return a list of sites, one for each operator."""
    ### BEGIN SOLUTION

    def latency_s(placement):
        here, seconds = 0, 0.0
        for work, bits, site in zip(world.work_s, world.sent_bits, placement):
            there = SITES.index(site)
            for link in SITES[here + 1 : there + 1]:
                capacity_bps, delay_s = world.links[link]
                seconds += delay_s + bits / capacity_bps
            seconds += work / world.speed[site]
            here = there
        return seconds

    def cost(placement):
        return sum(
            world.price[site] * work / world.speed[site]
            for work, site in zip(world.work_s, placement)
        )

    placements = combinations_with_replacement(SITES, len(world.work_s))
    in_time = [each for each in placements if latency_s(each) <= world.bound_s]
    return list(min(in_time, key=cost))
    ### END SOLUTION


# %% [markdown]
# ## Step 3.2: Whom the data sheet deceives
#
# A planner believes the data sheet of a phone. It accepts a plan that looks feasible, and then the
# phone turns out to be slower. This is a *false acceptance*. `queries` is a table of users, as a
# run of compass-sim returns it (`lab.run(...).queries`), with two of its columns:
# `false_acceptances` counts those of each user; `true_device_factor` is the true speed of the
# device over that of its data sheet. Which share of all false acceptances concerned devices slower
# than their data sheet?


# %% step="3.2"
def share_of_slow_devices(queries):
    """Return the share, from 0 to 1. The argument is a polars frame."""
    ### BEGIN SOLUTION
    slow = queries.filter(pl.col("true_device_factor") < 1)
    return slow["false_acceptances"].sum() / queries["false_acceptances"].sum()
    ### END SOLUTION


# %% [markdown]
# ## What you have
#
# A pipeline that runs in the right places, if the phone and the link are what they claim to be. To
# judge the share of step 3.2, what else do you have to know about the devices? Next: GPUs at the
# edge and in the cloud are too large for one operator, so operators share them.
