"""The interface between the control plane and a data plane.

A data plane has its own clock. The control plane gives it orders, each for a certain time.
``advance`` then simulates all requests up to a time, the sync point, and reports births and ends of
requests to the recorder. At equal times, orders of the control plane take effect first, then
arrivals, then dispatch.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from scenarios.applications.dataset import Tokens
from scenarios.applications.pipeline import LONGEST, BatchTime
from scenarios.cluster import FIFO
from scenarios.requests import RequestBlock
from sim.dataplane.base.durations import NEVER, prompt_ns
from sim.dataplane.base.rate_profile import RateProfile

COMPLETED, UNSERVED, LOST, DROPPED, SHED, IN_FLIGHT = OUTCOMES = (
    "completed",
    "unserved",
    "lost",
    "dropped",
    "shed",
    "in_flight",
)


@dataclass(frozen=True)
class Iterations:
    """The way in which an engine of a language model generates tokens, with continuous batching.

    Between two iterations, the engine admits requests in the order of the queue, as long as there
    is room for their sequences and memory for their tokens. The duration of the next iteration is
    the prefill time of the admitted requests plus a decoding step of the sequences that were
    already active. An iteration generates one token of each sequence.
    """

    prefill_fixed_ns: int  # fixed part of a prefill's time, for any number of requests
    prefill_ns_per_token: float  # prefill time per token of a prompt
    prefill_ns_per_token2: float  # prefill time per pair of tokens of a prompt (attention)
    # Time of a decoding step of 1, 2, ... active sequences, up to the largest allowed number.
    decode_ns: tuple[int, ...]
    # Tokens that fit in memory. An admitted request reserves all that it needs; none is preempted.
    kv_tokens: int

    def at_speed(self, speed: float) -> "Iterations":
        """Return the iterations of an engine that works at ``speed`` times this one's speed."""
        if speed == 1.0:
            return self
        return replace(
            self,
            prefill_fixed_ns=round(self.prefill_fixed_ns / speed),
            prefill_ns_per_token=self.prefill_ns_per_token / speed,
            prefill_ns_per_token2=self.prefill_ns_per_token2 / speed,
            decode_ns=tuple(max(1, round(step_ns / speed)) for step_ns in self.decode_ns),
        )

    def prompt_ns(self, tokens: int) -> int:
        """Return the prefill time of one prompt in ns, without the fixed part."""
        return prompt_ns(tokens, self.prefill_ns_per_token, self.prefill_ns_per_token2)


@dataclass(frozen=True)
class Processor:
    """The cores of a host, which the servers of several stations share equally.

    While n servers of its stations are busy, each works at the speed
    ``min(1, cores / n) / slowdown(n)``. So the operating system's scheduler is modelled as
    egalitarian processor sharing (Kleinrock, "Time-shared systems: a theoretical treatment", 1967).

    Raises:
        ValueError: there is no core, or a slowdown is not a number above 0.
    """

    id: int  # unique in the run; stations with equal processors share one
    cores: int
    # Time of a service while 1, 2, ... servers are busy, divided by its time while one is busy,
    # apart from the sharing of cores. The last one also holds for more servers.
    slowdown: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.cores < 1:
            raise ValueError(f"cores={self.cores}: a processor needs at least one core")
        for each in self.slowdown or (0.0,):
            if not 0 < each < inf:
                raise ValueError(
                    f"slowdown={self.slowdown}: needs a number above 0 for each number of busy "
                    "servers, at least one"
                )


@dataclass(frozen=True)
class StationSpec:
    """A station: the queue and the servers of one operator on one allocation."""

    id: int  # unique in the run
    servers: int = 1  # replicas that share the queue; these are engines if ``iterations`` is set
    max_batch: int = 1  # largest number of requests that a server takes at once
    max_wait_ns: int = 0  # longest time that a free server waits for a full batch
    # Time of a batch of 1, 2, ... requests, divided by the time of one request.
    batch_factor: tuple[float, ...] = (1.0,)
    # Speed of the servers over time, in millionths of nominal speed.
    speed: RateProfile = field(default_factory=lambda: RateProfile((0,), (1_000_000,)))
    # Largest number of waiting requests; the last ones in excess are dropped. None for no limit.
    capacity: int | None = None
    # How a language model generates; None for all other operators, which serve whole batches.
    iterations: Iterations | None = None
    # The order of the queue, one of ``DISCIPLINES``; ties by (arrival here, query, request).
    discipline: str = FIFO
    # whether requests that a server would take at their deadline or later are shed
    shed_late: bool = False
    # The cores that its servers share with those of other stations; None if each has its own.
    processor: Processor | None = None
    # The member of a batch whose time is multiplied by ``batch_factor``.
    batch_time: BatchTime = LONGEST

    def __post_init__(self) -> None:
        if self.processor is not None and (
            self.iterations is not None or len(self.speed.rates) > 1
        ):
            raise ValueError(
                f"station {self.id}: a station on a shared processor can neither generate tokens "
                "nor change its speed"
            )


@dataclass(frozen=True)
class LinkSpec:
    """One direction of a link."""

    id: int  # unique in the run
    capacity: RateProfile  # bytes per second, as a function of time
    propagation_ns: int  # delay between sending and arrival of the last byte
    # Which messages are sent at the same time, one of ``LINK_DISCIPLINES``.
    discipline: str = FIFO


