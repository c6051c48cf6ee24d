# %% [markdown]
# # Queueing for SLOs: theory against simulation
#
# Computing takes a known time, but *waiting* does not. This notebook compares the
# simulator's stations with closed-form queueing theory: M/M/1, M/G/1, M/M/c, and batches. Where
# theory and simulation agree, you can trust the simulator. Where theory ends, the simulator
# continues.

# %%
import os
from math import factorial

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import seaborn as sns
from scipy.stats import poisson

from hardware_models.gpu import gpu_latency
from lab import run
from scenarios.requests import RequestBlock
from sim.dataplane.base.interface import Route, StationSpec, Visit
from sim.dataplane.base.request_rows import ARRIVAL, ENDED
from sim.dataplane.blocks.plane import BlocksPlane

SMOKE = os.environ.get("COMPASS_SMOKE") == "1"  # shorter, for a quick test
CUSTOMERS = 20_000 if SMOKE else 1_000_000
MEAN_NS = 10_000_000  # a request takes 10 ms on average, alone
sns.set_theme(style="whitegrid", palette="colorblind")

# %% [markdown]
# ## One station
#
# In the simulator, an operator on an allocation is a *station*. It has one queue, some servers, and
# a rule for batches. A *data plane* moves requests through stations. Here we build one by hand,
# feed it with Poisson arrivals, and record each request's *sojourn*, its time from arrival to
# departure.


# %%
class Sojourns:
    """Records what the data plane reports of requests: here, how long each took."""

    def __init__(self):
        self.parts = []

    def record(self, rows, born, ended):
        self.parts.append(rows[ended, ENDED] - rows[ended, ARRIVAL])


def exponential(rng, n):
    return rng.standard_exponential(n)


def constant(rng, n):
    return np.ones(n)


def erratic(rng, n):
    """Draw log-normal times of mean 1 whose standard deviation is twice the mean."""
    variance = np.log(1 + 2.0**2)
    return rng.lognormal(-variance / 2, np.sqrt(variance), n)


def simulate(per_s, times=exponential, seed=0, customers=CUSTOMERS, **station):
    """Return the sojourn of each request, in mean service times.

    Args:
        per_s: arrivals per second.
        times: draws service times of mean 1.
        seed: seed of arrivals and times.
        customers: approximate number of arrivals.
        station: as for a ``StationSpec``.
    """
    rng, sojourns = np.random.default_rng(seed), Sojourns()

    def arrivals(portion=4096):
        last_ns, ones = 0, np.ones(portion)
        while True:
            gaps = np.maximum(1, np.rint(rng.exponential(1e9 / per_s, portion))).astype(np.int64)
            arrival_ns = last_ns + np.cumsum(gaps)
            last_ns = int(arrival_ns[-1])
            yield RequestBlock(arrival_ns, ones, ones, ones, times(rng, portion)[:, None])

    plane = BlocksPlane(sojourns)
    plane.add_station(StationSpec(0, **station))
    plane.open_source(0, 0, arrivals())
    plane.route(0, 0, Route(0, (Visit(0, 0, None, MEAN_NS),)))
    plane.advance(round(customers / per_s * 1e9))
    return np.concatenate(sojourns.parts) / MEAN_NS


lone = simulate(per_s=0.01, times=constant, customers=10_000)
print(f"{len(lone):,} requests; alone, each takes {lone.mean():.3f} service times")

# %% [markdown]
# ## M/M/1: a busy server is slow
#
# Arrivals are Poisson, service times are exponential, and one server is busy a share $\rho$ of the
# time (its *utilisation*). In theory, the mean sojourn is $1 / (1 - \rho)$ service times.
#
# **Predict.** By what factor does the sojourn grow from 50 % to 90 % utilisation?

# %%
loads = np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
SERVED_PER_S = 1e9 / MEAN_NS


def measured(kinds, **station):
    """Return rows with the mean sojourn for each load and kind of service times."""
    return [
        {
            "load": load,
            "times": name,
            "sojourn": simulate(load * SERVED_PER_S, draw, **station).mean(),
        }
        for name, draw in kinds.items()
        for load in loads
    ]


def mean_and_error(sojourns, stretches=20):
    """Return a mean and the half-width of its 95 % interval, from the means of long stretches.

    Sojourns of neighbours are correlated, but means of long stretches hardly are, so they count as
    independent. 2.09 is the quantile of Student's t for 20 of them.
    """
    means = np.array([part.mean() for part in np.array_split(sojourns, stretches)])
    return means.mean(), 2.09 * means.std(ddof=1) / np.sqrt(stretches)


