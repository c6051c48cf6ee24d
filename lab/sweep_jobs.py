"""The jobs of a sweep: what each of them is, noted beside their directories."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from yaml import YAMLError, safe_dump, safe_load

from lab.errors import InputError, key_of, one_line
from lab.run_directory import JOBS, write_aside

Job = Sequence[str]
"""The overrides of one job."""


def with_new_overrides(jobs: Sequence[Job]) -> Iterator[Job]:
    """Yield those jobs that have an override which no job before them had."""
    seen: set[str] = set()
    for job in jobs:
        if not seen.issuperset(job):
            seen.update(job)
            yield job


def note_jobs(directory: Path, jobs: Sequence[Job], resume: bool) -> None:
    """Note what each job of a sweep is, and check that it is what it was.

    A sweep that goes on may have fewer jobs than before, or further ones after those it had.

    Args:
        directory: the directory of the sweep, which exists.
        jobs: the overrides of each job.
        resume: whether the sweep may go on in a directory that holds one.

    Raises:
        InputError: the directory holds a sweep that is not to be resumed, or is another.
    """
    where = f"hydra.sweep.dir={directory}"
    file = directory / JOBS
    now = [[one for one in job if key_of(one) != "resume"] for job in jobs]
    before: list[list[str]] = []
    if file.exists():
        if not resume:
            raise InputError(
                f"{where}: holds a sweep already; add resume=true to go on with it, name another "
                "directory or remove this one"
            )
        try:
            before = [list(map(str, job)) for job in safe_load(file.read_text(encoding="utf-8"))]
        except (OSError, YAMLError, TypeError) as error:
            raise InputError(f"{where}: its {JOBS} cannot be read: {one_line(error)}") from None
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            raise InputError(
                f"{where}: holds another sweep: job {number} was {_apart(old, new)} and would be "
                f"{_apart(new, old)}; resume with the overrides that it was started with (further "
                "values may follow if they make further jobs at the end alone)"
            )
    if len(now) > len(before):
        write_aside(file, safe_dump(now, default_flow_style=None, width=10_000, allow_unicode=True))


def _apart(job: Sequence[str], other: Sequence[str]) -> str:
    """Return those overrides of a job that another lacks, or all if only their order differs."""
    return " ".join([one for one in job if one not in other] or job) or "without overrides"
