"""Wrong answers of students on matching, search, drift and capacity (steps 5.1 to 8.2)."""

import math

import numpy as np
import polars as pl
from scipy import stats

from planners import CheapestFeasible
from sim import Planner
from tests.course.wrong_answers import wrong


@wrong("5.1", "windows in part")
def parts_met(windows, horizon_s):
    parts = windows.select(pl.mean_horizontal("latency_met", "accuracy_met", "cost_met"))
    return (windows["active_s"] * parts.to_series()).sum() / horizon_s


@wrong("5.1", "latency only")
def latency_met(windows, horizon_s):
    return windows.filter(pl.col("latency_met"))["active_s"].sum() / horizon_s


@wrong("5.1", "share of users' time")
def share_of_time(windows, horizon_s):
    met = windows.filter(pl.col("latency_met") & pl.col("accuracy_met") & pl.col("cost_met"))
    return met["active_s"].sum() / windows["active_s"].sum()


@wrong("5.2", "an earlier query can take")
def in_turn(value):
    chosen = []
    for row in value:
        left = [each for each in range(len(row)) if each not in chosen and row[each] > 0]
        chosen.append(max(left, key=lambda each, row=row: row[each]) if left else -1)
    return chosen


@wrong("5.2", "largest values come first")
def largest_first(value):
    table, chosen = value.copy(), [-1] * len(value)
    while table.max() > 0:
        query, instance = np.unravel_index(table.argmax(), table.shape)
        chosen[query] = int(instance)
        table[query], table[:, instance] = 0, 0
    return chosen


@wrong("5.2", "two queries have the same one")
def best_of_each(value):
    return value.argmax(axis=1).tolist()


@wrong("5.3", "by CheapestFeasible")
class Ours(CheapestFeasible):
    """No better than the one to beat."""

    def plan(self, context):
        super().plan(context)


@wrong("5.3", "sees the truth")
class Seer(CheapestFeasible):
    """It knows what nobody can."""

    sees_truth = True


@wrong("5.3", "nobody is served well")
class Sleeper(Planner):
    """It deploys nothing."""

    def plan(self, context):
        return None


wrong("5.3", "of your own is wanted")(CheapestFeasible)


def lower(samples, quantile, ddof=1):
    return samples.mean() - quantile * samples.std(ddof=ddof) / math.sqrt(len(samples))


@wrong("6.1", "mean of the samples")
def mean_of_samples(samples, confidence):
    return samples.mean()


@wrong("6.1", "two-sided")
def two_sided(samples, confidence):
    return lower(samples, stats.t.ppf(0.5 + confidence / 2, len(samples) - 1))


@wrong("6.1", "single sample")
def of_a_sample(samples, confidence):
    return samples.mean() - stats.t.ppf(confidence, len(samples) - 1) * samples.std(ddof=1)


@wrong("6.1", "normal quantile")
def normal(samples, confidence):
    return lower(samples, stats.norm.ppf(confidence))


@wrong("6.2", "too well by chance")
def cheapest_that_looks_good(measure, count, floor, budget):
    for configuration in range(count):
        if measure(configuration, 4).mean() >= floor:
            return configuration
    return count - 1


@wrong("6.2", "places more costly")
def costliest(measure, count, floor, budget):
    measure(0, budget)
    return count - 1


@wrong("6.2", "without a measurement")
def middle(measure, count, floor, budget):
    return count // 2


@wrong("6.2", "number of a configuration")
def best_accuracy(measure, count, floor, budget):
    return max(measure(each, 10).mean() for each in range(count))


@wrong("6.3", "known spread")
def normal_seeds(differences, half_width):
    return math.ceil((stats.norm.ppf(0.975) * np.std(differences, ddof=1) / half_width) ** 2)


def first_seeds(half_width, width):
    return next(n for n in range(2, 10**5) if width(n) <= half_width)


@wrong("6.3", "either side")
def whole_width(differences, half_width):
    s = np.std(differences, ddof=1)
    return first_seeds(half_width, lambda n: 2 * stats.t.ppf(0.975, n - 1) * s / math.sqrt(n))


@wrong("6.3", "you left out 5 %")
def one_sided(differences, half_width):
    s = np.std(differences, ddof=1)
    return first_seeds(half_width, lambda n: stats.t.ppf(0.95, n - 1) * s / math.sqrt(n))


