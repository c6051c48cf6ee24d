"""Goodput: the counts of requests by window, the verdict on each window, and service goodput.

Windows are aligned to multiples of the application's window length. A request belongs to the window
in which it was created ("born"). A request is good if it was completed within the latency bound;
late, dropped, shed, lost and unserved requests are bad. A window is judged when the latency bound
of its last request has passed. Its verdict on each part of the SLO is:

    latency   good >= quantile x born
    accuracy  mean expected accuracy of what was served >= floor
    cost      attributed cost over the time that the query lived <= ceiling

The latency bound of a request is the SLO's bound times the request's *allowance*. If the
application states latency per output length, the allowance is the request's output length divided
by the mean length. Otherwise, it is 1. Reported latencies are divided by the allowance.

A window without requests has the verdict of the window before it, and is flagged. A request that is
in flight at the horizon and is not late yet is neither good nor bad. Service goodput at a time is
the number of queries with an active deployment whose window at that time meets every part of the
SLO.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isnan
from operator import mul
from weakref import WeakMethod

import numpy as np

from scenarios.numerics import Bools, Floats, Ints
from scenarios.queries import Query
from sim._jit.id_pool import IdPool, grown
from sim.clock import NS_PER_HOUR, NS_PER_S, ns
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.interface import COMPLETED, OUTCOMES
from sim.dataplane.base.request_rows import PARTS
from sim.metrics import window_counts as wc
from sim.metrics.goodput_time import goodput_time

SLACK = 1e-9
"""Relative tolerance of comparisons, so that no verdict depends on rounding."""

QUANTILES = (0.5, 0.95, 0.99)
"""Quantiles of latency that are computed for every window, in addition to the SLO's."""


def share_of(probability: float, count: int) -> int:
    """Return the least number of requests that is at least ``probability * count``."""
    return ceil(probability * count * (1 - SLACK))


