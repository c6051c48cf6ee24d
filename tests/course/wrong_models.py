"""Wrong answers of students on stations, pipelines, placement and sharing (steps 1.1 to 4.3)."""

import math
from itertools import combinations_with_replacement

import numpy as np
import polars as pl

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
from tests.course.wrong_answers import wrong


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
