# %% [markdown]
# # 6. Search under uncertainty
#
# A configuration sets the knobs of all operators: which model, how many samples per second, how much
# noise reduction. Better ones cost more. How accurate they are on this doctor's speech is unknown until
# it is measured, and measuring takes time in which the doctor waits.
#
# **You learn** how sure a measurement is, to search with few of them, and how many seeds a comparison
# of two planners needs.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from scipy import stats

from lab.course import check, hint
from lab.course.given import Measurements

sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## The winner's curse
#
# Twenty configurations are all equally accurate, 0.8. Each is measured on `items` items, and the one
# that looks best is chosen.
#
# **Predict.** How accurate does the chosen one look?

# %%
rng = np.random.default_rng(0)
items = [2, 5, 10, 20, 50, 100]
looks = []
for count in items:
    measured = Measurements(np.full(20, 0.8), 10**9, rng).measure
    winners = [max(np.mean(measured(each, count)) for each in range(20)) for _ in range(200)]
    looks.append(np.mean(winners))
axes = sns.lineplot(x=items, y=looks, marker="o", label="the best of twenty looks")
axes.axhline(0.8, color="black", ls="--", lw=1, label="it is")
axes.set(xscale="log", xlabel="items measured of each", ylabel="accuracy")
axes.legend()
plt.show()

# %% [markdown]
# ## Step 6.1: Surely accurate?
#
# `samples` are measured accuracies of items. Return a number that the true mean exceeds with this
# `confidence`: the lower end of a one-sided interval from Student's t distribution, which
# `scipy.stats` has.


# %% step="6.1"
def lower_bound(samples, confidence):
    """Return the one-sided lower confidence bound of the mean of an array."""
    ### BEGIN SOLUTION
    t = stats.t.ppf(confidence, len(samples) - 1)
    return np.mean(samples) - t * np.std(samples, ddof=1) / math.sqrt(len(samples))
    ### END SOLUTION


# %% [markdown]
# ## Step 6.2: A search
#
# Configurations are numbered from the cheapest, 0, to the costliest, `count - 1`. Accuracy rises with
# cost, roughly. `measure(configuration, items)` returns the measured accuracies of that many new items;
# all measurements together may take `budget` items, and once they are spent, arrays are shorter, then
# empty. Return the cheapest configuration whose mean accuracy is at least `floor`. The costliest one
# always is. You cannot be right in every world: the check draws 40 worlds, and lets four choices be
# too inaccurate, and choices be one place too costly on average.


# %% step="6.2"
def search(measure, count, floor, budget):
    """Return the number of a configuration."""
    ### BEGIN SOLUTION
    for configuration in range(count - 1):
        samples = np.empty(0)
        while len(samples) < 80:
            more = measure(configuration, 10)
            if len(more) < 10:
                return count - 1
            samples = np.concatenate([samples, more])
            if lower_bound(samples, 0.97) >= floor:
                return configuration
            if -lower_bound(-samples, 0.9) < floor:
                break
    return count - 1
    ### END SOLUTION


# %% [markdown]
# ## Step 6.3: How many seeds?
#
# Two planners ran on the same seeds, and `differences` are the differences in goodput. If further
# differences are similar, how many seeds are needed in all, for the 95 % t-interval of their mean to
# extend by at most `half_width` to either side?


# %% step="6.3"
def seeds_needed(differences, half_width):
    """Return the smallest number of seeds."""
    ### BEGIN SOLUTION
    spread = np.std(differences, ddof=1)
    seeds = 2
    while stats.t.ppf(0.975, seeds - 1) * spread / math.sqrt(seeds) > half_width:
        seeds += 1
    return seeds
    ### END SOLUTION


# %% [markdown]
# ## What you have
#
# A search that knows when to stop measuring. Planners that learn a model of accuracy over the knobs
# need still fewer measurements; Compass is one. Next: what was measured yesterday may be wrong today.
