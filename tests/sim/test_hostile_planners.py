"""Planners that misbehave: each is contained and named, and changes nothing for another planner."""

import asyncio
import builtins
import gc
import math
import os
import posix
import random
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest
from worlds import queries_at, scenario

import scenarios.random_streams
from lab.limits.wall_limit import WallLimit
from scenarios.slo import SLO
from sim import Plan, Planner, PlannerCheckError, check_planner
from sim.api.charges import CHARGES_S
from sim.conformance.guarded_context import BrokenContractError
from sim.controlplane.planner_calls import errors_noted
from sim.controlplane.world import World
from sim.dataplane.blocks.plane import BlocksPlane
from sim.metrics.goodput import SloMonitor
from sim.planning.guard import exits_refused

WORLD = scenario(12.0, workload=queries_at(1.0, 2.0))


class Cheapest(Planner):
    """Deploys the cheapest plan that fits, after its misdeed."""

    def __init__(self, misdeed=lambda context, query: None):
        self.misdeed = misdeed

    def plan(self, context):
        for query in context.waiting:
            self.misdeed(context, query)
            plan = next(each for each in context.candidates(query) if context.fits(query, each))
            context.profile(query, plan, 2)
            context.deploy(query, plan)


@contextmanager
def simulated(planner):
    """Yield the world of a planner after its run, and the errors in its threads."""
    with exits_refused(), errors_noted(planner) as noted:
        world = World(WORLD, planner, 1, BlocksPlane)
        world.ending = WallLimit(None).ending
        world.guard.note_definitions()
        world.run(WORLD.horizon_s)
        yield world, noted


def tables(planner):
    with simulated(planner) as (world, _):
        return world.tables.take()


@pytest.fixture(scope="module")
def decent():
    """The tables of a planner without a misdeed."""
    return tables(Cheapest())


class Own(BaseException):
    pass


class MuteError(Exception):
    def __str__(self):
        raise Own


class NonsenseError(Exception):
    def __str__(self):
        return 5  # noqa: PLE0307


class Meta(type):
    @property
    def __name__(cls):
        raise Own


class NamelessError(Exception, metaclass=Meta):
    pass


def raises(error):
    def misdeed(context, query):
        raise error

    return misdeed


def endless(context, query):
    endless(context, query)


RAISED = [
    (Own("mine"), "Own in test_hostile_planners.py:"),
    (GeneratorExit(), "GeneratorExit in "),
    (SystemExit(0), "SystemExit in "),
    (KeyboardInterrupt(), "KeyboardInterrupt in "),
    (asyncio.CancelledError(), "CancelledError in "),
    (StopIteration(), "StopIteration in "),
    (MemoryError(), "MemoryError in "),
    (BaseExceptionGroup("both", [Own()]), "BaseExceptionGroup in "),
    (MuteError(), "MuteError in "),
    (NonsenseError(), "NonsenseError in "),
    (NamelessError(), "NamelessError in "),
    (ValueError("bad \ud800"), r"bad \ud800"),
    (ValueError("\x1b[31mred \x9b2J \x07 \u202e"), r"\x1b[31mred \x9b2J \x07 \u202e"),
    (ValueError("nul\0"), r"nul\x00"),
    (ValueError("long" * 10**6), "longlong"),
]


@pytest.mark.parametrize(("error", "said"), RAISED, ids=range(len(RAISED)))
def test_what_it_raises_is_named_and_its_orders_are_cancelled(error, said):
    with simulated(Cheapest(raises(error))) as (world, _):
        first = world.planner_errors[0]
        assert said in first
        assert first.isprintable()
        assert len(first) < 700
        outcomes = world.tables.take()["decisions"]["outcome"].unique().to_list()
        assert outcomes == ["error"]


def test_recursion_is_an_error_like_others():
    with simulated(Cheapest(endless)) as (world, _):
        assert "RecursionError" in world.planner_errors[0]


