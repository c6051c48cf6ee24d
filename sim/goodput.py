"""Where goodput is counted: requests by window, the verdict on each window, service goodput.

Windows are aligned to multiples of the application's window length. A request belongs to the window
of its birth; it is good if it was completed within the latency bound, and bad if it came late or
was dropped, lost or unserved. A window is judged once its last request had its full bound of time:

    latency   good >= quantile x born
    accuracy  mean expected accuracy of what was served >= floor
    cost      attributed cost over the time that the query lived <= ceiling

The bound of a request is the SLO's times its *allowance*: the length of its output over the mean in
applications that state latency per output length, otherwise 1. Latencies are reported over it.

A window without requests repeats the previous verdict and is flagged. A request in flight at the
horizon with time left counts neither way. Service goodput at a moment is the number of queries with
a deployment in force whose window at that moment meets every part of the SLO.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, fsum, inf

from scenarios.queries import Query
from sim.clock import NS_PER_HOUR, ns, seconds
from sim.data_plane import COMPLETED, IN_FLIGHT, OUTCOMES, RequestRecord

SLACK = 1e-9
"""Relative slack of comparisons, so that the rounding of sums and products decides no verdict."""


def share_of(probability: float, count: int) -> int:
    """Return the least number of ``count`` requests that makes up a share of them."""
    return ceil(probability * count * (1 - SLACK))


def reaches(value: float, floor: float | None) -> bool:
    """Tell whether a value is no less than a floor, if there is one; nan reaches none."""
    return floor is None or value >= floor - SLACK * abs(floor)


def latency_s(record: RequestRecord) -> float:
    """Return the sojourn of a request that ended, over its allowance, in seconds."""
    return seconds(record.ended_ns - record.arrival_ns) / record.allowance


@dataclass
class Window:
    """Requests of one query that were born in one window, and how they fared so far.

    Args:
        born: requests born.
        good: completed within the bound.
        undecided: in flight at the horizon, with time left.
        outcomes: requests by how they ended.
        completed: records of the completed ones.
        allowance: the largest of its requests.
        active_ns: time of the window in which the query lived.
        deployed_ns: time of it in which a deployment was in force.
        cost_usd: cost attributed to the query.
    """

    born: int = 0
    good: int = 0
    undecided: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    completed: list[RequestRecord] = field(default_factory=list)
    allowance: float = 1.0
    active_ns: int = 0
    deployed_ns: int = 0
    cost_usd: float = 0.0

    @property
    def counted(self) -> int:
        """Requests that the verdict rests on."""
        return self.born - self.undecided

    def latency_quantile_s(self, probability: float) -> float:
        """Return a quantile of latency; requests that never completed count as infinitely late.

        Nearest rank: the smallest latency that ``probability`` of the counted requests kept.
        """
        rank = share_of(probability, self.counted)
        if self.counted == 0 or rank > len(self.completed):
            return inf
        ranked = sorted(map(latency_s, self.completed))
        return ranked[max(0, rank - 1)]


@dataclass(frozen=True)
class Verdict:
    """A window that was judged.

    Args:
        query: the query.
        index: number of the window, from 0 at the start of the run.
        window: its requests.
        accuracy: mean expected accuracy of what was served; nan if nothing was.
        met: whether every part of the SLO held.
        latency_met: whether the latency part held.
        accuracy_met: whether the accuracy part held.
        cost_met: whether the cost part held.
        repeated: whether ``met`` is the previous verdict, for lack of requests.
        final: False if the horizon cut the window or its latency bound short.
    """

    query: Query
    index: int
    window: Window
    accuracy: float
    met: bool
    latency_met: bool
    accuracy_met: bool
    cost_met: bool
    repeated: bool
    final: bool


@dataclass
class Trial:
    """A deployment's first requests, one window's length of them, by which it is judged.

    Args:
        query: the query.
        until_ns: end of the trial.
        born: requests born in the trial.
        void: whether a failing machine, not the plan, decided the trial.
        good: completed within the bound.
        served: completed.
        accuracy_sum: summed expected accuracy of what was served.
    """

    query: Query
    until_ns: int
    born: int = 0
    good: int = 0
    served: int = 0
    accuracy_sum: float = 0.0
    void: bool = False

    @property
    def met(self) -> bool | None:
        """Whether latency and accuracy held; None if void, or if there was no request."""
        slo = self.query.slo
        if self.void or self.born == 0:
            return None
        accuracy = self.accuracy_sum / self.served if self.served else float("nan")
        in_time = self.good >= share_of(slo.latency_quantile, self.born)
        return in_time and reaches(accuracy, slo.accuracy)


@dataclass
class Account:
    """What is counted for one query.

    Args:
        query: the query.
        bound_ns: its latency bound; without one, a window's length, within which to complete.
        window_ns: length of a window.
        noted_ns: up to when its time was spread over windows.
    """

    query: Query
    bound_ns: int
    window_ns: int
    noted_ns: int
    next_index: int = 0
    departed: bool = False
    trial: Trial | None = None
    last_met: bool = False
    windows: dict[int, Window] = field(default_factory=dict)
    born: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))

    def window(self, index: int) -> Window:
        """Return an open window."""
        if index not in self.windows:
            self.windows[index] = Window()
        return self.windows[index]

    def note(self, now_ns: int) -> None:
        """Spread the time since the last note over windows, as active and as deployed."""
        while not self.departed and self.noted_ns < now_ns:
            index = self.noted_ns // self.window_ns
            end_ns = min(now_ns, (index + 1) * self.window_ns)
            window = self.window(index)
            window.active_ns += end_ns - self.noted_ns
            if self.trial is not None:
                window.deployed_ns += end_ns - self.noted_ns
            self.noted_ns = end_ns

    def due(self, now_ns: int) -> bool:
        """Tell whether the next window can be judged for good."""
        window = self.windows.get(self.next_index)
        bound_ns = self.bound_of(1.0 if window is None else window.allowance)
        return (self.next_index + 1) * self.window_ns + bound_ns <= now_ns

    def bound_of(self, allowance: float) -> int:
        """Return the latency bound of a request with this allowance, in nanoseconds."""
        return self.bound_ns if allowance == 1.0 else max(1, round(self.bound_ns * allowance))

    @property
    def judged(self) -> bool:
        """Whether the query is gone and its last window was judged."""
        return self.departed and self.next_index * self.window_ns >= self.noted_ns

    @property
    def closed(self) -> bool:
        """Whether, besides, every request has ended."""
        return self.judged and sum(self.outcomes.values()) == self.born


class GoodputBook:
    """Counts requests, and judges windows and deployments; the data plane's recorder.

    Args:
        window_s: length of a window in seconds.
        accuracy: (query, deployment, birth in ns) -> expected accuracy of a request served.
        on_verdict: is called with each window that was judged.
        on_close: is called with each account when its last window is judged and its last
            request has ended, or the run ends.
    """

    def __init__(
        self,
        window_s: float,
        accuracy: Callable[[int, int, int], float],
        on_verdict: Callable[[Verdict], None],
        on_close: Callable[[Account], None],
    ) -> None:
        self.window_ns = ns(window_s)
        self._accuracy = accuracy
        self._on_verdict = on_verdict
        self._on_close = on_close
        self._accounts: dict[int, Account] = {}
        self._trials: dict[int, Trial] = {}
        self._served: dict[int, int] = {}
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.born_total = 0
        self.goodput_ns = 0
        self.active_ns = 0

    # The control plane calls these

    def arrive(self, query: Query, now_ns: int) -> None:
        """Begin to count a query."""
        bound_s = query.slo.latency_s
        bound_ns = self.window_ns if bound_s is None else ns(bound_s)
        first = now_ns // self.window_ns
        self._accounts[query.id] = Account(query, bound_ns, self.window_ns, now_ns, first)

    def deploy(self, query: int, deployment: int | None, now_ns: int) -> None:
        """Note that a deployment, or none, is in force for a query from now on."""
        account = self._accounts[query]
        account.note(now_ns)
        account.trial = None
        if deployment is not None:
            account.trial = Trial(account.query, now_ns + self.window_ns)
            self._trials[deployment] = account.trial

    def depart(self, query: int, now_ns: int) -> None:
        """End a query's life; its last windows are judged when they are due."""
        self.deploy(query, None, now_ns)
        self._accounts[query].departed = True

    def add_cost(self, query: int, at_ns: int, usd: float) -> None:
        """Add cost that was attributed since the last call to the window that ends at ``at_ns``.

        What a departed query still owes, for a deployment that drains, is part of the bill but of
        no window.
        """
        account = self._accounts.get(query)
        if account is None:
            return
        account.note(at_ns)
        index = max(0, at_ns - 1) // self.window_ns
        if index >= account.next_index and index * self.window_ns < account.noted_ns:
            account.window(index).cost_usd += usd

    # The data plane calls these

    def born(self, query: int, arrival_ns: int, deployment: int | None, allowance: float) -> None:
        """Count a request's birth, under the deployment that it keeps, or under none.

        The data plane follows the control plane by up to a tick, so the deployment in force here
        may be a later one already.
        """
        self.born_total += 1
        account = self._accounts[query]
        account.born += 1
        window = account.window(arrival_ns // self.window_ns)
        window.born += 1
        window.allowance = max(window.allowance, allowance)
        if deployment is not None:
            trial = self._trials[deployment]
            trial.born += arrival_ns < trial.until_ns

    def ended(self, record: RequestRecord) -> None:
        """Count a request's end."""
        self.outcomes[record.outcome] += 1
        account = self._accounts[record.query]
        account.outcomes[record.outcome] += 1
        latency_ns = record.ended_ns - record.arrival_ns
        bound_ns = account.bound_of(record.allowance)
        completed = record.outcome == COMPLETED
        good = completed and latency_ns <= bound_ns
        undecided = record.outcome == IN_FLIGHT and latency_ns < bound_ns
        if record.deployment is not None:
            self._served[record.deployment] = self.served(record.deployment) + completed
            trial = self._trials[record.deployment]
            if record.arrival_ns < trial.until_ns:
                trial.good += good
                trial.born -= undecided
                if completed:
                    trial.served += 1
                    trial.accuracy_sum += self._accuracy(
                        record.query, record.deployment, record.arrival_ns
                    )
        index = record.arrival_ns // self.window_ns
        if index < account.next_index:
            return  # The window was judged, with this request counted as late.
        window = account.windows[index]
        window.outcomes[record.outcome] += 1
        window.good += good
        window.undecided += undecided
        if completed:
            window.completed.append(record)

    # Verdicts

    def judge(self, now_ns: int, horizon: bool = False) -> None:
        """Judge every window that is due; at the horizon, all that are left.

        Args:
            now_ns: up to when requests were moved.
            horizon: whether the run ends here.
        """
        for account in list(self._accounts.values()):
            if not (horizon or account.due(now_ns)):
                continue
            account.note(now_ns)
            while account.due(now_ns) and not account.judged:
                self._judge(account, final=True)
            while horizon and account.next_index * self.window_ns < account.noted_ns:
                self._judge(account, final=False)
            if account.closed or horizon:
                del self._accounts[account.query.id]
                self._on_close(account)

    def _judge(self, account: Account, final: bool) -> None:
        slo, index = account.query.slo, account.next_index
        window = account.windows.pop(index, None) or Window()
        account.next_index += 1
        served = len(window.completed)
        accuracies = [
            self._accuracy(record.query, record.deployment or 0, record.arrival_ns)
            for record in window.completed
        ]
        accuracy = fsum(accuracies) / served if served else float("nan")
        hours = window.active_ns / NS_PER_HOUR
        latency_met = window.good >= share_of(slo.latency_quantile, window.counted)
        accuracy_met = reaches(accuracy, slo.accuracy)
        ceiling = slo.cost_usd_per_hour
        cost_met = ceiling is None or window.cost_usd <= ceiling * hours * (1 + SLACK)
        repeated = window.counted == 0
        if not repeated:
            account.last_met = latency_met and accuracy_met and cost_met
        self.active_ns += window.active_ns
        self.goodput_ns += window.deployed_ns * account.last_met
        self._on_verdict(
            Verdict(
                account.query,
                index,
                window,
                accuracy,
                account.last_met,
                latency_met,
                accuracy_met,
                cost_met,
                repeated,
                final,
            )
        )

    def trial(self, deployment: int) -> Trial | None:
        """Return the trial of a deployment, or None if it never came into force."""
        return self._trials.get(deployment)

    def served(self, deployment: int) -> int:
        """Return how many requests of a deployment were completed so far."""
        return self._served.get(deployment, 0)

    def void_trial(self, deployment: int, now_ns: int) -> None:
        """Void the trial of a deployment that a failing machine ended before the trial was over."""
        trial = self._trials.get(deployment)
        if trial is not None and now_ns < trial.until_ns:
            trial.void = True

    def forget(self, deployment: int) -> None:
        """Drop the trial of a deployment whose query is closed."""
        self._trials.pop(deployment, None)
        self._served.pop(deployment, None)
