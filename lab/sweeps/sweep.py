"""A sweep in the process that starts it: its jobs, checks before them, and what is noted of them.

The overrides of each job are kept in ``jobs.yaml`` next to the job directories. The objective is
what another sweeper, which searches, gets of a run: figures of its summary.
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
from yaml import CSafeLoader, YAMLError, load, safe_dump

from lab.common import wall_limit
from lab.common.errors import COMPOSING, InputError, choices, key_of, one_line, raised_by
from lab.common.options import groups
from lab.runs.resume import check_versions
from lab.runs.run_directory import (
    JOBS,
    LOCK,
    SUMMARY,
    held,
    holds_run,
    holds_sweep,
    read_summary,
    write_aside,
)
from lab.runs.summary import numbers_of
from lab.runs.warm_up import warm_up
from lab.sweeps.launchers import gave_up, launcher_name
from lab.sweeps.progress import listening

JobOverrides = Sequence[str]
"""The overrides of one job."""
IGNORED = ("resume", wall_limit.KEY)
"""Keys that may differ when a sweep is resumed; no result depends on them."""
NUMBER = re.compile(r"(?P<whole>-?\d+)|(?P<decimal>-?\d+\.\d+)")
OURS = "hydra_plugins.compass_sim.CompassSweeper"
KEY = "hydra.callbacks.outcome.objective"
MULTIRUN = "multirun.yaml"
WATCH = "hydra_plugins.compass_sim.WatchedSweeper"


def with_new_overrides(jobs: Sequence[JobOverrides]) -> Iterator[JobOverrides]:
    """Yield jobs with an override, but for its number, that no earlier job had."""
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
    """Raise InputError if a directory holds a run, other versions, or a sweep not to be resumed."""
    where = f"hydra.sweep.dir={directory}"
    if holds_run(directory):
        raise InputError(f"{where}: holds a single run or a comparison; name another directory")
    if not resume and holds_sweep(directory):
        raise InputError(
            f"{where}: holds a sweep already; add resume=true to go on with it, name another "
            "directory or remove this one"
        )
    if resume:
        numbered = [one.parent for one in directory.glob(f"*/{SUMMARY}")]
        for job in sorted(int(path.name) for path in numbered if path.name.isdecimal()):
            check_versions(f"{where}, job {job}", directory / str(job))


def note_jobs(directory: Path, jobs: Sequence[JobOverrides], resume: bool) -> None:
    """Write ``jobs.yaml``; InputError unless a resumed sweep has its jobs, or more at the end."""
    check_free(directory, resume)
    where = f"hydra.sweep.dir={directory}"
    file = directory / JOBS
    now = [[one for one in job if key_of(one) not in IGNORED] for job in jobs]
    before: list[list[str]] = []
    if file.exists():
        try:
            noted = load(file.read_text(encoding="utf-8"), CSafeLoader)
            before = [list(map(str, job)) for job in noted]
        except (OSError, YAMLError, TypeError) as error:
            raise InputError(f"{where}: its {JOBS} cannot be read: {one_line(error)}") from None
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            raise InputError(
                f"{where}: holds another sweep: job {number} {_change(old, new)}; resume with the "
                "overrides that it was started with, in their order (further values may follow if "
                "they make further jobs at the end alone)"
            )
    if len(now) > len(before):
        # PyYAML's compiled emitter would escape characters beyond the basic plane of Unicode.
        write_aside(file, safe_dump(now, default_flow_style=None, width=10_000, allow_unicode=True))


def _change(old: JobOverrides, new: JobOverrides) -> str:
    """Return a clause that says how the overrides of a job differ from the earlier ones."""
    gone = [one for one in old if one not in new]
    come = [one for one in new if one not in old]
    if not gone and come:
        return f"was without {' '.join(come)}, and would be with it"
    if gone and not come:
        return f"was with {' '.join(gone)}, and would be without it"
    return f"was {' '.join(gone or old)}, and would be {' '.join(come or new)}"


def is_searched(hydra: HydraConf) -> bool:
    """Return whether another sweeper than ours chooses the jobs, by Hydra's configuration."""
    return hydra.mode == RunMode.MULTIRUN and hydra.sweeper["_target_"] != OURS


