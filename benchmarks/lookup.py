"""Look-ups of GPU latency per second of one core: many at once, and one at a time.

Models, slices, batches and processes are drawn at random from their whole ranges. The tables that
look-ups go by are worked out once in a run, and timed apart.
"""

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from hardware_models import gpu_latency
from hardware_models.reference import REFERENCE_SLICES

LOOKUPS = 1_000_000
SCALAR_LOOKUPS = 20_000
RUNS = 5


def random_points(rng: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
    """Draw models, slices, batches and processes that can be looked up."""
    names = gpu_latency.models()
    model = rng.integers(len(names), size=count)
    return (
        model,
        rng.integers(1, REFERENCE_SLICES + 1, size=count),
        rng.integers(1, gpu_latency.largest_batch() + 1, size=count),
        rng.integers(1, gpu_latency.largest_processes() + 1, size=count),
    )


def one_run(seed: int) -> float:
    """Return look-ups per second, all at once."""
    points = random_points(np.random.default_rng(seed), LOOKUPS)
    started = perf_counter()
    latencies = gpu_latency.batch_latencies_s(*points)
    wall_s = perf_counter() - started
    assert np.isfinite(latencies).all()
    return LOOKUPS / wall_s


def one_scalar_run(seed: int) -> float:
    """Return look-ups per second, one at a time, of points that may or may not be asked again."""
    names = gpu_latency.models()
    columns = random_points(np.random.default_rng(seed), SCALAR_LOOKUPS)
    points = list(zip(*(column.tolist() for column in columns), strict=True))
    started = perf_counter()
    for model, slices, batch, processes in points:
        gpu_latency.batch_latency(names[model], slices, batch, processes)
    return SCALAR_LOOKUPS / (perf_counter() - started)


def measure() -> dict[str, Any]:
    """Return the figures."""
    started = perf_counter()
    every = np.arange(len(gpu_latency.models()))
    gpu_latency.batch_latencies_s(every, *[np.ones_like(every)] * 3)
    tables_s = perf_counter() - started
    runs = [one_run(seed) for seed in range(RUNS)]
    scalar_runs = [one_scalar_run(seed) for seed in range(RUNS)]
    return {
        "benchmark": "lookup",
        "lookups_per_s": round(median(runs)),
        "lookups_per_s_runs": [round(rate) for rate in runs],
        "scalar_lookups_per_s": round(median(scalar_runs)),
        "scalar_lookups_per_s_runs": [round(rate) for rate in scalar_runs],
        "tables_s": round(tables_s, 3),
        "lookups_per_run": LOOKUPS,
        "runs": RUNS,
    }
