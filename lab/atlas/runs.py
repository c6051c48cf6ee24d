"""The runs of the atlas: cells in parallel, kept in one Parquet table that a later call extends."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cache, partial
from inspect import signature
from math import inf
from pathlib import Path
from time import perf_counter, process_time

import polars as pl
from joblib import Parallel, delayed

from lab.analysis.sequential import Looks
from lab.atlas.axes import PRICE, Cell
from lab.atlas.race import GOODPUT, LOOKS, METRICS, PER_DOLLAR, Raced, Row, race
from lab.behaviour import Versions, versions_of
from lab.common.atomic_write import written_aside
from lab.common.console import say
from lab.common.errors import InputError, one_line
from lab.config.compose import set_up
from lab.run_cache.jobs import on_cluster, prepare_workers, told_if_killed
from lab.runs.api import Result, composed, result_of
from lab.runs.run_directory import held
from sim.api.planner import Planner, Settings

S_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Length:
    """How long a run is, and its first part that does not count, in mean lifetimes of queries."""

    horizon: float = 5.0
    warm_up: float = 1.0


SHORT, FULL = Length(), Length(12.0, 2.0)
BROAD = 12
"""Number of seeds up to which all cells are raced before any goes on."""

FIRST_SEED, SEEDS_PER_CELL = 10_000, 100
"""The first seed of cell 0, and how many seeds each cell has for itself. Seeds of other studies and
of tests are smaller."""

RUNS, ABOUT = "atlas.parquet", "atlas.json"
"""Names of the table of runs and of the file that says how they were made."""


@dataclass(frozen=True)
class Plan:
    """What an atlas is made of; a resumed one must have the same plan, apart from its cells."""

    planners: tuple[str, ...]
    design_seed: int = 0
    length: Length = SHORT
    looks: Looks = LOOKS
    metrics: tuple[str, ...] = METRICS
    skipped: int = 0  # seeds of each cell that are left to another atlas

    def seed(self, cell: int, number: int) -> int:
        """Return the seed of a cell with a number from 0."""
        return FIRST_SEED + SEEDS_PER_CELL * cell + self.skipped + number

    @property
    def behaviour(self) -> dict[str, Versions]:
        """The behaviour versions of each planner's runs."""
        return {name: versions_of(_planner(planner_override(name))) for name in self.planners}


def measured(result: Result, cell: Cell, length: Length) -> dict[str, float]:
    """Return the measures of a run after the warm-up.

    ``goodput`` is the mean number of queries that meet their whole SLO, ``active`` that of living
    ones. ``usd_per_hour`` is the bill per hour, with ``profiling_usd_per_hour``, which is at the
    cell's price of profiling. Both are of the whole run, because the bill is not kept
    by time. ``goodput_per_usd`` is the ratio of goodput and bill: hours in which a query met its
    SLO, per dollar. ``bound`` is the share of time that any planner could serve at most.
    ``planner_errors`` is the number of calls in which the planner failed.
    """
    horizon_s = length.horizon * cell.pace.lifetime_s
    goodput, active = goodput_and_active(result.windows, horizon_s, length)
    hours = horizon_s / S_PER_HOUR
    profiling = cell.values[PRICE.name] * float(result.summary["profiling_cost_usd"]) / hours
    usd = float(result.summary["deployment_cost_usd"]) / hours + profiling
    return {
        GOODPUT: goodput,
        "active": active,
        "usd_per_hour": usd,
        "profiling_usd_per_hour": profiling,
        PER_DOLLAR: goodput / usd if usd > 0 else 0.0,
        "bound": result.summary["goodput_bound"],
        "planner_errors": result.summary["planner_errors"],
    }


def goodput_and_active(
    windows: pl.DataFrame, horizon_s: float, length: Length
) -> tuple[float, float]:
    """Return the mean numbers of queries that meet their SLO, and that live, after the warm-up."""
    warm_up_s = horizon_s * length.warm_up / length.horizon
    late = windows.filter(pl.col("start_s") >= warm_up_s)
    met_s, active_s = late.filter("met")["deployed_s"].sum(), late["active_s"].sum()
    return float(met_s) / (horizon_s - warm_up_s), float(active_s) / (horizon_s - warm_up_s)


