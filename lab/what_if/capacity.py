"""Finds the cheapest machines that reach a target, by a search over simulations.

The candidates are all combinations of values of the varied keys. More machines (`COUNTS`) are
assumed never to make service worse. So a candidate that fails rules out each candidate that has no
more machines of any kind and otherwise equal values. A candidate that suffices rules out all
candidates that are not cheaper. The next candidate is the one with the median price among those
that remain, as in a bisection. If the metric does not measure service, such as cost, a failure
rules out only the candidate itself.

Each candidate is simulated on more and more seeds until a one-sided t-interval of the mean, cut at
the metric's range, lies on one side of the target. Each computation of the interval gets an equal
part of the allowed error (Bonferroni). So the confidence of a verdict is about the stated one, or
lower if nearly all seeds give the same value.
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

COUNTS = re.compile(r"cluster\.nodes\.\w+\.count|cluster\.profiling\.(lanes|workers|count)")
"""Keys of which a larger value never makes service worse."""


class CandidateVerdict(StrEnum):
    """Whether a candidate reaches the target."""

    SUFFICES = "suffices"
    FAILS = "fails"
    OPEN = "undecided"


@dataclass(frozen=True)
class Candidate:
    """A combination of values of the varied keys, with its price."""

    settings: Mapping[str, str]  # value of each varied key
    usd_per_hour: float  # price of all machines


@dataclass(frozen=True)
class Tried:
    """The results for a simulated candidate."""

    candidate: Candidate
    values: tuple[float, ...]  # the metric on each seed
    low: float  # lower bound of its mean at the confidence of one judgement; -inf if unknown
    high: float  # upper bound of its mean; inf if unknown
    verdict: CandidateVerdict

    @property
    def mean(self) -> float:
        """Mean of the metric."""
        return fmean(self.values)


Measure = Callable[[Candidate, Sequence[int]], Sequence[float]]
"""A function that simulates a candidate on some seeds and returns the metric on each seed."""
Judged = Callable[[Tried], None]
"""A function that gets each candidate as soon as it is judged."""


def candidates(
    keys: Sequence[Varied], price: Callable[[Mapping[str, str]], float]
) -> list[Candidate]:
    """Return all combinations, the cheapest per hour first; raise InputError for too many."""
    count = prod(len(key.values) for key in keys)
    if count > MOST_CANDIDATES:
        raise InputError(
            f"--vary: {count:,} combinations, more than {MOST_CANDIDATES:,}; give fewer values"
        )
    names = [key.key for key in keys]
    found = [
        Candidate(settings, price(settings))
        for values in composing(list(product(*(key.ascending for key in keys))))
        for settings in [dict(zip(names, values, strict=True))]
    ]
    return sorted(found, key=lambda each: each.usd_per_hour)


def never_worse(keys: Sequence[Varied], metric: str, at_least: bool) -> frozenset[str]:
    """Return the varied machine counts if more machines never hurt the metric, or else no key."""
    known = METRICS.get(metric)
    good = known is not None and known.of_service and known.more_is_better == at_least
    return machines(keys) if good else frozenset()


def machines(keys: Sequence[Varied]) -> frozenset[str]:
    """Return the varied keys that are counts of machines."""
    return frozenset(key.key for key in keys if key.is_number and COUNTS.fullmatch(key.key))


def search(
    every: Sequence[Candidate],
    ordered: Collection[str],
    measure: Measure,
    target: float,
    confidence: float,
    most_seeds: int,
    within: ValueRange = ANY,
    heard: Judged = lambda _: None,
) -> list[Tried]:
    """Simulate candidates until the cheapest that suffices is known; return those simulated.

    ``every`` is sorted by price and, at equal prices, by the values. ``ordered`` has the keys of
    which a larger value never makes the metric worse. ``target`` is the lowest sufficient mean of
    the metric, whose range is ``within``. A candidate without a verdict after ``most_seeds``
    remains undecided. ``heard`` gets each simulated candidate when it is judged.
    """
    left, tried = list(every), []
    while left:
        chosen = left[(len(left) - 1) // 2]
        one = judged(chosen, measure, target, confidence, most_seeds, within)
        tried.append(one)
        heard(one)
        if one.verdict == CandidateVerdict.SUFFICES:
            left = left[: left.index(chosen)]
        else:  # An undecided one also rules out those with no more machines.
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
    """Simulate a candidate on more and more seeds until its verdict is known."""
    every = looks(most_seeds)
    error = 1 - bound_confidence(confidence, most_seeds)
    values: list[float] = []
    low, high, verdict = -inf, inf, CandidateVerdict.OPEN
    for look in every:
        values += measure(candidate, range(len(values), look))
        low, high = cut(*bounds(values, error), within)
        if values[-1] == -inf:  # The metric has no value, which is worse than any number.
            verdict = CandidateVerdict.FAILS
        elif low == high and look < every[-1]:
            continue  # Equal values give no estimate of the variance.
        elif low >= target:
            verdict = CandidateVerdict.SUFFICES
        elif high < target:
            verdict = CandidateVerdict.FAILS
        if verdict != CandidateVerdict.OPEN:
            break
    return Tried(candidate, tuple(values), low, high, verdict)


def looks(most_seeds: int) -> list[int]:
    """Return the numbers of seeds after which a candidate is judged, up to `most_seeds`."""
    return [look for look in LOOKS if look < most_seeds] + [most_seeds]


def bound_confidence(confidence: float, most_seeds: int) -> float:
    """Return the confidence of each bound; all judgements share the error equally."""
    return 1 - (1 - confidence) / len(looks(most_seeds))


def bounds(values: Sequence[float], error: float) -> tuple[float, float]:
    """Return one-sided t-bounds of a mean; each is wrong with probability `error`."""
    if len(values) < 2 or -inf in values:
        return -inf, inf
    half = student_t(len(values), 1 - error) * stdev(values) / sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def cheapest(tried: Sequence[Tried]) -> Tried | None:
    """Return the cheapest candidate that suffices, or None; at equal prices, the latest."""
    enough = [each for each in tried if each.verdict == CandidateVerdict.SUFFICES]
    return min(reversed(enough), key=lambda each: each.candidate.usd_per_hour, default=None)


def best(tried: Iterable[Tried], counts: Collection[str]) -> Tried:
    """Return the candidate with the best mean; at equal means, the cheapest, then the smallest."""

    def rank(one: Tried) -> tuple[float, ...]:
        settings = one.candidate.settings
        return -one.mean, one.candidate.usd_per_hour, *(float(settings[key]) for key in counts)

    return min(tried, key=rank)


def useless_counts(tried: Iterable[Tried], one: Tried, counts: Collection[str]) -> list[str]:
    """Return the keys of machine counts that are larger in some failed candidate than in `one`."""
    more = [each.candidate.settings for each in tried if each.verdict == CandidateVerdict.FAILS]
    more = [each for each in more if _no_more(one.candidate.settings, each, counts)]
    settings = one.candidate.settings
    return [key for key in settings if any(each[key] != settings[key] for each in more)]


def _no_more(one: Mapping[str, str], other: Mapping[str, str], ordered: Collection[str]) -> bool:
    """Return whether `one` is at most `other` in each ordered key, and equal in the other keys."""
    return all(
        float(value) <= float(other[key]) if key in ordered else value == other[key]
        for key, value in one.items()
    )


def combinations(
    runs: Runs, keys: Sequence[Varied], metric: str
) -> tuple[list[Candidate], dict[str, str]]:
    """Return all combinations, sorted by price, and each one's planner; can raise InputError."""
    names: dict[str, str] = {}

    def price(settings: Mapping[str, str]) -> float:
        try:
            setup, default = runs.setup(as_overrides(settings))
        except InputError as error:
            key = str(error).partition("=")[0]
            node, _, last = key.rpartition(".")
            hint = ""
            if last == "standby" and f"{node}.count" in settings:
                hint = f"; let it follow the count by '{key}=${{{node}.count}}'"
            raise InputError(f"{error} (at {in_words(settings)}){hint}") from None
        scenario = setup.scenario()
        check_tier(metric, scenario.tiers)
        names[in_words(settings)] = planner_of(setup, default)
        nodes = scenario.cluster.nodes.values()
        return fsum(node.count * node.price_usd_per_hour for node in nodes)

    return candidates(keys, price), names


def planner_in_words(keys: Sequence[Varied], planners: Mapping[str, str]) -> str:
    """Return the name of the planner, or words for several planners."""
    names = set(planners.values())
    if len(names) > 1 or any(key.key in PLANNER for key in keys):
        return "the planner of each combination"
    return names.pop()


def as_overrides(settings: Mapping[str, str]) -> list[str]:
    """Return settings as overrides."""
    return [f"{key}={value}" for key, value in settings.items()]
