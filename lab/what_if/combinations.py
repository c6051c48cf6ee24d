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
    """Return all combinations by price, and their planners by settings in words; show a bar.

    Each is composed once and must have the metric's class of service. Raises InputError if there
    are too many, or if one cannot be run.
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
    """Return the name of the planner, or that planners differ, with a note if it is the default."""
    names = set(planners.values())
    if len(names) > 1 or any(key.key in PLANNER for key in keys):
        return "the planner of each combination"
    return names.pop()


def as_overrides(settings: Mapping[str, str]) -> list[str]:
    """Return settings as overrides."""
    return [f"{key}={value}" for key, value in settings.items()]


def _setup(runs: Runs, settings: Mapping[str, str]) -> tuple[Setup, bool]:
    """Return a setup, and whether its planner is the default; raise InputError."""
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