def reaches(value: float, floor: float | None) -> bool:
    """Return whether a value is at least a floor: True without a floor, otherwise False for nan."""
    return floor is None or value >= floor - SLACK * abs(floor)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Windows that were judged at the same time, sorted by the query's arrival, then by window.

    Arrays have shape (n,) unless another shape is given.
    """

    queries: list[Query]  # the query of each window
    index: Ints  # number of the window, from 0 at the start of the run
    born: Ints  # number of requests created
    good: Ints  # number of requests completed within the bound
    undecided: Ints  # number of requests in flight at the horizon that are not late
    outcomes: Ints  # requests by how they ended, in the order of ``OUTCOMES``, of shape (n, 6)
    active_ns: Ints  # time of the window in which the query lived
    deployed_ns: Ints  # part of that time in which a deployment was active
    cost_usd: Floats  # cost attributed to the query
    sojourn_ns: Ints  # sum of completed requests' latencies, each divided by its allowance
    # Quantiles of latency, the SLO's and then ``QUANTILES``, of shape (n, 4). Nearest rank: the
    # smallest latency that this share of the counted requests kept; those that were not completed
    # when the window was judged count as infinitely late.
    latencies_s: Floats
    # Sums over completed requests of queueing, batching, compute, transfer, (n, operators, 4).
    parts_ns: Ints
    answer_ns: Ints  # sum over the completed requests of the transfer of the answer
    accuracy: Floats  # mean expected accuracy over served requests; nan if none was served
    met: Bools  # whether every part of the SLO held
    latency_met: Bools  # whether the latency part held
    accuracy_met: Bools  # whether the accuracy part held
    cost_met: Bools  # whether the cost part held
    repeated: Bools  # whether ``met`` is the previous verdict because there were no requests
    final: Bools  # False if the horizon cut the window or its latency bound short

    @property
    def completed(self) -> Ints:
        """Number of completed requests in each window."""
        return self.outcomes[:, OUTCOMES.index(COMPLETED)]

    def mean_s(self, sums_ns: Ints) -> Floats:
        """Return sums over completed requests as means in seconds; nan if there are no requests."""
        completed = self.completed.reshape(-1, *[1] * (sums_ns.ndim - 1))
        means_s = np.full(sums_ns.shape, np.nan)
        np.divide(sums_ns / NS_PER_S, completed, means_s, where=completed > 0)
        return means_s


@dataclass(frozen=True)
class DeploymentTrial:
    """The trial of a deployment: counts of the requests created during its first window length."""

    query: Query
    born: int  # number of requests created in the trial
    good: int  # number of requests completed within the bound
    lost: int  # number of requests lost with a failing machine
    accuracy: float  # mean expected accuracy over served requests; nan if none was served
    void: bool  # whether a failing machine cut the trial short

    @property
    def met(self) -> bool | None:
        """Whether the trial met the latency and accuracy parts of the SLO.

        The value is None if the trial is void or has no requests, or if the result depends on
        whether lost requests would have been good.
        """
        slo = self.query.slo
        if self.void or self.born == 0:
            return None
        enough = share_of(slo.latency_quantile, self.born)
        accurate = reaches(self.accuracy, slo.accuracy)
        if self.good < enough <= self.good + self.lost and (accurate or isnan(self.accuracy)):
            return None
        return self.good >= enough and accurate


@dataclass(frozen=True)
class Account:
    """The counts of requests of one query."""

    query: Query
    born: int  # number of requests created
    outcomes: Mapping[str, int]  # requests by how they ended


class SloMonitor:
    """Counts requests as the data plane's recorder, and judges windows and deployments.

    ``on_verdicts`` is called with each set of judged windows. ``on_close`` is called with a query's
    account once its last window is judged and its last request has ended, or else when the run
    ends.
    """

    def __init__(
        self,
        window_s: float,
        operators: int,
        on_verdicts: Callable[[Verdicts], None],
        on_close: Callable[[Account], None],
    ) -> None:
        self.window_ns = ns(window_s)
        self._on_verdicts = on_verdicts
        self._on_close = on_close
        self._operators = operators
        self._counts = wc.no_counts(operators)
        self._account_of = IdPool()
        self._queries: list[Query | None] = []
        # By row: due time of the next window, order of arrival, and SLO (nan for a missing bound).
        self._due_ns = np.zeros(0, np.int64)
        self._order = np.zeros(0, np.int64)
        self._slo = np.zeros((0, 3))
        self._arrived = 0
        self._trial_of = IdPool()
        self._deployed: dict[int, Query] = {}
        self._reporter: Callable[[], Callable[[], None] | None] = lambda: None
        self.goodput_ns = 0
        self.active_ns = 0

    @property
    def born_total(self) -> int:
        """Number of requests created so far."""
        return int(self._reported().heads[wc.BORN_TOTAL])

    @property
    def outcomes(self) -> dict[str, int]:
        """Numbers of requests by outcome."""
        return _by_outcome(self._reported().heads[wc.ENDS_TOTAL :])

    # Called by the control plane

    def arrive(self, query: Query, now_ns: int) -> None:
        """Begin to count a query's requests."""
        slo, row = query.slo, self._account_of.add(query.id)
        accounts = grown(self._counts.accounts, row + 1)
        self._counts = self._counts._replace(account_of=self._account_of.table, accounts=accounts)
        self._due_ns, self._order = (
            grown(each, len(accounts)) for each in (self._due_ns, self._order)
        )
        self._slo = grown(self._slo, len(accounts))
        self._queries += [None] * (row + 1 - len(self._queries))
        accounts[row] = 0
        # The window's length serves as the bound, whatever the output length.
        accounts[row, wc.BOUND_NS] = -self.window_ns if slo.latency_s is None else ns(slo.latency_s)
        accounts[row, wc.NEXT_NS] = now_ns // self.window_ns * self.window_ns
        accounts[row, wc.NOTED_NS] = now_ns
        wc.note_due(self._counts, np.array([row]), self._due_ns, self.window_ns)
        self._queries[row] = query
        self._order[row] = self._arrived
        self._arrived += 1
        self._slo[row] = [
            slo.latency_quantile,
            np.nan if slo.accuracy is None else slo.accuracy,
            np.nan if slo.cost_usd_per_hour is None else slo.cost_usd_per_hour,
        ]

    def deploy(
        self,
        query: int,
        deployment: int | None,
        now_ns: int,
        accuracies: Sequence[tuple[int, float]] = (),
    ) -> None:
        """Record that a query's active deployment changes now, to a new one or to none.

        ``accuracies`` are pairs of (start in nanoseconds, expected accuracy), sorted by time. The
        first accuracy is also that of earlier requests.
        """
        row = self._account_of.find(query)
        self._note_time(row, now_ns)
        self._counts.accounts[row, wc.DEPLOYED] = deployment is not None
        if deployment is not None:
            self._add_trial(deployment, now_ns + self.window_ns, accuracies)
            self._deployed[deployment] = self._query(row)

    def _add_trial(
        self, deployment: int, until_ns: int, accuracies: Sequence[tuple[int, float]]
    ) -> None:
        row, counts = self._trial_of.add(deployment), self._counts
        trials, steps_ns, steps, served = (
            grown(each, row + 1)
            for each in (counts.trials, counts.steps_ns, counts.steps, counts.served)
        )
        if missing := max(0, len(accuracies) - steps.shape[1]):
            steps_ns = np.pad(steps_ns, ((0, 0), (0, missing)), constant_values=NEVER)
            steps, served = (np.pad(each, ((0, 0), (0, missing))) for each in (steps, served))
        trials[row] = steps[row] = served[row] = 0
        trials[row, wc.UNTIL_NS] = until_ns
        steps_ns[row] = NEVER
        steps_ns[row, : len(accuracies)] = [from_ns for from_ns, _ in accuracies]
        steps[row, : len(accuracies)] = [round(accuracy * wc.ONE) for _, accuracy in accuracies]
        self._counts = counts._replace(
            trial_of=self._trial_of.table,
            trials=trials,
            steps_ns=steps_ns,
            steps=steps,
            served=served,
        )

    def depart(self, query: int, now_ns: int) -> None:
        """Record the departure of a query, whose last windows will be judged when they are due."""
        self.deploy(query, None, now_ns)
        self._counts.accounts[self._account_of.find(query), wc.DEPARTED] = True

    def add_cost(self, query: int, at_ns: int, usd: float) -> None:
        """Add to the window that ends at ``at_ns`` the query's cost since the last call.

        When the query departs, that window is its last. Later costs, while requests drain, belong
        to no window.
        """
        row = self._account_of.find(query)
        assert row >= 0, f"query {query} is not counted"
        self._note_time(row, at_ns)
        start_ns = max(0, at_ns - 1) // self.window_ns * self.window_ns
        counts = self._counts
        cell = wc.cell_at(counts.accounts, counts.cells, row, start_ns, self.window_ns)
        if cell:
            counts.cells.view(np.float64)[cell, wc.COST_USD] += usd

    def _note_time(self, rows: Ints | int, now_ns: int) -> None:
        some = np.atleast_1d(np.asarray(rows, np.int64))
        self._count(
            len(some), lambda done: wc.spread_time(self._counts, some, done, now_ns, self.window_ns)
        )

    def _count(self, many: int, count: Callable[[int], int]) -> None:
        """Call a counting function, and add room if it stops early, until everything is counted."""
        done = 0
        while (done := count(done)) < many:
            self._counts = wc.with_room(self._counts)

    def _query(self, row: int) -> Query:
        query = self._queries[row]
        assert query is not None
        return query

    def _reported(self) -> wc.Counts:
        """Return the counts of all requests up to the last sync point."""
        self._ask()
        return self._counts

    def _ask(self) -> None:
        """Let the data plane report all requests up to the last sync point."""
        report = self._reporter()
        if report is not None:
            report()

    # Called by the data plane

    def on_read(self, report: Callable[[], None]) -> None:
        """Let a data plane postpone its reports; see ``PatientRecorder``."""
        self._reporter = WeakMethod(report)  # The plane holds the monitor; a cycle is freed late.

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        """Count requests for the deployments active at their births; see ``Recorder``."""
        self._count(
            len(born), lambda done: wc.count_births(self._counts, rows, born, done, self.window_ns)
        )
        self._count(len(ended), lambda done: wc.count_ends(self._counts, rows, ended, done))

    # Verdicts

    def judge(self, now_ns: int, horizon: bool = False) -> None:
        """Judge every window that is due or, at the horizon, every remaining window."""
        rows = np.flatnonzero(
            self._due_ns[: len(self._queries)] <= (NEVER - 1 if horizon else now_ns)
        )
        if len(rows):
            self._ask()
        if not horizon and len(rows):
            # A later request with a larger allowance may have postponed the window.
            wc.note_due(self._counts, rows, self._due_ns, self.window_ns)
            rows = rows[self._due_ns[rows] <= now_ns]
        if not len(rows):
            return
        rows = rows[np.argsort(self._order[rows])]
        self._note_time(rows, now_ns)
        taken = np.empty((len(self._counts.cells) + len(rows), 4), np.int64)
        count = wc.take_windows(self._counts, rows, now_ns, horizon, self.window_ns, taken)
        if count:
            self._judge(*taken[:count].T.copy())
        wc.note_due(self._counts, rows, self._due_ns, self.window_ns)
        account = self._counts.accounts[rows]
        closed = account[:, wc.DEPARTED].astype(bool)
        closed &= account[:, wc.NEXT_NS] >= account[:, wc.NOTED_NS]
        closed &= account[:, wc.ALL_ENDS].sum(axis=1) == account[:, wc.REQUESTS]
        for row in rows[closed | horizon].tolist():
            self._close(row)

    def _judge(self, rows: Ints, cells: Ints, start_ns: Ints, final: Ints) -> None:
        counts, n = self._counts, self._operators
        window = counts.cells[cells]
        values = window.view(np.float64)
        quantile, floor, ceiling = self._slo[rows].T
        outcomes = window[:, wc.ALL_WINDOW_ENDS]
        completed = outcomes[:, OUTCOMES.index(COMPLETED)]
        counted = window[:, wc.BORN] - window[:, wc.UNDECIDED]
        shares = np.column_stack([quantile, *(np.full(len(rows), each) for each in QUANTILES)])
        ranks = np.ceil(shares * counted[:, None] * (1 - SLACK)).astype(np.int64)
        infinite = (counted[:, None] == 0) | (ranks > completed[:, None])
        known = np.where(infinite, 0, np.maximum(1, ranks))
        latencies_ns, rising = np.empty_like(known), known.argsort(axis=1)
        ranked = wc.ranked_latencies(counts, cells, np.take_along_axis(known, rising, axis=1))
        np.put_along_axis(latencies_ns, rising, ranked, axis=1)
        wc.give_back(counts, cells)
        accuracy = np.full(len(rows), np.nan)
        np.divide(window[:, wc.ACCURACY] / wc.ONE, completed, accuracy, where=completed > 0)
        hours = window[:, wc.ACTIVE_NS] / NS_PER_HOUR
        latency_met = window[:, wc.GOOD] >= ranks[:, 0]
        accuracy_met = np.isnan(floor) | (accuracy >= floor - SLACK * np.abs(floor))
        cost_met = np.isnan(ceiling) | (values[:, wc.COST_USD] <= ceiling * hours * (1 + SLACK))
        repeated = counted == 0
        met = latency_met & accuracy_met & cost_met
        wc.carry_over(counts, rows, met, repeated)
        self.active_ns += int(window[:, wc.ACTIVE_NS].sum())
        self.goodput_ns += int(goodput_time(met, window[:, wc.DEPLOYED_NS]).sum())
        self._on_verdicts(
            Verdicts(
                queries=[self._query(row) for row in rows.tolist()],
                index=start_ns // self.window_ns,
                born=window[:, wc.BORN],
                good=window[:, wc.GOOD],
                undecided=window[:, wc.UNDECIDED],
                outcomes=outcomes,
                active_ns=window[:, wc.ACTIVE_NS],
                deployed_ns=window[:, wc.DEPLOYED_NS],
                cost_usd=values[:, wc.COST_USD],
                sojourn_ns=window[:, wc.SOJOURN_NS],
                latencies_s=np.where(infinite, np.inf, latencies_ns / NS_PER_S),
                parts_ns=window[:, wc.SUMS : wc.SUMS + PARTS * n].reshape(len(rows), n, PARTS),
                answer_ns=window[:, wc.ANSWER_NS],
                accuracy=accuracy,
                met=met,
                latency_met=latency_met,
                accuracy_met=accuracy_met,
                cost_met=cost_met,
                repeated=repeated,
                final=final.astype(bool),
            )
        )

    def _close(self, row: int) -> None:
        query, account = self._query(row), self._counts.accounts[row]
        closed = Account(query, int(account[wc.REQUESTS]), _by_outcome(account[wc.ALL_ENDS]))
        self._account_of.remove(query.id)
        self._queries[row] = None
        self._due_ns[row] = NEVER
        self._on_close(closed)

    def trial(self, deployment: int) -> DeploymentTrial | None:
        """Return the trial of a deployment, or None if it never became active."""
        row = self._trial_of.find(deployment)
        if row < 0:
            return None
        counted = self._reported().trials[row].tolist()
        served = counted[wc.TRIAL_SERVED]
        return DeploymentTrial(
            self._deployed[deployment],
            counted[wc.TRIAL_BORN],
            counted[wc.TRIAL_GOOD],
            counted[wc.TRIAL_LOST],
            counted[wc.TRIAL_ACCURACY] / wc.ONE / served if served else float("nan"),
            bool(counted[wc.VOID]),
        )

    def served(self, deployment: int) -> int:
        """Return the number of a deployment's requests that have been completed so far."""
        row = self._trial_of.find(deployment)
        return 0 if row < 0 else int(self._reported().served[row].sum())

    def served_accuracy(self, deployments: Iterable[int]) -> float:
        """Return the mean expected accuracy over all completed requests of deployments, or nan."""
        rows = [row for each in deployments if (row := self._trial_of.find(each)) >= 0]
        counts = self._reported()
        steps, served = (each[rows].ravel().tolist() for each in (counts.steps, counts.served))
        total = sum(served)
        summed = sum(map(mul, steps, served))  # exact, as Python's integers have no limit
        return summed / (total * wc.ONE) if total else float("nan")

    def void_trial(self, deployment: int, now_ns: int) -> None:
        """Void the trial of a deployment that a machine failure ended before the trial was over."""
        row = self._trial_of.find(deployment)
        if row >= 0 and now_ns < self._counts.trials[row, wc.UNTIL_NS]:
            self._counts.trials[row, wc.VOID] = True

    def forget(self, deployment: int) -> None:
        """Drop the trial of a deployment whose query's counts are final."""
        if self._deployed.pop(deployment, None) is not None:
            self._trial_of.remove(deployment)


def _by_outcome(counts: Ints) -> dict[str, int]:
    return dict(zip(OUTCOMES, counts.tolist(), strict=True))
