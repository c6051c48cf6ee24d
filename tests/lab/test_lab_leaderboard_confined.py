"""Runs of a leaderboard leave nothing of their submissions, which can read and reach little."""

import json
import os
import socket
import sys
from pathlib import Path
from signal import SIGKILL
from threading import Thread
from time import sleep

import numpy as np
import polars as pl
import pytest
from hostile_submissions import ENDS, LONG_S, SERVED, planning
from polars.testing import assert_frame_equal

from lab import run
from lab.cli.tools import main
from lab.leaderboard.confinement import OTHER_FILES
from lab.leaderboard.instructions import read_instructions
from lab.leaderboard.processes import unconfined
from lab.leaderboard.runs import Entry, kept, made, wanted
from lab.leaderboard.scores import score
from lab.leaderboard.submissions import find_submissions
from planners import CheapestFeasible


@pytest.fixture(scope="module")
def possible(tmp_path_factory):
    """What planners' processes can do on this machine, although they should not."""
    hidden = tmp_path_factory.mktemp("class") / "hidden"
    hidden.touch()
    return set(unconfined(tmp_path_factory.mktemp("probe"), hidden))


def listed(mark):
    """Return the processes with a word in their command lines."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        found += [file.parent.name] if mark.encode() in words else []
    return found


NOSY = """
import os, resource, socket, sys
from planners import CheapestFeasible

print("x" * 100_000)
done = []
for what in (
    lambda: open({instructions!r}).read(),
    lambda: open({published!r}, "w").write("me"),
    lambda: os.kill(os.getppid(), 9),
    lambda: socket.create_connection(("127.0.0.1", {port})),
    lambda: socket.socket(socket.AF_UNIX).connect({bus!r}),
    lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0)),
    lambda: os.sched_setaffinity(os.getppid(), os.sched_getaffinity(0)),
    lambda: os.listdir({directory!r}),
):
    try:
        what()
        done.append(what)
    except OSError:
        pass
if done or len(os.environ) > 20 or os.getcwd() in {directory!r}:
    raise ValueError(len(done))
open("own", "w").write("allowed")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        code = "import time; time.sleep(1000)"
        os.execl(sys.executable, sys.executable, "-c", code, "{mark}")
    os._exit(0)

class Nosy(CheapestFeasible):
    pass
"""


def test_a_run_counts_and_nothing_of_its_submission_is_left(tmp_path, possible):
    mark = f"{10**6 + os.getpid()}"
    (tmp_path / "submissions").mkdir()
    (tmp_path / "board").mkdir()
    published, bus = tmp_path / "board" / "leaderboard.html", tmp_path / "bus"
    published.write_text("earlier")
    limits = {"start_s": LONG_S, "call_s": LONG_S}
    given = {"regimes": {"calm": SERVED}, "seeds": [1402, 1187], "baselines": [], "limits": limits}
    (tmp_path / "leaderboard.yaml").write_text(json.dumps(given))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as own:
        own.bind(str(bus))
        own.listen()
        source = NOSY.format(
            instructions=str(tmp_path / "leaderboard.yaml"),
            published=str(published),
            directory=str(tmp_path),
            port=server.getsockname()[1],
            bus=str(bus),
            mark=mark,
        )
        submitted = planning(ENDS) if possible - {"start any number of processes"} else source
        (tmp_path / "submissions" / "nosy.py").write_text(submitted)
        instructions = read_instructions(tmp_path / "leaderboard.yaml")
        [submission] = find_submissions(tmp_path, ())
        first, _ = wanted(tmp_path, instructions, [Entry("nosy", submission)])
        [(_, record, _)] = made([first], instructions.limits, 1)
    assert record.failure is None
    assert listed(mark) == []
    assert kept(first, instructions.limits) == record
    expected = run([*SERVED, "seed=1402"], CheapestFeasible()).summary["service_goodput_mean"]
    assert score(first.directory, instructions.metric) == pytest.approx(expected)
    assert expected > 0


DETACHES = """
import os, sys
from planners import CheapestFeasible

