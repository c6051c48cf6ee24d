"""Planners that are killed in the middle of planning, as source of modules, to test resuming."""

import os
import subprocess
import sys
from pathlib import Path

from lab.runs.run_directory import SUMMARY

FRAIL = """
import os, signal, time
from pathlib import Path
from planners import {base}

class FrailContext:
    def __init__(self, context):
        self.context = context
    def __getattr__(self, name):
        return getattr(self.context, name)
    def profile(self, query, what, samples):
        estimate = self.context.profile(query, what, samples)
        asks = not isinstance(samples, int) or samples > 0  # and does not only read what is known
        if asks and Path("kill_after").exists():
            left = int(Path("kill_after").read_text()) - 1
            Path("kill_after").write_text(str(left))
            if left == {pause_at}:
                time.sleep(1.1)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        if Path("stop").exists():
            signal.raise_signal(signal.SIGINT)
        return estimate

class Frail({base}):
    def plan(self, context):
        super().plan(FrailContext(context))
"""


def frail(base: str, pause_at: int) -> str:
    """Return a module with a planner ``Frail`` that kills its own process, as kill -9 does.

    It does so after as many profiles as the file ``kill_after`` says, one of which takes a second,
    as it may on machines of one's own; and is interrupted while there is a file ``stop``.

    Args:
        base: the planner that it otherwise is.
        pause_at: how many profiles before the end the slow one is.
    """
    return FRAIL.format(base=base, pause_at=pause_at)


def killed(directory: Path, after: int, *words: str) -> None:
    """Start the command in a process of its own, which is killed after so many profiles."""
    (directory / "kill_after").write_text(str(after))
    code = "import sys; from lab.cli.simulate import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=directory,
        env=os.environ | {"PYTHONHASHSEED": "random"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    (directory / "kill_after").unlink()


def tables(directory: Path) -> dict[str, bytes]:
    """Return the bytes of every file but the summaries, by its path."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != SUMMARY
    }
