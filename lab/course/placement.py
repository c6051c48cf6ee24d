"""Graders of notebook 3: where operators run."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations_with_replacement, pairwise, product

import numpy as np
import polars as pl

from lab.course.forms import beyond_one, names, near, number
from lab.course.given import SITES, World
from lab.course.grading import Arguments, Exercise, Mistake, Step

Sites = tuple[str, ...]
OPERATORS = 4


def _worlds(rng: np.random.Generator) -> Iterable[Arguments]:
    """Draw worlds in which some placements are in time, and the cheapest of them is not trivial."""
    drawn = 0
    while drawn < 6:
        world = _world(rng)
        times = [_latency_s(each, world) for each in _upward()]
        world = world._replace(bound_s=float(np.quantile(times, rng.uniform(0.2, 0.5))))
        best = _cheapest(world)
        tempting = (_cheapest(world, _compute_s), _fastest(world), ("device",) * OPERATORS)
        if best not in tempting and len({*best}) > 1:
            drawn += 1
            yield (world,)


def _world(rng: np.random.Generator) -> World:
    """Draw a world without a bound."""
    return World(
        work_s=[float(each) for each in rng.uniform(0.02, 0.4, OPERATORS)],
        sent_bits=[float(each) for each in 1e6 * np.sort(rng.lognormal(0, 1, OPERATORS))[::-1]],
        speed={
            "device": float(rng.uniform(0.1, 0.4)),
            "edge": 1.0,
            "cloud": float(rng.uniform(2, 4)),
        },
        price={"device": 0.0, "edge": float(rng.uniform(1, 2)), "cloud": float(rng.uniform(3, 9))},
        links={
            "edge": (float(rng.uniform(2e6, 2e7)), float(rng.uniform(0.005, 0.02))),
            "cloud": (float(rng.uniform(2e6, 2e7)), float(rng.uniform(0.02, 0.08))),
        },
        bound_s=math.inf,
    )


def _upward() -> list[Sites]:
    return list(combinations_with_replacement(SITES, OPERATORS))


def _compute_s(sites: Sites, world: World) -> float:
    pairs = zip(world.work_s, sites, strict=True)
    return math.fsum(work / world.speed[site] for work, site in pairs)


def _latency_s(sites: Sites, world: World) -> float:
    """Return the seconds of a request; on its way up it crosses every link between two sites."""
    crossed = []
    for bits, (here, there) in zip(world.sent_bits, pairwise(("device", *sites)), strict=True):
        for site in SITES[SITES.index(here) + 1 : SITES.index(there) + 1]:
            capacity_bps, delay_s = world.links[site]
            crossed.append(delay_s + bits / capacity_bps)
    return _compute_s(sites, world) + math.fsum(crossed)


def _without_bits_s(sites: Sites, world: World) -> float:
    """Return the seconds of a request if links had only a delay, and unlimited capacity."""
    return _latency_s(sites, world._replace(sent_bits=[0.0] * OPERATORS))


def _cost(sites: Sites, world: World) -> float:
    pairs = zip(world.work_s, sites, strict=True)
    return math.fsum(world.price[site] * work / world.speed[site] for work, site in pairs)


def _cheapest(world: World, latency_s: Callable[[Sites, World], float] = _latency_s) -> Sites:
    fits = [each for each in _upward() if latency_s(each, world) <= world.bound_s]
    return min(fits, key=lambda each: _cost(each, world))


def _fastest(world: World) -> Sites:
    return min(_upward(), key=lambda each: _latency_s(each, world))


def _placed(value: Sequence[str], world: World) -> str:
    sites = tuple(value)
    if sites not in set(product(SITES, repeat=OPERATORS)):
        return f"one of {', '.join(SITES)} is wanted for each operator"
    if list(sites) != sorted(sites, key=SITES.index):
        return "data only move upward: what has left the device never comes back before the end"
    if _latency_s(sites, world) > world.bound_s * (1 + 1e-9):
        return "a request takes longer than the bound"
    if _cost(sites, world) > _cost(_cheapest(world), world) * (1 + 1e-9):
        return "another placement is in time, too, and cheaper"
    return ""


_PLACEMENT = Exercise(
    "a list of sites, one for each operator, such as ['device', 'device', 'edge', 'cloud']",
    names,
    _worlds,
    _placed,
    (
        Mistake(
            lambda world: list(_cheapest(world, _compute_s)),
            "you count computing only; data need time on their way, too",
        ),
        Mistake(
            lambda world: list(_cheapest(world, _without_bits_s)),
            "you count the delay of links, but not how long their capacity takes for the bits",
        ),
        Mistake(
            lambda world: list(_fastest(world)),
            "that is the fastest placement; among all that are in time, the cheapest is wanted",
        ),
    ),
)


def _users(rng: np.random.Generator) -> Iterable[Arguments]:
    """Draw tables of users; those with slow devices are deceived more often."""
    for _ in range(4):
        count = int(rng.integers(20, 80))
        factor = rng.lognormal(0, 0.4, count)
        falsely = rng.poisson(np.where(factor < 1, rng.uniform(1, 4), 0.4))
        falsely[0], factor[0] = 3, 0.8
        yield (pl.DataFrame({"false_acceptances": falsely, "true_device_factor": factor}),)


def _by_speed(queries: pl.DataFrame) -> tuple[list[int], list[bool]]:
    """Return the false acceptances of each user, and whether the device is slow."""
    return (
        queries["false_acceptances"].to_list(),
        [factor < 1 for factor in queries["true_device_factor"].to_list()],
    )


def _of_slow(value: float, queries: pl.DataFrame) -> str:
    falsely, slow = _by_speed(queries)
    if complaint := beyond_one(value, "a share"):
        return complaint
    concerned = [number_ for number_, is_slow in zip(falsely, slow, strict=True) if is_slow]
    return near(value, sum(concerned) / sum(falsely), 1e-3)


_DECEIVED = Exercise(
    "a share, a number between 0 and 1, such as 0.5",
    number,
    _users,
    _of_slow,
    (
        Mistake(
            lambda queries: np.mean(_by_speed(queries)[1]),
            "that is the share of users whose device is slow, whether deceived or not",
        ),
        Mistake(
            lambda queries: np.mean(
                [slow for count, slow in zip(*_by_speed(queries), strict=True) if count > 0]
            ),
            "you count users, but one user can have several false acceptances; count those",
        ),
        Mistake(
            lambda queries: np.mean(
                [count > 0 for count, slow in zip(*_by_speed(queries), strict=True) if slow]
            ),
            "that is the share of slow devices that deceived; of all false acceptances, which "
            "share concerned slow devices?",
        ),
    ),
)

STEPS = (
    Step(
        "3.1",
        "The cheapest placement in time",
        4,
        (
            "With three sites and four operators there are few placements. Which of them move "
            "data upward only?",
            "itertools.combinations_with_replacement(SITES, 4) lists all of them. Compute the "
            "latency and the cost of each.",
            "For each operator add work_s / speed[site]; whenever the site differs from the one "
            "before (the device, at first), add delay + bits / capacity for each link that is "
            "crossed. From the device to the cloud, that is two. Take min by cost of those within "
            "the bound.",
        ),
        _PLACEMENT,
    ),
    Step(
        "3.2",
        "Whom the data sheet deceives",
        2,
        (
            "Which rows are slow devices? Which column says how often each user was deceived?",
            "Add up false_acceptances of the slow devices, and of all.",
            "slow = queries.filter(pl.col('true_device_factor') < 1); divide the sum of its "
            "false_acceptances by the sum over all rows.",
        ),
        _DECEIVED,
    ),
)
