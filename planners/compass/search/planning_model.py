"""The margins and assumptions by which Compass judges plans before they run."""

from dataclasses import dataclass, field
from typing import Annotated

from planners.common.ranges import BelowOne, InRange, Share
from scenarios.ranges import Range
from sim import Choices

MOST_SPREAD = 10
"""Largest ``device_spread``; beyond it, speeds would differ from the catalogue a millionfold."""


@dataclass(frozen=True)
class PlanningModel(InRange):
    """The margins and assumptions by which plans are judged before they run.

    Args:
        choices: the thread shares, batches and replicas that plans can have, besides GPU slices.
        load: assumed utilisation of stations; see ``context.bulk.predict_many``.
        headroom: share of the latency bound within which plans should stay. A plan between this
            share and the bound is used only for a query without a better plan.
        waste: share of a new station's spare capacity that is charged to the query; see
            `share_taken`.
        device_spread: standard deviation of the log of the ratio of a device's speed to the
            catalogue's. It is assumed until telemetry has shown the device's speed.
    """

    choices: Choices = field(default_factory=Choices)
    load: BelowOne = 0.7
    headroom: Annotated[float, Range(gt=0, le=1)] = 0.85
    waste: Share = 0.5
    device_spread: Annotated[float, Range(ge=0, le=MOST_SPREAD)] = 0.5
