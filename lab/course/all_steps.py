"""All steps of the course, in order, by name."""

from typing import Any

from lab.common.errors import InputError, choices
from lab.course import drift, matching, pipeline, placement, search, sharing, station, tiers
from lab.course.grading import Feedback, Step

_MODULES = (station, pipeline, placement, sharing, matching, search, drift, tiers)
_STEPS: dict[str, Step] = {step.name: step for module in _MODULES for step in module.STEPS}


def steps() -> dict[str, Step]:
    """Return the steps by name, in their order."""
    return dict(_STEPS)


def check(step: str, answer: Any, seed: int = 0) -> Feedback:
    """Say whether an answer is right.

    Args:
        step: name of the step, such as ``"1.1"``.
        answer: the student's function, or planner; None means that there is no answer yet.
        seed: what the inputs are drawn from. Answers must be right for every seed.

    Returns:
        The feedback, which is true if the answer is right.

    Raises:
        InputError: there is no such step.
    """
    return _step(step).feedback(answer, seed)


def hint(step: str, level: int = 1) -> str:
    """Return a hint: level 1 says where to look, 2 names the method, 3 nearly gives the answer.

    Raises:
        InputError: there is no such step, or no such level.
    """
    hints = _step(step).hints
    if level not in (1, 2, 3):
        raise InputError(f"hint {level!r}: there are three hints for each step, 1, 2 and 3")
    return hints[level - 1]


def _step(name: str) -> Step:
    if name not in _STEPS:
        raise InputError(f"step {name!r}: there is no such step; {choices(str(name), _STEPS)}")
    return _STEPS[name]
