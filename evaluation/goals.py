"""Whether a figure reaches the goal that was set for it."""

from evaluation.paired import Interval


def verdict(value: Interval, goal: float, at_most: bool = False) -> str:
    """Say whether a value reaches a goal: yes or no if its whole interval does or does not.

    Args:
        value: the value with its interval.
        goal: the least that reaches it.
        at_most: whether the goal is the most that reaches it instead.

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
    return "open" if len(reached) > 1 else "yes" if True in reached else "no"


def _reaches(value: float, goal: float, at_most: bool) -> bool:
    return value <= goal if at_most else value >= goal
