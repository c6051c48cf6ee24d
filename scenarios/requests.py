"""The source of a query's requests, which is independent of its plans."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scenarios.applications.application import Application
from scenarios.applications.pipeline import Operator
from scenarios.numerics.distributions import Constant, LogNormal, Variability, ones, repeated
from scenarios.queries import Query
from scenarios.random_streams import stream

BLOCK_S = 120.0
LEAST_BLOCK, LARGEST_BLOCK = 64, 4096
NS_PER_S = 1_000_000_000


class RequestBlock(NamedTuple):
    """Consecutive requests of one query.

    Attributes:
        arrival_ns: time at which each request is generated, in int64 nanoseconds, strictly
            increasing, shape (n,).
        size: ratio of each request's size to the mean, shape (n,).
        length: ratio of the length of each request's output to the mean, shape (n,).
        allowance: factor by which each request's latency bound is multiplied, shape (n,):
            ``length`` if the application states latency per output length, else 1.
        variability: factor of each request's service time at each operator, shape (n, operators).
    """

    arrival_ns: NDArray[np.int64]
    size: NDArray[np.float64]
    length: NDArray[np.float64]
    allowance: NDArray[np.float64]
    variability: NDArray[np.float64]


def request_blocks(
    application: Application, query: Query, seed: int, service_cv: float = 0.0
) -> Iterator[RequestBlock]:
    """Yield a query's requests in blocks, without end.

    ``service_cv`` is that of ``scenarios.cluster.Cluster``.

    Request i of a query is the same for every planner. Its time, size and factors are the elements
    at index i of random streams that are keyed by (seed, query, purpose).
    """

    def of(purpose: str) -> np.random.Generator:
        return stream(seed, "query", query.id, "request", purpose)

    def drawn(variability: Variability, purpose: str) -> Callable[[int], NDArray[np.float64]]:
        """Return a function that draws the next factors of a stream, which is created once."""
        if isinstance(variability, Constant):
            return ones
        return partial(variability.draw, of(purpose))

    dataset = application.datasets[query.dataset]
    factors = [service_factors(operator, service_cv, drawn) for operator in application.operators]
    # The first gap starts at a random phase, so that periodic sources are not in step.
    mean_gap_ns = NS_PER_S / query.requests_per_s
    born_ns = round(query.arrival_s * NS_PER_S)
    return _RequestBlocks(
        drawn(application.interarrival, "interarrival"),
        drawn(dataset.request_size, "size"),
        drawn(dataset.output_length, "length"),
        application.latency_per == "output_length",
        None if all(each is ones for each in factors) else factors,
        len(factors),
        mean_gap_ns,
        born_ns - round(of("phase").random() * mean_gap_ns),
        born_ns,
        round(min(max(LEAST_BLOCK, query.requests_per_s * BLOCK_S), LARGEST_BLOCK)),
    )


Draw = Callable[[int], NDArray[np.float64]]


@dataclass(slots=True, eq=False)
class _RequestBlocks(Iterator[RequestBlock]):
    """The blocks of one query; there may be many queries, so this is small."""

    gaps: Draw  # relative to their mean
    sizes: Draw
    lengths: Draw
    normalised: bool  # whether latency is stated per output length
    factors: list[Draw] | None  # of each operator's service time; None if all are 1
    operators: int
    mean_gap_ns: float
    last_ns: int  # time of the last request drawn
    born_ns: int  # time of the query's arrival
    count: int  # number of requests in a block

    def __next__(self) -> RequestBlock:
        count = self.count
        if self.gaps is ones:  # by arithmetic, which is fast for many queries
            gap_ns = max(1, round(self.mean_gap_ns))
            first_ns = self.last_ns + gap_ns
            self.last_ns += count * gap_ns
            arrival_ns = np.arange(first_ns, self.last_ns + 1, gap_ns)
        else:
            gaps_ns = self.gaps(count) * self.mean_gap_ns
            np.maximum(np.rint(gaps_ns, out=gaps_ns), 1, out=gaps_ns)
            arrival_ns = gaps_ns.astype(np.int64).cumsum()
            arrival_ns += self.last_ns
            first_ns, self.last_ns = int(arrival_ns[0]), int(arrival_ns[-1])
        length = self.lengths(count)
        block = RequestBlock(
            arrival_ns,
            self.sizes(count),
            length,
            length if self.normalised else ones(count),
            repeated((1.0,) * self.operators, count)
            if self.factors is None
            else _columns(each(count) for each in self.factors),
        )
        if first_ns >= self.born_ns:
            return block
        begun = int(arrival_ns.searchsorted(self.born_ns))
        return RequestBlock(arrival_ns[begun:], *(each[begun:] for each in block[1:]))


def service_factors(
    operator: Operator,
    service_cv: float,
    drawn: Callable[[Variability, str], Callable[[int], NDArray[np.float64]]],
) -> Callable[[int], NDArray[np.float64]]:
    """Return a function that draws the next factors of an operator's service times.

    These are the differences that the application declares, times those of repeated services.
    ``drawn`` returns such a function of a distribution and the purpose that names its stream.
    """
    own = drawn(operator.variability, f"service {operator.name}")
    if service_cv == 0 or operator.kind == "llm":
        return own
    repeats = drawn(_repeated(service_cv), f"repeated service {operator.name}")
    return lambda count: own(count) * repeats(count)


@cache
def _repeated(service_cv: float) -> LogNormal:
    """Return the distribution of repeated services, whose parameter is checked only once."""
    return LogNormal(service_cv)


def _columns(columns: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Stack columns, without a copy if each column repeats one number."""
    listed = list(columns)
    if any(each.strides != (0,) for each in listed):
        return np.column_stack(listed)
    return repeated(tuple(each.item(0) for each in listed), len(listed[0]))
