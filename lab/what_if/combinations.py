"""The combinations of a search for capacity: what each costs, and who plans in it."""

from collections.abc import Mapping, Sequence
from math import fsum, prod

from lab.common.errors import InputError
from lab.config.compose import Setup
from lab.run_cache.progress import composing
from lab.what_if.capacity import Candidate, candidates
from lab.what_if.question import Varied, check_tier, in_words, planner_of
from lab.what_if.runs import PLANNER, Runs


def combinations(
    runs: Runs, keys: Sequence[Varied], metric: str
) -> tuple[list[Candidate], dict[str, str]]:
    """Return all combinations, the cheapest first, and who plans in each; with a bar of progress.

    To compose one takes a good part of a second, so all that is asked of it is asked at once.

    Args:
        runs: the runs of the question.
        keys: the varied keys.
        metric: the metric, whose class of service each must have.

    Returns:
        The combinations, with prices of all machines, all of them rented; and the names of their
        planners, by their settings in words.

    Raises:
        InputError: there are too many, or one cannot be run.
    """
    names: dict[str, str] = {}
    with composing(prod(len(key.values) for key in keys)) as composed:

        def price(settings: Mapping[str, str]) -> float:
            setup, default = _setup(runs, settings)
            scenario = setup.scenario()
            check_tier(metric, scenario.tiers)
            names[in_words(settings)] = planner_of(setup, default)
            composed()
            nodes = scenario.cluster.nodes.values()
            return fsum(node.count * node.price_usd_per_hour for node in nodes)

        return candidates(keys, price), names


def who_plans(keys: Sequence[Varied], planners: Mapping[str, str]) -> str:
    """Return the name of the planner, and that it is the default if nothing names one.

    Combinations that differ in their planner have each its own.

    Args:
        keys: the varied keys.
        planners: as `combinations` returns them.
    """
    names = set(planners.values())
    if len(names) > 1 or any(key.key in PLANNER for key in keys):
        return "the planner of each combination"
    return names.pop()


def as_overrides(settings: Mapping[str, str]) -> list[str]:
    """Return settings as overrides."""
    return [f"{key}={value}" for key, value in settings.items()]


def _setup(runs: Runs, settings: Mapping[str, str]) -> tuple[Setup, bool]:
    """Return what a combination is run with, and whether its planner is the default.

    Raises:
        InputError: it cannot be run.
    """
    try:
        return runs.setup(as_overrides(settings))
    except InputError as error:
        raise InputError(
            f"{error} (at {in_words(settings)}){_hint(f'{error}', settings)}"
        ) from None


def _hint(message: str, settings: Mapping[str, str]) -> str:
    """Return what helps, as a clause, where more machines are always rented than there are."""
    key = message.partition("=")[0]
    node, _, last = key.rpartition(".")
    count = f"{node}.count"
    return (
        f"; let it follow by '{key}=${{{count}}}'"
        if last == "standby" and count in settings
        else ""
    )
