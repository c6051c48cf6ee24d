"""What if something were different: changed settings against the base, on the same seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.analysis.comparison import Comparison, from_runs
from lab.common.errors import InputError
from lab.run_cache.jobs import Row
from lab.what_if.runs import AS_IT_IS, Runs, label


def named(changes: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the overrides of each change and of the base by their names, the base last.

    Raises InputError if two changes are the same.
    """
    given = [tuple(each) for each in changes]
    for each in given:
        if given.count(each) > 1:
            raise InputError(f"--change {' '.join(each)}: is given twice")
    alone = len(given) == 1
    names = ["changed" if alone else f"change {number}" for number in range(1, len(given) + 1)]
    return {**dict(zip(names, given, strict=True)), AS_IT_IS: ()}


def compared(runs: Runs, settings: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> Comparison:
    """Make the runs of named settings on some seeds, and compare them; can raise InputError."""
    base = runs.check(())
    for each in settings.values():
        if each and runs.check(each) == base:
            raise InputError(f"--change {' '.join(each)}: changes nothing")
    rows = runs.make(list(settings.values()), seeds)
    return of_rows(settings, dict(zip(map(label, settings.values()), rows, strict=True)))


def of_rows(settings: Mapping[str, Sequence[str]], rows: Mapping[str, Sequence[Row]]) -> Comparison:
    """Compare named settings by their rows, by the labels of settings; some can be missing."""
    found = [
        {**row, "planner": name}
        for name, each in settings.items()
        for row in rows.get(label(each), ())
    ]
    return replace(from_runs("What if", found), of="setting")
