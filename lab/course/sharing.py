"""Graders of notebook 4: one GPU, shared by MIG and by MPS."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np

from hardware_models.gpu import mig
from lab.course.forms import whole
from lab.course.given import BATCHES, INSTANCES, MODELS, PROCESSES, batch_s
from lab.course.grading import Arguments, Exercise, Mistake, Step

Pair = tuple[int, int]
Layout = Sequence[tuple[str, int]]
BOARDS = ("A100-80GB", "A100-40GB", "A30", "H200-141GB")


def _is_layout(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(each, list | tuple)
        and len(each) == 2
        and isinstance(each[0], str)
        and whole(each[1])
        for each in value
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(whole, value))


def _cards(rng: np.random.Generator) -> Iterable[Arguments]:
    for board in BOARDS:
        large = [each for each in mig.profiles(board) if each[0] in "234" and "+" not in each]
        yield board, str(rng.choice(large))


def _smallest(board: str) -> str:
    return next(iter(mig.profiles(board)))


def _filled(board: str, layout: Layout, profile: str) -> list[tuple[str, int]]:
    """Return a layout to which instances of a profile were added as long as there is room."""
    filled = tuple(sorted(layout))
    while starts := mig.legal_starts(board, filled, profile):
        filled = tuple(sorted((*filled, (profile, starts[0]))))
    return list(filled)


def _crowded(value: Layout, board: str, keep: str) -> str:
    layout = [(name, int(start)) for name, start in value]
    try:
        mig.check_layout(board, layout)
    except ValueError as error:
        return str(error)
    if keep not in [name for name, _ in layout]:
        return f"there is no {keep} in it"
    counts = [
        len(each) for each in mig.maximal_layouts(board) if keep in [name for name, _ in each]
    ]
    return "there is room for more instances" if len(layout) < max(counts) else ""


_LAYOUT = Exercise(
    "a layout, a list of (profile, start), such as [('3g.40gb', 0), ('2g.20gb', 4)]",
    _is_layout,
    _cards,
    _crowded,
    (
        Mistake(
            lambda board, keep: sorted(_filled(board, (), keep)),
            "you filled the card with one profile; only one instance of it is needed, and smaller "
            "ones leave room for more",
        ),
        Mistake(
            lambda board, keep: sorted(_filled(board, (), _smallest(board))),
            "you forgot the instance that must be there",
        ),
    ),
)


def _needed(model: str, per_s: float, slices: int, batch: int) -> int:
    """Return how many instances serve a rate."""
    return math.ceil(per_s * batch_s(model, slices, batch) / batch)


def _fitting(model: str, per_s: float, bound_s: float) -> dict[Pair, int]:
    """Return the total compute slices of each allocation that is in time and on one card."""
    return {
        (slices, batch): slices * _needed(model, per_s, slices, batch)
        for slices, batch in product(INSTANCES, BATCHES)
        if batch_s(model, slices, batch) <= bound_s / 2
        and _needed(model, per_s, slices, batch) <= INSTANCES[slices]
    }


def _loads(rng: np.random.Generator) -> Iterable[Arguments]:
    """Draw loads for which allocations differ, and the obvious ones are not the best."""
    drawn = 0
    while drawn < 5:
        model = str(rng.choice(MODELS))
        fastest = max(
            INSTANCES[slices] * batch / batch_s(model, slices, batch)
            for slices, batch in product(INSTANCES, BATCHES)
        )
        per_s = float(np.round(rng.uniform(0.15, 0.7) * fastest))
        bound_s = float(np.round(rng.uniform(2.1, 12) * batch_s(model, 2, 4), 3))
        fits = _fitting(model, per_s, bound_s)
        if len(fits) > 3 and min(fits.values()) < fits.get(min(fits, key=_fewest_of(fits)), 0):
            drawn += 1
            yield model, per_s, bound_s


def _fewest_of(fits: dict[Pair, int]) -> Callable[[Pair], tuple[float, int]]:
    """Return a key by which the allocation with the fewest instances comes first."""
    return lambda each: (fits[each] / each[0], each[1])


def _allowed(what: str, values: Iterable[int]) -> str:
    return f"the {what} must be one of {', '.join(map(str, values))}"


def _allocated(value: Pair, model: str, per_s: float, bound_s: float) -> str:
    slices, batch = (int(each) for each in value)
    if slices not in INSTANCES:
        return _allowed("compute slices", INSTANCES)
    if batch not in BATCHES:
        return _allowed("batch", BATCHES)
    if batch_s(model, slices, batch) > bound_s:
        return "a batch takes longer than the bound"
    return _too_much(slices, batch, model, per_s, bound_s)


def _too_much(slices: int, batch: int, model: str, per_s: float, bound_s: float) -> str:
    """Say why there is a smaller allocation, or why it does not fit on the card."""
    if batch_s(model, slices, batch) > bound_s / 2:
        return (
            "a batch may take half of the bound, because a request can arrive just after a batch "
            "has started, and waits for it"
        )
    needed = _needed(model, per_s, slices, batch)
    if needed > INSTANCES[slices]:
        return f"the rate needs {needed} such instances, and a card has room for fewer"
    fits = _fitting(model, per_s, bound_s)
    if slices * needed == min(fits.values()):
        return ""
    if needed == min(total // each[0] for each, total in fits.items()):
        return "that is the smallest number of instances; compare their compute slices in total"
    return "fewer compute slices in total would do"


_ALLOCATION = Exercise(
    "two whole numbers, (compute slices, batch), such as (7, 1)",
    _is_pair,
    _loads,
    _allocated,
    (),
)


def _throughput(model: str, batch: int, slices: int, processes: int) -> float:
    """Return the requests per second of a card that is full of equal instances."""
    whole_card = INSTANCES[slices] * processes * batch
    return whole_card / batch_s(model, slices, batch, processes)


def _shared_loads(rng: np.random.Generator) -> Iterable[Arguments]:
    """Draw bounds between the times of the possible ways to share."""
    drawn = 0
    while drawn < 6:
        model, batch = str(rng.choice(MODELS)), int(rng.choice([1, 2, 4, 8, 16]))
        times = [batch_s(model, *(slices, batch, n)) for slices, n in _WAYS]
        case = (model, batch, float(np.quantile(times, rng.uniform(0.15, 0.75))))
        if _best(*case) != _best_instance(*case) and _best(*case) != _best_ever(*case):
            drawn += 1
            yield case


_WAYS = tuple(product(INSTANCES, PROCESSES))


def _in_time(model: str, batch: int, bound_s: float) -> list[Pair]:
    return [each for each in _WAYS if batch_s(model, each[0], batch, each[1]) <= bound_s]


def _best(model: str, batch: int, bound_s: float) -> Pair:
    ways = _in_time(model, batch, bound_s)
    return max(ways, key=lambda each: _throughput(model, batch, *each))


def _best_instance(model: str, batch: int, bound_s: float) -> Pair:
    """Return the way with the highest throughput of one instance."""
    ways = _in_time(model, batch, bound_s)
    return max(ways, key=lambda each: _throughput(model, batch, *each) / INSTANCES[each[0]])


def _best_ever(model: str, batch: int, bound_s: float) -> Pair:
    return max(_WAYS, key=lambda each: _throughput(model, batch, *each))


def _fastest(model: str, batch: int, bound_s: float) -> Pair:
    return min(_WAYS, key=lambda each: batch_s(model, each[0], batch, each[1]))


def _shared(value: Pair, model: str, batch: int, bound_s: float) -> str:
    slices, processes = (int(each) for each in value)
    if slices not in INSTANCES:
        return _allowed("compute slices", INSTANCES)
    if processes not in PROCESSES:
        return _allowed("number of processes", PROCESSES)
    if batch_s(model, slices, batch, processes) > bound_s:
        return "a batch takes longer than the bound"
    least = (1 - 1e-9) * _throughput(model, batch, *_best(model, batch, bound_s))
    served = _throughput(model, batch, slices, processes)
    return "" if served >= least else "the card could serve more"


_SHARING = Exercise(
    "two whole numbers, (compute slices, processes), such as (7, 1)",
    _is_pair,
    _shared_loads,
    _shared,
    (
        Mistake(
            _best_instance,
            "that is best for one instance, but a card has several; count the requests of all",
        ),
        Mistake(
            _best_ever,
            "you forgot the bound: with more processes, each batch takes longer",
        ),
        Mistake(
            _fastest,
            "that is the way with the shortest batch; the card should serve as many requests per "
            "second as it can within the bound",
        ),
    ),
)

STEPS = (
    Step(
        "4.1",
        "A crowded card",
        2,
        (
            "Which instance takes the least room? Try to put many of those next to the one that "
            "must be there.",
            "mig.legal_starts(board, layout, profile) lists where an instance can still be put. "
            "The first of mig.profiles(board) is the smallest. layout is a sorted tuple.",
            "For each start in legal_starts(board, (), keep): begin with ((keep, start),), and add "
            "the smallest profile at its first legal start until there is none. Return the longest "
            "layout.",
        ),
        _LAYOUT,
    ),
    Step(
        "4.2",
        "The smallest cut",
        3,
        (
            "There are few pairs of compute slices and batches. What must hold for a pair, and "
            "what should be smallest?",
            "Instances needed: the rate times batch_s, divided by the batch, rounded up. They must "
            "fit on the card (INSTANCES), and batch_s must be at most half of the bound.",
            "min over all pairs of INSTANCES and BATCHES that meet both, by slices * "
            "math.ceil(per_s * batch_s(model, slices, batch) / batch).",
        ),
        _ALLOCATION,
    ),
    Step(
        "4.3",
        "MIG, MPS, or both",
        3,
        (
            "How many batches are under way on the whole card at a time?",
            "The card has INSTANCES[slices] instances, each of which has one batch per process "
            "under way. Each batch takes batch_s(model, slices, batch, processes).",
            "max over all (slices, processes) whose batch_s is within the bound, by "
            "INSTANCES[slices] * processes * batch / batch_s.",
        ),
        _SHARING,
    ),
)
