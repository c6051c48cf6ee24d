"""Drift: changes of the simulated world during a run, of which planners are not notified."""

from dataclasses import dataclass, field, fields
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
QUERIES_HIT = ("factor", "share")
FIELDS_OF = {
    **dict.fromkeys(("device_slowdown", "link_degradation", "content_shift"), QUERIES_HIT),
    "machine_failure": ("node", "machine", "duration_s"),
    "mps_fault": ("node", "machine"),
    "planner_crash": ("duration_s",),
}
"""The fields of each kind, besides ``kind`` and ``at_s``; the others keep their defaults."""
AT_MACHINE = ("machine_failure", "mps_fault")
"""The kinds of drift that affect a machine instead of queries."""
MOST_S = 1e9
"""The largest time and duration of a change: simulated time is counted in int64 nanoseconds."""


@dataclass
class DriftEvent:
    """One change of the simulated world.

    Args:
        kind: one of six kinds. After ``device_slowdown``, devices compute ``factor`` times as fast.
            After ``link_degradation``, access links carry ``factor`` times as much, from the next
            whole second of a query's life on, since capacity is constant within a second. By
            ``content_shift``, content moves by ``factor`` towards its hardest stratum. By
            ``machine_failure``, machine number ``machine`` of ``node`` fails and loses its work. By
            ``mps_fault``, a client of an instance shared by MPS fails fatally, which ends all
            clients of the instance; the instance with the most processes is hit. By
            ``planner_crash``, the planner's process ends and loses its searches and all that it
            learned since the last checkpoint; deployments continue to serve.
        at_s: time of the change in seconds.
        factor: size of the change, with the meaning stated under ``kind``; between 0 and 1.
        share: probability with which the event affects each query. The queries that the first event
            of a kind affects do not depend on its time or on other events.
        node: node of the machine.
        machine: number of the machine, from 0.
        duration_s: seconds for which the machine or the planner is down.
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
        own = FIELDS_OF[self.kind]
        for one in fields(self)[2:]:
            value = getattr(self, one.name)
            if one.name not in own and value != one.default:
                raise ValueError(
                    f"{one.name}={value}: has no effect on a {self.kind}, which has at_s, "
                    f"{', '.join(own)}"
                )
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
        """Return the changes sorted by time; at equal times, in the order of the list."""
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
