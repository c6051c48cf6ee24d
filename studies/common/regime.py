"""The line below each figure and table: profiling, load, seeds, and what the best planner serves.

The line follows from the rows of the runs that are shown. `recorded` gives the columns that say how
a scene was configured when it ran; rows that were stored before these columns lack them, and the
line says so. Runs have the same scene if they have the same labels, apart from the planner's.

*Load* is the GPU time per second that the queries living at the end of the run need at the least,
over the capacity of all its machines (`lab.analysis.sizing`), before anything drifts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from math import expm1, fsum
from typing import Any

from lab.analysis.sizing import demand_in, reference_gpus
from lab.common.formatting import number
from lab.run_cache.keys import prepared
from scenarios.cluster import FREE, IDLE_INSTANCES, POOL
from scenarios.scenario import Scenario
from scenarios.workload import Workload

PROFILING = {
    POOL: "pool of {}",
    IDLE_INSTANCES: "idle parts of the GPUs that serve, and for offline profiles a pool of {}",
    FREE: "free, on {}",
}
"""Kinds of profiling in words, with the number of boards."""

JUDGED = (0.30, 0.95)
"""Range of the share of time met by the best planner in which a scene can tell planners apart."""

LABELS_END = "seed"
"""The first column after the labels of a row, see `lab.run_cache.jobs.make`."""

NAMED = 3
"""Most scenes that a line names; if there are more, it counts them."""

NOT_RECORDED = "not recorded"
WITHOUT_RUNS = "*Without runs.*"


@dataclass(frozen=True)
class Scene:
    """What the rows of a scene tell.

    Args:
        name: its labels as text.
        profiling: kind of profiling and number of boards; None if not recorded.
        load: least demand over capacity; None if not recorded.
        seeds: seeds of its runs.
        best: share of time that the best planner serves, mean over seeds; None if not recorded.
    """

    name: str
    profiling: tuple[str, int] | None
    load: float | None
    seeds: frozenset[int]
    best: float | None


@cache
def recorded(overrides: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the columns of a row that say how its scene is configured, from a job's overrides."""
    scenario = prepared(overrides)[0].scenario()
    profiling = scenario.cluster.profiling
    free = profiling.kind == FREE
    return {
        "scene_profiling": profiling.kind,
        "scene_boards": profiling.lanes * profiling.workers if free else profiling.count,
        "scene_load": load(scenario),
    }


def load(scenario: Scenario) -> float | None:
    """Return least demand over capacity; None if no machine has a GPU."""
    application = scenario.application
    nodes = scenario.cluster.nodes.values()
    capacity = fsum(node.count * reference_gpus(application, node.machine) for node in nodes)
    queries = living(scenario.workload, scenario.horizon_s)
    return queries * demand_in(scenario).least_gpus / capacity if capacity else None


def living(workload: Workload, horizon_s: float) -> float:
    """Return the expected number of living queries at the end of a run that starts without any.

    It is the arrival rate times the mean of the shorter of lifetime and run, because lifetimes are
    a minimum and an exponential time.
    """
    least_s = workload.lifetime_min_s
    more_s = workload.lifetime_mean_s - least_s
    grown_s = more_s * -expm1(-max(0.0, horizon_s - least_s) / more_s)
    return workload.rate * (min(least_s, horizon_s) + grown_s)


def scenes(rows: Iterable[Mapping[str, Any]]) -> list[Scene]:
    """Return the scenes of rows, whose labels are the keys before ``seed``."""
    by: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by.setdefault(_split(row)[0], []).append(row)
    return [_scene(name, some) for name, some in by.items()]


def line(some: Sequence[Scene]) -> str:
    """Return the line below a figure or table of runs in some scenes, in italics."""
    if not some:
        return WITHOUT_RUNS
    said = [
        f"Profiling: {_profiling([each.profiling for each in some])}.",
        f"Load: {_range([each.load for each in some], 2)}.",
        f"Seeds: {_seeds([each.seeds for each in some])}.",
        *_served(some),
    ]
    return f"*{' '.join(said)}*"


def told_apart() -> str:
    """Return the range of shares of the best planner in which planners can be told apart."""
    return _percent(JUDGED)


