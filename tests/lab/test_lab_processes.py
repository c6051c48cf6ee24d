"""Processes end with the command that started them, and signals end a command as Ctrl-C does."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from lab.common.command import run_command
from lab.common.signals import ENDING

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")

IDLE_WORKERS = """
import os, time
from joblib import Parallel, delayed
from lab.common.orphans import workers_end_with_this_process

workers_end_with_this_process()
Parallel(2)(delayed(os.getpid)() for _ in range(4))
print("ready", flush=True)
time.sleep(60)
"""
SWEEP = """
import sys
from lab.cli.simulate import main

sys.argv[1:] = sys.argv[1:] + [
    "-m", "experiment=speech_small", "planner=greedy", "horizon_s=100000", "figures=false",
    "seed=range(4)", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=here",
]
sys.exit(main())
"""


def started(code, directory=None):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
        start_new_session=True,
    )


def assert_nobody_is_left(killed):
    """Fail unless all processes of a session end within 2 s, without a word.

    Each has the end of a pipe open.
    """
    try:
        assert killed.communicate(timeout=2)[0] == ""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(killed.pid, signal.SIGKILL)


def test_idle_workers_end_with_a_killed_parent():
    parent = started(IDLE_WORKERS)
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    assert_nobody_is_left(parent)


CHECK = """
import sys
from lab.cli.tools import main

main(["check-planner", "waits.Waits"])
"""
WAITS = """
import time
from pathlib import Path

Path("begun").touch()
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_check_of_a_planner_ends_with_a_killed_parent(tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    parent = started(CHECK, tmp_path)
    until = time.monotonic() + 30
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)
    [child] = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.wait()
    time.sleep(1)
    try:
        assert not Path("/proc", child).exists() or "Z" in state(child)
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)


def state(process):
    return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0]


ELSEWHERE = """
import sys, time
from lab.common.orphans import end_with
from sim.planning.guard import exits_refused

sys.platform = "elsewhere"
with exits_refused():
    end_with(-1)
    time.sleep(20)
"""


def test_a_process_ends_with_its_parent_while_a_planner_runs():
    child = started(ELSEWHERE)
    assert (child.communicate(timeout=30)[0], child.returncode) == ("", 1)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(8))
def test_no_process_of_a_sweep_outlives_a_kill_at_any_moment(tmp_path, trial):
    sweep = started(SWEEP, tmp_path)
    time.sleep(Random(trial).uniform(0.5, 8))
    sweep.kill()
    assert_nobody_is_left(sweep)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_interrupts_a_command(number, capsys):
    ended = []

    def work():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            ended.append(signal.getsignal(number))

    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)  # It is ignored under nohup, for example.
    try:
        assert run_command("compass-sim", work) == 128 + number
        assert capsys.readouterr().err == "compass-sim: interrupted\n"
        assert ended == [signal.SIG_DFL], "a second signal ends the command at once"
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, before)


def test_signals_at_the_same_moment_are_one(monkeypatch, capsys):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    before = {each: signal.signal(each, signal.default_int_handler) for each in ENDING}

    def work():
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        for number in ENDING:
            signal.raise_signal(number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        time.sleep(10)

    try:
        assert run_command("compass-sim", work) in [128 + number for number in ENDING]
        assert capsys.readouterr().err == "compass-sim: interrupted\n"
        assert unraisable == []
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_command("compass-sim", lambda: os.kill(os.getpid(), signal.SIGHUP) or 0) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
