"""A world that stops in the midst of its work, with the planning context of a query that waits."""

from functools import cache
from itertools import product

import pytest
from hypothesis import strategies as st
from worlds import BRANCHED, Does, declared

from scenarios.cluster import FIFO, NOMINAL, Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.network import Network
from scenarios.scenario import Scenario
from scenarios.workload import Workload
from sim import Choices, PlanningContext
from sim.controlplane.world import World
from sim.dataplane.blocks.plane import BlocksPlane
from sim.planning.call import PlanningCall

APPLICATIONS = ("speech_recognition", "dense_video_captioning", "live_video_chat", BRANCHED)
WIDE = Choices((100, 50), (1, 4), (1, 2), max_wait_s=0.03, cores=(1, 3))
ELSE = Choices((50,), (4,), (2,), max_wait_s=0.03, cores=(3,))
SPACES = [
    *product(APPLICATIONS, (Choices(),)),
    *product(APPLICATIONS[:2], (WIDE,)),
    ("live_video_chat", ELSE),  # whose wide space is very large
]


class ReachedError(Exception):
    """Leaves a world as it is before a call of its planner."""


class StopsBusy(World):
    """A world that stops when four queries run and another one waits, with a context open."""

    kept: PlanningContext

    def call_planner(self, trigger):
        self.kept = self.context(PlanningCall(self.planning_service, self.env.now, 5.0), trigger)
        if len(self.kept.running) >= 4 and self.kept.waiting:
            raise ReachedError
        super().call_planner(trigger)


@cache
def busy_desk(application, drift=False, links=FIFO):
    """Return an open context of a world in which some queries run, and the world."""

    def act(context):
        for query in context.waiting:
            plans = list(context.bulk.view(query).number[::97])
            for index in plans[query.id % 5 :: 7]:
                plan = context.bulk.view(query).space.plan(int(index))
                if context.fits(query, plan):
                    context.deploy(query, plan)
                    break

    made = StopsBusy(
        Scenario(
            declared(application),
            Cluster(
                {
                    "edge": Node("edge", "g2-standard-8", standby=1),
                    "cloud": Node("cloud", "a2-highgpu-1g", count=3),
                },
                **NOMINAL,
            ),
            Network({"4G-LTE": 1.0, "WiFi": 1.0}, discipline=links),
            Workload(rate=0.1, devices={"phone": 1.0, "jetson": 1.0}),
            Drift([DriftEvent("device_slowdown", at_s=1.0)] if drift else []),
            horizon_s=3600.0,
        ),
        Does(act),
        1,
        BlocksPlane,
    )
    with pytest.raises(ReachedError):
        made.run(3600.0)
    return made.kept, made


def few(context):
    """Return a query that waits and two that run; views of all would take long."""
    return context.waiting[0], *context.running[:2]


def drawn(data, context, choices):
    """Return a query of a context, its view, and the numbers of some plans."""
    query = data.draw(st.sampled_from(few(context)))
    view = context.bulk.view(query, choices)
    return query, view, data.draw(st.lists(st.integers(0, len(view) - 1), min_size=1, max_size=6))
