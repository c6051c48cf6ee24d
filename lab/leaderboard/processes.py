"""The confined process of a submitted planner, and how processes end with all that they started."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from lab.common.errors import InputError
from lab.common.resources import BYTES_PER_CORE, LEAST_BYTES, ONE_THREAD
from lab.config.targets import ROOT
from lab.leaderboard.confinement import Bounds
from lab.leaderboard.submissions import Submission
from lab.leaderboard.wire import Channel
from scenarios.machine_code import VARIABLE, home
from sim.safe_text import safe_text

CONFINED = "from lab.leaderboard.confinement import run_confined; run_confined()"
PR_SET_CHILD_SUBREAPER = 36  # from <linux/prctl.h>
GB = 1_000_000_000
END_S = 5.0
"""Seconds for which processes that start others all the time are hunted."""
PATIENCE_S = 1.0
"""Seconds that a process without a connection gets to end."""
TAIL = 2000
"""Number of bytes at the end of standard error that a message can quote."""


def memory_bytes(memory_gb: float) -> int:
    """Return the address space for some memory beyond what libraries take."""
    return LEAST_BYTES + BYTES_PER_CORE * (os.cpu_count() or 1) + int(memory_gb * GB)


def bounds(place: Path, memory_gb: float, cpu_s: float) -> Bounds:
    """Return the bounds of a planner's process, which has its files in a directory ``place``."""
    return Bounds(str(place), str(home() or ""), memory_bytes(memory_gb), int(cpu_s))


def confined(
    within: Bounds, *words: str, errors: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a confined process, which reads and writes messages; `errors` gets its complaints."""
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-c", CONFINED, *within.words(), *words],
        cwd=within.place,
        # Nothing of the user's environment is passed on.
        env={
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "HOME": within.place,
            "TMPDIR": within.place,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            VARIABLE: within.machine_code or within.place,
            **dict.fromkeys(ONE_THREAD, "1"),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
    )


def unconfined(place: Path, hidden: Path) -> list[str]:
    """Return what planners' processes can do on this machine, although they should not.

    Args:
        place: an empty directory.
        hidden: a file that they must not read.
    """
    probe = confined(bounds(place, 1.0, 60.0), "probe", str(hidden.absolute()))
    said = probe.communicate()[0]
    if probe.returncode:
        raise InputError("a planner's process cannot be started on this machine")
    found: list[str] = json.loads(said)
    return found


class PlannerProcess:
    """The confined process of a submission.

    Args:
        submission: the submission; its files are copied to the process's directory.
        within: what the process may use.
        errors: file that gets its standard error.
    """

    def __init__(self, submission: Submission, within: Bounds, errors: Path) -> None:
        submission.copy_to(Path(within.place))
        self._errors = errors
        with errors.open("wb") as file:
            self._process = confined(within, errors=file.fileno())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.channel = Channel(self._process.stdout.fileno(), self._process.stdin.fileno())

    def ending(self) -> str:
        """Return a clause on how the process ended."""
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "its process closed the connection"
        return f"its process {how_ended(self._process, self._errors)}"

    def kill(self) -> None:
        """Kill the process and all that it started, if they still run."""
        end_below(self._process.pid)
        self._process.kill()
        self._process.wait()


def how_ended(process: subprocess.Popen[bytes], errors: Path) -> str:
    """Return how a process ended, with the last line of its standard error if that has any."""
    said = errors.read_bytes()[-TAIL:].decode(errors="replace").strip().splitlines()
    why = f": {safe_text(said[-1])}" if said else ""
    if process.returncode < 0:
        name = signal.strsignal(-process.returncode) or "unknown"
        return f"was ended by signal {-process.returncode} ({name}){why}"
    return f"ended with status {process.returncode}{why}"


def adopt_orphans(adopts: bool = True) -> None:
    """Let this process become the parent of all orphans among those that it starts, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(adopts), 0, 0, 0)


def children() -> set[int]:
    """Return the living processes of which this one is the parent; none where none are listed."""
    return {*_children().get(os.getpid(), [])}


def end_below(parent: int, spared: Collection[int] = ()) -> None:
    """Kill all processes that a process started, and all that these started, except those spared.

    Those that a spared process started are spared, too.
    """
    until_s = monotonic() + END_S
    while (found := _below(parent, spared)) and monotonic() < until_s:
        for each in found:
            with suppress(OSError):
                os.kill(each, signal.SIGKILL)
        sleep(0.01)
        for each in found:
            with suppress(OSError):  # It is no child of this process.
                os.waitpid(each, os.WNOHANG)


def end_own() -> None:
    """Kill all processes that this process started, and orphans among those that these started."""
    end_below(os.getpid())
    with suppress(OSError):  # There is none.
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a group, the group, and on Linux all that it started."""
    end_below(process.pid)
    with suppress(OSError):  # They have all ended.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _children() -> dict[int, list[int]]:
    """Return the living processes by their parent; empty where the system does not list them."""
    found: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            # The name of the program, in brackets, can contain anything.
            state, above = status.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                found.setdefault(int(above), []).append(int(status.parent.name))
    return found


def _below(parent: int, spared: Collection[int] = ()) -> list[int]:
    """Return the living processes below a process, except those spared and what is below them."""
    every = _children()
    found, left = [], [parent]
    while left:
        below = [each for each in every.get(left.pop(), []) if each not in spared]
        found += below
        left += below
    return found
