"""Makes many runs in parallel and caches them; only runs missing from the cache are made.

A cached run is a run directory without tables: ``config.yaml``, and ``summary.json``, which also
has the measurements. The directory is named by the run's key (`lab.run_cache.keys`) and written as
soon as the run ends.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from omegaconf import OmegaConf

from lab.common.console import composing
from lab.common.errors import InputError, one_line
from lab.common.orphans import workers_end_with_this_process
from lab.common.resources import ONE_THREAD
from lab.config.compose import set_up
from lab.run_cache.keys import ROOT, run_key
from lab.runs.api import Result, composed, result_of
from lab.runs.run_directory import CONFIG, SUMMARY, held, read_summary, write_aside

CACHE = ROOT / "outputs" / "evaluation"
RUNS, MEASURED = "runs", "measured"
KILLED = "a process was killed, perhaps because memory ran out"

Ended = TypeVar("Ended")
Measure = Callable[[Result], Mapping[str, Any]]
Row = dict[str, Any]


class RunError(Exception):
    """Some runs failed."""


@dataclass(frozen=True)
class Job:
    """One run and its measurements."""

    overrides: tuple[str, ...]  # as for ``lab.run``, including the planner
    seed: int
    measure: Measure  # module-level function that returns JSON values
    labels: Mapping[str, Any] = field(default_factory=dict)  # further columns of the row

    @property
    def key(self) -> str:
        """Hash of everything that the measurements depend on; wrong overrides raise InputError."""
        measure = self.measure
        return run_key(self.overrides, self.seed, measure.__module__, measure.__qualname__)

    def __str__(self) -> str:
        """Return the labels and the seed as text."""
        return ", ".join([*map(str, self.labels.values()), f"seed {self.seed}"])


def at_a_time(jobs: int | None) -> int:
    """Return the number of parallel runs, by default one per core; raise InputError below 1."""
    if jobs is None:
        return os.cpu_count() or 1
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: must be 1 or more; the default is one per core")
    return jobs


def make(jobs: Sequence[Job], processes: int, cache: Path = CACHE) -> list[Row]:
    """Make the runs that are not cached, in parallel processes; return a row for each job.

    A row has the labels, ``seed``, ``run_core_s`` and the measurements. Several commands can share
    the directory `cache`. Raises InputError before any run if a job's overrides are wrong. Raises
    RunError at once if a process was killed, and after all runs if one of them failed. Raises
    OSError if a run cannot be written. The message of a KeyboardInterrupt says where finished runs
    are.
    """
    for job in composing(list({job.overrides: job for job in jobs}.values())):
        _ = job.key  # Composes and caches the configuration.
    keys = [job.key for job in jobs]
    rows = {key: row for key in keys if (row := _cached(cache / RUNS / key)) is not None}
    missing = {key: job for key, job in zip(keys, jobs, strict=True) if key not in rows}
    failures: list[str] = []
    resumable = f"finished runs are kept in {cache}; the same command makes the others"
    if missing:
        _say(f"{len(missing)} of {len(jobs)} runs to make, {processes} at a time")
        try:
            for key, measured in _made(missing, processes, cache / RUNS):
                if isinstance(measured, Exception):
                    failures.append(f"{missing[key]}: {one_line(measured)}")
                else:
                    rows[key] = measured
        except KeyboardInterrupt:
            raise KeyboardInterrupt(resumable) from None
        except TerminatedWorkerError:
            raise RunError(f"{KILLED}; {resumable}; reduce --jobs") from None
    if failures:
        raise RunError(f"{len(failures)} runs failed, first {failures[0]}")
    return [
        {**job.labels, "seed": job.seed, **rows[key]} for key, job in zip(keys, jobs, strict=True)
    ]


def told_if_killed(ended: Iterator[Ended]) -> Iterator[Ended]:
    """Yield what parallel tasks return; raise RunError if a process of theirs was killed."""
    try:
        yield from ended
    except TerminatedWorkerError:
        raise RunError(f"{KILLED}; what had ended is kept; reduce --jobs") from None


def cached(job: Job, cache: Path = CACHE) -> Row | None:
    """Return the row of a job whose run is cached, as `make` does, or None."""
    measured = _cached(cache / RUNS / job.key)
    return None if measured is None else {**job.labels, "seed": job.seed, **measured}


def _cached(directory: Path) -> Row | None:
    try:
        measured = read_summary(directory)[MEASURED]
    except (OSError, ValueError, TypeError, KeyError):  # A crash can have damaged the file.
        return None
    return measured if isinstance(measured, dict) else None


def _made(
    missing: Mapping[str, Job], processes: int, runs: Path
) -> Iterator[tuple[str, Row | Exception]]:
    """Make the missing runs; as each ends, yield its key, and its measurements or its error."""
    prepare_workers()
    started = perf_counter()
    with on_cluster():
        ended = Parallel(processes, return_as="generator_unordered")(
            delayed(_attempt)(runs / key, job) for key, job in missing.items()
        )
    for number, (key, measured) in enumerate(ended, start=1):
        took = "failed" if isinstance(measured, Exception) else f"{measured['run_core_s']:.1f} s"
        _say(
            f"  {number}/{len(missing)} {missing[key]}: {took}, "
            f"{perf_counter() - started:.0f} s in total"
        )
        yield key, measured


def prepare_workers() -> None:
    """Prepare the environment of worker processes; call this before joblib starts them."""
    # The new processes' numerical libraries read these when they are loaded.
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    # joblib starts a process by `python -m`, which would import from the current directory.
    os.environ["PYTHONSAFEPATH"] = "1"
    workers_end_with_this_process()


@contextmanager
def on_cluster() -> Iterator[None]:
    """Let joblib run its tasks on a Ray cluster if ``RAY_ADDRESS`` names one.

    The machines of the cluster must share the file system, since runs are written there.
    """
    if not os.environ.get("RAY_ADDRESS"):
        yield
        return
    try:
        from ray.util.joblib import register_ray
    except ImportError:
        raise InputError(
            "RAY_ADDRESS: names a cluster, but the package ray is not installed; install it, or "
            "unset the variable to run here"
        ) from None
    register_ray()
    with parallel_config(backend="ray"):
        yield


def _attempt(directory: Path, job: Job) -> tuple[str, Row | Exception]:
    """Make and cache one run in a process of the pool; return its measurements or its error."""
    started = process_time()
    try:
        overrides, config = composed([*job.overrides, f"seed={job.seed}"])
        setup = set_up(config, overrides)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The summary counts a planner's errors.
            result = result_of(setup)
        measured = dict(job.measure(result))
    except Exception as error:
        return directory.name, error
    row = {"run_core_s": round(process_time() - started, 2), **measured}
    directory.mkdir(parents=True, exist_ok=True)
    with held(directory):  # Another command can be writing the same run.
        write_aside(directory / CONFIG, OmegaConf.to_yaml(setup.saved))
        write_aside(directory / SUMMARY, json.dumps({**result.summary, MEASURED: row}, indent=2))
    return directory.name, row


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
