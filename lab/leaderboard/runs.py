"""Makes the runs of a leaderboard, several at a time, and keeps each as soon as it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from lab import behaviour
from lab.common.resources import ONE_THREAD
from lab.leaderboard.instructions import Instructions, Limits
from lab.leaderboard.one_run import RECORD, Record, Task
from lab.leaderboard.processes import adopt_orphans, children, end_below, end_group, how_ended
from lab.leaderboard.submissions import Submission
from lab.run_cache.keys import run_key
from lab.runs.run_directory import write_aside

RUNS, ABOUT, SAID = "runs", "about.json", "said.txt"
"""The directory of all runs, and in that of one run: what was run, and what its process printed."""
MAKE = "from lab.leaderboard.one_run import make; make()"
POLL_S = 0.02
GRACE_S = 60.0
"""Seconds beyond its limits, after which a run is killed that does not end by itself."""


@dataclass(frozen=True)
class Entry:
    """A planner on the board."""

    name: str
    submission: Submission | None = None  # None for a shipped planner


@dataclass(frozen=True)
class Wanted:
    """A run of an entry in a regime, with the directory that it has or will have."""

    entry: Entry
    regime: str
    overrides: tuple[str, ...]
    seed: int
    directory: Path


def wanted(
    directory: Path, instructions: Instructions, entries: Sequence[Entry]
) -> Iterator[Wanted]:
    """Yield the runs of a leaderboard; those of shipped planners come first.

    What they compile is stored, and no submission can store what it compiles.
    """
    shipped = json.dumps(behaviour.shipped())  # Submissions can import the planners.
    for entry in sorted(entries, key=lambda each: each.submission is not None):
        for seed in instructions.seeds:
            for regime, overrides in instructions.regimes.items():
                given = tuple(overrides)
                if entry.submission is None:
                    given = (*given, f"planner={entry.name}")
                    parts = []
                elif entry.submission.problem:
                    parts = [entry.submission.problem]
                else:
                    parts = [shipped, entry.submission.digest]
                parts.append(run_key(given, seed, Task.__module__, entry.name))
                key = sha256("\0".join(parts).encode()).hexdigest()[:32]
                place = directory / RUNS / entry.name / key
                yield Wanted(entry, regime, tuple(overrides), seed, place)


def kept(run: Wanted, limits: Limits) -> Record | None:
    """Return the record of a finished run, or None; a failure under other limits does not count."""
    try:
        under = json.loads((run.directory / ABOUT).read_text(encoding="utf-8"))["limits"]
        record = Record(**json.loads((run.directory / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    stale = record.failure is not None and under != limits.model_dump()
    return None if stale else record


class _Running:
    """A run that is under way in a process."""

    def __init__(self, run: Wanted, limits: Limits) -> None:
        self.run, self._limits = run, limits
        rmtree(run.directory, ignore_errors=True)
        run.directory.mkdir(parents=True)
        about = {"planner": run.entry.name, "regime": run.regime, "seed": run.seed}
        text = json.dumps(about | {"limits": limits.model_dump()}, indent=2)
        write_aside(run.directory / ABOUT, text)
        self.started_s = monotonic()
        submission = run.entry.submission
        self._place = TemporaryDirectory(ignore_cleanup_errors=True)
        task = Task(
            run.entry.name,
            None if submission is None else str(submission.path.absolute()),
            list(run.overrides),
            run.seed,
            str(run.directory.absolute()),
            self._place.name,
            **limits.model_dump(),
            parent=os.getpid(),
        )
        path = os.pathsep.join(filter(None, sys.path))
        with (run.directory / SAID).open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", MAKE],
                env=os.environ | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stdin:  # It may have ended already.
            stdin.write(task.text().encode())

    @property
    def late(self) -> bool:
        """Whether it should have ended by itself."""
        most_s = self._limits.start_s + self._limits.run_s + GRACE_S
        return monotonic() - self.started_s > most_s

    @property
    def ended(self) -> bool:
        """Whether its process has ended."""
        return self._process.poll() is not None

    @property
    def number(self) -> int:
        """The number of its process."""
        return self._process.pid

    def close(self) -> None:
        """Kill what is left of it."""
        end_group(self._process)
        self._place.cleanup()

    def record(self) -> Record:
        """Return how it ended; keep that."""
        late = self.late and not self.ended
        self.close()
        said = self.run.directory / SAID
        if (found := kept(self.run, self._limits)) is None:
            why = "did not end in time, and was killed" if late else how_ended(self._process, said)
            found = Record(f"its run {why}")
            write_aside(self.run.directory / RECORD, json.dumps(asdict(found), indent=2))
        said.unlink(missing_ok=True)
        return found


def made(
    runs: Sequence[Wanted], limits: Limits, processes: int
) -> Iterator[tuple[Wanted, Record, float]]:
    """Make runs, several at a time; as each ends, yield it with its end and its wall time in s."""
    left, running, before = list(reversed(runs)), list[_Running](), children()
    adopt_orphans()  # The process of a run adopts them, but it can be killed.
    try:
        while left or running:
            while left and len(running) < processes:
                running.append(_Running(left.pop(), limits))
            sleep(POLL_S)
            for each in [one for one in running if one.ended or one.late]:
                running.remove(each)
                record = each.record()
                end_below(os.getpid(), before.union(one.number for one in running))
                yield each.run, record, monotonic() - each.started_s
    finally:
        for each in running:
            each.close()
        end_below(os.getpid(), before)
        adopt_orphans(False)
