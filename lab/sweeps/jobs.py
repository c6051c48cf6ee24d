"""The jobs of a sweep: what each of them is, noted beside their directories."""

import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from yaml import YAMLError

from lab.common import wall_limit
from lab.common.errors import InputError, key_of, one_line
from lab.common.options import groups
from lab.common.quick_yaml import dump_lists, load
from lab.runs.resume import check_versions
from lab.runs.run_directory import JOBS, SUMMARY, holds_run, holds_sweep, write_aside

Job = Sequence[str]
"""The overrides of one job."""
UNLIKE = ("resume", wall_limit.KEY)
"""Keys that may be set otherwise where a sweep goes on, for no result depends on them."""
NUMBER = re.compile(r"(?P<whole>-?\d+)|(?P<broken>-?\d+\.\d+)")


def with_new_overrides(jobs: Sequence[Job]) -> Iterator[Job]:
    """Yield those jobs that have an override which no job before them had.

    Numbers of one kind are alike, unless they name an option of a group: where one seed can be set,
    they all can.
    """
    parts = groups()
    seen: set[str] = set()
    for job in jobs:
        kinds = {_kind(override, parts) for override in job}
        if not kinds <= seen:
            seen |= kinds
            yield job


def _kind(override: str, parts: Container[str]) -> str:
    key, _, value = override.partition("=")
    if key in parts or not (number := NUMBER.fullmatch(value)):
        return override
    return f"{key}={number.lastgroup}"


def check_free(directory: Path, resume: bool) -> None:
    """Check that a sweep may be written into a directory.

    Args:
        directory: the directory of the sweep.
        resume: whether the sweep may go on in a directory that holds one.

    Raises:
        InputError: it holds a single run or a comparison, or a sweep that is not to be resumed, or
            results of other versions, beside which further ones would differ by that, too.
    """
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


def note_jobs(directory: Path, jobs: Sequence[Job], resume: bool) -> None:
    """Note what each job of a sweep is, and check that it is what it was.

    A sweep that goes on may have fewer jobs than before, or further ones after those it had.

    Args:
        directory: the directory of the sweep, which exists.
        jobs: the overrides of each job.
        resume: whether the sweep may go on in a directory that holds one.

    Raises:
        InputError: the directory holds a sweep that is not to be resumed, or is another, or a run.
    """
    check_free(directory, resume)
    where = f"hydra.sweep.dir={directory}"
    file = directory / JOBS
    now = [[one for one in job if key_of(one) not in UNLIKE] for job in jobs]
    before: list[list[str]] = []
    if file.exists():
        try:
            before = [list(map(str, job)) for job in load(file.read_text(encoding="utf-8"))]
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
        write_aside(file, dump_lists(now))


def _change(old: Job, new: Job) -> str:
    """Say in what a job differs from what it was."""
    gone, come = ([one for one in a if one not in b] for a, b in ((old, new), (new, old)))
    if not gone and come:
        return f"was without {' '.join(come)}, and would be with it"
    if gone and not come:
        return f"was with {' '.join(gone)}, and would be without it"
    return f"was {' '.join(gone or old)}, and would be {' '.join(come or new)}"
