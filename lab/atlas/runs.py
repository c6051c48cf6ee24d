"""The runs of the atlas: cells in parallel, kept in one Parquet table that a later call extends."""

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import polars as pl
from joblib import Parallel, delayed

from lab.analysis.sequential import Looks
from lab.atlas.axes import PRICE, Cell, design
from lab.atlas.race import GOODPUT, LOOKS, PER_DOLLAR, Row, race
from lab.common.atomic_write import written_aside
from lab.common.console import say
from lab.common.errors import InputError, one_line
from lab.config.compose import Setup, set_up
from lab.run_cache.jobs import prepare_workers
from lab.runs.api import Result, composed, result_of

S_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Length:
    """How long a run of a cell is, and its first part that does not count, in seconds."""

    horizon_s: float = 900.0
    warm_up_s: float = 300.0


SHORT, FULL = Length(), Length(3600.0, 600.0)
FIRST_SEED = 10_000
"""Seed number 0 of the atlas; seeds of other studies and of tests are smaller."""

RUNS, ABOUT = "atlas.parquet", "atlas.json"
"""Names of the table of runs and of the file that says how they were made."""


@dataclass(frozen=True)
class Plan:
    """What an atlas is made of; a resumed one must have the same plan, apart from its cells."""

    planners: tuple[str, ...]
    design_seed: int = 0
    length: Length = SHORT
    looks: Looks = LOOKS


def measured(result: Result, length: Length, profiling_price: float) -> dict[str, float]:
    """Return the measures of a run after the warm-up.

    ``goodput`` is the mean number of queries that meet their whole SLO, ``active`` that of living
    ones. ``usd_per_hour`` is the bill per hour, with ``profiling_usd_per_hour``, which is
    `profiling_price` times the list price. Both are of the whole run, because the bill is not kept
    by time. ``goodput_per_usd`` is the ratio of goodput and bill: hours in which a query met its
    SLO, per dollar. ``bound`` is the share of time that any planner could serve at most.
    """
    late = result.windows.filter(pl.col("start_s") >= length.warm_up_s)
    span_s = length.horizon_s - length.warm_up_s
    goodput = float(late.filter("met")["deployed_s"].sum()) / span_s
    hours = length.horizon_s / S_PER_HOUR
    profiling = profiling_price * float(result.summary["profiling_cost_usd"]) / hours
    usd = float(result.summary["deployment_cost_usd"]) / hours + profiling
    return {
        GOODPUT: goodput,
        "active": float(late["active_s"].sum()) / span_s,
        "usd_per_hour": usd,
        "profiling_usd_per_hour": profiling,
        PER_DOLLAR: goodput / usd if usd > 0 else 0.0,
        "bound": result.summary["goodput_bound"],
    }


class CellRuns:
    """Makes the runs of one cell."""

    def __init__(self, number: int, cell: Cell, length: Length, first: int = 0) -> None:
        self._number, self._cell, self._length = number, cell, length
        self._first = FIRST_SEED + first

    def __call__(self, planner: str, seeds: Sequence[int]) -> list[Row]:
        """Make the runs of a planner on some seeds; return a row for each."""
        return [self._row(planner, seed) for seed in seeds]

    def _row(self, planner: str, seed: int) -> Row:
        started = process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The summary counts a planner's errors.
            result = result_of(self._setup(planner, seed))
        values = measured(result, self._length, self._cell.values[PRICE.name])
        return {
            "cell": self._number,
            **self._cell.values,
            "planner": planner,
            "seed": self._first + seed,
            **values,
            "core_s": process_time() - started,
        }

    def _setup(self, planner: str, seed: int) -> Setup:
        overrides = [*self._cell.overrides(self._length.horizon_s), planner_override(planner)]
        given, config = composed([*overrides, f"seed={self._first + seed}"])
        return set_up(config, given)


def planner_override(planner: str) -> str:
    """Return the override for a planner's name in ``conf/planner``, or for its class."""
    return f"planner._target_={planner}" if "." in planner else f"planner={planner}"


class Atlas:
    """A directory with the runs of some cells of a plan.

    Raises InputError if the directory has an atlas of another plan.
    """

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.directory, self.plan = directory, plan
        self.wall_s = 0.0
        self.rows: list[Row] = []
        about = json.loads(json.dumps(asdict(plan)))
        path = directory / ABOUT
        if path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                self.wall_s = float(found["wall_s"])
                self.rows += pl.read_parquet(directory / RUNS).to_dicts()
            except (ValueError, KeyError, TypeError, OSError, pl.exceptions.PolarsError) as error:
                raise InputError(
                    f"--out {directory}: has a damaged atlas ({one_line(error)}); choose another "
                    "directory"
                ) from None
            for key, value in about.items():
                if found.get(key) != value:
                    raise InputError(
                        f"--out {directory}: has an atlas with {key}={found.get(key)}, not "
                        f"{value}; choose another directory"
                    )
        self._about = about

    @classmethod
    def kept(cls, directory: Path) -> "Atlas":
        """Return the atlas of a directory with the plan that it was made by."""
        found = json.loads((directory / ABOUT).read_text(encoding="utf-8"))
        looks = Looks(tuple(found["looks"]["seeds"]), found["looks"]["error"])
        planners = tuple(found["planners"])
        plan = Plan(planners, found["design_seed"], Length(**found["length"]), looks)
        return cls(directory, plan)

    @property
    def frame(self) -> pl.DataFrame:
        """The runs so far, sorted by cell, planner and seed."""
        return pl.DataFrame(self.rows, infer_schema_length=None).sort("cell", "planner", "seed")

    def extend(self, cells: int, processes: int, until_s: float) -> list[str]:
        """Make the runs of the cells that are missing among the first `cells` ones of the design.

        No cell is started after ``until_s`` seconds. Returns the sentences of cells that failed.
        """
        known = {row["cell"] for row in self.rows}
        missing = [
            (number, cell)
            for number, cell in enumerate(design(cells, self.plan.design_seed))
            if number not in known
        ]
        started, before_s, failures = perf_counter(), self.wall_s, []
        self.directory.mkdir(parents=True, exist_ok=True)

        def in_time() -> Iterator[tuple[int, Cell]]:
            for each in missing:
                if perf_counter() - started > until_s:
                    return
                yield each

        prepare_workers()
        make = delayed(partial(_attempt, self.plan))
        ended = Parallel(processes, return_as="generator_unordered", pre_dispatch=processes)(
            make(number, cell) for number, cell in in_time()
        )
        for done, (number, rows) in enumerate(ended, start=1):
            self.wall_s = before_s + perf_counter() - started
            if isinstance(rows, Exception):
                failures.append(f"cell {number}: {one_line(rows)}")
                say(f"  {failures[-1]}")
                continue
            self.rows += rows
            self._write()
            say(f"  {done}/{len(missing)} cell {number}: {len(rows)} runs, {self.wall_s:.0f} s")
        return failures

    def _write(self) -> None:
        with written_aside(self.directory / RUNS) as aside:
            self.frame.write_parquet(aside)
        with written_aside(self.directory / ABOUT) as aside:
            text = json.dumps({**self._about, "wall_s": round(self.wall_s, 1)}, indent=2)
            aside.write_text(text, encoding="utf-8")


def _attempt(plan: Plan, number: int, cell: Cell) -> tuple[int, list[Row] | Exception]:
    try:
        return number, list(
            race(plan.planners, CellRuns(number, cell, plan.length), plan.looks).rows
        )
    except Exception as error:
        return number, error
