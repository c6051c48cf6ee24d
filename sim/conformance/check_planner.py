"""`check_planner` checks that a planner follows the rules of the planning interface."""

import hashlib
import inspect
import json
import math
import os
import pickle
import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields
from numbers import Real
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import polars as pl
import scipy.linalg  # noqa: F401 -- thread limits apply only to loaded libraries
from threadpoolctl import threadpool_limits

from scenarios.scenario import Scenario
from sim.api.context import PlanningContext
from sim.api.errors import PlannerError
from sim.api.planner import Planner, Settings, generators
from sim.clock import ns
from sim.conformance.guarded_context import (
    BrokenContractError,
    GuardedWorld,
    PlannerCheckError,
    frozen,
)
from sim.conformance.worlds import empty_world, failing_world, overloaded_world, usual_world
from sim.controlplane.planner_calls import described, errors_noted
from sim.planning.call import wrong_kind
from sim.planning.guard import end_process
from sim.safe_text import class_name, safe_text

__all__ = ["PlannerCheckError", "check_planner"]

SEED = 20250416
TABLES = ("decisions", "offers", "profiling", "queries", "windows")

MOST_REFUSALS = 20  # of one plan in a row; other queries can take the room during a search


class ClonedEachCall(Planner):
    """Uses a new copy of a planner for each call; each copy passes on only random generators."""

    def __init__(self, frozen: tuple[type[Planner], bytes], settings: dict[str, Any]) -> None:
        self.frozen = frozen
        self.generators: dict[str, Any] = {}
        for name, value in settings.items():
            setattr(self, name, value)

    def plan(self, context: PlanningContext) -> None:
        """Plan with a new copy of the planner."""
        kind, parameters = self.frozen
        fresh = kind(**pickle.loads(parameters))
        vars(fresh).update(self.generators)
        fresh.plan(context)
        self.generators = generators(fresh)


def check_planner(planner: Planner, other_process: bool = True) -> None:
    """Run a planner in small worlds, and check that it follows the rules of the interface.

    * The planner can be pickled, and its budget and period are valid. It stores its parameters
      unchanged and keeps no other state, except random generators that are seeded by a parameter.
    * The planner raises no exception in a usual, an empty, an overloaded and a failing world. In
      these worlds, some SLOs lack a bound on latency, on accuracy or on cost. The cluster can run
      the planner's plans. The planner does not repeat refused plans endlessly, and its calls end.
    * The planner reads only the public planning context. It does not change the context, the
      catalogue, its parameters, records after they are written, or global random generators.
    * It makes the same decisions if a new copy of it is used for each call, and if it runs in
      another process.

    Args:
        planner: the planner, with the parameters to check.
        other_process: whether to run the planner also in another process, where sets are iterated
            in a different order. This takes some seconds, and is skipped for classes that another
            process cannot import by name.

    Raises:
        PlannerCheckError: the planner violates a rule; the message is one sentence.
    """
    if not isinstance(planner, Planner):
        raise PlannerCheckError(
            f"{safe_text(repr(planner))} is no Planner: derive its class from sim.Planner"
        )
    name = class_name(planner)
    if (reason := wrong_kind(planner)) is not None:
        raise PlannerCheckError(f"{name}: {reason}")
    _check_settings(planner, name)
    _check_parameters(planner, name)
    with threadpool_limits(limits=1, user_api="blas"):  # More threads would add in varying orders.
        _check_worlds(planner, name, other_process)


def _check_worlds(planner: Planner, name: str, other_process: bool) -> None:
    before = pickle.dumps(planner.parameters())
    cloned = ClonedEachCall((type(planner), before), _settings(planner))
    kept = _settled((planner.parameters(), *generators(planner)))
    first = _run(planner, usual_world(), name)
    random_states = _random_states()  # after the run: a library's first import may draw
    for scenario in (empty_world(), overloaded_world(), failing_world()):
        _run(planner, scenario, name)
    if _random_states() != random_states:
        raise PlannerCheckError(
            f"{name} draws from a global random generator: keep one that is seeded by a parameter, "
            "self.rng = np.random.default_rng(self.seed), or use scenarios.random_streams.stream"
        )
    if _settled((planner.parameters(), *generators(planner))) != kept:
        raise PlannerCheckError(
            f"{name} changes its parameters while planning: write what it learns with "
            "context.remember, and make random generators in __init__"
        )
    table = _difference(first, _run(cloned, usual_world(), name))
    if table is not None:
        equal = type(planner)(**pickle.loads(before))
        again = _difference(first, _run(equal, usual_world(), name))
        why = (
            "when run twice: it depends on something but its inputs, such as a random generator "
            "without a seed, the time of day, or what its class keeps"
            if again is not None
            else "when a fresh copy is made before each call: it keeps state outside "
            "context.remember"
        )
        raise PlannerCheckError(f"{name} decides differently {why} (first seen in table {table})")
    if other_process:
        elsewhere = _digests_elsewhere(planner)
        here = digests(first)
        for table in TABLES:
            if elsewhere is not None and elsewhere[table] != here[table]:
                raise PlannerCheckError(
                    f"{name} decides differently in another process: it goes by the order of a "
                    f"set, by hash or by id (first seen in table {table})"
                )