found = [mean_and_error(simulate(load * SERVED_PER_S)) for load in loads]
fine = np.linspace(0.01, 0.96, 200)
axes = sns.lineplot(x=fine, y=1 / (1 - fine), color="0.4", label="theory")
means, errors = zip(*found, strict=True)
axes.errorbar(loads, means, errors, fmt="o", capsize=4, label="simulated, with 95 % interval")
axes.set(xlabel="utilisation", ylabel="mean sojourn (service times)", title="M/M/1")
axes.legend()
plt.show()
for load, (mean, error) in zip(loads, found, strict=True):
    print(f"{load:.2f} busy: simulated {mean:6.2f} +- {error:.2f}, theory {1 / (1 - load):6.2f}")

# %% [markdown]
# It grows five times, from 2 to 10 service times. High loads are hardest to simulate, because
# queues shrink slowly.
#
# ## An SLO is a quantile
#
# An SLO does not bound the mean. Here the SLO holds if 95 % of the requests are in time. In M/M/1
# the sojourn is exponential, so a share $e^{-(1 - \rho) b}$ is late for a bound of $b$ service
# times.
#
# **Predict.** With a bound of 10 service times, up to which utilisation do 95 % arrive in time?

# %%
bounds = (5, 10, 20)
rows = []
for load in loads:
    sojourns = simulate(load * SERVED_PER_S)
    rows += [{"load": load, "bound": str(b), "in time": (sojourns <= b).mean()} for b in bounds]
columns = pl.DataFrame(rows).to_dict(as_series=False)
axes = sns.scatterplot(columns, x="load", y="in time", hue="bound", style="bound", s=70, zorder=3)
for bound, color in zip(bounds, sns.color_palette(), strict=False):
    axes.plot(fine, 1 - np.exp(-(1 - fine) * bound), color=color)
    print(f"bound {bound:2}: 95 % in time up to a utilisation of {1 + np.log(0.05) / bound:.2f}")
axes.axhline(0.95, color="black", ls="--", lw=1)
axes.set(
    xlabel="utilisation", ylabel="share in time", title="M/M/1: points simulated, lines theory"
)
axes.legend(title="bound (service times)")
plt.show()

# %% [markdown]
# The bound decides how far a machine can be utilised. So the simulated cluster admits queries only
# up to a `max_utilisation` of 0.8, and planners leave *headroom*.
#
# ## M/G/1: variability costs as much as load
#
# Let service times be constant (M/D/1), exponential, or erratic, with a standard deviation of twice
# the mean. By Pollaczek and Khinchine, the mean wait is $\rho (1 + c^2) / (2 (1 - \rho))$, where
# $c$ is the coefficient of variation.
#
# **Predict.** At 80 % load, how much longer is the wait with erratic times than with constant ones?

# %%
kinds = {"constant": constant, "exponential": exponential, "erratic": erratic}
variation = {"constant": 0.0, "exponential": 1.0, "erratic": 2.0}
general = pl.DataFrame(measured(kinds))
axes = sns.scatterplot(
    general.to_dict(as_series=False),
    x="load",
    y="sojourn",
    hue="times",
    style="times",
    s=70,
    zorder=3,
)
for name, color in zip(kinds, sns.color_palette(), strict=False):
    axes.plot(fine, 1 + fine * (1 + variation[name] ** 2) / 2 / (1 - fine), color=color)
axes.set(
    xlabel="utilisation",
    ylabel="mean sojourn (service times)",
    title="M/G/1: points simulated, lines theory",
    ylim=(0, 40),
)
plt.show()

# %% [markdown]
# Five times as long. So applications declare variability, as `service_cv`.
#
# ## M/M/c: one queue or many?
#
# Four servers can share one queue, or each server can have its own. Or a single server can be four
# times as fast. Erlang's formula C gives the probability of waiting with a shared queue.
#
# **Predict.** Order these three by mean sojourn at 80 % load. What is the order at 10 %?

# %%
SERVERS = 4


def erlang_c(servers, load):
    """Return the probability that a request waits in M/M/c."""
    offered = servers * load
    top = offered**servers / factorial(servers) / (1 - load)
    return top / (sum(offered**k / factorial(k) for k in range(servers)) + top)


rows = []
for load in loads:
    shared = simulate(SERVERS * load * SERVED_PER_S, servers=SERVERS)
    apart = simulate(load * SERVED_PER_S, seed=1)
    rows += [
        {"load": load, "kind": "shared queue", "sojourn": shared.mean()},
        {"load": load, "kind": "four queues", "sojourn": apart.mean()},
        {"load": load, "kind": "one fast server", "sojourn": apart.mean() / SERVERS},
    ]