@dataclass(frozen=True)
class Visit:
    """One stop of a route: a link that a request crosses, or a station that serves it."""

    # The operator that serves the request or gets the message; N for the answer of N operators.
    operator: int
    station: int | None  # id of the station, or None for a link
    link: int | None  # id of the link, or None for a station
    # Mean service time in nanoseconds at nominal speed, or mean message size in bytes; a request
    # multiplies it by its size, a service time except for its fixed share. For a language model,
    # its tokens instead.
    mean: float | Tokens
    # Numbers of the visits that must end before it begins; None for the preceding visit.
    after: tuple[int, ...] | None = None
    fixed_share: float = 0.0  # the share of the mean service time that does not scale with size


@dataclass
class Leg:
    """Consecutive visits of a route, between which there is no fork or join."""

    # Numbers of the legs that must end before it begins; the first leg has no such legs.
    after: tuple[int, ...]
    visits: list[Visit] = field(default_factory=list)


@dataclass(frozen=True)
class Route:
    """The stops of every request of a deployment, in the order of travel.

    If a visit has several successors, the request *forks* into branches after it. If a visit has
    several predecessors, the branches *join* before it. Only the last visit has no successor.
    """

    deployment: int  # number of the deployment
    visits: tuple[Visit, ...]  # the stops
    # The query's latency bound, from which deadlines follow; ``NEVER`` without a bound.
    bound_ns: int = NEVER
    priority: int = 0  # rank of the query's service class; 0 for the first class

    @cached_property
    def legs(self) -> tuple[Leg, ...]:
        """The parts of the route between forks and joins; the last leg ends the route."""
        before = [
            (number - 1,) if visit.after is None else visit.after
            for number, visit in enumerate(self.visits)
        ]
        before[0] = ()
        followers = Counter(each for some in before for each in some)
        legs: list[Leg] = []
        leg_of: list[int] = []
        for visit, earlier in zip(self.visits, before, strict=True):
            if len(earlier) == 1 and followers[earlier[0]] == 1:
                leg_of.append(leg_of[earlier[0]])
            else:
                leg_of.append(len(legs))
                legs.append(Leg(tuple(leg_of[each] for each in earlier)))
            legs[leg_of[-1]].visits.append(visit)
        return tuple(legs)


class Recorder(Protocol):
    """The receiver of a data plane's reports about requests, such as the SLO monitor."""

    def record(
        self, rows: NDArray[np.int64], born: NDArray[np.int64], ended: NDArray[np.int64]
    ) -> None:
        """Count the requests created since the last call, and then those ended since that call.

        Args:
            rows: requests as in ``sim.dataplane.base.request_rows``, of shape (n, width). Once the
                end of a request is reported, its row can be used for another request.
            born: indices of the rows of requests that were created.
            ended: indices of the rows of requests that ended.
        """


@runtime_checkable
class PatientRecorder(Recorder, Protocol):
    """A recorder whose reports can be late, because it asks for them before anybody reads it."""

    def on_read(self, report: Callable[[], None]) -> None:
        """Store a bound method that brings the reports up to date; call it at any time."""


class DataPlane(Protocol):
    """Simulates requests between sync points. Orders must not precede the last sync point.

    Both implementations give equal results under three conditions: the control plane opens a
    query's source before it routes the query, closes the source only once, and gives the query's
    routes in order of time.
    """

    def add_station(self, spec: StationSpec) -> None:
        """Add a station, which routes can include from then on."""

    def add_link(self, spec: LinkSpec) -> None:
        """Add a link, which routes can include from then on."""

    def remove_station(self, station: int) -> None:
        """Remove a station at which there are no requests."""

    def remove_link(self, link: int) -> None:
        """Remove a link that is not on any route and does not carry any message."""

    def open_source(self, at_ns: int, query: int, blocks: Iterator[RequestBlock]) -> None:
        """Create a query's requests from ``at_ns`` on; ``blocks`` contain no earlier births."""

    def close_source(self, at_ns: int, query: int) -> None:
        """Stop creating requests of a query at ``at_ns``."""

    def route(self, at_ns: int, query: int, route: Route | None) -> None:
        """Assign a route to a query's requests from ``at_ns`` on; None leaves them unserved."""

    def fail_station(self, at_ns: int, station: int) -> None:
        """Let a station fail: requests that are there or arrive there later are lost."""

    def slow_down(self, at_ns: int, station: int, factor: float) -> None:
        """Multiply the time of a station's batches from ``at_ns`` on by ``factor``."""

    def busy_ns(self, station: int) -> int:
        """Return the busy time of a station so far, summed over its servers, in ns."""

    def abort(self, at_ns: int, deployment: int) -> None:
        """Drop all requests of a deployment that are in flight."""

    def in_flight(self, deployment: int) -> int:
        """Return the number of a deployment's requests in flight at the last sync point."""

    def advance(self, until_ns: int) -> None:
        """Simulate every event before ``until_ns``, and set the clock to this time."""

    def finish(self) -> None:
        """Report the requests that have not ended at the horizon, with outcome ``in_flight``."""
