"""The graders of the course: each says whether an answer is right, but does not give it away.

Answers are checked against the simulator or the tables, not against a key. None means no answer
yet. If an answer has the wrong form, the grader says in one sentence which form it expects.
"""

import math
import os
from collections.abc import Sequence
from functools import cache
from numbers import Integral, Real
from typing import TypeGuard

import numpy as np
import polars as pl
from scipy import stats

from hardware_models.gpu import gpu_latency, mig
from lab import Result, compare, run
from planners import CheapestFeasible
from sim import Planner, PlannerCheckError, check_planner

SMOKE = os.environ.get("COMPASS_SMOKE") == "1"
HORIZON_S = 180 if SMOKE else 600
BOARD = "A100-80GB"
UNANSWERED = "no answer yet"
RIGHT = "right"


@cache
def example() -> Result:
    """Return the run on which the exercises are based."""
    overrides = ["experiment=speech_small", f"horizon_s={HORIZON_S}", "requests=true"]
    return run([*overrides, "planner=cheapest_feasible"])


def requests_under_way(answer: object) -> str:
    """Grade the mean number of requests under way at a time, within 2 %."""
    if answer is None:
        return UNANSWERED
    if not _number(answer):
        return "not yet: a number of requests is wanted, such as 12.5"
    requests = example().requests
    assert requests is not None
    done = requests.filter(pl.col("outcome") == "completed")
    born_s = np.sort(done["arrival_s"].to_numpy())
    ended_s = np.sort((done["arrival_s"] + done["latency_s"]).to_numpy())
    looked_s = np.linspace(0, HORIZON_S, 200_001)
    under_way = np.searchsorted(born_s, looked_s, "right") - np.searchsorted(ended_s, looked_s)
    return _near(answer, float(under_way.mean()), 0.02)


def highest_utilisation(answer: object, bound: float = 5.0) -> str:
    """Grade the highest utilisation of M/M/1 at which 95 % take at most so many service times."""
    if answer is None:
        return UNANSWERED
    if not _number(answer):
        return "not yet: a utilisation is wanted, a number between 0 and 1, such as 0.5"
    if not 0 < answer < 1:
        return f"not yet: a utilisation lies between 0 and 1{_of_percent(answer)}"

    def in_time(load: float) -> float:
        rng = np.random.default_rng(0)
        gaps, times = rng.exponential(1 / load, 400_000), rng.exponential(1.0, 400_000)
        # Lindley: each wait is the height of the walk above its lowest point so far.
        walk = np.concatenate([[0.0], np.cumsum(times[:-1] - gaps[1:])])
        return float(np.mean(walk - np.minimum.accumulate(walk) + times <= bound))

    if in_time(max(answer - 0.02, 1e-6)) < 0.95:  # Without load there are no gaps to draw.
        return "not yet: at this utilisation too many are late"
    return RIGHT if in_time(answer + 0.02) < 0.95 else "not yet: it can be busier than that"


def crowded_layout(answer: object, keep: str = "3g.40gb") -> str:
    """Grade a layout of an A100-80GB: the most instances, at least one of them of a profile."""
    if answer is None:
        return UNANSWERED
    if not _layout(answer):
        return (
            "not yet: a layout is wanted, a list of (profile, start), such as "
            '[("3g.40gb", 0), ("2g.20gb", 4)]'
        )
    try:
        mig.check_layout(BOARD, answer)
    except ValueError as error:
        return f"not yet: {error}"
    if keep not in [name for name, _ in answer]:
        return f"not yet: there is no {keep} in it"
    layouts = mig.maximal_layouts(BOARD)
    most = max(len(each) for each in layouts if keep in [name for name, _ in each])
    return RIGHT if len(answer) == most else "not yet: there is room for more instances"


def allocation(
    answer: object, model: str = "bert", per_s: float = 300, bound_ms: float = 80
) -> str:
    """Grade (compute slices, batch) of equal instances for a rate, batches within half a bound.

    Among the answers that meet both, those with the fewest compute slices in total are right.
    """
    if answer is None:
        return UNANSWERED
    if not _pair(answer):
        return "not yet: two whole numbers are wanted, (compute slices, batch), such as (7, 1)"
    instances = {1: 7, 2: 3, 3: 2, 4: 1, 7: 1}
    if answer[0] not in instances:
        return f"not yet: an instance has {', '.join(map(str, instances))} compute slices"

    def needed(slices: int, batch: int) -> int | None:
        time_s = gpu_latency.batch_latency(model, slices, batch).seconds
        count = int(np.ceil(per_s * time_s / batch))
        fast = time_s <= bound_ms / 2e3
        return count * slices if fast and count <= instances[slices] else None

    try:
        mine = needed(*answer)
    except ValueError as error:
        return f"not yet: {error}"
    if mine is None:
        return "not yet: batches take too long, or the card has not so many instances"
    all_of_them = [needed(slices, batch) for slices in instances for batch in range(1, 257)]
    least = min(each for each in all_of_them if each is not None)
    return RIGHT if mine == least else "not yet: fewer compute slices would do"


