"""How soon the app can answer a random move, and how good its first answer is.

A walk of random moves over all controls, for Compass and VideoStorm on three small scenarios. Each
run of seed 0 is made in this process, and its estimates are noted with the CPU time since its
start, which includes composing the configuration. On a machine with a free core for each planner,
that is nearly the time from the move to the answer; the browser adds about 0.1 s. *Within 5 %*
counts moves after which the answer known at that time is within 5 % of the run's final goodput; a
run that has ended by then counts, too. A first answer is shown after 0.7 s; the last that can be
shown in time has 0.9 s.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from lab.app import runs
from lab.app.controls import SCENARIOS
from lab.app.forecast import QueryTime
from lab.app.runs import Message, Task
from lab.app.scenario import State
from lab.common.errors import InputError
from scenarios.drift import DriftEvent

MOVES = 15
DEADLINES_S = (0.7, 0.9)
KINDS = {"rate_change": 3.0, "link_degradation": 0.5, "device_slowdown": 0.5, "content_shift": 0.5}
EVENTS = "events"
GOODPUT = "service_goodput_mean"


def moved(state: State, draw: random.Random) -> State:
    """Return the state after a random move of one control, or of the timeline."""
    key = draw.choice([*state.controls, EVENTS])
    if key != EVENTS:
        return state.moved(key, draw.choice(state.controls[key].positions))
    if state.events and draw.random() < 0.5:
        return replace(state, events=())
    kind = draw.choice([*KINDS, "machine_failure"])
    at_s = float(round(draw.uniform(0, float(state.value("horizon_s")))))
    event = (
        DriftEvent(kind, at_s, KINDS[kind])
        if kind in KINDS
        else DriftEvent(kind, at_s, node="cloud")
    )
    return replace(state, events=(event,))


def answered(state: State, side: int, earlier: QueryTime | None) -> list[tuple[float, Message]]:
    """Make a run; return its messages with the CPU time in seconds at which each was known."""
    found: list[tuple[float, Message]] = []
    begun_s = time.process_time()
    with patch.multiple(runs, FIRST_S=0.0, AGAIN_S=0.0):
        runs.run(
            Task(0, 1, side, 0, tuple(state.overrides(side)), time.monotonic(), earlier),
            [1],
            lambda one: found.append((time.process_time() - begun_s, one)),
        )
    assert not found[-1][1].refused.startswith("this run failed"), found[-1][1].refused
    if found[-1][1].refused:
        raise InputError(found[-1][1].refused)
    return found


def walk(experiment: str, side: int, moves: int = MOVES) -> Iterator[list[tuple[float, Message]]]:
    """Yield what was known after each of some random moves."""
    draw = random.Random(f"{experiment} {moves}")
    state = State(experiment, SCENARIOS[experiment])
    answered(state, side, None)  # loads and compiles
    last = answered(state, side, None)
    made = 0
    while made < moves:
        try:
            after = moved(state, draw)
            if after == state:
                continue
            last = answered(after, side, _query_time(last))
        except InputError:
            continue  # The page would show the sentence and wait for another move.
        state = after
        made += 1
        yield last


def _query_time(messages: list[tuple[float, Message]]) -> QueryTime | None:
    figures = messages[-1][1].figures
    return None if figures is None else figures.query_time


def _goodput(message: Message) -> float:
    assert message.figures is not None
    return float(message.figures.numbers[GOODPUT])


def _is_close(messages: list[tuple[float, Message]], deadline_s: float) -> bool:
    known = [one for at_s, one in messages if at_s <= deadline_s]
    final = _goodput(messages[-1][1])
    return bool(known) and abs(_goodput(known[-1]) - final) <= 0.05 * final


def measure() -> dict[str, Any]:
    """Return the figures by scenario and planner."""
    figures: dict[str, Any] = {"moves": MOVES}
    for experiment, planners in SCENARIOS.items():
        for side, planner in enumerate(planners):
            made = list(walk(experiment, side))
            ends_s = np.array([messages[-1][0] for messages in made])
            close = {at: np.mean([_is_close(one, at) for one in made]) for at in DEADLINES_S}
            figures[f"{experiment}, {planner}"] = {
                "CPU time of the whole run, median, s": round(float(np.median(ends_s)), 2),
                "p95, s": round(float(np.quantile(ends_s, 0.95)), 2),
                **{f"ended within {at} s": f"{np.mean(ends_s <= at):.0%}" for at in DEADLINES_S},
                **{f"within 5 % after {at} s": f"{share:.0%}" for at, share in close.items()},
            }
    return figures
