"""What the notebooks give: formulas and instruments that students use but do not write."""

import heapq
import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardware_models.gpu import gpu_latency
from scenarios.random_streams import stream

Array = NDArray[np.float64]


def probability_of_waiting(rate_per_s: float, service_s: float, servers: int) -> float:
    """Return the share of requests that wait in M/M/c, Erlang's C formula.

    Args:
        rate_per_s: requests per second.
        service_s: mean service time, in seconds.
        servers: number of servers; they share one queue.

    Returns:
        The share, 1 if the servers cannot keep up.

    Source: A. K. Erlang 1917; computed from Erlang's B formula by its recursion over servers.
    """
    load = rate_per_s * service_s
    if load >= servers:
        return 1.0
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mean_sojourn_s(rate_per_s: float, service_s: float, servers: int) -> float:
    """Return the mean seconds from arrival to answer in M/M/c, infinite if it cannot keep up."""
    idle = servers - rate_per_s * service_s
    if idle <= 0:
        return math.inf
    return service_s * (1 + probability_of_waiting(rate_per_s, service_s, servers) / idle)


def sojourns_s(arrivals_s: Array, services_s: Array, servers: int = 1) -> Array:
    """Simulate a station: return the seconds from arrival to answer of each request.

    Args:
        arrivals_s: times of arrival, in order.
        services_s: how long each request is served.
        servers: number of servers; they share one queue, first come, first served.
    """
    free_s = [0.0] * servers
    ended = np.empty(len(arrivals_s))
    for number, (arrival, service) in enumerate(zip(arrivals_s, services_s, strict=True)):
        ended[number] = max(arrival, heapq.heappop(free_s)) + service
        heapq.heappush(free_s, ended[number])
    return ended - arrivals_s


def exponential_requests(
    rate_per_s: float, service_s: float, count: int, seed: int = 0
) -> tuple[Array, Array]:
    """Return times of arrival and service times of requests of M/M/c."""
    rng = stream(seed, "course", "requests")
    return np.cumsum(rng.exponential(1 / rate_per_s, count)), rng.exponential(service_s, count)


SITES = ("device", "edge", "cloud")
"""Where operators run; data only move upward, from the first to the last."""


class World(NamedTuple):
    """A pipeline whose operators follow each other, and the sites where they can run.

    Attributes:
        work_s: seconds of each operator at speed 1.
        sent_bits: bits of the input of each operator; the first input is on the device.
        speed: by site.
        price: by site, per second of computing.
        links: by the site to which a link leads from the one below it, its capacity in bit/s and
            its delay in seconds.
        bound_s: most seconds that a request may take.
    """

    work_s: list[float]
    sent_bits: list[float]
    speed: dict[str, float]
    price: dict[str, float]
    links: dict[str, tuple[float, float]]
    bound_s: float


INSTANCES = {1: 7, 2: 3, 3: 2, 4: 1, 7: 1}
"""How many equal instances an A100 can have at most, by their compute slices."""

BATCHES = (1, 2, 4, 8, 12, 16, 24, 32)
"""Sizes of batches that the course considers."""

MODELS = ("bert", "densenet121", "inceptionv3", "resnet50", "vgg16")
"""Models of the course that were measured on instances of an A100."""

PROCESSES = (1, 2, 3, 4, 5)
"""How many processes can share an instance by MPS, in the measurements."""


@cache
def batch_s(model: str, slices: int, batch: int, processes: int = 1) -> float:
    """Return the seconds that a batch takes on an A100's instance, measured or fitted.

    Args:
        model: one of `MODELS`.
        slices: compute slices of the instance, a key of `INSTANCES`.
        batch: requests in the batch.
        processes: processes that share the instance by MPS, each of which has a batch under way.
    """
    return gpu_latency.batch_latency(model, slices, batch, processes).seconds


class Measurements:
    """Measured accuracies of configurations, within a budget of items.

    Args:
        truth: the true mean accuracy of each configuration.
        budget: how many items can be measured in all.
        rng: what the measurements are drawn from.
    """

    def __init__(self, truth: Array, budget: int, rng: np.random.Generator) -> None:
        self._truth, self.left, self._rng = truth, budget, rng

    def measure(self, configuration: int, items: int) -> Array:
        """Return the measured accuracy of some new items; fewer if the budget is spent."""
        count = max(0, min(int(items), self.left))
        self.left -= count
        mean = self._truth[configuration]
        return np.clip(self._rng.normal(mean, 0.1, count), 0, 1)
