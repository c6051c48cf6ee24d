"""The least machines that reach a target, by a search over simulations.

Candidates are all combinations of the varied keys. More machines (`COUNTS`) are assumed to serve
no worse: a candidate that fails rules out all with no more of any key, all else the same, and one
that suffices rules out all that are no cheaper. The next one has the middle price of those left,
as in a bisection. For a metric that is not of service, such as cost, a candidate rules out itself.

Each candidate is simulated on more seeds until a one-sided t-interval of the mean, cut at the
metric's range, lies on one side of the target. Every look at the data gets an equal part of the
allowed error (Bonferroni), so a verdict holds with about the stated confidence, and with less if a
metric is the same on nearly all seeds.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from math import fsum, inf, prod, sqrt
from statistics import fmean, stdev

from lab.analysis.statistics import cut, student_t
from lab.common.console import composing
from lab.common.errors import InputError
from lab.common.metrics import ANY, METRICS, ValueRange
from lab.what_if.question import Varied, check_tier, in_words, planner_of
from lab.what_if.runs import PLANNER, Runs

LOOKS = (3, 5, 8, 12, 20, 32, 50)
"""Numbers of seeds after which a candidate is judged."""

MOST_CANDIDATES = 10_000

COUNTS = re.compile(r"cluster\.nodes\.\w+\.count|cluster\.profiling\.(lanes|workers)")
"""Keys of which more never hurts."""


class CandidateVerdict(StrEnum):
    """Whether a candidate reaches the target."""

    SUFFICES = "suffices"
    FAILS = "fails"
    OPEN = "undecided"


@dataclass(frozen=True)
class Candidate:
    """A combination of values."""

    settings: Mapping[str, str]  # value of each varied key
    usd_per_hour: float  # rent of all machines


@dataclass(frozen=True)
class Tried:
    """What simulations showed of a candidate."""

    candidate: Candidate
    values: tuple[float, ...]  # the metric, one of each seed
    low: float  # lower bound of its mean at the confidence of a look; -inf if unknown
    high: float  # upper bound, likewise
    verdict: CandidateVerdict  # whether it reaches the target

    @property
    def mean(self) -> float:
        """Mean of the metric."""
        return fmean(self.values)


Measure = Callable[[Candidate, Sequence[int]], Sequence[float]]
"""Simulates a candidate on some seeds; returns the metric of each seed."""


def candidates(
    keys: Sequence[Varied], price: Callable[[Mapping[str, str]], float]
) -> list[Candidate]:
    """Return all combinations by price in dollars per hour; raise InputError for too many."""
    count = prod(len(key.values) for key in keys)
    if count > MOST_CANDIDATES:
        raise InputError(
            f"--vary: {count:,} combinations; {MOST_CANDIDATES:,} at most, name fewer values"
        )
    names = [key.key for key in keys]
    found = [
        Candidate(settings, price(settings))
        for values in composing(list(product(*(key.ascending for key in keys))))
        for settings in [dict(zip(names, values, strict=True))]
    ]
    return sorted(found, key=lambda each: each.usd_per_hour)


def never_worse(keys: Sequence[Varied], metric: str, at_least: bool) -> frozenset[str]:
    """Return the counts of machines if more of them cannot make the metric miss its bound."""
    known = METRICS.get(metric)
    good = known is not None and known.of_service and known.more_is_better == at_least
    return machines(keys) if good else frozenset()


def machines(keys: Sequence[Varied]) -> frozenset[str]:
    """Return the keys that are counts of machines."""
    return frozenset(key.key for key in keys if key.is_number and COUNTS.fullmatch(key.key))


def search(
    every: Sequence[Candidate],
    ordered: Collection[str],
    measure: Measure,
    target: float,
    confidence: float,
    most_seeds: int,
    within: ValueRange = ANY,
) -> list[Tried]:
    """Try candidates until none before the first that suffices is left; return them in that order.

    ``every`` has the cheapest first, and of equal prices the smallest; ``ordered`` are the keys of
    which more never hurts. ``target`` is the least mean of the metric, whose range is ``within``;
    after ``most_seeds`` a candidate is left undecided.
    """
    left, tried = list(every), []
    while left:
        chosen = left[(len(left) - 1) // 2]
        one = judged(chosen, measure, target, confidence, most_seeds, within)
        tried.append(one)
        if one.verdict == CandidateVerdict.SUFFICES:
            left = left[: left.index(chosen)]
        else:  # Where seeds do not decide, what has no more does not suffice for sure.
            left = [each for each in left if not _no_more(each.settings, chosen.settings, ordered)]
    return tried


def judged(
    candidate: Candidate,
    measure: Measure,
    target: float,
    confidence: float,
    most_seeds: int,
    within: ValueRange = ANY,
) -> Tried:
    """Simulate a candidate until it can be told whether it reaches the target."""
    every = looks(most_seeds)
    error = 1 - bound_confidence(confidence, most_seeds)
    values: list[float] = []
    low, high, verdict = -inf, inf, CandidateVerdict.OPEN
    for look in every:
        values += measure(candidate, range(len(values), look))
        low, high = cut(*bounds(values, error), within)
        if values[-1] == -inf:  # Far from the target, by an amount that has no number.
            verdict = CandidateVerdict.FAILS
        elif low == high and look < every[-1]:
            continue  # Equal values say nothing of how much others may differ.
        elif low >= target:
            verdict = CandidateVerdict.SUFFICES
        elif high < target:
            verdict = CandidateVerdict.FAILS
        if verdict != CandidateVerdict.OPEN:
            break
    return Tried(candidate, tuple(values), low, high, verdict)


def looks(most_seeds: int) -> list[int]:
    """Return the numbers of seeds after which a candidate is judged, of so many at most."""
    return [look for look in LOOKS if look < most_seeds] + [most_seeds]


def bound_confidence(confidence: float, most_seeds: int) -> float:
    """Return the confidence of each one-sided bound, at which all looks together keep theirs."""
    return 1 - (1 - confidence) / len(looks(most_seeds))


def bounds(values: Sequence[float], error: float) -> tuple[float, float]:
    """Return one-sided bounds of a mean, each wrong with so much probability, by Student's t."""
    if len(values) < 2 or -inf in values:
        return -inf, inf
    half = student_t(len(values), 1 - error) * stdev(values) / sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def cheapest(tried: Sequence[Tried]) -> Tried | None:
    """Return the cheapest that suffices, or None. The last of one price is the smallest."""
    enough = [each for each in tried if each.verdict == CandidateVerdict.SUFFICES]
    return min(reversed(enough), key=lambda each: each.candidate.usd_per_hour, default=None)