theory = {
    "shared queue": [1 + erlang_c(SERVERS, x) / SERVERS / (1 - x) for x in fine],
    "four queues": 1 / (1 - fine),
    "one fast server": 1 / (1 - fine) / SERVERS,
}
pooled = pl.DataFrame(rows)
axes = sns.scatterplot(
    pooled.to_dict(as_series=False), x="load", y="sojourn", hue="kind", style="kind", s=70, zorder=3
)
for kind, color in zip(theory, sns.color_palette(), strict=False):
    axes.plot(fine, theory[kind], color=color)
axes.set(
    xlabel="utilisation",
    ylabel="mean sojourn (service times)",
    title="Four servers: points simulated, lines theory",
    ylim=(0, 12),
)
plt.show()

# %% [markdown]
# One shared queue is always better than four, because no server idles while requests wait. So
# *replicas* share one queue here. One fast server is better. An A100 cut in seven is the
# opposite choice. It is [worthwhile where a small request cannot use a whole
# card](05_mig_and_mps.ipynb).
#
# ## Batches
#
# A GPU takes less time for a batch than for its requests one by one. A free server takes all
# waiting requests at once, up to a maximum. With constant times this is a Markov chain from batch
# to batch: if $x$ requests wait when the server becomes free, it takes $\min(\max(x, 1), K)$ of
# them, and a Poisson number arrives meanwhile.


# %%
def batch_sojourn(per_s, factors, most=2000):
    """Return the mean sojourn in service times of one, by the chain at the ends of batches.

    Args:
        per_s: arrivals per second.
        factors: time of a batch of 1, 2, ... requests over that of one.
        most: waiting requests beyond which the chain is cut off.
    """
    waiting = np.arange(most)
    taken = np.clip(waiting, 1, len(factors))
    left = np.maximum(waiting - taken, 0)
    time_s = np.asarray(factors)[taken - 1] * MEAN_NS / 1e9
    step = poisson.pmf(waiting[None, :] - left[:, None], per_s * time_s[:, None])
    step[:, -1] += 1 - step.sum(axis=1)
    balance = np.vstack([(step.T - np.eye(most))[:-1], np.ones(most)])
    share = np.linalg.solve(balance, np.append(np.zeros(most - 1), 1.0))
    cycle_s = share @ time_s + share[0] / per_s  # An empty station waits for an arrival.
    queued = share @ (left * time_s + per_s * time_s**2 / 2) / cycle_s
    served = share @ (taken * time_s) / cycle_s
    return (queued + served) / per_s * 1e9 / MEAN_NS


# %% [markdown]
# How much longer does a batch take? These are measurements of ResNet-50 on the smallest slice of an
# A100:

# %%
alone_s = gpu_latency.batch_latency("resnet50", 1, 1).seconds
measured_factors = [
    gpu_latency.batch_latency("resnet50", 1, b).seconds / alone_s for b in range(1, 17)
]
print("batches of 1, 2, 4, 8, 16:", *(f"{measured_factors[b - 1]:.2f}" for b in (1, 2, 4, 8, 16)))

# %% [markdown]
# **Predict.** With batches up to 16, a station has a higher capacity than one by one. What does
# that cost at low load?

# %%
rates = np.array([0.2, 0.5, 0.8, 0.95, 1.2, 1.5, 1.7])
rows, lines = [], []
for most in (1, 4, 16):
    factors = tuple(measured_factors[:most])
    limit = most / factors[-1]
    for rate in rates[rates < 0.97 * limit]:
        sojourns = simulate(rate * SERVED_PER_S, constant, max_batch=most, batch_factor=factors)
        rows.append({"rate": rate, "largest batch": str(most), "sojourn": sojourns.mean()})
    for rate in np.linspace(0.05, 0.96 * limit, 12 if SMOKE else 30):
        at = batch_sojourn(rate * SERVED_PER_S, factors, most=400)
        lines.append({"rate": rate, "largest batch": str(most), "sojourn": at})
axes = sns.lineplot(
    pl.DataFrame(lines).to_dict(as_series=False), x="rate", y="sojourn", hue="largest batch"
)
sns.scatterplot(
    pl.DataFrame(rows).to_dict(as_series=False),
    x="rate",
    y="sojourn",
    hue="largest batch",
    s=60,
    legend=False,
    zorder=3,
    ax=axes,
)
axes.set(
    xlabel="requests in the time that one takes alone",
    ylabel="mean sojourn (service times)",
    title="Batches: points simulated, lines theory",
    ylim=(0, 15),
)
plt.show()
chain = [
    batch_sojourn(
        row["rate"] * SERVED_PER_S, measured_factors[: int(row["largest batch"])], most=400
    )
    for row in rows
]
worst = max(abs(row["sojourn"] / at - 1) for row, at in zip(rows, chain, strict=True))
print(f"furthest from theory: {worst:.1%}")

