"""Answers for one page: two planners on the same seeds, the newest move only."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from lab.analysis.statistics import IntervalEstimate, estimate, of_difference
from lab.app.forecast import QueryTime
from lab.app.runs import Figures, Message, Task
from lab.app.scenario import State
from lab.app.workers import Workers, now_s
from lab.common.metrics import METRICS, range_of
from lab.reporting.animation.scene import Scene

SEEDS = 5
"""Number of seeds for intervals; more take longer."""
LEAST = 3
"""Least number of seeds for an interval; one of two seeds is 13 standard errors wide each way."""
SIDES = (0, 1)
NOT_NEGATIVE = (0.0, inf)
"""The range of the numbers that only this page shows."""


@dataclass(frozen=True)
class Answer:
    """What is known of one planner for the newest move.

    Args:
        number: number of the move.
        state: the state after the move.
        side: which of the planners.
        preliminary: whether not even the first run has ended.
        figures: the figures of seed 0, estimated if they are preliminary.
        runs: figures of finished runs, by seed; as shown, of the seeds that both planners have.
        refused: a sentence if the state cannot be simulated.
        compiled: number of functions compiled so far, while the workers compile.
        before: the last answer to an earlier move in which a run had ended, if it was another one.
    """

    number: int
    state: State
    side: int
    preliminary: bool = True
    figures: Figures | None = None
    runs: Mapping[int, Figures] = field(default_factory=dict)
    refused: str = ""
    compiled: int | None = None
    before: "Answer | None" = None

    @property
    def scene(self) -> Scene | None:
        """What happens in the run of seed 0, once it has ended."""
        return None if self.preliminary or self.figures is None else self.figures.scene

    @property
    def directory(self) -> Path | None:
        """Where the results of the run of seed 0 are kept, once it has ended."""
        return None if self.preliminary or self.figures is None else self.figures.directory

    @property
    def paired(self) -> list[int]:
        """The seeds whose runs had ended before the move, too."""
        return sorted(self.runs.keys() & self.before.runs.keys()) if self.before else []

    def interval(self, name: str) -> IntervalEstimate:
        """Return the mean of a number over seeds; from `LEAST` on with its 95 % interval."""
        return _interval(name, self._values(name))

    def earlier(self, name: str) -> IntervalEstimate:
        """Return the mean of a number before the move, over the same seeds once there are some."""
        if self.before is None:
            return IntervalEstimate(0)
        seeds = self.paired if not self.preliminary else ()
        return _interval(name, self.before._values(name, seeds))

    def difference(self, name: str) -> IntervalEstimate:
        """Return the mean difference of a number from before the move, paired by seed."""
        if self.before is None or self.preliminary:
            return IntervalEstimate(0)
        now, before = self._values(name), self.before._values(name)
        seeds = sorted(now.keys() & before.keys())
        return _interval(name, {each: now[each] - before[each] for each in seeds}, difference=True)

    def _values(self, name: str, seeds: Collection[int] = ()) -> Mapping[int, float]:
        """Return a number by seed, where it has a value."""
        found = {each: self.runs[each].numbers.get(name) for each in seeds or sorted(self.runs)}
        return {each: float(value) for each, value in found.items() if value is not None}


def _interval(name: str, values: Mapping[int, float], difference: bool = False) -> IntervalEstimate:
    within = range_of(name) if name in METRICS else NOT_NEGATIVE
    found = np.array(list(values.values()))
    made = estimate(found, within=of_difference(within) if difference else within)
    return made if made.n >= LEAST else replace(made, low=None, high=None)


class Answers:
    """The answers of one page.

    Args:
        workers: the processes that make the runs.
        show: gets each new `Answer`, in a thread of the workers; an answer to an older move is
            never shown after one to a newer move.
        seeds: number of seeds.
    """

    def __init__(self, workers: Workers, show: Callable[[Answer], Any], seeds: int = SEEDS) -> None:
        self.workers, self.show, self.seeds = workers, show, seeds
        self.slot = workers.page(self._take)
        self._lock = RLock()
        self._now: list[Answer] = []
        # Of seed 0, by experiment and planner.
        self._query_times: dict[tuple[str, str], QueryTime] = {}

    def ask(self, state: State) -> int:
        """Answer a move; return its number. Earlier moves get no further answers."""
        asked_s = now_s()
        with self._lock:
            number = self.workers.move(self.slot)
            self._now = [self.waiting(state, side, number) for side in SIDES]
            known = self._query_times
            earlier_of = [known.get((state.experiment, name)) for name in state.planners]
        for seed in range(self.seeds):
            for side in SIDES:
                overrides = tuple(state.overrides(side))
                earlier = earlier_of[side] if seed == 0 else None
                self.workers.ask(Task(self.slot, number, side, seed, overrides, asked_s, earlier))
        return number

    def waiting(self, state: State, side: int, number: int = 0) -> Answer:
        """Return what is known of a move before its runs."""
        with self._lock:
            before = self._before(side) if self._now else None
        if before is not None and (
            before.state.experiment != state.experiment
            or before.state.overrides(side) == state.overrides(side)
        ):
            before = None
        return Answer(number, state, side, compiled=self.workers.compiled, before=before)

    def _before(self, side: int) -> Answer | None:
        last = self._now[side]
        return last.before if last.preliminary else replace(last, before=None)

    def examine(self, run: Path, query: int, take: Callable[[str], Any]) -> None:
        """Examine the decisions on a query; `take` gets the text, in a thread of the workers."""
        self.workers.regrets(self.slot, run, query, take)

    def close(self) -> None:
        """End the runs of this page."""
        with self._lock:
            self._now = []
        self.workers.leave(self.slot, self._take)

    def _take(self, message: Message) -> None:
        with self._lock:
            if not self._now or message.number != self._now[message.side].number:
                return
            side, other = message.side, 1 - message.side
            before = self._shown(other)
            self._now[side] = self._with(self._now[side], message)
            self.show(self._shown(side))
            if (after := self._shown(other)).runs.keys() != before.runs.keys():
                self.show(after)

    def _shown(self, side: int) -> Answer:
        """Return what is shown of a planner: the seeds that both have, or only its own seed 0."""
        answer, other = self._now[side], self._now[1 - side]
        common = answer.runs.keys() & other.runs.keys()
        seeds = common if 0 in common else {0}
        return replace(
            answer, runs={seed: one for seed, one in answer.runs.items() if seed in seeds}
        )

    def _with(self, answer: Answer, message: Message) -> Answer:
        figures = message.figures
        if figures is None and message.refused:
            return replace(answer, refused=message.refused)
        if figures is None:
            return replace(answer, compiled=message.compiled)
        if figures.query_time is None:  # The run goes on.
            return replace(answer, figures=figures) if answer.preliminary else answer
        answer = replace(answer, runs={**answer.runs, message.seed: figures})
        if message.seed:
            return answer
        state = answer.state
        self._query_times[state.experiment, state.planners[message.side]] = figures.query_time
        return replace(answer, preliminary=False, figures=figures)
