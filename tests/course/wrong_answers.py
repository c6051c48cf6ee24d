"""Wrong answers that students give, and words that their feedback must have, by step."""

import math

import numpy as np

from lab.course.given import mean_sojourn_s, probability_of_waiting

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