def best(tried: Iterable[Tried], counts: Collection[str]) -> Tried:
    """Return the one with the best mean; of equals, the cheapest with the smallest `counts`."""

    def rank(one: Tried) -> tuple[float, ...]:
        settings = one.candidate.settings
        return -one.mean, one.candidate.usd_per_hour, *(float(settings[key]) for key in counts)

    return min(tried, key=rank)


def in_vain(tried: Iterable[Tried], one: Tried, counts: Collection[str]) -> list[str]:
    """Return the counts of machines of which a failed candidate had more than the best one."""
    more = [each.candidate.settings for each in tried if each.verdict == CandidateVerdict.FAILS]
    more = [each for each in more if _no_more(one.candidate.settings, each, counts)]
    settings = one.candidate.settings
    return [key for key in settings if any(each[key] != settings[key] for each in more)]


def _no_more(one: Mapping[str, str], other: Mapping[str, str], ordered: Collection[str]) -> bool:
    """Return whether settings have no more of ordered keys than others, and all else the same."""
    return all(
        float(value) <= float(other[key]) if key in ordered else value == other[key]
        for key, value in one.items()
    )


def combinations(
    runs: Runs, keys: Sequence[Varied], metric: str
) -> tuple[list[Candidate], dict[str, str]]:
    """Return all combinations by price, and their planners by settings; or InputError."""
    names: dict[str, str] = {}

    def price(settings: Mapping[str, str]) -> float:
        try:
            setup, default = runs.setup(as_overrides(settings))
        except InputError as error:
            key = str(error).partition("=")[0]
            node, _, last = key.rpartition(".")
            hint = ""
            if last == "standby" and f"{node}.count" in settings:
                hint = f"; let it follow by '{key}=${{{node}.count}}'"
            raise InputError(f"{error} (at {in_words(settings)}){hint}") from None
        scenario = setup.scenario()
        check_tier(metric, scenario.tiers)
        names[in_words(settings)] = planner_of(setup, default)
        nodes = scenario.cluster.nodes.values()
        return fsum(node.count * node.price_usd_per_hour for node in nodes)

    return candidates(keys, price), names


def who_plans(keys: Sequence[Varied], planners: Mapping[str, str]) -> str:
    """Return the name of the planner, or that planners differ, with a note if it is the default."""
    names = set(planners.values())
    if len(names) > 1 or any(key.key in PLANNER for key in keys):
        return "the planner of each combination"
    return names.pop()


def as_overrides(settings: Mapping[str, str]) -> list[str]:
    """Return settings as overrides."""
    return [f"{key}={value}" for key, value in settings.items()]
