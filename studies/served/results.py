"""What the campaign found, and the page on it."""

import json
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lab.common.errors import InputError
from lab.reporting.render import render
from lab.runs.run_directory import write_aside
from lab.serving.observation import Observation
from lab.serving.predicting.calibration import calibrate
from lab.serving.predicting.comparison import Figures, cell_rows, summary, worst_first
from lab.serving.predicting.prediction import predict
from lab.serving.predicting.service_tables import CORES, ENGINE, HOST, PATHS, TIMES
from sim.dataplane.base.interface import COMPLETED
from studies.served import planned
from studies.served.campaign import BURST, by_combination, capacity_per_s, read
from studies.served.design import (
    BOUND,
    BURST_BATCHES,
    BURST_REQUESTS,
    CALIBRATION_LOADS,
    HERE,
    SEEDS,
    WAIT_S_PER_MEMBER,
    Combination,
    all_cells,
)

RESULTS = HERE / "results.json"
PAGE = HERE.parents[1] / "docs" / "evidence" / "served.md"
REMARK = HERE / "remark.md"
GOALS = {"p50_s": 0.05, "p95_s": 0.10, "goodput": 0.03}
"""Largest medians of the absolute errors, as the project set them before it had any."""
WORST_P95, WORST_FLOORS = 0.25, 2.0
"""The error of p95 in each cell is at most this, or at most so many times the cell's floor."""
RUNS = range(len(CALIBRATION_LOADS))
NAMES = {
    "p50_s": "median latency",
    "p95_s": "p95 of latency",
    "p99_s": "p99 of latency",
    "throughput_per_s": "throughput",
    "goodput": "goodput",
}


def calibrations(directory: Path) -> dict[Combination, list[Observation]]:
    """Return each combination's burst and calibrations; raise InputError if one is missing."""
    names = [BURST, *(f"calibration{run}" for run in RUNS)]
    return {each: read(directory / each.name, names) for each in by_combination(all_cells())}


def results(directory: Path) -> dict[str, Any]:
    """Return the results of a finished campaign; raise InputError if an observation is missing.

    The tables follow from the bursts and the calibrations of all combinations, and never from an
    observation of a cell.
    """
    known = calibrations(directory)
    tables = calibrate([one for each in known.values() for one in each])
    rows: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    repeated: list[dict[str, Any]] = []
    for combination, cells in by_combination(all_cells()).items():
        burst, first, *_ = known[combination]
        capacity, bound_s = capacity_per_s(burst), BOUND * _median_s(first)
        for cell in cells:
            names = [f"cell{cell.number}_run{run}" for run in RUNS]
            seen = read(directory / combination.name, names)
            figures = [Figures.of(each.requests, bound_s) for each in seen]
            predicted = predict(seen[0], tables, SEEDS)
            rows += cell_rows(str(cell.number), figures, Figures.of(predicted.requests, bound_s))
            told.append(
                {
                    "cell": str(cell.number),
                    "load": cell.load,
                    "max_batch": combination.max_batch,
                    "replicas": combination.replicas,
                    "configuration": combination.configuration,
                    "capacity_per_s": capacity,
                    "bound_s": bound_s,
                    "steal_share": [_mean(each, "steal_share") for each in seen],
                    "heavier": _more(_core_s(seen), _core_s(known[combination][1:])),
                    "engine_s": _engine_s(seen[0]),
                    "lost": sum(each.requests["latency_s"].null_count() for each in seen),
                }
            )
            if combination.max_batch == 1:
                repeated += _repeats(str(cell.number), *seen)
    last = seen[-1].description
    return {
        "pipeline": last["pipeline"]["name"],
        "host": last["host"],
        "versions": last["versions"],
        "started_utc": next(iter(known.values()))[0].description["started_utc"],
        "ended_utc": last["started_utc"],
        "requests": last["requests"],
        "rows": rows,
        "cells": told,
        "repeats": repeated,
        "plans": planned.found(directory),
        "tables": {name: tables[name].to_dicts() for name in (TIMES, ENGINE, CORES, HOST)},
        "paths": _mean_paths(tables[PATHS]),
    }


