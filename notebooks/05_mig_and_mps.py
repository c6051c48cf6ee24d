# %% [markdown]
# # MIG and MPS: how to slice an A100
#
# An A100 is larger than one small model needs. *MIG* cuts it into instances with their own compute
# and memory. *MPS* lets several processes share one instance. Which partition serves the most
# requests in time? It depends on the model, the batch and the bound, as this notebook shows.
#
# All times come from the project's tables, and each row names its source. [The hardware
# models](../docs/concepts/hardware.md) says what was measured and what was fitted.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns

from hardware_models.gpu import gpu_latency, mig, mps

SMOKE = os.environ.get("COMPASS_SMOKE") == "1"  # shorter, for a quick test
BOARD = "A100-80GB"
sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## How many ways are there to cut it?
#
# The card has 7 compute slices and 8 memory slices. A profile such as `2g.20gb` takes 2 compute
# slices and 2 memory slices. It can start only at memory slice 0, 2 or 4.
#
# **Predict.** A layout is *maximal* if no instance can be added to it. How many maximal layouts are
# there?

# %%
plain = [name for name in mig.profiles(BOARD) if name != "1g.20gb" and "+me" not in name]
layouts = sorted(mig.maximal_layouts(BOARD, plain), key=lambda layout: (len(layout), layout))
print(len(layouts), "layouts")

# %%
colors = dict(zip(plain, sns.color_palette("colorblind"), strict=False))
figure, axes = plt.subplots(figsize=(8, 6.5), layout="constrained")
for row, layout in enumerate(layouts):
    for name, start in layout:
        profile = mig.profiles(BOARD)[name]
        axes.barh(row, profile.size, left=start, color=colors[name], edgecolor="white", lw=2)
        text = name if profile.size > 1 else name.partition(".")[0]
        axes.text(
            start + profile.size / 2, row, text, ha="center", va="center", size=8, color="white"
        )
axes.set(
    yticks=range(len(layouts)),
    yticklabels=range(1, len(layouts) + 1),
    xticks=range(9),
    xlabel="memory slice",
    ylabel="layout",
    title="The maximal layouts of an A100-80GB",
    ylim=(len(layouts) - 0.4, -0.6),
)
axes.grid(visible=False)
plt.show()

# %% [markdown]
# A white memory slice cannot be used, because no profile of one slice can start at the last memory
# slice. Layout 2 wastes compute instead: two `3g` instances take all the memory and leave one
# compute slice idle.
#
# ## Fragments
#
# Instances are created and destroyed while the card works, and none can be moved. So the position
# of each instance decides which others fit later.
#
# **Predict.** On an empty card, which start is best for the first `1g.10gb`?

# %%
smaller = [name for name in plain if name != "7g.80gb"]
starts = mig.legal_starts(BOARD, (), "1g.10gb")
left_over = [
    [len(mig.legal_starts(BOARD, (("1g.10gb", start),), name)) for start in starts]
    for name in smaller
]
axes = sns.heatmap(
    left_over, annot=True, cbar=False, cmap="crest", xticklabels=starts, yticklabels=smaller
)
axes.set(xlabel="start of the first 1g.10gb", title="Starts that are left for one more")
axes.tick_params(axis="y", rotation=0)
plt.show()
print("the simulator puts it at", mig.choose_start(BOARD, (), "1g.10gb"))

# %% [markdown]
# With a start from 0 to 3, it occupies a part of the only place for a `4g`. The simulator chooses
# the start that keeps the most placements possible.
#
# ## Does a slice slow a model down?
#
# **Predict.** Does a single request take seven times as long on one of seven slices?

# %%
MODELS = ("resnet50", "vgg19", "bert")
BATCHES = (1, 8, 32)
slices = (1, 2, 3, 4, 7)


def seconds(model, g, batch, processes=1):
    """Return the time of a batch on an instance of g compute slices."""
    return gpu_latency.batch_latency(model, g, batch, processes).seconds


times = pl.DataFrame(
    [
        {
            "model": model,
            "batch": str(batch),
            "compute slices": g,
            "slowdown": seconds(model, g, batch) / seconds(model, 7, batch),
        }
        for model in MODELS
        for batch in BATCHES
        for g in slices
    ]
)
grid = sns.relplot(
    times.to_dict(as_series=False),
    kind="line",
    x="compute slices",
    y="slowdown",
    hue="batch",
    style="batch",
    markers=True,
    col="model",
    height=3.2,
)
for axes in grid.axes.flat:
    axes.plot(slices, [7 / g for g in slices], color="0.5", ls=":", zorder=0)
    axes.set(xticks=slices)
