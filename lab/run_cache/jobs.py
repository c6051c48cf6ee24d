"""A grid of runs: each one made once, in a pool of processes, and kept.

A run's result is one JSON line in a file under ``outputs/evaluation``, written when it is done. An
evaluation that was interrupted, or is asked for more seeds, makes only the runs that are missing.
The processes stay for some minutes, for whoever asks for further runs.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from lab.common.errors import InputError, one_line
from lab.run_cache import keys as run_keys
from lab.run_cache.fingerprint import ROOT
from lab.run_cache.progress import composing
from lab.run_cache.store import KeptRuns, Row
from lab.runs.api import Result, run
from lab.version import versions

CACHE = ROOT / "outputs" / "evaluation"
ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)

Measure = Callable[[Result], Mapping[str, Any]]


class RunError(Exception):
    """Some runs failed."""


@dataclass(frozen=True)
class Job:
    """One run, and what is taken from it.

    Args:
        overrides: overrides of the configuration, as for ``lab.run``, the planner among them.
        seed: the seed.
        measure: function of a module, from the run's result to values that JSON can hold.
        labels: what the row says of the run.
    """

    overrides: tuple[str, ...]
    seed: int
    measure: Measure
    labels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Hash of all that the result depends on.

        Raises:
            InputError: the overrides cannot be run.
        """
        parts = (
            run_keys.configuration(self.overrides),
            str(self.seed),
            f"{self.measure.__module__}.{self.measure.__qualname__}",
            run_keys.code(self.overrides, self.measure.__module__),
            json.dumps(versions()),
        )
        return sha256("\0".join(parts).encode()).hexdigest()[:32]


def at_a_time(jobs: int | None) -> int:
    """Return how many runs to make at the same time: as asked for, or as many as there are cores.

    Args:
        jobs: what ``--jobs`` was given; None for nothing.

    Raises:
        InputError: it is less than 1.
    """
    if jobs is None:
        return os.cpu_count() or 1
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: must be 1 or more; without it, all cores are used")
    return jobs


def make(jobs: Sequence[Job], processes: int, cache: Path = CACHE) -> list[Row]:
    """Make the runs that are not kept yet; return a row for each job.

    Args:
        jobs: the runs.
        processes: runs at the same time.
        cache: directory of kept runs; experiments share them.

    Returns:
        In the order of the jobs: labels, ``seed``, ``run_core_s``, and what was measured.

    Raises:
        InputError: overrides of a job cannot be run; none was made.
        RunError: a run failed, and the others were made; or a process was killed. What was made is
            kept.
        KeyboardInterrupt: likewise; its message says so.
    """
    return make_beside(KeptRuns(cache), jobs, processes)


def make_beside(kept: KeptRuns, jobs: Sequence[Job], processes: int) -> list[Row]:
    """Do as `make` does, for whoever asks for runs time and again.

    Args:
        kept: the runs that are kept.
        jobs: the runs.
        processes: runs at the same time.
    """
    keys = _keys(jobs)
    known = kept.rows()
    missing = {key: job for key, job in zip(keys, jobs, strict=True) if key not in known}
    failures: list[str] = []
    goes_on = f"finished runs are kept in {kept.directory}; the same command goes on from there"
    if missing:
        _say(f"{len(missing)} of {len(jobs)} runs to make, {processes} at a time")
        try:
            for key, measured in _made(missing, processes):
                if isinstance(measured, Exception):
                    failures.append(f"{_in_words(missing[key])}: {one_line(measured)}")
                else:
                    kept.keep(key, measured)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(goes_on) from None
        except TerminatedWorkerError:
            raise RunError(
                f"a process was killed, as it is where memory runs out; {goes_on}, with fewer runs "
                "at the same time by --jobs"
            ) from None
    if failures:
        raise RunError(f"{len(failures)} runs failed, first {failures[0]}")
    known = kept.rows()
    return [
        {**job.labels, "seed": job.seed, **known[key]} for key, job in zip(keys, jobs, strict=True)
    ]


def _keys(jobs: Sequence[Job]) -> list[str]:
    """Return the key of each job; each configuration is composed when its first job comes."""
    keys, seen = [], set()
    with composing(len({job.overrides for job in jobs})) as composed:
        for job in jobs:
            keys.append(job.key)
            if job.overrides not in seen:
                seen.add(job.overrides)
                composed()
    return keys


def _made(missing: Mapping[str, Job], processes: int) -> Iterator[tuple[str, Row | Exception]]:
    """Yield runs as they are done, or why they could not be."""
    # Numerical libraries read these when they are first loaded, in the new processes.
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    started = perf_counter()
    runs = Parallel(processes, return_as="generator_unordered")(
        delayed(_attempt)(key, job.overrides, job.seed, job.measure) for key, job in missing.items()
    )
    for number, (key, measured) in enumerate(runs, start=1):
        took = "failed" if isinstance(measured, Exception) else f"{measured['run_core_s']:.1f} s"
        _say(
            f"  {number}/{len(missing)} {_in_words(missing[key])}: {took}, "
            f"{perf_counter() - started:.0f} s in all"
        )
        yield key, measured


def _in_words(job: Job) -> str:
    return ", ".join([*(str(value) for value in job.labels.values()), f"seed {job.seed}"])


def _attempt(
    key: str, overrides: tuple[str, ...], seed: int, measure: Measure
) -> tuple[str, Row | Exception]:
    """Make one run, in a process of the pool; return what was measured, or why it failed."""
    started = process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What raised is counted, and shown on the page.
            result = run([*overrides, f"seed={seed}"])
        measured = dict(measure(result))
    except Exception as error:
        return key, error
    return key, {"run_core_s": round(process_time() - started, 2), **measured}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