@wrong("7.1", "without drift")
def one_large(observed_s, usual_s, sd_s):
    large = np.flatnonzero(observed_s > usual_s + 2.5 * sd_s)
    return int(large[0]) if len(large) else -1


@wrong("7.1", "after the drift")
def mean_so_far(observed_s, usual_s, sd_s):
    means = np.cumsum(observed_s) / np.arange(1, len(observed_s) + 1)
    late = np.flatnonzero((means > usual_s + 0.45 * sd_s) & (np.arange(len(means)) > 60))
    return int(late[0]) if len(late) else -1


@wrong("7.1", "too late")
def from_the_future(observed_s, usual_s, sd_s):
    if observed_s[len(observed_s) // 2 :].mean() < usual_s + 0.5 * sd_s:
        return -1
    above = np.cumsum(observed_s - usual_s - sd_s / 2)
    return int(np.argmin(above))


@wrong("7.1", "missed")
def never(observed_s, usual_s, sd_s):
    return -1


def new_plans(decisions, drift_s):
    old = decisions.filter(pl.col("decided_s") <= drift_s)["query"].to_list()
    late = decisions.filter(pl.col("decided_s") > drift_s)
    return late.filter(pl.col("query").is_in(old))


@wrong("7.2", "models are loaded")
def decided(decisions, drift_s):
    new = new_plans(decisions, drift_s).group_by("query").agg(pl.col("decided_s").min())
    return new["decided_s"].median() - drift_s


@wrong("7.2", "came after the drift")
def newcomers(decisions, drift_s):
    late = decisions.filter(pl.col("decided_s") > drift_s)
    return late.group_by("query").agg(pl.col("in_force_s").min())["in_force_s"].median() - drift_s


@wrong("7.2", "the last plan")
def last_plan(decisions, drift_s):
    new = new_plans(decisions, drift_s).group_by("query").agg(pl.col("in_force_s").max())
    return new["in_force_s"].median() - drift_s


@wrong("7.3", "in the middle")
def whole_period(pause_s, drifts_per_s, loss):
    return (pause_s / drifts_per_s / loss) ** 0.5


@wrong("7.3", "between drifts")
def at_every_drift(pause_s, drifts_per_s, loss):
    return drifts_per_s**-1


@wrong("7.3", "more often")
def squared(pause_s, drifts_per_s, loss):
    return 2 * pause_s / (drifts_per_s * loss)


@wrong("8.1", "leave something")
def capped(capacity, demand, weight):
    return [min(d, capacity * w / sum(weight)) for d, w in zip(demand, weight, strict=True)]


@wrong("8.1", "share once")
def one_round(capacity, demand, weight, before=None):
    shares = before or capped(capacity, demand, weight)
    wanting = [tier for tier, each in enumerate(demand) if shares[tier] < each]
    level = (capacity - sum(shares)) / sum(weight[tier] for tier in wanting)
    for tier in wanting:
        shares[tier] = min(demand[tier], shares[tier] + level * weight[tier])
    return shares


@wrong("8.1", "something is left")
def two_rounds(capacity, demand, weight):
    return one_round(capacity, demand, weight, one_round(capacity, demand, weight))


@wrong("8.1", "whatever its weight")
def by_demand(capacity, demand, weight):
    return [capacity * each / sum(demand) for each in demand]


@wrong("8.1", "high weight take all")
def by_priority(capacity, demand, weight):
    shares, left = [0.0] * len(demand), capacity
    for heavy, tier in sorted((-heavy, tier) for tier, heavy in enumerate(weight)):
        shares[tier] = min(demand[tier], left) if heavy else 0
        left -= shares[tier]
    return shares


@wrong("8.2", "promised too much")
def first_lucky_run(goodput, target, most):
    return next((n for n in range(1, most) if goodput(n, 0) >= target), most)


@wrong("8.2", "runs")
def every_number(goodput, target, most):
    met = [np.mean([goodput(n, seed) for seed in range(50)]) >= target for n in range(1, most)]
    return met.index(True) + 1 if any(met) else most


@wrong("8.2", "without a run")
def all_of_them(goodput, target, most):
    return most
