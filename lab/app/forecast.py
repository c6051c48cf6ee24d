"""Forecasts the goodput of an unfinished run from its first windows and an earlier run.

The queries of a run, with their arrivals and lifetimes, do not depend on the planner, so they are
known before it. What is not known of the windows to come is the share of query time in which the
SLO will be met. It is taken from an earlier run of the same planner, corrected by how the new run
compares with it so far. This is a ratio estimator with that run as control (Cochran 1977, Sampling
Techniques, ch. 6), which is shrunk towards no difference.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from scenarios.numerics import Floats
from scenarios.queries import arrival_times_s, lifetimes_s
from scenarios.scenario import Scenario
from sim.metrics.goodput_time import goodput_time

PRIOR_S = 1200.0
"""Query time in seconds for which the earlier run counts against the windows so far; an assumption,
by which estimates after random moves were best."""
JUDGED = 0.99
"""A window counts as judged if this share of its query time has rows."""
HALF = 0.5
"""The share of query time in which the SLO is taken to be met without any run to learn from."""


@dataclass(frozen=True)
class QueryTime:
    """Query time by window, in seconds.

    Args:
        active_s: time of active queries, shape (n,).
        good_s: time of queries whose SLO was met, shape (n,).
    """

    active_s: Floats
    good_s: Floats

    @property
    def share(self) -> float:
        """The share of query time in which the SLO was met; 0 without queries."""
        return float(self.good_s.sum() / self.active_s.sum()) if self.active_s.any() else 0.0

    def shares(self, windows: int) -> Floats:
        """Return the share for each of a number of windows; beyond the known ones, their mean."""
        own = self.active_s[:windows]
        known = own > 0
        found = np.full(windows, self.share)
        found[: len(own)][known] = self.good_s[:windows][known] / own[known]
        return found


def query_time_of(windows: pl.DataFrame, count: int) -> QueryTime:
    """Return the query time of a number of windows, from rows of the table ``windows``."""
    sums = windows.group_by("window").agg(
        pl.col("active_s").sum(),
        good_s=goodput_time(pl.col("met"), pl.col("deployed_s")).sum(),
    )
    active_s, good_s = np.zeros(count), np.zeros(count)
    for window, active, good in sums.filter(pl.col("window") < count).iter_rows():
        active_s[window], good_s[window] = active, good
    return QueryTime(active_s, good_s)


def expected_s(scenario: Scenario, seed: int) -> Floats:
    """Return the time of active queries in each window of a run, shape (n,)."""
    length_s, horizon_s = scenario.application.window_s, scenario.horizon_s
    starts_s = np.arange(0.0, horizon_s, length_s)
    ends_s = np.minimum(starts_s + length_s, horizon_s)
    born_s = arrival_times_s(scenario, seed)
    gone_s = born_s + lifetimes_s(scenario, seed, len(born_s))
    over_s = np.minimum(ends_s[:, None], gone_s) - np.maximum(starts_s[:, None], born_s)
    return np.asarray(np.maximum(over_s, 0.0).sum(axis=1))


def forecast_s(so_far: QueryTime, expected: Floats, earlier: QueryTime | None) -> float:
    """Return the query time in which an unfinished run will probably have met the SLO, in seconds.

    Args:
        so_far: the windows judged so far.
        expected: time of active queries in each window, shape (n,).
        earlier: the query time of a run of the same planner in another setting, if there is one.
    """
    windows = len(expected)
    judged = judged_windows(so_far, expected)
    shares = np.full(windows, HALF) if earlier is None else earlier.shares(windows)
    done_s = float(so_far.good_s[:judged].sum())
    as_earlier_s = float((shares * expected)[:judged].sum())
    ratio = (done_s + PRIOR_S) / (as_earlier_s + PRIOR_S)
    return done_s + float((np.minimum(ratio * shares, 1.0) * expected)[judged:].sum())


def judged_windows(so_far: QueryTime, expected: Floats) -> int:
    """Return how many windows, from the first on, have been judged; `forecast_s` names the rest."""
    missing = so_far.active_s < JUDGED * expected
    return int(np.argmax(missing)) if missing.any() else len(expected)
