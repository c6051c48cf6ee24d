"""Profiling as planners get it: charged to a search, cut short by its budget, and on record."""

from bisect import bisect_right

import numpy as np

from scenarios.applications.pipeline import Configuration
from sim.api.charges import CHARGES_S
from sim.api.errors import PlannerError
from sim.api.estimate import Integers, Measurement
from sim.clock import seconds
from sim.planning.profiling_bench import ITEMS, ProfilingBench, ProfilingRun
from sim.planning.search import SearchClock
from sim.planning.service import PlanningService


def measure(
    planning_service: PlanningService,
    bench: ProfilingBench,
    configuration: Configuration,
    wanted: int | Integers,
    search: SearchClock,
    query: int | None,
    dataset: str,
) -> tuple[Measurement, int]:
    """Measure as many of the items as the budget allows.

    ``query`` is None for offline profiling, which needs no lane. ``wanted`` is how many items in
    all, or their numbers, shape (m,). Returns all that is measured of the configuration now, and
    how many leading operators did not run.
    """
    missing, run = bench.missing(configuration, wanted), None
    if len(missing) and not denied(configuration, bench, search):
        workers = planning_service.cluster.profiling.workers
        run = _affordable(workers, bench, configuration, missing, search)
        if run is None:
            search.denied[configuration.index] = bench.runs
    if run is None:
        everything = len(planning_service.application.operators)
        return bench.measure(configuration, missing[:0]), everything
    charged_s = run.charged_s + CHARGES_S["profile"]
    if query is None:
        search.charge("profile", charged_s)
    else:
        planning_service.lanes.charge(search, charged_s)
    search.device_s += run.device_s
    measurement = bench.measure(configuration, run.items, search.clock_ns)
    planning_service.note_profiling(
        {
            "query": query,
            "dataset": dataset,
            "at_s": seconds(search.clock_ns),
            "configuration": str(configuration),
            "samples": measurement.count,
            "prefix_reused": run.prefix_reused,
            "charged_s": charged_s,
            "device_s": run.device_s,
            "accuracy_mean": measurement.accuracy_mean,
            "accuracy_variance": measurement.accuracy_variance,
            "true_accuracy": bench.true_accuracy(configuration),
        }
    )
    return measurement, run.prefix_reused


def denied(configuration: Configuration, bench: ProfilingBench, search: SearchClock) -> bool:
    """Return whether the budget did not suffice before, and nothing changed since."""
    return search.denied.get(configuration.index) == bench.runs


def _affordable(
    workers: int,
    bench: ProfilingBench,
    configuration: Configuration,
    missing: Integers,
    search: SearchClock,
) -> ProfilingRun | None:
    """Return the run on the most items that the search can pay for, or None."""
    budget_s = search.remaining_s - CHARGES_S["profile"]
    everything = bench.run(configuration, missing, workers)
    if everything.charged_s <= budget_s:
        return everything

    def charged_s(items: int) -> float:
        """Never less for more items."""
        return bench.run(configuration, missing[:items], workers).charged_s

    most = bisect_right(range(len(missing)), budget_s, key=charged_s) - 1
    return bench.run(configuration, missing[:most], workers) if most > 0 else None


def checked_samples(samples: int | Integers) -> int | Integers:
    """Return a number of items, or the numbers of different items, that can be profiled."""
    if isinstance(samples, int | np.integer):
        if samples < 0:
            raise PlannerError(f"samples={samples}: must be a whole number of 0 or more")
        return min(int(samples), ITEMS)
    wanted = np.asarray(samples)
    if wanted.ndim != 1 or (len(wanted) and wanted.dtype.kind not in "iu"):
        raise PlannerError(
            f"samples={samples!r}: must be a whole number, or an array of numbers of items"
        )
    if len(wanted) and not (wanted.min() >= 0 and wanted.max() < ITEMS):
        raise PlannerError(f"samples: numbers of items must lie between 0 and {ITEMS - 1}")
    return np.unique(wanted.astype(np.int64))
