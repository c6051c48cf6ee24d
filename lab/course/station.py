"""Graders of notebook 1: one station, M/M/c, and the knee."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from scipy import stats

from lab.course.forms import beyond_one, near, number, whole
from lab.course.given import Array, probability_of_waiting
from lab.course.grading import Arguments, Exercise, Mistake, Step

MOST_SERVERS = 500


def _logs(rng: np.random.Generator) -> Iterable[Arguments]:
    for _ in range(4):
        horizon_s = float(rng.uniform(50, 900))
        arrivals_s = np.sort(rng.uniform(0, 0.8 * horizon_s, int(rng.integers(30, 300))))
        latencies_s = rng.exponential(0.03 * horizon_s, len(arrivals_s))
        yield arrivals_s, np.minimum(latencies_s, horizon_s - arrivals_s), horizon_s


def _counted(value: float, arrivals_s: Array, latencies_s: Array, horizon_s: float) -> str:
    """Compare with the count at every instant, which changes at arrivals and at departures."""
    times_s = np.concatenate([arrivals_s, arrivals_s + latencies_s])
    steps = np.repeat([1, -1], len(arrivals_s))
    order = np.argsort(times_s, kind="stable")
    count = np.cumsum(steps[order])
    area = float(np.sum(count[:-1] * np.diff(times_s[order])))
    return near(value, area / horizon_s, 1e-3)


_UNDER_WAY = Exercise(
    "a number of requests, such as 12.5",
    number,
    _logs,
    _counted,
    (
        Mistake(
            lambda arrivals_s, latencies_s, horizon_s: np.mean(latencies_s),
            "that is the mean time of a request, in seconds; how many requests share it depends "
            "on how often they come, too",
        ),
        Mistake(
            lambda arrivals_s, latencies_s, horizon_s: len(arrivals_s) / horizon_s,
            "that is the rate of arrivals, in requests per second; how long do they stay?",
        ),
        Mistake(
            lambda arrivals_s, latencies_s, horizon_s: np.sum(latencies_s) / arrivals_s[-1],
            "you divide by the time of the last arrival, but the log lasts until horizon_s",
        ),
        Mistake(
            lambda arrivals_s, latencies_s, horizon_s: np.sum(latencies_s),
            "that is a sum of seconds; a number of requests has no unit, so divide by a time",
        ),
    ),
)


def _bounds(rng: np.random.Generator) -> Iterable[Arguments]:
    for _ in range(5):
        share = float(rng.choice([0.8, 0.9, 0.95, 0.99]))
        yield float(rng.uniform(1.3, 4)) * -math.log(1 - share), share


def share_in_time(utilisation: float, bound: float) -> float:
    """Return the share of requests of M/M/1 that take at most so many service times.

    A request that finds n others takes a sum of n + 1 exponential times, and n is geometric.
    """
    others = np.arange(4000)
    found = (1 - utilisation) * utilisation**others
    return float(np.sum(found * stats.gamma.cdf(bound, others + 1)))


def _busiest(value: float, bound: float, share: float) -> str:
    if complaint := beyond_one(value, "a utilisation"):
        return complaint
    if share_in_time(value - 0.002, bound) < share:
        return "too many are late at this utilisation"
    return "" if share_in_time(value + 0.002, bound) < share else "it can be busier than that"


_KNEE = Exercise(
    "a utilisation, a number between 0 and 1, such as 0.5",
    number,
    _bounds,
    _busiest,
    (
        Mistake(
            lambda bound, share: 1 - 1 / bound,
            "there the mean time equals the bound, and many requests take longer than the mean; "
            "use the distribution of the time, not its mean",
        ),
        Mistake(
            lambda bound, share: 1 + math.log(share) / bound,
            "there only 1 - share of the requests are in time; which share may be late?",
        ),
        Mistake(
            lambda bound, share: -math.log(1 - share) / bound,
            "that is the share of time in which the server must be idle; when is it busy?",
        ),
        Mistake(
            lambda bound, share: share,
            "the share of requests in time is no utilisation; how does the time of a request "
            "depend on the load?",
        ),
    ),
)


def _offices(rng: np.random.Generator) -> Iterable[Arguments]:
    for _ in range(6):
        service_s = float(rng.uniform(0.05, 0.5))
        load = float(rng.uniform(2.2, 12))
        wait_s = float(rng.uniform(0.3, 0.9)) * service_s
        yield load / service_s, service_s, wait_s, float(rng.choice([0.85, 0.9, 0.95]))


def share_waiting_at_most(
    wait_s: float, rate_per_s: float, service_s: float, servers: int
) -> float:
    """Return the share of requests of M/M/c that wait at most so long, from the states' shares.

    A request that finds n >= c others waits for n - c + 1 departures.
    """
    load = rate_per_s * service_s
    if load >= servers:
        return 0.0
    others = np.arange(2000)
    log_weights = np.concatenate(
        [[0.0], np.cumsum(np.log(load / np.minimum(np.arange(1, len(others)), servers)))]
    )
    shares = np.exp(log_weights - log_weights.max())
    shares /= shares.sum()
    waits = others[servers:]
    in_time = stats.gamma.cdf(wait_s, waits - servers + 1, scale=service_s / servers)
    return float(shares[:servers].sum() + np.sum(shares[servers:] * in_time))


def _first(enough: Callable[[int], bool]) -> int:
    """Return the smallest number of servers that is enough."""
    return next((count for count in range(1, MOST_SERVERS) if enough(count)), MOST_SERVERS)


def _fewest(value: int, rate_per_s: float, service_s: float, wait_s: float, share: float) -> str:
    if value <= rate_per_s * service_s:
        return "so many servers cannot keep up: the queue grows without end"
    if share_waiting_at_most(wait_s, rate_per_s, service_s, value) < share:
        return "too many wait longer than that"
    if value > 1 and share_waiting_at_most(wait_s, rate_per_s, service_s, value - 1) >= share:
        return "fewer servers would do"
    return ""


_SERVERS = Exercise(
    "a whole number of servers, such as 3",
    whole,
    _offices,
    _fewest,
    (
        Mistake(
            lambda rate_per_s, service_s, wait_s, share: math.floor(rate_per_s * service_s) + 1,
            "so many just keep up; near their limit nearly everybody waits, and long",
        ),
        Mistake(
            lambda rate_per_s, service_s, wait_s, share: _first(
                lambda c: probability_of_waiting(rate_per_s, service_s, c) <= 1 - share
            ),
            "then that share does not wait at all; but waiting up to wait_s is allowed",
        ),
        Mistake(
            lambda rate_per_s, service_s, wait_s, share: _first(
                lambda c: (
                    share_waiting_at_most(wait_s, rate_per_s / c, service_s, 1) >= share
                    and rate_per_s / c * service_s < 1
                )
            ),
            "you gave each server a queue of its own; with one queue for all, no server is idle "
            "while somebody waits",
        ),
        Mistake(
            lambda rate_per_s, service_s, wait_s, share: math.ceil(rate_per_s * service_s / share),
            "dividing the load by the share bounds the utilisation, not the wait",
        ),
    ),
)

STEPS = (
    Step(
        "1.1",
        "Little's law",
        2,
        (
            "How long do all requests stay, in seconds, when you add them up?",
            "Little's law: the mean number under way is the rate of arrivals times the mean time "
            "of a request.",
            "The rate is len(arrival_s) / horizon_s, the mean time is the sum of latency_s over "
            "len(latency_s). Multiply: one number cancels.",
        ),
        _UNDER_WAY,
    ),
    Step(
        "1.2",
        "The knee",
        3,
        (
            "How is the time of a request distributed in M/M/1, service included?",
            "It is exponential. Its rate is 1 - utilisation if times are counted in service times.",
            "The share that takes longer than the bound is exp(-(1 - utilisation) * bound). Set it "
            "to 1 - share, and solve for the utilisation.",
        ),
        _KNEE,
    ),
    Step(
        "1.3",
        "How many servers?",
        3,
        (
            "Try 1 server, 2 servers, 3, until the wait is short enough. What does "
            "probability_of_waiting tell you?",
            "A request waits longer than t if it waits at all, and then longer than t. A wait that "
            "happens is exponential; its rate is the spare capacity in requests per second.",
            "P(wait > t) = probability_of_waiting(rate, service, c) * exp(-(c / service - rate) * "
            "t). Return the first c > rate * service for which this is at most 1 - share.",
        ),
        _SERVERS,
    ),
)
