"""The combinations of a search for capacity: the price of each, and its planner."""

from collections.abc import Mapping, Sequence
from math import fsum

from lab.common.errors import InputError
from lab.config.compose import Setup
from lab.what_if.capacity import Candidate, candidates
from lab.what_if.question import Varied, check_tier, in_words, planner_of
from lab.what_if.runs import PLANNER, Runs


def combinations(
    runs: Runs, keys: Sequence[Varied], metric: str
) -> tuple[list[Candidate], dict[str, str]]:
    """Return all combinations, the cheapest first, and the planner of each, with a progress bar.

    Composing one takes a good part of a second, so each is composed once.

    Args:
        runs: the runs of the question.
        keys: the varied keys.
        metric: the metric; each combination must have its class of service.

    Returns:
        The combinations, with the price of renting all machines; and the names of their planners,
        by their settings in words.

    Raises:
        InputError: there are too many, or one cannot be run.
    """
    names: dict[str, str] = {}

    def price(settings: Mapping[str, str]) -> float:
        setup, default = _setup(runs, settings)
        scenario = setup.scenario()
        check_tier(metric, scenario.tiers)
        names[in_words(settings)] = planner_of(setup, default)
        nodes = scenario.cluster.nodes.values()
        return fsum(node.count * node.price_usd_per_hour for node in nodes)

    return candidates(keys, price), names


def who_plans(keys: Sequence[Varied], planners: Mapping[str, str]) -> str:
    """Return the name of the planner, with a note if it is the default; planners may differ.

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
    """Return the setup of a combination, and whether its planner is the default.

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
    """Return a clause that helps where ``standby`` machines exceed the number of machines."""
    key = message.partition("=")[0]
    node, _, last = key.rpartition(".")
    count = f"{node}.count"
    return (
        f"; let it follow by '{key}=${{{count}}}'"
        if last == "standby" and count in settings
        else ""
    )
