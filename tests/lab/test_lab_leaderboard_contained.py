"""Planners of a leaderboard that hang, crash or raise: they harm nothing but their own score."""

import pickletools
import re
import struct
from textwrap import indent

import pytest
from hostile_submissions import ENDS, LONG_S, WORLD, planning, remote

from lab import run
from lab.common.errors import InputError
from lab.leaderboard.wire import Channel
from sim.api.errors import PlannerError


def reasons(result):
    """Return what the calls of the planner raised, by call."""
    return [str(each) for each in result.decisions.filter(outcome="error")["reason"]]


# What ends a planner's process, or its use


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param(
            "while True: pass",
            "one call of it took longer than limits.call_s=0.2 s",
            marks=pytest.mark.slow,
        ),
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
def test_the_world_goes_on_without_a_process_that_hangs_or_ends(code, said, tmp_path):
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
        pytest.param(b"\xff" * 100, marks=pytest.mark.slow, id="length"),
        pytest.param(struct.pack(">I", 9) + b"no  JSON!", marks=pytest.mark.slow, id="text"),
        pytest.param(struct.pack(">I", 4) + b"[[1]", marks=pytest.mark.slow, id="cut"),
        pytest.param(struct.pack(">I", 2) + b"{}", marks=pytest.mark.slow, id="mapping"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_process_that_sends_what_is_no_message_is_ended(message, tmp_path):
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
        pytest.param(
            "import time\ntime.sleep(1000)",
            "it was not loaded within limits.start_s=2 s",
            marks=pytest.mark.slow,
        ),
        ("def f(: pass", "SyntaxError: "),
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
"""Planners as of ``test_lab_hostile_planners`` and ``test_lab_call_limits``, and what is said."""


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


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """The planner of all turns and its run, with what was sent to its process."""
    sent, send = [], Channel.send

    def noting(channel, text):
        sent.append(text)
        send(channel, text)

    source = in_turn([code for code, _ in TURNS])
    with (
        pytest.MonkeyPatch.context() as patch,
        remote(tmp_path_factory.mktemp("turns"), source) as planner,
    ):
        patch.setattr(Channel, "send", noting)
        with pytest.warns(UserWarning, match=f"raised {len(TURNS)} times"):
            result = run([*WORLD, "horizon_s=60", "workload.rate=0.6"], planner)
    return planner, result, sent


def test_what_a_planner_raises_is_contained_and_what_it_seeks_is_not_there(turned):
    planner, result, _ = turned
    assert planner.failure is None
    assert str(planner.first_error).startswith("SystemExit in own.py:")
    found = reasons(result)
    assert len(found) == len(TURNS)
    for reason, (_, expected) in zip(found, TURNS, strict=True):
        assert re.search(expected, reason), (expected, reason)
        assert reason.isprintable()
        assert len(reason) < 2000
    assert result.summary["status"] == "finished"
    assert result.summary["deployments"] > 0


def test_nothing_of_the_truth_is_sent(turned):
    """Planners asked for views, for estimates, and in vain for the truth."""
    _, _, sent = turned
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
