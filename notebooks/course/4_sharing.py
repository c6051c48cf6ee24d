# %% [markdown]
# # 4. Sharing a GPU
#
# The stations of the pipeline run on GPUs. A whole A100 is too much for most operators. MIG cuts a
# GPU into *instances*, which have compute slices and memory of their own. With MPS, several
# processes share an instance. A *batch* serves several requests at once. Times here were measured
# on an A100; those between measurements come from a fitted formula.
#
# **You learn** which cuts there are, and how batches, instances and processes trade latency for
# throughput.

# %%
import math
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from hardware_models.gpu import mig
from lab.course import check, hint
from lab.course.given import BATCHES, INSTANCES, PROCESSES, batch_s

sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## A seventh of a GPU
#
# An A100 has seven compute slices. `batch_s(model, slices, batch, processes)` is the time of a batch.
#
# **Predict.** How much longer does a batch take on one slice than on seven?

# %%
for slices in INSTANCES:
    times_s = [batch_s("bert", slices, batch) for batch in BATCHES]
    axes = sns.lineplot(x=BATCHES, y=np.array(BATCHES) / times_s, marker="o", label=str(slices))
axes.set(xlabel="batch", ylabel="requests per second of an instance (bert)")
axes.legend(title="slices", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# ## Step 4.1: A crowded card
#
# A layout of a card is a list of (profile, start), such as `[("3g.40gb", 0), ("2g.20gb", 4)]`: `3g`
# means three compute slices, and the start says where in the card's memory the instance begins. Not
# every start is legal. `mig.profiles(board)` names the profiles of a card, the smallest first, and
# `mig.legal_starts(board, layout, profile)` says where one more instance can be put; there, `layout`
# is a sorted tuple.
#
# Cut a card into as many instances as possible, at least one of which has the profile `keep`.


# %% step="4.1"
def crowded_layout(board, keep):
    """Return a layout of the card, a list of (profile, start)."""
    ### BEGIN SOLUTION
    smallest = next(iter(mig.profiles(board)))
    layouts = []
    for first in mig.legal_starts(board, (), keep):
        layout = ((keep, first),)
        while starts := mig.legal_starts(board, layout, smallest):
            layout = tuple(sorted([*layout, (smallest, starts[0])]))
        layouts.append(layout)
    return list(max(layouts, key=len))
    ### END SOLUTION


# %% [markdown]
# ## Step 4.2: The smallest cut
#
# `per_s` requests a second must be served within `bound_s`, by equal instances of one A100, without
# MPS. A request that arrives just after a batch has started waits for that batch, and then for its
# own; so a batch may take half of the bound. Choose the compute slices of an instance (a key of
# `INSTANCES`, which says how many such instances a card has at most) and the batch (one of
# `BATCHES`), so that all instances together have as few compute slices as possible.


# %% step="4.2"
def smallest_cut(model, per_s, bound_s):
    """Return (compute slices of an instance, batch)."""
    ### BEGIN SOLUTION

    def instances(slices, batch):
        return math.ceil(per_s * batch_s(model, slices, batch) / batch)

    fits = [
        (slices, batch)
        for slices, batch in product(INSTANCES, BATCHES)
        if batch_s(model, slices, batch) <= bound_s / 2
        and instances(slices, batch) <= INSTANCES[slices]
    ]
    return min(fits, key=lambda each: each[0] * instances(*each))
    ### END SOLUTION


# %% [markdown]
# ## Step 4.3: MIG, MPS, or both
#
# The batch is fixed now. Cut the card into as many equal instances as it has room for, and let
# `processes` share each of them by MPS; every process has a batch under way. A batch must take at
# most `bound_s`. Which compute slices of an instance (a key of `INSTANCES`) and which number of
# processes (one of `PROCESSES`) let the card serve most requests per second?


# %% step="4.3"
def best_sharing(model, batch, bound_s):
    """Return (compute slices of an instance, processes of an instance)."""
    ### BEGIN SOLUTION
    ways = [
        (slices, processes)
        for slices, processes in product(INSTANCES, PROCESSES)
        if batch_s(model, slices, batch, processes) <= bound_s
    ]
    return max(
        ways, key=lambda way: INSTANCES[way[0]] * way[1] / batch_s(model, way[0], batch, way[1])
    )
    ### END SOLUTION


# %% [markdown]
# ## What you have
#
# Stations on parts of a GPU, with batches. Which of the assumptions behind step 4.2 would you
# measure first, and on which machine? Next: many users want such parts at the same time.
