"""How Compass judges plans before they run: its margins and assumptions."""

from dataclasses import dataclass, field
from typing import Annotated

from planners.common.ranges import BelowOne, InRange, Share
from scenarios.ranges import Range
from sim import Choices

MOST_SPREAD = 10
"""Largest spread; beyond it, devices would differ from the catalogue by millions of times."""


@dataclass(frozen=True)
class PlanningModel(InRange):
    """How plans are judged before they run.

    Args:
        choices: shares, batches and replicas that are considered, in addition to slices.
        load: utilisation that stations are planned for; see ``context.bulk.predict_many``.
        headroom: part of the latency bound that is planned for; plans beyond it, but within the
            bound, are for queries that have no others.
        waste: share of a new station's spare capacity charged to a query; see `share_taken`.
        device_spread: standard deviation of the logarithm of devices' speeds about the
            catalogue's, until telemetry has shown a device's.
    """

    choices: Choices = field(default_factory=Choices)
    load: BelowOne = 0.7
    headroom: Annotated[float, Range(gt=0, le=1)] = 0.85
    waste: Share = 0.5
    device_spread: Annotated[float, Range(ge=0, le=MOST_SPREAD)] = 0.5
