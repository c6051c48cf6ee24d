"""Whether a figure reaches the goal that was set for it."""

from lab.analysis.paired import Interval


def verdict(value: Interval, goal: float, at_most: bool = False, sign: str = "") -> str:
    """Say whether a value reaches a goal: yes or no if its whole interval does or does not.

    Args:
        value: the value with its interval.
        goal: the least that reaches it.
        at_most: whether the goal is the most that reaches it instead.
        sign: ``"≤"`` if the value is an upper bound, so that values above a goal tell nothing;
            ``"≥"`` likewise below.

    Returns:
        ``"yes"``, ``"no"``, or ``"open"`` if the interval does not tell; of one seed, which has no
        interval, what its value says, and that it is one; a dash without a value.
    """
    middle, low, high = value
    if middle is None:
        return "-"
    if low is None or high is None:
        return f"{'yes' if _reaches(middle, goal, at_most) else 'no'}, of one seed"
    reached = {_reaches(end, goal, at_most) for end in (low, high)}
    tells = {"": (True, False), "≤": (at_most,), "≥": (not at_most,)}[sign]
    [only] = reached if len(reached) == 1 else [None]
    return "open" if only not in tells else "yes" if only else "no"


def _reaches(value: float, goal: float, at_most: bool) -> bool:
    return value <= goal if at_most else value >= goal