def again(stored: Sequence[Row], plan: Plan) -> Raced:
    """Return the race in a cell as far as its stored rows, at least one, have come."""
    first = plan.seed(stored[0]["cell"], 0)
    seeds = max(row["seed"] for row in stored) - first + 1
    known = {(row["planner"], row["seed"] - first): row for row in stored}

    def measure(planner: str, numbers: Sequence[int]) -> list[Row]:
        return [known[planner, number] for number in numbers]

    return race(plan.planners, measure, plan.looks, plan.metrics, seeds)


class CellRuns:
    """Makes the runs of one cell, apart from those that are stored."""

    def __init__(self, number: int, cell: Cell, plan: Plan, stored: Sequence[Row] = ()) -> None:
        self._number, self._cell, self._plan = number, cell, plan
        self._stored = {(row["planner"], row["seed"]): row for row in stored}

    def __call__(self, planner: str, numbers: Sequence[int]) -> list[Row]:
        """Make the runs of a planner on seeds with some numbers; return a row for each."""
        return [self._row(planner, self._plan.seed(self._number, each)) for each in numbers]

    def _row(self, planner: str, seed: int) -> Row:
        if (planner, seed) in self._stored:
            return self._stored[planner, seed]
        started = process_time()
        given, config = composed(
            [*overrides(self._cell, self._plan.length, planner), f"seed={seed}"]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The row counts a planner's errors.
            result = result_of(set_up(config, given))
        return {
            "cell": self._number,
            **self._cell.values,
            "planner": planner,
            "seed": seed,
            **measured(result, self._cell, self._plan.length),
            "core_s": process_time() - started,
        }


def overrides(cell: Cell, length: Length, planner: str) -> tuple[str, ...]:
    """Return the overrides of a run, apart from the seed.

    The planner is a name in ``conf/planner``, or a class. Its budget is at least the cell's.
    """
    chosen = planner_override(planner)
    given = cell.overrides(length.horizon * cell.pace.lifetime_s)
    budget_s = cell.pace.budget_s
    raised = _budget_s(chosen) < budget_s
    return (*given, chosen, *([f"++planner.budget_s={budget_s:g}"] if raised else []))


@cache
def _planner(chosen: str) -> Planner:
    """Return the planner that an override chooses."""
    given, config = composed([chosen])
    [planner] = set_up(config, given).planners.values()
    return planner


def _budget_s(chosen: str) -> float:
    """Return the budget of a planner by default; infinity if it is no parameter of its class."""
    planner = _planner(chosen)
    known = "budget_s" in signature(type(planner)).parameters
    return Settings.of(planner).budget_s if known else inf


def planner_override(planner: str) -> str:
    """Return the override for a planner's name in ``conf/planner``, or for its class."""
    return f"planner._target_={planner}" if "." in planner else f"planner={planner}"


class Atlas:
    """A directory with the runs of some cells of a plan.

    Runs of planners whose behaviour versions have changed are made again; `stale` names these
    planners, unless the atlas is used ``as_kept``. Raises InputError if the directory has an atlas
    of another plan.
    """

    def __init__(self, directory: Path, plan: Plan, as_kept: bool = False) -> None:
        self.directory, self.plan = directory, plan
        self.wall_s = 0.0
        self.rows: list[Row] = []
        self.behaviour: Mapping[str, Versions] = {}
        self.stale: list[str] = []
        self._earlier: dict[int, list[Row]] = {}
        self._about = json.loads(json.dumps(asdict(plan)))
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
            for key, value in self._about.items():
                if found.get(key) != value:
                    raise InputError(
                        f"--out {directory}: has an atlas with {key}={found.get(key)}, not "
                        f"{value}; choose another directory"
                    )
            self.behaviour = found.get("behaviour", {})
        if not as_kept:
            self._leave_stale(plan.behaviour)

    def _leave_stale(self, behaviour: Mapping[str, Versions]) -> None:
        """Keep only runs of planners that still have the versions that made them."""
        if self.rows:
            names = dict.fromkeys(row["planner"] for row in self.rows)
            self.stale = [name for name in names if self.behaviour.get(name) != behaviour[name]]
        if self.stale:
            for row in self.rows:
                if row["planner"] not in self.stale:
                    self._earlier.setdefault(row["cell"], []).append(row)
            self.rows = []
        self.behaviour = behaviour

    @classmethod
    def kept(cls, directory: Path) -> "Atlas":
        """Return the atlas of a directory with the plan that it was made by; it is only read."""
        found = json.loads((directory / ABOUT).read_text(encoding="utf-8"))
        looks = Looks(**{**found["looks"], "seeds": tuple(found["looks"]["seeds"])})
        plan = Plan(
            tuple(found["planners"]),
            found["design_seed"],
            Length(**found["length"]),
            looks,
            tuple(found["metrics"]),
            found["skipped"],
        )
        return cls(directory, plan, as_kept=True)

    @property
    def frame(self) -> pl.DataFrame:
        """The runs so far, sorted by cell, planner and seed."""
        return pl.DataFrame(self.rows, infer_schema_length=None).sort("cell", "planner", "seed")

    @property
    def unfinished(self) -> int:
        """The number of cells that may get more seeds."""
        parts = self.frame.partition_by("cell")
        return sum(not again(part.to_dicts(), self.plan).over for part in parts)

    def locked(self) -> AbstractContextManager[None]:
        """Return a context in which no other command extends this atlas."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return held(self.directory, f"--out {self.directory}: another command extends this atlas")

    def extend(self, cells: Mapping[int, Cell], processes: int, until_s: float) -> list[str]:
        """Race in some numbered cells: in all of them up to `BROAD` seeds, then to the end.

        No cell is started after ``until_s`` seconds. Returns the sentences of cells that failed.
        """
        started, before_s, failures = perf_counter(), self.wall_s, dict[int, str]()
        by_cell: dict[int, list[Row]] = {}
        for row in self.rows:
            by_cell.setdefault(row["cell"], []).append(row)

        def due(most: int) -> Iterator[tuple[int, Cell, list[Row]]]:
            for number, cell in cells.items():
                stored = by_cell.get(number, [])
                if number in failures or (stored and not self._goes_on(stored, most)):
                    continue
                if perf_counter() - started > until_s:
                    return
                yield number, cell, stored or self._earlier.get(number, [])

        prepare_workers()
        looks = self.plan.looks.seeds
        for most in (max(BROAD, looks[0]), looks[-1]):
            make = delayed(partial(_attempt, self.plan, most))
            with on_cluster():
                ended = Parallel(
                    processes, return_as="generator_unordered", pre_dispatch=processes
                )(make(*each) for each in due(most))
            for number, rows in told_if_killed(ended):
                self.wall_s = before_s + perf_counter() - started
                if isinstance(rows, Exception):
                    failures[number] = f"cell {number}: {one_line(rows)}"
                    say(f"  {failures[number]}")
                    continue
                new = len(rows) - len(by_cell.get(number, ()))
                by_cell[number] = rows
                self.rows = [row for each in by_cell.values() for row in each]
                self._write()
                begun = len(by_cell.keys() & cells.keys())
                say(f"  {begun}/{len(cells)} cell {number}: {new} runs, {self.wall_s:.0f} s")
        return list(failures.values())

    def _goes_on(self, stored: Sequence[Row], most: int) -> bool:
        """Return whether a cell with stored rows needs more of its first ``most`` seeds."""
        raced = again(stored, self.plan)
        looks = self.plan.looks.seeds
        return not raced.over and any(raced.seeds < look <= most for look in looks)

    def _write(self) -> None:
        with written_aside(self.directory / RUNS) as aside:
            self.frame.write_parquet(aside)
        with written_aside(self.directory / ABOUT) as aside:
            about = {**self._about, "behaviour": self.behaviour, "wall_s": round(self.wall_s, 1)}
            text = json.dumps(about, indent=2)
            aside.write_text(text, encoding="utf-8")


def _attempt(
    plan: Plan, most: int, number: int, cell: Cell, stored: Sequence[Row]
) -> tuple[int, list[Row] | Exception]:
    measure = CellRuns(number, cell, plan, stored)
    try:
        raced = race(plan.planners, measure, plan.looks, plan.metrics, most)
        return number, list(raced.rows)
    except Exception as error:
        return number, error
