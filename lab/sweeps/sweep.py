"""Starts a sweep: checks it before any job runs, and records its jobs and their statuses.

``jobs.yaml``, next to the job directories, has the overrides of each job. The objective is one or
several values of a run's summary, which an optimising sweeper, such as Optuna's, gets after a run.
"""

import re
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.conf import HydraConf
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write
from yaml import safe_dump

from lab.common.errors import COMPOSING, InputError, choices, key_of, one_line, raised_by
from lab.common.options import groups
from lab.limits import wall_limit
from lab.runs.resume import check_versions
from lab.runs.run_directory import (
    JOBS,
    LOCK,
    SUMMARY,
    check_links,
    held,
    holds_run,
    holds_sweep,
    read_jobs,
    read_summary,
    write_aside,
)
from lab.runs.summary import numbers_of
from lab.runs.summary_shape import is_of_run
from lab.runs.warm_up import warm_up
from lab.sweeps.launchers import failure_sentence, launcher_name
from lab.sweeps.progress import progress_shown

JobOverrides = Sequence[str]
"""The overrides of one job."""
IGNORED = ("resume", *wall_limit.KEYS)
"""Keys that are allowed to differ in a resumed sweep, because they do not affect results."""
NUMBER = re.compile(r"(?P<whole>-?\d+)|(?P<decimal>-?\d+\.\d+)")
OURS = "hydra_plugins.compass_sim.CompassSweeper"
KEY = "hydra.callbacks.outcome.objective"
MULTIRUN = "multirun.yaml"
WATCH = "hydra_plugins.compass_sim.WatchedSweeper"


def with_new_overrides(jobs: Sequence[JobOverrides]) -> Iterator[JobOverrides]:
    """Yield the jobs that have a new kind of override; all whole numbers of a key are one kind."""
    group_names = groups()
    seen: set[str] = set()
    for job in jobs:
        kinds = {_kind(override, group_names) for override in job}
        if not kinds <= seen:
            seen |= kinds
            yield job


def _kind(override: str, group_names: Container[str]) -> str:
    key, _, value = override.partition("=")
    if key in group_names or not (number := NUMBER.fullmatch(value)):
        return override
    return f"{key}={number.lastgroup}"


def check_free(directory: Path, resume: bool) -> None:
    """Raise InputError if a directory has results that this sweep must not add to."""
    where = f"hydra.sweep.dir={directory}"
    if holds_run(directory):
        raise InputError(f"{where}: has a single run or a comparison; name another directory")
    if not resume and holds_sweep(directory):
        raise InputError(
            f"{where}: already has a sweep; add resume=true to resume it, name another directory "
            "or delete this one"
        )
    if resume:
        numbered = [one.parent for one in directory.glob(f"*/{SUMMARY}")]
        for job in sorted(int(path.name) for path in numbered if path.name.isdecimal()):
            check_versions(f"{where}, job {job}", directory / str(job))


def note_jobs(directory: Path, jobs: Sequence[JobOverrides], resume: bool) -> None:
    """Write ``jobs.yaml``; raise InputError if the jobs of a resumed sweep have changed."""
    check_free(directory, resume)
    where = f"hydra.sweep.dir={directory}"
    file = directory / JOBS
    now = [[one for one in job if key_of(one) not in IGNORED] for job in jobs]
    before = read_jobs(file) if file.exists() else []
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            raise InputError(
                f"{where}: has another sweep: job {number} {_change(old, new)}; resume with the "
                "same overrides in the same order (values may be added if all their jobs come "
                "after the others)"
            )
    if len(now) > len(before):
        # The compiled emitter of PyYAML would escape characters beyond Unicode's basic plane.
        write_aside(file, safe_dump(now, default_flow_style=None, width=10_000, allow_unicode=True))


def _change(old: JobOverrides, new: JobOverrides) -> str:
    removed = [one for one in old if one not in new]
    added = [one for one in new if one not in old]
    if not removed and added:
        return f"did not have {' '.join(added)}"
    if removed and not added:
        return f"had {' '.join(removed)}"
    return f"had {' '.join(removed or old)}, not {' '.join(added or new)}"


def is_searched(hydra: HydraConf) -> bool:
    """Return whether a sweeper other than ours chooses the jobs."""
    return hydra.mode == RunMode.MULTIRUN and hydra.sweeper["_target_"] != OURS


