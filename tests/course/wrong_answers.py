"""Wrong answers that students give, and words that their feedback must have, by step."""

import math
from itertools import combinations_with_replacement

import numpy as np
import polars as pl
from scipy import stats

from hardware_models.gpu import mig
from lab.course.given import (
    BATCHES,
    INSTANCES,
    PROCESSES,
    SITES,
    batch_s,
    mean_sojourn_s,
    probability_of_waiting,
)
from planners import CheapestFeasible
from sim import Planner

WRONG = {}


def wrong(step, words):
    """Register a wrong answer of a step."""

    def register(answer):
        WRONG.setdefault(step, []).append((words, answer))
        return answer

    return register


@wrong("1.1", "mean time of a request")
def mean_latency(arrival_s, latency_s, horizon_s):
    return sum(latency_s) / len(latency_s)


@wrong("1.1", "rate of arrivals")
def arrival_rate(arrival_s, latency_s, horizon_s):
    return len(arrival_s) / horizon_s


@wrong("1.1", "time of the last arrival")
def until_last_arrival(arrival_s, latency_s, horizon_s):
    return len(arrival_s) / max(arrival_s) * np.mean(latency_s)


@wrong("1.2", "its mean")
def knee_of_the_mean(bound, share):
    return (bound - 1) / bound


@wrong("1.2", "which share may be late")
def knee_of_the_others(bound, share):
    return 1 - math.log(1 / share) / bound


@wrong("1.2", "too many are late")
def fully_busy(bound, share):
    return 1 - 1e-3 * bound


@wrong("1.2", "lies between 0 and 1")
def knee_in_percent(bound, share):
    return 100 * (1 + math.log(1 - share) / bound)


@wrong("1.3", "just keep up")
def just_stable(rate_per_s, service_s, wait_s, share):
    return int(rate_per_s * service_s + 1)


@wrong("1.3", "does not wait at all")
def nobody_waits(rate_per_s, service_s, wait_s, share):
    servers = 1
    while probability_of_waiting(rate_per_s, service_s, servers) > 1 - share:
        servers += 1
    return servers


@wrong("1.3", "a queue of its own")
def own_queues(rate_per_s, service_s, wait_s, share):
    servers = 1
    while True:
        load = rate_per_s / servers * service_s
        if load < 1 and load * math.exp(-(1 - load) * wait_s / service_s) <= 1 - share:
            return servers
        servers += 1


@wrong("2.1", "at the same time")
def sum_of_all(after, time_s):
    return math.fsum(time_s.values())


@wrong("2.1", "the first")
def first_input(after, time_s):
    end_s = {}
    for operator, before in after.items():
        end_s[operator] = time_s[operator] + min((end_s[each] for each in before), default=0)
    return max(end_s.values())


@wrong("2.1", "last operator of the dictionary")
def until_the_last_in_order(after, time_s):
    end_s = {}
    for operator, before in after.items():
        end_s[operator] = time_s[operator] + max((end_s[each] for each in before), default=0)
    return end_s[operator]


@wrong("2.1", "slowest operator")
def slowest(after, time_s):
    return max(time_s.values())


def alone(rate_per_s, service_s, bound_s):
    servers = 1
    while mean_sojourn_s(rate_per_s, service_s, servers) > bound_s:
        servers += 1
    return servers


@wrong("2.2", "just keep up")
def stable_stations(rate_per_s, service_s, bound_s):
    return [int(rate_per_s * each + 1) for each in service_s]


@wrong("2.2", "in proportion")
def proportional_parts(rate_per_s, service_s, bound_s):
    whole_s = math.fsum(service_s)
    return [alone(rate_per_s, each, bound_s * each / whole_s) for each in service_s]


@wrong("2.2", "not have the same load")
def as_many_everywhere(rate_per_s, service_s, bound_s):
    servers = 1
    while sum(mean_sojourn_s(rate_per_s, each, servers) for each in service_s) > bound_s:
        servers += 1
    return [servers] * len(service_s)


def placements(world):
    return list(combinations_with_replacement(SITES, len(world.work_s)))


def computing_s(sites, world):
    return sum(work / world.speed[site] for work, site in zip(world.work_s, sites, strict=True))


def priced(sites, world):
    return sum(
        world.price[site] * work / world.speed[site]
        for work, site in zip(world.work_s, sites, strict=True)
    )


@wrong("3.1", "computing only")
def links_forgotten(world):
    fits = [each for each in placements(world) if computing_s(each, world) <= world.bound_s]
    return min(fits, key=lambda each: priced(each, world))


@wrong("3.1", "fastest placement")
def fastest(world):
    def seconds(sites):
        total, here = computing_s(sites, world), 0
        for bits, site in zip(world.sent_bits, sites, strict=True):
            for link in SITES[here + 1 : SITES.index(site) + 1]:
                total += world.links[link][1] + bits / world.links[link][0]
            here = SITES.index(site)
        return total

    return min(placements(world), key=seconds)


