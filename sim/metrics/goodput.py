"""Goodput: requests by window, the verdict on each window, and service goodput.

Windows are aligned to multiples of the application's window length. A request belongs to the window
of its birth. It is good if it was completed within the latency bound; late, dropped, shed, lost and
unserved ones are bad. A window is judged after the full latency bound of its last request:

    latency   good >= quantile x born
    accuracy  mean expected accuracy of what was served >= floor
    cost      attributed cost over the time that the query lived <= ceiling

The bound of a request is the SLO's times its *allowance*: the output length over the mean if the
application states latency per output length, otherwise 1. Latencies are divided by it.

A window without requests repeats the previous verdict and is flagged. A request in flight at the
horizon with time left is neither good nor bad. Service goodput at a moment is the number of queries
with an active deployment whose window at that moment meets every part of the SLO.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isnan

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
"""Relative slack of comparisons, so that rounding decides no verdict."""

QUANTILES = (0.5, 0.95, 0.99)
"""Quantiles of latency that are computed for every window, in addition to the SLO's."""


def share_of(probability: float, count: int) -> int:
    """Return the least number of requests that is a share of ``count``."""
    return ceil(probability * count * (1 - SLACK))


def reaches(value: float, floor: float | None) -> bool:
    """Return whether a value is at least a floor, if there is one; nan never is."""
    return floor is None or value >= floor - SLACK * abs(floor)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Windows that were judged together, by query in order of arrival, then by window.

    Arrays have shape (n,) if no other is given.
    """

    queries: list[Query]  # the query of each
    index: Ints  # number of the window, from 0 at the start of the run
    born: Ints  # requests born
    good: Ints  # completed within the bound
    undecided: Ints  # in flight at the horizon, with time left
    outcomes: Ints  # requests by how they ended, in the order of ``OUTCOMES``, shape (n, 6)
    active_ns: Ints  # time of the window in which the query lived
    deployed_ns: Ints  # part of that time in which a deployment was active
    cost_usd: Floats  # cost attributed to the query
    sojourn_ns: Ints  # sum over the completed requests, each over its allowance
    # Quantiles of latency, the SLO's and then ``QUANTILES``, shape (n, 4). Nearest rank: the
    # smallest latency that this share of the counted requests kept; those that were not completed
    # when the window was judged count as infinitely late.
    latencies_s: Floats
    # Sums over the completed requests of queueing, batching, compute and transfer, by operator,
    # shape (n, operators, 4).
    parts_ns: Ints
    answer_ns: Ints  # sum over the completed requests of the transfer of the answer
    accuracy: Floats  # mean expected accuracy of what was served; nan if nothing was
    met: Bools  # whether every part of the SLO held
    latency_met: Bools  # whether the latency part held
    accuracy_met: Bools  # whether the accuracy part held
    cost_met: Bools  # whether the cost part held
    repeated: Bools  # whether ``met`` is the previous verdict, for lack of requests
    final: Bools  # False if the horizon cut the window or its latency bound short

    @property
    def completed(self) -> Ints:
        """Requests that were completed."""
        return self.outcomes[:, OUTCOMES.index(COMPLETED)]

    def mean_s(self, sums_ns: Ints) -> Floats:
        """Return sums over the completed requests as means in seconds; nan if there are none."""
        completed = self.completed.reshape(-1, *[1] * (sums_ns.ndim - 1))
        means_s = np.full(sums_ns.shape, np.nan)
        np.divide(sums_ns / NS_PER_S, completed, means_s, where=completed > 0)
        return means_s


@dataclass(frozen=True)
class DeploymentTrial:
    """A deployment's trial: its requests during the length of one window."""

    query: Query
    born: int  # requests born in the trial
    good: int  # completed within the bound
    lost: int  # lost with a failing machine
    accuracy: float  # mean expected accuracy of what was served; nan if nothing was
    void: bool  # whether a failing machine cut the trial short

    @property
    def met(self) -> bool | None:
        """Whether latency and accuracy held.

        None if void, without requests, or if only lost requests decided; they may have been in
        time.
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
    """The counts of one query."""

    query: Query
    born: int  # requests born
    outcomes: Mapping[str, int]  # requests by how they ended


class SloMonitor:
    """Counts requests, and judges windows and deployments; the data plane's recorder.

    ``on_verdicts`` is called with windows that were judged; ``on_close`` with each account whose
    last window is judged and last request has ended, or when the run ends.
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
        self._slots = IdPool()
        self._queries: list[Query | None] = []
        # By slot: when the next window is due, the order of arrival, the SLO (nan for none).
        self._due_ns = np.zeros(0, np.int64)
        self._order = np.zeros(0, np.int64)
        self._slo = np.zeros((0, 3))
        self._arrived = 0
        self._deployment_slots = IdPool()
        self._deployed: dict[int, Query] = {}
        self.goodput_ns = 0
        self.active_ns = 0

    @property
    def born_total(self) -> int:
        """Requests born so far."""
        return int(self._counts.heads[wc.BORN_TOTAL])

    @property
    def outcomes(self) -> dict[str, int]:
        """Requests by how they ended."""
        return _by_outcome(self._counts.heads[wc.ENDS_TOTAL :])

    # Called by the control plane

    def arrive(self, query: Query, now_ns: int) -> None:
        """Begin to count a query."""
        slo, slot = query.slo, self._slots.add(query.id)
        accounts = grown(self._counts.accounts, slot + 1)
        self._counts = self._counts._replace(query_slots=self._slots.table, accounts=accounts)
        self._due_ns, self._order = (
            grown(each, len(accounts)) for each in (self._due_ns, self._order)
        )
        self._slo = grown(self._slo, len(accounts))
        self._queries += [None] * (slot + 1 - len(self._queries))
        accounts[slot] = 0
        # The window's length serves as the bound, whatever the output length.
        accounts[slot, wc.BOUND_NS] = (
            -self.window_ns if slo.latency_s is None else ns(slo.latency_s)
        )
        accounts[slot, wc.NEXT_NS] = now_ns // self.window_ns * self.window_ns
        accounts[slot, wc.NOTED_NS] = now_ns
        wc.note_due(self._counts, np.array([slot]), self._due_ns, self.window_ns)
        self._queries[slot] = query
        self._order[slot] = self._arrived
        self._arrived += 1
        self._slo[slot] = [
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
        """Note that a new deployment, or none, is active for a query from now on.

        ``accuracies`` are (nanoseconds, expected accuracy): from when on each holds, in order of
        time.
        """
        slot = self._slots.find(query)
        self._note_time(slot, now_ns)
        self._counts.accounts[slot, wc.DEPLOYED] = deployment is not None
        if deployment is not None:
            self._add_trial(deployment, now_ns + self.window_ns, accuracies)
            self._deployed[deployment] = self._query(slot)

    def _add_trial(
        self, deployment: int, until_ns: int, accuracies: Sequence[tuple[int, float]]
    ) -> None:
        slot, counts = self._deployment_slots.add(deployment), self._counts
        trials, steps_ns, steps = (
            grown(each, slot + 1) for each in (counts.trials, counts.steps_ns, counts.steps)
        )
        if missing := max(0, len(accuracies) - steps.shape[1]):
            steps_ns = np.pad(steps_ns, ((0, 0), (0, missing)), constant_values=NEVER)
            steps = np.pad(steps, ((0, 0), (0, missing)))
        trials[slot] = 0
        trials[slot, wc.UNTIL_NS] = until_ns
        steps_ns[slot] = NEVER
        steps_ns[slot, : len(accuracies)] = [from_ns for from_ns, _ in accuracies]
        steps[slot, : len(accuracies)] = [round(accuracy * wc.ONE) for _, accuracy in accuracies]
        self._counts = counts._replace(
            deployment_slots=self._deployment_slots.table,
            trials=trials,
            steps_ns=steps_ns,
            steps=steps,
        )

    def depart(self, query: int, now_ns: int) -> None:
        """End a query's life; its last windows are judged when they are due."""
        self.deploy(query, None, now_ns)
        self._counts.accounts[self._slots.find(query), wc.DEPARTED] = True

    def add_cost(self, query: int, at_ns: int, usd: float) -> None:
        """Add the cost since the last call to the window that ends at ``at_ns``.

        At a departure that is the last window. Later costs, while draining, belong to no window.
        """
        slot = self._slots.find(query)
        assert slot >= 0, f"query {query} is not counted"
        self._note_time(slot, at_ns)
        start_ns = max(0, at_ns - 1) // self.window_ns * self.window_ns
        counts = self._counts
        cell = wc.cell_at(counts.accounts, counts.cells, slot, start_ns, self.window_ns)
        if cell:
            counts.cells.view(np.float64)[cell, wc.COST_USD] += usd

    def _note_time(self, slots: Ints | int, now_ns: int) -> None:
        some = np.atleast_1d(np.asarray(slots, np.int64))
        self._count(
            len(some), lambda done: wc.spread_time(self._counts, some, done, now_ns, self.window_ns)
        )

    def _count(self, many: int, count: Callable[[int], int]) -> None:
        """Call a counting function from each number that it returns on, adding room in between."""
        done = 0
        while (done := count(done)) < many:
            self._counts = wc.with_room(self._counts)

    def _query(self, slot: int) -> Query:
        query = self._queries[slot]
        assert query is not None
        return query

    # Called by the data plane

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        """Count requests by the deployment that each keeps; see ``Recorder``."""
        window_ns = self.window_ns
        self._count(
            len(born), lambda done: wc.count_births(self._counts, rows, born, done, window_ns)
        )
        self._count(
            len(ended), lambda done: wc.count_ends(self._counts, rows, ended, done, window_ns)
        )

    # Verdicts

    def judge(self, now_ns: int, horizon: bool = False) -> None:
        """Judge every window that is due; at the horizon, all remaining ones."""
        slots = np.flatnonzero(
            self._due_ns[: len(self._queries)] <= (NEVER - 1 if horizon else now_ns)
        )
        if not horizon and len(slots):
            # A later request with a larger allowance may have postponed the window.
            wc.note_due(self._counts, slots, self._due_ns, self.window_ns)
            slots = slots[self._due_ns[slots] <= now_ns]
        if not len(slots):
            return
        slots = slots[np.argsort(self._order[slots])]
        self._note_time(slots, now_ns)
        taken = np.empty((len(self._counts.cells) + len(slots), 4), np.int64)
        count = wc.take_windows(self._counts, slots, now_ns, horizon, self.window_ns, taken)
        if count:
            self._judge(*taken[:count].T.copy())
        wc.note_due(self._counts, slots, self._due_ns, self.window_ns)
        account = self._counts.accounts[slots]
        closed = account[:, wc.DEPARTED].astype(bool)
        closed &= account[:, wc.NEXT_NS] >= account[:, wc.NOTED_NS]
        closed &= account[:, wc.ALL_ENDS].sum(axis=1) == account[:, wc.REQUESTS]
        for slot in slots[closed | horizon].tolist():
            self._close(slot)

    def _judge(self, slots: Ints, cells: Ints, start_ns: Ints, final: Ints) -> None:
        counts, n = self._counts, self._operators
        window = counts.cells[cells]
        values = window.view(np.float64)
        quantile, floor, ceiling = self._slo[slots].T
        outcomes = window[:, wc.ALL_WINDOW_ENDS]
        completed = outcomes[:, OUTCOMES.index(COMPLETED)]
        counted = window[:, wc.BORN] - window[:, wc.UNDECIDED]
        shares = np.column_stack([quantile, *(np.full(len(slots), each) for each in QUANTILES)])
        ranks = np.ceil(shares * counted[:, None] * (1 - SLACK)).astype(np.int64)
        infinite = (counted[:, None] == 0) | (ranks > completed[:, None])
        known = np.where(infinite, 0, np.maximum(1, ranks))
        latencies_ns, rising = np.empty_like(known), known.argsort(axis=1)
        ranked = wc.ranked_latencies(counts, cells, np.take_along_axis(known, rising, axis=1))
        np.put_along_axis(latencies_ns, rising, ranked, axis=1)
        wc.give_back(counts, cells)
        accuracy = np.full(len(slots), np.nan)
        np.divide(window[:, wc.ACCURACY] / wc.ONE, completed, accuracy, where=completed > 0)
        hours = window[:, wc.ACTIVE_NS] / NS_PER_HOUR
        latency_met = window[:, wc.GOOD] >= ranks[:, 0]
        accuracy_met = np.isnan(floor) | (accuracy >= floor - SLACK * np.abs(floor))
        cost_met = np.isnan(ceiling) | (values[:, wc.COST_USD] <= ceiling * hours * (1 + SLACK))
        repeated = counted == 0
        met = latency_met & accuracy_met & cost_met
        wc.carry_over(counts, slots, met, repeated)
        self.active_ns += int(window[:, wc.ACTIVE_NS].sum())
        self.goodput_ns += int(goodput_time(met, window[:, wc.DEPLOYED_NS]).sum())
        self._on_verdicts(
            Verdicts(
                queries=[self._query(slot) for slot in slots.tolist()],
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
                parts_ns=window[:, wc.SUMS : wc.SUMS + PARTS * n].reshape(len(slots), n, PARTS),
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

    def _close(self, slot: int) -> None:
        query, account = self._query(slot), self._counts.accounts[slot]
        closed = Account(query, int(account[wc.REQUESTS]), _by_outcome(account[wc.ALL_ENDS]))
        self._slots.remove(query.id)
        self._queries[slot] = None
        self._due_ns[slot] = NEVER
        self._on_close(closed)

    def trial(self, deployment: int) -> DeploymentTrial | None:
        """Return the trial of a deployment, or None if it never became active."""
        slot = self._deployment_slots.find(deployment)
        if slot < 0:
            return None
        counted = self._counts.trials[slot].tolist()
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
        """Return how many requests of a deployment were completed so far."""
        slot = self._deployment_slots.find(deployment)
        return 0 if slot < 0 else int(self._counts.trials[slot, wc.SERVED])

    def void_trial(self, deployment: int, now_ns: int) -> None:
        """Void the trial of a deployment that a failing machine ended before the trial was over."""
        slot = self._deployment_slots.find(deployment)
        if slot >= 0 and now_ns < self._counts.trials[slot, wc.UNTIL_NS]:
            self._counts.trials[slot, wc.VOID] = True

    def forget(self, deployment: int) -> None:
        """Drop the trial of a deployment whose query is closed."""
        if self._deployed.pop(deployment, None) is not None:
            self._deployment_slots.remove(deployment)


def _by_outcome(counts: Ints) -> dict[str, int]:
    return dict(zip(OUTCOMES, counts.tolist(), strict=True))