# %% [markdown]
# It costs nothing: at low load, each batch has one request. At high load batches grow, and the
# station serves nearly twice as many.
#
# ## What planners see
#
# `context.predict` must answer in microseconds, so it cannot simulate. It treats a station as M/G/c
# by an approximation of Sakasegawa, [as
# documented](../docs/concepts/planning_bulk.md#how-predictions-work). How far off is it?

# %%
rows = []
for servers in (1, 4):
    for name, draw in kinds.items():
        for load in loads[2:]:
            wait = (1 + variation[name] ** 2) / 2 / servers / (1 - load)
            wait *= load ** (np.sqrt(2 * (servers + 1)) - 1)
            found = simulate(servers * load * SERVED_PER_S, draw, servers=servers).mean()
            ratio = (1 + wait) / found
            rows.append({"servers": servers, "times": name, "load": load, "ratio": ratio})
grid = sns.relplot(
    pl.DataFrame(rows).to_dict(as_series=False),
    kind="line",
    x="load",
    y="ratio",
    hue="times",
    style="times",
    markers=True,
    col="servers",
    height=3.4,
)
for axes in grid.axes.flat:
    axes.axhline(1, color="black", lw=1)
grid.set_axis_labels("utilisation", "predicted / simulated")
plt.show()

# %% [markdown]
# With one server the formula is exact except for chance. With several it is an approximation: good
# for usual variation, too pessimistic for erratic times.
#
# ## Who goes first?
#
# So far, requests were served in order of arrival (*FIFO*). With several bounds, stations can serve
# the earliest deadline first (*EDF*). This is their *discipline*. Speech recognition has three
# classes: `premium` with a bound of one second, `standard` with two, `economy` with four. The
# planner, `cheapest_feasible`, ignores queues, so it chooses the same plans under both disciplines.
# Links are as good as in speed tests here: on recorded links, answers are late mostly because of
# the link.
#
# **Predict.** Which class gains by EDF, and which loses? Are more users served well?

# %%
SEEDS = range(1) if SMOKE else range(4)
TIERS = ("premium", "standard", "economy")


def by_discipline(discipline, seed):
    """Return the share of users' time with the SLO met, by class and overall, and mean latency."""
    result = run(
        [
            *("experiment=speech_small", "planner=cheapest_feasible", f"seed={seed}"),
            *(f"horizon_s={180 if SMOKE else 600}", "network.capacity=speed_tests"),
            f"cluster.discipline={discipline}",
        ]
    )
    windows = result.windows
    shares = {
        tier: part.filter("met")["active_s"].sum() / part["active_s"].sum()
        for tier, part in [*((t, windows.filter(tier=t)) for t in TIERS), ("all", windows)]
    }
    ended = windows.filter(pl.col("completed") > 0)
    latency_s = (ended["latency_mean_s"] * ended["completed"]).sum() / ended["completed"].sum()
    return shares, latency_s


rows = []
for seed in SEEDS:
    (fifo, fifo_s), (edf, edf_s) = (by_discipline(each, seed) for each in ("fifo", "edf"))
    rows += [
        {"class": name, "seed": str(seed), "gain": 100 * (edf[name] - fifo[name])} for name in fifo
    ]
    print(
        f"seed {seed}: SLO met {fifo['all']:.1%} of the time by FIFO, {edf['all']:.1%} by EDF;",
        f"mean latency {fifo_s:.2f} s and {edf_s:.2f} s",
    )
axes = sns.stripplot(
    pl.DataFrame(rows).to_dict(as_series=False),
    x="gain",
    y="class",
    hue="seed",
    palette="viridis",
    s=9,
    jitter=False,
)
axes.axvline(0, color="black", lw=1)
axes.set(xlabel="gain by EDF: time with the SLO met, in percentage points", ylabel="")
sns.move_legend(axes, "center left", bbox_to_anchor=(1, 0.5), title="seed")
plt.show()

# %% [markdown]
# `premium` gains on every seed, because it has the least slack. EDF saves no work: the mean latency
# hardly changes, because other users wait longer. `standard` loses on two seeds, `economy` on one.
# On all four seeds, more users are served well. Under overload, EDF has a weakness: it serves
# requests that are nearly late and delays others.
#
# ## Try it
#
# 1. Give the station `max_wait_ns`, so that it waits for batches to fill. When does that pay?
# 2. Add `capacity=10`, a bounded queue. How does the sojourn of admitted requests change?
# 3. What do `cluster.discipline=priority` and `cluster.shed_late=true` change?
# 4. Which utilisation keeps 95 % of erratic requests within 10 service times? Theory has no closed
#    form.
#
# Next: [What if?](04_what_if.ipynb) turns the same station into sliders.