def slow_devices(answer: object) -> str:
    """Grade the share of false acceptances of users whose device is slower than nominal.

    The tolerance of 2 % allows rounding; one user more or less would be further off.
    """
    if answer is None:
        return UNANSWERED
    if not _number(answer):
        return "not yet: a share is wanted, a number between 0 and 1, such as 0.5"
    if not 0 <= answer <= 1:
        return f"not yet: a share lies between 0 and 1{_of_percent(answer)}"
    queries = example().queries
    falsely = queries["false_acceptances"].to_numpy()
    slow = queries["true_device_factor"].to_numpy() < 1
    if not falsely.sum():
        return "no plan was accepted falsely here: run it without the smoke switch"
    return _near(answer, float(falsely[slow].sum() / falsely.sum()), 0.02)


def planner(answer: object, seeds: int = 2) -> str:
    """Grade a planner: it keeps the contract, and beats CheapestFeasible on each of some seeds."""
    if answer is None:
        return UNANSWERED
    if not isinstance(answer, Planner) or _is_unfair(answer):
        return f"not yet: {_wanted(answer)}"
    try:
        check_planner(answer, other_process=False)
    except PlannerCheckError as error:
        return f"not yet: {error}"
    found = compare(
        {"theirs": CheapestFeasible(), "yours": answer},
        "speech_small",
        seeds=seeds,
    ).runs
    goodput = {
        name: found.filter(planner=name).sort("seed")["service_goodput_mean"]
        for name in ("theirs", "yours")
    }
    won = int((goodput["yours"] > goodput["theirs"]).sum())
    return RIGHT if won == seeds else f"not yet: it is better on {won} of {seeds} seeds"


def _is_unfair(answer: Planner) -> bool:
    return answer.sees_truth or _is_ours(answer)


def _is_ours(answer: object) -> bool:
    return type(answer).__module__.partition(".")[0] == "planners"


def _wanted(answer: object) -> str:
    """Return which answer is expected, for an answer that is no planner of one's own."""
    if isinstance(answer, type):
        return f"a planner is wanted, not its class: {answer.__name__}()"
    if not isinstance(answer, Planner):
        return "a planner is wanted, an object of a class that derives from Planner"
    if _is_ours(answer):
        return "a planner of your own is wanted, not one that is there already"
    return "it sees the truth, which no planner in the field does"


def seeds_needed(answer: object, differences: Sequence[float], effect: float) -> str:
    """Grade how many seeds make the half-width of a 95 % t-interval at most an effect."""
    if answer is None:
        return UNANSWERED
    if not _whole(answer):
        return "not yet: a number of seeds is wanted, a whole one, such as 20"
    if answer < 2:
        return "not yet: an interval takes two seeds at least"

    def half_width(n: int) -> float:
        return float(stats.t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / np.sqrt(n))

    if half_width(answer) > effect:
        return "not yet: the interval would be wider than that"
    enough = answer > 2 and half_width(answer - 1) <= effect
    return "not yet: fewer would do" if enough else RIGHT


def _number(answer: object) -> TypeGuard[float]:
    return isinstance(answer, Real) and not isinstance(answer, bool) and math.isfinite(answer)


def _whole(answer: object) -> TypeGuard[int]:
    return isinstance(answer, Integral) and not isinstance(answer, bool)


def _pair(answer: object) -> TypeGuard[tuple[int, int]]:
    return isinstance(answer, tuple | list) and len(answer) == 2 and all(map(_whole, answer))


def _layout(answer: object) -> TypeGuard[Sequence[tuple[str, int]]]:
    return isinstance(answer, tuple | list) and all(
        isinstance(each, tuple | list)
        and len(each) == 2
        and isinstance(each[0], str)
        and _whole(each[1])
        for each in answer
    )


def _of_percent(answer: float) -> str:
    """Return a clause that converts a number probably meant as a percentage, or nothing."""
    return f": {answer:g} % is {answer / 100:g}" if 1 < answer <= 100 else ""


def _near(answer: float, truth: float, tolerance: float) -> str:
    if abs(answer - truth) <= tolerance * max(abs(truth), 1e-12):
        return RIGHT
    return f"not yet: too {'large' if answer > truth else 'small'}"
