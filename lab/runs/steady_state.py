"""The part of a run that is cut off before its steady state, by a rule that no planner affects.

A run starts without queries, and their number grows until as many leave as arrive. ``MSER-5`` finds
where this growth ends. It is applied to the number of living queries, which is the same for all
planners with one seed, so that their results are compared over the same time. What a planner
learns later than that counts against it, as for a planner in service.
"""

from math import ceil

import numpy as np

from scenarios.numerics import Floats
from scenarios.queries import arrival_times_s, lifetimes_s
from scenarios.scenario import AUTO, Scenario

BATCH = 5
SAMPLE_S = 10.0
"""Seconds over which the number of living queries is averaged for one observation."""


def mser5(observations: Floats) -> int:
    """Return the number of observations before the steady state, by the rule MSER-5.

    Of all numbers of leading batches of five observations, up to half of the series, the rule
    chooses the one that leaves the least squared standard error of the mean of the rest, and of
    several such numbers the smallest (White 1997, "An effective truncation heuristic for bias
    reduction in simulation output", Simulation 69(6), 323-334). Minima in the second half show
    only that the rest is short.

    Args:
        observations: the series, shape (n,). Observations after the last full batch are ignored.
    """
    batches = len(observations) // BATCH
    means = observations[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    cuts = range(batches // 2 + 1)
    errors = [means[cut:].var() / (batches - cut) for cut in cuts if cut < batches]
    return BATCH * int(np.argmin(errors)) if errors else 0


def living_queries(arrivals_s: Floats, departures_s: Floats, horizon_s: float) -> Floats:
    """Return the mean number of living queries in each `SAMPLE_S`, shape (n,).

    Args:
        arrivals_s: times of arrival, shape (queries,).
        departures_s: times of departure, shape (queries,).
        horizon_s: end of the last sample, rounded down to a whole number of samples.
    """
    edges_s = np.arange(int(horizon_s // SAMPLE_S) + 1) * SAMPLE_S

    def lived_s(times_s: Floats) -> Floats:
        """Return the total time from each of the times to each edge."""
        ordered = np.sort(times_s)
        before = np.searchsorted(ordered, edges_s)
        return np.asarray(before * edges_s - np.append(0.0, np.cumsum(ordered))[before])

    return np.asarray(np.diff(lived_s(arrivals_s) - lived_s(departures_s)) / SAMPLE_S)


def cut_s(scenario: Scenario, seed: int) -> float:
    """Return the seconds of a run that its metrics of goodput leave out, in whole windows."""
    warm_up_s = scenario.warm_up_s
    if warm_up_s == AUTO:
        arrivals_s = arrival_times_s(scenario, seed)
        departures_s = arrivals_s + lifetimes_s(scenario, seed, len(arrivals_s))
        living = living_queries(arrivals_s, departures_s, scenario.horizon_s)
        warm_up_s = SAMPLE_S * mser5(living)
    window_s = scenario.application.window_s
    return ceil(float(warm_up_s) / window_s) * window_s
