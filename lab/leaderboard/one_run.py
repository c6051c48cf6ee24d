"""Makes one run of a leaderboard in a process of its own, and writes its tables and its record."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.common.errors import InputError, one_line
from lab.common.orphans import end_with
from lab.common.resources import shortage
from lab.config.compose import set_up
from lab.leaderboard.confinement import limit
from lab.leaderboard.processes import (
    PlannerProcess,
    adopt_orphans,
    bounds,
    end_own,
    memory_bytes,
)
from lab.leaderboard.remote_planner import RemotePlanner
from lab.leaderboard.submissions import Submission
from lab.limits.wall_limit import RUN, WallLimitError
from lab.runs.api import Result, composed, result_of
from lab.runs.run_directory import write_aside
from lab.runs.warm_up import ready
from sim.api.errors import PlannerError

RECORD, TABLES, ERRORS = "record.json", "tables", "errors.txt"
"""What the directory of a run has: how the run ended, its tables, and while it runs what the
planner writes to standard error."""
CPU_PER_WALL = 2.0
"""Processor seconds that a planner's process may use for each second of its run's limit."""


@dataclass(frozen=True)
class Task:
    """A run to make.

    Args:
        planner: name of the submission, or of a shipped planner.
        submission: path of the submission; None for a shipped planner.
        overrides: overrides of the regime.
        seed: the seed.
        directory: directory of the run.
        place: empty directory for the planner's process.
        start_s: seconds until the planner must be ready.
        call_s: seconds for each call of the planner.
        run_s: seconds for the run.
        memory_gb: memory of the planner's process, beyond what libraries take.
        parent: number of the process without which this one ends.

    The memory is also that of the run's own process, which a planner can make work.
    """

    planner: str
    submission: str | None
    overrides: list[str]
    seed: int
    directory: str
    place: str
    start_s: float
    call_s: float
    run_s: float
    memory_gb: float
    parent: int

    def text(self) -> str:
        """Return the task as `make` reads it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Record:
    """How a run ended.

    Args:
        failure: why it does not count, as a clause; None if it counts.
        errors: number of the planner's calls that ended in an error.
        first_error: the text of the first one, if any.
    """

    failure: str | None
    errors: int = 0
    first_error: str | None = None


def make() -> None:
    """Make the run that standard input describes, and write its record."""
    task = Task(**json.load(sys.stdin))
    end_with(task.parent)
    adopt_orphans()
    limit("RLIMIT_AS", memory_bytes(task.memory_gb))
    try:
        record = _made(task)
    except WallLimitError:
        record = Record(f"its run took longer than limits.run_s={task.run_s:g} s")
    except (InputError, PlannerError, OSError, MemoryError) as error:
        record = Record(shortage(error) or one_line(error))
    write_aside(Path(task.directory, RECORD), json.dumps(asdict(record), indent=2))


def _made(task: Task) -> Record:
    overrides = [*task.overrides, f"seed={task.seed}", "max_call_s=null", f"{RUN}={task.run_s}"]
    tables = Path(task.directory, TABLES)
    if task.submission is None:
        return _record(_run([*overrides, f"planner={task.planner}"], None, tables))
    with _remote(task, Path(task.submission)) as planner:
        try:
            planner.load(task.planner)
            record = _record(_run(overrides, planner, tables))
        except (InputError, PlannerError):
            if planner.failure is None:
                raise
            return Record(planner.failure)
        failure = planner.failure or record.failure
        return Record(failure, record.errors, planner.first_error)


def _run(overrides: list[str], planner: RemotePlanner | None, directory: Path) -> Result:
    given, config = composed(overrides)
    setup = ready(set_up(config, given, planner), given, config)
    return result_of(setup, directory)


def _record(result: Result) -> Record:
    summary = result.summary
    failed = summary["status"] != "finished"
    failure = "it raised an error in every call, and deployed nothing" if failed else None
    return Record(failure, summary["planner_errors"], summary["planner_error_first"])


@contextmanager
def _remote(task: Task, submission: Path) -> Iterator[RemotePlanner]:
    """Yield a planner in a confined process; kill all processes of the planner in the end."""
    errors = Path(task.directory, ERRORS)
    found = bounds(Path(task.place), task.memory_gb, CPU_PER_WALL * task.run_s)
    process = PlannerProcess(Submission(task.planner, submission), found, errors)
    try:
        yield RemotePlanner(process, task.start_s, task.call_s)
    finally:
        process.kill()
        end_own()
        errors.unlink()
