"""Queries that are drawn for tests of what they are like."""

from dataclasses import replace

import numpy as np
from worlds import scenario

from scenarios.drift import Drift
from scenarios.network import Network
from scenarios.queries import births
from scenarios.slo import Tier
from scenarios.workload import Workload

TIERS = {
    "premium": Tier(1.0, latency_s=1.0, accuracy_of_best=0.95),
    "standard": Tier(2.0, latency_s=2.0),
    "economy": Tier(1.0, cost_usd_per_hour=0.5),
}


def drawn(*events, count=800, seed=1, network=None, **changes):
    workload = Workload(rate=1.0, tiers=TIERS, **changes)
    made = scenario(float(count), workload=workload, drift=Drift(list(events)))
    return list(births(replace(made, network=network or Network()), seed))


def near(share, expected, count):
    return abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / count)
