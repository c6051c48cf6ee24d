"""The tools on single runs, whose tables are kept: run, fork and explain."""

import json
import os
import shlex
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

import polars as pl

from lab.analysis.comparison import from_runs
from lab.app import events
from lab.app.controls import written
from lab.common.errors import InputError
from lab.common.formatting import number
from lab.common.metrics import HEADLINES
from lab.config import preflight
from lab.config.compose import compose, set_up
from lab.forks.fork import Changes, changed
from lab.forks.fork import fork as continued
from lab.forks.run_on_disk import planner_named, repeated, setup_of, write_fork
from lab.mcp_server.answers import (
    SAID,
    Answer,
    Place,
    Progress,
    Tell,
    head,
    numbers_of,
    sentences,
    unit,
)
from lab.mcp_server.tool_arguments import Explain, Fork, Run
from lab.reporting.explain.record import read_query
from lab.reporting.explain.text import explanation, plain_text
from lab.run_cache.keys import run_key
from lab.runs.api import run as simulated
from lab.runs.run_directory import SUMMARY, read_run_summary, scan
from sim.metrics.goodput_time import goodput_time

RUNS, FORKS = "runs", "forks"
"""Directories of runs and of forks, each below the name of the run."""
TOLD_EVERY_S = 0.5
WIDTH, ROWS = 80, 20
"""Characters in a line, and rows of a table, of an explanation; those of the command."""
MOST_QUERIES = 100
"""Largest number of queries that are listed."""


def run(asked: Run, place: Place, tell: Tell) -> Answer:
    """Simulate a planner on each seed, and keep all tables."""
    overrides, rows, runs = tuple(asked.overrides), list[dict[str, Any]](), list[dict[str, Any]]()
    said = dict.fromkeys(preflight.warnings(set_up(compose(overrides), overrides)))

    def answer() -> Answer:
        found = from_runs(asked.experiment, rows, [one.name for one in HEADLINES])
        numbers = numbers_of(found)
        count = f"{len(rows)} seeds" if len(rows) > 1 else "one seed, so without intervals"
        return Answer(
            answer=f"{asked.planner} in {asked.experiment}, {count}. {sentences(numbers)}",
            numbers=numbers,
            command=_command(overrides, asked.seeds),
            directory=str(place.directory / RUNS),
            runs=tuple(runs),
            note=" ".join(f"{one}." for one in said),
        )

    for seed in range(asked.seeds):
        so_far = answer() if rows else None

        def told(now_s: float, horizon_s: float, seed: int = seed, so_far: Any = so_far) -> None:
            words = f"seed {seed}: {now_s:g} of {horizon_s:g} simulated s"
            done = seed + min(now_s / horizon_s, 1.0)
            tell(Progress(round(done, 3), asked.seeds, words, so_far))

        name = _made(place, overrides, seed, told)
        summary = read_run_summary(place.directory / RUNS / name)
        if summary["planner_errors"]:
            said[f"The planner raised errors, first {summary['planner_error_first']}"] = None
        rows.append({**summary, "planner": asked.planner})
        runs.append({"seed": seed, "run": name})
    return answer()


def _command(overrides: tuple[str, ...], seeds: int) -> str:
    if seeds == 1:
        return shlex.join(["compass-sim", *overrides, "seed=0"])
    sweep = f"multirun/{_name(overrides, seeds)[:8]}"
    words = ["compass-sim", "-m", *overrides, f"seed=range({seeds})", f"hydra.sweep.dir={sweep}"]
    return f"{shlex.join(words)} && {shlex.join(['compass-lab', 'report', sweep])}"


def _made(
    place: Place, overrides: tuple[str, ...], seed: int, told: Callable[[float, float], None]
) -> str:
    """Make a run unless it is kept; return its name."""
    name = run_key(overrides, seed, "lab.runs.api", "run")
    final = place.directory / RUNS / name
    if (final / SUMMARY).exists():
        return name
    due_s = monotonic()

    def progress(now_s: float) -> None:
        nonlocal due_s
        if monotonic() >= due_s:
            due_s = monotonic() + TOLD_EVERY_S
            told(now_s, horizon_s)

    words = [*overrides, f"seed={seed}"]
    horizon_s = float(compose(words).horizon_s)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # The answer has them as a note.
        with _moved_to(final) as aside:
            simulated(words, directory=aside, progress=progress)
    return name


