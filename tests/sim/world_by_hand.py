"""Whole worlds worked out by hand, step by step.

Both data planes follow routes that the same code lays, so comparing them cannot show that a route
is wrong. Each expected time is therefore derived here step by step from the rules of
``docs/concepts/world.md``. Times are in seconds, sizes in bytes and rates in bytes per second; one
operator takes 0.1 s on a core of every machine, and each way of a link of the device takes 0.05 s.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from worlds import At, Does, overhear

from scenarios.applications.application import Application
from scenarios.applications.dataset import Dataset
from scenarios.applications.pipeline import Knob, Operator, Pipeline
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.link_traces import LinkTrace
from scenarios.network import Network
from scenarios.numerics.distributions import Constant, Variability
from scenarios.random_streams import stream
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim.controlplane.world import World
from sim.dataplane.base.interface import COMPLETED

SEED, ARRIVAL_S, WINDOW_S, SERVICE_S, ACCESS_RTT_S, NEVER_S = 1, 2.0, 20.0, 0.1, 0.1, 1e5
FAST = [10**8]
NODES = {
    "edge": Node("edge", "n1-standard-8", standby=1),
    "cloud": Node("cloud", "n1-standard-8", standby=1),
}


@dataclass(frozen=True)
class Gaps(Variability):
    """Gaps between births, in multiples of the mean, and then none for long."""

    gaps: tuple[float, ...]

    cv = 1.0

    def draw(self, rng, count):
        return np.array([*self.gaps, *[NEVER_S] * (count - len(self.gaps))])


def application(births_s, message_bytes, answer_bytes):
    """Return an application of one operator, whose query 0 has requests of these times.

    A request is expected each second. The first gap begins at a random phase before the arrival.
    """
    phase = stream(SEED, "query", 0, "request", "phase").random()
    gaps = births_s[0] - ARRIVAL_S + phase, *(b - a for a, b in pairwise(births_s))
    half = np.array([[[0.0, 1.0]]])
    return Application(
        Pipeline("by_hand", (Operator("work", "cpu", (Knob("size", (1,)),)),)),
        {
            "data": Dataset(
                "data",
                service_time_s=np.array([[SERVICE_S]]),
                message_bytes=np.array([[float(message_bytes)]]),
                stratum_weights=np.ones(1),
                accuracy=np.array([[0.5]]),
                accuracy_quantiles=half,
                quantile_grid=half,
                request_size=Constant(),
            )
        },
        requests_per_s=1.0,
        interarrival=Gaps(gaps),
        answer_bytes=answer_bytes,
        window_s=WINDOW_S,
    )


class ByHand:
    """A world of one or more queries whose requests have given births and sizes, ready to run."""

    def __init__(self, directory, births_s, message=0, answer=0, up=FAST, down=FAST, **others):
        self.arrivals_s = others.pop("arrivals_s", (ARRIVAL_S,))
        self.node = others.pop("node", "edge")
        self.latency_s = others.pop("latency_s", 10.0)
        events = others.pop("events", ())
        horizon_s, nodes = others.pop("horizon_s", 60.0), others.pop("nodes", NODES)
        self.scenario = Scenario(
            application(births_s, message, answer),
            Cluster(nodes, load_bytes_per_s=1e3, **NOMINAL),
            Network(
                {"mine": 1.0},
                traces={"mine": self._trace(directory, up, down)},
                backhaul_rtt_s=0.2,
                **others,
            ),
            Workload(
                arrivals=At(self.arrivals_s),
                lifetime_mean_s=1001.0,
                lifetime_min_s=1000.0,
                tiers={"any": Tier(latency_s=self.latency_s)},
            ),
            Drift([DriftEvent(kind, **values) for kind, values in events]),
            horizon_s=horizon_s,
        )

    @staticmethod
    def _trace(directory, up, down):
        """Write a recorded link whose replay for query 0 begins with these rates, one a second."""
        length = max(len(up), len(down), 2)
        first = int(stream(SEED, "query", 0, "trace offset").random() * length)
        files = {}
        for name, rates in (("uplink", up), ("downlink", down)):
            replayed = [*rates, *[rates[-1]] * (length - len(rates))]
            rows = [f"{at},{8 * rate}" for at, rate in enumerate(np.roll(replayed, first))]
            files[name] = str(directory / f"{name}.csv")
            (directory / f"{name}.csv").write_text("\n".join(rows))
        return LinkTrace(**files, rtt_s=ACCESS_RTT_S)

    def run(self, plane, planner=None):
        """Run to the horizon; by default, each query is served on one node from its arrival on."""
        planner = planner or Does(lambda context: serve(context, self.node))
        made = World(self.scenario, planner, SEED, plane)
        self.recording = overhear(made)
        made.run(self.scenario.horizon_s)
        self.tables = made.tables.take()
        assert made.planner_errors == [], made.planner_errors
        return self

    def ends(self, query=0):
        """Return (birth, outcome, end) of the requests of a query, in seconds."""
        return [
            (birth / 1e9, outcome, pytest.approx(end / 1e9, abs=5e-9))
            for birth, outcome, end in self.recording.ends(query)
        ]


def serve(context, node):
    """Deploy a plan on a node for each waiting query."""
    for query in context.waiting:
        plans = context.candidates(query)
        context.deploy(query, next(each for each in plans if each.placement[0] == node))


def completed(*times):
    return [(birth, COMPLETED, end) for birth, end in times]
