"""Calls of the planner, whose orders are carried out once its searches end in simulated time."""

import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from simpy import Event

from scenarios.compiled import working_s
from sim.api.errors import PlannerError
from sim.api.planner import Planner, Settings, restart
from sim.clock import seconds
from sim.cluster.queries import QueryState
from sim.controlplane.deployments import NoRoomError
from sim.controlplane.result_rows import decision_row, standby_row
from sim.planning.call import DeploymentOrder, PlanningCall
from sim.planning.guard import place_of
from sim.planning.search_clock import SearchClock
from sim.safe_text import class_name, safe_text

if TYPE_CHECKING:
    from sim.controlplane.world import World


MOST_TEXT = 2000
"""Largest number of characters that are kept of an error's description."""
MOST_NOTED = 100
"""Largest number of errors in threads that are kept until results are written."""


@dataclass(frozen=True)
class Outcome:
    """What a call of a planner ordered, which the world carries out."""

    searches: Mapping[int, SearchClock]  # the searches that the planner began, by query id
    orders: Mapping[int, DeploymentOrder]  # its orders, by query id
    standby: Mapping[str, int]  # the numbers of machines to keep on standby, by node
    error: str | None = None  # the text of the exception that it raised, if any


def planned(world: "World", trigger: str) -> Outcome:
    """Call the planner, and return the outcome; raise what must end the run."""
    settings = world.settings
    call = PlanningCall(
        world.planning_service,
        world.env.now,
        settings.budget_s,
        settings.sees_truth,
        settings.profiles_ahead,
    )
    context = world.context(call, trigger)
    started = working_s()
    error = call.run(world.planner, context, world.guard)
    line = described_or_ended(world, error)
    world.planning_wall_s += working_s() - started
    return Outcome(call.searches, call.orders, call.standby, line)


def call_planner(world: "World", trigger: str) -> None:
    """Call the planner, unless its process is down, and schedule its orders."""
    if world.env.now < world.planner_away_until_ns:
        return
    outcome = world.decide(world, trigger)
    if outcome.error is not None:
        world.note_error(trigger, outcome.error)
    for node, count in outcome.standby.items():
        if world.deployments.keep_standby(node, count):
            world.tables.add("decisions", standby_row(node, count, trigger, world.env.now))
    for query, search in outcome.searches.items():
        world.planning_service.planning_charged_s += seconds(search.charged_ns)
        state = world.registry.living[query]
        state.planning_s += seconds(search.charged_ns)
        state.profiling_s += seconds(search.profiling_ns)
        state.surrogates_s += seconds(search.surrogates_ns)
        state.profiling_device_s += search.device_s
        state.profiling_cost_usd += search.cost_usd
        if search.clock_ns > world.env.now and query not in outcome.orders:
            state.searching = True
            world.env.process(_search_in_vain(world, state, search.clock_ns))
    for order in outcome.orders.values():
        world.registry.living[order.query].searching = True
        due = world.due.setdefault(order.at_ns, [])
        due.append((order.query, order, trigger, world.env.now))
        if len(due) == 1:
            world.env.process(_when_due(world, order.at_ns))


def described_or_ended(world: "World", error: BaseException | None) -> str | None:
    """Return the text of an exception that the planner raised, if any; raise what ends the run."""
    line = None
    if error is not None:  # The text is made by the planner's code, within the limit of a call.
        said, _ = world.guard.run(partial(described, error, world.planner))
        line = safe_text(said or class_name(error), MOST_TEXT)
    if (end := world.ending(error)) is not None:
        raise end
    return line


def settings_of(planner: Planner) -> Settings:
    """Restart a planner, and read its settings; raise `PlannerError` if that fails."""
    try:
        restart(planner)
        return Settings.of(planner)
    except (KeyboardInterrupt, PlannerError):
        raise
    except BaseException as error:
        said = described(error, planner)
        raise PlannerError(f"settings cannot be read: {said}") from None


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
        "true_accuracy": world.true_accuracy(state, order.plan),
    }
    try:
        deployment = world.deployments.reserve(
            state, order.plan, figures.demands, figures.whole.backhaul_up_s
        )
    except NoRoomError as refusal:
        world.tables.add("decisions", row | {"outcome": "refused", "reason": str(refusal)})
        world.refused = True
        return
    for watcher in world.watchers:
        watcher.reserved(order.plan)
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


def described(error: BaseException, planner: Planner) -> str:
    """Return the class, the place and the message of an exception that a planner raised."""
    # A subclass can have any attribute of this name.
    trace = vars(BaseException)["__traceback__"].__get__(error)
    place = place_of(walk_tb(trace))
    where = f"in {place}" if place else f"where the world calls {class_name(planner)}.plan(context)"
    said = safe_text(error)
    return f"{class_name(error)} {where}: {said or 'no message'}"


@contextmanager
def errors_noted(planner: Planner) -> Iterator[list[str]]:
    """Yield a list to which errors in threads and finalizers are added, instead of printed."""
    before = threading.excepthook, sys.unraisablehook
    noted: list[str] = []

    def note(arguments: Any) -> None:
        error = arguments.exc_value
        if error is not None and len(noted) < MOST_NOTED:
            noted.append(described(error, planner))

    threading.excepthook = sys.unraisablehook = note
    try:
        yield noted
    finally:
        threading.excepthook, sys.unraisablehook = before