def _mean_paths(paths: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the mean time of passing a request by operator, jobs, and whether it was queued."""
    keys = ["operator", "queued", "jobs"]
    # The quantiles are equally spaced.
    return paths.group_by(keys).agg(mean_s=pl.col("path_s").mean()).sort(keys).to_dicts()


def _core_s(observations: Sequence[Observation]) -> float:
    """Return the core time that batches took per completed request, in seconds."""
    done = [each.requests.filter(outcome=COMPLETED) for each in observations]
    parts = [
        (each[f"{name}_cpu_s"] / each[f"{name}_batch"]).sum()
        for each, one in zip(done, observations, strict=True)
        for name in one.operators
        if f"{name}_cpu_s" in each.columns
    ]
    return float(sum(parts)) / max(1, sum(each.height for each in done))


def _more(one_s: float, other_s: float) -> float | None:
    """Return by which share one time is longer than another; None if the other is unknown."""
    return one_s / other_s - 1 if other_s else None


def _engine_s(observation: Observation) -> float:
    """Return the core time per request that the host used for anything but batches, in seconds."""
    host = observation.description["host"]["cores"]
    ended_s = float(observation.requests["ended_s"].max() or 0.0)  # type: ignore[arg-type]
    noise = observation.noise.filter(pl.col("t_s") <= ended_s)
    used_s: float = host * float(noise["busy_share"].fill_null(0.0).mean() or 0.0) * ended_s  # type: ignore[arg-type]
    return float(used_s / max(1, observation.requests.height)) - _core_s([observation])


def _repeats(cell: str, first: Observation, second: Observation) -> Iterator[dict[str, Any]]:
    """Yield how much the times of equal requests differ between both observations of a cell.

    It is the standard deviation of the logarithm of a time: of both times' ratio, over root 2.
    """
    both = first.requests.join(second.requests, on="number")
    for name in first.operators:
        row: dict[str, Any] = {"cell": cell, "operator": name}
        for kind in ("cpu", "compute"):
            one, other = f"{name}_{kind}_s", f"{name}_{kind}_s_right"
            told = other in both.columns
            known = both.filter(pl.col(one) > 0, pl.col(other) > 0) if told else both.clear()
            ratio = (known[one] / known[other]).log() if told and known.height > 1 else None
            row[kind] = None if ratio is None else float(np.std(ratio.to_numpy(), ddof=1)) / sqrt(2)
        yield row


def _goals(table: pl.DataFrame) -> Iterator[tuple[str, str, str, str]]:
    """Yield each goal in words, what was reached, and whether it is met."""
    medians = {row["figure"]: row["error_median"] for row in summary(table).iter_rows(named=True)}
    for name, goal in GOALS.items():
        unit = "points" if name == "goodput" else "%"
        yield (
            f"median error of {NAMES[name]}",
            f"at most {100 * goal:g} {unit}",
            f"{100 * medians[name]:.1f} {unit}",
            "met" if medians[name] <= goal else "missed",
        )
    rows = table.filter(figure="p95_s")
    floor = pl.col("floor").fill_null(0.0)
    over = rows.filter(pl.col("error").abs() > pl.max_horizontal(WORST_P95, WORST_FLOORS * floor))
    cells = ", ".join(over["cell"])
    yield (
        "error of p95 in every cell",
        f"at most {100 * WORST_P95:g} %, or {WORST_FLOORS:g} times the floor",
        f"{rows.height - over.height} of {rows.height} cells",
        f"missed in cells {cells}" if cells else "met",
    )


def _median_s(observation: Observation) -> float:
    return float(observation.requests["latency_s"].median())  # type: ignore[arg-type]


def _mean(observation: Observation, column: str) -> float:
    return float(observation.noise[column].fill_null(0.0).mean() or 0.0)  # type: ignore[arg-type]


def store(found: dict[str, Any], path: Path = RESULTS) -> None:
    """Write results, from which the page can be made again."""
    write_aside(path, json.dumps(found, indent=1) + "\n")


def stored(path: Path = RESULTS) -> dict[str, Any]:
    """Return stored results; raise InputError if there are none."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; name --directory, where the campaign is")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def page(found: dict[str, Any]) -> str:
    """Return the page as Markdown; it depends only on the results."""
    table = worst_first(found["rows"])
    cells = {each["cell"]: each for each in found["cells"]}
    loads = pl.col("cell").replace_strict({name: each["load"] for name, each in cells.items()})
    ordered = table["cell"].unique(maintain_order=True)
    by_cell = {
        name: {row["figure"]: row for row in table.filter(cell=name).iter_rows(named=True)}
        for name in ordered
    }
    text = render(
        "served.md.jinja",
        "studies",
        found=found,
        names=NAMES,
        summary=summary(table).to_dicts(),
        by_load=[
            {"load": load, **{row["figure"]: row for row in summary(each).to_dicts()}}
            for [load], each in table.group_by(loads.alias("load"), maintain_order=True)
        ],
        cells=[(cells[name], by_cell[name]) for name in ordered],
        measured=[cells[name] for name in sorted(cells, key=int)],
        wait_s=WAIT_S_PER_MEMBER,
        bound=BOUND,
        burst=(BURST_REQUESTS, BURST_BATCHES),
        calibration_loads=CALIBRATION_LOADS,
        seeds=SEEDS,
        plan_load=planned.LOAD,
        goals=list(_goals(table)),
        remark=REMARK.read_text(encoding="utf-8").strip(),
    )
    return text.rstrip() + "\n"
