"""Graders of notebook 5: many queries, who is served well, and who gets which instance."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl

from lab.course.forms import near, number, wholes
from lab.course.given import Array
from lab.course.grading import Arguments, Exercise, Mistake, NotYetError, Step, UnansweredError
from sim import Planner, PlannerCheckError, check_planner

PARTS = ("latency_met", "accuracy_met", "cost_met")
NOBODY = -1


def _windows(rng: np.random.Generator) -> Iterable[Arguments]:
    """Draw tables of windows; parts of an SLO fail independently, and users come and go."""
    for _ in range(4):
        count = int(rng.integers(40, 200))
        verdicts = {part: rng.random(count) < rng.uniform(0.5, 0.95) for part in PARTS}
        active_s = np.where(rng.random(count) < 0.3, rng.uniform(1, 10, count), 10.0)
        frame = pl.DataFrame({"query": np.arange(count) // 8, "active_s": active_s, **verdicts})
        yield frame, float(np.ceil(count / rng.uniform(0.4, 3)) * 10 / 8)


def _rows(windows: pl.DataFrame) -> list[tuple[float, list[bool]]]:
    """Return for each window its seconds, and which parts of the SLO were met."""
    return [(row["active_s"], [row[part] for part in PARTS]) for row in windows.to_dicts()]


def _goodput(value: float, windows: pl.DataFrame, horizon_s: float) -> str:
    served_s = math.fsum(seconds for seconds, parts in _rows(windows) if all(parts))
    return near(value, served_s / horizon_s)


_GOODPUT = Exercise(
    "a number of queries, such as 3.2",
    number,
    _windows,
    _goodput,
    (
        Mistake(
            lambda windows, horizon_s: (
                math.fsum(seconds * np.mean(parts) for seconds, parts in _rows(windows)) / horizon_s
            ),
            "you count windows in part; an SLO is met only if all of its parts are",
        ),
        Mistake(
            lambda windows, horizon_s: (
                math.fsum(seconds for seconds, parts in _rows(windows) if parts[0]) / horizon_s
            ),
            "you look at latency only; accuracy and cost belong to the SLO, too",
        ),
        Mistake(
            lambda windows, horizon_s: (
                math.fsum(seconds for seconds, parts in _rows(windows) if all(parts))
                / math.fsum(seconds for seconds, _ in _rows(windows))
            ),
            "that is the share of users' time; the number of users served well is wanted, on "
            "average over the run",
        ),
        Mistake(
            lambda windows, horizon_s: np.mean([all(parts) for _, parts in _rows(windows)]),
            "that is a share of windows; windows last differently long, and the number of users "
            "served well is wanted",
        ),
    ),
)


def _values(rng: np.random.Generator) -> Iterable[Arguments]:
    """Draw values of instances for queries, for which greedy choices are not the best."""
    drawn = 0
    while drawn < 6:
        queries, instances = int(rng.integers(3, 6)), int(rng.integers(3, 6))
        value = np.round(rng.uniform(0.1, 1, (queries, instances)), 3)
        value[rng.random(value.shape) < 0.3] = 0.0
        best = _most(value)
        if best > 1.02 * max(_total(_largest_first(value), value), _total(_in_turn(value), value)):
            drawn += 1
            yield (value,)


def _total(chosen: Sequence[int], value: Array) -> float:
    return math.fsum(value[row, each] for row, each in enumerate(chosen) if each != NOBODY)


def _most(value: Array) -> float:
    """Return the largest total value, by trying all matchings."""
    queries, instances = value.shape
    padded = np.hstack([value, np.zeros((queries, queries))])
    places = range(instances + queries)
    found = 0.0
    for chosen in permutations(places[: max(instances, queries)], queries):
        found = max(found, math.fsum(padded[row, each] for row, each in enumerate(chosen)))
    return found


def _in_turn(value: Array) -> list[int]:
    """Let each query in turn take the instance that is best for it among those left."""
    left, chosen = set(range(value.shape[1])), []
    for row in value:
        best = max(left, key=row.__getitem__, default=NOBODY)
        chosen.append(best if best != NOBODY and row[best] > 0 else NOBODY)
        left.discard(chosen[-1])
    return chosen


def _largest_first(value: Array) -> list[int]:
    """Take the largest values first."""
    chosen = [NOBODY] * value.shape[0]
    for place in np.argsort(-value, axis=None, kind="stable"):
        query, instance = (int(each) for each in np.unravel_index(place, value.shape))
        if chosen[query] == NOBODY and instance not in chosen and value[query, instance] > 0:
            chosen[query] = instance
    return chosen


def _matched(value: Sequence[int], table: Array) -> str:
    chosen = [int(each) for each in value]
    if len(chosen) != len(table):
        return "an instance for each query is wanted, or -1"
    if not all(NOBODY <= each < table.shape[1] for each in chosen):
        return "there is no instance of that number"
    taken = [each for each in chosen if each != NOBODY]
    if len({*taken}) < len(taken):
        return "two queries have the same instance"
    if any(table[row, each] == 0 for row, each in enumerate(chosen) if each != NOBODY):
        return "a query has an instance that does not fit; give it -1"
    return "the total value can be larger" if _total(chosen, table) < _most(table) - 1e-9 else ""


_MATCHING = Exercise(
    "a list of whole numbers, the instance of each query or -1, such as [2, -1, 0]",
    wholes,
    _values,
    _matched,
    (
        Mistake(
            _in_turn,
            "each query takes the best that is left; an earlier query can take from a later one "
            "the only instance that fits",
        ),
        Mistake(
            _largest_first,
            "the largest values come first; two middling pairs can be worth more than a large and "
            "a small one",
        ),
        Mistake(
            lambda value: [int(each) for each in np.argmax(value, axis=1)],
            "each query has its best instance, but two queries have the same one",
        ),
    ),
)

WORLD = (
    "experiment=speech_small",
    "switching=free",
    "network.capacity=speed_tests",
    "horizon_s=120",
)
SEEDS = (901, 902, 905, 906, 907, 909, 914, 915, 916, 918, 919, 920, 921, 922, 924, 926)
"""Seeds of worlds in which the model solution serves half as many users more.

