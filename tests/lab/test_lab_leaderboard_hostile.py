"""Planners of a leaderboard that hang, crash or cheat: they harm nothing but their own score."""

import json
import os
import pickletools
import re
import socket
import struct
import sys
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from textwrap import indent
from threading import Thread
from time import sleep

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lab import run
from lab.cli.tools import main
from lab.common.errors import InputError
from lab.config.compose import FILES
from lab.leaderboard.confinement import OTHER_FILES
from lab.leaderboard.instructions import read_instructions
from lab.leaderboard.processes import PlannerProcess, bounds, unconfined
from lab.leaderboard.remote_planner import RemotePlanner
from lab.leaderboard.runs import Entry, kept, made, wanted
from lab.leaderboard.scores import score
from lab.leaderboard.submissions import Submission, find_submissions
from lab.leaderboard.wire import Channel, WireError, packed, unpacked
from planners import CheapestFeasible
from scenarios.applications.pipeline import Configuration
from sim.api.errors import PlannerError
from sim.api.estimate import Measurement
from sim.api.plan import Allocation, Plan

WORLD = ["experiment=speech_small", "horizon_s=20", "workload.rate=0.2", "seed=1201"]
SERVED = ["experiment=speech_small", "switching=free", "horizon_s=100", "workload.rate=0.1"]
"""A world in which queries are served well."""
LONG_S = 120.0
"""Limit of what should be quick, on a busy machine."""
PLANNER = """
from planners import CheapestFeasible
class Own(CheapestFeasible):
    def plan(self, context):
"""
ENDS = "super().plan(context)\n"


def planning(*code):
    """Return a submission whose method ``plan`` has some lines."""
    return PLANNER + indent("\n".join(code), " " * 8)


@contextmanager
def remote(tmp_path, source, call_s=LONG_S, start_s=LONG_S, suffix=".py"):
    """Yield the planner of a submission in its process, which ends with the body."""
    (tmp_path / "place").mkdir()
    path = tmp_path / f"own{suffix}"
    path.write_text(source)
    found = bounds(tmp_path / "place", 2.0, LONG_S)
    process = PlannerProcess(Submission("own", path), found, tmp_path / "errors.txt")
    try:
        planner = RemotePlanner(process, start_s, call_s)
        planner.load("own")
        yield planner
    finally:
        process.kill()


@pytest.fixture(scope="module")
def possible(tmp_path_factory):
    """What planners' processes can do on this machine, although they should not."""
    hidden = tmp_path_factory.mktemp("class") / "hidden"
    hidden.touch()
    return set(unconfined(tmp_path_factory.mktemp("probe"), hidden))


def reasons(result):
    """Return what the calls of the planner raised, by call."""
    return [str(each) for each in result.decisions.filter(outcome="error")["reason"]]