def objective(directory: Path, wanted: str | Sequence[str]) -> float | tuple[float, ...]:
    """Return one number or several of the summary of one planner's run, by key, or InputError."""
    summary = read_summary(directory)
    if "planner" not in summary:
        raise InputError("planner=comparison: a sweeper that searches needs one planner")
    numbers = {key: float(value) for key, value in numbers_of(summary).items()}
    keys = [wanted] if isinstance(wanted, str) else list(wanted)
    for key in keys:
        if key not in summary:
            raise InputError(f"{KEY}={key}: no figure of a run; {choices(key, list(numbers))}")
        if key not in numbers:
            raise InputError(f"{KEY}={key}: has no value in this run")
    return numbers[wanted] if isinstance(wanted, str) else tuple(numbers[key] for key in keys)


class BrokenSweepError(Exception):
    """A sweep could not end; the message is one sentence for the user."""


class Outcome(Callback):
    """Records where a sweep or a job writes and how jobs ended; `objective`: keys for a search."""

    path: ClassVar[Path | None] = None
    job_path: ClassVar[Path | None] = None
    job_status: ClassVar[int | None] = None
    job_statuses: ClassVar[dict[int, int | None]] = {}

    def __init__(self, objective: Any) -> None:
        self.objective = objective

    @classmethod
    def forget(cls) -> None:
        """Forget what an earlier command in this process noted."""
        cls.path = cls.job_path = cls.job_status = None
        cls.job_statuses = {}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the directory of the sweep; wrap a sweeper that is not ours."""
        Outcome.path = Path(config.hydra.sweep.dir)
        if is_searched(config.hydra):
            with read_write(config), open_dict(config):
                config.hydra.sweeper = {
                    "_target_": WATCH,
                    "_recursive_": False,
                    "sweeper": config.hydra.sweeper,
                }

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the directory of a job."""
        Outcome.job_path = Path(config.hydra.runtime.output_dir)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note the exit status of a job; return the objective to another sweeper than ours."""
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
            # Our sweeper does not read them, and sending them between processes takes time.
            job_return.cfg = job_return.hydra_cfg = None


@contextmanager
def under_way(
    config: DictConfig,
    jobs: Sequence[JobOverrides] | None = None,
    compose: Callable[[JobOverrides], DictConfig] = lambda _: DictConfig({}),
) -> Iterator[None]:
    """Check a sweep, then lock its directory and show its progress while the body runs it.

    The directory in `config` becomes absolute, because jobs may run in another one.
    Raises InputError for wrong input, before anything is written, and BrokenSweepError if the
    launcher or the sweeper fails.
    """
    # Each value is composed once: to compose all jobs would delay the first one.
    composed = [(job, compose(job)) for job in with_new_overrides(jobs or [])]
    directory = Path(config.hydra.sweep.dir).absolute()
    with read_write(config), open_dict(config):
        quoted = str(directory).replace("'", "\\'")
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")
        config.hydra.sweep.dir = str(directory)
    directory.mkdir(parents=True, exist_ok=True)
    busy = f"hydra.sweep.dir={directory}: another sweep is under way there; wait for its end"
    with held(directory, busy):
        if jobs is None:
            check_free(directory, config.resume)
        else:
            note_jobs(directory, jobs, config.resume)
        try:
            if launcher_name(config) != "basic":
                warm_up(composed)
            with listening(directory, None if jobs is None else len(jobs)) as Outcome.job_statuses:
                yield
        except Exception as error:
            if raised_by(error, ("ray", "joblib")):
                raise BrokenSweepError(gave_up(error, config)) from None
            if is_searched(config.hydra) and not raised_by(error, COMPOSING):
                name = config.hydra.runtime.choices["hydra/sweeper"]
                raise BrokenSweepError(
                    f"hydra/sweeper={name}: gave up ({one_line(error)}); what has finished is kept"
                ) from error
            raise
        finally:
            # Hydra's record holds absolute paths; each job has its own config.yaml.
            (directory / MULTIRUN).unlink(missing_ok=True)
            if {path.name for path in directory.iterdir()} == {JOBS, LOCK}:
                (directory / JOBS).unlink()  # No job ran, so there is nothing to resume.
