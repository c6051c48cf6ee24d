"""The interface between the control plane and a data plane.

A data plane has its own clock. The control plane gives it orders, each with a time. ``advance``
then moves all requests up to a sync point and reports births and ends to the recorder. At one
timestamp, orders of the control plane come first, then arrivals, then dispatch.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenarios.applications.dataset import Tokens
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
    """How an engine generates tokens: iteration by iteration, with continuous batching.

    At each iteration boundary the engine admits requests in the order of the queue, while there is
    room for their sequences and memory for their tokens. The next iteration takes the prefill of
    the admitted requests, which yields their first tokens, plus one decoding step of the sequences
    that were already active, which yields one token for each.
    """

    prefill_fixed_ns: int  # fixed part of a prefill, for any number of requests
    prefill_ns_per_token: float  # prefill of each token of a prompt
    prefill_ns_per_token2: float  # prefill of each pair of tokens of a prompt (attention)
    # One decoding step of 1, 2, ... active sequences; as many as may be active.
    decode_ns: tuple[int, ...]
    # Tokens that fit in memory. An admitted request reserves all that it needs; none is preempted.
    kv_tokens: int

    def prompt_ns(self, tokens: int) -> int:
        """Return the prefill of one prompt, without the fixed part."""
        return prompt_ns(tokens, self.prefill_ns_per_token, self.prefill_ns_per_token2)


@dataclass(frozen=True)
class StationSpec:
    """One operator of one application on one allocation."""

    id: int  # unique in the run
    servers: int = 1  # replicas that share the queue; engines, if there are iterations
    max_batch: int = 1  # most requests that a server takes at once
    max_wait_ns: int = 0  # longest that a free server waits for a batch to fill
    # Time of a batch of 1, 2, ... requests over that of one request.
    batch_factor: tuple[float, ...] = (1.0,)
    # Speed of the servers in time, in millionths of nominal.
    speed: RateProfile = field(default_factory=lambda: RateProfile((0,), (1_000_000,)))
    # Most requests that may wait; the last of the queue are dropped. None for no bound.
    capacity: int | None = None
    # How a language model generates; None for all other operators, which serve whole batches.
    iterations: Iterations | None = None
    # The order of the queue, one of ``DISCIPLINES``; ties by (arrival here, query, request).
    discipline: str = FIFO
    # whether requests that a server would take at their deadline or later are shed
    shed_late: bool = False


@dataclass(frozen=True)
class LinkSpec:
    """One direction of a link."""

    id: int  # unique in the run
    capacity: RateProfile  # bytes per second in time
    propagation_ns: int  # delay after the last byte was sent


@dataclass(frozen=True)
class Visit:
    """One stop of a route: a link to cross, or a station to be served at."""

    # The operator that serves the request or gets the message; for the answer, their number.
    operator: int
    station: int | None  # id of the station, or None for a link
    link: int | None  # id of the link, or None for a station
    # Mean service time in nanoseconds at nominal speed, or mean message size in bytes; a request
    # multiplies it by its size. For a language model, its tokens instead.
    mean: float | Tokens
    # Numbers of the visits that must be over before it begins; None for the one before it.
    after: tuple[int, ...] | None = None


@dataclass
class Leg:
    """Consecutive visits of a route without a fork or join between them."""

    # Numbers of the legs that must be over before it begins; none for the first.
    after: tuple[int, ...]
    visits: list[Visit] = field(default_factory=list)


@dataclass(frozen=True)
class Route:
    """The stops of every request of a deployment, in order.

    Where several visits follow one, the request *forks* into branches; where one follows several,
    the branches *join*. The last visit is the only one without a successor.
    """

    deployment: int  # number of the deployment
    visits: tuple[Visit, ...]  # the stops
    # Latency bound of its query, from which deadlines follow; ``NEVER`` for none.
    bound_ns: int = NEVER
    priority: int = 0  # rank of its query among the classes of service, 0 for the first

    @cached_property
    def legs(self) -> tuple[Leg, ...]:
        """The route cut at forks and joins; the last leg ends it."""
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
    """What a data plane reports requests to: the window monitor."""

    def record(
        self, rows: NDArray[np.int64], born: NDArray[np.int64], ended: NDArray[np.int64]
    ) -> None:
        """Count requests that were born or ended since the last call, births before ends.

        Args:
            rows: requests as in ``sim.dataplane.base.request_rows``, shape (n, width). After the
                end of a request was reported, its row may hold another one.
            born: numbers of the rows of requests that were born.
            ended: numbers of the rows of requests that ended.
        """


class DataPlane(Protocol):
    """Moves requests between two sync points. Times must not lie before the last one.

    Planes agree for control planes that open a source before they route its query, close it once,
    and route a query in order of time, as the world does.
    """

    def add_station(self, spec: StationSpec) -> None:
        """Make a station known; routes may then name it."""

    def add_link(self, spec: LinkSpec) -> None:
        """Make a link known; routes may then name it."""

    def remove_station(self, station: int) -> None:
        """Forget a station that holds no request."""

    def remove_link(self, link: int) -> None:
        """Forget a link that no route names any longer, once it is empty."""

    def open_source(self, at_ns: int, query: int, blocks: Iterator[RequestBlock]) -> None:
        """Let a query's requests be born from ``at_ns`` on; no block has an earlier one."""

    def close_source(self, at_ns: int, query: int) -> None:
        """Stop births of a query's requests from ``at_ns`` on."""

    def route(self, at_ns: int, query: int, route: Route | None) -> None:
        """Send requests born at ``at_ns`` or later along a route; None leaves them unserved."""

    def fail_station(self, at_ns: int, station: int) -> None:
        """Lose the requests that a station holds, and all that reach it later."""

    def slow_down(self, at_ns: int, station: int, factor: float) -> None:
        """Let batches that a station begins from ``at_ns`` on take ``factor`` times as long."""

    def busy_ns(self, station: int) -> int:
        """Return the busy time of a station so far, summed over servers."""

    def abort(self, at_ns: int, deployment: int) -> None:
        """Drop the requests of a deployment that are still in flight."""

    def in_flight(self, deployment: int) -> int:
        """Return how many requests of a deployment are under way, as of the last sync point."""

    def advance(self, until_ns: int) -> None:
        """Move requests through every event before ``until_ns``, which becomes the clock."""

    def finish(self) -> None:
        """Report the requests that are under way at the horizon as in flight."""
