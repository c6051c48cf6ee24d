"""The state of the page, its overrides, and its address, which can be a stranger's."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlencode

from lab.app import events
from lab.app.controls import AT_FIRST, SCENARIOS, Control, Value, controls, planners, written
from lab.common.errors import InputError, choices
from lab.config.compose import compose, set_up
from scenarios.drift import DriftEvent

EXPERIMENT, EVENT = "experiment", "event"
PLANNERS = ("planner", "against")
"""The names of the two planners in the address."""
LONGEST = 2_000
"""Largest number of characters of an address's query."""


@dataclass(frozen=True)
class State:
    """What the controls are set to.

    Args:
        experiment: one of the experiments in `SCENARIOS`.
        planners: the two planners.
        values: the values of controls that differ from those at the start, by key.
        events: drift events.
    """

    experiment: str = "speech_small"
    planners: tuple[str, str] = SCENARIOS["speech_small"]
    values: Mapping[str, Value] = field(default_factory=dict)
    events: tuple[DriftEvent, ...] = ()

    @property
    def controls(self) -> Mapping[str, Control]:
        """The controls, by key."""
        return controls(self.experiment)

    def value(self, key: str) -> Value:
        """Return what a control is set to."""
        return self.values.get(key, self.controls[key].default)

    @property
    def horizon_s(self) -> float:
        """Length of the simulated time in seconds."""
        return float(self.value("horizon_s"))

    def moved(self, key: str, value: Value) -> "State":
        """Return the state with another value of a control."""
        kept = {name: one for name, one in self.values.items() if name != key}
        if value != self.controls[key].default:
            kept[key] = value
        order = [name for name in self.controls if name in kept]
        return replace(self, values={name: kept[name] for name in order})

    def overrides(self, side: int) -> list[str]:
        """Return the overrides of the run of one planner, as for ``compass-sim``."""
        found = [f"{EXPERIMENT}={self.experiment}", f"planner={self.planners[side]}"]
        given = {*AT_FIRST.get(self.experiment, ()), *self.values}
        found += [f"{key}={written(self.value(key))}" for key in self.controls if key in given]
        return found + ([events.override(self.events)] if self.events else [])

    def command(self, side: int, seed: int = 0) -> str:
        """Return the shell command whose run has the same tables."""
        return shlex.join(["compass-sim", *self.overrides(side), f"seed={seed}"])

    def apart(self, other: "State", side: int) -> list[str]:
        """Return how this state differs from another of the same experiment for one planner.

        These are overrides with the values of this state, also where they are those at the start.
        """
        found = [f"planner={self.planners[side]}"] * (self.planners[side] != other.planners[side])
        for key in self.controls:
            if self.value(key) != other.value(key):
                found.append(f"{key}={written(self.value(key))}")
        return found + [events.override(self.events)] * (self.events != other.events)

    def check(self) -> None:
        """Raise InputError, in one sentence, if the state is no valid configuration."""
        for side in range(2):
            overrides = self.overrides(side)
            set_up(compose(overrides), overrides)

    def query(self) -> str:
        """Return the query of the page's address, which `state_of` reads."""
        pairs = [(EXPERIMENT, self.experiment), *zip(PLANNERS, self.planners, strict=True)]
        pairs += [(key, written(value)) for key, value in self.values.items()]
        pairs += [(EVENT, events.written(one)) for one in self.events]
        return urlencode(pairs, safe=":,")


def state_of(query: str) -> State:
    """Return the state that the query of an address has, such as ``workload.rate=0.2``.

    Raises InputError, in one sentence, for anything that no control could set, and for what is no
    valid configuration. Nothing of the text gets into an override unless a control has read it.
    """
    pairs = _pairs(query)
    given = dict(pairs)
    experiment = given.pop(EXPERIMENT, State().experiment)
    if experiment not in SCENARIOS:
        raise InputError(f"{EXPERIMENT}={experiment}: {choices(experiment, SCENARIOS)}")
    first, other = (
        _planner(name, given.pop(name, default))
        for name, default in zip(PLANNERS, SCENARIOS[experiment], strict=True)
    )
    happens = tuple(events.read(text) for name, text in pairs if name == EVENT)
    if len(happens) > events.MOST:
        raise InputError(f"{EVENT}: a scenario here has at most {events.MOST} events")
    given.pop(EVENT, None)
    state = State(experiment, (first, other), events=happens)
    for key, text in given.items():
        if key not in state.controls:
            known = (EXPERIMENT, *PLANNERS, EVENT, *state.controls)
            raise InputError(f"{key}: no such key of the scenario; {choices(key, known)}")
        state = state.moved(key, state.controls[key].read(text))
    state.check()
    return state


def _pairs(query: str) -> Sequence[tuple[str, str]]:
    """Return the names and texts of a query; raise InputError if it is none, or has one twice."""
    if len(query) > LONGEST:
        raise InputError(f"the address is longer than {LONGEST:,} characters")
    try:
        pairs = parse_qsl(query.removeprefix("?"), True, bool(query.strip("?")))
    except ValueError:
        raise InputError("the address must end in ?NAME=VALUE&NAME=VALUE") from None
    names = [name for name, _ in pairs if name != EVENT]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: the address has it twice")
    return pairs


def _planner(name: str, text: str) -> str:
    if text not in planners():
        raise InputError(f"{name}={text}: {choices(text, planners())}")
    return text
