"""Drift: changes of the simulated world during a run, of which planners are not notified.

A change comes at once, or grows over ``ramp_s``. It stays, or goes as it came after ``duration_s``.
A change with a period comes and goes as often as the run allows. Its *level* is the part of the
change that is in force: 0 before it, 1 at its height. Levels are staircases, so that every rate of
the simulated world is constant between two times.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import ceil, floor, inf
from typing import Annotated

import numpy as np

from scenarios.applications.nodes import pick_key
from scenarios.numerics import Floats
from scenarios.ranges import Range, check_ranges

SHAPE = ("ramp_s", "duration_s", "period_s")
AT_QUERIES = ("device_slowdown", "link_degradation", "content_shift")
"""The kinds of drift that affect each query with probability ``share``."""
FIELDS_OF = {
    **dict.fromkeys(AT_QUERIES, ("factor", "share", *SHAPE)),
    "machine_failure": ("node", "machine", "duration_s"),
    "mps_fault": ("node", "machine"),
    "planner_crash": ("duration_s",),
    "rate_change": ("factor", *SHAPE),
}
"""The fields of each kind, besides ``kind`` and ``at_s``; the others keep their defaults."""
KINDS = tuple(FIELDS_OF)
AT_MACHINE = ("machine_failure", "mps_fault")
"""The kinds of drift that affect a machine instead of queries."""
DOWN_S = 300.0
"""Default time for which a machine or the planner is down."""
MOST_S = 1e9
"""The largest time and duration of a change: simulated time is counted in int64 nanoseconds."""
SHARE_OF_ONE = Range(gt=0, le=1)
FACTORS = {
    "link_degradation": Range(gt=0, le=100),
    "rate_change": Range(gt=0, le=100),
}
"""The allowed factors of the kinds that can also raise something; others can only lower it."""
RAMP_STAIRS = 20
"""The steps of a ramp: each changes the world by a twentieth of the whole change."""
PERIOD_STAIRS = 48
"""The steps of a period, as many as half-hours of a day."""


@dataclass
class DriftEvent:
    """One change of the simulated world.

    Args:
        kind: one of seven kinds. After ``device_slowdown``, devices compute ``factor`` times as
            fast. After ``link_degradation``, access links carry ``factor`` times as much, from the
            next whole second of a query's life on, since capacity is constant within a second. By
            ``content_shift``, content moves by ``factor`` towards its hardest stratum. After
            ``rate_change``, queries arrive ``factor`` times as often. By ``machine_failure``,
            machine number ``machine`` of ``node`` fails and loses its work. By ``mps_fault``, a
            client of an instance shared by MPS fails fatally, which ends all clients of the
            instance; the instance with the most processes is hit. By ``planner_crash``, the
            planner's process ends and loses its searches and all that it learned since the last
            checkpoint; deployments continue to serve.
        at_s: time of the change in seconds.
        factor: size of the change, with the meaning stated under ``kind``; above 0, and at most 1,
            or at most 100 for links and for the rate of arrivals.
        share: probability with which the event affects each query. The queries that the first event
            of a kind affects do not depend on its time or on other events.
        node: node of the machine.
        machine: number of the machine, from 0.
        duration_s: seconds for which the machine or the planner is down, 300 if it is None. For
            other kinds, seconds from ``at_s`` until the old state begins to return, or None for a
            change that stays.
        ramp_s: seconds over which the change grows linearly, in ``RAMP_STAIRS`` equal steps, the
            last of which ends the ramp; the old state returns in the same way. If it is 0, both
            happen at once.
        period_s: if it is not None, the change comes and goes like a sinusoid with this period, in
            ``PERIOD_STAIRS`` steps. At ``at_s`` its level is 0, and half a period later 1.
    """

    kind: str = "device_slowdown"
    at_s: Annotated[float, Range(ge=0, le=MOST_S, unit="s")] = 0.0
    factor: float = 0.5
    share: Annotated[float, Range(ge=0, le=1)] = 1.0
    node: str | None = None
    machine: int = 0
    duration_s: Annotated[float | None, Range(gt=0, le=MOST_S, unit="s", nullable=True)] = None
    ramp_s: Annotated[float, Range(ge=0, le=MOST_S, unit="s")] = 0.0
    period_s: Annotated[float | None, Range(ge=60, le=MOST_S, unit="s", nullable=True)] = None

    def __post_init__(self) -> None:
        pick_key("kind", self.kind, KINDS, "kind")
        check_ranges(self)
        FACTORS.get(self.kind, SHARE_OF_ONE).check("factor", self.factor)
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
        if self.period_s is not None and self.ramp_s:
            raise ValueError(f"ramp_s={self.ramp_s}: give this or period_s, not both")
        if self.duration_s is not None and self.ramp_s > self.duration_s:
            raise ValueError(
                f"ramp_s={self.ramp_s}: must be at most duration_s, {self.duration_s}, after which "
                "the old state returns"
            )

    @property
    def down_s(self) -> float:
        """Seconds for which the machine or the planner is down."""
        return DOWN_S if self.duration_s is None else self.duration_s

    def stairs(self, from_s: float, until_s: float) -> list[tuple[float, float]]:
        """Return pairs (time in seconds, level from this time on), in time order.

        Those of a period begin with the level in force at ``from_s`` and end before ``until_s``.
        """
        if self.period_s is not None:
            found = self._cycle(from_s, until_s)
        elif self.ramp_s:
            found = [(self.at_s + self.ramp_s * each, each) for each in _SLOPE]
        else:
            found = [(self.at_s, 1.0)]
        if self.duration_s is not None:
            end_s = self.at_s + self.duration_s
            if self.ramp_s:
                found += [(end_s + self.ramp_s * each, 1.0 - each) for each in _SLOPE]
            else:
                found.append((end_s, 0.0))
        return found

    def _cycle(self, from_s: float, until_s: float) -> list[tuple[float, float]]:
        assert self.period_s is not None
        lasts_s = inf if self.duration_s is None else self.duration_s
        step_s = self.period_s / PERIOD_STAIRS
        first = max(0, floor((from_s - self.at_s) / step_s))
        steps = np.arange(first, ceil(min(until_s - self.at_s, lasts_s) / step_s))
        levels = (1 - np.cos(2 * np.pi * (steps % PERIOD_STAIRS) / PERIOD_STAIRS)) / 2
        times_s = self.at_s + steps * step_s
        return list(zip(times_s.tolist(), levels.tolist(), strict=True))

    def factor_at(self, level: float) -> float:
        """Return the ratio to the old state at a level: 1 at level 0, and ``factor`` at 1."""
        return (1 - level) + level * self.factor


_SLOPE = [step / RAMP_STAIRS for step in range(1, RAMP_STAIRS + 1)]


@dataclass
class Drift:
    """All changes of a run.

    Args:
        events: the changes, in any order.
    """

    events: list[DriftEvent] = field(default_factory=list)

    def in_order(self) -> list[DriftEvent]:
        """Return the changes sorted by time, and at equal times by kind and their other values."""
        return sorted(self.events, key=_place)

    def arrival_clock(self, horizon_s: float) -> tuple[Floats, Floats]:
        """Return how far the arrival process has come over time, under all changes of its rate.

        Returns:
            Times from 0 to the horizon in seconds, shape (n,), and at each the time that the
            process would have taken at the workload's rate, shape (n,). It is linear in between.
        """
        changes = [event for event in self.in_order() if event.kind == "rate_change"]
        stairs = [event.stairs(0.0, horizon_s) for event in changes]
        starts_s = {at_s for each in stairs for at_s, _ in each if 0 < at_s < horizon_s}
        times_s = np.array([0.0, *sorted(starts_s), horizon_s])
        ratios = np.ones(len(times_s) - 1)
        for event, each in zip(changes, stairs, strict=True):
            level = levels_at(each, times_s[:-1])
            ratios *= (1 - level) + level * event.factor
        return times_s, np.append(0.0, np.cumsum(ratios * np.diff(times_s)))


def levels_at(stairs: Sequence[tuple[float, float]], times: Floats) -> Floats:
    """Return the level of a staircase at each of the times, shape (n,)."""
    starts = [at for at, _ in stairs]
    levels = np.array([0.0, *(level for _, level in stairs)])
    return np.asarray(levels[np.searchsorted(starts, times, side="right")])


def _place(event: DriftEvent) -> tuple[float | str, ...]:
    return (
        event.at_s,
        KINDS.index(event.kind),
        event.node or "",
        event.machine,
        event.factor,
        event.share,
        event.down_s,
        event.ramp_s,
        event.period_s or 0.0,
    )