def _check_settings(planner: Planner, name: str) -> None:
    try:
        budget_s, period_s = planner.budget_s, planner.replan_every_s
    except Exception as error:
        raise PlannerCheckError(f"{name}: its settings fail: {described(error, planner)}") from None
    if not (isinstance(budget_s, Real) and budget_s >= 0 and math.isfinite(budget_s)):
        raise PlannerCheckError(f"{name}.budget_s={budget_s!r}: must be 0 s or more, and finite")
    if period_s is not None and not (
        isinstance(period_s, Real) and math.isfinite(period_s) and ns(period_s) > 0
    ):
        raise PlannerCheckError(
            f"{name}.replan_every_s={period_s!r}: must be above 0 s, a nanosecond or more, or None "
            "for no such calls"
        )
    names = planner.query_records
    if not (isinstance(names, tuple) and all(isinstance(each, str) for each in names)):
        raise PlannerCheckError(
            f"{name}.query_records={names!r}: must be a tuple of names, such as ('not before',)"
        )


def _settings(planner: Planner) -> dict[str, Any]:
    return {each.name: getattr(planner, each.name) for each in fields(Settings)}


def _check_parameters(planner: Planner, name: str) -> None:
    kept = planner.parameters()
    wanted = [key for key in inspect.signature(type(planner).__init__).parameters if key != "self"]
    if type(planner).__init__ is Planner.__init__ or wanted == ["args", "kwargs"]:
        wanted = []
    if given := [key for key in wanted if key in generators(planner)]:
        raise PlannerCheckError(
            f"{name}.__init__ takes the random generator {given[0]!r}: take a seed instead, "
            f"and write self.{given[0]} = np.random.default_rng(self.seed)"
        )
    if missing := [key for key in wanted if key not in kept]:
        raise PlannerCheckError(
            f"{name}.__init__ does not store its parameter {missing[0]!r}: write "
            f"self.{missing[0]} = {missing[0]}"
        )
    if extra := [key for key in kept if key not in wanted]:
        raise PlannerCheckError(
            f"{name} keeps {extra[0]!r}, which is no parameter of its __init__: a planner keeps "
            "its parameters, and random generators such as self.rng = "
            "np.random.default_rng(self.seed); write what it learns with context.remember"
        )
    try:
        copy = pickle.loads(pickle.dumps(planner))
    except Exception as error:
        raise PlannerCheckError(
            f"{name} cannot be pickled ({safe_text(error)}): sweeps send planners to other "
            "processes"
        ) from None
    if _settled(copy.parameters()) != _settled(kept):
        raise PlannerCheckError(f"{name} comes back from pickling with other parameters")
    try:
        made = type(planner)(**pickle.loads(pickle.dumps(kept)))
    except Exception as error:
        raise PlannerCheckError(
            f"{name} cannot be made anew from its own parameters ({safe_text(error)}): __init__ "
            "stores its arguments under their own names, unchanged"
        ) from None
    if _settled(made.parameters()) != _settled(kept):
        raise PlannerCheckError(
            f"{name}.__init__ changes its arguments: store them unchanged, and work out what "
            "follows from them in plan"
        )


def _settled(value: Any) -> bytes:
    """Return a value as bytes that are the same for equal values, whatever their identities."""
    return frozen(pickle.loads(frozen(value)))