def objective(directory: Path, wanted: str | Sequence[str]) -> float | tuple[float, ...]:
    """Return the values of the keys `wanted` in a run's summary, or raise InputError."""
    summary = read_summary(directory)
    if not is_of_run(summary):
        raise InputError("planner=comparison: an optimising sweeper needs a single planner")
    numbers = {key: float(value) for key, value in numbers_of(summary).items()}
    keys = [wanted] if isinstance(wanted, str) else list(wanted)
    for key in keys:
        if key not in summary:
            raise InputError(f"{KEY}={key}: not in the summary; {choices(key, list(numbers))}")
        if key not in numbers:
            raise InputError(f"{KEY}={key}: has no value in this run")
    return numbers[wanted] if isinstance(wanted, str) else tuple(numbers[key] for key in keys)


class BrokenSweepError(Exception):
    """The launcher or the sweeper failed; the message is one sentence for the user."""


class Outcome(Callback):
    """Records directories and exit statuses of jobs; `objective` has the keys to optimise."""

    path: ClassVar[Path | None] = None
    job_path: ClassVar[Path | None] = None
    job_status: ClassVar[int | None] = None
    job_statuses: ClassVar[dict[int, int | None]] = {}

    def __init__(self, objective: Any) -> None:
        self.objective = objective

    @classmethod
    def forget(cls) -> None:
        """Clear what an earlier command in this process recorded."""
        cls.path = cls.job_path = cls.job_status = None
        cls.job_statuses = {}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the directory of the sweep; wrap a sweeper other than ours."""
        Outcome.path = Path(config.hydra.sweep.dir)
        if is_searched(config.hydra):
            with read_write(config), open_dict(config):
                config.hydra.sweeper = {
                    "_target_": WATCH,
                    "_recursive_": False,
                    "sweeper": config.hydra.sweeper,
                }

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the directory of a job."""
        Outcome.job_path = Path(config.hydra.runtime.output_dir)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record the exit status of a job; return the objective to a sweeper other than ours."""
        status = job_return.return_value
        Outcome.job_status = status if isinstance(status, int) else None
        if is_searched(config.hydra):
            try:
                if status != 0:
                    raise InputError(f"job {config.hydra.job.num} failed")
                directory = Path(config.hydra.runtime.output_dir)
                job_return.return_value = objective(directory, self.objective)
            except InputError as error:
                job_return.status, job_return.return_value = JobStatus.FAILED, error
        else:
            # Our sweeper does not use these, and passing them between processes takes time.
            job_return.cfg = job_return.hydra_cfg = None


@contextmanager
def running_sweep(
    config: DictConfig,
    jobs: Sequence[JobOverrides] | None = None,
    compose: Callable[[JobOverrides], DictConfig] = lambda _: DictConfig({}),
) -> Iterator[None]:
    """Check a sweep, then lock its directory and show its progress while the body runs it.

    The directory in `config` becomes absolute, because jobs can run in another working directory.
    Raises InputError for wrong input, before anything is written. Raises BrokenSweepError if the
    launcher or the sweeper fails.
    """
    # Each kind of override is composed once, because composing all jobs would delay the first.
    composed = [(job, compose(job)) for job in with_new_overrides(jobs or [])]
    directory = Path(config.hydra.sweep.dir).absolute()
    with read_write(config), open_dict(config):
        quoted = str(directory).replace("'", "\\'")
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")
        config.hydra.sweep.dir = str(directory)
    directory.mkdir(parents=True, exist_ok=True)
    check_links(directory)
    busy = f"hydra.sweep.dir={directory}: another sweep is running there; wait until it ends"
    with held(directory, busy):
        if jobs is None:
            check_free(directory, config.resume)
        else:
            note_jobs(directory, jobs, config.resume)
        try:
            if launcher_name(config) != "basic":
                warm_up(composed)
            count = len(jobs) if jobs is not None else None
            with progress_shown(directory, count) as Outcome.job_statuses:
                yield
        except Exception as error:
            if raised_by(error, ("ray", "joblib")):
                raise BrokenSweepError(failure_sentence(error, config)) from None
            if is_searched(config.hydra) and not raised_by(error, COMPOSING):
                name = config.hydra.runtime.choices["hydra/sweeper"]
                raise BrokenSweepError(
                    f"hydra/sweeper={name}: failed ({one_line(error)}); finished jobs are kept"
                ) from error
            raise
        finally:
            # Hydra's record contains absolute paths, and each job has its own config.yaml.
            (directory / MULTIRUN).unlink(missing_ok=True)
            if {path.name for path in directory.iterdir()} == {JOBS, LOCK}:
                (directory / JOBS).unlink()  # No job has run, so there is nothing to resume.