@wrong("3.1", "only move upward")
def each_where_it_is_cheap(world):
    """Return heavy operators in the cloud and light ones on the device, whatever comes before."""
    heavy = np.median(world.work_s)
    sites = ["cloud" if work > heavy else "device" for work in world.work_s]
    return ["cloud", *sites[1:-1], "device"]


@wrong("3.2", "whether deceived or not")
def slow_users(queries):
    return (queries["true_device_factor"] < 1).mean()


@wrong("3.2", "several false acceptances")
def deceived_users(queries):
    deceived = queries.filter(pl.col("false_acceptances") > 0)
    return deceived.filter(pl.col("true_device_factor") < 1).height / deceived.height


@wrong("3.2", "lies between 0 and 1")
def percent_of_slow(queries):
    slow = queries.filter(pl.col("true_device_factor") < 1)["false_acceptances"]
    return 100 * slow.sum() / queries["false_acceptances"].sum()


def added(board, layout, profile):
    while starts := mig.legal_starts(board, layout, profile):
        layout = tuple(sorted([*layout, (profile, starts[0])]))
    return list(layout)


@wrong("4.1", "forgot the instance")
def only_small(board, keep):
    return added(board, (), next(iter(mig.profiles(board))))


@wrong("4.1", "one profile")
def only_kept(board, keep):
    return added(board, (), keep)


@wrong("4.1", "room for more")
def kept_alone(board, keep):
    return [(keep, mig.legal_starts(board, (), keep)[0])]


def cuts(model, per_s, bound_s):
    """Return (slices, batch, instances) of all cuts of a card within a bound on a batch's time."""
    for slices, most in INSTANCES.items():
        for batch in BATCHES:
            count = math.ceil(per_s * batch_s(model, slices, batch) / batch)
            if batch_s(model, slices, batch) <= bound_s and count <= most:
                yield slices, batch, count


@wrong("4.2", "half of the bound")
def whole_bound(model, per_s, bound_s):
    return min(cuts(model, per_s, bound_s), key=lambda cut: (cut[0] * cut[2], -cut[1]))[:2]


@wrong("4.2", "smallest number of instances")
def fewest_instances(model, per_s, bound_s):
    return min(cuts(model, per_s, bound_s / 2), key=lambda cut: (cut[2], -cut[0]))[:2]


def ways(model, batch, bound_s):
    return [
        (slices, processes)
        for slices in INSTANCES
        for processes in PROCESSES
        if batch_s(model, slices, batch, processes) <= bound_s
    ]


@wrong("4.3", "best for one instance")
def best_of_one(model, batch, bound_s):
    return max(
        ways(model, batch, bound_s), key=lambda way: way[1] / batch_s(model, way[0], batch, way[1])
    )


@wrong("4.3", "forgot the bound")
def no_bound(model, batch, bound_s):
    return best_sharing(model, batch, math.inf)


@wrong("4.3", "shortest batch")
def shortest(model, batch, bound_s):
    return min(ways(model, batch, 1e9), key=lambda way: batch_s(model, way[0], batch, way[1]))


def best_sharing(model, batch, bound_s):
    return max(
        ways(model, batch, bound_s),
        key=lambda way: way[1] * INSTANCES[way[0]] / batch_s(model, way[0], batch, way[1]),
    )


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


class Ours(CheapestFeasible):
    """No better than the one to beat."""

    def plan(self, context):
        super().plan(context)


class Seer(CheapestFeasible):
    """It knows what nobody can."""

    sees_truth = True


class Sleeper(Planner):
    """It deploys nothing."""

    def plan(self, context):
        return None


WRONG["5.3"] = [
    ("by CheapestFeasible", Ours),
    ("sees the truth", Seer),
    ("nobody is served well", Sleeper),
    ("of your own is wanted", CheapestFeasible),
]


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
def one_round(capacity, demand, weight):
    shares = capped(capacity, demand, weight)
    wanting = [tier for tier, each in enumerate(demand) if shares[tier] < each]
    level = (capacity - sum(shares)) / sum(weight[tier] for tier in wanting)
    for tier in wanting:
        shares[tier] = min(demand[tier], shares[tier] + level * weight[tier])
    return shares


@wrong("8.1", "something is left")
def two_rounds(capacity, demand, weight):
    shares = one_round(capacity, demand, weight)
    wanting = [tier for tier, each in enumerate(demand) if shares[tier] < each]
    level = (capacity - sum(shares)) / sum(weight[tier] for tier in wanting)
    for tier in wanting:
        shares[tier] = min(demand[tier], shares[tier] + level * weight[tier])
    return shares


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