def _run(planner: Planner, scenario: Scenario, name: str) -> dict[str, pl.DataFrame]:
    settings = _settings(planner)
    try:
        world = GuardedWorld(scenario, planner, SEED)
    except PlannerError as error:
        raise PlannerCheckError(f"{name}: {error}") from None
    world.guard.note_definitions()
    catalogue = _catalogue(world)
    with suppress(BrokenContractError), errors_noted(planner) as noted:
        world.run(scenario.horizon_s)
    if world.breaches:
        raise PlannerCheckError(f"{name}: {world.breaches[0]}")
    if noted:
        raise PlannerCheckError(f"{name} fails in a thread or a finalizer: {noted[0]}")
    if (sentence := world.guard.check()) is not None:
        raise PlannerCheckError(f"{name} {sentence}")
    for key, value in _settings(planner).items():
        if value != settings[key]:
            raise PlannerCheckError(
                f"{name} changes its {key} while planning, from {settings[key]} to {value}: it "
                "holds for the whole run"
            )
    after = _catalogue(world)
    if any(after[key] != value for key, value in catalogue.items()):
        raise PlannerCheckError(
            f"{name} changes what the planning context shows of the catalogue, such as "
            "context.world.cluster: it is there to be read"
        )
    changed = world.changed_record()
    if changed is not None:
        raise PlannerCheckError(
            f"{name} changes what it remembers under {safe_text(repr(changed))} after it wrote it: "
            "remember a new value instead"
        )
    tables = world.tables.take()
    _check_decisions(tables["decisions"], name)
    return tables


def _check_decisions(decisions: pl.DataFrame, name: str) -> None:
    last: dict[int, tuple[str | None, int]] = {}
    for query, plan, outcome in decisions.select("query", "plan", "outcome").iter_rows():
        before, refusals = last.get(query, (None, 0))
        refusals = (refusals if plan == before else 0) + 1 if outcome == "refused" else 0
        last[query] = plan, refusals
        if refusals > MOST_REFUSALS:
            raise PlannerCheckError(
                f"{name} orders one plan for query {query} more than {MOST_REFUSALS} times in a "
                "row, refused each time: ask context.fits before it deploys, and let it rest"
            )


def _catalogue(world: GuardedWorld) -> dict[str, Any]:
    """Return the parts of the catalogue that all planners share, by name, as comparable values."""
    planning_service = world.planning_service
    return {
        "cluster": repr(planning_service.shown_cluster),
        "pipeline": repr(planning_service.shown_pipeline),
        **{
            name: value.tobytes()
            for name, value in vars(planning_service.plan_space).items()
            if isinstance(value, np.ndarray)
        },
    }


def _random_states() -> tuple[Any, ...]:
    return random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002


def _difference(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> str | None:
    return next((table for table in TABLES if not one[table].equals(other[table])), None)


# In another process


def digests(tables: dict[str, pl.DataFrame]) -> dict[str, str]:
    """Return a digest of each table that depends on a planner's actions."""
    return {
        table: hashlib.sha256(repr(tables[table].rows()).encode()).hexdigest() for table in TABLES
    }


def answer_from_here() -> None:
    """Read a pickled planner from standard input, run it in the usual world, and print digests."""
    path, pickled = pickle.load(sys.stdin.buffer)
    sys.path[:] = path
    try:
        planner = pickle.loads(pickled)
    except Exception:  # Its class cannot be imported here.
        print("null")
        return
    with threadpool_limits(limits=1, user_api="blas"):
        found = digests(_run(planner, usual_world(), class_name(planner)))
    print("\n" + json.dumps(found))
    end_process(0)  # The planner may have started threads.


def _digests_elsewhere(planner: Planner) -> dict[str, str] | None:
    """Return digests from a process with another hash seed, or None if it cannot run planners."""
    # Processes that the planner starts can hold these files open; they would also hold pipes.
    with TemporaryFile() as out, TemporaryFile() as err:
        done = subprocess.run(
            [
                sys.executable,
                "-P",  # A file in the current directory must not pose as one of this project.
                "-c",
                "from sim.conformance.check_planner import answer_from_here as f; f()",
            ],
            input=pickle.dumps((sys.path, pickle.dumps(planner))),
            env=os.environ
            | {"PYTHONHASHSEED": str(SEED), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=out,
            stderr=err,
            check=False,
        )
        for file in (out, err):
            file.seek(0)
        printed, errors = (file.read().decode(errors="replace") for file in (out, err))
    if done.returncode:
        last = safe_text((errors.strip().splitlines() or ["no message"])[-1])
        raise PlannerCheckError(f"{class_name(planner)} fails in another process: {last}")
    found: dict[str, str] | None = json.loads(printed.splitlines()[-1])
    return found
