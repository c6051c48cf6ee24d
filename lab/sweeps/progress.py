"""Progress of a sweep: jobs report their output and status by files in a shared directory.

Each job writes one file when it ends; the process of the sweep shows and deletes it.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from shutil import rmtree
from threading import Event, Thread

from lab.common.console import WARNING, complain, sweep_progress
from lab.common.errors import why_not
from lab.runs.run_directory import write_aside
from sim.planning.guard import before_the_end

FOLDER = ".progress"
EVERY_S = 0.2


class _Printed(StringIO):
    """What a job prints; a planner that closes its streams must not lose it."""

    def close(self) -> None:
        """Stay open."""


def run_and_report(task: Callable[[], int], sweep: Path, job: int, label: str) -> int:
    """Run the task of a job, report its output and status, and return its exit status."""
    out, err = _Printed(), _Printed()

    def report(status: int | None) -> None:
        printed = {"status": status, "label": label, "out": out.getvalue(), "err": err.getvalue()}
        write_aside(sweep / FOLDER / f"{job}.json", json.dumps(printed))

    status = None  # if the job is interrupted
    try:
        with redirect_stdout(out), redirect_stderr(err), before_the_end(report):
            status = task()
    finally:
        try:
            report(status)
        except OSError as error:  # The disk can be full.
            status = status or 1
            sys.stdout.write(out.getvalue())
            sys.stderr.write(err.getvalue())
            complain(f"{label}the sweep cannot be told how it ended: {why_not(error)}")
    return status


def _without_known(err: str, label: str, known: set[str]) -> str:
    """Return a job's standard error without known warnings; add its new ones to `known`."""
    lines = []
    for line in err.splitlines(keepends=True):
        sentence = line.replace(label, "", 1)
        if sentence not in known:
            lines.append(line)
        if line.startswith(WARNING):
            known.add(sentence)
    return "".join(lines)


@contextmanager
def progress_shown(sweep: Path, runs: int | None = None) -> Iterator[dict[int, int | None]]:
    """Show the output of jobs and how many have ended; yield the exit statuses by job number.

    A job is added to the mapping when it ends, with None if it was interrupted. A warning that
    several jobs print is shown once.
    """
    folder = sweep / FOLDER
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    statuses: dict[int, int | None] = {}
    warned: set[str] = set()
    ended, complete = Event(), False
    with sweep_progress(runs) as show:

        def take() -> None:
            for path in sorted(folder.glob("*.json"), key=lambda path: int(path.stem)):
                report = json.loads(path.read_text(encoding="utf-8"))
                path.unlink()
                statuses[int(path.stem)] = report["status"]
                show(report["out"], _without_known(report["err"], report["label"], warned))

        def listen() -> None:
            while not ended.wait(EVERY_S):
                take()

        listener = Thread(target=listen, daemon=True)

        def take_rest(*_: object) -> None:
            ended.set()
            listener.join()
            take()

        listener.start()
        try:
            # A job of the basic launcher that cannot be stopped ends this process.
            with before_the_end(take_rest):
                yield statuses
            complete = True
        finally:
            take_rest()
            for job in range(runs or 0) if complete else ():
                statuses.setdefault(job, None)  # It could not report its end.
            rmtree(folder, ignore_errors=True)
            sys.stdout.flush()
