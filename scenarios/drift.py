"""Drift: changes of the world while queries run. Planners get no notice."""

from dataclasses import dataclass, field
from typing import Annotated

from scenarios.applications.nodes import pick_key
from scenarios.ranges import Range, check_ranges

KINDS = (
    "device_slowdown",
    "link_degradation",
    "content_shift",
    "machine_failure",
    "mps_fault",
    "planner_crash",
)
AT_MACHINE = ("machine_failure", "mps_fault")
"""Kinds that affect a machine, not queries."""
MOST_S = 1e9
"""The last moment, and the longest absence: simulated time is int64 nanoseconds."""


@dataclass
class DriftEvent:
    """One change at one time.

    Args:
        kind: ``device_slowdown`` (devices compute ``factor`` times as fast),
            ``link_degradation`` (access links carry ``factor`` times as much, from the next whole
            second of a query's life on, as their capacity holds for a second),
            ``content_shift`` (content moves by ``factor`` towards its hardest stratum),
            ``machine_failure`` (machine number ``machine`` of ``node`` fails and loses its work),
            ``mps_fault`` (a client of an instance shared by MPS fails fatally, which ends all
            clients of the instance; it hits the instance with the most processes), or
            ``planner_crash`` (the planner's process dies and loses its searches, and what it
            learned since the last checkpoint; deployments go on serving).
        at_s: time in seconds.
        factor: strength, see ``kind``; between 0 and 1.
        share: share of queries that the event affects, drawn per query. The first event of a kind
            affects the same queries at any time, whatever else happens.
        node: node of the machine.
        machine: number of the machine, from 0.
        duration_s: how long the machine or the planner is down.
    """

    kind: str = "device_slowdown"
    at_s: Annotated[float, Range(ge=0, le=MOST_S, unit="s")] = 0.0
    factor: Annotated[float, Range(gt=0, le=1)] = 0.5
    share: Annotated[float, Range(ge=0, le=1)] = 1.0
    node: str | None = None
    machine: int = 0
    duration_s: Annotated[float, Range(gt=0, le=MOST_S, unit="s")] = 300.0

    def __post_init__(self) -> None:
        pick_key("kind", self.kind, KINDS, "kind")
        check_ranges(self)
        if self.kind in AT_MACHINE and self.node is None:
            raise ValueError(f"node=null: a {self.kind} needs the node's name")


@dataclass
class Drift:
    """All changes of a run.

    Args:
        events: the changes, in any order.
    """

    events: list[DriftEvent] = field(default_factory=list)

    def in_order(self) -> list[DriftEvent]:
        """Return the changes in order of time; equal times keep the order of the list."""
        return sorted(self.events, key=_place)


def _place(event: DriftEvent) -> tuple[float, int, str, int, float, float, float]:
    return (
        event.at_s,
        KINDS.index(event.kind),
        event.node or "",
        event.machine,
        event.factor,
        event.share,
        event.duration_s,
    )
