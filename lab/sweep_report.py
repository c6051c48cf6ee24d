"""A sweep in tables: one for each group of runs that differ in seed and planner only."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.comparison import distinct_names, from_runs
from lab.errors import shown
from lab.run_directory import CONFIG, ERROR, SUMMARY, read_summary

# What a run is compared over; all else must agree.
VARIED = ("seed", "planner")
APPLICATION = "application.name"


@dataclass(frozen=True)
class Run:
    """A run of a sweep.

    Args:
        directory: its directory.
        summary: its summary.
        settings: its configuration but for seed and planner, each leaf by its whole key.
    """

    directory: Path
    summary: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Whether the run reached its horizon; means over different lengths do not compare."""
        return bool(self.summary["simulated_s"] >= self.summary["horizon_s"])


def sweep_report(directory: Path, paths: Iterable[Path]) -> Iterator[str]:
    """Yield the report of a sweep, one table or sentence at a time.

    Args:
        directory: directory of the sweep.
        paths: directories of its runs.
    """
    runs = [Run(path, read_summary(path), _settings(path)) for path in paths]
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.finished:
            groups.setdefault(json.dumps(run.settings, sort_keys=True), []).append(run)
    differing = _differing([group[0].settings for group in groups.values()])
    for group in groups.values():
        settings = group[0].settings
        given = ", ".join(f"{key}={_text(settings.get(key))}" for key in differing)
        yield from_runs(f"{directory}{': ' if given else ''}{given}", _rows(group)).tables()
    unfinished = [
        f"{run.directory.relative_to(directory)} ({run.summary['status']} at "
        f"{run.summary['simulated_s']:,.0f} of {run.summary['horizon_s']:,.0f} s)"
        for run in runs
        if not run.finished
    ]
    if unfinished:
        yield f"Left out, since they are not finished: {', '.join(unfinished)}."
    failed = sorted(
        str(error.parent.relative_to(directory))
        for error in directory.rglob(ERROR)
        if not (error.parent / SUMMARY).exists()
    )
    if failed:
        yield f"Jobs without results: {', '.join(failed)}; each has its {ERROR}."


def _settings(path: Path) -> dict[str, Any]:
    config: Any = OmegaConf.to_container(OmegaConf.load(path / CONFIG))
    return dict(_leaves({key: part for key, part in config.items() if key not in VARIED}, ""))


def _leaves(node: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    """Yield the whole key and the value of each leaf; a list is one."""
    for name, child in node.items():
        path = f"{key}.{name}" if key else str(name)
        if isinstance(child, dict):
            yield from _leaves(child, path)
        else:
            yield path, child


def _text(value: Any) -> str:
    """Return a value as the command line takes it, without the nulls in a list of mappings."""
    if not isinstance(value, list):
        return shown(value)
    parts = [
        {key: part for key, part in one.items() if part is not None}
        if isinstance(one, dict)
        else one
        for one in value
    ]
    return json.dumps(parts).replace('"', "")


def _differing(settings: list[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values are not the same everywhere.

    Applications differ in most of theirs, which their names say already: those keys count that
    differ for one name.
    """
    keys = dict.fromkeys(key for one in settings for key in one)
    names = {one.get(APPLICATION) for one in settings}
    of_name = [[one for one in settings if one.get(APPLICATION) == name] for name in names]

    def differs(key: str) -> bool:
        alike = key.startswith("application.") and key != APPLICATION
        return any(
            len({repr(one.get(key)) for one in group}) > 1
            for group in (of_name if alike else [settings])
        )

    return [key for key in keys if differs(key)]


def _rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Return the summaries of a group, with a name of its own for each planner."""
    kinds: dict[str, tuple[str, Mapping[str, Any]]] = {}
    keys = []
    for run in runs:
        one = run.summary
        identity = [one["planner"], one["planner_class"], one["planner_parameters"]]
        keys.append(json.dumps(identity, sort_keys=True))
        kinds.setdefault(keys[-1], (one["planner"], one["planner_parameters"]))
    names = dict(zip(kinds, distinct_names(list(kinds.values())), strict=True))
    # The same planner on the same seed is the same run, however often the sweep made it.
    rows = {
        (key, run.summary["seed"]): {**run.summary, "planner": names[key]}
        for key, run in zip(keys, runs, strict=True)
    }
    return sorted(rows.values(), key=lambda row: row["seed"])
