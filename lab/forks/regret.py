"""Regret: what the best alternative would have gained at each decision of a planner.

Decisions are examined in the order of the run. At each, every alternative is tried in a fork, with
the best choices so far in force and the planner deciding the rest. The regret is what the best
alternative gains over what the planner chose, or zero. The best alternative then stays in force. So
the regrets add up to the gap between the run and the run with all of these choices. Forks use the
truth, which planners never see.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import fsum, inf
from typing import Any

from lab.common.errors import InputError
from lab.config.compose import Setup
from lab.forks.alternatives import alternatives
from lab.forks.fork import continued
from lab.runs.api import Result
from scenarios.applications.pipeline import Pipeline
from sim.api.plan import Allocation, Plan
from sim.clock import seconds
from sim.controlplane.planner_calls import Outcome
from sim.controlplane.recording import Choice, Forced, Instead, Recorder, Recording
from sim.controlplane.world import World

GOODPUT, COST = "goodput", "cost"
METRICS = {GOODPUT: "service_goodput_mean", COST: "total_cost_usd"}
"""The key of the summary for each objective."""
LEAST_GAIN = 1e-9
"""Smallest gain that counts, because sums are rounded."""
WITHIN = 0.01
"""Share of the gap by which the sum of regrets may differ from it."""


@dataclass(frozen=True)
class Decision:
    """A decision of the planner on a query: an order, or the first of several to wait."""

    call: int  # number of the planner's call, from 0
    query: int
    at_s: float
    trigger: str
    chosen: str  # the plan, "wait" or "release"


@dataclass(frozen=True)
class Regret:
    """An examined decision. Values are those of the objective's number of the summary."""

    decision: Decision
    regret: float  # gain of the best alternative, in the unit of the objective
    best: str  # the best alternative as text; the planner's own choice if nothing is better
    tried: int  # number of alternatives
    choice: Any = None  # the best alternative as plain values; None if nothing is better

    def in_words(self) -> str:
        """Return a sentence on a regret in goodput."""
        made = self.decision
        gained = f"nothing better than {made.chosen}"
        if self.regret:
            gained = f"{self.regret:.4g} queries by {self.best} instead of {made.chosen}"
        return f"at {made.at_s:.1f} s, on {made.trigger}: {gained}"


@dataclass
class Regrets:
    """The regrets of a run, as far as its decisions were examined."""

    by: str  # the objective
    found: list[Regret] = field(default_factory=list)
    before: float = 0.0  # objective of the run
    after: float = 0.0  # of the run with the best choices
    checked: float | None = None  # the same of an uninterrupted run, when all is examined
    left: Sequence[Decision] = ()  # decisions that were not examined

    @property
    def gap(self) -> float:
        """What all choices gain together, by the uninterrupted run if there is one."""
        gained = (self.after if self.checked is None else self.checked) - self.before
        return gained if self.by == GOODPUT else -gained

    def check(self) -> None:
        """Raise InputError unless the regrets add up to the gap to the uninterrupted run."""
        total = fsum(each.regret for each in self.found)
        if abs(total - self.gap) > WITHIN * abs(self.gap) + 1e-12:
            raise InputError(
                f"regret: the sum {total:g} differs from the gap {self.gap:g} to an uninterrupted "
                "run with the same choices; the planner may not be deterministic"
            )


def decisions(recording: Recording) -> Iterator[Decision]:
    """Yield the decisions of a recorded run in order: by call, and within a call by query.

    Waiting again without any order in between is no new decision.
    """
    waits: set[int] = set()
    for number, call in enumerate(recording.calls):
        orders = call.outcome.orders
        for query in sorted({*orders, *(call.outcome.searches.keys() & call.waiting)}):
            if query in orders:
                waits.discard(query)
                plan = orders[query].plan
                chosen = "release" if plan is None else str(plan)
            elif query in waits:
                continue
            else:
                waits.add(query)
                chosen = Instead.WAIT.value
            yield Decision(number, query, seconds(call.at_ns), call.trigger, chosen)


