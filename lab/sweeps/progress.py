"""What the jobs of a sweep tell the process that started it, through a folder that all can see.

Jobs run in that process, in others or on other machines; whatever the launcher, what a job prints
and how it ended is one small file, which the process of the sweep shows and removes.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from shutil import rmtree
from threading import Event, Thread

from lab.common.console import WARNING, sweep_progress
from lab.runs.run_directory import write_aside

FOLDER = ".progress"
EVERY_S = 0.2


@dataclass(frozen=True)
class News:
    """What one job has to tell.

    Args:
        job: its number.
        status: its exit status, None if it was interrupted.
        label: what its lines begin with, such as ``job 3 (seed=3): ``.
        out: what it printed.
        err: what it printed to standard error.
    """

    job: int
    status: int | None
    label: str
    out: str
    err: str


def telling(task: Callable[[], int], sweep: Path, job: int, label: str) -> int:
    """Do a job's task, and tell what it printed and how it ended.

    Args:
        task: what is done; returns an exit status.
        sweep: the directory of the sweep.
        job: the number of the job.
        label: what its lines begin with.

    Returns:
        The exit status.
    """
    out, err = StringIO(), StringIO()
    status = None
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = task()
    finally:
        news = News(job, status, label, out.getvalue(), err.getvalue())
        write_aside(sweep / FOLDER / f"{job}.json", json.dumps(asdict(news)))
    return status


def _without_known(news: News, warned: set[str]) -> str:
    """Return what a job printed to standard error, without warnings that are known; note others."""
    lines = []
    for line in news.err.splitlines(keepends=True):
        sentence = line.replace(news.label, "", 1)
        if sentence not in warned:
            lines.append(line)
        if line.startswith(WARNING):
            warned.add(sentence)
    return "".join(lines)


@contextmanager
def listening(sweep: Path, runs: int | None = None) -> Iterator[dict[int, int | None]]:
    """Show what jobs tell, and how many there were, while the body runs.

    Of warnings that are alike but for their job, the first is shown.

    Args:
        sweep: the directory of the sweep.
        runs: how many jobs there are, if that is known.

    Yields:
        The exit status of each job that has ended, by its number, filled as jobs end.
    """
    folder = sweep / FOLDER
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    statuses: dict[int, int | None] = {}
    warned: set[str] = set()
    ended = Event()
    with sweep_progress(runs) as show:

        def listen() -> None:
            while not ended.wait(EVERY_S):
                take()

        def take() -> None:
            for path in sorted(folder.glob("*.json"), key=lambda path: int(path.stem)):
                news = News(**json.loads(path.read_text(encoding="utf-8")))
                path.unlink()
                statuses[news.job] = news.status
                show(news.out, _without_known(news, warned))

        listener = Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield statuses
        finally:
            ended.set()
            listener.join()
            take()
            rmtree(folder, ignore_errors=True)
            sys.stdout.flush()