# What ends a planner's process, or its use


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("while True: pass", "one call of it took longer than limits.call_s=0.2 s"),
        ("import os; os._exit(0)", "its process ended with status 0"),
        pytest.param(
            "import ctypes; ctypes.string_at(0)",
            "its process was ended by signal 11 (Segmentation fault)",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "import signal, time\n"
            "for each in range(1, 32):\n"
            "    if each not in (9, 19): signal.signal(each, signal.SIG_IGN)\n"
            "while True:\n"
            "    try: time.sleep(100)\n"
            "    except BaseException: pass",
            "one call of it took longer than limits.call_s=0.2 s",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "import os\n"
            "for each in range(3, 50):\n"
            "    try: os.close(each)\n"
            "    except OSError: pass",
            "its process",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_is_of_no_use_any_more_and_the_world_goes_on(code, said, tmp_path):
    call_s = 0.2 if "call_s" in said else LONG_S
    with remote(tmp_path, planning(code), call_s) as planner:
        result = run(WORLD, planner)
        assert planner.failure is not None
        assert planner.failure.startswith(said)
    assert result.summary["simulated_s"] == 20
    assert result.summary["planner_errors"] == len(reasons(result)) > 1
    assert result.summary["requests"] > 0


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\xff" * 100, id="length"),
        pytest.param(struct.pack(">I", 9) + b"no  JSON!", marks=pytest.mark.slow, id="text"),
        pytest.param(struct.pack(">I", 4) + b"[[1]", marks=pytest.mark.slow, id="cut"),
        pytest.param(struct.pack(">I", 2) + b"{}", marks=pytest.mark.slow, id="mapping"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_no_message_ends_it(message, tmp_path):
    code = f"import os\nos.write(context._contestant._channel._writes, {message!r})"
    with remote(tmp_path, planning(code, ENDS)) as planner:
        run(WORLD, planner)
        assert planner.failure is not None
        assert planner.failure.startswith("it sent what is no message (")


PICKLED = """
import os, pickle, struct
class Runs:
    def __reduce__(self):
        return os.system, ("touch {0}",)
message = pickle.dumps(Runs())
os.write(context._contestant._channel._writes, struct.pack(">I", len(message)) + message)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_pickle_of_its_process_is_read(tmp_path):
    file = tmp_path / "ran"
    with remote(tmp_path, planning(PICKLED.format(file), ENDS)) as planner:
        run(WORLD, planner)
        assert "it sent what is no message" in str(planner.failure)
    assert not file.exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import time\ntime.sleep(1000)", "it was not loaded within limits.start_s=2 s"),
        pytest.param("def f(: pass", "SyntaxError: ", marks=pytest.mark.slow),
        pytest.param("raise SystemExit(0)", "SystemExit: 0", marks=pytest.mark.slow),
        pytest.param("import os; os._exit(3)", "its process ended", marks=pytest.mark.slow),
        pytest.param("x = 1", "own: has no class that derives", marks=pytest.mark.slow),
        pytest.param(
            "from planners import *\nclass A(Greedy): pass\nclass B(Greedy): pass",
            "own: has several planners (A, B); leave one of them",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "from planners import Greedy\nclass A(Greedy): sees_truth = True",
            "it declares sees_truth, which no submission may",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "from sim import Planner\nclass A(Planner):\n    async def plan(self, context): pass",
            "plan must not be async",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_submission_that_cannot_be_loaded_is_one_sentence(source, said, tmp_path):
    start_s = 2.0 if "start_s" in said else LONG_S
    with (
        pytest.raises(PlannerError) as raised,
        remote(tmp_path, source, start_s=start_s),
    ):
        pass
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


ELSEWHERE = "from planners import CheapestFeasible\nimport ctypes, os, shutil, signal, threading\n"
AS_ELSEWHERE = {
    "its settings end it": (
        "class Own(CheapestFeasible):\n"
        "    budget_s = property(lambda self: os.abort(), lambda self, value: None)",
        "its process was ended by signal 6 (Aborted)",
    ),
    "its settings raise": (
        "class Own(CheapestFeasible):\n"
        "    @property\n"
        "    def query_records(self): raise SystemExit(0)",
        "SystemExit: 0",
    ),
    "it is a number": (
        "class Own(CheapestFeasible):\n    def __new__(cls, *_, **__): return 5",
        "own: makes no Planner",
    ),
    "it poses as a shipped one": (
        "class Own(CheapestFeasible): pass\nOwn.__module__ = 'planners.baselines'",
        "own: has no class that derives from sim.Planner",
    ),
    "its metaclass raises": (
        "class Secret(type(CheapestFeasible)):\n"
        "    def __getattribute__(cls, name):\n"
        "        if name in ('__flags__', '__module__', '__bases__'): raise SystemExit(0)\n"
        "        return super().__getattribute__(name)\n"
        "class Own(CheapestFeasible, metaclass=Secret): pass",
        "SystemExit: 0",
    ),
    "its check exits": (
        "class Own(CheapestFeasible):\n"
        "    def check_parameters(self, pipeline, cluster): raise SystemExit(0)",
        "SystemExit in own.py:",
    ),
    "its check ends it": (
        "class Own(CheapestFeasible):\n"
        "    def check_parameters(self, pipeline, cluster): ctypes.CDLL(None)._exit(0)",
        "its process ended with status 0",
    ),
    "its error never has a text": (
        "class Silent(Exception):\n"
        "    def __str__(self): threading.Event().wait()\n"
        "class Own(CheapestFeasible):\n"
        "    def plan(self, context): raise Silent",
        "one call of it took longer than limits.call_s=20 s",
    ),
    "its alarms ring": (
        "class Own(CheapestFeasible):\n"
        "    def plan(self, context): signal.setitimer(signal.ITIMER_REAL, 1e-3, 1e-3)",
        "its process was ended by signal 14 (Alarm clock)",
    ),
    "it removes its files": (
        "class Own(CheapestFeasible):\n"
        "    def plan(self, context): shutil.rmtree(os.getcwd()); raise ValueError('gone')",
        "in own.py:",
    ),
}
"""Planners as those of ``test_lab_hostile_planners``, and what is said of them."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", AS_ELSEWHERE)
def test_planners_that_are_hostile_elsewhere_are_one_sentence(name, tmp_path):
    source, said = AS_ELSEWHERE[name]
    call_s = 20.0 if "call_s" in said else LONG_S
    try:
        with remote(tmp_path, ELSEWHERE + source, call_s) as planner:
            run(WORLD, planner)
            found = planner.failure or planner.first_error
    except (PlannerError, InputError) as error:
        found = str(error)
    assert found is not None
    assert said in found
    assert found.isprintable()


# What is contained: each call of the planner does the next of these, and its error says that

TURNS = (
    ("raise SystemExit(0)", "SystemExit in own.py:"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt in own.py:"),
    ("again = lambda: again()\nagain()", "RecursionError in own.py:"),
    ("return 5", "it returned a value of type int"),
    (
        "import gc, scenarios.queries, sim.controlplane.world\n"
        "kinds = sim.controlplane.world.World, scenarios.queries.QueryTruth\n"
        "raise ValueError([each for each in gc.get_objects() if isinstance(each, kinds)])",
        "ValueError in own.py:.*: \\[\\]$",
    ),
    ("context.bulk.truth(query)", "truth: no deployed planner could know it"),
    (
        "context._contestant.ask('fetch', context.bulk.view(query).space._number)",
        "there is no such object",
    ),
    ("context._contestant.ask('call', '', '_call', (), {})", "there is no '_call' in the"),
    ("context._contestant.ask('plan', 0, 0)", "there is no such plan"),
    ("context._contestant.ask('nonsense')", "there is no call of plan"),
    ("context.remember([], 1)", "TypeError in own.py:.*unhashable"),
    ("context.charge(query, open)", "a value of type .* cannot be passed to the planning context"),
    ("context.profile(query, 'plan', 3)", "'plan' is no configuration of "),
    ("context.wating", "AttributeError in own.py:.*did you mean 'waiting'"),
    (
        "import threading\nfound = []\n"
        "def other():\n"
        "    try: context.now_s\n"
        "    except Exception as error: found.append(str(error))\n"
        "thread = threading.Thread(target=other)\nthread.start()\nthread.join()\n"
        "raise ValueError(found)",
        "works only in the thread that calls plan",
    ),
    ("self.__dict__['old'] = context\nraise ValueError('kept')", "kept"),
    ("self.__dict__['old'].now_s", "this context's call is over"),
    ("print('x' * 100_000)\nraise ValueError('printed')", "printed$"),
    ("raise ValueError('long\\x1b[31m' * 10_000)", "x1b.*\\.\\.\\.$"),
)


def in_turn(codes):
    """Return a submission whose calls do one thing after another."""
    source = "import itertools\nfrom planners import CheapestFeasible\n"
    for number, code in enumerate(codes):
        source += f"def turn_{number}(self, context, query):\n{indent(code, ' ' * 4)}\n"
    turns = ", ".join(f"turn_{number}" for number in range(len(codes)))
    return (
        f"{source}turns = iter([{turns}])\n"
        "class Own(CheapestFeasible):\n"
        "    def plan(self, context):\n"
        "        query = (*context.waiting, *context.running, None)[0]\n"
        "        turn = next(turns, None) if query else None\n"
        "        return turn(self, context, query) if turn else super().plan(context)\n"
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_a_planner_raises_is_contained_and_what_it_seeks_is_not_there(tmp_path):
    codes, said = zip(*TURNS, strict=True)
    with remote(tmp_path, in_turn(codes)) as planner:
        result = run([*WORLD, "horizon_s=60", "workload.rate=0.6"], planner)
        assert planner.failure is None
        assert str(planner.first_error).startswith("SystemExit in own.py:")
    found = reasons(result)
    assert len(found) == len(said)
    for reason, expected in zip(found, said, strict=True):
        assert re.search(expected, reason), (expected, reason)
        assert reason.isprintable()
        assert len(reason) < 2000
    assert result.summary["status"] == "finished"
    assert result.summary["deployments"] > 0


# What a planner gains by cheating


def same_tables(one, other):
    """Assert that two runs have the same rows in all tables."""
    for table in (
        "queries",
        "windows",
        "operators",
        "decisions",
        "offers",
        "profiling",
        "machines",
    ):
        assert_frame_equal(getattr(one, table), getattr(other, table))


def test_changing_the_simulator_in_its_process_changes_nothing(tmp_path):
    code = (
        "import sim.metrics.goodput, sim.planning.search_clock, sim.api.charges as charges\n"
        "sim.metrics.goodput.SloMonitor.judge = lambda *_, **__: None\n"
        "sim.planning.search_clock.SearchClock.charge = lambda *_: None\n"
        "charges.CHARGES_S.update(dict.fromkeys(charges.CHARGES_S, 0.0))"
    )
    with remote(tmp_path, planning(code, ENDS)) as planner:
        cheated = run(SERVED, planner)
        assert planner.failure is None
    assert cheated.summary["service_goodput_mean"] > 0
    same_tables(cheated, run(SERVED, CheapestFeasible()))


OFFLOAD = """
from planners import CheapestFeasible
class Own(CheapestFeasible):
    budget_s = 1.0
    def __init__(self):
        pass
    def plan(self, context):
        for query in (*context.waiting, *context.running[:2]):
            for number, plan in enumerate(context.candidates(query)):
                if number % 40 == 7:
                    context.profile(query, plan.configuration, 4)
                if number == 900:
                    context.resample(query)
                estimate = context.profile(query, plan, 8 if number % 3 else 16)
                if estimate.meets(query.slo) and context.predict(query, plan).meets(query.slo):
                    if context.fits(query, plan):
                        context.deploy(query, plan)
                        break
"""


@pytest.mark.slow
@pytest.mark.parametrize("profiling", ["pool", "idle_instances"])
def test_what_its_process_knows_of_profiling_is_what_the_world_would_answer(profiling, tmp_path):
    world = [*SERVED, "drift=planner_crash", "drift.events.0.at_s=60"]
    world += [f"cluster.profiling.kind={profiling}", "seed=1201"]
    names: dict[str, object] = {}
    exec(OFFLOAD, names)
    here = run(world, names["Own"]())
    with remote(tmp_path, OFFLOAD) as planner:
        there = run(world, planner)
        assert planner.failure is None
    assert here.profiling.height > 10
    assert here.summary["deployments"] > 0
    same_tables(here, there)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compass", "random_feasible", "videostorm", "jellybean"])
def test_planners_decide_in_a_process_as_they_do_in_the_world(name, tmp_path):
    drift = ["drift=planner_crash", "drift.events.0.at_s=60"]
    configured = (FILES / "planner" / f"{name}.yaml").read_text(encoding="utf-8")
    here = run([*SERVED, *drift, f"planner={name}"])
    with remote(tmp_path, configured, suffix=".yaml") as planner:
        there = run([*SERVED, *drift], planner)
        assert planner.failure is None
    assert here.summary["planner_crashes"] == 1
    same_tables(here, there)


# The connection


def test_values_arrive_as_they_were_sent():
    configuration = Configuration(3, (1, "a"))
    plan = Plan(configuration, ("cloud",), (Allocation("core", max_wait_s=0.5),))
    rows = np.arange(6.0).reshape(2, 3), np.ones(2)
    measured = Measurement(configuration, np.arange(2), rows[1], rows[0], rows[1], rows[1])
    values = (
        1,
        -0.5,
        float("inf"),
        None,
        True,
        "é",
        [],
        {"a": (1,), 2: {3}},
        np.float64(2.5),
        plan,
    )
    found = unpacked(packed(values, lambda _: None), lambda *_: None)
    assert found == values
    assert hash(found[-1]) == hash(plan)
    again = unpacked(packed(measured, lambda _: None), lambda *_: None)
    assert again.operator_time_s.tolist() == rows[0].tolist()
    assert again.items.dtype == np.int64
    assert again.configuration == configuration


def test_only_data_is_sent():
    for value in (object(), len, lambda: 0, np.array([object()]), type("Plan", (), {})()):
        with pytest.raises(TypeError, match="cannot be passed to the planning context"):
            packed([value], lambda _: None)


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"[", b"nan", b"\xff", b'{"a": 1}', b"[1]", b'["nonsense", 3]', b'["array"]'),
        *(b'["array", "O", [1], "AAAAAAAAAAA="]', b'["array", "<f8", [9], "AAAAAAAAAAA="]'),
        *(b'["dict", [["list"], 1]]', b'["Plan"]', b'["shared", "x"]', b"[" * 100_000),
        b'["Measurement", null, ' + b'["array", "<f8", [1], "AAAAAAAAAAA="], ' * 4 + b"null]",
        b"9" * 10_000,
    ],
)
def test_what_is_no_message_is_refused(message):
    def resolve(kind, number):
        assert kind == "shared"
        return {0: "known"}[number]

    assert unpacked(b'["shared", 0]', resolve) == "known"
    with pytest.raises(WireError):
        unpacked(message, resolve)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nothing_of_the_truth_is_sent(tmp_path, monkeypatch):
    sent = []
    send = Channel.send
    monkeypatch.setattr(Channel, "send", lambda self, text: (sent.append(text), send(self, text)))
    with remote(tmp_path, planning("context.bulk.view(context.waiting[0])", ENDS)) as planner:
        run(WORLD, planner)
    named = {
        f"{argument}"
        for text in sent
        for opcode, argument, _ in pickletools.genops(text)
        if isinstance(argument, str) and "." in argument
    }
    ours = {each for each in named if each.startswith(("sim.", "scenarios.", "lab."))}
    assert "scenarios.queries" in ours
    assert {each for each in ours if each.startswith(("sim.", "lab."))} <= {
        *("sim.api.plan", "sim.api.estimate", "sim.api.plan_view", "sim.api.prediction"),
        "lab.leaderboard.contestant",
    }
    every = " ".join(map(str, sent))
    assert "QueryTruth" not in every
    assert "Dataset" not in every


# The command


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
    calm = ["experiment=speech_small", "switching=free", "horizon_s=40", "workload.rate=0.2"]
    limits = {"start_s": LONG_S, "call_s": LONG_S}
    given = {"regimes": {"calm": calm}, "seeds": [1402, 1187], "baselines": [], "limits": limits}
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
    expected = run([*calm, "seed=1402"], CheapestFeasible()).summary["service_goodput_mean"]
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
