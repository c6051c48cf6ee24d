"""The tool ``leaderboard`` of ``compass-lab``."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.common.console import say, show_rows
from lab.common.errors import InputError, no_directory, printable
from lab.leaderboard.board import PAGE, TABLE, complaints, heads, notes, rows, write
from lab.leaderboard.instructions import FILE, Instructions, read_instructions
from lab.leaderboard.one_run import Record
from lab.leaderboard.processes import unconfined
from lab.leaderboard.ranking import Scored, ranking
from lab.leaderboard.runs import RUNS, Entry, Wanted, kept, made, wanted
from lab.leaderboard.scores import score
from lab.leaderboard.submissions import FOLDER, find_submissions
from lab.run_cache.jobs import at_a_time
from lab.runs.run_directory import held

BOARD = "board"


def leaderboard(options: argparse.Namespace) -> int:
    """Rank the planners of a class; return the exit status."""
    directory, processes = options.directory, at_a_time(options.jobs)
    if os.name != "posix":
        raise InputError("leaderboard: needs Linux or macOS, where processes have limits")
    if not directory.is_dir():
        raise InputError(f"DIR={directory}: {no_directory(directory)}; it has {FILE} and {FOLDER}/")
    instructions = read_instructions(directory / FILE)
    submissions = find_submissions(directory, instructions.baselines)
    entries = [*map(Entry, instructions.baselines), *(Entry(one.name, one) for one in submissions)]
    with TemporaryDirectory() as place:
        for what in unconfined(Path(place), directory / FILE):
            _warn(f"on this machine, submissions can {what}; run this in a container")
    if instructions.guessable:
        _warn("a submission can find small seeds by trying; draw seeds of 13 digits or more")
    (directory / RUNS).mkdir(exist_ok=True)
    with held(directory / RUNS, f"{directory}: another command is making its runs"):
        runs = _scored(directory, instructions, entries, processes)
    submitted = {each.name: each.submission is not None for each in entries}
    board = ranking(runs, instructions.metric, submitted)
    (directory / BOARD).mkdir(exist_ok=True)
    write(directory / BOARD, board, instructions)
    show_rows(heads(instructions), rows(board, instructions))
    for line in (*notes(instructions), *complaints(runs)):
        say(line)
    say(f"leaderboard: {directory / BOARD}: {PAGE}, {TABLE}")
    return 0


def _scored(
    directory: Path, instructions: Instructions, entries: Sequence[Entry], processes: int
) -> list[Scored]:
    """Make the runs that are missing; return the scores of all."""
    limits = instructions.limits
    every = list(wanted(directory, instructions, entries))
    records: dict[Wanted, Record] = {}
    for run in every:
        problem = run.entry.submission and run.entry.submission.problem
        if (record := Record(problem) if problem else kept(run, limits)) is not None:
            records[run] = record
    missing = [run for run in every if run not in records]
    if missing:
        print(
            f"{len(missing)} of {len(every)} runs to make, {processes} at a time", file=sys.stderr
        )
    try:
        for number, (run, record, wall_s) in enumerate(made(missing, limits, processes), start=1):
            records[run] = record
            took = f"failed: {record.failure}" if record.failure else f"{wall_s:.1f} s"
            said = printable(f"{run.entry.name} in {run.regime}: {took}")
            print(f"  {number}/{len(missing)} {said}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"finished runs are kept in {directory / RUNS}; the same command makes the others"
        ) from None
    return [
        Scored(
            run.entry.name,
            run.regime,
            run.seed,
            0.0 if records[run].failure else score(run.directory, instructions.metric),
            **asdict(records[run]),
        )
        for run in every
    ]


def _warn(sentence: str) -> None:
    print(f"compass-lab: warning: {sentence}", file=sys.stderr)