def below_tables(lines: Iterable[str], said: str) -> Iterator[str]:
    """Yield lines of Markdown, with the line `said` below each table."""
    inside = False
    for one in lines:
        ended = inside and not one.startswith("|")
        if ended:
            yield from ("", said, "")
        if one or not ended:
            yield one
        inside = one.startswith("|")
    if inside:
        yield from ("", said, "")


def _split(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of a row's scene, and that of its planner with the swept options of it."""
    labels = takewhile(lambda item: item[0] != LABELS_END, row.items())
    parts: dict[bool, list[str]] = {False: [], True: []}
    for key, value in labels:
        text = value if isinstance(value, str) and "." not in key else f"{key}={value}"
        parts[key.partition(".")[0] == "planner"].append(text)
    return ", ".join(parts[False]), ", ".join(parts[True])


def _scene(name: str, rows: Sequence[Mapping[str, Any]]) -> Scene:
    """Return a scene from its rows, whose configuration differs only in the planner."""
    kind, load_ = rows[0].get("scene_profiling"), rows[0].get("scene_load")
    by: dict[str, list[float]] = {}
    for row in rows:
        if (share := _share(row)) is not None:
            by.setdefault(_split(row)[1], []).append(share)
    return Scene(
        name,
        None if kind is None else (kind, rows[0]["scene_boards"]),
        load_,
        frozenset(row["seed"] for row in rows),
        max((fsum(each) / len(each) for each in by.values()), default=None),
    )


def _share(row: Mapping[str, Any]) -> float | None:
    """Return the share of time served: goodput over living queries, or else that of the run."""
    if row.get("active") and row.get("goodput") is not None:
        return float(row["goodput"]) / float(row["active"])
    return row.get("slo_met")


def _profiling(found: Sequence[tuple[str, int] | None]) -> str:
    by: dict[str, list[int]] = {}
    for kind, boards in filter(None, found):
        by.setdefault(kind, []).append(boards)
    said = [
        PROFILING[kind].format(f"{_range(boards)} board{'s' * (max(boards) > 1)}")
        for kind, boards in by.items()
    ]
    return "; ".join([*said, *([NOT_RECORDED] if None in found else [])])


def _range(found: Sequence[float | None], digits: int = 3) -> str:
    known = sorted(each for each in found if each is not None)
    ends = dict.fromkeys(number(each, digits) for each in (*known[:1], *known[-1:]))
    said = [" to ".join(ends)] if ends else []
    return "; ".join([*said, *([NOT_RECORDED] if None in found else [])])


def _seeds(found: Sequence[frozenset[int]]) -> str:
    every = sorted(frozenset().union(*found))
    starts = [seed for seed in every if seed - 1 not in every]
    ends = [seed for seed in every if seed + 1 not in every]
    pairs = zip(starts, ends, strict=True)
    text = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in pairs)
    least = min(map(len, found))
    return text if least == len(every) else f"{text} (at least {least} in each scene)"


def _served(some: Sequence[Scene]) -> Iterator[str]:
    """Yield what the best planner serves, and which scenes cannot tell planners apart."""
    shares = [(each.name, each.best) for each in some if each.best is not None]
    if not any(share for _, share in shares):
        yield "No query is served." if shares else f"The best planner serves: {NOT_RECORDED}."
        return
    apart = f"outside the range in which planners can be told apart ({told_apart()})"
    outside = [
        f"{name} ({_percent([share])})"
        for name, share in shares
        if not JUDGED[0] <= share <= JUDGED[1]
    ]
    said = f"The best planner serves {_percent([share for _, share in shares])} of the time"
    if len(some) == 1:
        yield f"{said}, {apart}." if outside else f"{said}."
        return
    lacking = len(some) - len(shares)
    yield f"{said}; {NOT_RECORDED} for {lacking} of {len(some)} scenes." if lacking else f"{said}."
    if len(outside) > NAMED:
        yield f"{len(outside)} of {len(some)} scenes are {apart}."
    elif outside:
        yield f"{apart.capitalize()}: {'; '.join(outside)}."


def _percent(shares: Sequence[float]) -> str:
    return f"{_range([100 * share for share in shares])} %"