grid.set_ylabels("time, in that of the\nwhole card")
plt.show()

# %% [markdown]
# The dotted line is 7 / slices: time inversely proportional to the number of slices. Large batches
# come near it. A single request of ResNet-50 or BERT is not slowed down at all, because its time is
# mostly spent on launching kernels, and it leaves most of a card idle. VGG-19 needs so much
# computing that every missing slice slows it down, even with a single request.
#
# ## Throughput of the whole card
#
# So should you cut the card into many small instances? Seven `1g` instances serve seven batches at
# a time.
#
# **Predict.** For which batch sizes do seven small instances beat one large one, for ResNet-50?

# %%
CUTS = {"7 x 1g": (1, 7), "3 x 2g": (2, 3), "2 x 3g": (3, 2), "1 x 7g": (7, 1)}
batches = (1, 2, 4, 8, 16, 32, 64)
throughput = pl.DataFrame(
    [
        {
            "model": model,
            "cut": cut,
            "batch": batch,
            "ms": 1e3 * seconds(model, g, batch),
            "per_s": count * batch / seconds(model, g, batch),
        }
        for model in MODELS
        for cut, (g, count) in CUTS.items()
        for batch in batches
    ]
)
grid = sns.relplot(
    throughput.to_dict(as_series=False),
    kind="line",
    x="batch",
    y="per_s",
    hue="cut",
    style="cut",
    markers=True,
    col="model",
    height=3.2,
    facet_kws={"sharey": False},
)
grid.set(xscale="log", xticks=batches, xticklabels=batches)
grid.set_axis_labels("batch of each instance", "requests/s of the card")
grid.tight_layout(w_pad=1.5)
plt.show()

# %% [markdown]
# At small batches, the seven instances win by far for models that leave most of a large instance
# idle. At large batches the partitions are closer, because one batch of ResNet-50 or VGG-19 keeps
# the whole card busy; BERT never does. (`3 x 2g` and `2 x 3g` leave one compute slice unused.)
#
# But a user waits several times longer for a batch of 64 on one of seven instances than for a batch
# of 64 on the whole card. What counts is throughput *within a bound on latency*.
#
# ## The best cut for a bound
#
# Let a batch take at most half of the bound, because a request may have to wait for the previous
# batch. For each bound and partition, take the largest batch that is fast enough.
#
# **Predict.** For tight bounds, are many small instances better than one large one?

# %%
step = 16 if SMOKE else 1
sizes = np.unique(np.concatenate([[1, 2, 4, 8], np.arange(step, 65, step)]))
bounds_ms = np.geomspace(10, 400, 12 if SMOKE else 60)
rows = []
for model in MODELS:
    for cut, (g, count) in CUTS.items():
        took_s = np.array([seconds(model, g, int(batch)) for batch in sizes])
        for bound_ms in bounds_ms:
            fast = took_s <= bound_ms / 2e3
            best = (count * sizes[fast] / took_s[fast]).max(initial=0.0)
            rows.append({"model": model, "cut": cut, "bound": bound_ms, "per_s": best})
within = pl.DataFrame(rows)
grid = sns.relplot(
    within.to_dict(as_series=False),
    kind="line",
    x="bound",
    y="per_s",
    hue="cut",
    style="cut",
    col="model",
    height=3.2,
    facet_kws={"sharey": False},
)
grid.set(xscale="log", xticks=[10, 30, 100, 300], xticklabels=[10, 30, 100, 300])
grid.set_axis_labels("latency bound (ms)", "requests/s of the card in time")
grid.tight_layout(w_pad=1.5)
plt.show()

