"""The cells of the campaign, which are fixed before anything is observed, and the rules for them.

A *combination* is how the pipeline is served; a *cell* is a combination at a load. The load is the
rate of requests relative to the combination's capacity, which a burst of requests measures first.
Whatever calibrates the predictions is observed at other loads and at other times than the cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lab.serving.observe import Load

HERE = Path(__file__).parent
CELLS = HERE / "cells.csv"
WAIT_S_PER_MEMBER = 0.05
"""A batch waits so long for each further request that it could hold. Ray Serve forms batches only
within this time, also at high load."""
REQUESTS = 600
"""Requests of each observation of a cell."""
CALIBRATION_REQUESTS = 300
CALIBRATION_LOADS = (0.45, 0.7)
BURST_PER_S = 1000.0
BURST_REQUESTS, BURST_BATCHES = 80, 12
"""A burst has at least so many requests, and so many full batches for each replica."""
BOUND = 2.0
"""The latency bound of goodput, in multiples of the median latency of the combination's first
calibration."""
TIMEOUT_S = 600.0
SEEDS = 5
"""Draws of the execution times in each prediction."""
BURST_SEED, CALIBRATION_SEED, CELL_SEED = 100, 200, 300
"""Seeds of the first combination or cell; the others follow."""


@dataclass(frozen=True)
class Subject:
    """What is served.

    Args:
        pipeline: name or file of the pipeline.
        batched: operators whose batches and replicas a combination sets.
        configurations: what the configurations of the cells set, by their names.
    """

    pipeline: str
    batched: Sequence[str]
    configurations: Mapping[str, Sequence[str]]


SUBJECTS = {
    "document_reading": Subject(
        "document_reading",
        ("detect", "recognise"),
        {
            "rich": (),
            "lean": (
                "operators.recognise.operator.recogniser=int8",
                "operators.recognise.operator.line_scale=0.5",
            ),
        },
    ),
    "stub": Subject(
        str(HERE / "stub.yaml"),
        ("detect", "recognise"),
        {"rich": (), "lean": ("operators.recognise.operator.mean_s=0.02",)},
    ),
}


@dataclass(frozen=True)
class Combination:
    """How the pipeline is served."""

    max_batch: int
    replicas: int
    configuration: str

    @property
    def name(self) -> str:
        """Its name, which is that of a directory."""
        return f"batch{self.max_batch}_replicas{self.replicas}_{self.configuration}"

    @property
    def max_wait_s(self) -> float:
        """How long the first request of a batch waits for others."""
        return WAIT_S_PER_MEMBER * (self.max_batch - 1)

    def overrides(self, subject: Subject) -> list[str]:
        """Return the words that set it in the pipeline."""
        words = list(subject.configurations[self.configuration])
        for name in subject.batched:
            for key in ("max_batch", "replicas", "max_wait_s"):
                words.append(f"operators.{name}.{key}={getattr(self, key)}")
        return words

    def burst(self, place: int) -> Load:
        """Return the load that measures the capacity of the combination at a place in the list."""
        requests = max(BURST_REQUESTS, BURST_BATCHES * self.max_batch * self.replicas)
        return Load(BURST_PER_S, requests, BURST_SEED + place, timeout_s=TIMEOUT_S)


@dataclass(frozen=True)
class Cell:
    """A combination at a load; `number` is its own in the list."""

    number: int
    load: float
    combination: Combination


def all_cells() -> list[Cell]:
    """Return the committed list of cells."""
    return [
        Cell(
            row["cell"],
            row["load"],
            Combination(row["max_batch"], row["replicas"], row["configuration"]),
        )
        for row in pl.read_csv(CELLS).iter_rows(named=True)
    ]


@dataclass(frozen=True)
class Step:
    """One observation.

    Args:
        name: of its directory, in that of the combination.
        load: rate relative to the capacity.
        requests: number of requests.
        seed: of the arrivals and of what is sent.
    """

    name: str
    load: float
    requests: int
    seed: int


def steps(place: int, cells: Sequence[Cell], requests: int = REQUESTS) -> list[Step]:
    """Return the observations after the burst, in their order: calibrations between the cells.

    Args:
        place: of the combination in the list.
        cells: the combination's cells.
        requests: requests of each observation of a cell.
    """
    found = []
    calibrating = max(20, requests * CALIBRATION_REQUESTS // REQUESTS)
    for run, load in enumerate(CALIBRATION_LOADS):
        seed = CALIBRATION_SEED + place * len(CALIBRATION_LOADS) + run
        found.append(Step(f"calibration{run}", load, calibrating, seed))
        found += [
            Step(f"cell{each.number}_run{run}", each.load, requests, CELL_SEED + each.number)
            for each in cells
        ]
    return found