class Examination:
    """Examines the decisions of one run; `regrets` has those so far.

    ``keep`` is called after each decision. ``regrets`` can be those of an interrupted examination.
    With a ``query``, only the decisions on it are examined; those on others stay the planner's.

    Raises:
        InputError: the run cannot be repeated.
    """

    def __init__(
        self,
        setup: Setup,
        regrets: Regrets,
        keep: Callable[[Regrets], None] = lambda _: None,
        query: int | None = None,
    ) -> None:
        self._setup, self.regrets, self._keep, self._query = setup, regrets, keep, query
        self._pipeline = setup.scenario().application.pipeline
        self._now = self._uninterrupted()
        value = self._value(self._now)
        if not regrets.found:
            regrets.before = value
        regrets.after = value
        self._list_left()

    def _uninterrupted(self) -> Result:
        """Simulate the run with the best choices so far from its start, without any fork."""
        forced = [
            Forced(one.decision.call, one.decision.query, choice_of(one.choice, self._pipeline))
            for one in self.regrets.found
            if one.choice is not None
        ]
        return continued(self._setup, Recorder(forced=forced))

    def _value(self, result: Result) -> float:
        if result.summary["status"] != "finished":
            raise InputError(f"RUN: a run of its planner has status {result.summary['status']}")
        return float(result.summary[METRICS[self.regrets.by]])

    def _gain(self, result: Result) -> float:
        """Return what a run gains over the present one; at no loss of goodput, if it is cost."""
        if self.regrets.by == GOODPUT:
            return self._value(result) - self._value(self._now)
        key = METRICS[GOODPUT]
        if result.summary[key] < self._now.summary[key]:
            return -inf
        return self._value(self._now) - self._value(result)

    def _list_left(self) -> None:
        assert self._now.recorded is not None
        done = [(one.decision.call, one.decision.query) for one in self.regrets.found]
        last = max(done, default=(-1, -1))
        self.regrets.left = [
            each
            for each in decisions(self._now.recorded.recording)
            if (each.call, each.query) > last and self._query in (None, each.query)
        ]

    def examine(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Examine the decisions that are left, as long as ``goes_on`` returns True."""
        while self.regrets.left:
            found = self._examined(self.regrets.left[0], goes_on)
            if found is None:
                return
            self.regrets.found.append(found)
            self.regrets.after = self._value(self._now)
            self._list_left()
            self._keep(self.regrets)
        if self.regrets.checked is None:
            self.regrets.checked = self._value(self._uninterrupted())
            self._keep(self.regrets)

    def _examined(self, decision: Decision, goes_on: Callable[[], bool]) -> Regret | None:
        """Try all alternatives at a decision; return None if there was no time for all."""
        plans: list[Plan] = []
        query, own = decision.query, decision.chosen

        def look(world: World, outcome: Outcome) -> None:
            plans.extend(alternatives(world, outcome, world.registry.living[query].query))

        # The first fork also looks for plans.
        choices: list[Choice] = [Instead.REFUSE, *([] if own == "wait" else [Instead.WAIT])]
        best, most, chosen, tried = self._now, 0.0, None, 0
        while choices:
            if not goes_on():
                return None
            choice = choices.pop(0)
            result = self._forked(decision, choice, look if not tried else lambda *_: None)
            if not tried:
                choices += [plan for plan in plans if str(plan) != own]
            tried += 1
            gain = self._gain(result)
            if gain > most + LEAST_GAIN:
                best, most, chosen = result, gain, choice
        self._now = best
        text = own if chosen is None else str(chosen)
        return Regret(decision, most, text, tried, plain(chosen))

    def _forked(
        self, decision: Decision, choice: Choice, look: Callable[[World, Outcome], None]
    ) -> Result:
        assert self._now.recorded is not None
        forced = [Forced(decision.call, decision.query, choice)]
        recording = self._now.recorded.recording
        return continued(self._setup, Recorder(recording, decision.call, forced, look=look))


def plain(choice: Choice | None) -> Any:
    """Return a choice as values that JSON can have."""
    if not isinstance(choice, Plan):
        return choice and str(choice)
    return {
        "configuration": choice.configuration.index,
        "placement": list(choice.placement),
        "allocation": [list(each) for each in choice.allocation],
    }


def choice_of(value: Any, pipeline: Pipeline) -> Choice:
    """Return the choice that `plain` made plain."""
    if isinstance(value, str):
        return Instead(value)
    return Plan(
        pipeline.configurations[value["configuration"]],
        tuple(value["placement"]),
        tuple(Allocation(*each) for each in value["allocation"]),
    )
