# %% [markdown]
# # What if?
#
# Twice the load, another partition of the card, a tighter bound: does the SLO still hold? The block
# data plane moves millions of requests a second, so a what-if question is answered at once. Each
# time that you move a slider, twenty thousand requests are simulated.
#
# The first part is about one model on one A100, the second about the whole service. The notebook
# also runs without a browser: each slider is followed by a cell that makes the same call.

# %%
import os

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns
from IPython.display import display

from hardware_models.gpu import gpu_latency
from lab import run
from planners import VideoStorm
from scenarios.requests import RequestBlock
from sim.dataplane.base.interface import Route, StationSpec, Visit
from sim.dataplane.base.request_rows import ARRIVAL, ENDED
from sim.dataplane.blocks.plane import BlocksPlane

SMOKE = os.environ.get("COMPASS_SMOKE") == "1"  # shorter, for a quick test
REQUESTS = 4_000 if SMOKE else 20_000
sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## One model on one card
#
# An A100 is cut into equal instances. Each instance runs the model, and all instances share one
# queue. A batch takes as long as [the tables say](05_mig_and_mps.ipynb). It starts when it is full
# or its first request has waited long enough. Arrivals are Poisson.

# %%
CUTS = {"7 x 1g": (1, 7), "3 x 2g": (2, 3), "2 x 3g": (3, 2), "1 x 7g": (7, 1)}


class Latencies:
    """Records what the data plane reports of requests: here, how long each took."""

    def __init__(self):
        self.parts = []

    def record(self, rows, born, ended):
        self.parts.append(rows[ended, ENDED] - rows[ended, ARRIVAL])


def latencies_ms(model, cut, per_s, max_batch, wait_ms=0.0, seed=0):
    """Simulate a station; return the latency of each request in milliseconds.

    Args:
        model: a name in ``gpu_latency.models()``.
        cut: a name in ``CUTS``.
        per_s: requests per second.
        max_batch: largest batch of an instance.
        wait_ms: longest wait for a batch to fill.
        seed: seed of the arrivals.
    """
    compute_slices, instances = CUTS[cut]
    times_s = [
        gpu_latency.batch_latency(model, compute_slices, b).seconds for b in range(1, max_batch + 1)
    ]
    rng, recorder = np.random.default_rng(seed), Latencies()

    def arrivals(portion=4096):
        last_ns, ones = 0, np.ones(portion)
        while True:
            gaps = np.maximum(1, np.rint(rng.exponential(1e9 / per_s, portion))).astype(np.int64)
            arrival_ns = last_ns + np.cumsum(gaps)
            last_ns = int(arrival_ns[-1])
            yield RequestBlock(arrival_ns, ones, ones, ones, ones[:, None])

    plane = BlocksPlane(recorder)
    plane.add_station(
        StationSpec(
            0,
            servers=instances,
            max_batch=max_batch,
            max_wait_ns=round(wait_ms * 1e6),
            batch_factor=tuple(time_s / times_s[0] for time_s in times_s),
        )
    )
    plane.open_source(0, 0, arrivals())
    plane.route(0, 0, Route(0, (Visit(0, 0, None, times_s[0] * 1e9),)))
    plane.advance(round(REQUESTS / per_s * 1e9))
    return np.concatenate(recorder.parts) / 1e6


# %% [markdown]
# The SLO is a latency bound in milliseconds for 95 % of the requests:


