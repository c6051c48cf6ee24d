"""Calls of the planner, whose orders are carried out once its searches end in simulated time."""

import os
from collections.abc import Generator
from operator import itemgetter
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING

import numpy as np
from simpy import Event

from scenarios.compiled import working_s
from sim.api.planner import Planner
from sim.clock import seconds
from sim.cluster.queries import QueryState
from sim.controlplane.deployments import NoRoomError
from sim.controlplane.result_rows import decision_row
from sim.planning.call import DeploymentOrder, PlanningCall

if TYPE_CHECKING:
    from sim.controlplane.world import World

OUR_PACKAGES = {"sim", "scenarios", "hardware_models"}
LIBRARIES = {Path(os.__file__).parent, Path(np.__file__).parents[1]}
"""Directories of the standard library and of the installed packages."""


def call_planner(world: "World", trigger: str) -> None:
    """Call the planner, unless its process is down, and schedule its orders."""
    if world.env.now < world.planner_away_until_ns:
        return
    planner = world.planner
    call = PlanningCall(world.planning_service, world.env.now, planner.budget_s, planner.sees_truth)
    context = world.context(call, trigger)
    started = working_s()
    error = call.run(planner, context)
    world.planning_wall_s += working_s() - started
    if error is not None:
        origin = _origin(error, planner)
        world.note_error(trigger, f"{type(error).__name__} {origin}: {_reason(error)}")
    for query, search in call.searches.items():
        world.planning_service.planning_charged_s += seconds(search.charged_ns)
        state = world.registry.living[query]
        state.planning_s += seconds(search.charged_ns)
        state.profiling_s += seconds(search.profiling_ns)
        state.surrogates_s += seconds(search.surrogates_ns)
        state.profiling_device_s += search.device_s
        if search.clock_ns > world.env.now and query not in call.orders:
            state.searching = True
            world.env.process(_search_in_vain(world, state, search.clock_ns))
    for order in call.orders.values():
        world.registry.living[order.query].searching = True
        due = world.due.setdefault(order.at_ns, [])
        due.append((order.query, order, trigger, world.env.now))
        if len(due) == 1:
            world.env.process(_when_due(world, order.at_ns))


def _search_in_vain(
    world: "World", state: QueryState, until_ns: int
) -> Generator[Event, None, None]:
    crashes = world.planner_crashes
    yield world.env.timeout(until_ns - world.env.now)
    if crashes == world.planner_crashes:  # otherwise, a crash ended the search
        state.searching = False


def _when_due(world: "World", at_ns: int) -> Generator[Event, None, None]:
    """Wait until orders are due, and then carry them out, sorted by query."""
    if at_ns > world.env.now:
        yield world.env.timeout(at_ns - world.env.now)
    due = world.due.pop(at_ns, ())  # empty if the orders were lost in a crash of the planner
    for query, order, trigger, triggered_ns in sorted(due, key=itemgetter(0)):
        state = world.registry.living.get(query)
        if state is not None:
            state.searching = False
            world.env.process(_carry_out(world, state, order, trigger, triggered_ns))


def _carry_out(
    world: "World", state: QueryState, order: DeploymentOrder, trigger: str, triggered_ns: int
) -> Generator[Event, None, None]:
    """Deploy the plan of an order if it still fits, and wait until it is active."""
    if state.departed:
        return
    row = decision_row(order, trigger, triggered_ns)
    if order.plan is None:
        world.deactivate(state)
        world.withdraw(state)
        world.tables.add("decisions", row | {"outcome": "released"})
        return
    figures = world.planning_service.figures(state.query, order.plan)
    row |= world.planning_service.named(order.plan) | {
        "list_price_usd_per_hour": figures.list_price_usd_per_hour,
        "latency_basis": figures.basis,
    }
    try:
        deployment = world.deployments.reserve(
            state, order.plan, figures.demands, figures.whole.backhaul_up_s
        )
    except NoRoomError as refusal:
        world.tables.add("decisions", row | {"outcome": "refused", "reason": str(refusal)})
        world.refused = True
        return
    world.tables.add(
        "decisions",
        row
        | {
            "deployment": deployment.number,
            "outcome": "deployed",
            "in_force_s": seconds(deployment.active_from_ns),
        },
    )
    yield from world.activate(state, deployment)


def _reason(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # The exception's own __str__ may raise.
        said = ""
    return " ".join(said.split()) or "no message"


def _origin(error: BaseException, planner: Planner) -> str:
    """Return the innermost file and line of the planner author's code in a traceback."""
    frames = [
        (Path(frame.f_code.co_filename), line)
        for frame, line in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in OUR_PACKAGES
    ]
    if not frames:
        return f"where the world calls {type(planner).__name__}.plan(context)"
    # The methods that dataclasses generate have the file name "<string>".
    written = [
        (file, line)
        for file, line in frames
        if file.name != "<string>" and LIBRARIES.isdisjoint(file.parents)
    ]
    file, line = (written or frames)[-1]
    return f"in {file.name}:{line}"
