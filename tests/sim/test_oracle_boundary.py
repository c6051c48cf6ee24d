"""Planners see no more than a deployed planner could."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path

import numpy as np
from worlds import plan_in, run, scenario

import planners
from scenarios.applications.application import Application
from scenarios.applications.dataset import Dataset
from scenarios.applications.shipped import shipped_application
from scenarios.queries import QueryTruth, births
from sim.api.planner import Planner
from sim.cluster.machines import Machine, Machines
from sim.cluster.queries import QueryRegistry, QueryState
from sim.controlplane.world import World
from sim.planning.profiling_bench import ProfilingBench
from sim.planning.service import PlanningService

CONFIGURATIONS = shipped_application("speech_recognition").pipeline.configurations
HIDDEN = (
    *(QueryTruth, QueryState, QueryRegistry, Dataset, Application),
    *(World, PlanningService, ProfilingBench, Machines, Machine),
)
OURS = ("sim", "scenarios", "planners", "hardware_models")
PLAIN = (int, float, str, bytes, bool, type(None), np.ndarray, np.generic, Enum)


@dataclass
class Walk:
    """Everything that can be reached from an object by public names."""

    seen: dict

    def visit(self, thing, path):
        if isinstance(thing, PLAIN) or id(thing) in self.seen or callable(thing):
            return
        self.seen[id(thing)] = thing, path
        assert not isinstance(thing, HIDDEN), f"{path} is a {type(thing).__name__}"
        if isinstance(thing, Mapping):
            for key, value in thing.items():
                self.visit(key, f"{path} key")
                self.visit(value, f"{path}[{key!r}]")
        elif isinstance(thing, (tuple, list, set, frozenset)):
            for number, value in enumerate(thing):
                self.visit(value, f"{path}[{number}]")
        elif type(thing).__module__.partition(".")[0] in OURS:
            for name in dir(thing):
                if name.startswith("_"):
                    continue
                try:
                    value = getattr(thing, name)
                except (ValueError, AttributeError):
                    continue  # A configuration alone has no latency.
                self.visit(value, f"{path}.{name}")


class Curious(Planner):
    """Deploys, and looks at all that the planning context shows and returns."""

    replan_every_s = 10.0

    def __init__(self, walk):
        self.walk = walk

    def plan(self, context):
        self.walk.visit(context, "context")
        for query in (*context.waiting, *context.running, *context.bulk.last_departed()):
            self.walk.visit(query, "query")
            self.walk.visit(context.telemetry(query), "telemetry")
            self.walk.visit(context.plan_of(query), "plan_of")
        for query in context.waiting:
            for plan in islice(context.candidates(query), 0, 2000, 100):
                self.walk.visit(plan, "candidate")
                self.walk.visit(context.profile(query, plan, 2), "estimate")
                self.walk.visit(context.predict(query, plan), "prediction")
                context.fits(query, plan)
            self.walk.visit(context.profile(query, CONFIGURATIONS[0], 2), "estimate alone")
            self.walk.visit(context.profile("VOiCES", CONFIGURATIONS[0], 2), "offline")
            context.deploy(query, plan_in(context, query, "device"))


def test_invariant_oracle_boundary_no_public_name_leads_to_the_truth():
    walk = Walk({})
    made = run(scenario(120, rate=0.1), Curious(walk))
    assert made.planner_errors == []
    kinds = {type(thing).__name__ for thing, _ in walk.seen.values()}
    assert {
        "ServedContext",
        "ServedBulk",
        "ServedWorld",
        "Query",
        "Estimate",
        "Prediction",
        "WindowReport",
        "Plan",
        "Node",
    } <= kinds


def test_invariant_oracle_boundary_what_a_query_declares_is_nominal():
    """Nothing that a planner sees of a query depends on the hidden draws of its world."""
    born = list(births(scenario(120, rate=0.1), 3))
    assert len(born) > 5
    for query, truth in born:
        shown = repr(query)
        assert str(truth.device_factor) not in shown
        assert str(truth.departure_s) not in shown
        assert str(truth.access_rtt_s) not in shown


def test_invariant_oracle_boundary_planners_import_the_planning_interface_only():
    """Planners may import only ``sim`` and ``sim.api`` of the world."""
    for file in Path(planners.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                inside = name.split(".")[:2]
                assert inside[0] != "sim" or inside in (["sim"], ["sim", "api"]), f"{file}: {name}"
                assert name != "scenarios.queries" or all(
                    alias.name in ("Query",) for alias in node.names
                ), f"{file} imports the truth"