ENDS = [
    lambda context, query: os._exit(0),
    lambda context, query: posix._exit(0),
    lambda context, query: os.abort(),
    lambda context, query: os.execv("/bin/true", ["true"]),
    lambda context, query: os.execl("/bin/true", "true"),
    lambda context, query: sys.exit(0),
]


@pytest.mark.parametrize("end", ENDS)
def test_it_cannot_end_the_process_silently(end):
    with simulated(Cheapest(end)) as (world, _):
        assert len(world.planner_errors) == 2  # one for each query


def sets(owner, name, value):
    """Return a misdeed that sets an attribute, whatever its owner allows."""
    return lambda context, query: setattr(owner, name, value)


def does(function, *arguments):
    return lambda context, query: function(*arguments)


CHANGES = {
    "random.random": sets(random, "random", lambda: 0.5),
    "numpy.random.default_rng": sets(np.random, "default_rng", None),
    "time.perf_counter": sets(time, "perf_counter", lambda: 0.0),
    "math.fsum": sets(math, "fsum", sum),
    "builtins.len": sets(builtins, "len", lambda _: 0),
    "sys.stdout": sets(sys, "stdout", None),
    "the working directory": does(os.chdir, "/"),
    "the limit of recursion": does(sys.setrecursionlimit, 90),
    "garbage collection": does(gc.disable),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_it_changes_is_put_back_and_named(name, decent):
    before = dict(vars(builtins)), random.random, time.perf_counter, os.getcwd(), sys.stdout
    with simulated(Cheapest(CHANGES[name])) as (world, _):
        assert (
            f"PlannerError where the world calls Cheapest.plan(context): changed {name}"
            in (world.planner_errors[0])
        )
    after = dict(vars(builtins)), random.random, time.perf_counter, os.getcwd(), sys.stdout
    assert after == before
    for table, frame in tables(Cheapest()).items():
        assert frame.equals(decent[table]), table


def recoded(context, query):
    scenarios.random_streams.stream.__code__ = (lambda *_: 0).__code__


LATER = {
    "numpy.mean": sets(np, "mean", None),
    "os.getenv": sets(os, "getenv", None),
    "sim.metrics.goodput.SLACK": sets(sys.modules["sim.metrics.goodput"], "SLACK", 1.0),
    "SloMonitor.add_cost": sets(SloMonitor, "add_cost", lambda *_: None),
    "sim.api.charges.CHARGES_S": does(CHARGES_S.update, {"fits": 0.0}),
}


@pytest.mark.parametrize("name", LATER)
def test_a_changed_simulator_is_put_back_before_results_are_written(name, decent):
    with simulated(Cheapest(LATER[name])) as (world, _):
        assert f"changed {name}, which all planners share" in world.guard.check()
        assert world.guard.check() is None
    for table, frame in tables(Cheapest()).items():
        assert frame.equals(decent[table]), table


def test_the_code_of_a_function_is_put_back():
    before = scenarios.random_streams.stream.__code__
    guard = World(WORLD, Cheapest(), 1, BlocksPlane).guard
    guard.note_definitions()
    recoded(None, None)
    assert "changed scenarios.random_streams.stream, " in guard.check()
    assert scenarios.random_streams.stream.__code__ is before


def write(target, name, value):
    object.__setattr__(target, name, value)


def cheats(context, query, plan):
    """Order a plan, and change it afterwards."""
    context.deploy(query, plan)
    write(plan, "allocation", tuple(each._replace(replicas=64) for each in plan.allocation))


VALUES = {
    "slo": lambda context, query: write(query.slo, "latency_s", 1e6),
    "quantile": lambda context, query: write(query.slo, "latency_quantile", 0.0),
    "device": lambda context, query: write(query.device, "relative_speed", 1e9),
    "query": lambda context, query: write(query, "slo", None),
    "configuration": lambda context, query: write(
        context.world.pipeline.configurations[0], "values", ()
    ),
    "plan": lambda context, query: cheats(context, query, next(context.candidates(query))),
    "allocation": lambda context, query: write(
        next(context.candidates(query)).allocation[0], "replicas", 9
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_it_shares_with_the_world_cannot_be_changed(name):
    with simulated(Cheapest(VALUES[name])) as (world, _):
        assert "AttributeError in test_hostile_planners.py:" in world.planner_errors[0]


def spoils_the_pipeline(context, query):
    for operator in context.world.pipeline.operators:
        write(operator, "variability", None)
    write(context.world.pipeline, "operators", ())
    context.world.cluster.nodes.clear()


def test_descriptions_of_the_application_and_the_cluster_are_copies(decent):
    def act(context, query):
        if query.id == 1:  # The first query is served.
            spoils_the_pipeline(context, query)

    with simulated(Cheapest(act)) as (world, _):
        assert len(world.scenario.application.pipeline.operators) > 0
        assert len(world.scenario.cluster.nodes) == 2
        served = world.tables.take()["windows"]
    assert served.filter(query=0).equals(decent["windows"].filter(query=0))


def test_named_tuples_of_the_interface_can_be_replaced_as_dataclasses():
    seen = []

    def act(context, query):
        plan = next(context.candidates(query))
        share = replace(plan.allocation[0], max_batch=3)
        seen.append((replace(plan, allocation=(share,)), replace(query.slo, accuracy=0.5), plan))

    with simulated(Cheapest(act)) as (world, _):
        assert world.planner_errors == []
    plan, slo, before = seen[0]
    assert isinstance(plan, Plan)
    assert plan.configuration == before.configuration
    assert plan.allocation[0].max_batch == 3
    assert (slo.accuracy, slo.latency_s) == (0.5, 4.0)


def test_numpys_error_state_is_the_planners_own():
    with simulated(Cheapest(lambda *_: np.seterr(all="raise"))) as (world, _):
        assert world.planner_errors == []
        assert np.geterr()["under"] == "ignore"


def test_constants_that_are_made_anew_with_equal_values_are_no_change():
    with simulated(Cheapest(lambda *_: time.tzset())) as (world, _):
        assert world.planner_errors == []


def test_a_process_that_it_forks_ends_with_the_call():
    children = []

    def act(context, query):
        child = os.fork()
        if child:
            children.append(os.waitpid(child, 0)[1])

    with simulated(Cheapest(act)) as (world, _):
        assert world.planner_errors == []
    assert children == [0, 0]


def asks_elsewhere(context, query):
    thread = threading.Thread(target=context.fits, args=(query, next(context.candidates(query))))
    thread.start()
    thread.join()


def test_the_context_answers_only_the_thread_that_calls_plan():
    with simulated(Cheapest(asks_elsewhere)) as (world, noted):
        assert world.planner_errors == []
        assert "works only in the thread that calls plan" in noted[0]


def test_a_context_that_it_keeps_does_not_answer_later():
    kept = []

    def act(context, query):
        for each in kept:
            each.fits(query, next(context.candidates(query)))
        kept.append(context)

    with simulated(Cheapest(act)) as (world, _):
        assert "this context's call is over" in world.planner_errors[0]


class Finalized:
    def __del__(self):
        raise Own


def test_errors_of_finalizers_are_noted_and_not_printed(capsys):
    with simulated(Cheapest(lambda *_: Finalized())) as (_, noted):
        assert "Own in test_hostile_planners.py:" in noted[0]
    assert capsys.readouterr().err == ""


def test_text_that_it_logs_is_made_safe():
    def act(context, query):
        plan = next(context.candidates(query))
        context.bulk.log_candidate(query, plan, "\x1b]0;title\x07", 1.0, 0.5, reason="a\ud800\nb")

    row = tables(Cheapest(act))["offers"].row(0, named=True)
    assert (row["role"], row["reason"]) == (r"\x1b]0;title\x07", r"a\ud800 b")


class Async(Planner):
    async def plan(self, context):
        pass


class Yields(Planner):
    def plan(self, context):
        yield


@pytest.mark.parametrize(("planner", "said"), [(Async(), "not be async"), (Yields(), "not yield")])
def test_plan_must_be_a_plain_method(planner, said):
    with simulated(planner) as (world, _):
        assert f"plan must {said}" in world.planner_errors[0]


class Pretends(Cheapest):
    def __init__(self):
        pass

    def plan(self, context):
        raise BrokenContractError("nothing")


def test_an_error_of_the_check_itself_does_not_pass_the_check():
    with pytest.raises(PlannerCheckError, match=r"Pretends: fails .* BrokenContractError in "):
        check_planner(Pretends(), other_process=False)


def test_an_interrupt_that_it_catches_ends_the_run_all_the_same():
    def act(context, query):
        with suppress(BaseException):
            signal.raise_signal(signal.SIGINT)

    planner = Cheapest(act)
    world, limit = World(WORLD, planner, 1, BlocksPlane), WallLimit(None)
    world.ending = limit.ending
    with limit.watching(world.guard), pytest.raises(KeyboardInterrupt):
        world.run(WORLD.horizon_s)


class Equal:
    """Is equal to everything, so that only its identity tells it apart."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __call__(self, *_):
        return 0.5


class SlyError(Exception):
    @property
    def __traceback__(self):
        raise SystemExit(0)


def hides_a_builtin(context, query):
    sys.modules["sim.metrics.goodput"].sum = max


def hides_a_method(context, query):
    SloMonitor.__getattribute__ = object.__getattribute__


SLY = {
    "math.fsum": sets(math, "fsum", Equal()),
    "builtins.tuple": sets(builtins, "tuple", None),
    "sys.excepthook": sets(sys, "excepthook", None),
    "garbage collection": does(gc.callbacks.append, lambda *_: None),
}


@pytest.mark.parametrize("name", SLY)
def test_what_the_guard_itself_uses_is_put_back_and_named(name):
    before = math.fsum, tuple, sys.excepthook, list(gc.callbacks)
    with simulated(Cheapest(SLY[name])) as (world, _):
        assert f"changed {name}, which all planners share" in world.planner_errors[0]
    assert before == (math.fsum, tuple, sys.excepthook, list(gc.callbacks))


SLY_LATER = {
    "os.getpid": sets(os, "getpid", lambda: 0),
    "os.getcwd": sets(os, "getcwd", None),
    "gc.isenabled": sets(gc, "isenabled", None),
    "sys.getrecursionlimit": sets(sys, "getrecursionlimit", None),
    "SLO.latency_s": sets(SLO, "latency_s", 1e9),
    "sim.metrics.goodput.np": sets(sys.modules["sim.metrics.goodput"], "np", None),
    "sim.metrics.goodput.sum": hides_a_builtin,
    "SloMonitor.__getattribute__": hides_a_method,
}


@pytest.mark.parametrize("name", SLY_LATER)
def test_hidden_changes_of_the_simulator_are_put_back(name):
    guard = World(WORLD, Cheapest(), 1, BlocksPlane).guard
    guard.note_definitions()
    _, error = guard.run(lambda: SLY_LATER[name](None, None))
    assert error is None
    assert f"changed {name}, which all planners share" in guard.check()
    assert guard.check() is None


def test_defaults_of_keywords_are_put_back():
    guard = World(WORLD, Cheapest(), 1, BlocksPlane).guard
    guard.note_definitions()
    before = check_planner.__kwdefaults__
    check_planner.__kwdefaults__ = {"planner": None}
    assert "check_planner, which" in guard.check()
    assert check_planner.__kwdefaults__ is before


def test_an_error_that_hides_its_traceback_is_contained():
    with simulated(Cheapest(raises(SlyError("sly")))) as (world, _):
        assert "SlyError in test_hostile_planners.py:" in world.planner_errors[0]