world = f"{os.getppid()}"
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        code = "import time; time.sleep(1000)"
        os.execl(sys.executable, sys.executable, "-c", code, "MARK", world)
    os._exit(0)

class Detaches(CheapestFeasible):
    def plan(self, context):
        while True: pass
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists processes in /proc")
def test_nothing_of_a_submission_is_left_if_the_world_is_killed(tmp_path):
    mark = f"{2 * 10**6 + os.getpid()}"
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "detaches.py").write_text(DETACHES.replace("MARK", mark))
    limits = {"start_s": LONG_S, "call_s": LONG_S}
    given = {"regimes": {"calm": SERVED}, "seeds": [1402, 1187], "baselines": [], "limits": limits}
    (tmp_path / "leaderboard.yaml").write_text(json.dumps(given))
    instructions = read_instructions(tmp_path / "leaderboard.yaml")
    [submission] = find_submissions(tmp_path, ())
    first, _ = wanted(tmp_path, instructions, [Entry("detaches", submission)])

    def kill_world():
        while not (found := listed(mark)):
            sleep(0.02)
        os.kill(int(Path("/proc", found[0], "cmdline").read_bytes().split(b"\0")[-2]), SIGKILL)

    Thread(target=kill_world, daemon=True).start()
    try:
        [(_, record, _)] = made([first], instructions.limits, 1)
        assert record.failure == "its run was ended by signal 9 (Killed)"
        assert listed(mark) == []
    finally:
        for each in listed(mark):
            os.kill(int(each), SIGKILL)


def test_a_file_that_submissions_can_read_is_warned_of(tmp_path, possible):
    installed = Path(np.__file__)
    found = set(unconfined(tmp_path, installed)) - possible
    if OTHER_FILES not in possible:
        assert found == {"read __init__.py, which is below a directory of Python's packages"}


HOSTILE = {
    "hangs": "while True: pass",
    "ends": "import os; os._exit(0)",
    "kills": "import os; os.kill(-1, 9)",
    "eats": "self.__dict__['all'] = []\nwhile True: self.all.append(bytearray(10**8))",
    "garbles": "import os; os.write(context._contestant._channel._writes, b'\\xff' * 9)",
    "floods": "from sim import Choices\nmany = Choices(replicas=tuple(range(1, 900)))\n"
    "context.bulk.view((*context.waiting, *context.running)[0], many)",
    "sums": "for number in range(10**9): context.remember(number, None)",
}


@pytest.mark.slow
def test_others_are_ranked_as_without_the_hostile(tmp_path, capsys):
    boards = []
    for number, hostile in enumerate(({}, HOSTILE)):
        place = tmp_path / str(number)
        (place / "submissions").mkdir(parents=True)
        (place / "submissions" / "alice.py").write_text(planning(ENDS))
        for name, code in hostile.items():
            (place / "submissions" / f"{name}.py").write_text(planning(code))
        given = {
            "regimes": {"calm": SERVED},
            "seeds": [1201, 1342],
            "baselines": ["greedy"],
            "limits": {"start_s": LONG_S, "call_s": 20, "run_s": 60, "memory_gb": 0.5},
        }
        (place / "leaderboard.yaml").write_text(json.dumps(given))
        assert main(["leaderboard", str(place)]) == 0
        boards.append(pl.read_parquet(place / "board" / "leaderboard.parquet"))
    out = capsys.readouterr().out
    alone, together = (
        board.filter(pl.col("planner").is_in(["alice", "greedy"])).drop("rank") for board in boards
    )
    assert_frame_equal(alone, together)
    others = boards[1].filter(~pl.col("planner").is_in(["alice", "greedy"]))
    assert others["mean"].to_list() == [0.0] * len(HOSTILE)
    for name in HOSTILE.keys() - {"kills"}:  # Its signal reaches nobody, and it deploys nothing.
        said = [each for each in out.splitlines() if each.startswith(f"{name}: ")]
        assert said
        assert {each.split(maxsplit=2)[1] for each in said} <= {"2", "raised"}
        assert all(" failed, the first in " in each or ": raised " in each for each in said)
