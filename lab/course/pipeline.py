"""Graders of notebook 2: a pipeline of stations."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lab.course.forms import near, number, wholes
from lab.course.given import mean_sojourn_s
from lab.course.grading import Arguments, Exercise, Mistake, Step

After = Mapping[str, Sequence[str]]

OPERATORS = ("sampler", "denoiser", "speech", "language", "decoder", "answer")


def _graphs(rng: np.random.Generator) -> Iterable[Arguments]:
    """Draw pipelines that fork and join; in some, a branch ends after the last operator."""
    for ends in (1, 1, 1, 2, 2):
        while True:
            after = _after(rng, ends)
            times = map(float, rng.uniform(0.05, 0.6, len(OPERATORS)))
            time_s = dict(zip(OPERATORS, times, strict=True))
            if ends == 1 or _of_last_s(after, time_s) < max(_all_times_s(after, time_s)):
                yield after, time_s
                break


def _after(rng: np.random.Generator, ends: int) -> After:
    """Draw which operators each one comes after: one or two, but the last joins all but some."""
    after: dict[str, tuple[str, ...]] = {OPERATORS[0]: ()}
    for number_, operator in enumerate(OPERATORS[1:-1], start=1):
        count = int(rng.integers(1, min(number_, 2) + 1))
        chosen = rng.choice(number_, size=count, replace=False)
        after[operator] = tuple(OPERATORS[each] for each in sorted(chosen))
    unjoined = _ends(after)
    after[OPERATORS[-1]] = tuple(unjoined[: len(unjoined) + 1 - ends]) or (OPERATORS[0],)
    return after


def _ends(after: After) -> list[str]:
    followed = {each for before in after.values() for each in before}
    return [each for each in after if each not in followed]


def _times_s(after: After, time_s: Mapping[str, float], end: str) -> list[float]:
    """Return the seconds of each path that ends at an operator."""
    before = [each for one in after[end] for each in _times_s(after, time_s, one)]
    return [time_s[end] + each for each in before or [0.0]]


def _all_times_s(after: After, time_s: Mapping[str, float]) -> list[float]:
    return [each for end in _ends(after) for each in _times_s(after, time_s, end)]


def _of_last_s(after: After, time_s: Mapping[str, float]) -> float:
    """Return when the last operator has ended, though another branch may end later."""
    return max(_times_s(after, time_s, OPERATORS[-1]))


def _first_inputs_s(of: Sequence[str], after: After, time_s: Mapping[str, float]) -> float:
    """Return when some operators have ended if joins go on with their first input."""
    return max(min(_times_s(after, time_s, each)) for each in of)


def _latency(value: float, after: After, time_s: Mapping[str, float]) -> str:
    return near(value, max(_all_times_s(after, time_s)))


_FIRST_INPUT = "a join waits for all of its inputs; you went on with the first"

_LATENCY = Exercise(
    "a number of seconds, such as 1.2",
    number,
    _graphs,
    _latency,
    (
        Mistake(
            lambda after, time_s: sum(time_s.values()),
            "you add all operators up, but branches of a fork run at the same time",
        ),
        Mistake(lambda *case: _first_inputs_s(OPERATORS, *case), _FIRST_INPUT),
        Mistake(lambda *case: _first_inputs_s(OPERATORS[-1:], *case), _FIRST_INPUT),
        Mistake(
            _of_last_s,
            "that is when the last operator of the dictionary has ended; nothing may follow "
            "another one either, and it can end later",
        ),
        Mistake(
            lambda after, time_s: max(time_s.values()),
            "that is the slowest operator; it limits how many requests per second the pipeline "
            "can serve, but one request passes several operators",
        ),
        Mistake(
            lambda after, time_s: np.mean(_all_times_s(after, time_s)),
            "that is the mean over the paths; a join waits for the slowest of its inputs",
        ),
    ),
)


def _services(rng: np.random.Generator) -> Iterable[Arguments]:
    for _ in range(5):
        rate_per_s = float(rng.uniform(3, 9))
        service_s = [float(each) / rate_per_s for each in rng.uniform(0.2, 2.8, 3)]
        yield rate_per_s, service_s, float(rng.uniform(1.15, 1.6)) * math.fsum(service_s)


def _total_s(rate_per_s: float, service_s: Sequence[float], servers: Sequence[int]) -> float:
    pairs = zip(service_s, servers, strict=True)
    return math.fsum(mean_sojourn_s(rate_per_s, each, count) for each, count in pairs)


def _least(rate_per_s: float, service_s: Sequence[float], bound_s: float) -> int:
    """Return the smallest total number of servers, by trying all."""
    totals = [
        sum(servers)
        for servers in itertools.product(range(1, 12), repeat=len(service_s))
        if _total_s(rate_per_s, service_s, servers) <= bound_s
    ]
    return min(totals)


def _servers(
    value: Sequence[int], rate_per_s: float, service_s: Sequence[float], bound_s: float
) -> str:
    if len(value) != len(service_s):
        return "one number of servers for each station is wanted"
    if min(value) < 1:
        return "each station needs at least one server"
    if math.isinf(_total_s(rate_per_s, service_s, value)):
        return "a station cannot keep up"
    if _total_s(rate_per_s, service_s, value) > bound_s:
        return "requests take longer than the bound on average"
    return (
        "fewer servers in all would do"
        if sum(value) > _least(rate_per_s, service_s, bound_s)
        else ""
    )


def _just_stable(rate_per_s: float, service_s: Sequence[float], bound_s: float) -> list[int]:
    return [math.floor(rate_per_s * each) + 1 for each in service_s]


def _within(rate_per_s: float, service_s: float, bound_s: float) -> int:
    """Return the fewest servers of one station within a bound of its own."""
    for count in range(1, 200):
        if mean_sojourn_s(rate_per_s, service_s, count) <= bound_s:
            return count
    raise ValueError("a service takes longer than the bound")


def _proportional(rate_per_s: float, service_s: Sequence[float], bound_s: float) -> list[int]:
    whole_s = math.fsum(service_s)
    return [_within(rate_per_s, each, bound_s * each / whole_s) for each in service_s]


def _equal_servers(rate_per_s: float, service_s: Sequence[float], bound_s: float) -> list[int]:
    counts = range(1, 200)
    fits = (n for n in counts if _total_s(rate_per_s, service_s, [n] * len(service_s)) <= bound_s)
    return [next(fits)] * len(service_s)


_SERVERS = Exercise(
    "a list of whole numbers, one for each station, such as [1, 3, 2]",
    wholes,
    _services,
    _servers,
    (
        Mistake(
            _just_stable,
            "so many just keep up; requests then wait long, and the bound is on the whole time",
        ),
        Mistake(
            _proportional,
            "you gave each station a part of the bound in proportion to its service; a station "
            "where a server buys more could take a smaller part, and save servers elsewhere",
        ),
        Mistake(
            _equal_servers,
            "all stations have as many servers, but they do not have the same load",
        ),
    ),
)

STEPS = (
    Step(
        "2.1",
        "The latency of a pipeline",
        2,
        (
            "When can an operator start? Draw the pipeline, and write that time at each operator.",
            "An operator starts when the last of those before it has ended. It ends its own time "
            "later.",
            "Go through the operators in order: end[op] = time_s[op] + max(end of those in "
            "after[op], or 0 if there are none). Return the largest end.",
        ),
        _LATENCY,
    ),
    Step(
        "2.2",
        "Servers for a pipeline",
        4,
        (
            "Start from the fewest servers that keep up. Is the bound met? If not, where does one "
            "more server help most?",
            "The mean time of a request is the sum of mean_sojourn_s over the stations. Add "
            "servers one at a time, each where it shortens this sum most.",
            "Begin with floor(rate * service) + 1 for each station. While the sum is above the "
            "bound: for each station compute mean_sojourn_s now and with one more, and give the "
            "server to the station with the largest difference.",
        ),
        _SERVERS,
    ),
)
