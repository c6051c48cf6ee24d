"""Observes the cells one combination after the other; an observation that exists is kept."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np

from lab.common.errors import InputError
from lab.serving.observation import DESCRIPTION, Observation, read_observation
from lab.serving.observe import Load, observe_endpoint
from lab.serving.pipeline import load_pipeline
from lab.serving.ray_service import served
from sim.dataplane.base.interface import COMPLETED
from studies.served.design import (
    REQUESTS,
    TIMEOUT_S,
    Cell,
    Combination,
    Step,
    Subject,
    all_cells,
    steps,
)

BURST = "burst"
MIDDLE = (0.1, 0.9)
"""The part of a burst's answers from which the capacity is computed."""


def by_combination(cells: list[Cell]) -> dict[Combination, list[Cell]]:
    """Return the cells of each combination, in the order of the list."""
    found: dict[Combination, list[Cell]] = {}
    for each in cells:
        found.setdefault(each.combination, []).append(each)
    return found


def capacity_per_s(burst: Observation) -> float:
    """Return the rate of a burst's answers, without the first and the last tenth of them."""
    ended_s = np.sort(burst.requests.filter(outcome=COMPLETED)["ended_s"].to_numpy())
    first, last = (int(share * (len(ended_s) - 1)) for share in MIDDLE)
    return float((last - first) / (ended_s[last] - ended_s[first]))


def run(
    directory: Path, subject: Subject, requests: int = REQUESTS, say: Callable[[str], None] = print
) -> None:
    """Observe whatever is missing.

    Args:
        directory: where the observations are; one directory for each combination.
        subject: what is served.
        requests: requests of each observation of a cell.
        say: gets a line on each observation.

    Raises:
        InputError: the pipeline cannot be served.
    """
    began = monotonic()
    for place, (combination, cells) in enumerate(by_combination(all_cells()).items()):
        _observe(directory / combination.name, subject, combination, place, cells, requests, say)
        say(f"{combination.name}: all there after {(monotonic() - began) / 60:.1f} min")


def _observe(
    directory: Path,
    subject: Subject,
    combination: Combination,
    place: int,
    cells: list[Cell],
    requests: int,
    say: Callable[[str], None],
) -> None:
    planned = steps(place, cells, requests)
    if all((directory / name / DESCRIPTION).exists() for name in (BURST, *_names(planned))):
        return
    pipeline = load_pipeline(subject.pipeline, combination.overrides(subject))
    with served(pipeline) as url:

        def observed(name: str, load: Load) -> None:
            if (directory / name / DESCRIPTION).exists():
                return
            found = observe_endpoint(url, load, pipeline.payloads, pipeline)
            found.write(directory / name)
            latency_s = found.requests["latency_s"]
            say(
                f"{combination.name}/{name}: {load.rate_per_s:.2f} requests/s, median latency "
                f"{np.median(latency_s.drop_nulls()):.3f} s, {latency_s.null_count()} lost"
            )

        observed(BURST, combination.burst(place))
        capacity = capacity_per_s(read_observation(directory / BURST))
        say(f"{combination.name}: capacity {capacity:.2f} requests/s")
        for step in planned:
            rate = step.load * capacity
            observed(step.name, Load(rate, step.requests, step.seed, timeout_s=TIMEOUT_S))


def _names(planned: list[Step]) -> list[str]:
    return [each.name for each in planned]


def read(directory: Path, names: list[str]) -> list[Observation]:
    """Read observations; raise InputError if one is missing."""
    try:
        return [read_observation(directory / name) for name in names]
    except InputError as error:
        raise InputError(f"{error}; `python -m studies.served run` observes it") from None
