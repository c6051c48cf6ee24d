"""Milliseconds of one core for a step of Compass's search (CMBO).

A step adds one profiled configuration to all surrogates (for accuracy and for the time of each of
four operators), scores 5,000 plans, and proposes the next one. Steps are timed between refits of
hyper-parameters, at about 30 and about 300 observations, and over whole searches of 40 steps,
including refits. Configurations, plans and profiling results are artificial. Each operator depends
on all knobs. This is the worst case, because early operators of the shipped applications depend on
few knobs.
"""

from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from planners.compass.search.cmbo import Cmbo

PLANS = 5_000
LEVELS = (8, 8, 5)  # choices of each knob: 320 configurations
OPERATORS = 4
SEARCH_STEPS = 40
STEPS = 20
RUNS = 5


class MadeUp:
    """An artificial pipeline whose operators' times grow with its knobs, and all of its plans.

    Args:
        seed: seed of the random numbers.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        codes = np.array(list(np.ndindex(LEVELS)))
        self.points = np.hstack(
            [codes[:, [k]] == np.arange(level) for k, level in enumerate(LEVELS)]
        ).astype(np.float64)
        count = len(codes)
        self.configuration = rng.permutation(np.arange(PLANS) % count)
        self.factors = rng.uniform(0.5, 4.0, (PLANS, OPERATORS))
        self.transfer_s = rng.uniform(0.0, 0.3, PLANS)
        self.cost = rng.uniform(0.0, 2.0, PLANS)
        effects = rng.normal(0.0, 0.3, (OPERATORS, len(LEVELS)))
        self.time_s = 0.05 * np.exp(codes @ effects.T)
        self.accuracy = 1 / (1 + np.exp(-codes @ rng.uniform(0.0, 0.3, len(LEVELS))))
        self.order = rng.permutation(count).tolist()

    def search(self) -> Iterator[float]:
        """Yield the seconds of each step."""
        cmbo = Cmbo(
            self.points,
            self.configuration,
            self.factors,
            self.transfer_s,
            self.cost,
            latency_s=0.8,
            accuracy=0.8,
            blocks=LEVELS,
        )
        profiled = np.zeros(len(self.points), dtype=bool)
        for index in self.order:
            profiled[index] = True
            started = perf_counter()
            cmbo.observe(index, self.accuracy[index], 0.002, self.time_s[index], 0.5)
            cmbo.propose(profiled)
            yield perf_counter() - started


def measure() -> dict[str, Any]:
    """Return the figures."""
    n30_s, n300_s, search_s = [], [], []
    with threadpool_limits(1):
        for _ in zip(range(SEARCH_STEPS), MadeUp(0).search(), strict=False):
            pass  # Imports what is imported at first use.
        for seed in range(RUNS):
            steps = list(MadeUp(seed).search())
            # 32, 64, 128 and 256 observations trigger fits.
            n30_s += steps[20:31]
            n300_s += steps[300 - STEPS // 2 : 300 + STEPS // 2]
            search_s.append(sum(steps[:SEARCH_STEPS]) / SEARCH_STEPS)
    return {
        "benchmark": "cmbo_step",
        "n30_ms": round(1e3 * median(n30_s), 3),
        "n300_ms": round(1e3 * median(n300_s), 3),
        "search_ms": round(1e3 * sum(search_s) / RUNS, 3),
        "search_ms_runs": [round(1e3 * each, 3) for each in search_s],
        "plans": PLANS,
        "configurations": int(np.prod(LEVELS)),
        "search_steps": SEARCH_STEPS,
        "runs": RUNS,
    }