# %%
for bound_ms in bounds_ms[:: len(bounds_ms) // 6]:
    in_time = within.filter(pl.col("bound") == bound_ms, pl.col("per_s") > 0).sort("per_s")
    best = dict(in_time.group_by("model").agg(pl.col("cut").last()).iter_rows())
    print(f"{bound_ms:4.0f} ms:", *(f"{model} {best.get(model, 'none'):<9}" for model in MODELS))

# %% [markdown]
# No partition is best for all. A heavy model under a tight bound needs a large instance to be in
# time at all. A model whose time is mostly spent on launches is best served by small instances. So
# planners choose an *allocation* for each operator, and the simulator partitions cards while it
# runs.
#
# ## Sharing by MPS
#
# Instead of partitioning, several processes can share an instance.
#
# **Predict.** Two processes of one model on one slice: twice the throughput at the same latency,
# the same throughput at twice the latency, or something between?

# %%
shared = pl.DataFrame(
    [
        {
            "instance": f"{model} on {g}g",
            "processes": str(processes),
            "ms": 1e3 * seconds(model, g, 4, processes),
            "per_s": processes * 4 / seconds(model, g, 4, processes),
        }
        for model in ("resnet50", "bert")
        for g in (1, 7)
        for processes in range(1, gpu_latency.largest_processes() + 1)
    ]
)
grid = sns.relplot(
    shared.to_dict(as_series=False),
    kind="line",
    x="ms",
    y="per_s",
    sort=False,
    marker="o",
    col="instance",
    col_wrap=2,
    height=3,
    aspect=1.5,
    facet_kws={"sharex": False, "sharey": False},
)
for (name,), part in shared.group_by("instance", maintain_order=True):
    for processes, ms, per_s in part.select("processes", "ms", "per_s").iter_rows():
        grid.axes_dict[name].annotate(
            processes, (ms, per_s), (5, -12), textcoords="offset points", size=9
        )
for axes in grid.axes.flat:  # room for the numbers
    axes.set(xlim=(0, 1.1 * axes.dataLim.xmax), ylim=(0, 1.1 * axes.dataLim.ymax))
grid.set_axis_labels("latency of a batch of 4 (ms)", "requests/s")
grid.set_titles("1 to 5 processes: {col_name}")
grid.tight_layout()
plt.show()
for (name,), part in shared.group_by("instance", maintain_order=True):
    ms, per_s = (part[column] / part[column][0] for column in ("ms", "per_s"))
    print(
        f"{name:>14}:",
        *(f"{n} processes {per_s[n - 1]:.2f} x requests/s, {ms[n - 1]:.2f} x ms" for n in (2, 5)),
        sep="  ",
    )

# %% [markdown]
# It depends on how much of the instance one process leaves idle. On one slice, ResNet-50 leaves
# next to nothing idle. More processes serve hardly more, and latency grows nearly in proportion to
# their number. BERT leaves a part of its slice idle. Two processes serve more, and five more still,
# but each batch takes longer. On the whole card, one process leaves most of the card idle. A second
# process doubles throughput at the same latency, and further ones add to it until the card is full.
# MPS gains most where a single process cannot fill an instance.
#
# A process can also be limited to a share of the threads. What does a share cost?

# %%
percents = (10, 20, 30, 40, 50, 60, 80, 100)
limited = pl.DataFrame(
    [
        {
            "model": model,
            "percent": percent,
            "factor": mps.thread_latency_factor(model, 8, percent).value,
        }
        for model in ("resnet50", "vgg19", "ssd")
        for percent in percents
    ]
)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
sns.lineplot(
    limited.to_dict(as_series=False),
    x="percent",
    y="factor",
    hue="model",
    style="model",
    markers=True,
    ax=left,
)
left.plot(percents, [100 / p for p in percents], color="0.5", ls=":", zorder=0)
left.set(xlabel="active threads (%)", ylabel="time over that at 100 %", title="Fewer threads")
heavy, light = mps.memory_utilisation("vgg16"), mps.memory_utilisation("lenet")
neighbours = pl.DataFrame(
    [
        {"neighbours": n, "of kind": kind, "factor": mps.interference_factor([use] * n)}
        for kind, use in (("vgg16", heavy), ("lenet", light))
        for n in range(5)
    ]
)
sns.lineplot(
    neighbours.to_dict(as_series=False),
    x="neighbours",
    y="factor",
    hue="of kind",
    style="of kind",
    markers=True,
    ax=right,
)
right.set(ylabel="time over that alone", title="Busy neighbours", xticks=range(5))
plt.show()
print(f"a MIG instance beside busy ones: {mps.mig_neighbour_factor():.2f} times as slow")

# %% [markdown]
# Half of the threads cost less than twice the time. Neighbours slow a process down by their use of
# memory bandwidth: `lenet` hardly does, `vgg16` does. Instances of MIG have their own memory slices
# and hardly affect each other. That isolation is the advantage of MIG. Its disadvantage is that the
# partition cannot be adapted to the load from second to second.
#
# ## Try it
#
# 1. Which partition is best for `mobilenetv2` within 50 ms? And which one is best within 20 ms?
# 2. Compare three processes on one `7g` instance with three `2g` instances. What are throughput and
#    latency at batch 4?
# 3. Other boards can be partitioned too: `mig.boards()`. How many maximal layouts does an H100
#    have?
#
# Next: [What if?](04_what_if.ipynb) simulates the queues in front of these instances.