In other worlds, where one user more or less decides, it can lose to CheapestFeasible.
"""


def grade_planner(answer: Any, rng: np.random.Generator) -> None:
    """Grade a planner: it keeps the contract, and beats CheapestFeasible in a drawn world."""
    from planners import CheapestFeasible

    planner = _planner(answer)
    try:
        check_planner(planner, other_process=False)
    except PlannerCheckError as error:
        if "NotImplementedError" in str(error):
            raise UnansweredError from error
        raise NotYetError(str(error)) from error
    seed = int(rng.choice(SEEDS))
    (mine, plans), theirs = _served(planner, seed), _cached_goodput(CheapestFeasible, seed)
    if mine == 0:
        raise NotYetError("nobody is served well; does it deploy plans that are in time?")
    if mine <= theirs:
        raise NotYetError(
            f"{mine:.2f} users are served well on average, and {theirs:.2f} by CheapestFeasible "
            f"(seed {seed})"
        )
    if plans == 1:
        raise NotYetError(
            "every query got the same plan, which is good in this world by chance; let the choice "
            "depend on the query and its SLO"
        )


def _served(planner: Planner, seed: int) -> tuple[float, int]:
    """Return service goodput, and how many different plans were deployed."""
    from lab import run

    result = run([*WORLD, f"seed={seed}"], planner=planner)
    plans = result.decisions.filter(outcome="deployed")["plan"].n_unique()
    return float(result.summary["service_goodput_mean"]), plans


@cache
def _cached_goodput(planner: Callable[[], Planner], seed: int) -> float:
    return _served(planner(), seed)[0]


def _planner(answer: Any) -> Planner:
    """Return a student's planner; it can be an object, or a class without parameters."""
    if answer is None:
        raise UnansweredError
    if isinstance(answer, type) and issubclass(answer, Planner):
        try:
            answer = answer()
        except Exception as error:
            raise NotYetError(
                f"{answer.__name__}() must make one, so its parameters need defaults; it raised "
                f"{type(error).__name__}: {error}"
            ) from error
    if not isinstance(answer, Planner):
        raise NotYetError("a planner is wanted, a class that derives from Planner")
    if answer.sees_truth:
        raise NotYetError("it sees the truth, which no planner in the field does")
    if type(answer).plan.__module__.partition(".")[0] == "planners":
        raise NotYetError("a planner of your own is wanted, not one that is there already")
    return answer


STEPS = (
    Step(
        "5.1",
        "Goodput",
        2,
        (
            "In which windows is the whole SLO met?",
            "Add up active_s of the windows in which all three parts are met.",
            "windows.filter(latency_met & accuracy_met & cost_met)['active_s'].sum(), divided by "
            "horizon_s.",
        ),
        _GOODPUT,
    ),
    Step(
        "5.2",
        "Who gets which instance?",
        3,
        (
            "What goes wrong if each query takes its best instance? Try two queries and two "
            "instances.",
            "This is the assignment problem. SciPy solves it.",
            "scipy.optimize.linear_sum_assignment(value, maximize=True) returns rows and columns; "
            "leave out pairs whose value is 0.",
        ),
        _MATCHING,
    ),
    Step(
        "5.3",
        "A planner",
        5,
        (
            "CheapestFeasible trusts data sheets (step 3.2), and profiles 50 samples of each "
            "configuration. What would you do differently?",
            "Leave the device out, profile fewer samples, and keep some room between the predicted "
            "latency and the bound.",
            "For each waiting query go through context.candidates(query, order='cost'), leave out "
            "plans with 'device' in plan.placement, profile 16 samples, and deploy the first that "
            "is accurate_enough, fits, and whose predicted latency_quantile_s is below 0.7 of "
            "slo.latency_s. After a failure, remember not to try again for 20 s.",
        ),
        grade_planner,
    ),
)
