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


def is_ours(kind: type) -> bool:
    """Return whether a planner's class is one of this project, whatever it says itself."""
    path = path_of(kind)
    module, _, name = path.rpartition(".")
    held = vars(sys.modules.get(module, planners)).get(name)
    return path.startswith("planners.") and held is kind


def guard_of(*kinds: type) -> Guard:
    """Return a guard for planners' classes; it also looks at the simulator if one is a stranger."""
    guard = Guard()
    if not all(map(is_ours, kinds)):
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