# %%
def what_if(model="resnet50", cut="7 x 1g", per_s=2000, max_batch=4, wait_ms=0.0, bound_ms=60):
    """Draw the latencies of one setting, and the share in time at other loads."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    latencies = latencies_ms(model, cut, per_s, max_batch, wait_ms)
    in_time = (latencies <= bound_ms).mean()
    sns.ecdfplot(x=latencies, ax=left)
    left.axvline(bound_ms, color="black", ls="--", lw=1)
    left.set(
        xlabel="latency (ms)",
        ylabel="share of requests",
        xlim=(0, 2 * bound_ms),
        title=f"{in_time:.1%} within {bound_ms} ms at {per_s:,}/s",
    )
    rates = np.linspace(0.25, 2, 8) * per_s
    shares = [(latencies_ms(model, cut, r, max_batch, wait_ms) <= bound_ms).mean() for r in rates]
    sns.lineplot(x=rates, y=shares, marker="o", ax=right)
    right.plot([per_s], [in_time], "D", ms=9, color="C1")
    right.axhline(0.95, color="black", ls="--", lw=1)
    right.set(
        xlabel="requests per second",
        ylabel="share in time",
        ylim=(-0.03, 1.03),
        title="Other loads",
    )
    plt.show()


# %% [markdown]
# **Predict**, then move the sliders: with the card cut in seven, how many requests a second can be
# served in 60 ms? Do larger batches help? Does it help to wait for batches to fill?

# %% tags=["remove-output"]
ipywidgets.interact(
    what_if,
    model=["resnet50", "vgg19", "bert"],
    cut=list(CUTS),
    per_s=ipywidgets.IntSlider(2000, 50, 4000, 50, continuous_update=False),
    max_batch=ipywidgets.IntSlider(4, 1, 32, continuous_update=False),
    wait_ms=ipywidgets.FloatSlider(0, min=0, max=50, step=5, continuous_update=False),
    bound_ms=ipywidgets.IntSlider(60, 10, 400, 10, continuous_update=False),
)
# %% [markdown]
# These calls do the same with the initial values of the sliders, and then with the whole card:

# %%
what_if(cut="7 x 1g")
what_if(cut="1 x 7g", max_batch=16)

# %% [markdown]
# Both serve about two thousand requests a second. At slightly higher rates, almost no request is in
# time, because the queue grows for as long as the load lasts. This comes with little warning: just
# below that rate, 100 % are still in time.
#
# ## What if batches wait to fill?
#
# A full batch is efficient, but waiting for it costs time.
#
# **Predict.** What is the effect of a wait of 20 ms at low load, and what is it near saturation?

# %%
loads = (200, 1000, 1600, 1800, 2000)
rows = [
    {
        "requests/s": per_s,
        "wait": f"{wait_ms} ms",
        "p95": np.quantile(latencies_ms("resnet50", "1 x 7g", per_s, 16, wait_ms), 0.95),
    }
    for per_s in loads
    for wait_ms in (0, 5, 20)
]
axes = sns.lineplot(
    pl.DataFrame(rows).to_dict(as_series=False),
    x="requests/s",
    y="p95",
    hue="wait",
    style="wait",
    markers=True,
)
axes.set(ylabel="95th percentile of latency (ms)", title="ResNet-50 on a whole card, batches of 16")
axes.set_ylim(0)
plt.show()

# %% [markdown]
# At low load each request pays the whole wait and gains nothing. As load grows, batches fill before
# the wait is over, and all settings converge. If a server never waits but always takes all waiting
# requests, batches grow by themselves when the load is high.
#
# ## What if the bound is tighter?
#
# For each partition and the best of several batch sizes, bisection finds the highest rate at which
# 95 % of the requests are in time. This is the *capacity* of the card for that bound.
#
# **Predict.** Which partition is best for 20 ms, and which for 200 ms?


# %%
def capacity(model, cut, bound_ms, max_batch, steps=5 if SMOKE else 8):
    """Return the most requests per second of which 95 % are in time, within some percent."""
    compute_slices, instances = CUTS[cut]
    full_s = gpu_latency.batch_latency(model, compute_slices, max_batch).seconds
    low, high = 0.0, instances * max_batch / full_s
    for _ in range(steps):
        middle = (low + high) / 2
        in_time = (latencies_ms(model, cut, middle, max_batch) <= bound_ms).mean()
        low, high = (middle, high) if in_time >= 0.95 else (low, middle)
    return low


BOUNDS_MS = (20, 80) if SMOKE else (10, 20, 40, 80, 160, 320)
rows = [
    {
        "model": model,
        "cut": cut,
        "bound": bound_ms,
        "per_s": max(capacity(model, cut, bound_ms, b) for b in (1, 4, 16, 32)),
    }
    for model in ("resnet50", "vgg19", "bert")
    for cut in CUTS
    for bound_ms in BOUNDS_MS
]
grid = sns.relplot(
    pl.DataFrame(rows).to_dict(as_series=False),
    kind="line",
    x="bound",
    y="per_s",
    hue="cut",
    style="cut",
    markers=True,
    col="model",
    height=3.2,
    facet_kws={"sharey": False},
)
grid.set(xscale="log", xticks=BOUNDS_MS, xticklabels=BOUNDS_MS, ylim=(0, None))
grid.set_axis_labels("latency bound (ms)", "capacity (requests/s)")
grid.tight_layout(w_pad=1.5)
plt.show()

# %% [markdown]
# [The notebook on MIG and MPS](05_mig_and_mps.ipynb) used a rule of thumb instead: a batch may take
# half of the bound. Here the queue itself was simulated, with random arrivals.
#
# ## What if the whole service grows?
#
# Now there are users with phones and links, a pipeline, an edge site, and a planner that decides
# for each user. You can change every key of the configuration, and a run takes seconds. The
# machines of the cloud are on standby here, so that none has to boot.
#
# **Predict.** With twice as many users on the same two A100s, how many more are served well? How
# many more are served well with twice as many A100s?

# %%
RATES = (0.1, 0.4) if SMOKE else (0.1, 0.3, 0.6, 0.9)
CARDS = (1, 4) if SMOKE else (1, 2, 4)
HORIZON_S = 300 if SMOKE else 600
rows = []
for cards in CARDS:
    for rate in RATES:
        summary = run(
            [
                "experiment=speech_small",
                f"horizon_s={HORIZON_S}",
                f"workload.rate={rate}",
                f"cluster.nodes.cloud.count={cards}",
                f"cluster.nodes.cloud.standby={cards}",
            ],
            planner=VideoStorm(),
        ).summary
        rows.append(
            {
                "users": summary["active_queries_mean"],
                "served well": summary["service_goodput_mean"],
                "A100s": str(cards),
            }
        )
service = pl.DataFrame(rows)
axes = sns.lineplot(
    service.to_dict(as_series=False),
    x="users",
    y="served well",
    hue="A100s",
    style="A100s",
    markers=True,
)
most = service["users"].max()
axes.plot([0, most], [0, most], color="0.5", ls=":", zorder=0)
axes.annotate("all of them", (most, most), (-8, -2), textcoords="offset points", ha="right")
axes.set(xlabel="users, mean over time", ylabel="service goodput", title="VideoStorm, ten minutes")
plt.show()

# %% [markdown]
# Where the lines differ, cards are the bottleneck: one card is too little for a hundred users.
# Where they coincide, more cards do not help, because SLOs fail for another reason. Here it is
# mostly the links: even with four cards, only about a third of the users are served well.
# `compass-lab explain` names the cause for each user, and [the first
# notebook](01_first_steps.ipynb) shows how to count causes.
#
# ## The whole service by sliders
#
# The page of [the app](../docs/how_to/the_app.md) works in a notebook, too. Its controls set a small
# scenario, which two planners serve. It needs the extra `[app]`; `compass-lab app` opens the same
# page in a browser.
#
# **Predict.** With half of the users, does the share of time in which SLOs are met double? Move
# the slider of arrivals to see.

# %% tags=["remove-output"]
try:
    from lab.app.notebook import page
except ImportError:
    print("The sliders need the extra [app]: pip install 'compass-sim[app]', restart the kernel.")
else:
    display(page("planner=videostorm&against=greedy"))

# %% [markdown]
# ## Try it
#
# 1. Add drift events to the timeline of the sliders, such as a failed machine. Which of the two
#    planners loses more?
# 2. `network=wired`, `cluster=cloud_only`, `network.capacity=speed_tests`: which of them changes
#    goodput most?
# 3. Which partition of the card would you choose for three models at once, each with its own bound?
#
# Next: [Drift and replanning](06_drift_and_replanning.ipynb).