@contextmanager
def _moved_to(final: Path) -> Iterator[Path]:
    """Yield a directory of this process's own, which becomes `final` when it is complete."""
    aside = final.with_name(f".{final.name}-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        yield aside
        if not (final / SUMMARY).exists():  # An incomplete one is of no use.
            shutil.rmtree(final, ignore_errors=True)
        with suppress(OSError):  # Another call has made the same in the meantime.
            aside.rename(final)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def clear_up(place: Place, process: int) -> None:
    """Delete what a killed process left of an unfinished run or fork."""
    for kind in (RUNS, FORKS):
        for path in (place.directory / kind).glob(f".*-{process}"):
            shutil.rmtree(path, ignore_errors=True)


def _directory(place: Place, name: str) -> Path:
    """Return the directory of a run or a fork; raise InputError if there is none of this name."""
    for kind in (RUNS, FORKS):
        found = place.directory / kind / name
        if (found / SUMMARY).exists():
            return found
    raise InputError(f"run={name}: no run here has this name; the tools run and fork return names")


def fork(asked: Fork, place: Place, tell: Tell) -> Answer:
    """Continue a run with something changed."""
    directory = _directory(place, asked.run)
    words = ["fork", str(directory), "--at-s", written(asked.at_s)]
    words += [] if asked.planner is None else ["--planner", asked.planner]
    for option, values in {
        "--machines": [f"{node}={count}" for node, count in asked.machines.items()],
        "--event": [events.written(each) for each in asked.events],
        "--query": [f"{query}={what}" for query, what in asked.queries.items()],
    }.items():
        words += [word for value in values for word in (option, value)]
    name = _name(directory.name, asdict(replace(asked, budget_s=None)))
    final = place.directory / FORKS / name
    if not (final / SUMMARY).exists():
        changes = Changes(
            plans={int(query): what for query, what in asked.queries.items()},
            planner=None if asked.planner is None else planner_named(asked.planner),
            machines=asked.machines,
            drift=asked.events,
        )
        changed(setup_of(directory), asked.at_s, changes)  # before the run is repeated
        tell(Progress(0, 2, "repeating the run"))
        before = repeated(directory)
        tell(Progress(1, 2, "continuing it with the change"))
        after = continued(before, asked.at_s, changes)
        with _moved_to(final) as aside:
            write_fork(after, aside, {"run": str(directory), "words": words})
    was, forked = read_run_summary(directory), read_run_summary(final)
    told: dict[str, dict[str, Any]] = {
        one.name: {
            "unit": unit(one.name),
            "as it was": was.get(one.name),
            "forked": forked.get(one.name),
        }
        for one in HEADLINES
    }
    said = (
        f"{head(one)}: {number(told[one.name]['as it was'])} as it was, "
        f"{number(told[one.name]['forked'])} after the fork."
        for one in SAID
    )
    return Answer(
        answer=f"Forked at {asked.at_s:g} s. {' '.join(said)}",
        numbers=told,
        command=shlex.join(["compass-lab", *words]),
        directory=str(final),
        runs=({"run": name},),
        note="It is one case: both runs have the same seed, so there is no interval.",
    )


def _name(*parts: Any) -> str:
    """Return a name of 32 characters for what is asked."""
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def explain(asked: Explain, place: Place, _: Tell) -> Answer:
    """Explain a query of a run, or list its queries."""
    directory = _directory(place, asked.run)
    if asked.query is None:
        return _queries(directory)
    return Answer(
        answer=plain_text(explanation(read_query(directory, asked.query), ROWS, WIDTH), WIDTH),
        command=shlex.join(["compass-lab", "explain", str(directory), f"{asked.query}"]),
        directory=str(directory),
    )


def _queries(directory: Path) -> Answer:
    """List the queries of a run, those first whose SLO was met for the smallest share of time."""
    good_s = goodput_time(pl.col("met"), pl.col("deployed_s")).sum()
    shares = (
        scan(directory, "windows")
        .group_by("query")
        .agg(slo_met_fraction=good_s / pl.col("active_s").sum())
    )
    columns = ("query", "tier", "device", "technology", "arrival_s", "response_time_s")
    found = (
        scan(directory, "queries")
        .select(*columns)
        .join(shares, on="query", how="left")
        .sort("slo_met_fraction", "query", nulls_last=True)
        .collect()
    )
    shown = found.head(MOST_QUERIES)
    return Answer(
        answer=f"The run has {found.height} queries; {shown.height} are listed, those first whose "
        "SLO was met for the smallest share of their time.",
        numbers={
            "units": {"slo_met_fraction": unit("slo_met_fraction"), "arrival_s": "s"},
            "queries": shown.to_dicts(),
        },
        directory=str(directory),
    )
