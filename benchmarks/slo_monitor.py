"""Nanoseconds of one core that the goodput monitor takes to count a request's birth and its end.

The 1,600 queries of an application with three operators send 30 requests per second each. SLOs are
judged by windows of 60 s. Every simulated second, the monitor counts 48,000 created and as many
ended requests. Each request ends at most two seconds after its creation. The rows of the requests
are in a pool of 49 MB, which is larger than the caches of the processor. Every second, the monitor
also judges the windows that are due. This is timed separately, because nearly all windows are due
in the same second of every minute, when their latencies are ranked. One minute is timed, after a
minute in which memory grows. For comparison, the time that numpy takes to sum the same rows column
by column is measured. Any monitor has to read at least these data.
"""

from statistics import median
from time import thread_time
from typing import Any

import numpy as np

from hardware_models.devices import devices
from scenarios.numerics import Ints
from scenarios.queries import Query
from scenarios.slo import SLO
from sim.clock import NS_PER_S
from sim.dataplane.base.interface import COMPLETED, OUTCOMES
from sim.dataplane.base.request_rows import (
    ALLOWANCE,
    ARRIVAL,
    DEPLOYMENT,
    ENDED,
    OUTCOME,
    QUERY,
    part_columns,
    width,
)
from sim.metrics.goodput import SloMonitor, Verdicts

QUERIES = 1_600
RATE = 30
OPERATORS = 3
WINDOW_S = 60.0
WARM_UP = 65
SECONDS = 60
RUNS = 3


class Load:
    """Rows of requests under way in a pool, second by second, as a data plane keeps them.

    Args:
        seed: seed of the random numbers.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.count = QUERIES * RATE
        self.rows = np.zeros((4 * self.count, width(OPERATORS)), np.int64)
        self.rows.view(np.float64)[:, ALLOWANCE] = 1.0
        self.rows[:, OUTCOME] = OUTCOMES.index(COMPLETED)
        self.free = np.arange(len(self.rows))
        self.under_way = np.zeros(0, np.int64)

    def second(self, number: int) -> tuple[Ints, Ints]:
        """Advance by a second; return the rows of requests born and of requests ended."""
        born, self.free = np.split(self.free, [self.count])
        rows, rng = self.rows, self.rng
        rows[born, QUERY] = rows[born, DEPLOYMENT] = np.repeat(np.arange(QUERIES), RATE)
        rows[born, ARRIVAL] = number * NS_PER_S + rng.integers(NS_PER_S, size=self.count)
        latency_ns = rng.integers(1, 2 * NS_PER_S, self.count)
        rows[born, ENDED] = rows[born, ARRIVAL] + latency_ns
        columns = part_columns(OPERATORS)
        rows[np.ix_(born, columns)] = latency_ns[:, None] // len(columns)
        under_way = np.concatenate([self.under_way, born])
        over = rows[under_way, ENDED] < (number + 1) * NS_PER_S
        ended, self.under_way = under_way[over], under_way[~over]
        return born, ended

    def give_back(self, ended: Ints) -> None:
        """Return rows to the pool."""
        self.free = np.concatenate([ended, self.free])


def reading(rows: Ints, born: Ints, ended: Ints) -> Ints:
    """Sum the data that a recorder has to read."""
    sums: Ints = rows[ended].sum(axis=0)
    sums[QUERY] += rows[born, QUERY].sum()
    return sums


def one_run(seed: int) -> dict[str, float]:
    """Return nanoseconds per request for recording, for judging, and for only reading."""
    judged: list[Verdicts] = []
    monitor = SloMonitor(WINDOW_S, OPERATORS, judged.append, lambda _: None)
    slo = SLO(latency_s=1.5, accuracy=0.5)
    for query in range(QUERIES):
        monitor.arrive(
            Query(query, "app", "data", "tier", slo, devices("phone")[0], "4G-LTE", 0.0, 1.0), 0
        )
        monitor.deploy(query, query, 0, [(0, 0.9), (70 * NS_PER_S, 0.8)])
    load = Load(seed)
    recording = judging = adding = 0.0
    requests = 0
    judgings: list[float] = []
    for number in range(WARM_UP + SECONDS):
        if number == WARM_UP:
            recording = judging = adding = 0.0
            requests = 0
            judgings.clear()
        born, ended = load.second(number)
        started = thread_time()
        monitor.record(load.rows, born, ended)
        recorded = thread_time()
        monitor.judge((number + 1) * NS_PER_S)
        done = thread_time()
        recording, judging = recording + recorded - started, judging + done - recorded
        judgings.append(done - recorded)
        started = thread_time()
        reading(load.rows, born, ended)
        adding += thread_time() - started
        requests += len(ended)
        load.give_back(ended)
    assert sum(int(each.born.sum()) for each in judged) == 2 * QUERIES * RATE * WINDOW_S
    per_request = 1e9 / requests
    return {
        "ns_per_request": recording * per_request,
        "judging_ns_per_request": judging * per_request,
        "reading_ns_per_request": adding * per_request,
        "judge_quiet_us": 1e6 * median(judgings),
        "judge_all_due_ms": 1e3 * max(judgings),
    }


def measure() -> dict[str, Any]:
    """Return the figures, medians over runs."""
    one_run(0)  # Compiles the code.
    runs = []
    for seed in range(RUNS):
        runs.append(one_run(seed))
        recording, judging, adding = list(runs[-1].values())[:3]
        print(
            f"{recording:.1f} ns per request, judging {judging:.1f}, reading {adding:.1f}",
            flush=True,
        )
    figures = {key: round(median(run[key] for run in runs), 2) for key in runs[0]}
    return {
        "benchmark": "slo_monitor",
        **figures,
        "ratio_to_reading": round(figures["ns_per_request"] / figures["reading_ns_per_request"], 2),
        "queries": QUERIES,
        "requests_per_query_and_s": RATE,
        "runs": RUNS,
    }
