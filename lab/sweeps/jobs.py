"""The overrides of each job of a sweep, kept in ``jobs.yaml`` next to the job directories."""

import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from yaml import CSafeLoader, YAMLError, load, safe_dump

from lab.common import wall_limit
from lab.common.errors import InputError, key_of, one_line
from lab.common.options import groups
from lab.runs.resume import check_versions
from lab.runs.run_directory import JOBS, SUMMARY, holds_run, holds_sweep, write_aside

Job = Sequence[str]
"""The overrides of one job."""
IGNORED = ("resume", wall_limit.KEY)
"""Keys that may differ when a sweep is resumed; no result depends on them."""
NUMBER = re.compile(r"(?P<whole>-?\d+)|(?P<decimal>-?\d+\.\d+)")


def with_new_overrides(jobs: Sequence[Job]) -> Iterator[Job]:
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
    """Raise InputError if a sweep may not write into a directory.

    It holds a run, a comparison, results of other versions, or a sweep while ``resume`` is false.
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
    """Write the jobs of a sweep to ``jobs.yaml``; raise InputError as `check_free` does.

    A resumed sweep must have the same jobs: fewer of them, or more after the earlier ones.
    """
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


def _change(old: Job, new: Job) -> str:
    """Return a clause that says how the overrides of a job differ from the earlier ones."""
    gone = [one for one in old if one not in new]
    come = [one for one in new if one not in old]
    if not gone and come:
        return f"was without {' '.join(come)}, and would be with it"
    if gone and not come:
        return f"was with {' '.join(gone)}, and would be without it"
    return f"was {' '.join(gone or old)}, and would be {' '.join(come or new)}"
