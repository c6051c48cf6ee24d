"""Calls of a planner's code outside its method ``plan``: guarded, and within ``max_call_s``."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import planners
from lab.limits.wall_limit import CALL, TimeUp, WallLimit, WallLimitError
from sim.api.errors import PlannerError
from sim.planning.guard import Guard, exits_refused, refuse_c_endings
from sim.safe_text import path_of

PLANNING = ("planners.", "sim.api.")
"""Our packages that planners and their parts are of."""
VALUES = ("builtins", "numpy", "random")
"""Modules of numbers, texts and generators, which planners have as attributes."""


def is_ours(kind: type) -> bool:
    """Return whether the class of a planner or a part is this project's, whatever it says."""
    path = path_of(kind)
    module, _, name = path.rpartition(".")
    held = vars(sys.modules.get(module, planners)).get(name)
    return path.startswith(PLANNING) and held is kind


def from_elsewhere(part: object) -> bool:
    """Return whether a planner or a part of it, such as Compass's search, is a stranger's."""
    kind = type(part)
    if kind.__module__.partition(".")[0] in VALUES:
        return False
    return not is_ours(kind) or any(map(from_elsewhere, getattr(part, "__dict__", {}).values()))


def guard_of(strangers: bool) -> Guard:
    """Return a guard for planners; it also looks at the simulator if they, or parts, are strangers.

    It takes a hundredth of a second to read what the simulator is made of.
    """
    guard = Guard()
    if strangers:
        refuse_c_endings()
        guard.note_definitions()
    return guard


def guarded_call(
    guard: Guard,
    call_s: float | None,
    what: str,
    function: Callable[[], Any],
    stuck: Callable[[str], NoReturn] | None = None,
) -> Any:
    """Call a function; return its value, or raise what it raised.

    Args:
        guard: guards the call.
        call_s: limit in seconds; None for no limit.
        what: names the called code, for messages.
        function: calls code of a planner.
        stuck: called with a sentence if the function cannot be stopped; it ends the process.

    Raises:
        PlannerError: the function changed what all planners share, or raised KeyboardInterrupt.
        WallLimitError: the function reached the limit; the message is one sentence.
        KeyboardInterrupt: the user interrupted the function, whatever it did about that.
    """

    def exceeded() -> str:
        place = f" in {limit.place}" if limit.place else ""
        return f"{CALL}={call_s:g}: {what} reached this limit{place}"

    def give_up(stop: Callable[[str], NoReturn]) -> NoReturn:
        stop(f"{exceeded()} and cannot be stopped, so the program ends")

    value, error = None, None
    limit = WallLimit(None, call_s, stuck and partial(give_up, stuck))
    with exits_refused(), limit.watching(guard):
        try:
            with limit.enforced():
                value, error = guard.run(function)
        except TimeUp:
            pass  # It was raised after the function had returned.
    changed = guard.check()  # Always, because this process can make further runs.
    if limit.reached is not None:
        raise WallLimitError(exceeded())
    if (end := limit.ending(error)) is not None:
        raise end
    if isinstance(error, KeyboardInterrupt):  # It was not the user who interrupted.
        raise PlannerError("it raised KeyboardInterrupt")
    if changed is not None:
        raise PlannerError(changed)
    if error is not None:
        raise error
    return value
