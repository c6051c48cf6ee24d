"""A check of whether a planner, ours or a third party's, keeps the contract.

In a test of your own, two lines are enough::

    from sim import check_planner
    check_planner(MyPlanner())
"""

import inspect
import pickle
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from scenarios.cluster import Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.scenario import Scenario
from scenarios.shipped import shipped_application
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim.desk import Desk
from sim.events_plane import EventsPlane
from sim.planner import Planner
from sim.world import World

SEED = 20250416
TABLES = ("decisions", "profiling", "queries", "windows")


class PlannerCheckError(AssertionError):
    """A planner breaks its contract; the message says how, and what to do."""


class GuardedDesk(Desk):
    """A desk that refuses its private side to everybody outside ``sim``."""

    def __getattribute__(self, name: str) -> Any:
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        private = name == "__dict__" or (name.startswith("_") and not name.startswith("__"))
        if private and not caller.startswith("sim."):
            raise PlannerCheckError(
                f"{caller} reads desk.{name}: planners see the public desk only; what lies behind "
                "it, a deployed planner could not know"
            )
        return super().__getattribute__(name)


class GuardedWorld(World):
    """A world whose planner gets a guarded desk."""

    def _desk(self, trigger: str) -> Desk:
        planner = self.planner
        return GuardedDesk(self.office, trigger, self.env.now, planner.budget_s, planner.sees_truth)


class ClonedEachCall(Planner):
    """A planner that is replaced by a fresh copy, made from its parameters, before every call.

    Args:
        original: the planner.
    """

    def __init__(self, original: Planner) -> None:
        self.original = original
        self.budget_s = original.budget_s
        self.replan_every_s = original.replan_every_s
        self.sees_truth = original.sees_truth

    def plan(self, desk: Desk) -> None:
        """Let a fresh copy plan."""
        type(self.original)(**self.original.parameters()).plan(desk)


def check_planner(planner: Planner) -> None:
    """Run a planner through small worlds and check that it keeps the contract of planners.

    Checked are: parameters stored unchanged and nothing else kept; picklable; no fault in a usual,
    an empty, an overloaded and a failing world; the same decisions twice, and with a fresh copy of
    the planner before every call; budget kept; nothing read from behind the desk; the cluster and
    the global random generators left alone.

    Args:
        planner: the planner, with the parameters to check it with.

    Raises:
        PlannerCheckError: it does not; the message is one sentence.
    """
    if not isinstance(planner, Planner):
        raise PlannerCheckError(f"{planner!r} is no Planner: derive its class from sim.Planner")
    name = type(planner).__name__
    if not planner.budget_s >= 0:
        raise PlannerCheckError(f"{name}.budget_s={planner.budget_s}: must be 0 s or more")
    _check_parameters(planner, name)
    before = pickle.dumps(planner.parameters())
    usual = _scenario(rate=0.1)
    first = _run(planner, usual, name)
    random_states = _random_states()  # After it, as a library's first import may draw.
    worlds: dict[str, Callable[[], Scenario]] = {
        "an empty world": lambda: _scenario(rate=0.0),
        "an overloaded world": lambda: _scenario(rate=1.0, horizon_s=40.0),
        "a world whose machine fails, and the planner's process before it": lambda: _scenario(
            rate=0.1, failure=True
        ),
    }
    for scenario in worlds.values():
        _run(planner, scenario(), name)
    if _random_states() != random_states:
        raise PlannerCheckError(
            f"{name} draws from a global random generator: use scenarios.random_streams.stream, "
            "keyed by a seed among its parameters"
        )
    if pickle.dumps(planner.parameters()) != before:
        raise PlannerCheckError(
            f"{name} changes its parameters while planning: write what it learns with desk.remember"
        )
    for again, why in (
        (planner, "decides differently when run twice: it depends on something but its inputs"),
        (
            ClonedEachCall(planner),
            "decides differently when a fresh copy is made before each call: it keeps state "
            "outside desk.remember",
        ),
    ):
        other = _run(again, usual, name)
        for table in TABLES:
            if not first[table].equals(other[table]):
                raise PlannerCheckError(f"{name} {why} (first seen in table {table})")


def _check_parameters(planner: Planner, name: str) -> None:
    kept = planner.parameters()
    wanted = [key for key in inspect.signature(type(planner).__init__).parameters if key != "self"]
    if type(planner).__init__ is Planner.__init__ or wanted == ["args", "kwargs"]:
        wanted = []
    if missing := [key for key in wanted if key not in kept]:
        raise PlannerCheckError(
            f"{name}.__init__ does not store its parameter {missing[0]!r}: write "
            f"self.{missing[0]} = {missing[0]}"
        )
    if extra := [key for key in kept if key not in wanted]:
        raise PlannerCheckError(
            f"{name} keeps {extra[0]!r}, which is no parameter of its __init__: a planner is its "
            "parameters; write what it learns with desk.remember"
        )
    try:
        copy = pickle.loads(pickle.dumps(planner))
    except Exception as error:
        raise PlannerCheckError(
            f"{name} cannot be pickled ({error}): sweeps send planners to other processes"
        ) from None
    if pickle.dumps(copy.parameters()) != pickle.dumps(kept):
        raise PlannerCheckError(f"{name} comes back from pickling with other parameters")


def _run(planner: Planner, scenario: Scenario, name: str) -> dict[str, pl.DataFrame]:
    """Run a world, check what holds in any, and return its tables."""
    world = GuardedWorld(scenario, planner, SEED, EventsPlane)
    cluster = repr(world.office.cluster)
    world.run(scenario.horizon_s)
    if world.planner_errors:
        raise PlannerCheckError(f"{name} {world.planner_errors[0]}")
    if repr(world.office.cluster) != cluster:
        raise PlannerCheckError(f"{name} changes desk.cluster: it is there to be read")
    tables = world.tables.take()
    if tables["decisions"].filter(pl.col("charged_s") > planner.budget_s + 1e-9).height:
        raise PlannerCheckError(f"{name} plans longer than its budget of {planner.budget_s} s")
    return tables


def _random_states() -> tuple[Any, ...]:
    return random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002


def _scenario(rate: float, horizon_s: float = 120.0, failure: bool = False) -> Scenario:
    """Return a small world: one edge machine, two A100s, two tiers of service."""
    events = [
        DriftEvent("planner_crash", at_s=45.0, duration_s=10.0),
        DriftEvent("machine_failure", at_s=60.0, node="edge", duration_s=30.0),
    ]
    return Scenario(
        shipped_application("speech_recognition", window_s=40.0),
        Cluster(
            {
                "edge": Node(tier="edge", machine="g2-standard-4", standby=1),
                "cloud": Node(tier="cloud", machine="a2-highgpu-1g", count=2),
            }
        ),
        workload=Workload(
            rate=rate,
            lifetime_mean_s=60.0,
            lifetime_min_s=20.0,
            tiers={
                "standard": Tier(2.0, latency_s=2.0, accuracy_of_best=0.9),
                "economy": Tier(1.0, latency_s=4.0, cost_usd_per_hour=1.0),
            },
        ),
        drift=Drift(events if failure else []),
        horizon_s=horizon_s,
    )
